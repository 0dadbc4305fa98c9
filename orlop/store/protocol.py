"""What a store does. Those who need one import this alone.

    await store.get(key)                                    what is there now
    await store.page(prefix, after=…, revision=…)           many, a page at a time, all as of one revision
    await store.commit([Put(…), Delete(…)], [Expect(…)])    all or nothing, and only if nobody was quicker
    async with store.watch(prefix, after=…) as batches:     what changes from there on, in order, without a gap
    lease = await store.grant(seconds); Put(…, lease=…)     keys that go when whoever keeps them alive is gone

Every change has a *revision*: a number that only grows, one a commit, the same for all keys it touches. A key that is
not there has the revision 0, so `Expect(key, 0)` says "nobody has made it yet".

Invariants: reads are linearizable (what was committed before a read began is seen by it). A commit that raises
`Conflict` changed nothing; one that raises `Unsettled` may have changed all of it or nothing. A watch gives each batch
of one revision whole, in order, once; when it cannot, because that history is gone, it raises `Compacted` and never
skips. The rules are etcd's (its API guarantees), and the memory store follows them.

The errors a caller can act on:

    StoreError
    ├── Conflict        somebody was quicker: read again, decide again
    ├── Compacted       the history asked for is gone: read the whole prefix, watch from there
    ├── LeaseLost       the lease has ended, and the keys that hung on it with it
    ├── TooLarge        a value or a commit is past the limit: a defect of who wrote it
    ├── StoreFull       the store takes no writes until somebody makes room; reading goes on
    └── Unavailable     no member answers, or no majority of them: nothing was changed; try later
        └── Unsettled   …and a write was on its way: read before trying again
"""

from __future__ import annotations

from collections.abc import AsyncIterator, Sequence
from contextlib import AbstractAsyncContextManager
from dataclasses import dataclass
from typing import Protocol

from orlop.errors import OrlopError

MAX_WRITES = 128  # of one commit, with its expectations: etcd's --max-txn-ops
MAX_VALUE = 1 << 20  # bytes; etcd takes requests of 1.5 MiB, in which a value is told in a third more
PAGE = 500  # keys of a page


class StoreError(OrlopError):
    pass


class Conflict(StoreError):
    """`found` is what was there instead: the present revision of each key that was expected to have another."""

    def __init__(self, message: str, *, found: dict[str, int], hint: str = "") -> None:
        super().__init__(message, hint=hint)
        self.found = found


class Compacted(StoreError):
    """`first` is the oldest revision that can still be asked for; 0 when the store did not say."""

    def __init__(self, message: str, *, first: int = 0, hint: str = "") -> None:
        super().__init__(message, hint=hint)
        self.first = first


class LeaseLost(StoreError):
    pass


class TooLarge(StoreError):
    pass


class StoreFull(StoreError):
    pass


class Unavailable(StoreError):
    pass


class Unsettled(Unavailable):
    pass


@dataclass(frozen=True)
class StoreEntry:
    """A key as it was last written: at revision `modified`, made at `created`, for the `version`th time since then."""

    key: str
    value: bytes
    created: int
    modified: int
    version: int
    lease: int = 0


@dataclass(frozen=True)
class StorePage:
    """Some keys of a prefix, in the order of their bytes, as of `revision`; `more` when others come after the last."""

    entries: tuple[StoreEntry, ...]
    revision: int
    more: bool


@dataclass(frozen=True)
class Put:
    key: str
    value: bytes
    lease: int = 0


@dataclass(frozen=True)
class Delete:
    key: str


Write = Put | Delete


@dataclass(frozen=True)
class Expect:
    """The key was last written at this revision; 0: it is not there."""

    key: str
    modified: int


@dataclass(frozen=True)
class KeyChange:
    """`entry` is what the key has now; None: it is gone."""

    key: str
    entry: StoreEntry | None


@dataclass(frozen=True)
class Batch:
    """All changes of one revision below a prefix. Without changes it says only that the watch is alive and has seen
    everything up to `revision`.
    """

    revision: int
    changes: tuple[KeyChange, ...]


@dataclass(frozen=True)
class Lease:
    """`seconds` is how long it lives after it was last kept alive; a store may give more than was asked for."""

    id: int
    seconds: int


class Store(Protocol):
    async def get(self, key: str) -> StoreEntry | None:
        """Raises Unavailable."""

    async def page(self, prefix: str, *, after: str = "", revision: int = 0, limit: int = PAGE) -> StorePage:
        """The first `limit` keys that begin with `prefix` and come after the key `after`; as of `revision`, or now.

        A caller who wants all of them asks again with `after` the last key it got and `revision` the first page's.
        Raises Compacted and Unavailable.
        """

    async def commit(self, writes: Sequence[Write], expect: Sequence[Expect] = (), *, once: bool = False) -> int:
        """All writes if all expectations hold; the revision they have. Deleting what is not there is no change.

        A commit whose answer was lost is asked for again; when each key then holds what this commit wanted to write
        there, that is the commit's own doing or as good as it. So a value that decides *who* was first must
        name its writer. One that expects something of a key that it writes is done once at most. Any other may be
        done a second time, and later, when somebody else has written in between: `once` has it raise Unsettled
        instead of asking again. Raises Conflict, LeaseLost, TooLarge, StoreFull, Unavailable and Unsettled.
        """

    def watch(self, prefix: str, *, after: int) -> AbstractAsyncContextManager[AsyncIterator[Batch]]:
        """Every change below `prefix` of a revision greater than `after`, and now and then a batch without changes.

        It lasts until it is left, across members that go and come. Iterating raises Compacted.
        """

    async def grant(self, seconds: int) -> Lease:
        """Raises Unavailable."""

    async def keep(self, lease: Lease) -> None:
        """Let it live for its time from now on. Raises LeaseLost and Unavailable."""

    async def revoke(self, lease: Lease) -> None:
        """End it, with its keys. One that has ended already is no error. Raises Unavailable."""


def checked(writes: Sequence[Write], expect: Sequence[Expect]) -> None:
    """What every store refuses. Raises TooLarge; ValueError for what only a defect can ask for."""
    keys = [write.key for write in writes]
    if not all([*keys, *(e.key for e in expect)]):
        raise ValueError("a key must not be empty")
    if len(set(keys)) != len(keys):
        raise ValueError(f"one commit writes a key twice: {', '.join(sorted(keys))}")
    if len(writes) > MAX_WRITES or len(expect) > MAX_WRITES:
        raise TooLarge(f"a commit may have {MAX_WRITES} writes, this one has {max(len(writes), len(expect))}")
    for write in writes:
        if isinstance(write, Put) and len(write.value) > MAX_VALUE:
            raise TooLarge(f"the value of {write.key} has {len(write.value)} bytes; {MAX_VALUE} are the most")
    if sum(len(write.value) for write in writes if isinstance(write, Put)) > MAX_VALUE:
        raise TooLarge(f"a commit may write {MAX_VALUE} bytes, and these values have more together")


def conflict(found: dict[str, int]) -> Conflict:
    """What to say of keys that have another revision than was expected."""
    keys = ", ".join(sorted(found))
    return Conflict(f"{keys} was changed by somebody else", found=found, hint="read it again and decide again")


async def everything(store: Store, prefix: str) -> StorePage:
    """All keys of a prefix as of one revision, however many pages it takes. Raises Compacted and Unavailable."""
    page = await store.page(prefix)
    entries, revision = list(page.entries), page.revision
    while page.more:
        page = await store.page(prefix, after=entries[-1].key, revision=revision)
        entries.extend(page.entries)
    return StorePage(tuple(entries), revision, more=False)


async def through(store: Store, prefix: str, after: str, last: str, limit: int) -> list[StoreEntry]:
    """What there is below `prefix` after the name `after` ("": from the first on) up to the name `last`, as of now.

    `limit`: about how many there are. Names are ASCII. Raises Unavailable.
    """
    found: list[StoreEntry] = []
    begin = prefix + after if after else ""
    while True:
        page = await store.page(prefix, after=begin, limit=limit)
        found += [entry for entry in page.entries if entry.key <= prefix + last]
        if not page.more or page.entries[-1].key >= prefix + last:
            return found
        begin = page.entries[-1].key
