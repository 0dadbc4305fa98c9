"""One watch on the store for a whole server, and everybody who listens to it.

    store ──watch──→ Hub: what there is now, and the last changes ──→ Listener: a queue of its own, with an end

Why one: a thousand machines that each watched etcd would be a thousand watches on it. Invariants: a listener is told
each change of what it asked for once, in order, or is told to read all anew (`Resync`); one that does not keep up is
let go and costs no more than its queue; nobody waits for it.
"""

from __future__ import annotations

import asyncio
from collections import deque
from collections.abc import AsyncGenerator, Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field

from orlop.store.protocol import Batch, Compacted, KeyChange, Store, StoreEntry, Unavailable, everything

REMEMBERED = 4096  # batches, for those who come back
QUEUE = 128  # changes that wait for one listener
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


@dataclass(eq=False)
class Listener:
    """`wants`: whether a key is of interest."""

    wants: Callable[[str], bool]
    queue: asyncio.Queue[Word] = field(default_factory=lambda: asyncio.Queue(QUEUE))
    overrun: bool = False

    def put(self, word: Word) -> None:
        try:
            self.queue.put_nowait(word)
        except asyncio.QueueFull:
            self.overrun = True

    async def words(self) -> AsyncGenerator[Word]:
        """Until a Bye, or it is overrun: what is left in the queue would have a gap at its end."""
        while not self.overrun:
            word = await self.queue.get()
            yield word
            if isinstance(word, Bye):
                return
        yield Bye("too slow: what was to be told did not fit any more")


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
        return len(self._listeners)

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
            for listener in self._listeners:
                if listener.wants(change.key):
                    listener.put(Told(batch.revision, change))

    @contextmanager
    def listening(self, wants: Callable[[str], bool], last: int = 0) -> Iterator[Listener]:
        """A listener that knows everything up to revision `last`; 0: nothing yet."""
        listener = Listener(wants)
        if last and self._known_since <= last <= self._revision:
            for batch in self._last:
                for change in batch.changes if batch.revision > last else ():
                    if wants(change.key):
                        listener.put(Told(batch.revision, change))
        else:
            listener.put(self._resync(listener))
        self._listeners.add(listener)
        try:
            yield listener
        finally:
            self._listeners.discard(listener)

    def _resync(self, listener: Listener) -> Resync:
        return Resync(self._revision, tuple(e for k, e in sorted(self._now.items()) if listener.wants(k)))

    def end(self, reason: str, wants: Callable[[Listener], bool] = lambda _: True) -> None:
        """Let listeners go: all when the server stops."""
        for listener in [each for each in self._listeners if wants(each)]:
            listener.put(Bye(reason))
