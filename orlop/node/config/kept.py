"""What /var remembers about configurations: the last good one, and what was done, or begun, only once.

Lifetime: as long as /var; a factory reset forgets both. Written whole (write, fsync, rename) and only when it changed:
the last good configuration after a boot's stages all went well, the deeds before and after each stage that does one.
Invariant: what is read back is what was written, or it is not used: a hash over the content is kept beside it.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, TypeGuard

from orlop.errors import BadInput
from orlop.files import write_atomic
from orlop.node.config.remote import Config

SCHEMA = 1


@dataclass(frozen=True)
class Kept:
    """A configuration that a boot was made from, whole. `when`: seconds since 1970; `sha256`: of the configuration as
    its source gave it, before contents from elsewhere were put inside.
    """

    config: Config
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


def digest(config: Config) -> str:
    """Hexadecimal SHA-256 of a configuration, however its keys are ordered."""
    return hashlib.sha256(_text(config).encode()).hexdigest()


def save(path: Path, kept: Kept) -> bool:
    """Keep a configuration; False when the one that is there says the same."""
    content = {"config": kept.config, "source": kept.source, "when": kept.when, "sha256": kept.sha256}
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
    content = _read(path)
    if content is None:
        return None
    config, source, when, sha256 = (content.get(key) for key in ("config", "source", "when", "sha256"))
    if not (isinstance(config, dict) and isinstance(source, str) and isinstance(when, int) and isinstance(sha256, str)):
        raise BadInput(f"{path} is of another form than this version writes")
    return Kept(config, source, when, sha256)


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
    content = _read(path)
    if content is None:
        return Deeds()
    done, begun, paths = content.get("done"), content.get("begun", []), content.get("paths", {})
    if not (_are_names(done) and _are_names(begun) and isinstance(paths, dict) and all(map(_is_size, paths.values()))):
        raise BadInput(f"{path} is of another form than this version writes")
    return Deeds(frozenset(done), frozenset(begun), paths)


def _are_names(value: object) -> TypeGuard[list[str]]:
    return isinstance(value, list) and all(isinstance(name, str) for name in value)


def _is_size(value: object) -> bool:
    return value is None or (type(value) is int and value >= 0)


def _write(path: Path, content: dict[str, Any]) -> None:
    body = _text(content)
    path.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
    record = {"schema": SCHEMA, "check": hashlib.sha256(body.encode()).hexdigest(), "content": content}
    write_atomic(path, _text(record) + "\n", mode=0o600)


def _read(path: Path) -> dict[str, Any] | None:
    try:
        record = json.loads(path.read_bytes())
    except FileNotFoundError:
        return None
    except (OSError, ValueError, RecursionError) as e:
        raise BadInput(f"{path} is damaged: {e}") from None
    if not isinstance(record, dict) or record.get("schema") != SCHEMA or not isinstance(record.get("content"), dict):
        raise BadInput(f"{path} is of another form than this version writes")
    content: dict[str, Any] = record["content"]
    if hashlib.sha256(_text(content).encode()).hexdigest() != record.get("check"):
        raise BadInput(f"{path} is damaged: its content is not what its hash says")
    return content


def _text(value: object) -> str:
    return json.dumps(value, sort_keys=True, separators=(",", ":"))
