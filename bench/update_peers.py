"""Orlop's engine beside systemd-sysupdate and RAUC, on one image and one disk: `python -m bench.update_peers`.

Two updates, from one web server that counts what it sends: one of an image that has nothing in common with what runs,
and one in which the programs of some packages differ. Then each engine is killed (SIGKILL, all of it) when half of the
usr image is in the slot, the disk is looked at, and the same update is started again.

They take turns, and every run begins with a fresh disk that was dropped from memory. After each, what the slot and the
ESP hold is compared with the image, so that nothing is timed that did not do its work.
"""

from __future__ import annotations

import argparse
import hashlib
import json
import os
import signal
import statistics
import subprocess
import sys
import tempfile
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from datetime import timedelta
from pathlib import Path
from typing import Any

from bench.peers import Orlop, PeerEngine, Rauc, Sysupdate, for_sysupdate, slots, tree
from bench.update_apply import ApplyStage, BenchMachine, forget
from orlop.errors import CommandFailed
from orlop.image.seal import Sealed
from orlop.model.release.index import BLOCK, index_name
from orlop.model.update import boot
from orlop.model.update.boot import Uki
from orlop.model.words.version import Version
from orlop.node.update.slot.disk import open_disk
from orlop.node.update.slot.esp import MAGIC
from orlop.steps import Steps
from orlop.workspace import Workspace
from simulators.httpd import WebServer, serve

PLUMBING = {"bwrap", "unshare", "sh", "bash", "dbus-daemon", "sleep", "seq", "date"}
SECONDS = 600
OTHER = "other slot's label"


class PeerMemory(threading.Thread):
    """The highest sum of what a process and all below it have resident, looked at every 20 ms; the tools around not."""

    def __init__(self, pid: int) -> None:
        super().__init__(daemon=True)
        self.pid, self.most, self.ended = pid, 0, threading.Event()
        self.start()

    def run(self) -> None:
        while not self.ended.wait(0.02):
            self.most = max(self.most, sum(map(_resident, _family(self.pid))))


def _family(pid: int) -> Iterator[int]:
    yield pid
    for path in Path(f"/proc/{pid}/task").glob("*/children"):
        try:
            below = path.read_text().split()
        except OSError:
            continue
        for child in below:
            yield from _family(int(child))


def _resident(pid: int) -> int:
    try:
        status = dict(line.split(":", 1) for line in Path(f"/proc/{pid}/status").read_text().splitlines())
    except OSError:
        return 0
    return 0 if status["Name"].strip() in PLUMBING else int(status.get("VmRSS", "0 kB").split()[0]) * 1024


@contextmanager
def started(engine: PeerEngine, machine: BenchMachine, new: Sealed, url: str) -> Iterator[subprocess.Popen[str]]:
    """The engine at work; what is left of it at the end is killed."""
    pipe = subprocess.PIPE
    argv = [os.fspath(a) for a in engine.command(machine, new, url)]
    process = subprocess.Popen(argv, stdout=pipe, stderr=pipe, text=True, start_new_session=True)
    try:
        yield process
    finally:
        if process.poll() is None:
            kill(process)


def kill(process: subprocess.Popen[str]) -> None:
    family = list(_family(process.pid))
    os.killpg(process.pid, signal.SIGKILL)
    for pid in family[1:]:
        try:
            os.kill(pid, signal.SIGKILL)
        except ProcessLookupError:
            continue
    process.communicate(timeout=60)


def update(engine: PeerEngine, machine: BenchMachine, new: Sealed, server: WebServer) -> dict[str, float]:
    """One whole update."""
    before, start = server.sent, time.perf_counter()
    with started(engine, machine, new, server.url) as process:
        memory = PeerMemory(process.pid)
        out, err = process.communicate(timeout=SECONDS)
        wall = time.perf_counter() - start
        memory.ended.set()
    if process.returncode:
        raise CommandFailed(f"{engine.name} failed", code=process.returncode, tail=err[-2000:])
    start = time.perf_counter()
    sync(machine, engine)
    found = {
        "seconds": engine.seconds(out, wall),
        "sync": time.perf_counter() - start,
        "fetched": server.sent - before,
        "memory": memory.most,
    }
    if engine.name == "orlop":  # it was given the index as a file: a machine fetches it
        found["fetched"] += (new.folder / index_name(new.version)).stat().st_size
    return found


def sync(machine: BenchMachine, engine: PeerEngine) -> None:
    for path in {engine.target(machine)[0], machine.disk, *(p for p in machine.esp.rglob("*") if p.is_file())}:
        fd = os.open(path, os.O_RDONLY)
        os.fsync(fd)
        os.close(fd)


def look(machine: BenchMachine, new: Sealed) -> dict[str, Any]:
    """What a machine that starts now would find."""
    mine, other = slots(machine)
    there = {p.name: p for p in (machine.esp / "EFI/Linux").iterdir()}
    able = [name for name, path in there.items() if path.open("rb").read(2) == b"MZ" and Uki.parse(name)]
    first = boot.first(able)
    return {
        OTHER: other.usr.label,
        "ESP": sorted(there),
        "starts": str(first.version) if first else None,
        "old slot untouched": _same(machine.disk, mine.usr.first * mine.sector, machine.running.part("usr"))
        and _same(machine.disk, mine.verity.first * mine.sector, machine.running.part("verity"))
        and mine.usr.label == machine.running.version.usr_label,
        "new slot whole": _same(machine.disk, other.usr.first * other.sector, new.part("usr"))
        and _same(machine.disk, other.verity.first * other.sector, new.part("verity")),
        "new UKI whole": any(
            uki and uki.version == new.version and _same(path, 0, new.part("uki"))
            for uki, path in ((Uki.parse(n), p) for n, p in there.items())
        ),
    }


def _same(path: Path, at: int, wanted: Path) -> bool:
    size = wanted.stat().st_size
    with path.open("rb") as a, wanted.open("rb") as b:
        a.seek(at)
        digest = hashlib.sha256()
        while size:
            piece = a.read(min(size, 1 << 20))
            if not piece:
                return False
            digest.update(piece)
            size -= len(piece)
        return digest.digest() == hashlib.file_digest(b, "sha256").digest()


def cut(engine: PeerEngine, machine: BenchMachine, new: Sealed, server: WebServer) -> dict[str, Any]:
    """Killed when half of the usr image is written; then once more to the end."""
    path, at = engine.target(machine)
    half = new.part("usr").stat().st_size // BLOCK // 2 * BLOCK
    wanted = _bytes(new.part("usr"), half)
    before = server.sent
    with started(engine, machine, new, server.url) as process:
        deadline = time.monotonic() + SECONDS
        while _bytes(path, at + half) != wanted and process.poll() is None and time.monotonic() < deadline:
            time.sleep(0.002)
        if process.poll() is not None:
            raise CommandFailed(f"{engine.name} ended before it could be cut", code=process.returncode)
        kill(process)
    sync(machine, engine)
    found = {"fetched before": server.sent - before, "after the cut": look(machine, new), **engine.notes(machine)}
    again = update(engine, machine, new, server)
    return found | {
        "fetched again": again["fetched"],
        "seconds again": again["seconds"],
        "in the end": look(machine, new),
    }


def _bytes(path: Path, at: int) -> bytes:
    with path.open("rb", buffering=0) as f:
        f.seek(at)
        return f.read(BLOCK)


class PeersBench:
    def __init__(self, ws: Workspace, steps: Steps, folder: Path) -> None:
        self.steps, self.folder = steps, folder
        self.stage = ApplyStage(ws, folder)
        debian = tree(ws, steps)
        rauc = [Rauc(debian, folder, adaptive=adaptive) for adaptive in (False, True)]
        self.engines: list[PeerEngine] = [Orlop(), Sysupdate(ws, folder), *rauc]
        self.rauc = rauc[0]
        latest, changed, unlike = self.stage.latest(), self.stage.changed(), self.stage.unlike()
        self.cases = {"everything": (unlike, latest), "packages": (latest, changed)}
        for new in (latest, changed):
            for_sysupdate(new)

    def one(self, engine: PeerEngine, case: str, deed: Callable[..., dict[str, Any]]) -> dict[str, Any]:
        running, new = self.cases[case]
        machine = self.stage.machine(running, "machine")
        self.earlier(machine)
        try:
            with serve(new.folder) as server, engine.ready(machine, new):
                forget(machine.disk, machine.esp, new.folder)
                found = deed(engine, machine, new, server)
                sync(machine, engine)
                last = look(machine, new) | engine.notes(machine)
            if not (last["old slot untouched"] and last["new slot whole"] and last["new UKI whole"]):
                raise CommandFailed(f"{engine.name} did not do what it was timed for: {last}", code=0)
            return found | {"notes": engine.notes(machine)}
        finally:
            machine.remove()

    def earlier(self, machine: BenchMachine) -> None:
        """The other slot has a label and a UKI of the version before, as on a machine that was updated once."""
        version = Version(machine.running.version.day - timedelta(days=1), 1)
        opened = open_disk(machine.disk, machine.running.root_hash)
        opened.label(opened.slots()[1], version, "b" * 64)
        opened.close()
        (machine.esp / "EFI/Linux" / Uki(version).name).write_bytes(MAGIC)

    def measure(self, rounds: int) -> dict[str, Any]:
        runs: dict[str, dict[str, list[dict[str, Any]]]] = {c: {e.name: [] for e in self.engines} for c in self.cases}
        for number in range(rounds):
            for case in self.cases:
                for engine in self.engines if number % 2 else reversed(self.engines):
                    with self.steps.step(f"Round {number + 1}: {case}, {engine.name}"):
                        runs[case][engine.name].append(self.one(engine, case, update))
        cuts = {}
        for engine in self.engines:
            with self.steps.step(f"Cutting {engine.name}"):
                cuts[engine.name] = self.one(engine, "everything", cut)
        return {
            "payload": {case: new.payload_bytes for case, (_, new) in self.cases.items()},
            "runs": runs,
            "cuts": cuts,
            "rauc with a verity bundle": self.rauc.streaming(self.cases["packages"][1]),
        }


def text(found: dict[str, Any]) -> str:
    lines = [f"{'':<12}{'':<15}{'took':>9}{'ratio':>7}{'then sync':>11}{'fetched':>11}{'memory':>10}"]
    for case, engines in found["runs"].items():
        median = {
            name: {key: statistics.median(run[key] for run in runs) for key in ("seconds", "sync", "fetched", "memory")}
            for name, runs in engines.items()
        }
        ours = median["orlop"]["seconds"]
        for name, m in median.items():
            times = f"{m['seconds']:>7.2f} s{m['seconds'] / ours:>7.2f}{m['sync']:>9.2f} s"
            lines.append(f"{case:<12}{name:<15}{times}{m['fetched'] / 1e6:>8.1f} MB{m['memory'] / 1e6:>7.1f} MB")
    for case, engines in found["runs"].items():
        read = engines["rauc adaptive"][-1]["notes"]["read from the bundle"]
        lines.append(f"{case}: rauc adaptive took {read / 1e6:.1f} MB of blocks from the bundle it had fetched")
    for name, c in found["cuts"].items():
        after = c["after the cut"]
        lines += [
            f"\n{name}, killed half way through the usr image",
            f"  other slot     {after[OTHER]}",
            f"  ESP            {' '.join(after['ESP'])}; starts {after['starts']}",
            f"  old version    {'untouched' if after['old slot untouched'] else 'DAMAGED'}",
            f"  fetched        {c['fetched before'] / 1e6:.1f} MB, and once more {c['fetched again'] / 1e6:.1f} MB",
        ]
        if said := c.get("boot loader"):
            lines.append(f"  boot loader    {said}")
    why = found["rauc with a verity bundle"]
    lines.append(f"\nRAUC with a verity bundle (streaming): {why or 'installs here'}")
    return "\n".join(lines)


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("--json", action="store_true", help="as JSON")
    parser.add_argument("--rounds", type=int, default=3)
    args = parser.parse_args()
    ws = Workspace.find()
    with tempfile.TemporaryDirectory(dir=ws.state) as top:
        found = PeersBench(ws, Steps(), Path(top)).measure(args.rounds)
    print(json.dumps(found, indent=2) if args.json else text(found))
    return 0


if __name__ == "__main__":
    sys.exit(main())
