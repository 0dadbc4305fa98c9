"""Start `orlop-update`: put the parts together on this machine.

What cannot be put together (settings that are wrong, keys that cannot be read, a disk without slots) does not end it:
the API then says why this machine does not update. What is wrong in /etc stays so until the next boot, because /etc is
sealed; what is wrong with the disk is tried again.
"""

from __future__ import annotations

import os
import platform
import sys
from datetime import UTC, datetime
from pathlib import Path

from orlop.errors import BadInput, Missing, OrlopError
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

ESP = "boot"
ROOTS = ("etc/orlop/root.json", "usr/share/orlop/root.json")  # the configuration's come before the image's
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
    found, keys, problem = UpdateSettings(engine=Settings(strategy=Off())), None, ""
    try:
        found = configured.load(host.top / configured.PLACE)
        keys = root_keys(host)
    except OrlopError as e:
        problem = e.message + (f" ({e.hint})" if e.hint else "")
    os.environ.update(found.environment())
    pace = Pace(found.bandwidth, alive=lambda: notify("WATCHDOG=1"))
    made: list[Engine] = []
    running: list[Version] = []

    def memory() -> Memory:
        return made[-1].memory if made else Memory()

    def now() -> datetime:
        return datetime.now(UTC)

    myself = Myself(secret(), now, lambda: running[-1], memory)

    def repository(urls: tuple[str, ...]) -> Repository:
        following = Following(urls, found.channel, found.group, found.pin, ARCH.get(platform.machine(), ""))
        return Repository(following, keys, state / "releases", myself, pace=pace)

    offers = Offers(repository(found.urls), state, lambda url: repository((url,)), pace)

    def engine() -> Engine:
        writer = make_writer(host)
        running.append(writer.running)
        lock = found.reboot_lock(host.machine())
        outside = Outside(now, offers, host.reboot, host.health, host.sessions, lock, host.excerpt)
        made.append(Engine(writer, Journal(state), outside, found.engine))
        return made[-1]

    daemon = Daemon(None, offers, found, host, problem=problem, again=None if problem else engine)
    daemon.begin()
    if daemon.problem:
        print(f"this machine does not update: {daemon.problem}", file=sys.stderr, flush=True)
    return daemon


def make_writer(host: Host) -> Writer:
    """For the disk that this machine runs from. Raises Missing when it is not one that can be updated, DiskFault."""
    disk = open_disk(host.disk(), host.running_hash())
    try:
        version = disk.slots()[0].version
        if version is None:
            raise Missing(
                "the slot that runs is not labelled with a version", hint="install the machine from an Orlop image"
            )
        return Writer(disk, EspFolder(host.top / ESP), version)
    except OrlopError:
        disk.close()
        raise


def root_keys(host: Host) -> bytes | None:
    """None when there are none. Raises BadInput when there are some, and they cannot be read."""
    for path in (host.top / name for name in ROOTS):
        try:
            return path.read_bytes()
        except FileNotFoundError:
            continue
        except OSError as e:
            hint = "give it mode 0644 in the machine's configuration: it holds no secret"
            raise BadInput(f"{path} cannot be read: {e.strerror}", hint=hint) from None
    return None


def secret() -> bytes:
    """What this machine is known by to itself: a credential that systemd hands over, systemd.exec(5)."""
    folder = os.environ.get("CREDENTIALS_DIRECTORY", "")
    try:
        return bytes.fromhex((Path(folder) / "machine-secret").read_text().strip())
    except (OSError, ValueError):
        return os.urandom(32)  # another place in every rollout after each start: better than the same on all machines


if __name__ == "__main__":
    main()
