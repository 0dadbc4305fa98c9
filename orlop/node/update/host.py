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
import re
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from orlop.errors import Missing
from orlop.files import write_atomic
from orlop.model.update.decide import Health
from orlop.model.update.memory import MAX_EXCERPT
from orlop.model.words.line import MAX_FAILURE, line
from orlop.model.words.version import Version
from orlop.node.update.slot.device import faults

LARGEST = 1 << 20  # bytes that are read of any such file
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
        match = _USRHASH.search(self.text("proc/cmdline"))
        if not match:
            raise Missing(
                "the kernel's command line has no usrhash=: this machine was not started from a slot",
                hint="install the machine from an Orlop image",
            )
        return match[1]

    def disk(self) -> Path:
        """The whole disk that /usr is on: the parent of a partition below dm-verity's device. Raises Missing."""
        for mapped in sorted((self.top / "sys/block").glob("dm-*")):
            if self.text(mapped / "dm/name").strip() != "usr":
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
        """The verdict on this boot; an older boot's file, or one that is not readable, is none.

        While something around the machine is waited for, there is a file that says so instead.
        """
        return self._verdict("run/orlop/health.json") or self._verdict("run/orlop/health-waits.json") or Health()

    def _verdict(self, path: str) -> Health | None:
        try:
            document = json.loads(self.text(path))
            if document["boot"] != self.boot_id():
                return None
            good = {"good": True, "bad": False, "waits": None}[document["verdict"]]
            failed = () if good else tuple(failures(document.get("checks", [])))
            return Health(good, line(str(document["reason"]), MAX_FAILURE), failed)
        except (ValueError, KeyError, TypeError, AttributeError, RecursionError):
            return None

    def hardware(self) -> list[str]:
        """What of the machine's disks was found not to be as it should be, when it was configured."""
        try:
            return [line(note, MAX_FAILURE) for note in json.loads(self.text("run/orlop/hardware.json"))]
        except (ValueError, TypeError, AttributeError, RecursionError):
            return []

    def boot_id(self) -> str:
        return self.text("proc/sys/kernel/random/boot_id").strip().replace("-", "")

    def sessions(self) -> int:
        """How many people are logged in: logind's sessions, and terminals over SSH, which logind is not told of."""
        known = self._entries("run/systemd/sessions")
        people = sum(self._is_person(path) for path in known if "." not in path.name)
        running = (path for path in self._entries("proc") if path.name.isdigit())
        return people + sum(bool(_SSH.match(self.text(path / "cmdline"))) for path in running)

    def _is_person(self, path: Path) -> bool:
        values = dict(line.split("=", 1) for line in self.text(path).splitlines() if "=" in line)
        return values.get("CLASS") in ("user", "user-early", "user-light") and values.get("STATE") != "closing"

    def machine(self) -> str:
        """An id that others may know: 32 hexadecimal digits, the same in every boot."""
        own = self.text("etc/machine-id").strip()
        return hmac.new(own.encode(), APP, hashlib.sha256).hexdigest()[:32]

    def excerpt(self, version: Version) -> str:
        """What was kept of the console when a version failed."""
        return self.text(f"var/lib/orlop/failures/{version}.txt")[-MAX_EXCERPT:]

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

    def text(self, path: str | Path) -> str:
        """Empty when it is not there."""
        try:
            with (self.top / path).open("rb") as f:
                return f.read(LARGEST).decode(errors="replace")
        except OSError:
            return ""


def failures(checks: list[dict[str, Any]]) -> Iterator[str]:
    """What failed, in the words of `orlop.model.update.blame`: `KIND`, or `KIND:ABOUT` for each thing it is about."""
    for check in checks:
        if check["ok"] is not True and "kind" in check:
            abouts = line(str(check.get("about", "")), MAX_FAILURE).split()
            yield from (f"{check['kind']}:{about}" for about in abouts) if abouts else [str(check["kind"])]
