"""`orlop image …`: build the OS, and see what is in it."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Annotated, Any

import typer
from rich.console import Console
from rich.table import Table

from orlop.cli.session import steps, workspace
from orlop.image import build as builder
from orlop.model.version import Version

app = typer.Typer(help="Build the OS image, and see what is in it.", no_args_is_help=True)

VersionArgument = Annotated[str | None, typer.Argument(help="Which image; the one built last unless given.")]
Json = Annotated[bool, typer.Option("--json", help="Print JSON.")]
SHOWN = 12


@app.command("build")
def build(
    ctx: typer.Context,
    version: Annotated[
        str | None, typer.Option("--version", help="YYYYMMDD.N; today's next number unless given.")
    ] = None,
    clean: Annotated[bool, typer.Option("--clean", help="Install all packages anew, not from the cache.")] = False,
    root: Annotated[
        Path | None, typer.Option("--root", help="Root keys of a release repository; ORLOP_ROOT or os/root.json else.")
    ] = None,
) -> None:
    """Build the image, if anything it is made from has changed, and print its folder."""
    wanted = Version.parse(version) if version else None
    typer.echo(builder.build(workspace(), steps(ctx), wanted, clean=clean, root=root))


@app.command("inspect")
def inspect(version: VersionArgument = None, as_json: Json = False) -> None:
    """Sizes, packages, executables on PATH, setuid files, interpreters and enabled units of an image."""
    about = builder.manifest(builder.find(workspace(), version))
    if as_json:
        typer.echo(json.dumps(about, indent=2))
        return
    console = Console()
    for name, value in rows(about):
        console.print(f"[bold]{name:<12}[/] {value}", highlight=False, soft_wrap=True)


def rows(about: dict[str, Any]) -> list[tuple[str, str]]:
    """What `inspect` prints: (name, text) a line."""
    packages = [f"{p['name']} {p['version']}" for p in about["packages"]]
    return [
        ("version", f"{about['version']} (build {about['build_id']}, Linux {about['kernel']})"),
        (
            "payload",
            f"{megabytes(about['payload_bytes'])}: usr {megabytes(about['usr_bytes'])}, "
            f"verity {megabytes(about['verity_bytes'])}, UKI {megabytes(about['uki_bytes'])} "
            f"(initrd {megabytes(about['initrd_bytes'])})",
        ),
        ("disk image", f"{megabytes(about['image_bytes'])} raw, {megabytes(about['image_zstd_bytes'])} as zstd"),
        ("root hash", about["roothash"]),
        ("root keys", f"sha256 {about['root_keys']}" if about.get("root_keys") else "none: no repository is believed"),
        ("setuid", listed(about["setuid"])),
        ("interpreters", listed(about["interpreters"])),
        *([("runtime", python(about["runtime"]))] if "runtime" in about else []),  # older images have none
        ("executables", f"{len(about['executables'])} on PATH: {listed(about['executables'])}"),
        ("units", f"{len(about['units'])} enabled: {listed(about['units'])}"),
        ("packages", f"{len(packages)}: {listed(packages)}"),
    ]


def python(runtime: dict[str, Any]) -> str:
    """The private Python of the node's programs, in a line."""
    third = ", ".join(runtime["third_party"]) or "none"
    return (
        f"Python {runtime['version']}, private: {megabytes(runtime['bytes'])}, {len(runtime['modules'])} modules, "
        f"third-party: {third}"
    )


def megabytes(size: int) -> str:
    return f"{size / 1e6:.1f} MB"


def listed(names: list[str]) -> str:
    """The names, or the first of many: `--json` has all."""
    if len(names) <= SHOWN:
        return ", ".join(names) or "none"
    return ", ".join(names[:SHOWN]) + f", … and {len(names) - SHOWN} more (--json lists all)"


@app.command("list")
def list_images(as_json: Json = False) -> None:
    """Every image that is there, oldest first."""
    ws = workspace()
    have = builder.latest(ws)
    found: list[dict[str, Any]] = [
        {
            "version": str(v),
            "latest": have is not None and have.name == str(v),
            "payload_bytes": builder.manifest(builder.find(ws, str(v)))["payload_bytes"],
        }
        for v in builder.versions(ws)
    ]
    if as_json:
        typer.echo(json.dumps(found, indent=2))
        return
    table = Table("version", "payload", "")
    for image in found:
        table.add_row(str(image["version"]), megabytes(image["payload_bytes"]), "latest" if image["latest"] else "")
    Console().print(table)


@app.command("rm")
def remove(version: Annotated[str, typer.Argument(help="Which image.")]) -> None:
    """Remove an image. Machines of a lab that were made from it cannot start again."""
    builder.remove(workspace(), Version.parse(version))
