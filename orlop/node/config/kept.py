"""What /var remembers about configurations: the last good one, and what was done only once.

Lifetime: as long as /var; a factory reset forgets both. Written whole (write, fsync, rename) and only when it changed,
after a boot's stages all went well. Invariant: what is read back is what was written, or it is not used: a hash over
the content is kept beside it.
"""

from __future__ import annotations

import hashlib
import json
from dataclasses import dataclass
from pathlib import Path
from typing import Any

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


def save_deeds(path: Path, deeds: frozenset[str]) -> None:
    if load_deeds(path) != deeds:
        _write(path, {"done": sorted(deeds)})


def load_deeds(path: Path) -> frozenset[str]:
    """What was done once. A record that cannot be trusted raises BadInput: a wipe must not happen by its absence."""
    content = _read(path)
    if content is None:
        return frozenset()
    done = content.get("done")
    if not isinstance(done, list) or not all(isinstance(name, str) for name in done):
        raise BadInput(f"{path} is of another form than this version writes")
    return frozenset(done)


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
