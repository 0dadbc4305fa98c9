"""Where packages come from: the archive this host's own apt uses, and apt's own settings for reaching it.

Nothing in the repository names an archive host. On a Debian host the URIs of its apt configuration are taken (mirrors,
proxies and private certificate authorities keep working); elsewhere None is returned and mmdebstrap's and mkosi's
built-in defaults decide.
"""

from __future__ import annotations

import re
import subprocess
from collections.abc import Iterable
from dataclasses import dataclass

SUITE = "trixie"
KEYRING = "/usr/share/keyrings/debian-archive-keyring.gpg"

CODENAMES = ("bookworm", "trixie", "forky", "sid", "oldstable", "stable", "testing", "unstable")

_FORMAT = "$(REPO_URI)|$(RELEASE)|$(COMPONENT)|$(ORIGIN)"
_REMOTE = re.compile(r"(mirror\+|tor\+)?(https?|ftp)://\S+$")
_INDEX = re.compile(r"'(\S+?)/dists/(\S+)/([^/\s]+)/binary-[^/\s]+/Packages[.\w]*' ")
_SETTINGS = re.compile(
    r'^(Acquire::(?:https?::|Retries\b|Check-Valid-Until\b|Check-Date\b|ForceIPv[46]\b)[^"]*) "([^"]*)";$'
)


@dataclass(frozen=True)
class Sources:
    """`main` and `security` are archive URIs; `settings` are apt options as (name, value)."""

    main: str
    security: str
    settings: tuple[tuple[str, str], ...] = ()

    def lines(self) -> list[str]:
        """One-line sources.list entries for everything the image and the SDK are made from."""
        signed = f"[signed-by={KEYRING}]"
        return [
            f"deb {signed} {self.main} {SUITE} main",
            f"deb {signed} {self.main} {SUITE}-updates main",
            f"deb {signed} {self.security} {SUITE}-security main",
        ]

    def deb822(self) -> str:
        """The same as a `.sources` file."""
        stanza = "Types: deb\nURIs: {}\nSuites: {}\nComponents: main\nSigned-By: " + KEYRING + "\n"
        return "\n".join(
            [
                stanza.format(self.main, f"{SUITE} {SUITE}-updates"),
                stanza.format(self.security, f"{SUITE}-security"),
            ]
        )

    def apt_conf(self) -> str:
        return "".join(f'{name} "{value}";\n' for name, value in self.settings)


def from_host() -> Sources | None:
    """Read this host's apt configuration. None when it names no Debian archive, or the host has no apt."""
    try:
        fetched = _apt("apt-get", "indextargets", "--format", _FORMAT, "Created-By: Packages")
        settings = _apt("apt-config", "dump")
        configured = _apt("apt-get", "--print-uris", "update")
    except (FileNotFoundError, subprocess.SubprocessError):
        return None
    return parse([*fetched.splitlines(), *targets_of(configured.splitlines())], settings.splitlines())


def targets_of(uris: Iterable[str]) -> list[str]:
    """The lines of `apt-get --print-uris update` as lines for `parse`, their origin not known.

    apt speaks of an index as a target only once it was fetched: a host whose last `apt-get update` was cut short, or
    whose lists were removed in part, would seem to have no security archive.
    """
    matches = (_INDEX.match(line) for line in uris)
    return [f"{m[1]}|{m[2]}|{m[3]}|$(ORIGIN)" for m in matches if m]


def parse(targets: Iterable[str], dump: Iterable[str]) -> Sources | None:
    """`targets`: one index a line, as `URI|suite|component|origin`; `dump`: the lines of `apt-config dump`.

    A mirror may be called anything, so what counts is the suite it serves. `origin` is known once apt has fetched the
    index; until then a repository that uses Debian's suite names must at least look like Debian by its address.
    """
    main = security = None
    for line in targets:
        uri, suite, component, origin, *_ = [*line.strip().split("|"), "", "", ""]
        uri = uri.rstrip("/")
        known = origin if "$(" not in origin else ""
        if component != "main" or not _REMOTE.match(uri) or known not in ("", "Debian"):
            continue
        codename, _, pocket = suite.replace("/", "-").partition("-")
        if codename not in CODENAMES or not (known or "debian" in uri.lower()):
            continue
        if pocket == "security":
            security = security or uri
        elif pocket in ("", "updates"):
            main = main or uri
    if main is None or security is None:
        return None
    matches = (_SETTINGS.match(line.strip()) for line in dump)
    return Sources(main, security, tuple((m[1], m[2]) for m in matches if m))


def _apt(*argv: str) -> str:
    return subprocess.run(argv, check=True, capture_output=True, text=True, timeout=60).stdout
