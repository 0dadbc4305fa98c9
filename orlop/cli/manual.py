"""The commands as pages of the manual and as completion for three shells: all of it from the one table of commands.

    python -m orlop.cli.manual FOLDER      writes FOLDER/man/man1/*.1 and the three completions below FOLDER

Lifetime: `make setup` writes them into the Python environment, anew whenever a command has changed. Why the completion
is not Typer's own: that starts Python for every press of a key.
"""

from __future__ import annotations

import re
import sys
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import typer

from orlop.cli import completion
from orlop.cli.app import app
from orlop.cli.examples import EXAMPLES
from orlop.files import write_atomic


@dataclass(frozen=True)
class Option:
    """`takes`: the word for its value, "" for a switch. `choices`: all values there are, where they are few."""

    names: tuple[str, ...]
    takes: str
    help: str
    choices: tuple[str, ...] = ()


@dataclass(frozen=True)
class Page:
    """A command or a group. `path` is how it is called, `commands` what is below it: name and first sentence."""

    path: tuple[str, ...]
    help: str
    arguments: tuple[tuple[str, str], ...]
    options: tuple[Option, ...]
    commands: tuple[tuple[str, str], ...] = ()

    @property
    def name(self) -> str:
        return "-".join(("orlop", *self.path))

    @property
    def brief(self) -> str:
        return first_sentence(self.help)


def first_sentence(text: str) -> str:
    return re.split(r"(?<=[^.])[.;:](?:\s|$)", " ".join(text.split()), maxsplit=1)[0]


def pages() -> list[Page]:
    """Every command that is not hidden, groups before what is below them."""
    return list(_below(typer.main.get_command(app), ()))


def _below(command: Any, path: tuple[str, ...]) -> Iterator[Page]:
    names = command.list_commands(None) if hasattr(command, "list_commands") else []
    below = {name: each for name in names if not (each := command.get_command(None, name)).hidden}
    shown = [param for param in command.params if not getattr(param, "hidden", False)]
    yield Page(
        path,
        command.help or "",
        tuple((p.metavar or p.name.upper(), p.help or "") for p in shown if p.param_type_name == "argument"),
        (*(_option(p) for p in shown if p.param_type_name == "option"), Option(("-h", "--help"), "", "Show the help.")),
        tuple((name, first_sentence(each.help or "")) for name, each in below.items()),
    )
    for name, each in below.items():
        yield from _below(each, (*path, name))


def _option(param: Any) -> Option:
    kind = param.type_descriptor.annotation
    choices = tuple(str(value) for value in kind) if hasattr(kind, "__members__") else ()
    return Option(tuple(param.opts), param.metavar or "|".join(choices), param.help or "", choices)


# roff


def roff(page: Page) -> str:
    """The page for man(1). Source of the form: man-pages(7)."""
    called = " ".join(("orlop", *page.path))
    lines = [
        f'.TH {_quoted(page.name.upper())} 1 "" "Orlop" "Orlop manual"',
        ".SH NAME",
        _text(f"{page.name} - {page.brief}"),
    ]
    words = ["[OPTIONS]", *(name for name, _ in page.arguments), *(["COMMAND"] if page.commands else [])]
    lines += [".SH SYNOPSIS", f".B {_text(called)}", _text(" ".join(words)), ".SH DESCRIPTION"]
    for paragraph in page.help.split("\n\n"):
        lines += [".PP", _text(" ".join(paragraph.split()))]
    if page.arguments:
        lines += [".SH ARGUMENTS", *_terms((f"\\fI{_text(name)}\\fR", said) for name, said in page.arguments)]
    if page.commands:
        lines += [".SH COMMANDS", *_terms((f"\\fB{_text(name)}\\fR", said) for name, said in page.commands)]
    lines += [".SH OPTIONS", *_terms((_names(option), option.help) for option in page.options)]
    if examples := EXAMPLES.get(" ".join(page.path)):
        lines += [".SH EXAMPLES", ".nf", *(_text(f"orlop {example}") for example in examples), ".fi"]
    if page.commands or page.path:
        near = [*page.path[:-1]] if page.path else []
        others = [f"orlop-{'-'.join((*page.path, name))}" for name, _ in page.commands] or ["-".join(("orlop", *near))]
        lines += [".SH SEE ALSO", ",\n".join(f"\\fB{_text(other)}\\fR(1)" for other in others)]
    return "\n".join(lines) + "\n"


def _names(option: Option) -> str:
    names = ", ".join(f"\\fB{_text(name)}\\fR" for name in option.names)
    return f"{names} \\fI{_text(option.takes)}\\fR" if option.takes else names


def _terms(terms: Iterator[tuple[str, str]]) -> Iterator[str]:
    for term, said in terms:
        yield from (".TP", term, _text(" ".join(said.split())))


def _text(text: str) -> str:
    """No character of it is roff's."""
    escaped = text.replace("\\", "\\e").replace("-", "\\-")
    return "\\&" + escaped if escaped.startswith((".", "'")) else escaped


def _quoted(text: str) -> str:
    return f'"{_text(text)}"'


def write(folder: Path) -> None:
    all_pages = pages()
    for page in all_pages:
        write_atomic(folder / "man/man1" / f"{page.name}.1", roff(page))
    for path, text in completion.files(all_pages).items():
        write_atomic(folder / path, text)


if __name__ == "__main__":
    write(Path(sys.argv[1]))
