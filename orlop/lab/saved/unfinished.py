"""The mark of a save or a restore that is under way, in the lab's folder.

Why: a run that is killed without warning can undo nothing. It leaves this mark, with its process, and the next command
lets the machines of an interrupted save go on, and removes the lab of an interrupted restore.
"""

from __future__ import annotations

import json
import os
from dataclasses import asdict, dataclass
from pathlib import Path

from orlop.errors import BadInput
from orlop.files import write_atomic
from orlop.lab.paths import LabPaths
from orlop.machines.pids import ProcessId, alive, identify
from orlop.model.words.strict import Fields, parse_json

SAVING, RESTORING = "saving", "restoring"
_MARK = "unfinished.json"
MAX_BYTES = 1 << 20


@dataclass(frozen=True)
class Unfinished:
    """`off`: container machines that are powered off for as long as it takes."""

    doing: str
    process: ProcessId
    off: tuple[str, ...] = ()


def mark(folder: Path, doing: str, off: tuple[str, ...] = ()) -> None:
    process = identify(os.getpid())
    assert process is not None
    write_atomic(folder / _MARK, json.dumps(asdict(Unfinished(doing, process, off))), mode=0o600)


def unmark(folder: Path) -> None:
    (folder / _MARK).unlink(missing_ok=True)


def left(paths: LabPaths) -> Unfinished | None:
    """What a run began in this lab and cannot end any more."""
    mark = parse(paths.folder / _MARK)
    return mark if mark and not alive(mark.process) else None


def parse(file: Path) -> Unfinished | None:
    """None when there is none, or one that nobody wrote whole: marks are replaced in one step, so not we."""
    try:
        mark = Fields.of("", parse_json(file.read_bytes(), MAX_BYTES))
        process = mark.fields("process")
        began = ProcessId(process.value("pid", int), process.value("start", int))
        return Unfinished(mark.value("doing", str), began, tuple(mark.texts("off", must=True)))
    except (OSError, BadInput):
        return None
