"""What the engine knows of the machine it runs on, and the one thing it asks of it: a reboot.

Everything is read from the kernel's and systemd's files, because a system container has no program of the host and
no bus. Nothing here is kept: each call reads anew. Sources: sd-login(3), whose files in /run/systemd/sessions are read
as libsystemd does; and app specific ids, sd_id128_get_machine_app_specific(3), which give nothing away of the id that
they are made from.
"""

from __future__ import annotations

import hashlib
import hmac
import json
import os
import re
from dataclasses import dataclass
from pathlib import Path

from orlop.errors import Missing
from orlop.files import write_atomic
from orlop.model.decide import Health
from orlop.model.line import MAX_FAILURE, line
from orlop.model.memory import MAX_EXCERPT
from orlop.model.version import Version
from orlop.node.update.device import faults

LARGEST = 1 << 20  # bytes that are read of any such file
MAX_WORDS = 1000  # characters that systemd is told at a time
APP = b"orlop-update"
_SSH = re.compile(r"sshd(-session)?: [^ @]+@pts/\d+")  # how sshd calls the process of a session with a terminal
_USRHASH = re.compile(r"(?:^|\s)usrhash=([0-9a-f]{64})(?:\s|$)")


@dataclass(frozen=True)
class Host:
    """`top` is where the machine's /proc, /sys, /run, /etc and /var are; `asked` is the file that asks for a reboot."""

    top: Path = Path("/")
    asked: Path = Path("run/orlop/update/reboot")

    def running_hash(self) -> str:
        """The root hash of the /usr that runs. Raises Missing."""
        found = _USRHASH.search(self._text("proc/cmdline"))
        if not found:
            raise Missing(
                "the kernel's command line has no usrhash=: this is no machine that was started from a slot",
                hint="install the machine from an Orlop image",
            )
        return found[1]

    def disk(self) -> Path:
        """The whole disk that /usr is on: the parent of a partition below dm-verity's device. Raises Missing."""
        for mapped in sorted((self.top / "sys/block").glob("dm-*")):
            if self._text(mapped / "dm/name").strip() != "usr":
                continue
            for part in self._entries(mapped / "slaves"):
                above = part.resolve()
                if (above / "partition").exists():
                    return self.top / "dev" / above.parent.name
        raise Missing(
            "/usr is not on dm-verity over a partition: updates are made to the disk that the machine runs from",
            hint="install the machine from an Orlop image",
        )

    def health(self) -> Health:
        """The verdict on this boot; an older boot's file, or one that is not readable, is none."""
        try:
            found = json.loads(self._text("run/orlop/health.json"))
            if found["boot"] != self.boot_id():
                return Health()
            return Health({"good": True, "bad": False}[found["verdict"]], line(str(found["reason"]), MAX_FAILURE))
        except (ValueError, KeyError, TypeError, RecursionError):
            return Health()

    def boot_id(self) -> str:
        return self._text("proc/sys/kernel/random/boot_id").strip().replace("-", "")

    def sessions(self) -> int:
        """How many people are logged in: logind's sessions, and terminals over SSH, which logind is not told of."""
        known = self._entries("run/systemd/sessions")
        people = sum(self._is_person(path) for path in known if "." not in path.name)
        running = (path for path in self._entries("proc") if path.name.isdigit())
        return people + sum(bool(_SSH.match(self._text(path / "cmdline"))) for path in running)

    def _is_person(self, path: Path) -> bool:
        values = dict(line.split("=", 1) for line in self._text(path).splitlines() if "=" in line)
        return values.get("CLASS") in ("user", "user-early", "user-light") and values.get("STATE") != "closing"

    def machine(self) -> str:
        """An id that others may know: 32 hexadecimal digits, the same in every boot."""
        own = self._text("etc/machine-id").strip()
        return hmac.new(own.encode(), APP, hashlib.sha256).hexdigest()[:32]

    def excerpt(self, version: Version) -> str:
        """What was kept of the console when a version failed."""
        return self._text(f"var/lib/orlop/failures/{version}.txt")[-MAX_EXCERPT:]

    def reboot(self) -> None:
        """Ask for it; the machine then goes down as with `systemctl reboot`. Raises NoSpace, DiskFault."""
        with faults(self.top / self.asked):
            write_atomic(self.top / self.asked, "")

    def _entries(self, folder: str | Path) -> list[Path]:
        """What is in a folder; nothing when it is not there."""
        try:
            return sorted((self.top / folder).iterdir())
        except OSError:
            return []

    def _text(self, path: str | Path) -> str:
        """Empty when it is not there."""
        try:
            with (self.top / path).open("rb") as f:
                return f.read(LARGEST).decode(errors="replace")
        except OSError:
            return ""


def notify(words: str, *, address: str | None = None) -> None:
    """Tell systemd, as sd_notify(3), one of `READY=1`, `STATUS=…`, `WATCHDOG=1`. Without systemd, nothing.

    It is sent as one line, whatever is in it: a second one would be another message.
    """
    import socket  # slow to load where machines are emulated, and not needed to look at a disk

    where = os.environ.get("NOTIFY_SOCKET") if address is None else address
    if not where:
        return
    with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM | socket.SOCK_CLOEXEC) as to:
        try:
            to.connect("\0" + where[1:] if where.startswith("@") else where)
            to.send(line(words, MAX_WORDS).encode())
        except OSError:
            return  # who is not there to hear it needs not be told
