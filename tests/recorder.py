"""Several clients of the store at once, and what each saw: the history that tests/linearizable.py judges.

Each client picks a register and reads it, writes it, or replaces what it read there before; every value is written
once, so a value names its write, and an expectation of a revision is one of a value. Times are the kernel's monotonic
clock, which processes of one computer share, container machines included. `python -m tests.recorder` is one such set of
clients in a process of its own, in whatever network it is started: what it is told is JSON on stdin, what it saw a line
each on stdout.
"""

from __future__ import annotations

import asyncio
import json
import random
import ssl
import sys
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import asdict
from pathlib import Path
from typing import Any

from orlop.store.etcd.client import EtcdStore
from orlop.store.protocol import Conflict, Expect, Put, Store, StoreEntry, Unavailable, Unsettled
from tests.linearizable import Kind, Operation

PREFIX = "/linear/"
PAUSE = 0.02  # between two operations of a client
Seen = tuple[str, Operation]  # of this register


async def record(store: Store, name: str, registers: Sequence[str], until: Callable[[], bool], seed: int) -> list[Seen]:
    """What one client saw until it is told to end. It begins anew, as another one, after an answer it did not get."""
    chance, seen, count, lives = random.Random(seed), list[Seen](), 0, 0
    known: dict[str, StoreEntry | None] = {}
    while not until():
        register, kind = chance.choice(registers), chance.choice(list(Kind))
        count += 1
        client, value = f"{name}.{lives}", f"{name}-{count}"
        if kind is Kind.CAS and register not in known:
            kind = Kind.READ
        operation = await _one(store, client, register, kind, value, known)
        if operation is not None:
            seen.append((register, operation))
            lives += operation.end is None
        await asyncio.sleep(chance.uniform(0, 2 * PAUSE))
    return seen


async def _one(
    store: Store, client: str, register: str, kind: Kind, value: str, known: dict[str, StoreEntry | None]
) -> Operation | None:
    """None for what surely did not happen."""
    key, start = PREFIX + register, time.monotonic()
    before = known.get(register)
    expected = before.value.decode() if before else None
    try:
        if kind is Kind.READ:
            known[register] = entry = await store.get(key)
            return Operation(client, kind, entry.value.decode() if entry else None, start, time.monotonic())
        if kind is Kind.WRITE:
            await store.commit([Put(key, value.encode())], once=True)
            return Operation(client, kind, value, start, time.monotonic())
        await store.commit([Put(key, value.encode())], [Expect(key, before.modified if before else 0)])
        return Operation(client, kind, value, start, time.monotonic(), expected, done=True)
    except Conflict:
        known.pop(register, None)
        return Operation(client, kind, value, start, time.monotonic(), expected, done=False)
    except Unsettled:
        return Operation(client, kind, value, start, None, expected if kind is Kind.CAS else None)
    except Unavailable:
        return None


async def stale_reads(store: EtcdStore, name: str, registers: Sequence[str]) -> list[Seen]:
    """What a member says that is asked for what it has, whether or not others know better: etcd's serializable reads.

    Not what any of our programs asks for: for the test that such a history is found out.
    """
    from orlop.store.etcd import wire
    from orlop.store.etcd.client import good

    seen = []
    for register in registers:
        start = time.monotonic()
        request = {**wire.range_one(PREFIX + register), "serializable": True}
        body = good(await store._pool.call("/v3/kv/range", request, each=2.0, within=4.0))
        found = wire.entries(body)
        seen.append((register, Operation(name, Kind.READ, found[0].value.decode() if found else None, start,
                                         time.monotonic())))  # fmt: skip
    return seen


def by_register(seen: Sequence[Seen]) -> Mapping[str, list[Operation]]:
    histories: dict[str, list[Operation]] = {}
    for register, operation in seen:
        histories.setdefault(register, []).append(operation)
    return histories


def told(lines: Sequence[str]) -> list[Seen]:
    """What such a process has printed."""
    found = []
    for line in lines:
        values = json.loads(line)
        register = values.pop("register")
        found.append((register, Operation(**values | {"kind": Kind(values["kind"])})))
    return found


async def main(given: Mapping[str, Any]) -> None:
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
    folder = Path(given["tls"])
    context.load_verify_locations(folder / "ca.crt")
    context.load_cert_chain(folder / "client.crt", folder / "client.key")
    end = time.monotonic() + given["seconds"]
    store = EtcdStore(given["urls"], context, within=given["within"])
    if given["stale"]:
        seen = await stale_reads(store, given["name"], given["registers"])
    else:
        stores = [EtcdStore(given["urls"], context, within=given["within"]) for _ in range(given["clients"])]
        records = (
            record(each, f"{given['name']}{n}", given["registers"], lambda: time.monotonic() > end, given["seed"] + n)
            for n, each in enumerate(stores)
        )
        seen = [one for some in await asyncio.gather(*records) for one in some]
        for each in stores:
            await each.close()
    await store.close()
    for register, operation in seen:
        sys.stdout.write(json.dumps({"register": register, **asdict(operation)}) + "\n")


if __name__ == "__main__":
    asyncio.run(main(json.loads(sys.stdin.read())))
