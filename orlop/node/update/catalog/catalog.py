"""What this machine should run, as its release repository says: the engine's catalog.

    servers (the best first) → signed metadata → the channel's document → policy → one answer → the image's index

Lifetime: one `FollowedRepository` a process; what it learnt is in `folder`, below the daemon's state, which outlives
updates and is never taken back to an older one. A check reads the clock once and asks one server after another until
one gives something that is signed and not older than what is known.

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
from dataclasses import dataclass, replace
from datetime import datetime, timedelta
from functools import partial
from hashlib import sha256
from pathlib import Path
from typing import TypeVar
from urllib.parse import quote

from orlop.errors import BadInput, Missing, OrlopError
from orlop.model.release import policy
from orlop.model.release.index import Index, decode
from orlop.model.release.policy import Answer, Go, Machine, Wait, span
from orlop.model.update import polling
from orlop.model.update.state import Target
from orlop.model.words.arch import BUILT
from orlop.model.words.version import Version
from orlop.net.errors import Overloaded, Unreachable
from orlop.net.route import public
from orlop.node.update.blobs.fetch import Fetcher, Pace
from orlop.node.update.blobs.source import source
from orlop.node.update.outside import Situation
from orlop.trust import http, releases, verify
from orlop.trust.cache import FolderCache
from orlop.trust.client import MetadataFetch
from orlop.trust.errors import Refused
from orlop.trust.releases import Verified

KEPT_INDEXES = 3
SLOW_CLOCK = timedelta(days=1)  # a document from further in the future says that the clock is wrong
NO_KEYS = "this image has no keys of a release repository: it cannot tell a release from a forgery"
NO_KEYS_HINT = (
    "give `trust` in the machine's configuration the repository's root.json, or build the image with it: "
    "docs/guide/following.md"
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
    arch: str = BUILT.name


class FollowedRepository:
    """A `Catalog` (orlop.node.update.outside). `root` is the root keys the machine was given, None when it has none.

    `secret`, which never leaves the machine, decides when a rollout reaches it. `answer` is what was found last, None
    before that.
    """

    def __init__(
        self,
        following: Following,
        root: bytes | None,
        folder: Path,
        secret: bytes,
        *,
        pace: Pace | None = None,
        fetch: Callable[[str], MetadataFetch] | None = None,
    ) -> None:
        self.following, self._root, self._folder, self._secret = following, root, folder, secret
        self._cache, self._pace = FolderCache(folder), pace or Pace(None)
        self._fetch = fetch or partial(http.fetcher, alive=self._pace.alive)
        self._quiet: dict[str, datetime] = {}  # servers that asked to be left alone, until when
        self._last: tuple[str, Target] | None = None  # the index target that was read last, and what is in it
        self.answer: Answer | None = None

    def at(self, url: str) -> FollowedRepository:
        """Another one, with the same keys, at this address alone."""
        following = replace(self.following, urls=(url,))
        return FollowedRepository(following, self._root, self._folder, self._secret, pace=self._pace, fetch=self._fetch)

    # what the engine asks

    def offer(self, situation: Situation) -> Target | None:
        """Check the repository and let the policy answer. Raises OrlopError when neither can be done now."""
        with self._kept():
            verified = self._check(situation.now)
            self.answer = self._granted(verified, self._judge(verified, situation), situation)
            return self._target(verified, self.answer, situation) if isinstance(self.answer, Go) else None

    def index(self, target: Target, situation: Situation) -> Index:
        """From what is kept; the servers are asked only when it is not. Raises OrlopError."""
        with self._kept():
            for path in self._indexes(f"/{target.version}.{self.following.arch}.index.json"):
                index = _read(path)
                if index and (index.version, index.root_hash) == (target.version, target.root_hash):
                    return index
            verified = self._check(situation.now)
            index = self._index(verified, self._name(verified, target.version), target.version, situation)
            if index.root_hash != target.root_hash:
                raise Refused(
                    f"the repository has another image called {target.version} than the one this machine goes to",
                    hint=verify.HINT,
                )
            return index

    def fetcher(self, target: Target) -> Fetcher:  # noqa: ARG002
        """Blobs of all versions lie in one place."""
        alive = self._pace.alive
        return Fetcher([source(url, alive=alive) for url in self._urls()], pace=self._pace)

    # what people ask

    def named(self, version: Version, situation: Situation) -> Target:
        """The version somebody asked this machine for. Raises OrlopError: it is not there, or must not be had."""
        with self._kept():
            verified = self._check(situation.now)
            return self._target(verified, policy.named(verified.channel, self._machine(situation), version), situation)

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

    def _check(self, now: datetime) -> Verified:
        keys, channel = self._keys(), self.following.channel
        verified = self._ask(lambda fetch: releases.check(keys, self._cache, fetch, channel, now), now)
        if verified.channel.changed > now + SLOW_CLOCK:
            changed = verified.channel.changed
            raise Refused(
                f"this machine's clock says {now:%Y-%m-%d}, and channel {channel} is of {changed:%Y-%m-%d}",
                hint="set the clock: a machine that does not know the time cannot tell an old release from a new one",
            )
        if verified.changed:
            self._last = None
        return verified

    def _ask(self, question: Callable[[MetadataFetch], T], now: datetime) -> T:
        """The first server's answer that can be believed. Raises what was wrong with them."""
        wrong: list[tuple[str, OrlopError]] = []
        for url in self._urls():
            try:
                self._may_ask(url, now)
                self._pace.alive()
                return question(self._fetch(url))
            except OrlopError as e:
                wrong.append((url, e))
                if isinstance(e, Overloaded) and e.after:
                    self._quiet[url] = now + polling.bounded(e.after)
        raise _one_of(wrong)

    def _may_ask(self, url: str, now: datetime) -> None:
        left = self._quiet.get(url, now) - now
        if timedelta() < left <= polling.LONGEST_ASKED:
            raise Overloaded(f"{public(url)} asked to be left alone for another {span(left)}", after=left)

    def _machine(self, situation: Situation) -> Machine:
        following, memory = self.following, situation.memory
        return Machine(
            current=situation.running,
            channel=following.channel,
            secret=self._secret,
            arch=following.arch,
            group=following.group,
            pin=following.pin,
            hold=memory.hold,
            denied=frozenset(d.version for d in memory.denied),
        )

    def _judge(self, verified: Verified, situation: Situation) -> Answer:
        try:
            return policy.answer(verified.channel, self._machine(situation), situation.now)
        except OverflowError:  # a rollout at the end of all time
            raise BadInput(
                f"channel {verified.channel.name} has a rollout that no calendar has", hint="tell its publisher"
            ) from None

    def _granted(self, verified: Verified, answer: Answer, situation: Situation) -> Answer:
        """A version whose index is here was granted before: the clock has gone back, or its waves were made slower."""
        if not isinstance(answer, Wait) or answer.version < situation.running:
            return answer
        name = self._name(verified, answer.version)
        here = self._last is not None and self._last[0] == name
        if not here and not any(_read(path) for path in self._indexes(name)):
            return answer
        why = f"on {verified.channel.name}: going to {answer.version}, which had reached this machine already"
        return Go(answer.version, name, "newer", why, answer.insecure)

    def _name(self, verified: Verified, version: Version) -> str:
        """The target that holds the index of the version. Raises BadInput when the channel has none."""
        entry = verified.channel.entry(version)
        image = entry.image(self.following.arch) if entry else None
        if image is None:
            raise BadInput(f"channel {verified.channel.name} has no {version} for {self.following.arch} any more")
        return image.index

    def _target(self, verified: Verified, go: Go, situation: Situation) -> Target:
        if self._last is None or self._last[0] != go.index:
            index = self._index(verified, go.index, go.version, situation)
            self._last = go.index, Target(index.version, index.root_hash)
        known = self._last[1]
        return Target(known.version, known.root_hash, go.why)

    def _index(self, verified: Verified, name: str, version: Version, situation: Situation) -> Index:
        go = Go(version, name, "", "")
        index = self._ask(lambda fetch: releases.index(verified, go, self._cache, fetch), situation.now)
        for path in self._indexes("")[KEPT_INDEXES:]:
            path.unlink(missing_ok=True)
        return index

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
        reasons = "; ".join(f"{public(url)}: {e.message}" for url, e in wrong)
        if isinstance(first, Overloaded):
            return Overloaded(reasons, hint=first.hint, after=first.after)
        first = type(first)(reasons, hint=first.hint)
    return first
