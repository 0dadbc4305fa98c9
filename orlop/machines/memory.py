"""The memory of QEMU's machines to a file and back, over QMP.

QEMU calls it migration: to a file now, out of it whenever. Written as it is, without what was never used (387 MB of a
machine of 2 GiB that runs a container): 0.4 s. zstd would save 230 MB of it and take 1.7 s more. What makes it quick is
the bandwidth, which is 128 MiB a second unless one says otherwise: 2.9 s. QEMU's newer form (mapped-ram, with threads
or without) took half as long again, for no less room.
"""

from __future__ import annotations

import hashlib
import re
import time
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any

from orlop.errors import CommandFailed, TimedOut
from orlop.machines import qmp
from orlop.machines.paths import MachinePaths

_SECONDS = 600.0
_POLL = 0.02
_NO_LIMIT = 1 << 40  # bytes a second
_ENDED = ("completed", "failed", "cancelled", "none")
_CPUINFO = re.compile(r"^(model name|flags)\s*:.*$", re.MULTILINE)


def version(at: MachinePaths) -> str:
    """The QEMU that this machine runs in."""
    about: Any = qmp.ask(at.qmp, "query-version")
    return "{major}.{minor}.{micro}".format(**about["qemu"]) + (f" ({about['package']})" if about["package"] else "")


def processor(accelerator: str) -> str:
    """What a machine sees of this computer's processor: with KVM all of it, else nothing."""
    if accelerator != "kvm":
        return ""
    seen = {m[1]: m[0] for m in _CPUINFO.finditer(Path("/proc/cpuinfo").read_text(errors="replace"))}
    return hashlib.sha256("\n".join(seen[key] for key in sorted(seen)).encode()).hexdigest()


def save(files: Mapping[MachinePaths, Path]) -> None:
    """Write the memory of machines that are stopped, all at once. Raises CommandFailed or TimedOut."""
    for at, file in files.items():
        qmp.ask(at.qmp, "migrate-set-parameters", {"max-bandwidth": _NO_LIMIT})
        qmp.ask(at.qmp, "migrate", _channel(file))
    for at in files:
        _wait(at, "saving")


def load(files: Mapping[MachinePaths, Path]) -> None:
    """Read the memory of machines that were started with `-incoming defer`; then they are stopped. Raises as `save`."""
    for at, file in files.items():
        qmp.ask(at.qmp, "migrate-incoming", {**_channel(file), "exit-on-error": False})
    for at in files:
        _wait(at, "restoring")


def run(machines: Iterable[MachinePaths]) -> None:
    for at in machines:
        qmp.ask(at.qmp, "cont")


def go_on(at: MachinePaths) -> None:
    """Let a machine run, whatever a save was doing with it. Raises Missing when it is gone."""
    if _status(at)["status"] not in _ENDED:
        qmp.ask(at.qmp, "migrate_cancel")
        _until_ended(at)
    qmp.ask(at.qmp, "cont")


def _channel(file: Path) -> dict[str, object]:
    address = {"transport": "file", "filename": str(file), "offset": 0}
    return {"channels": [{"channel-type": "main", "addr": address}]}


def _wait(at: MachinePaths, doing: str) -> None:
    status = _until_ended(at)
    if status["status"] != "completed":
        why = status.get("error-desc", status["status"])
        raise CommandFailed(f"{doing} the memory of {at.folder.name} failed: {why}", code=1)


def _until_ended(at: MachinePaths) -> dict[str, Any]:
    until = time.monotonic() + _SECONDS
    while (status := _status(at))["status"] not in _ENDED:
        if time.monotonic() > until:
            raise TimedOut(f"the memory of {at.folder.name} was not through within {_SECONDS:.0f} s")
        time.sleep(_POLL)
    return status


def _status(at: MachinePaths) -> dict[str, Any]:
    """What QEMU says of a migration; "none" before there was one."""
    migration: dict[str, Any] = {"status": "none"}
    migration.update(qmp.ask(at.qmp, "query-migrate"))  # type: ignore[call-overload]
    return migration
