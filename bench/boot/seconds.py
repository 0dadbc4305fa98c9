"""One machine from power-on to its container's answer, observed from outside.

Lifetime: a lab of one node for each boot, made from a fresh disk and removed at the end, whatever happens. Nothing on
the machine is told that it is measured: it is asked only after its container has answered.
"""

from __future__ import annotations

import asyncio
import os
import time
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path

from bench.boot import idle
from bench.boot.stages import (
    Seen,
    Stages,
    busy_seconds,
    configuration,
    init_started,
    loader_started,
    stages,
)
from orlop.errors import CommandFailed, Missing, TimedOut
from orlop.lab import lab, uptime
from orlop.lab.counted.borders import manager_times
from orlop.lab.demo import PORT
from orlop.lab.images import LabImage
from orlop.lab.machine import Node
from orlop.lab.plan import LabPlan
from orlop.lab.wait import wait_verdicts
from orlop.machines import console
from orlop.machines.ports import LOOPBACK
from orlop.steps import Steps
from orlop.workspace import Workspace

LAB = "bench"
ANSWER_SECONDS = 600.0
FINISH_SECONDS = 180.0
POLL_SECONDS = 0.1  # how often a new request is sent
TRY_SECONDS = 3.0  # how long one request may take; several are under way at once
CONSOLE_SECONDS = 0.02

_TIMES = ("Userspace", "Finish")


@dataclass(frozen=True)
class TimedBoot:
    """One boot's stages; `idle` when it was asked for; `accelerator` is kvm or tcg, with the reason.

    `others`: how many processors other programs kept busy until the answer, on average; where it is not near 0 the
    seconds say little.
    """

    stages: Stages
    accelerator: str
    others: float
    idle: idle.IdleFigures | None = None


def boot(ws: Workspace, steps: Steps, image: LabImage, *, verdict: bool, want_idle: bool) -> TimedBoot:
    """Boot a fresh machine of this image with the demo and observe it.

    `verdict`: it judges its own boot, and a bad one is an error; `want_idle`: also probe it at rest. Raises TimedOut or
    CommandFailed with the end of its console.
    """
    began, busy = now(), _host_busy()
    with _machine(ws, steps, image) as (made, node):
        with steps.step("Waiting for its container's answer"):
            loader_at, answered_at = asyncio.run(_watch(node))
            cpu = processor_time(node)
            others = max(0.0, (_host_busy() - busy - cpu) / (now() - began))
        if verdict:
            wait_verdicts([node], steps, timeout=FINISH_SECONDS)
        with steps.step("Asking the machine"):
            seen = _ask(node, loader_at, answered_at, cpu)
            at_rest = _ask_idle(node) if want_idle else None
        how = made.state().acceleration
        return TimedBoot(stages(seen), f"{how.name} ({how.why})", others, at_rest)


@contextmanager
def _machine(ws: Workspace, steps: Steps, image: LabImage) -> Iterator[tuple[lab.Lab, Node]]:
    _remove_lab(ws)  # left by a run that was killed
    made = lab.up(ws, steps, LabPlan(image=image, name=LAB, demo=True))
    try:
        yield made, made.nodes[0]
    finally:
        _remove_lab(ws)


def _remove_lab(ws: Workspace) -> None:
    with suppress(Missing):  # somebody else removed it: what that made go wrong is the error to show
        lab.down(ws, LAB)


def now() -> float:
    """The host's clock, the one /proc/PID/stat counts in."""
    return time.clock_gettime(time.CLOCK_BOOTTIME)


def started_at(node: Node) -> float:
    """When QEMU was started, to the hundredth of a second."""
    process = node.state().process
    if process is None:
        raise CommandFailed(f"{node.name} is off", code=1)
    return process.start / os.sysconf("SC_CLK_TCK")


def _host_busy() -> float:
    return busy_seconds(Path("/proc/stat").read_text(), os.sysconf("SC_CLK_TCK"))


def processor_time(node: Node) -> float:
    """Seconds of processor time that the machine has taken from the host, user and system: fields 14 and 15."""
    process = node.state().process
    if process is None:
        raise CommandFailed(f"{node.name} is off", code=1)
    fields = Path(f"/proc/{process.pid}/stat").read_text().rpartition(")")[2].split()
    return (int(fields[11]) + int(fields[12])) / os.sysconf("SC_CLK_TCK")


async def _watch(node: Node) -> tuple[float | None, float]:
    """(when the firmware started the loader, when the first good answer came). Raises TimedOut."""
    chunks: list[tuple[float, bytes]] = []
    reading = asyncio.create_task(_read_console(node.at.console_log, chunks))
    try:
        answered = await asyncio.wait_for(first_answer(node.port(PORT)), ANSWER_SECONDS)
    except TimeoutError:
        raise TimedOut(
            f"the container on {node.name} did not answer within {ANSWER_SECONDS:.0f} s",
            hint="the end of its console:\n" + console.tail(node.console_text()),
        ) from None
    finally:
        reading.cancel()
    return loader_started(chunks), answered


async def _read_console(log: Path, chunks: list[tuple[float, bytes]]) -> None:
    """Add each piece of the console to `chunks`, with the time it came."""
    place = 0
    while True:
        if chunk := _read_from(log, place):
            chunks.append((now(), chunk))
            place += len(chunk)
        await asyncio.sleep(CONSOLE_SECONDS)


def _read_from(log: Path, place: int) -> bytes:
    try:
        with log.open("rb") as f:
            f.seek(place)
            return f.read()
    except FileNotFoundError:
        return b""


async def first_answer(port: int, path: str = "/") -> float:
    """When the first 200 came from this port of the loopback.

    A request to a machine without a network hangs, so a new one is sent every 100 ms whether or not the earlier ones
    have ended.
    """
    tries: set[asyncio.Task[float | None]] = set()
    try:
        while True:
            tries.add(asyncio.create_task(_try(port, path)))
            next_try = now() + POLL_SECONDS
            while (left := next_try - now()) > 0:
                if not tries:
                    await asyncio.sleep(left)
                    break
                done, tries = await asyncio.wait(tries, timeout=left, return_when=asyncio.FIRST_COMPLETED)
                if good := [at for task in done if (at := task.result()) is not None]:
                    return min(good)
    finally:
        for task in tries:
            task.cancel()
        await asyncio.gather(*tries, return_exceptions=True)


async def _try(port: int, path: str) -> float | None:
    writer = None
    try:
        async with asyncio.timeout(TRY_SECONDS):
            reader, writer = await asyncio.open_connection(LOOPBACK, port)
            writer.write(f"GET {path} HTTP/1.0\r\nHost: {LOOPBACK}\r\n\r\n".encode())
            await writer.drain()
            status = await reader.readline()
            return now() if status.startswith(b"HTTP/") and status.split()[1:2] == [b"200"] else None
    except (OSError, TimeoutError, ValueError):  # ValueError: a line without an end
        return None
    finally:
        if writer:
            writer.close()
            with suppress(OSError):
                await writer.wait_closed()


def _ask(node: Node, loader_at: float | None, answered_at: float, cpu: float) -> Seen:
    """Ask the machine for its own clock and times, once it has come up whole."""
    node.wait_reached()
    times = _finished(node)
    zero = uptime.clock_zero(uptime.samples(node, now))
    return Seen(
        started_at=started_at(node),
        loader_at=loader_at,
        kernel_at=zero,
        answered_at=answered_at,
        init=init_started(node.sh("dmesg")),
        userspace=times["Userspace"],
        finish=times["Finish"],
        cpu=cpu,
        configuration=configuration(
            node.sh("journalctl -b -u orlop-config.service -o short-monotonic --no-pager 2>/dev/null || true")
        ),
    )


def _finished(node: Node) -> dict[str, float]:
    properties = ",".join(f"{name}TimestampMonotonic" for name in _TIMES)
    until = now() + FINISH_SECONDS
    while True:
        times = manager_times(node.sh(f"systemctl show --property={properties}"))
        if times["Finish"]:
            return times
        if now() > until:
            raise TimedOut(
                f"{node.name} did not finish starting within {FINISH_SECONDS:.0f} s of its container's answer",
                hint="unfinished jobs: " + node.sh("systemctl list-jobs --no-legend --no-pager"),
            )
        time.sleep(2)


def _ask_idle(node: Node) -> idle.IdleFigures:
    node.sh(idle.ASK)
    time.sleep(idle.SETTLE_SECONDS + 5)
    return idle.parse(node.sh(f"cat {idle.RESULT}"))
