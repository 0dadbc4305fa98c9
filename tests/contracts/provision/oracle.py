"""The oracle: the real `ignition-validate` of the SDK, asked about many configs in one go."""

from __future__ import annotations

import json
import shutil
from pathlib import Path
from typing import Any

from orlop.sdk.run import sdk_run
from orlop.workspace import Workspace

# each answer is kept beside its config; only the names of refused ones are printed
_LOOP = 'cd "$1" && for f in *.ign; do ignition-validate "$f" >"$f.log" 2>&1 || echo "$f"; done'


def refused(ws: Workspace, folder: Path, configs: list[str]) -> dict[int, str]:
    """Index → what Ignition said, for every config it refuses. `folder` is made empty first."""
    shutil.rmtree(folder, ignore_errors=True)
    folder.mkdir()
    for index, config in enumerate(configs):
        (folder / f"{index}.ign").write_text(config)
    if not configs:
        return {}
    out = sdk_run(ws, ["sh", "-c", _LOOP, "sh", folder], what="asking ignition-validate", binds=[folder], timeout=60)
    return {int(name.split(".")[0]): (folder / f"{name}.log").read_text() for name in out.split()}


def with_file(contents: dict[str, Any]) -> str:
    """A config that is right but for the contents of its one file."""
    return json.dumps({"ignition": {"version": "3.3.0"}, "storage": {"files": [{"path": "/a", "contents": contents}]}})


def with_unit(text: str) -> str:
    units = [{"name": "a.service", "contents": text}]
    return json.dumps({"ignition": {"version": "3.3.0"}, "systemd": {"units": units}})
