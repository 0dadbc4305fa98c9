"""`orlop release`: making a repository, and its keys one by one."""

from __future__ import annotations

import os
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path
from typing import Annotated

import typer

from orlop.cli.release.home import DEFAULT, Home, HomeOption, new_passphrase, now, passphrases
from orlop.cli.session import steps
from orlop.errors import BadInput
from orlop.files import locked_folder, made_beside, write_atomic
from orlop.model.release.channel import STANDARD, check_name
from orlop.net.s3 import Credentials
from orlop.publish.keys import keys
from orlop.publish.keys.keys import KeyFile, Keyring
from orlop.publish.repository.repository import must_be_new
from orlop.publish.roots import ceremony
from orlop.publish.roots.rotation import ONLINE
from orlop.publish.storage.s3 import S3Storage

key_app = typer.Typer(help="Keys: make one, use one from elsewhere, give away its public half.", no_args_is_help=True)


def init(
    ctx: typer.Context,
    home: HomeOption = DEFAULT,
    channel: Annotated[list[str] | None, typer.Option("--channel", help="Its channels; may be repeated.")] = None,
    root_keys: Annotated[int, typer.Option("--root-keys", help="How many root keys to make.", min=1, max=20)] = 3,
    threshold: Annotated[int, typer.Option("--threshold", help="How many of them sign a root.", min=1)] = 2,
    root_key: Annotated[
        list[Path] | None,
        typer.Option(
            "--root-key", help="Public half of a root key made elsewhere; may be repeated. None is made here."
        ),
    ] = None,
    storage: Annotated[
        str | None, typer.Option("--storage", help="Keep it there: s3://BUCKET/PREFIX, then ?endpoint=URL&region=NAME.")
    ] = None,
    dry_run: Annotated[bool, typer.Option("--dry-run", help="Say what would be made, and make nothing.")] = False,
) -> None:
    """Make a repository and its keys. With --root-key the first root is a draft for the others to sign."""
    channels = [check_name(name) for name in channel or STANDARD]
    _must_be_empty(home)
    given = [keys.read(path).public_half for path in root_key or []]
    if dry_run:
        count = len({key.keyid for key in given}) or root_keys
        ceremony.check_threshold(threshold, count)
        must_be_new(S3Storage(storage, Credentials.find()) if storage else Home(home).storage)
        typer.echo(f"{storage or home / 'repo'} would be a repository with the channels {', '.join(channels)}")
        typer.echo(f"a root would be signed by {threshold} of {count} keys, {'given' if given else 'made here'}")
        typer.echo("no machine follows it yet")
        return
    ceremony.check_threshold(threshold, len({key.keyid for key in given}) or root_keys)
    words = new_passphrase()
    moment = now()
    with steps(ctx).step("Making keys"), _fresh(home) as work, ExitStack() as held:
        new_home = Home(work)
        if storage:
            write_atomic(new_home.address, storage + "\n")
            held.enter_context(new_home.locked())
        must_be_new(new_home.storage)
        salt = keys.new_salt()
        roots = given or [keys.generate(f"root-{n}", words, salt) for n in range(1, root_keys + 1)]
        own = {name: keys.generate(name, words, salt) for name in (*ONLINE, *channels)}
        draft = ceremony.first({"root": roots, **{role: [own[role]] for role in ONLINE}}, threshold, moment)
        for key in own.values():
            keys.write(new_home.keys, key)
        for key in roots:
            keys.write(new_home.root_keys, key)
        if given:
            write_atomic(new_home.draft, ceremony.encode(draft))
        else:
            ring = Keyring([new_home.keys, new_home.root_keys], lambda _: [words])
            ceremony.sign(draft, ring)
            write_atomic(new_home.root, ceremony.encode(draft))
            ceremony.create(new_home.repository(ring), draft, {name: own[name] for name in channels}, moment)
        work.chmod(0o700)
    if given:
        typer.echo(f"{Home(home).draft}: the first root, to be signed by {threshold} of {len(roots)} root keys")
        typer.echo("next, with each of those keys: orlop release root sign; then: orlop release root apply")
        return
    typer.echo(f"{storage or home / 'repo'} is a repository with the channels {', '.join(channels)}")
    typer.echo(f"{home}/root.json goes into images; take the keys in {home}/root-keys away to {len(roots)} safe places")


@contextmanager
def _fresh(home: Path) -> Iterator[Path]:
    """A folder that becomes `home`, while nobody else may make it."""
    with locked_folder(home.parent, f"the folder {home.parent}"):
        _must_be_empty(home)
        with made_beside(home) as work:
            yield work


def _must_be_empty(home: Path) -> None:
    if os.path.lexists(home) and not (home.is_dir() and not any(home.iterdir())):
        raise BadInput(f"{home} is not empty", hint="choose another folder with --home: nothing was changed")


@key_app.command("new")
def key_new(
    name: Annotated[str, typer.Argument(help="What to call it, for example root-anna.")],
    out: Annotated[Path, typer.Option("--out", help="The folder for it.")] = Path(),
) -> None:
    """Make a key, encrypted by a passphrase, and a file with its public half."""
    key = keys.generate(_named(name), new_passphrase())
    path = keys.write(out, key)
    typer.echo(path)
    _write_public(path, key)


@key_app.command("command")
def key_command(
    name: Annotated[str, typer.Argument(help="What to call it.")],
    public: Annotated[str, typer.Argument(help="Its Ed25519 public key, 64 hexadecimal digits.")],
    command: Annotated[list[str], typer.Argument(help="The program that signs, after --.")],
    out: Annotated[Path, typer.Option("--out", help="The folder for it.")] = Path(),
) -> None:
    """Use a key that a program signs with: payload on its input, signature in hexadecimal on its output."""
    key = keys.by_command(_named(name), public, command)
    path = keys.write(out, key)
    typer.echo(path)
    _write_public(path, key)


@key_app.command("public")
def key_public(path: Annotated[Path, typer.Argument(help="A key.")]) -> None:
    """Write the public half of a key beside it."""
    _write_public(path, keys.read(path))


@key_app.command("passphrase")
def key_passphrase(paths: Annotated[list[Path], typer.Argument(metavar="FILE…", help="The keys.")]) -> None:
    """Give keys another passphrase, all or none of them. Copies kept elsewhere stay as they are."""
    read = [(path, keys.read(path)) for path in paths]
    held = [(path.resolve(), key) for path, key in read]  # behind links, which stay
    for path, key in held:
        if not key.box:
            raise BadInput(f"{path} has no passphrase: its private half is not in it", hint="nothing was changed")
    ring = Keyring([], passphrases)
    old = [ring.passphrase(key) for _, key in held]
    new, salt = new_passphrase(), keys.new_salt()
    changed = [keys.change_passphrase(key, words, new, salt) for (_, key), words in zip(held, old, strict=True)]
    for (path, _), key in zip(held, changed, strict=True):
        write_atomic(path, keys.encode(key), mode=0o600)
        typer.echo(path)


def _named(name: str) -> str:
    if not name or len(name) > 40 or not all(c.isascii() and (c.isalnum() or c in "-_") for c in name):
        raise BadInput(f"{name!r} is not a valid key name", hint="letters, digits, - and _, at most 40")
    return name


def _write_public(path: Path, key: KeyFile) -> None:
    """And say the whole id: it is what the key's owner looks for in a root."""
    out = path.with_suffix(".pub")
    write_atomic(out, keys.encode(key.public_half))
    typer.echo(out)
    typer.echo(f"key id {key.keyid}")
