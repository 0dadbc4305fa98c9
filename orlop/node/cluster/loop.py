"""`orlop-cluster`: look, decide, do, write down how it is; again.

Lifetime: the machine's, from boot to shutdown; it may be killed at any moment. It is quick while something is under way
and slow when all is well. Invariant: whatever is wrong is said in the status, and the next turn begins as if nothing
were.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import suppress
from dataclasses import replace
from datetime import UTC, datetime

from orlop.cluster.settings import ClusterSettings, certificate, secret
from orlop.errors import OrlopError
from orlop.model.cluster import status as statuses
from orlop.model.cluster.actions import Action, Form, LeaveAlone, Offer, Promote
from orlop.model.cluster.decide import decide
from orlop.model.cluster.environment import MemberOptions
from orlop.model.cluster.member import CORRUPT, NOSPACE, Member, Myself, member_name
from orlop.model.cluster.names import (
    CA_PLACE,
    ID_KEY,
    NAME_KEY,
    PEER_PORT,
    SIZE_KEY,
    STORE_CA_KEY_PLACE,
    STORE_CA_PLACE,
    url,
)
from orlop.model.cluster.status import ClusterStatus, MemberStatus
from orlop.model.cluster.token import der, fingerprint
from orlop.model.words.line import line
from orlop.model.words.strict import stamp
from orlop.net.notify import notify
from orlop.node.cluster import memory as memories
from orlop.node.cluster import tls
from orlop.node.cluster.act import Doer
from orlop.node.cluster.etcd import MemberSaid
from orlop.node.cluster.host import ServerHost, addresses, own_address
from orlop.node.cluster.look import Look, Looker, host_of
from orlop.node.cluster.memory import ClusterMemory
from orlop.node.cluster.snapshots import SnapshotKeeper, SnapshotSource

WELL_SECONDS = 5.0
BUSY_SECONDS = 0.25  # while somebody is on the way in
SOON_SECONDS = 0.5  # while it is not well, and something happens
WAIT_SECONDS = 2.0  # while it is not well, and nothing has happened for QUIET_SECONDS
QUIET_SECONDS = 60.0
CLOCK_SECONDS = 5.0  # between two servers, of which a member says whole ones
MAX_SAID = 1000  # characters of a line of the log


class MembershipLoop:
    def __init__(
        self,
        host: ServerHost,
        settings: ClusterSettings,
        *,
        now: Callable[[], datetime] = lambda: datetime.now(UTC),
        clock: Callable[[], float] = time.monotonic,
        sleep: Callable[[float], None] = time.sleep,
        say: Callable[[str], None] = lambda text: print(line(text, MAX_SAID), flush=True),
    ) -> None:
        self._host, self._settings = host, settings
        self._now, self._sleep, self._say = now, sleep, say
        self._machine = host.machine()
        self._signer = tls.Signer(certificate(STORE_CA_PLACE, host.top), secret(STORE_CA_KEY_PLACE, host.top))
        self._memory = ClusterMemory()
        self._remembered = -1  # when what is remembered was written: `restore` writes it too
        self._is_named = False
        self._looker = Looker()
        self._said = ""
        self._clock = clock
        self._keeper = SnapshotKeeper(host, settings, self._machine, now=now)
        self._happened: object = None
        self._happened_at = clock()

    def run(self) -> None:
        """For ever."""
        notify("READY=1")
        while True:
            pause = self.turn()
            notify("WATCHDOG=1")
            self._sleep(pause)

    def turn(self) -> float:
        """One look and what follows; returns after how many seconds to look again."""
        try:
            status, pause = self._turn()
        except OrlopError as e:
            why = e.message + (f" ({e.hint})" if e.hint else "")
            status, pause = self._status(False, why), SOON_SECONDS
        except OSError as e:
            status, pause = self._status(False, f"{e.filename or 'a file'}: {e.strerror}"), WAIT_SECONDS
        if status.why != self._said:
            self._say(status.why)
            notify(f"STATUS={status.why}")
            self._said = status.why
        self._write(status)
        return pause

    def _turn(self) -> tuple[ClusterStatus, float]:
        settings, host = self._settings, self._host
        if (written := memories.written(host.state)) != self._remembered:
            self._memory, self._remembered = memories.read(host.state), written
        configured = addresses(settings.servers)
        address = settings.address or own_address(configured)
        if not address:
            return self._status(False, "this machine has no address that leads to other servers yet"), WAIT_SECONDS
        name = member_name(host.name(), self._machine)
        if why := tls.ensure(host.tls, self._signer, name, (address, host.name()), self._now()):
            self._say(f"a certificate for the store is made: {why}")
        others = [other for other in dict.fromkeys((*configured, *self._memory.hosts)) if other != address]
        me = Myself(
            self._machine,
            url(address, PEER_PORT),
            has_data=host.has_data(),
            cluster=self._memory.cluster,
            may_form=settings.form is not None,
            cannot_form=self._cannot_form(address),
            patience=settings.replace_after,
            full=host.disk_trouble(),
        )
        size = settings.form.servers if settings.form else 0
        look = self._looker.look(me, others, tls.context(host.tls), size)
        action = decide(look.view)
        doer = Doer(host, self._machine, MemberOptions(settings.name, name, address))
        try:
            why = doer.do(action, look, self._looker)
        except OrlopError as e:
            why = f"{action.why}, but {e.message}"
        self._remember(look)
        with suppress(OrlopError):  # a store that takes no writes now takes them later
            self._settle(look)
        is_well = isinstance(action, (Offer, LeaveAlone)) and action.is_well
        status = replace(self._status(is_well, why), snapshots=self._keeper.turn(_source(look)))
        return _seen(look, status), self._pause(action, look, is_well=is_well)

    def _cannot_form(self, address: str) -> str:
        """Of two machines with the first server's file one can make the store: the one that is first in the list."""
        form, servers = self._settings.form, self._settings.servers
        if form and self._now() >= form.until:
            return f"the time for it ended at {stamp(form.until)}"
        if form and not self._settings.address and address not in addresses(servers[:1]):
            return f"its address {address} is not the first of `servers`, {servers[0]}"
        return ""

    def _pause(self, action: Action, look: Look, *, is_well: bool) -> float:
        now = (type(action), look.view.members, look.view.leader)
        if now != self._happened:
            self._happened, self._happened_at = now, self._clock()
        if is_well:
            return WELL_SECONDS
        if isinstance(action, (Promote, Form)):
            return BUSY_SECONDS
        return SOON_SECONDS if self._clock() - self._happened_at < QUIET_SECONDS else WAIT_SECONDS

    def _settle(self, look: Look) -> None:
        """Who formed the cluster says in the store how large it is to be; from then on the store says it. Whose it is
        the leader's server says, also when it was restored from another one's snapshot.
        """
        form, mine = self._settings.form, look.view.mine
        if not (look.view.me.is_running and look.through and mine):
            return
        if form and not look.has_size:
            look.through.put(SIZE_KEY, str(form.servers))
        if look.view.leader == mine.id and not self._is_named:
            ca = fingerprint(der(certificate(CA_PLACE, self._host.top)))
            for key, value in ((NAME_KEY, self._settings.name), (ID_KEY, ca)):
                if look.through.get(key) != value:
                    look.through.put(key, value)
            self._is_named = True

    def _remember(self, look: Look) -> None:
        if look.view.mine is None or not look.view.me.is_running:
            return
        hosts = tuple(sorted(host_of(m) for m in look.view.members or ()))
        if (now := ClusterMemory(look.cluster, hosts)) != self._memory:
            memories.write(self._host.state, now)
            self._memory, self._remembered = now, memories.written(self._host.state)

    def _status(self, is_well: bool, why: str) -> ClusterStatus:
        return ClusterStatus(
            name=self._settings.name,
            role=self._settings.role,
            machine=self._machine,
            at=self._now(),
            is_well=is_well,
            why=line(why, MAX_SAID),
            ends=tls.ends(self._host.tls),
        )

    def _write(self, status: ClusterStatus) -> None:
        try:
            self._host.write_status(statuses.text(status))
        except (OSError, OrlopError) as e:
            self._say(f"how the cluster is could not be written down: {e}")


def _source(look: Look) -> SnapshotSource | None:
    """Where this server's snapshots are from: its own member, when that votes and answers."""
    mine = look.view.mine
    said = look.said.get(mine.id) if mine and look.view.me.is_running else None
    if mine is None or said is None or mine.is_learner or look.own is None:
        return None
    return SnapshotSource(look.own, said.revision, said.bytes, leads=look.view.leader == mine.id)


def _seen(look: Look, status: ClusterStatus) -> ClusterStatus:
    view = look.view
    members: Sequence[Member] = view.members or ()
    newest = max((said.applied for said in look.said.values()), default=0)
    return replace(
        status,
        size=view.size if look.has_size else 0,
        members=tuple(_member(member, look, newest) for member in members),
        waiting=sum(not any(m.is_of(c, "") for m in members) for c in view.candidates),
    )


def _member(member: Member, look: Look, newest: int) -> MemberStatus:
    said = look.said.get(member.id)
    return MemberStatus(
        name=member.name,
        host=host_of(member),
        is_learner=member.is_learner,
        is_leader=member.id == look.view.leader,
        answers=said is not None,
        behind=max(0, newest - said.applied) if said else 0,
        bytes=said.bytes if said else 0,
        bytes_used=said.bytes_used if said else 0,
        troubles=(*_alarms(member, look), *(_troubles(said) if said else ())),
        version=said.version if said else "",
    )


def _alarms(member: Member, look: Look) -> Iterator[str]:
    said = {NOSPACE: "its database is full", CORRUPT: "its data are not those of the others"}
    for alarm in sorted(look.view.alarms):
        if alarm.member == member.id:
            yield said.get(alarm.kind, alarm.kind)


def _troubles(said: MemberSaid) -> Iterator[str]:
    yield from said.troubles
    if said.clock and said.asked and abs(off := (said.clock - said.asked).total_seconds()) > CLOCK_SECONDS:
        yield f"its clock is {abs(off):.0f} s {'ahead of' if off > 0 else 'behind'} this server's"
