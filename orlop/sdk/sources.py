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
        targets = _apt("apt-get", "indextargets", "--format", "$(REPO_URI)", "Created-By: Packages")
        settings = _apt("apt-config", "dump")
    except (FileNotFoundError, subprocess.CalledProcessError):
        return None
    return parse(targets.splitlines(), settings.splitlines())


def parse(uris: Iterable[str], dump: Iterable[str]) -> Sources | None:
    """`uris`: repository URIs, one an index; `dump`: the lines of `apt-config dump`."""
    main = security = None
    for uri in (u.strip().rstrip("/") for u in uris):
        last = uri.rsplit("/", 1)[-1]
        if last == "debian" and main is None:
            main = uri
        elif last == "debian-security" and security is None:
            security = uri
    if main is None or security is None:
        return None
    found = (_SETTINGS.match(line.strip()) for line in dump)
    return Sources(main, security, tuple((m[1], m[2]) for m in found if m))


def _apt(*argv: str) -> str:
    return subprocess.run(argv, check=True, capture_output=True, text=True, timeout=60).stdout
