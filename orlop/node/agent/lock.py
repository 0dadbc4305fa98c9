"""The reboot lock of the cluster for everybody on this machine who reboots it: a socket, a note, and the control API.

    POST /v1/pre-reboot     {"by": "engine" | "hand", "etcd": …}   200: the machine holds a slot
    POST /v1/steady-state   {"by": …}                              200: it is given back, now or when a server answers

The engine and a person may hold it at the same time; the slot goes back when neither does. What a person took is given
back when a later boot is good, or when the reboot has not come within REBOOT_SECONDS; what the engine took, when it
says so, here or in its status.

Lifetime: the agent's. Invariants: the note is on the disk before the cluster is asked, so a slot is never held that
nobody remembers; a machine without a note, which perhaps holds one, gives it back once. Only root and the engine may
connect (the socket's mode).
"""

from __future__ import annotations

import json
import threading
import time
from collections.abc import Callable
from dataclasses import asdict, dataclass, replace
from datetime import datetime, timedelta
from pathlib import Path
from typing import Any

from orlop.cluster.lock import LockRefused, LockTaker
from orlop.errors import BadInput, OrlopError
from orlop.files import write_atomic
from orlop.model.update.memory import FREE
from orlop.model.words.strict import Fields, parse_json, stamp
from orlop.net.local.server import LocalRequest, LocalServer
from orlop.node.agent.control import ControlClient, RefusedByCluster

NOTE = "reboot-lock.json"
REBOOT_SECONDS = timedelta(minutes=10)
ENGINE_SECONDS = 60.0  # after it was asked last, what the engine says of the lock is sure to be of after that
_LARGEST = 4096
_HEADERS = {"fleet-lock-protocol": "true"}


@dataclass(frozen=True)
class LockNote:
    """Who on this machine holds the lock. `hand`: the boot in which a person took it, "" for nobody; `taken`: when.
    `is_settled`: the cluster knows when nobody does.
    """

    engine: bool = False
    hand: str = ""
    taken: str = ""
    is_settled: bool = False

    @property
    def is_held(self) -> bool:
        return self.engine or bool(self.hand)


@dataclass
class AgentLock:
    """`client`: the control API as this machine; None while it has not joined. `boot`: this one. `group`: "" for the
    machine's role's. `engine`: what the update engine says of its lock, "" when it says nothing.
    """

    folder: Path
    machine: str
    group: str
    boot: Callable[[], str]
    now: Callable[[], datetime]
    client: Callable[[], ControlClient | None]
    say: Callable[[str], None]
    engine: Callable[[], str] = str
    clock: Callable[[], float] = time.monotonic

    def __post_init__(self) -> None:
        self._engine_asked = self.clock()
        self._lock = threading.Lock()  # a request of the socket, and the agent's turn
        self.note = self._read()

    @property
    def is_due_soon(self) -> bool:
        """It was taken for the reboot that is over."""
        return self.note.hand not in {"", self.boot()}

    def take(self, by: LockTaker, etcd: str) -> None:
        """Raises LockRefused."""
        with self._lock:
            client = self.client()
            if client is None:
                raise LockRefused("this machine has not joined its cluster yet, whose reboot lock it is to hold",
                                  hint="`systemctl status orlop-agent` says what it waits for")  # fmt: skip
            before = self.note
            if by is LockTaker.ENGINE:
                self._engine_asked = self.clock()
                self._keep(replace(before, engine=True, is_settled=False))
            else:
                self._keep(replace(before, hand=self.boot(), taken=stamp(self.now()), is_settled=False))
            try:
                self._ask(client, "pre-reboot", {"etcd": etcd} if etcd else {})
            except (BadInput, RefusedByCluster) as e:  # 4xx: the cluster says no
                self._keep(before)
                raise LockRefused(e.message, hint=e.hint) from None
            except OrlopError as e:  # nobody answers, or it is not known what was said: given back in a later turn
                self._keep(replace(before, is_settled=False))
                raise LockRefused(e.message, hint=e.hint) from None

    def give_back(self, by: LockTaker) -> None:
        """Nobody waits for a server: the next turn tries again."""
        with self._lock:
            engine = self.note.engine and by is not LockTaker.ENGINE
            hand = self.note.hand if by is not LockTaker.HAND else ""
            self._keep(replace(self.note, engine=engine, hand=hand, is_settled=False))
            self._settle()

    def turn(self, verdict: str) -> None:
        """Give back what is due. `verdict`: of this boot."""
        with self._lock:
            note = self.note
            if note.hand and (why := self._is_over(note, verdict)):
                self.say(f"the reboot lock that somebody took is given back: {why}")
                self._keep(replace(note, hand="", is_settled=False))
            if self._engine_is_done():
                self._keep(replace(self.note, engine=False, is_settled=False))
            self._settle()

    def _engine_is_done(self) -> bool:
        """It gave back while this agent did not answer. Its status may be some seconds old."""
        waited = self.clock() - self._engine_asked
        return self.note.engine and waited > ENGINE_SECONDS and self.engine() == FREE

    def _is_over(self, note: LockNote, verdict: str) -> str:
        if note.hand != self.boot():
            return "this boot is good" if verdict == "good" else ""
        try:
            taken = Fields("", {"taken": note.taken}).moment("taken")
        except BadInput:
            return "it is not known since when"
        # a clock that was set back must not keep it for years
        if abs(self.now() - taken) > REBOOT_SECONDS:
            return f"no reboot came within {REBOOT_SECONDS.seconds // 60} minutes"
        return ""

    def _settle(self) -> None:
        client = self.client()
        if self.note.is_held or self.note.is_settled or client is None:
            return
        try:
            self._ask(client, "steady-state", {})
        except OrlopError:
            return  # the agent's report says who is away
        self._keep(replace(self.note, is_settled=True))

    def _ask(self, client: ControlClient, what: str, more: dict[str, str]) -> None:
        params = {"id": self.machine, "group": self.group} | more
        client.ask("POST", f"/v1/{what}", {"client_params": params}, headers=_HEADERS)

    def _keep(self, note: LockNote) -> None:
        """Raises NoSpace, OSError."""
        if note != self.note:
            write_atomic(self.folder / NOTE, json.dumps(asdict(note)) + "\n", mode=0o600)
            self.note = note

    def _read(self) -> LockNote:
        try:
            f = Fields.of("", parse_json((self.folder / NOTE).read_bytes(), _LARGEST))
            engine, settled = f.value("engine", bool), f.value("is_settled", bool)
            return LockNote(engine, f.line("hand", 64, empty=True), f.line("taken", 32, empty=True), settled)
        except FileNotFoundError:
            return LockNote()
        except (OSError, BadInput) as e:
            self.say(f"who holds the reboot lock is not remembered: {e}")
            return LockNote()


class LockServer(LocalServer):
    def __init__(self, lock: AgentLock, path: Path) -> None:
        self.lock = lock
        path.unlink(missing_ok=True)  # of the process before
        super().__init__(_Request, path)
        path.chmod(0o660)


class _Request(LocalRequest):
    server_version = "orlop-agent"
    server: LockServer

    def post(self) -> None:
        f = Fields.of("the body", self.body())
        by = LockTaker(f.choice("by", *LockTaker))
        match self.path:
            case "/v1/pre-reboot":
                self.server.lock.take(by, f.line("etcd", 40, empty=True) if f.has("etcd") else "")
            case "/v1/steady-state":
                self.server.lock.give_back(by)
            case _:
                raise self.not_here()
        held: dict[str, Any] = {"held": self.server.lock.note.is_held}
        self.answer(200, held)
