"""Every command of the Typer app, and words that it may be called with in the world of `walk.py`."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import typer

from orlop.cli.app import app

# the world's own things, by the name of the argument that means them
KNOWN = {
    "version": "20261201.1", "image": "20261201.1", "channel": "alpha", "source": "alpha", "target": "beta",
    "node": "n1", "file": "cfg.bu", "files": "cfg.bu", "saved": "ready", "path": "k.key", "paths": "k.key",
    "roles": "alpha", "waves": "default", "command": "true", "public": "ab" * 32,
    "old": "20261201.1", "new": "20261202.1",
    "reason": "because", "config": "cfg.bu",
}  # fmt: skip
# what the arguments alone do not reach
FURTHER = [
    ["config", "build", "cfg.bu", "-o", "out.ign"],
    ["release", "init", "--home", "fresh", "--root-keys", "1", "--threshold", "1"],
    ["release", "publish", "20261202.1"],
    ["release", "channel", "add", "nightly"],
    ["release", "key", "new", "anna"],
    ["release", "gc", "--keep", "1"],
    ["release", "publish", "20261202.1", "--notes", "cfg.bu", "--dry-run"],
    ["release", "verify", "http://127.0.0.1:9"],
    ["release", "verify", "release/repo"],
    ["lab", "up", "--config", "cfg.bu"],
    ["lab", "down", "--all"],
    ["node", "reset", "n1", "--yes"],
    ["node", "status", "root@127.0.0.1:9"],
    ["image", "rm", "20261202.1"],
    ["cluster", "backup", "n1", "-o", "out.snapshot"],
]


def commands() -> Iterator[tuple[list[str], Any]]:
    """Every command there is, hidden ones too, with its path."""
    top = typer.main.get_command(app)

    def below(group: Any, path: list[str]) -> Iterator[tuple[list[str], Any]]:
        for name in group.list_commands(None):
            command = group.get_command(None, name)
            if not hasattr(command, "list_commands"):
                yield [*path, name], command
                continue
            if command.invoke_without_command:
                yield [*path, name], command
            yield from below(command, [*path, name])

    yield from below(top, [])


def arguments(command: Any, *, everything: bool = False) -> list[str]:
    """The words that a command cannot do without."""
    options, words = [], []
    for param in command.params:
        value = KNOWN.get(param.name, "1" if "int" in str(param.type_descriptor.annotation) else "x")
        if param.param_type_name == "argument":
            if param.required or everything:
                words.append(value)
        elif param.required:
            options += [param.opts[0], value]
    return [*options, *(["--"] if "command" in [p.name for p in command.params] else []), *words]


def calls() -> list[list[str]]:
    served = (["release", "serve"], ["lab", "console"])
    return [[*path, *arguments(command)] for path, command in commands() if path not in served] + FURTHER


def late_options() -> list[list[str]]:
    """Each command with one of its options behind its arguments."""
    found = []
    for path, command in commands():
        options = [p for p in command.params if p.param_type_name == "option" and p.name != "help"]
        words = arguments(command)
        for option in options[:1] if path != ["release", "serve"] else ():
            value = [] if option.is_flag else [KNOWN.get(option.name, "1")]
            found.append([*path, *words, option.opts[0], *value])
    return found
