"""Completion for bash, zsh and fish: which words may follow, as scripts that ask no Python.

Each script finds out which command the words so far name, and offers what is below it, its options, and the choices of
an option that has some; where there is nothing to offer, files.
"""

from __future__ import annotations

import shlex
from collections.abc import Iterator, Sequence
from typing import Protocol


class Switch(Protocol):
    @property
    def names(self) -> tuple[str, ...]: ...
    @property
    def takes(self) -> str: ...
    @property
    def help(self) -> str: ...
    @property
    def choices(self) -> tuple[str, ...]: ...


class Command(Protocol):
    @property
    def path(self) -> tuple[str, ...]: ...
    @property
    def options(self) -> Sequence[Switch]: ...
    @property
    def commands(self) -> Sequence[tuple[str, str]]: ...


def files(pages: Sequence[Command]) -> dict[str, str]:
    """Path below a share folder → script, where each shell looks for it."""
    return {
        "bash-completion/completions/orlop": bash(pages),
        "zsh/site-functions/_orlop": zsh(pages),
        "fish/vendor_completions.d/orlop.fish": fish(pages),
    }


def _at(page: Command) -> str:
    return "".join(f" {word}" for word in page.path)


def _paths(pages: Sequence[Command]) -> str:
    """A shell pattern of all commands."""
    return " | ".join(shlex.quote(_at(page)) for page in pages if page.path)


def _choices(pages: Sequence[Command]) -> Iterator[tuple[str, tuple[str, ...]]]:
    """Command and option, as one text → its choices."""
    for page in pages:
        for option in page.options:
            yield from ((f"{_at(page)} {name}", option.choices) for name in option.names if option.choices)


def _valued(page: Command) -> list[str]:
    return [name for option in page.options if option.takes for name in option.names]


_BASH = """\
# bash completion for orlop, made by `make setup`
_orlop() {{
    local at= word offered= cur=${{COMP_WORDS[COMP_CWORD]}} before=${{COMP_WORDS[COMP_CWORD - 1]}} i
    for ((i = 1; i < COMP_CWORD; i++)); do
        word=${{COMP_WORDS[i]}}
        [[ $word == -- ]] && return # what follows is another command's
        case "$at $word" in
            {paths}) at="$at $word" ;;
        esac
    done
    case "$at $before" in
{choices}
        *)
            case $at in
{words}
            esac
            ;;
    esac
    mapfile -t COMPREPLY < <(compgen -W "$offered" -- "$cur")
}}
complete -o default -F _orlop orlop
"""


def bash(pages: Sequence[Command]) -> str:
    choices = [f"        {shlex.quote(at)}) offered={shlex.quote(' '.join(c))} ;;" for at, c in _choices(pages)]
    words = []
    for page in pages:
        offered = [*(name for name, _ in page.commands), *(name for o in page.options for name in o.names)]
        valued = "".join(f" | {shlex.quote(f'{_at(page)} {name}')}" for name in _valued(page))
        if valued:  # its value comes next: a file, or nothing we know
            choices.append(f"        {valued[3:]}) ;;")
        words.append(f"                {shlex.quote(_at(page))}) offered={shlex.quote(' '.join(offered))} ;;")
    return _BASH.format(paths=_paths(pages), choices="\n".join(choices), words="\n".join(words))


_ZSH = """\
#compdef orlop
# zsh completion for orlop, made by `make setup`
_orlop() {{
    local at= word before=$words[CURRENT-1]
    local -a offered
    for word in "${{(@)words[2,CURRENT-1]}}"; do
        [[ $word == -- ]] && {{ _normal; return }}
        case "$at $word" in
            ({paths}) at="$at $word" ;;
        esac
    done
    case "$at $before" in
{choices}
        (*)
            case $at in
{words}
            esac
            ;;
    esac
    (( $#offered )) && _describe orlop offered && return
    _files
}}
_orlop "$@"
"""


def zsh(pages: Sequence[Command]) -> str:
    def described(name: str, said: str) -> str:
        return shlex.quote(f"{name}:{' '.join(said.split())}")

    choices = [f"        ({shlex.quote(at)}) offered=({' '.join(map(shlex.quote, c))}) ;;" for at, c in _choices(pages)]
    words = []
    for page in pages:
        if valued := " | ".join(shlex.quote(f"{_at(page)} {name}") for name in _valued(page)):
            choices.append(f"        ({valued}) ;;")
        offered = [*(described(*each) for each in page.commands)]
        offered += [described(name, option.help) for option in page.options for name in option.names]
        words.append(f"                ({shlex.quote(_at(page))}) offered=({' '.join(offered)}) ;;")
    return _ZSH.format(paths=_paths(pages), choices="\n".join(choices), words="\n".join(words))


_FISH = """\
# fish completion for orlop, made by `make setup`
function __orlop_at
    set -l at
    for word in (commandline -opc)[2..]
        switch "$at $word"
            case {paths}
                set at "$at $word"
        end
    end
    test "$at" = "$argv[1]"
end
"""


def fish(pages: Sequence[Command]) -> str:
    paths = " ".join(_fish(_at(page)) for page in pages if page.path)
    lines = [_FISH.format(paths=paths)]
    for page in pages:
        here = f"complete -c orlop -n {_fish('__orlop_at ' + _fish(_at(page)))}"
        lines += [f"{here} -f -a {_fish(name)} -d {_fish(said)}" for name, said in page.commands]
        for option in page.options:
            words = [f"-l {name[2:]}" if name.startswith("--") else f"-s {name[1:]}" for name in option.names]
            if option.choices:
                words.append(f"-x -a {_fish(' '.join(option.choices))}")
            elif option.takes:
                words.append("-r")
            lines.append(f"{here} {' '.join(words)} -d {_fish(' '.join(option.help.split()))}")
    return "\n".join(lines) + "\n"


def _fish(text: str) -> str:
    return "'" + text.replace("\\", "\\\\").replace("'", "\\'") + "'"
