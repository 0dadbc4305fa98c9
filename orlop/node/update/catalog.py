"""What this machine should run, as its release repository says: the engine's catalog.

    servers (the best first) → signed metadata → the channel's document → policy → one answer → the image's index

Lifetime: one `Repository` a process; what it learnt is in `folder`, below the daemon's state, which outlives updates
and is never taken back to an older one. A check reads the clock once and asks one server after another until one gives
something that is signed and not older than what is known.

Invariants:
- A target is offered only after its index is here. So whatever was taken up can be gone on with after any restart,
  with no metadata, no server and no clock that is right: `index` needs the folder alone, `fetcher` only blobs.
- When nothing can be learnt (no server, expired, a wrong clock) an error says so, and nothing that was trusted, kept or
  answered before is lost.
- What the machine was granted once it is not refused later because its clock went back; only a new document does that.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import datetime, timedelta
from functools import partial
from hashlib import sha256
from pathlib import Path
from typing import TypeVar
from urllib.parse import quote

from orlop.errors import BadInput, Missing, OrlopError
from orlop.model import policy, polling
from orlop.model.index import Index, decode
from orlop.model.memory import Memory
from orlop.model.policy import Answer, Go, Machine, Wait, span
from orlop.model.update import Target
from orlop.model.version import Version
from orlop.node.update.fetch import Fetcher, Pace
from orlop.node.update.source import source
from orlop.trust import http, releases, verify
from orlop.trust.cache import FolderCache
from orlop.trust.client import Fetch
from orlop.trust.errors import Overloaded, Refused, Unreachable
from orlop.trust.releases import Found
from orlop.trust.route import public

KEPT_INDEXES = 3
SLOW_CLOCK = timedelta(days=1)  # a document from further in the future says that the clock is wrong
NO_KEYS = "this image has no keys of a release repository: it cannot tell a release from a forgery"
NO_KEYS_HINT = (
    "put the repository's root.json at /etc/orlop/root.json, or build the image with it: docs/guide/following.md"
)
NO_URLS = "no address of a release repository is known"
NO_URLS_HINT = "set `update.urls` in the machine's configuration"

T = TypeVar("T")


@dataclass(frozen=True)
class Following:
    """What the machine's configuration says it follows. `urls` are mirrors, the best first."""

    urls: tuple[str, ...]
    channel: str = "stable"
    group: str = ""
    pin: Version | None = None
    arch: str = "x86-64"


@dataclass(frozen=True)
class Myself:
    """What the machine knows of itself, asked anew each time. `secret` never leaves it."""

    secret: bytes
    now: Callable[[], datetime]
    running: Callable[[], Version]
    memory: Callable[[], Memory]


class Repository:
    """A `Catalog` (orlop.node.update.engine). `root` is the root keys the machine was given, None when it has none.

    `answer` is what was found last, None before that; `answered_at` when.
    """

    def __init__(
        self,
        following: Following,
        root: bytes | None,
        folder: Path,
        myself: Myself,
        *,
        pace: Pace | None = None,
        fetch: Callable[[str], Fetch] | None = None,
    ) -> None:
        self.following, self._root, self._folder, self._myself = following, root, folder, myself
        self._cache, self._pace = FolderCache(folder), pace or Pace(None)
        self._fetch = fetch or partial(http.fetcher, alive=self._pace.alive)
        self._quiet: dict[str, datetime] = {}  # servers that asked to be left alone, until when
        self._last: tuple[str, Target] | None = None  # the index target that was read last, and what is in it
        self.answer: Answer | None = None
        self.answered_at: datetime | None = None

    # what the engine asks

    def offer(self) -> Target | None:
        """Check the repository and let the policy answer. Raises OrlopError when neither can be done now."""
        now = self._myself.now()
        with self._kept():
            found = self._check(now)
            self.answer, self.answered_at = self._granted(found, self._judge(found, now)), now
            return self._target(found, self.answer) if isinstance(self.answer, Go) else None

    def index(self, target: Target) -> Index:
        """From what is kept; the servers are asked only when it is not. Raises OrlopError."""
        with self._kept():
            for path in self._indexes(f"/{target.version}.{self.following.arch}.index.json"):
                made = _read(path)
                if made and (made.version, made.root_hash) == (target.version, target.root_hash):
                    return made
            found = self._check(self._myself.now())
            made = self._index(found, self._name(found, target.version), target.version)
            if made.root_hash != target.root_hash:
                raise Refused(
                    f"the repository has another image called {target.version} than the one this machine goes to",
                    hint=verify.HINT,
                )
            return made

    def fetcher(self, target: Target) -> Fetcher:  # noqa: ARG002
        """Blobs of all versions lie in one place."""
        alive = self._pace.alive
        return Fetcher([source(url, alive=alive) for url in self._urls()], pace=self._pace)

    # what people ask

    def named(self, version: Version) -> Target:
        """The version somebody asked this machine for. Raises OrlopError: it is not there, or must not be had."""
        now = self._myself.now()
        with self._kept():
            found = self._check(now)
            return self._target(found, policy.named(found.channel, self._machine(), version))

    def look(self) -> Answer | None:
        """The answer as of now from what is kept, with no request; None when that is not enough, or too old."""
        now = self._myself.now()
        try:
            with self._kept():
                found = releases.known(self._keys(), self._cache, self.following.channel, now)
                self.answer = self._granted(found, self._judge(found, now))
        except OrlopError:
            return None
        return self.answer

    def lacks(self) -> str:
        """What it could never do without and has not; empty when a check can be made."""
        return NO_KEYS if self._root is None else "" if self.following.urls else NO_URLS

    # how it is found out

    def _urls(self) -> Sequence[str]:
        if not self.following.urls:
            raise Missing(NO_URLS, hint=NO_URLS_HINT)
        return self.following.urls

    def _keys(self) -> bytes:
        if self._root is None:
            raise Missing(NO_KEYS, hint=NO_KEYS_HINT)
        return self._root

    def _check(self, now: datetime) -> Found:
        keys, channel = self._keys(), self.following.channel
        found = self._ask(lambda fetch: releases.check(keys, self._cache, fetch, channel, now))
        if found.channel.changed > now + SLOW_CLOCK:
            changed = found.channel.changed
            raise Refused(
                f"this machine's clock says {now:%Y-%m-%d}, and channel {channel} is of {changed:%Y-%m-%d}",
                hint="set the clock: a machine that does not know the time cannot tell an old release from a new one",
            )
        if found.changed:
            self._last = None
        return found

    def _ask(self, question: Callable[[Fetch], T]) -> T:
        """The first server's answer that can be believed. Raises what was wrong with them."""
        wrong: list[tuple[str, OrlopError]] = []
        for url in self._urls():
            try:
                self._may_ask(url)
                self._pace.alive()
                return question(self._fetch(url))
            except OrlopError as e:
                wrong.append((url, e))
                if isinstance(e, Overloaded) and e.after:
                    self._quiet[url] = self._myself.now() + polling.bounded(e.after)
        raise _one_of(wrong)

    def _may_ask(self, url: str) -> None:
        now = self._myself.now()
        left = self._quiet.get(url, now) - now
        if timedelta() < left <= polling.LONGEST_ASKED:
            raise Overloaded(f"{public(url)} asked to be left alone for another {span(left)}", after=left)

    def _machine(self) -> Machine:
        following, memory = self.following, self._myself.memory()
        return Machine(
            current=self._myself.running(),
            channel=following.channel,
            secret=self._myself.secret,
            arch=following.arch,
            group=following.group,
            pin=following.pin,
            hold=memory.hold,
            denied=frozenset(d.version for d in memory.denied),
        )

    def _judge(self, found: Found, now: datetime) -> Answer:
        try:
            return policy.answer(found.channel, self._machine(), now)
        except OverflowError:  # a rollout at the end of all time
            raise BadInput(
                f"channel {found.channel.name} has a rollout that no calendar has", hint="tell its publisher"
            ) from None

    def _granted(self, found: Found, answer: Answer) -> Answer:
        """A version whose index is here was granted before: the clock has gone back, or its waves were made slower."""
        if not isinstance(answer, Wait) or answer.version < self._myself.running():
            return answer
        name = self._name(found, answer.version)
        here = self._last is not None and self._last[0] == name
        if not here and not any(_read(path) for path in self._indexes(name)):
            return answer
        why = f"on {found.channel.name}: going to {answer.version}, which had reached this machine already"
        return Go(answer.version, name, "newer", why, answer.insecure)

    def _name(self, found: Found, version: Version) -> str:
        """The target that holds the index of the version. Raises BadInput when the channel has none."""
        entry = found.channel.entry(version)
        image = entry.image(self.following.arch) if entry else None
        if image is None:
            raise BadInput(f"channel {found.channel.name} has no {version} for {self.following.arch} any more")
        return image.index

    def _target(self, found: Found, go: Go) -> Target:
        if self._last is None or self._last[0] != go.index:
            made = self._index(found, go.index, go.version)
            self._last = go.index, Target(made.version, made.root_hash)
        known = self._last[1]
        return Target(known.version, known.root_hash, go.why)

    def _index(self, found: Found, name: str, version: Version) -> Index:
        go = Go(version, name, "", "")
        made = self._ask(lambda fetch: releases.index(found, go, self._cache, fetch))
        for path in self._indexes("")[KEPT_INDEXES:]:
            path.unlink(missing_ok=True)
        return made

    def _indexes(self, end: str) -> list[Path]:
        """The kept indexes of targets whose names end so, the newest first."""
        there = (self._folder / releases.INDEXES).glob(f"*{quote(end, safe='')}")
        return sorted(there, key=lambda path: path.stat().st_mtime_ns, reverse=True)

    @contextmanager
    def _kept(self) -> Iterator[None]:
        """The folder may be on a disk that fails."""
        try:
            yield
        except OSError as e:
            raise Unreachable(
                f"what is known of releases cannot be kept: {e.filename or self._folder}: {e.strerror}",
                hint="look after the disk that holds /var",
            ) from None


def _read(path: Path) -> Index | None:
    """A kept index, when it is still what its name says."""
    raw = path.read_bytes()
    if sha256(raw).hexdigest() != path.name.partition(".")[0]:
        return None
    try:
        return decode(raw)
    except BadInput:
        return None


def _one_of(wrong: Sequence[tuple[str, OrlopError]]) -> OrlopError:
    """One error for several servers: of the kind that says most, a refusal before silence."""
    _, first = next((w for w in wrong if not isinstance(w[1], Unreachable)), wrong[0])
    if len(wrong) > 1:
        said = "; ".join(f"{public(url)}: {e.message}" for url, e in wrong)
        if isinstance(first, Overloaded):
            return Overloaded(said, hint=first.hint, after=first.after)
        first = type(first)(said, hint=first.hint)
    return first
