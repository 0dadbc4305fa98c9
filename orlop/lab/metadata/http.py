"""Requests and answers as values, and trees of texts: what every metadata service is made of. Pure."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Mapping
from dataclasses import dataclass, field
from urllib.parse import parse_qs, unquote, urlsplit

Tree = Mapping[str, "Tree | str | bytes"]


@dataclass(frozen=True)
class Instance:
    """The machine that asks. `user_data` None: it was given none. `secret` signs tokens."""

    name: str
    user_data: bytes | None
    secret: bytes = b"orlop-lab"

    @property
    def number(self) -> int:
        """What a cloud would call it by: the same for the same name."""
        return int.from_bytes(hashlib.sha256(self.name.encode()).digest()[:7])


@dataclass(frozen=True)
class MetadataRequest:
    """`target` is path and query as they came; header names are in lower case; `now` is in seconds since 1970."""

    method: str
    target: str
    headers: Mapping[str, str]
    now: float

    @property
    def path(self) -> str:
        return unquote(urlsplit(self.target).path)

    @property
    def parts(self) -> list[str]:
        return [part for part in self.path.split("/") if part]

    def query(self, name: str) -> str | None:
        """The last value given, or None. A value may be empty."""
        values = parse_qs(urlsplit(self.target).query, keep_blank_values=True).get(name)
        return values[-1] if values else None


@dataclass(frozen=True)
class Answer:
    status: int
    body: bytes = b""
    headers: Mapping[str, str] = field(default_factory=dict)


def text(status: int, body: str | bytes, kind: str = "text/plain", **headers: str) -> Answer:
    """Words of header names are joined by `_` here and by `-` in the answer."""
    raw = body.encode() if isinstance(body, str) else body
    named = {name.replace("_", "-"): value for name, value in headers.items()}
    return Answer(status, raw, {"Content-Type": kind, **named})


def as_json(status: int, value: object) -> Answer:
    return text(status, json.dumps(value), "application/json; charset=utf-8")


def find(tree: Tree, parts: list[str]) -> Tree | str | bytes | None:
    """What is at this place, or None."""
    at: Tree | str | bytes = tree
    for part in parts:
        if not isinstance(at, Mapping) or part not in at:
            return None
        at = at[part]
    return at


def listing(tree: Tree) -> str:
    """One name a line, a slash behind those that hold more."""
    return "\n".join(f"{name}/" if isinstance(value, Mapping) else name for name, value in sorted(tree.items()))
