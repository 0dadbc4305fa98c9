"""`orlop release show`, `verify`, `serve`: looking at a repository, from inside and from outside."""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import asdict
from datetime import datetime
from pathlib import Path
from typing import Annotated, Any

import typer
from rich.console import Console
from rich.table import Table

from orlop.cli.release.home import DEFAULT, Home, HomeOption, now
from orlop.errors import BadInput, Busy, Missing
from orlop.model.release.channel import Channel, Entry
from orlop.model.words.strict import stamp
from orlop.publish.repository.audit import AuditFinding, audit
from orlop.publish.repository.repository import TOP, RepositoryState, StorageFetch
from orlop.publish.serve import server
from orlop.publish.storage.blobs import blobs_at
from orlop.trust.http import fetcher


def show(
    channel: Annotated[str | None, typer.Argument(help="One channel; all of them unless given.")] = None,
    as_json: Annotated[bool, typer.Option("--json", help="As JSON.")] = False,
    home: HomeOption = DEFAULT,
) -> None:
    """The channels with their versions, and the roles with their keys and times."""
    state = Home(home).repository().load()
    moment = now()
    names = [channel] if channel else list(state.documents)
    channels = [_channel(state.document(name), moment) for name in names]
    roles = [_role(state, role) for role in (*TOP, *state.channels)]
    if as_json:
        typer.echo(json.dumps({"channels": channels, "roles": roles}, indent=2))
        return
    console = Console(highlight=False)
    for about in channels:
        table = Table("version", "spread", "what is said of it", title=about["channel"], title_justify="left")
        for v in about["versions"]:
            table.add_row(v["version"], f"{v['share']:.1%}", v["said"])
        console.print(table if about["versions"] else f"{about['channel']}: no version yet")
    if channel is None:
        table = Table("role", "version", "good until", "needs")
        called = Home(home).keyring().names
        for r in roles:
            ids = ", ".join(f"{called[i]} {i[:8]}" if i in called else i[:8] for i in r["keys"])
            table.add_row(r["role"], str(r["version"]), r["expires"], f"{r['threshold']} of {ids}")
        console.print(table)


def _channel(channel: Channel, moment: datetime) -> dict[str, Any]:
    return {
        "channel": channel.name,
        "changed": stamp(channel.changed),
        "minimum_secure": str(channel.minimum_secure) if channel.minimum_secure else None,
        "versions": [
            {
                "version": str(entry.version),
                "published": stamp(entry.published),
                "bytes": {image.arch: image.bytes for image in entry.images},
                "share": round(entry.rollout.share(moment), 6),
                "over": entry.rollout.over(moment),
                "said": said(entry, channel),
                "notes": entry.notes,
                "sbom": entry.sbom,
            }
            for entry in reversed(channel.entries)
        ],
    }


def said(entry: Entry, channel: Channel) -> str:
    """What a channel says of a version, in a few words."""
    parts = []
    if entry.pull_back:
        parts.append(f"pulled back to {entry.pull_back.to}: {entry.pull_back.reason}")
    if entry.halt:
        parts.append(f"halted: {entry.halt}")
    if entry.floor:
        parts.append(f"floor: {entry.floor}")
    if entry.dead_end:
        parts.append(f"dead end: {entry.dead_end}")
    if channel.minimum_secure is not None and entry.version < channel.minimum_secure:
        parts.append("insecure")
    parts += [f"own waves for group {name}" for name, _ in entry.groups]
    return "; ".join(parts)


def _role(state: RepositoryState, role: str) -> dict[str, Any]:
    signed = state.signed(role)
    return {
        "role": role,
        "version": signed.version,
        "expires": stamp(signed.expires),
        "threshold": state.threshold(role),
        "keys": state.keyids(role),
    }


def verify(
    url: Annotated[
        str | None, typer.Argument(help="http://…, https://… or a folder; the publisher's own unless given.")
    ] = None,
    root: Annotated[Path | None, typer.Option("--root", help="The first root, from an image or its publisher.")] = None,
    all_bytes: Annotated[bool, typer.Option("--bytes", help="Read every byte of every image too.")] = False,
    as_json: Annotated[bool, typer.Option("--json", help="As JSON.")] = False,
    home: HomeOption = DEFAULT,
) -> None:
    """Check a repository as an outsider: everything it promises, from the first root alone. Needs no key."""
    path = root or Home(home).root
    try:
        given = path.read_bytes()
    except OSError as e:
        raise Missing(
            f"the root {path} cannot be read: {e.strerror}", hint="--root names the first root.json"
        ) from None
    if url:
        fetch, blobs = fetcher(url), blobs_at(url)
    else:
        blobs = Home(home).storage
        fetch = StorageFetch(blobs)
    found = []
    for finding in audit(fetch, blobs, given, now(), bytes_too=all_bytes):
        found.append(finding)
        if not as_json:
            mark = "✗" if not finding.good else "!" if finding.soon else "✓"
            typer.echo(f"{mark} {finding.what}" + (": renew it" if finding.soon and finding.good else ""))
    if as_json:
        typer.echo(json.dumps({"good": all(f.good for f in found), "findings": [asdict(f) for f in found]}, indent=2))
    _judge(found, url or str(home))


def _judge(found: Sequence[AuditFinding], place: str) -> None:
    """Raise unless all is good."""
    bad = [finding for finding in found if not finding.good]
    if any(finding.unreached for finding in bad):
        raise Missing(
            f"{place} could not be checked: there is no repository, or it does not answer",
            hint="see ✗ above; check the address, and the network on the way",
        )
    if bad:
        raise BadInput(
            f"{len(bad)} of what it promises {'is' if len(bad) == 1 else 'are'} not so",
            hint="see ✗ above; `orlop release repair` stores the blobs of a published image anew",
        )


def serve(
    home: HomeOption = DEFAULT,
    host: Annotated[str, typer.Option("--host", help="The address to listen on.")] = "127.0.0.1",
    port: Annotated[int, typer.Option("--port", help="0 takes a free one.", min=0, max=65535)] = 8000,
) -> None:
    """Serve the repository to machines nearby, to try it. Ctrl-C ends it."""
    repo = Home(home).repo
    if not repo.is_dir():
        raise Missing(f"{home} holds no repository", hint="orlop release init")
    try:
        listening = server(repo, host, port)
    except OSError as e:
        raise Busy(
            f"{host}:{port} cannot be listened on: {e.strerror}", hint="choose another one with --port"
        ) from None
    typer.echo(f"http://{host}:{listening.server_address[1]}/")
    with listening:
        listening.serve_forever()
