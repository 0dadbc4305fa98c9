"""Do what was decided: a request to the others, options for etcd, a word to the host.

Invariant: each may be done again, and may be cut off anywhere: the next look finds what came of it.
"""

from __future__ import annotations

from dataclasses import dataclass, replace

from orlop.errors import OrlopError
from orlop.model.cluster.actions import (
    Action,
    Anew,
    Compact,
    Defragment,
    Disarm,
    Form,
    HandOver,
    Healing,
    Join,
    LeaveAlone,
    Offer,
    Promote,
    Readdress,
    Remove,
    Start,
)
from orlop.model.cluster.environment import MemberOptions, environment
from orlop.model.cluster.names import CANDIDATES
from orlop.node.cluster.etcd import Endpoint, StoreRefused
from orlop.node.cluster.host import ServerHost
from orlop.node.cluster.look import Look, Looker, host_of

CANDIDATE_SECONDS = 15  # of a candidate's lease: it offers itself more often


@dataclass(frozen=True)
class Doer:
    """`start`: of this machine's member, without others."""

    host: ServerHost
    machine: str
    start: MemberOptions

    def do(self, action: Action, look: Look, looker: Looker) -> str:
        """Returns what is to be said of it. Raises OrlopError: it was refused, or nobody answered."""
        match action:
            case HandOver() | Compact() | Defragment() | Disarm():
                self._heal(action, look, looker)
            case LeaveAlone():
                pass
            case Form():
                self._start(self.start)
            case Start():
                self._go_on(look)
            case Anew():
                self.host.forget_environment()
                self.host.ask("anew")
            case Join():
                return self._join(look, action)
            case Offer():
                self._offer(_through(look))
            case Promote(member=member):
                _through(look).promote(member.id)
            case Remove(member=member):
                _through(look).remove(member.id)
            case Readdress(member=member):
                _through(look).readdress(member.id, look.view.me.peer)
                self.host.forget_environment()
        return action.why

    def _heal(self, action: Healing, look: Look, looker: Looker) -> None:
        through = _through(look)
        match action:
            case HandOver(member=member):
                through.hand_over(member.id)
            case Compact(revision=revision):
                through.compact(revision)
                looker.compacted = revision
            case Defragment(member=member):
                try:
                    replace(through, host=host_of(member)).defragment()
                except OrlopError:
                    looker.could_not_defragment(member.id)
                    raise
            case Disarm(alarm=alarm):
                through.disarm(alarm)

    def _go_on(self, look: Look) -> None:
        if look.view.mine is not None and not look.view.me.has_data:
            self._start(self._joining(look))
        elif not self.host.has_environment():
            self._start(replace(self.start, joins=True))
        elif not self.host.is_asked():
            self.host.ask("start")

    def _join(self, look: Look, action: Join) -> str:
        """etcd adds nobody while one of its members is away: then this server waits as a candidate."""
        try:
            _through(look).add_learner(look.view.me.peer)
        except StoreRefused as e:
            self._offer(_through(look))
            return f"{action.why}, and it is not added yet: {e.message}"
        self._start(self._joining(look))
        return action.why

    def _offer(self, through: Endpoint) -> None:
        through.put(f"{CANDIDATES}{self.machine}", self.start.name, seconds=CANDIDATE_SECONDS)

    def _joining(self, look: Look) -> MemberOptions:
        return replace(self.start, others=look.view.members or (), joins=True)

    def _start(self, start: MemberOptions) -> None:
        self.host.write_environment(environment(start))
        self.host.ask("start")


def _through(look: Look) -> Endpoint:
    """Whom to ask: nothing is decided about members unless one with a quorum behind it said who they are."""
    assert look.through is not None
    return look.through
