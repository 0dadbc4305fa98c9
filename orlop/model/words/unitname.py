"""The name of the unit that is about a path: of a mount, a swap, a check. Source: systemd.unit(5)."""

from __future__ import annotations

_PLAIN = frozenset(":_.abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789")


def unit_name(path: str) -> str:
    r"""A path as part of a unit name, as `systemd-escape --path` does it: `/var/lib/a-b` → `var-lib-a\x2db`."""
    parts = [part for part in path.split("/") if part]
    if not parts:
        return "-"
    return "-".join(_escape(part, first=index == 0) for index, part in enumerate(parts))


def _escape(part: str, *, first: bool) -> str:
    out = "".join(chr(b) if chr(b) in _PLAIN else f"\\x{b:02x}" for b in part.encode())
    return "\\x2e" + out[1:] if first and out.startswith(".") else out
