"""What the bench does from within a lab's network: `python -m bench.cluster.outside DEED`, its values as JSON on stdin.

Each deed prints one line of JSON whenever it has something to say, and goes on when it is sent an empty line. So the
bench can look at the servers while a thousand machines are connected.
"""

from __future__ import annotations

import asyncio
import json
import os
import ssl
import statistics
import sys
import tempfile
import time
from collections.abc import Awaitable, Callable, Mapping
from datetime import timedelta
from pathlib import Path
from typing import Any

from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.hazmat.primitives.serialization import Encoding, NoEncryption, PrivateFormat

from orlop.model.cluster.names import CONTROL_PORT, STORE_PORT, url
from orlop.store.etcd.client import EtcdStore
from orlop.store.protocol import Put, Unavailable
from simulators.agents import Crowd, SimulatedCa, asked, client_context
from simulators.watchers import watching

Given = Mapping[str, Any]
WRITE_PAUSE = 0.01
WARM_SECONDS = 40.0  # after which every machine has reported once


def say(**values: Any) -> None:
    print(json.dumps(values), flush=True)


async def told() -> None:
    """Until the bench says to go on."""
    await asyncio.to_thread(sys.stdin.readline)


def certified(given: Given, access: str) -> ssl.SSLContext:
    authority, key = _authority(given), ec.generate_private_key(ec.SECP256R1())
    signed = authority.sign(key.public_key(), f"orlop:{access}", "bench", timedelta(hours=2))
    return client_context(authority.certificate, signed, key)


def _authority(given: Given) -> SimulatedCa:
    return SimulatedCa(given["ca"], given["ca_key"])


def store(given: Given) -> EtcdStore:
    """A client as control is one, of all servers."""
    authority, key = SimulatedCa(given["store_ca"], given["store_ca_key"]), ec.generate_private_key(ec.SECP256R1())
    signed = authority.sign(key.public_key(), "orlop", "bench", timedelta(hours=2))
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
    context.load_verify_locations(cadata=authority.certificate)
    with tempfile.TemporaryDirectory(prefix="orlop-bench-") as folder:
        pem = key.private_bytes(Encoding.PEM, PrivateFormat.PKCS8, NoEncryption())
        (file := Path(folder, "both")).write_bytes(signed.encode() + pem)
        context.load_cert_chain(file)
    context.set_alpn_protocols(["http/1.1"])
    return EtcdStore([url(host, STORE_PORT) for host in given["servers"]], context)


async def write(given: Given) -> None:
    """Write without a pause to speak of, for so many seconds; says the longest time between two that were accepted."""
    client = store(given)
    say(ready=await client.commit([Put("/bench/n", b"0")]))
    until, last, worst, count, lost = time.monotonic() + given["seconds"], time.monotonic(), 0.0, 0, 0
    while time.monotonic() < until:
        try:
            await client.commit([Put("/bench/n", str(count).encode())])
        except Unavailable:
            lost += 1
            continue
        count, now = count + 1, time.monotonic()
        worst, last = max(worst, now - last), now
        await asyncio.sleep(WRITE_PAUSE)
    say(worst=worst, written=count, lost=lost)
    await client.close()


async def crowd(given: Given) -> None:
    """Join, listen, report: says how long joining and connecting took, then what happened while the bench looked."""
    machines = Crowd(given["servers"][:1], CONTROL_PORT, given["ca"], given["count"], first=1 << 64)
    seconds = await machines.join(given["token"])
    machines.live()
    connected = await machines.all_listen(120)
    await asyncio.sleep(WARM_SECONDS)
    client = store(given)
    before, counts = (await client.page("/none/")).revision, machines.counts
    counts.latencies.clear()
    counts.failures.clear()
    reports, began = counts.reports, time.monotonic()
    say(joined=seconds, connected=connected)
    await told()
    took = time.monotonic() - began
    writes = (await client.page("/none/")).revision - before
    await client.close()
    say(
        reports=counts.reports - reports, writes=writes / took / given["count"], failures=counts.failures,
        latency=statistics.median(counts.latencies), own=await _own(machines, given),
    )  # fmt: skip
    await machines.end()


async def _own(machines: Crowd, given: Given) -> float:
    """From asking for it until one machine of the crowd hears what was decided about it; the median of five."""
    admin, took = certified(given, "admin"), []
    for n in range(5):
        machine = machines.machines[n * 7]
        machines.counts.heard.clear()
        began = time.monotonic()
        path = f"/v1/machines/{machine.name}/cordon"
        status, body = await asked(given["servers"][0], CONTROL_PORT, admin, "PUT", path, {"reason": "bench"})
        assert status == 200, body
        async with asyncio.timeout(10):
            while not machines.counts.heard:  # noqa: ASYNC110
                await asyncio.sleep(0.001)
        took.append(machines.counts.heard[0][0] - began)
    return statistics.median(took)


async def fan_out(given: Given) -> None:
    """Change one machine; says when the last of so many who watch was told, the worst of three."""
    async with watching(given["servers"][0], CONTROL_PORT, _authority(given), given["count"]) as watchers:
        say(ready=True)
        await told()
        admin, worst = certified(given, "admin"), 0.0
        for n in range(3):
            path, began = f"/v1/machines/{given['machine']}/cordon", time.monotonic()
            watchers.told.clear()
            status, body = await asked(given["servers"][0], CONTROL_PORT, admin, "PUT", path, {"reason": f"{n}"})
            assert status == 200, body
            worst = max(worst, (await watchers.all_told(f"machines/{given['machine']}", began, 20))[-1])
        say(worst=worst)


DEEDS: Mapping[str, Callable[[Given], Awaitable[None]]] = {"write": write, "crowd": crowd, "fan_out": fan_out}


async def main(deed: str) -> None:
    # its parent may be killed: what is left would keep a thousand connections open
    parent, task = os.getppid(), asyncio.ensure_future(DEEDS[deed](json.loads(sys.stdin.readline())))
    while not task.done():
        await asyncio.wait({task}, timeout=2.0)
        if os.getppid() != parent:
            task.cancel()
    await task


if __name__ == "__main__":
    asyncio.run(main(sys.argv[1]))
