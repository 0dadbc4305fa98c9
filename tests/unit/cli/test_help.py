"""What people read before they do something: help, examples, manual, completion. Of every command that the app has."""

from __future__ import annotations

import re
import shlex
import shutil
import subprocess
from pathlib import Path
from typing import Any

import pytest
import typer
from typer.testing import CliRunner

from orlop.cli import completion, manual
from orlop.cli.app import COMMANDS, app
from orlop.cli.examples import EXAMPLES

PAGES = manual.pages()
NAMES = [" ".join(page.path) for page in PAGES if page.path]
WIDTH = 80


def at(path: str) -> Any:
    command: Any = typer.main.get_command(app)
    for name in path.split():
        command = command.get_command(None, name)
    return command


@pytest.mark.parametrize("name", NAMES)
def test_help_fits_80_columns_and_says_all_of_it(name: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("COLUMNS", str(WIDTH))
    done = CliRunner().invoke(app, [*name.split(), "--help"])
    assert done.exit_code == 0
    assert max(map(len, done.output.splitlines())) <= WIDTH
    shown = set(re.findall(r"\w+", done.output))
    for param in at(name).params:
        assert set(re.findall(r"\w+", param.help or "")) <= shown, param.name
    assert not re.search(r"<(bool|str|int|path|list)", done.output)
    assert "Examples:" in done.output


@pytest.mark.parametrize("name", NAMES)
def test_every_command_has_examples_that_are_valid_calls(name: str) -> None:
    assert EXAMPLES.get(name)
    for example in EXAMPLES[name]:
        assert len(f" orlop {example} ") <= WIDTH
        words = shlex.split(example)
        path = next(n for n in sorted(NAMES, key=len, reverse=True) if example == n or example.startswith(f"{n} "))
        assert path == name or path.startswith(f"{name} ")  # of a group, those below it
        at(path).make_context(path, words[len(path.split()) :])  # raises for a call that is not valid


@pytest.mark.parametrize(
    ("args", "meant"),
    [
        (["staus"], "'lab status', 'node status'"),
        (["lab", "staus"], "'status'"),
        (["relase"], "'release'"),
        (["release", "verfy"], "'verify'"),
        (["lab", "up", "--nods", "3"], "--nodes"),
    ],
)
def test_what_was_mistyped_is_guessed(args: list[str], meant: str) -> None:
    done = CliRunner().invoke(app, args)
    assert done.exit_code == 2
    said = " ".join(done.output.replace("│", " ").split())
    assert meant in said


def test_the_manual_has_a_page_of_each_command_that_groff_reads(tmp_path: Path) -> None:
    manual.write(tmp_path)
    made = sorted(path.name for path in (tmp_path / "man/man1").iterdir())
    assert made == sorted(f"{page.name}.1" for page in PAGES)
    assert len(made) == len(NAMES) + 1
    text = (tmp_path / "man/man1/orlop-lab-exec.1").read_text()
    assert ".SH EXAMPLES" in text
    assert r"orlop lab exec n1 \-\- podman ps" in text
    if groff := shutil.which("groff"):
        argv = [groff, "-man", "-Kutf8", "-Tutf8", "-ww", "-z", *map(str, (tmp_path / "man/man1").iterdir())]
        done = subprocess.run(argv, capture_output=True, text=True, check=False)
        assert (done.returncode, done.stderr) == (0, "")


COMPLETE = 'COMP_WORDS=("$@"); COMP_CWORD=$(($# - 1)); COMPREPLY=(); _orlop; printf "%s\\n" "${COMPREPLY[@]}"'


@pytest.mark.parametrize(
    ("words", "offered"),
    [
        ([""], {*COMMANDS, "--version", "-h", "--help"}),
        (["lab", "sta"], {"start", "status"}),
        (["release", "key", "n"], {"new"}),
        (["lab", "up", "--kind", ""], {"vm", "container"}),
        (["lab", "up", "--kind", "vm", "--ipv"], {"--ipv6-only"}),
        (["lab", "up", "--name", "--k"], {""}),  # a value is due
        (["lab", "exec", "n1", "--", "ls", "--"], {""}),  # another command's words
    ],
)
def test_bash_completes(words: list[str], offered: set[str], tmp_path: Path) -> None:
    script = tmp_path / "orlop"
    script.write_text(completion.bash(PAGES))
    argv = ["bash", "--norc", "-c", f". {script}; {COMPLETE}", "bash", "orlop", *words]
    done = subprocess.run(argv, capture_output=True, text=True, check=False)
    assert done.stderr == ""
    assert set(done.stdout.splitlines()) == offered


@pytest.mark.parametrize("shell", ["bash", "zsh", "fish"])
def test_completion_is_a_script_that_the_shell_reads(shell: str, tmp_path: Path) -> None:
    scripts = {"bash": completion.bash, "zsh": completion.zsh, "fish": completion.fish}
    text = scripts[shell](PAGES)
    for page in PAGES:
        for option in page.options:
            assert all(name.lstrip("-") in text for name in option.names)
    if shutil.which(shell):
        (tmp_path / "script").write_text(text)
        done = subprocess.run([shell, "-n", tmp_path / "script"], capture_output=True, text=True, check=False)
        assert (done.returncode, done.stderr) == (0, "")
