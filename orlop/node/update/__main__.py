"""Start `orlop-update`: put the parts together on this machine.

What cannot be put together (settings that are wrong, a disk without slots) does not end it: the API then says why this
machine does not update.
"""

from __future__ import annotations

import os
import platform
import sys
from datetime import UTC, datetime
from pathlib import Path

from orlop.errors import Missing, OrlopError
from orlop.model.decide import Settings
from orlop.model.memory import Memory
from orlop.model.reboot import Off
from orlop.model.version import Version
from orlop.node.update import settings as configured
from orlop.node.update.api import Deeds, Server
from orlop.node.update.catalog import Following, Myself, Repository
from orlop.node.update.daemon import Daemon
from orlop.node.update.disk import open_disk
from orlop.node.update.engine import Engine, Outside
from orlop.node.update.esp import EspFolder
from orlop.node.update.fetch import Pace
from orlop.node.update.host import Host, notify
from orlop.node.update.journal import Journal
from orlop.node.update.offers import Offers
from orlop.node.update.settings import UpdateSettings
from orlop.node.update.writer import Writer

ESP = Path("/boot")
ROOTS = (Path("/etc/orlop/root.json"), Path("/usr/share/orlop/root.json"))
ARCH = {"x86_64": "x86-64", "aarch64": "arm64"}


def main() -> None:
    """For ever."""
    state = Path(os.environ.get("STATE_DIRECTORY", "/var/lib/orlop/update"))
    daemon = compose(Host(), state)
    server = Server(Deeds(daemon.document, daemon.metrics, daemon.change))
    server.start()
    daemon.run()


def compose(host: Host, state: Path) -> Daemon:
    """A daemon for the machine, or one that says why it cannot update."""
    found, problem = UpdateSettings(engine=Settings(strategy=Off())), ""
    try:
        found = configured.load()
    except OrlopError as e:
        problem = e.message
    os.environ.update(found.environment())
    pace = Pace(found.bandwidth, alive=lambda: notify("WATCHDOG=1"))
    made: list[Engine] = []
    running: list[Version] = []

    def memory() -> Memory:
        return made[0].memory if made else Memory()

    def now() -> datetime:
        return datetime.now(UTC)

    myself = Myself(secret(), now, lambda: running[0], memory)

    def repository(urls: tuple[str, ...]) -> Repository:
        following = Following(urls, found.channel, found.group, found.pin, ARCH.get(platform.machine(), ""))
        return Repository(following, root_keys(), state / "releases", myself, pace=pace)

    offers = Offers(repository(found.urls), state, lambda url: repository((url,)), pace)
    try:
        if problem:
            raise OrlopError(problem)
        writer = make_writer(host)
        running.append(writer.running)
        outside = Outside(
            now, offers, host.reboot, host.health, host.sessions, found.reboot_lock(host.machine()), host.excerpt
        )
        made.append(Engine(writer, Journal(state), outside, found.engine))
    except OrlopError as e:
        problem = e.message
        print(f"this machine does not update: {problem}", file=sys.stderr, flush=True)
    return Daemon(made[0] if made else None, offers, found, host, problem=problem)


def make_writer(host: Host) -> Writer:
    """For the disk that this machine runs from. Raises Missing when it is not one that can be updated."""
    disk = open_disk(host.disk(), host.running_hash())
    version = disk.slots()[0].version
    if version is None:
        raise Missing(
            "the slot that runs is not labelled with a version", hint="install the machine from an Orlop image"
        )
    return Writer(disk, EspFolder(ESP), version)


def root_keys() -> bytes | None:
    """The configuration's come before the image's."""
    return next((path.read_bytes() for path in ROOTS if path.is_file()), None)


def secret() -> bytes:
    """What this machine is known by to itself: a credential that systemd hands over, systemd.exec(5)."""
    folder = os.environ.get("CREDENTIALS_DIRECTORY", "")
    try:
        return bytes.fromhex((Path(folder) / "machine-secret").read_text().strip())
    except (OSError, ValueError):
        return os.urandom(32)  # another place in every rollout after each start: better than the same on all machines


if __name__ == "__main__":
    main()
