"""The configuration file that `orlop lab` gives to machines: Butane or Ignition, checked before anything is made.

What is wrong in Butane is shown as `orlop config` shows it; Ignition's JSON is shown to the real `ignition-validate`.
"""

from __future__ import annotations

import json
import sys
import tempfile
from pathlib import Path

from orlop.cli.config import local_files, read_raw
from orlop.errors import BadInput, CommandFailed
from orlop.provision.report import render
from orlop.provision.translate import translate
from orlop.sdk import tree
from orlop.sdk.run import sdk_run
from orlop.steps import Steps
from orlop.workspace import Workspace


def read(ws: Workspace, log: Steps, file: str, files_dir: Path | None) -> bytes:
    """The Ignition configuration that `file` is or says. Raises BadInput, Missing; makes the SDK if it must."""
    raw = read_raw(file)
    if is_ignition(raw):
        return _validated(ws, log, file, raw)
    result = translate(raw, local_files(files_dir))
    if result.report.entries:
        print(render(result.report, result.text, file), file=sys.stderr)
    if result.ignition is None:
        raise BadInput(f"{file} is no right configuration", hint=f"`orlop config check {file}` shows what is wrong")
    return result.ignition.encode()


def is_ignition(text: bytes) -> bool:
    """Whether it is Ignition's JSON and not Butane, of which JSON is a way of writing."""
    try:
        top: object = json.loads(text)
    except (ValueError, RecursionError):
        return False
    return isinstance(top, dict) and "ignition" in top and "variant" not in top


def _validated(ws: Workspace, log: Steps, file: str, config: bytes) -> bytes:
    tree.ensure(ws, log)
    with tempfile.NamedTemporaryFile(prefix="orlop-config-", dir="/tmp") as f:
        f.write(config)
        f.flush()
        try:
            sdk_run(ws, ["ignition-validate", f.name], what="asking ignition-validate", timeout=60)
        except CommandFailed as e:
            raise BadInput(
                f"{file} is no configuration that Ignition takes:\n{e.tail}",
                hint="`orlop config build` makes Ignition from Butane, with the place of every error",
            ) from None
    return config
