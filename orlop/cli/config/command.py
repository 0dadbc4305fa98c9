"""`orlop config`: translate a machine's configuration to what it boots with (Ignition), check or simulate it.

A configuration is Butane, or Ignition's JSON of any version when its name ends in .ign or it looks like it.

Exit status: 0 it is right; 1 it is not (with --strict also: there are warnings), or a file cannot be read or written;
2 the command line is wrong. Findings go to stderr as text, with --json to stdout. With errors nothing is written, and
an output file is whole or untouched.

Why the imports are inside the functions: the whole command is to take less than 0.3 s, most of it loading Python.
"""

from __future__ import annotations

import sys
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from orlop.errors import BadInput, Missing

if TYPE_CHECKING:
    from orlop.provision.local import LocalFiles
    from orlop.provision.translate import Translation

app = typer.Typer(help="Translate, check and try machine configurations (Butane).", no_args_is_help=True)

_Strict = Annotated[bool, typer.Option("--strict", "-s", help="Treat warnings as errors.")]
_FilesDir = Annotated[
    Path | None, typer.Option("--files-dir", "-d", help="Folder that `local:` paths are relative to.", metavar="DIR")
]


@app.command()
def build(
    file: Annotated[str, typer.Argument(help="The configuration; - reads standard input.", metavar="FILE")],
    output: Annotated[
        str, typer.Option("--output", "-o", help="Write here instead of standard output.", metavar="OUT")
    ] = "-",
    pretty: Annotated[bool, typer.Option("--pretty", "-p", help="Indent the output.")] = False,
    strict: _Strict = False,
    check_only: Annotated[bool, typer.Option("--check", "-c", help="Translate and write nothing.")] = False,
    files_dir: _FilesDir = None,
) -> None:
    """Translate a configuration to Ignition. Exit status 1 when it has errors."""
    if file != "-" and output != "-" and _is_same(file, output):
        raise BadInput(f"{output} is the configuration itself", hint="name another file: it would be lost")
    result = _translated(file, local_files(files_dir), pretty=pretty, strict=strict)
    _show(result, file)
    if result.ignition is None:
        raise typer.Exit(1)
    if check_only:
        return
    text = result.ignition if result.ignition.endswith("\n") else result.ignition + "\n"
    if output == "-":
        sys.stdout.buffer.write(text.encode())  # UTF-8, whatever the locale says
    else:
        _write(Path(output), text)


@app.command()
def check(
    files: Annotated[list[str], typer.Argument(help="Configurations; - reads standard input.", metavar="FILE...")],
    strict: _Strict = False,
    files_dir: _FilesDir = None,
    as_json: Annotated[bool, typer.Option("--json", help="Findings as JSON on standard output.")] = False,
) -> None:
    """Check configurations and write nothing. Exit status 1 when one of them has errors."""
    local = local_files(files_dir)
    documents = []
    good = True
    for name in files:
        result = _translated(name, local, strict=strict)
        ok = not result.report.failed(strict=strict)
        good = good and ok
        if as_json:
            entries = [entry.as_json() for entry in result.report.sorted()]
            counts = {"errors": result.report.errors, "warnings": result.report.warnings}
            documents.append({"file": called(name), "ok": ok, **counts, "entries": entries})
        else:
            _show(result, name)
            print(f"{called(name)}: {_verdict(result, ok)}", file=sys.stderr)
    if as_json:
        import json

        print(json.dumps({"files": documents}, indent=2))
    if not good:
        raise typer.Exit(1)


@app.command()
def simulate(
    ctx: typer.Context,
    file: Annotated[
        str, typer.Argument(help="The configuration, Butane or Ignition; - reads standard input.", metavar="FILE")
    ],
    against: Annotated[
        str | None, typer.Option("--against", help="Show what FILE changes against this config.", metavar="OTHER")
    ] = None,
    image: Annotated[str | None, typer.Option("--image", help="Which image; the one built last unless given.")] = None,
    fetch: Annotated[bool, typer.Option("--fetch", help="Fetch what the config takes from URLs.")] = False,
    strict: _Strict = False,
    files_dir: _FilesDir = None,
    as_json: Annotated[bool, typer.Option("--json", help="The machine, or the findings, as JSON.")] = False,
    log: Annotated[bool, typer.Option("--log", help="Show on standard error what Ignition says.")] = False,
) -> None:
    """Run the real Ignition on a scratch root and show what files, users and units the machine would get."""
    from orlop.cli.config.simulate import simulated

    if file == against == "-":
        raise typer.BadParameter("standard input can be read once", param_hint="--against")
    local = local_files(files_dir)
    names = [file] if against is None else [file, against]
    configs = [(called(name), _translated(name, local, strict=strict)) for name in names]
    if not simulated(ctx, configs, image=image, fetch=fetch, as_json=as_json, log=log, strict=strict):
        raise typer.Exit(1)


@app.command(hidden=True)
def reference(
    foreign: Annotated[bool, typer.Option("--foreign", help="The table of other systems' files and units.")] = False,
) -> None:
    """Print the reference of the `orlop` variant as Markdown: docs/reference/config-orlop.md is made of it. With
    --foreign docs/reference/config-foreign.md.
    """
    from orlop.provision import reference
    from orlop.provision.foreign import page

    sys.stdout.write(page.markdown() if foreign else reference.markdown())


def _translated(name: str, files: LocalFiles | None, *, pretty: bool = False, strict: bool = False) -> Translation:
    import gc

    from orlop.provision.translate import translate

    gc.disable()  # nothing here is cyclic, and looking for cycles doubles the time of large files
    try:
        ignition = True if name.endswith(".ign") else None
        return translate(read_raw(name), files, pretty=pretty, strict=strict, ignition=ignition)
    finally:
        gc.enable()


def _is_same(one: str, other: str) -> bool:
    try:
        return Path(one).samefile(other)
    except (OSError, ValueError):  # there is no such file yet, and what else is wrong is said when it is used
        return False


def _verdict(result: Translation, ok: bool) -> str:
    report = result.report
    parts = [
        f"{n} {what}{'' if n == 1 else 's'}" for n, what in ((report.errors, "error"), (report.warnings, "warning"))
    ]
    counts = ", ".join(part for part in parts if not part.startswith("0 "))
    return ("good" if ok else "refused") + (f" ({counts})" if counts else "")


def _show(result: Translation, name: str) -> None:
    if result.report.entries:
        from orlop.provision.report import render

        print(render(result.report, result.text, called(name)), file=sys.stderr)


def called(name: str) -> str:
    return "<stdin>" if name == "-" else name


def local_files(folder: Path | None) -> LocalFiles | None:
    if folder is None:
        return None
    from orlop.provision.filesdir import FilesDir
    from orlop.provision.local import LocalError

    try:
        return FilesDir(folder)
    except LocalError as e:
        raise BadInput(e.message, hint=e.hint) from None


def read_raw(name: str) -> bytes:
    """A configuration's bytes, one more than the limit at most: the translator then says that it is too large."""
    from orlop.provision.yamltree import MAX_BYTES

    if name == "-":
        return sys.stdin.buffer.read(MAX_BYTES + 1)
    try:
        with Path(name).open("rb") as f:
            return f.read(MAX_BYTES + 1)
    except FileNotFoundError:
        raise Missing(f"there is no configuration {name}", hint="give the path of a Butane file, or -") from None
    except (OSError, ValueError) as e:
        reason = e.strerror if isinstance(e, OSError) else "it is not a valid file name"
        raise BadInput(f"{name} cannot be read: {reason}", hint="give the path of a Butane file, or -") from None


def _write(path: Path, text: str) -> None:
    """Readable by the owner alone: a configuration holds secrets."""
    from orlop.files import write_atomic

    try:
        target = path.resolve()
        if target.exists() and not target.is_file():
            raise BadInput(f"{path} is not a regular file", hint="name a file, or leave out -o for standard output")
        write_atomic(target, text, mode=0o600)
    except (OSError, ValueError) as e:
        reason = e.strerror if isinstance(e, OSError) else "it is not a valid file name"
        raise BadInput(f"{path} cannot be written: {reason}", hint="name a file in a folder you may write to") from None
