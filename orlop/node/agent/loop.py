"""`orlop-agent`: join when there is no certificate, report, renew, and listen to what is decided about this machine.

    no certificate ──token──→ join ──→ report every half minute ──a third of its life over──→ renew
                     ↑                       │
                     └──expelled: new key ───┘   (only when there is another token than it came in by)

What is decided comes by a stream, in a thread of its own; it is written where others on the machine read it,
AGENT_STATUS. Invariants: what fails is said once, and tried again at a moment of the machine's own; the pause grows to
a minute when nobody answers, so that a thousand machines do not meet at a server that has just come back.
"""

from __future__ import annotations

import json
import random
import threading
import time
from collections import deque
from collections.abc import Callable
from contextlib import suppress
from dataclasses import dataclass, field
from datetime import UTC, datetime
from pathlib import Path
from typing import Any, Protocol

from orlop.errors import BadInput, Missing, OrlopError
from orlop.files import write_atomic
from orlop.model.cluster.machine import REPORT_SECONDS
from orlop.model.cluster.names import CONTROL_PORT
from orlop.model.cluster.token import parse
from orlop.model.words.line import line
from orlop.net.errors import Unreachable
from orlop.net.notify import notify
from orlop.node.agent.control import ControlClient, RefusedByCluster, clock_words, trusted_ca
from orlop.node.agent.facts import MachineFacts
from orlop.node.agent.keys import MachineKeys, trusting
from orlop.node.agent.lock import AgentLock

FIRST_PAUSE, LONGEST_PAUSE = 1.0, 60.0
FIRST_STREAM_PAUSE = 0.4
REFUSED_PAUSE = 60.0  # people must do something first
LOOK_AT_LIFE_SECONDS = 3600.0
SOON_SECONDS = 5.0  # while other machines wait for the reboot lock that this one gives back when its boot is good
LONGEST_STREAM_PAUSE = 10.0


class Units(Protocol):
    """Who does this machine's units (orlop.node.agent.units.worker)."""

    def run(self) -> None: ...

    def hear(self, revision: int) -> None: ...

    def connected(self, *, is_so: bool) -> None: ...


MakeUnits = Callable[[str, Callable[[], ControlClient]], Units]


@dataclass
class AgentState:
    """What others on the machine may know. `decided`: the machine's record, as it was last heard."""

    cluster: str
    machine: str
    joined: bool = False
    connected: bool = False
    why: str = "it has not asked yet"
    decided: dict[str, Any] = field(default_factory=dict)

    def text(self) -> str:
        return json.dumps(self.__dict__) + "\n"


@dataclass
class AgentOutside:
    """Everything the loop needs of the world: the token it may join with, who it asks, and the time."""

    facts: MachineFacts
    keys: MachineKeys
    status: Path
    token: Callable[[], str]
    port: int = CONTROL_PORT
    now: Callable[[], datetime] = lambda: datetime.now(UTC)
    wait: Callable[[float], Any] = time.sleep
    say: Callable[[str], None] = lambda text: print(line(text, 1000), flush=True)
    random: Callable[[float, float], float] = random.uniform


class AgentLoop:
    def __init__(
        self,
        outside: AgentOutside,
        cluster: str,
        servers: tuple[str, ...],
        group: str = "",
        units: MakeUnits | None = None,
    ) -> None:
        """`group`: whose slots are counted when the machine reboots, "" for its role's."""
        self._outside = outside
        self.state = AgentState(cluster, outside.facts.machine())
        # one list for all that is asked: a server that is away is not asked first by the next one again. Each machine
        # begins at a server of its own, so that all of them share the machines
        self._servers = deque(servers)
        self._servers.rotate(int(self.state.machine, 16) % len(servers))
        self._lock = threading.Lock()
        self._pause = FIRST_PAUSE
        self._looked_at_life = -LOOK_AT_LIFE_SECONDS
        self._stop = threading.Event()
        self._listener: threading.Thread | None = None
        self.lock = AgentLock(
            outside.keys.folder, self.state.machine, group, outside.facts.boot, outside.now,
            lambda: self._client() if outside.keys.has_certificate else None, outside.say, outside.facts.engine_lock,
        )  # fmt: skip
        self._units = units(self.state.machine, self._client) if units is not None else None
        if self._units is not None:
            threading.Thread(target=self._units.run, daemon=True).start()

    def run(self) -> None:
        """For ever."""
        self._outside.status.unlink(missing_ok=True)  # what was so before this program began is not known any more
        notify("READY=1")
        while True:
            pause = self.turn()
            notify("WATCHDOG=1")
            self._outside.wait(pause)

    def turn(self) -> float:
        """One try of what is next; after how many seconds to look again."""
        try:
            if not self._outside.keys.has_certificate:
                self._join()
            self._renew()
            verdict = self._report()
            self._listen()
            self.lock.turn(verdict)
        except RefusedByCluster as e:
            return self._refused(e)
        except (OrlopError, OSError) as e:
            why = e.message if isinstance(e, OrlopError) else f"{e.filename or 'a file'}: {e.strerror}"
            clock = clock_words(self._servers, self._outside.port, why, self._outside.now())
            self._tell(connected=False, why=clock or self._ended() or why)
            pause, self._pause = self._pause, min(self._pause * 2, LONGEST_PAUSE)
            return self._outside.random(pause / 2, pause)
        self._pause = FIRST_PAUSE
        self._tell(joined=True, connected=True, why="")
        every = SOON_SECONDS if self.lock.is_due_soon else REPORT_SECONDS
        return self._outside.random(every * 0.8, every * 1.2)

    def _join(self) -> None:
        outside = self._outside
        token = parse(outside.token())
        ca = trusted_ca(self._servers, outside.port, token)
        wish = {
            "token": str(token), "machine": self.state.machine, "host": outside.facts.host(),
            "public_key": outside.keys.public_key(),
        }  # fmt: skip
        answer = ControlClient(self._servers, outside.port, trusting(ca)).ask("POST", "/v1/join", wish)
        outside.keys.keep(_field(answer, "certificate"), ca)
        outside.keys.remember(token.id)
        outside.say(f"this machine has joined cluster {self.state.cluster} as {self.state.machine}")

    def _renew(self) -> None:
        """When it is due. While nobody answers the old one is used, for as long as it is good."""
        outside, monotonic = self._outside, time.monotonic()
        if monotonic - self._looked_at_life < LOOK_AT_LIFE_SECONDS:
            return
        life = outside.keys.life()
        if why := life.due(outside.now()):
            if outside.now() >= life.ends and self._may_join():
                self._join()  # with the key it has: nobody takes one that has ended
                return
            body = {"public_key": outside.keys.public_key()}
            answer = self._client().ask("POST", f"/v1/machines/{self.state.machine}/certificate", body)
            outside.keys.keep(_field(answer, "certificate"), _field(answer, "ca"))
            outside.say(f"the machine's certificate is made anew: {why}")
        self._looked_at_life = monotonic

    def _ended(self) -> str:
        """Why nobody speaks to this machine any more, when it is that; a server may just hang up."""
        keys = self._outside.keys
        with suppress(OrlopError, OSError):
            if keys.has_certificate and self._outside.now() >= keys.life().ends:
                return (
                    "this machine's certificate has ended: it was off for longer than that lives; give it a newer "
                    "file, with a token that has not ended (orlop cluster token)"
                )
        return ""

    def _report(self) -> str:
        """The verdict on this boot."""
        report = self._outside.facts.report(self._outside.now())
        self._client().ask("PUT", f"/v1/machines/{self.state.machine}/report", report.shown())
        return report.verdict

    def _client(self) -> ControlClient:
        return ControlClient(self._servers, self._outside.port, self._outside.keys.context())

    def _refused(self, e: RefusedByCluster) -> float:
        """Expelled, never let in, or not known any more, as after a restore. By a token that it did not come by it may
        come back as somebody new; else people must act. One that is taken for a copy (409) keeps what it has.
        """
        self._tell(joined=False, connected=False, why=f"the cluster refuses this machine: {e.message}")
        if e.status in {403, 404} and self._outside.keys.has_certificate and self._may_join():
            self._outside.keys.forget()
        return self._outside.random(REFUSED_PAUSE * 0.8, REFUSED_PAUSE * 1.2)

    def _may_join(self) -> bool:
        """Whether there is a token that this machine has not come in by: somebody gave it a newer file."""
        try:
            return parse(self._outside.token()).id != self._outside.keys.came_by()
        except (BadInput, Missing):
            return False

    def _listen(self) -> None:
        if self._listener is None or not self._listener.is_alive():
            self._listener = threading.Thread(target=self._listening, daemon=True)
            self._listener.start()

    def _listening(self) -> None:
        """A stream that ends is begun again, at the next server if need be, after a pause of its own. As long as there
        is one the machine counts as there.
        """
        pause = FIRST_STREAM_PAUSE
        while self._outside.keys.has_certificate:
            try:
                with self._client().stream(f"/v1/watch/machines/{self.state.machine}", "") as lines:
                    for revision, name, data in events(lines):
                        pause = FIRST_STREAM_PAUSE
                        if name == "bye":
                            break
                        self._hear(revision, name, data)
            except RefusedByCluster:
                return  # the reports say why; the next one that is taken begins another stream
            except (OrlopError, OSError):
                pass  # the reports say who is away; here there is nothing to add
            finally:
                if self._units is not None:
                    self._units.connected(is_so=False)
            if self._stop.wait(self._outside.random(pause / 4, pause)):
                return
            pause = min(pause * 2, LONGEST_STREAM_PAUSE)

    def end(self) -> None:
        """Begin no stream any more."""
        self._stop.set()

    def _hear(self, revision: int, name: str, data: Any) -> None:
        if self._units is not None and (name == "state" or str(data.get("key", "")).startswith("work/")):
            self._units.connected(is_so=True)
            self._units.hear(revision)
        own = f"machines/{self.state.machine}"
        if name == "state":
            self._tell(decided=data.get(own) or {})
        elif name == "put" and data.get("key") == own:
            self._tell(decided=data.get("value") or {})

    def _tell(self, **changes: Any) -> None:
        with self._lock:
            before = self.state.text()
            if (why := changes.get("why")) and why != self.state.why:
                self._outside.say(why)
            for name, value in changes.items():
                setattr(self.state, name, value)
            if self.state.text() != before or not self._outside.status.exists():
                write_atomic(self._outside.status, self.state.text(), mode=0o644)


def events(lines: Any) -> Any:
    """Id, name and data of each event of a stream of lines; comments and what is not an object are skipped."""
    name, data, ident = "", "", ""
    for raw in lines:
        text = raw.decode(errors="replace").rstrip("\r")
        if not text:
            with suppress(ValueError):
                if name and isinstance(found := json.loads(data or "null"), dict):
                    yield int(ident or 0), name, found
            name, data, ident = "", "", ""
        elif text.startswith("event: "):
            name = text.removeprefix("event: ")
        elif text.startswith("id: "):
            ident = text.removeprefix("id: ")
        elif text.startswith("data: "):
            data += text.removeprefix("data: ")


def _field(answer: Any, name: str) -> str:
    value = answer.get(name) if isinstance(answer, dict) else None
    if not isinstance(value, str) or not value:
        raise Unreachable(f"the control API answers without {name}")
    return value
