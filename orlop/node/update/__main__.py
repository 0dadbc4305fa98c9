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
from functools import partial
from pathlib import Path

from orlop.cluster.lock import ClusterLock, LockTaker, is_in_cluster
from orlop.errors import Missing, OrlopError
from orlop.model.update.decide import Settings
from orlop.model.update.reboot import Off
from orlop.model.words.arch import of_machine
from orlop.net.notify import notify
from orlop.node.update import settings as configured
from orlop.node.update.api.server import ApiServer, Handlers
from orlop.node.update.blobs.fetch import Pace
from orlop.node.update.catalog.catalog import FollowedRepository, Following
from orlop.node.update.catalog.offers import Offers
from orlop.node.update.engine import Engine
from orlop.node.update.host import Host
from orlop.node.update.journal import Journal
from orlop.node.update.keys import root_keys
from orlop.node.update.loop import Loop
from orlop.node.update.outside import Catalog, Keeper, Outside
from orlop.node.update.settings import UpdateSettings
from orlop.node.update.slot.disk import open_disk
from orlop.node.update.slot.esp import EspFolder
from orlop.node.update.slot.writer import Writer

ESP = "boot"


def main() -> None:
    """For ever."""
    state = Path(os.environ.get("STATE_DIRECTORY", "/var/lib/orlop/update"))
    loop = compose(Host(), state)
    server = ApiServer(Handlers(loop.document, loop.metrics, loop.change))
    server.start()
    loop.run()


def compose(host: Host, state: Path) -> Loop:
    """The loop for the machine, or one that says why it cannot update."""
    settings, keys, problem = UpdateSettings(engine=Settings(strategy=Off())), None, ""
    try:
        settings = configured.load(host.top / configured.PLACE)
        keys = root_keys(host.top)
    except OrlopError as e:
        problem = e.message + (f" ({e.hint})" if e.hint else "")
    os.environ.update(settings.environment())
    pace = Pace(settings.bandwidth, alive=lambda: notify("WATCHDOG=1"))
    arch = of_machine(platform.machine()).name
    following = Following(settings.urls, settings.channel, settings.group, settings.pin, arch)
    offers = Offers(FollowedRepository(following, keys, state / "releases", secret(), pace=pace), state, pace)
    loop = Loop(partial(make_engine, host, state, settings, offers), offers, settings, host, problem=problem)
    if loop.problem:
        print(f"this machine does not update: {loop.problem}", file=sys.stderr, flush=True)
    return loop


def make_engine(host: Host, state: Path, settings: UpdateSettings, catalog: Catalog, keeper: Keeper) -> Engine:
    """As it is now on this machine. Raises Missing, DiskFault."""
    outside = Outside(
        now=lambda: datetime.now(UTC),
        catalog=catalog,
        reboot=keeper.reboot,
        health=host.health,
        sessions=host.sessions,
        lock=settings.reboot_lock(host.machine()) or cluster_lock(host.top),
        console=host.excerpt,
        repair=keeper.repair,
        go_on=keeper.go_on,
    )
    return Engine(make_writer(host), Journal(state), outside, settings.engine)


def cluster_lock(top: Path) -> ClusterLock | None:
    """A machine of a cluster takes the cluster's lock, unless its configuration names another one."""
    return ClusterLock(LockTaker.ENGINE, top) if is_in_cluster(top) else None


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


def secret() -> bytes:
    """What this machine is known by to itself: a credential that systemd hands over, systemd.exec(5)."""
    folder = os.environ.get("CREDENTIALS_DIRECTORY", "")
    try:
        return bytes.fromhex((Path(folder) / "machine-secret").read_text().strip())
    except (OSError, ValueError):
        return os.urandom(32)  # another place in every rollout after each start: better than the same on all machines


if __name__ == "__main__":
    main()
