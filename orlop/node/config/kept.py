"""What /var remembers about configurations: the last good one, and what was done, or begun, only once.

Lifetime: as long as /var; a factory reset forgets both. Written whole (write, fsync, rename) and only when it changed:
the last good configuration after a boot's stages all went well, the deeds before and after each stage that does one.
Invariant: what is read back is what was written, or it is not used: a hash over the content is kept beside it.
"""

from __future__ import annotations

import hashlib
import json
import shutil
import sys
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from orlop.errors import BadInput
from orlop.files import write_atomic
from orlop.model.words.strict import Fields, Wrong, parse_json
from orlop.node.config.rendering import Rendering

SCHEMA = 1


@dataclass(frozen=True)
class Kept:
    """A configuration that a boot was made from, whole. `when`: seconds since 1970; `sha256`: of the configuration as
    its source gave it, before contents from elsewhere were put inside.
    """

    config: Rendering
    source: str
    when: int
    sha256: str


@dataclass(frozen=True)
class Deeds:
    """What is done only once. `begun`: deeds of the disks stage that is under way; `paths`: what the files stage that
    is under way makes, with the size a file had before, None for what was not there. Both are empty while the system
    runs: a boot that finds some comes after one that lost its power, and undoes them.
    """

    done: frozenset[str] = frozenset()
    begun: frozenset[str] = frozenset()
    paths: Mapping[str, int | None] = field(default_factory=dict)


def digest(config: Rendering) -> str:
    """Hexadecimal SHA-256 of a configuration, however its keys are ordered."""
    return hashlib.sha256(_text(config.raw).encode()).hexdigest()


def save(path: Path, kept: Kept) -> bool:
    """Keep a configuration; False when the one that is there says the same."""
    content = {"config": kept.config.raw, "source": kept.source, "when": kept.when, "sha256": kept.sha256}
    try:
        there = load(path)
    except BadInput:
        there = None
    if there and (there.config, there.source, there.sha256) == (kept.config, kept.source, kept.sha256):
        return False
    _write(path, content)
    return True


def load(path: Path) -> Kept | None:
    """The kept configuration; None when none was kept. Raises BadInput for one that cannot be trusted."""
    with _named(path):
        content = _read(path)
        if content is None:
            return None
        config = Rendering(content.value("config", dict))
        return Kept(config, content.value("source", str), content.value("when", int), content.value("sha256", str))


def save_deeds(path: Path, deeds: Deeds) -> None:
    if load_deeds(path) == deeds:
        return
    content: dict[str, Any] = {"done": sorted(deeds.done)}
    if deeds.begun:
        content["begun"] = sorted(deeds.begun)
    if deeds.paths:
        content["paths"] = dict(deeds.paths)
    _write(path, content)


def load_deeds(path: Path) -> Deeds:
    """What was done once. A record that cannot be trusted raises BadInput: a wipe must not happen by its absence."""
    with _named(path):
        content = _read(path)
        if content is None:
            return Deeds()
        paths = Fields("paths", content.value("paths", dict, {}))
        sizes = {name: paths.number(name, 0, sys.maxsize) if paths.has(name) else None for name in paths.values}
        return Deeds(frozenset(content.texts("done", must=True)), frozenset(content.texts("begun")), sizes)


def recover_deeds(path: Path) -> tuple[Deeds | None, str]:
    """What was done once, and a note. None when the record is damaged; it is moved aside then.

    Whatever the configuration does once then counts as done (`eachboot.all_deeds`): a disk that was never made stays so
    until somebody says otherwise, and one with somebody's data is never wiped.
    """
    try:
        return load_deeds(path), ""
    except BadInput as e:
        aside = path.with_name(f"{path.name}.damaged")
        shutil.rmtree(aside, ignore_errors=True)  # a folder would be in the way
        path.rename(aside)
        return None, f"it is not known what was wiped before, so nothing is: {e}"


def _write(path: Path, content: dict[str, Any]) -> None:
    body = _text(content)
    path.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
    if path.is_dir():  # nothing of ours, and it must not keep the machine from starting
        path.rename(path.with_name(f"{path.name}.aside"))
    record = {"schema": SCHEMA, "check": hashlib.sha256(body.encode()).hexdigest(), "content": content}
    write_atomic(path, _text(record) + "\n", mode=0o600)


@contextmanager
def _named(path: Path) -> Iterator[None]:
    """Let what is wrong in a record say in which one."""
    try:
        yield
    except Wrong as e:
        raise BadInput(f"{path} is damaged: {e.message}") from None


def _read(path: Path) -> Fields | None:
    """The content of a record; None where there is none. Raises Wrong, and BadInput when the file cannot be read."""
    try:
        raw = path.read_bytes()
    except FileNotFoundError:
        return None
    except OSError as e:
        raise BadInput(f"{path} cannot be read: {e.strerror}") from None
    record = Fields.of("", parse_json(raw, len(raw)))
    if (schema := record.value("schema", int)) != SCHEMA:
        raise Wrong(f"its schema is {schema}, this version reads {SCHEMA}")
    content = record.value("content", dict)
    if hashlib.sha256(_text(content).encode()).hexdigest() != record.value("check", str):
        raise Wrong("its content is not what its hash says")
    return Fields("", content)


def _text(value: object) -> str:
    return json.dumps(value, sort_keys=True, separators=(",", ":"))
