"""`orlop image …`: build the OS, and see what is in it."""

from __future__ import annotations

import json
from collections.abc import Mapping
from pathlib import Path
from typing import Annotated, Any

import typer
from rich.console import Console
from rich.table import Table

from orlop import built
from orlop.built import damaged, find, latest, read_manifest, versions
from orlop.cli.image import diff
from orlop.cli.image.sizes import megabytes
from orlop.cli.session import steps, workspace
from orlop.errors import OrlopError
from orlop.image import build as builder
from orlop.model.words.version import Version

app = typer.Typer(help="Build the OS image, and see what is in it.", no_args_is_help=True)
app.command("diff")(diff.diff)

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
    manifest = read_manifest(find(workspace(), version))
    if as_json:
        typer.echo(json.dumps(manifest.about, indent=2))
        return
    try:
        shown = rows(manifest.about)
    except (KeyError, TypeError, AttributeError, ValueError) as e:
        raise damaged(manifest.folder, f"its manifest lacks something, or says it in another form ({e})") from None
    console = Console()
    for name, value in shown:
        console.print(f"[bold]{name:<12}[/] {value}", highlight=False, soft_wrap=True)


def rows(about: Mapping[str, Any]) -> list[tuple[str, str]]:
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
        *([("SELinux", about["selinux"])] if "selinux" in about else []),
        ("setuid", listed(about["setuid"])),
        ("interpreters", listed(about["interpreters"])),
        *([("runtime", python(about["runtime"]))] if "runtime" in about else []),  # older images have none
        ("executables", f"{len(about['executables'])} on PATH: {listed(about['executables'])}"),
        ("units", f"{len(about['units'])} enabled: {listed(about['units'])}"),
        ("packages", f"{len(packages)}: {listed(packages)}"),
        *([("licences", licences(about["licences"]))] if "licences" in about else []),
    ]


def python(runtime: dict[str, Any]) -> str:
    """The private Python of the node's programs, in a line."""
    third = ", ".join(runtime["third_party"]) or "none"
    return (
        f"Python {runtime['version']}, private: {megabytes(runtime['bytes'])}, {len(runtime['modules'])} modules, "
        f"third-party: {third}"
    )


def licences(count: Mapping[str, int]) -> str:
    """Of how many components the licences are known, in a line."""
    texts = {
        "named": "with names of SPDX's alone",
        "by_text": "with others besides, whose texts are in the SBOM",
        "unknown": "unknown",
    }
    return f"{sum(count.values())} components: {', '.join(f'{count[key]} {text}' for key, text in texts.items())}"


def listed(names: list[str]) -> str:
    """The names, or the first of many: `--json` has all."""
    if len(names) <= SHOWN:
        return ", ".join(names) or "none"
    return ", ".join(names[:SHOWN]) + f", … and {len(names) - SHOWN} more (--json lists all)"


@app.command("list")
def list_images(as_json: Json = False) -> None:
    """Every image that is there, oldest first."""
    ws = workspace()
    have = latest(ws)
    images = [_listed(ws.images / str(v), is_latest=have is not None and have.name == str(v)) for v in versions(ws)]
    if as_json:
        typer.echo(json.dumps(images, indent=2))
        return
    table = Table("version", "payload", "")
    for image in images:
        payload = "" if image["payload_bytes"] is None else megabytes(image["payload_bytes"])
        table.add_row(image["version"], payload, image["damaged"] or ("latest" if image["latest"] else ""))
    Console().print(table)


def _listed(folder: Path, *, is_latest: bool) -> dict[str, Any]:
    """What `list` says of an image; `damaged` says in words what is wrong with it, or is null."""
    size, wrong = None, None
    try:
        size = read_manifest(folder).payload_bytes
    except OrlopError as e:
        wrong = f"{e}: {e.hint}"
    return {"version": folder.name, "latest": is_latest, "payload_bytes": size, "damaged": wrong}


@app.command("rm")
def remove(ctx: typer.Context, version: Annotated[str, typer.Argument(help="Which image.")]) -> None:
    """Remove an image. Labs that were made from it keep what they need of it."""
    built.remove(workspace(), Version.parse(version))
    steps(ctx).note(f"{version} is removed")
