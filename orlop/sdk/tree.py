"""Make the SDK tree: downloads that resume, a folder that is whole or not there.

Lifetime: `.orlop/sdk` is keyed by the hash of `packages.list` (kept inside as `orlop-key`) and lives until that
changes. It is made beside its final place and renamed, so a tree that can be seen is a tree that is complete.
Packages stay in `.orlop/cache/sdk-packages`, so what an interrupted run had downloaded is not downloaded again.

Invariant: what mmdebstrap mounts (the package cache, /proc, /sys, parts of /dev) is mounted in a mount namespace of its
own, and every process there is killed when this one ends, even by SIGKILL. So no mount can outlive a run and be
walked into when its half-made tree is removed.
"""

from __future__ import annotations

import hashlib
import os
import re
import shlex
import shutil
from pathlib import Path

from orlop.errors import CommandFailed, Missing
from orlop.files import locked, made_beside, need_space, remove_tree
from orlop.processes import run
from orlop.sdk.sources import KEYRING, SUITE, Sources, from_host
from orlop.steps import Steps
from orlop.workspace import Workspace

PACKAGES = Path(__file__).with_name("packages.list")
KEY_FILE = "orlop-key"
NEEDED_BYTES = 2_500_000_000
FORMAT = 1  # raise to make every SDK anew when this module changes what it makes


def packages(text: str) -> list[str]:
    """The package names in a list file; `#` begins a comment."""
    names = [line.split("#", 1)[0].strip() for line in text.splitlines()]
    return [name for name in names if name]


def wanted_key(listing: Path = PACKAGES) -> str:
    text = "\n".join([str(FORMAT), SUITE, *sorted(packages(listing.read_text()))])
    return hashlib.sha256(text.encode()).hexdigest()


def is_current(sdk: Path, listing: Path = PACKAGES) -> bool:
    """Whether the tree at `sdk` is whole and made from today's package list."""
    try:
        return (sdk / KEY_FILE).read_text().strip() == wanted_key(listing)
    except (FileNotFoundError, NotADirectoryError):
        return False


def ensure(ws: Workspace, steps: Steps, listing: Path = PACKAGES) -> Path:
    """Return the SDK tree, making it first if it is missing or stale.

    `listing` is the file with its packages. Raises Missing (no mmdebstrap), NoSpace, Busy (another process is making
    it) or CommandFailed.
    """
    if is_current(ws.sdk, listing):
        return ws.sdk
    with locked(ws.state / "sdk.lock", "the SDK"):
        if is_current(ws.sdk, listing):
            return ws.sdk
        _need_host_tools()
        need_space(ws.state, NEEDED_BYTES, "making the SDK tree")
        names = packages(listing.read_text())
        title = f"Making the SDK tree: Debian {SUITE}, {len(names)} packages and what they need"
        with steps.step(title), made_beside(ws.sdk) as work:
            _bootstrap(work, names, ws, from_host())
            (work / KEY_FILE).write_text(wanted_key(listing) + "\n")
    return ws.sdk


def _need_host_tools() -> None:
    for tool, package in (("mmdebstrap", "mmdebstrap"), ("bwrap", "bubblewrap")):
        if shutil.which(tool) is None:
            raise Missing(
                f"{tool} is not installed on this machine",
                hint=f"`make setup` installs it, or: apt-get install {package}",
            )
    if not Path(KEYRING).is_file():
        raise Missing(f"{KEYRING} is not there", hint="apt-get install debian-archive-keyring")


def _bootstrap(work: Path, names: list[str], ws: Workspace, sources: Sources | None) -> None:
    tree, scratch = work / "tree", work / "scratch"
    scratch.mkdir()
    cache = ws.cache / "sdk-packages"
    cache.mkdir(parents=True, exist_ok=True)
    log = ws.state / "logs" / "sdk.log"
    try:
        argv = bootstrap_argv(tree, names, cache, sources)
        run(argv, what="making the SDK tree", log=log, env={"TMPDIR": str(scratch)})
    except CommandFailed as e:
        message = f"making the SDK tree failed (all of it in {log})"
        raise CommandFailed(message, code=e.code, tail=e.tail, hint=hint_for(e.tail)) from None
    # mmdebstrap makes its target itself; the tree's own top folders become `work`
    for entry in tree.iterdir():
        os.rename(entry, work / entry.name)
    tree.rmdir()
    remove_tree(scratch)


def bootstrap_argv(tree: Path, names: list[str], cache: Path, sources: Sources | None) -> list[str]:
    """The mmdebstrap command, as root or as a user with subordinate ids.

    The package cache is a bind mount, so downloads survive an interruption. In the end everything belongs to the caller
    and no file is setuid: nothing needs more of a tree that is only read, and its maker can remove it.
    """
    archives = '"$1"/var/cache/apt/archives'
    # owners are changed after mmdebstrap has unmounted the host's /dev and /sys from the tree
    then_own = ["sh", "-c", '"$@" && chown -R -h 0:0 "$0"', str(tree)]
    argv = [*_private_namespaces(as_root=os.geteuid() == 0), *then_own]
    argv += [
        "mmdebstrap",
        "--mode=root",
        "--variant=minbase",
        "--format=directory",
        "--include=" + ",".join(names),
        '--aptopt=APT::Install-Recommends "false"',
        '--aptopt=APT::Sandbox::User "root"',
        '--aptopt=Acquire::Languages "none"',
        "--dpkgopt=path-exclude=/usr/share/doc/*",
        "--dpkgopt=path-exclude=/usr/share/man/*",
        "--dpkgopt=path-exclude=/usr/share/locale/*",
        "--skip=download/empty",
        "--skip=essential/unlink",
        f"--setup-hook=mkdir -p {archives} && mount --bind {shlex.quote(str(cache))} {archives}",
        f"--customize-hook=umount {archives}",
    ]
    argv += [f'--aptopt={name} "{value}"' for name, value in (sources.settings if sources else ())]
    argv += [SUITE, str(tree)]
    return argv + (sources.lines() if sources else [])


def _private_namespaces(*, as_root: bool) -> list[str]:
    """Run the rest with mounts and processes of its own; all of them end when the caller does."""
    argv = ["setpriv", "--pdeathsig", "KILL", "--", "unshare", "--mount", "--pid", "--fork", "--kill-child=KILL"]
    return [*argv, "--"] if as_root else [*argv, "--user", "--map-root-user", "--map-auto", "--"]


_HINTS = {
    r"No space left": "free some space, or set ORLOP_STATE to a folder on a larger disk",
    r"Temporary failure resolving|Could not connect|Connection (failed|refused|timed out)|Could not resolve": (
        "the package archive did not answer: check the network and this host's apt sources, then run the same again; "
        "what was downloaded is kept"
    ),
    r"NO_PUBKEY|not signed|Release file .* is not valid": (
        "this host's debian-archive-keyring may be too old: apt-get install --only-upgrade debian-archive-keyring"
    ),
    r"unshare|uid_map|subuid": (
        "unprivileged use needs user namespaces and an entry in /etc/subuid (package uidmap); or run as root"
    ),
}


def hint_for(tail: str) -> str:
    """What to do after mmdebstrap failed with these last lines."""
    for pattern, hint in _HINTS.items():
        if re.search(pattern, tail):
            return hint
    return "run the same again; what was downloaded is kept"
