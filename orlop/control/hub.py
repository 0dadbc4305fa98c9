"""One watch on the store for a whole server, and everybody who listens to it.

    store ──watch──→ Hub: what there is now, and the last changes ──→ Listener: a queue of its own, with an end

Why one: a thousand machines that each watched etcd would be a thousand watches on it. Invariants: a listener is told
each change of what it asked for once, in order, or is told to read all anew (`Resync`); one that does not keep up is
let go and costs no more than its queue; nobody waits for it.
"""

from __future__ import annotations

import asyncio
from collections import deque
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass

from orlop.store.protocol import Batch, Compacted, KeyChange, Store, StoreEntry, Unavailable, everything

REMEMBERED = 4096  # batches, for those who come back
QUEUE = 128  # changes that wait for one listener
DEEP = REMEMBERED * 16  # the same for one in this process, which has much before it while it decides
PAUSE_SECONDS = 1.0


@dataclass(frozen=True)
class Told:
    """A change, at its revision."""

    revision: int
    change: KeyChange


@dataclass(frozen=True)
class Resync:
    """What is missed cannot be told: these are all keys of the listener, as of this revision."""

    revision: int
    entries: tuple[StoreEntry, ...]


@dataclass(frozen=True)
class Bye:
    """The stream ends, for this reason; whoever listens may come back."""

    reason: str


Word = Told | Resync | Bye


class Listener:
    """`wants`: whether a key is of interest; `most`: how many words may wait. One task takes its words; it has no task
    and no timer of its own.
    """

    __slots__ = ("_end", "_waiter", "_words", "most", "overrun", "wants")

    def __init__(self, wants: Callable[[str], bool], most: int = QUEUE) -> None:
        self.wants, self.most = wants, most
        self.overrun = False
        self._words: deque[Word] = deque()
        self._waiter: asyncio.Future[None] | None = None
        self._end: Bye | None = None

    def put(self, word: Word) -> None:
        if len(self._words) >= self.most:
            self.overrun = True
        else:
            self._words.append(word)
        self._wake()

    def end(self, reason: str) -> None:
        """Whatever waits: a Bye is the next word."""
        self._end = Bye(reason)
        self._wake()

    async def next(self, seconds: float) -> Word | None:
        """What comes next; None when nothing does within so many seconds. After a Bye nothing is worth asking for.

        One that was overrun gets a Bye at once: what is left in its queue would have a gap at its end.
        """
        if not self._has_word():
            loop = asyncio.get_running_loop()
            self._waiter = loop.create_future()
            timer = loop.call_later(seconds, self._wake)
            try:
                await self._waiter
            finally:
                timer.cancel()
                self._waiter = None
        if self.overrun:
            return Bye("too slow: what was to be told did not fit any more")
        if self._words:
            return self._words.popleft()
        return self._end

    def take(self) -> Word | None:
        """What has come already; None when nothing has."""
        return self._words.popleft() if self._words else None

    @property
    def is_empty(self) -> bool:
        return not self._words

    def _has_word(self) -> bool:
        return bool(self._words or self._end or self.overrun)

    def _wake(self) -> None:
        if self._waiter is not None and not self._waiter.done():
            self._waiter.set_result(None)


class Hub:
    """Lifetime: `run` is a task of its own for as long as the server runs; `ready` is set when there is something."""

    def __init__(self, store: Store, prefix: str) -> None:
        self._store, self._prefix = store, prefix
        self._now: dict[str, StoreEntry] = {}
        self._revision = 0
        self._last: deque[Batch] = deque(maxlen=REMEMBERED)
        self._known_since = 0  # changes after this revision are all in `_last`
        self._listeners: set[Listener] = set()
        self.ready = asyncio.Event()

    @property
    def listeners(self) -> int:
        """How many streams there are."""
        return sum(listener.most == QUEUE for listener in self._listeners)

    @property
    def revision(self) -> int:
        """Up to which it has seen everything."""
        return self._revision

    def entries(self, prefix: str) -> list[StoreEntry]:
        """All that there is below it, in the order of keys."""
        return [self._now[key] for key in sorted(key for key in self._now if key.startswith(prefix))]

    def get(self, key: str) -> StoreEntry | None:
        return self._now.get(key)

    async def run(self) -> None:
        while True:
            try:
                await self._load()
                async with self._store.watch(self._prefix, after=self._revision) as batches:
                    async for batch in batches:
                        self._apply(batch)
            except (Compacted, Unavailable):
                await asyncio.sleep(PAUSE_SECONDS)

    async def _load(self) -> None:
        page = await everything(self._store, self._prefix)
        self._now = {entry.key: entry for entry in page.entries}
        self._revision = self._known_since = page.revision
        self._last.clear()
        for listener in self._listeners:
            listener.put(self._resync(listener))
        self.ready.set()

    def _apply(self, batch: Batch) -> None:
        self._revision = max(self._revision, batch.revision)
        if not batch.changes:
            return
        if len(self._last) == self._last.maxlen:
            self._known_since = self._last[0].revision
        self._last.append(batch)
        for change in batch.changes:
            if change.entry is None:
                self._now.pop(change.key, None)
            else:
                self._now[change.key] = change.entry
            told = Told(batch.revision, change)  # one for all: who tells it writes it down once
            for listener in self._listeners:
                if listener.wants(change.key):
                    listener.put(told)

    @contextmanager
    def listening(self, wants: Callable[[str], bool], last: int = 0, *, deep: bool = False) -> Iterator[Listener]:
        """A listener that knows everything up to revision `last`; 0: nothing yet. `deep`: one in this process."""
        listener = Listener(wants, DEEP if deep else QUEUE)
        missed = self._missed(wants, last) if last and self._known_since <= last <= self._revision else None
        # one that missed more than its queue holds would be let go for that, and come back for the same, for ever
        for word in missed if missed is not None and len(missed) < QUEUE else [self._resync(listener)]:
            listener.put(word)
        self._listeners.add(listener)
        try:
            yield listener
        finally:
            self._listeners.discard(listener)

    def follow(self, wants: Callable[[str], bool]) -> Listener:
        """A deep listener for as long as nobody says `forget`."""
        listener = Listener(wants, DEEP)
        listener.put(self._resync(listener))
        self._listeners.add(listener)
        return listener

    def forget(self, listener: Listener) -> None:
        self._listeners.discard(listener)

    def _missed(self, wants: Callable[[str], bool], last: int) -> list[Word]:
        return [
            Told(batch.revision, change)
            for batch in self._last
            if batch.revision > last
            for change in batch.changes
            if wants(change.key)
        ]

    def _resync(self, listener: Listener) -> Resync:
        return Resync(self._revision, tuple(e for k, e in sorted(self._now.items()) if listener.wants(k)))

    def end(self, reason: str, wants: Callable[[Listener], bool] = lambda _: True) -> None:
        """Let streams go: all when the server stops. What listens in this process is ended by who runs it."""
        for listener in [each for each in self._listeners if each.most == QUEUE and wants(each)]:
            listener.end(reason)
