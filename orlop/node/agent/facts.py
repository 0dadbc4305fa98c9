"""How this machine is, for its report: read anew each time, from files that others keep."""

from __future__ import annotations

import ipaddress
import json
import re
import socket
import struct
from contextlib import suppress
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path

from orlop.errors import OrlopError
from orlop.model.cluster.machine import MOST_ADDRESSES, MachineReport
from orlop.model.cluster.names import machine_of
from orlop.model.words.line import line
from orlop.net.local.client import ask

SECONDS = 5.0
_MOST_REASON = 500


@dataclass(frozen=True)
class MachineFacts:
    """`top` is where the machine's /etc, /proc and /run are."""

    top: Path = Path("/")

    def machine(self) -> str:
        return machine_of(self._text("etc/machine-id"))

    def host(self) -> str:
        return line(socket.gethostname(), 64) or "?"

    def boot(self) -> str:
        """The kernel's id of this boot."""
        return self._text("proc/sys/kernel/random/boot_id").strip()

    def engine_lock(self) -> str:
        """What the update engine says of its reboot lock; "" when it does not run here, or does not answer."""
        with suppress(OrlopError):
            _, told = ask(self.top / "run/orlop/update.sock", "GET", "/v1/status", None, SECONDS)
            return str(told.get("reboot_lock"))
        return ""

    def report(self, now: datetime) -> MachineReport:
        verdict, reason = self._verdict()
        return MachineReport(
            self.machine(), self.boot(), self._version(), verdict, reason,
            tuple(addresses()[:MOST_ADDRESSES]), now.replace(microsecond=0),
        )  # fmt: skip

    def _version(self) -> str:
        found = re.search(r'^IMAGE_VERSION="?([^"\n]+)', self._text("etc/os-release"), re.MULTILINE)
        return line(found[1], 20) if found else "?"

    def _verdict(self) -> tuple[str, str]:
        """Of this boot: another boot's file cannot be there, /run is new at each."""
        for name in ("health.json", "health-waits.json"):
            with suppress(ValueError, KeyError, TypeError, RecursionError):
                told = json.loads(self._text(f"run/orlop/{name}"))
                verdict = {"good": "good", "bad": "bad", "waits": "waiting"}[told["verdict"]]
                return verdict, "" if verdict == "good" else line(str(told["reason"]), _MOST_REASON)
        return "waiting", "there is no verdict on this boot yet"

    def _text(self, path: str) -> str:
        try:
            return (self.top / path).read_text()
        except OSError:
            return ""


def addresses() -> list[str]:
    """Of all interfaces, each once: those that others may reach, in the order the kernel gives them."""
    found: dict[str, None] = {}
    with suppress(OSError), socket.socket(socket.AF_NETLINK, socket.SOCK_RAW, socket.NETLINK_ROUTE) as s:
        s.settimeout(2.0)
        # RTM_GETADDR, NLM_F_REQUEST | NLM_F_DUMP: rtnetlink(7)
        s.send(struct.pack("=LHHLLBBBBL", 24, 22, 0x301, 1, 0, 0, 0, 0, 0, 0))
        while True:
            raw = s.recv(1 << 16)
            more = _addresses_in(raw, found)
            if not more:
                break
    return list(found)


def _addresses_in(raw: bytes, found: dict[str, None]) -> bool:
    """Whether more messages follow."""
    while len(raw) >= 16:
        size, kind = struct.unpack_from("=LH", raw)
        if kind != 20 or size < 24:  # RTM_NEWADDR; NLMSG_DONE and an error end it
            return False
        attributes = raw[24:size]
        while len(attributes) >= 4:
            length, attribute = struct.unpack_from("=HH", attributes)
            if attribute == 1 and length in {8, 20}:  # IFA_ADDRESS
                address = ipaddress.ip_address(attributes[4:length])
                if not (address.is_loopback or address.is_link_local):
                    found[str(address)] = None
            attributes = attributes[max(4, (length + 3) & ~3) :]
        raw = raw[(size + 3) & ~3 :]
    return True
