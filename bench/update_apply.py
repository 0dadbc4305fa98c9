"""How long an update takes to apply, what it fetches and how much memory it needs: `python -m bench.update_apply`.

Real images on a disk in a file; the engine in a process of its own, beside `sha256sum` and `dd` with `conv=fsync` of
the same bytes to the same places, taking turns. What is read was dropped from memory before. The updates:

    http        what runs has no block in common with the new version: everything is fetched from this computer
    machine     the same by the image's own Python, whose SHA-256 may be slower than this computer's
    folder      the same as `http`, from a folder
    full        from a folder, to an image that fills its slot: what needs the most memory
    packages    a build in which the programs of some packages differ, from the build before it, over HTTP

Only the applying is timed, from the first look at the disk to the published UKI; starting Python is not.
"""

from __future__ import annotations

import argparse
import json
import os
import random
import shutil
import statistics
import subprocess
import sys
import tempfile
import time
import uuid
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from orlop.built import BuiltImage, find
from orlop.image.index import make_index, write_index
from orlop.image.seal import Sealed, seal_usr
from orlop.model.release.index import BLOCK, PARTS, PartName, index_name
from orlop.model.update.boot import Uki
from orlop.model.words.version import Version
from orlop.node.update.slot.disk import open_disk
from orlop.node.update.slot.esp import MAGIC
from orlop.sdk.run import sdk_run
from orlop.workspace import Workspace
from simulators.httpd import serve

RATIO = 1.25
MEMORY = 64 << 20
FETCHED = 0.10
CHANGED = ("usr/bin/crun", "usr/bin/less", "usr/bin/ssh-keygen", "usr/lib/systemd/systemd-networkd")


@dataclass(frozen=True)
class BenchMachine:
    """A disk that runs `running`, its other slot empty; `esp` is its ESP, a folder."""

    disk: Path
    esp: Path
    running: Sealed

    def remove(self) -> None:
        self.disk.unlink()
        shutil.rmtree(self.esp)


def run_apply(
    machine: BenchMachine, new: Sealed, url: str, python: Sequence[str] = (sys.executable,)
) -> dict[str, float]:
    """One update, by `python`."""
    done = subprocess.run(
        [*python, *apply_argv(machine, new, url)], check=True, capture_output=True, text=True, timeout=600
    )
    found: dict[str, float] = json.loads(done.stdout)
    return found


def apply_argv(machine: BenchMachine, new: Sealed, url: str) -> list[str]:
    index = new.folder / index_name(new.version)
    values = (machine.disk, machine.esp, machine.running.version, machine.running.root_hash, index, url)
    return ["-m", "bench.apply_once", *map(str, values)]


def machine_python(ws: Workspace, runtime: Path, folder: Path) -> list[str]:
    """The command that runs the image's own Python in its own tree, with the engine of this repository."""
    links = [word for name in ("lib", "lib64") for word in ("--symlink", f"usr/{name}", f"/{name}")]
    seen = ["--ro-bind", ws.root, ws.root, "--bind", folder, folder, "--dev-bind", "/dev", "/dev", "--proc", "/proc"]
    argv = ["bwrap", "--ro-bind", runtime / "usr", "/usr", *links, *seen, "--clearenv", "--chdir", ws.root]
    return [*map(str, argv), "--setenv", "PYTHONPATH", str(ws.root), "--die-with-parent", "/usr/bin/python3.13", "-B"]


def run_dd(machine: BenchMachine, new: Sealed) -> float:
    """Seconds for the same bytes to the same places."""
    opened = open_disk(machine.disk, machine.running.root_hash)
    other = opened.slots()[1]
    opened.close()
    start = time.perf_counter()
    for name in PARTS:
        to = [f"of={machine.esp / 'dd.part'}"]
        if name != "uki":
            to = [f"of={machine.disk}", f"seek={other.part(name).first * other.sector}", "oflag=seek_bytes"]
        subprocess.run(["sha256sum", new.part(name)], check=True, capture_output=True, timeout=600)
        dd = ["dd", f"if={new.part(name)}", *to, "bs=1M", "conv=notrunc,fsync", "status=none"]
        subprocess.run(dd, check=True, timeout=600)
    took = time.perf_counter() - start
    (machine.esp / "dd.part").unlink()
    return took


class ApplyStage:
    """Makes images and machines below one folder, all from one build: the latest unless `built` is another's folder."""

    def __init__(self, ws: Workspace, folder: Path, built: Path | None = None) -> None:
        self.ws, self.folder = ws, folder
        built = built or find(ws, None)
        self.built = Sealed.of(BuiltImage.read(built))

    def latest(self) -> Sealed:
        """The latest build, with an index."""
        made = self.folder / str(self.built.version)
        made.mkdir()
        for name in PARTS:
            shutil.copyfile(self.built.part(name), made / self.built.part(name).name)
        return self._indexed(Sealed(made, self.built.version, self.built.root_hash))

    def unpacked(self) -> Path:
        """The tree of the latest build."""
        tree = self.folder / "tree"
        if not tree.exists():
            tree.mkdir()
            unpack: list[str | Path] = ["fsck.erofs", f"--extract={tree / 'usr'}", self.built.part("usr")]
            sdk_run(self.ws, unpack, what="unpacking the usr image", binds=[self.folder])
        return tree

    def changed(self) -> Sealed:
        """A build after it that differs in some packages: a quarter of each program's blocks has other content."""
        version = Version(self.built.version.day, self.built.version.number + 1)
        made, tree = self.folder / str(version), self.unpacked()
        made.mkdir()
        for name in CHANGED:
            raw, rng = bytearray((tree / name).read_bytes()), random.Random(name)
            for at in range(0, len(raw) - BLOCK, 4 * BLOCK):
                raw[at : at + BLOCK] = rng.randbytes(BLOCK)
            (tree / name).write_bytes(raw)
        sealed = seal_usr(self.ws, tree, made, version)
        uki, old = self.built.part("uki").read_bytes(), f"usrhash={self.built.root_hash}".encode()
        assert old in uki
        sealed.uki.write_bytes(uki.replace(old, f"usrhash={sealed.root_hash}".encode()))
        return self._indexed(Sealed(made, version, sealed.root_hash))

    def unlike(self) -> Sealed:
        """Random bytes of the size of the latest build."""
        return self._random(0, self.built.part("usr").stat().st_size)

    def full(self) -> Sealed:
        """Random bytes, as many as a slot has room for, with an index."""
        opened = open_disk(self.built.disk, self.built.root_hash)
        room = opened.slots()[1].room("usr")
        opened.close()
        return self._indexed(self._random(self.built.version.number + 2, room))

    def _random(self, number: int, usr: int) -> Sealed:
        """The UKI has an EFI program's magic."""
        version = Version(self.built.version.day, number)
        made, rng = self.folder / str(version), random.Random(number)
        made.mkdir()
        image = Sealed(made, version, "")
        sizes: dict[PartName, int] = {"usr": usr, "uki": self.built.part("uki").stat().st_size}
        for name, size in sizes.items():
            with image.part(name).open("wb") as f:
                for _ in range(0, size, 1 << 20):
                    f.write(rng.randbytes(1 << 20))
        with image.part("uki").open("r+b") as f:
            f.write(MAGIC)
        argv: list[str | Path] = ["veritysetup", "format", image.part("usr"), image.part("verity")]
        out = sdk_run(self.ws, argv, what="making a verity tree", binds=[self.folder])
        root_hash = next(line.split()[-1] for line in out.splitlines() if line.startswith("Root hash:"))
        return Sealed(made, version, root_hash)

    def _indexed(self, image: Sealed) -> Sealed:
        write_index(image.folder, make_index(image.folder, image.version, image.root_hash))
        return image

    def machine(self, running: Sealed, name: str) -> BenchMachine:
        disk, esp = self.folder / f"{name}.raw", self.folder / f"{name}.esp"
        subprocess.run(["cp", "--sparse=always", self.built.disk, disk], check=True)
        opened = open_disk(disk, self.built.root_hash)
        mine = opened.slots()[0]
        half = len(running.root_hash) // 2
        labels = {
            mine.usr.number: (running.version.usr_label, uuid.UUID(running.root_hash[:half])),
            mine.verity.number: (running.version.verity_label, uuid.UUID(running.root_hash[half:])),
        }
        for writes in opened.table().change(labels).copies():
            for at, data in writes:
                opened.whole.write(data, at)
        for part in ("usr", "verity"):
            opened.whole.write(running.part(part).read_bytes(), mine.part(part).first * mine.sector)
        opened.whole.flush()
        opened.close()
        (esp / "EFI/Linux").mkdir(parents=True)
        shutil.copyfile(running.part("uki"), esp / "EFI/Linux" / Uki(running.version).name)
        return BenchMachine(disk, esp, running)


def forget(*folders: Path) -> None:
    """Drop what is cached of the files, so that every run reads them from the disk."""
    for folder in folders:
        for path in [folder] if folder.is_file() else folder.rglob("*"):
            if path.is_file():
                fd = os.open(path, os.O_RDONLY)
                os.fsync(fd)
                os.posix_fadvise(fd, 0, 0, os.POSIX_FADV_DONTNEED)
                os.close(fd)


def measure(ws: Workspace, rounds: int) -> dict[str, dict[str, Any]]:
    with tempfile.TemporaryDirectory(dir=ws.state) as top:
        folder = Path(top)
        stage = ApplyStage(ws, folder)
        latest, changed, unlike, full = stage.latest(), stage.changed(), stage.unlike(), stage.full()
        with serve(latest.folder) as all_of_it, serve(changed.folder) as packages:
            here = [sys.executable]
            there = machine_python(ws, stage.unpacked() / "usr/lib/orlop/runtime", folder)
            cases = {
                "http": (unlike, latest, all_of_it.url, here),
                "machine": (unlike, latest, all_of_it.url, there),
                "folder": (unlike, latest, str(latest.folder), here),
                "full": (unlike, full, str(full.folder), here),
                "packages": (latest, changed, packages.url, here),
            }
            return {name: _case(stage, name, *case, rounds) for name, case in cases.items()}


def _case(
    stage: ApplyStage, name: str, running: Sealed, new: Sealed, url: str, python: Sequence[str], rounds: int
) -> dict[str, Any]:
    runs, dds = [], []
    for n in range(rounds):
        for kind in ("dd", "apply") if n % 2 else ("apply", "dd"):
            machine = stage.machine(running, name)
            forget(machine.disk, machine.esp, new.folder)
            if kind == "dd":
                dds.append(run_dd(machine, new))
            else:
                runs.append(run_apply(machine, new, url, python))
            machine.remove()
    median = {key: statistics.median(run[key] for run in runs) for key in runs[0]}
    dd = statistics.median(dds)
    return {**median, "dd": dd, "ratio": median["seconds"] / dd, "payload": new.payload_bytes}


def reached(found: dict[str, dict[str, Any]]) -> dict[str, bool]:
    return {
        f"applied within {RATIO} × dd": found["http"]["ratio"] <= RATIO,
        f"applied within {RATIO} × dd by the machine's own Python": found["machine"]["ratio"] <= RATIO,
        f"at most {MEMORY >> 20} MB of memory": max(case["memory"] for case in found.values()) <= MEMORY,
        f"at most {FETCHED:.0%} fetched when packages differ": found["packages"]["fetched"]
        <= FETCHED * found["packages"]["payload"],
    }


def main() -> int:
    """Print the figures; exit status 1 when one misses its target."""
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("--json", action="store_true", help="as JSON")
    parser.add_argument("--rounds", type=int, default=3)
    args = parser.parse_args()
    found = measure(Workspace.find(), args.rounds)
    targets = reached(found)
    if args.json:
        print(json.dumps({"cases": found, "targets": targets}, indent=2))
        return 0 if all(targets.values()) else 1
    print(f"{'':<10}{'applied':>9}{'dd':>9}{'ratio':>7}{'processor':>11}{'fetched':>11}{'of':>10}{'memory':>9}")
    for name, case in found.items():
        times = f"{case['seconds']:>7.2f} s{case['dd']:>7.2f} s{case['ratio']:>7.2f}{case['processor']:>9.2f} s"
        sizes = f"{case['fetched'] / 1e6:>8.1f} MB{case['payload'] / 1e6:>7.1f} MB{case['memory'] / 1e6:>6.1f} MB"
        print(f"{name:<10}{times}{sizes}")
    for what, good in targets.items():
        print(f"{'yes' if good else 'NO':<4}{what}")
    return 0 if all(targets.values()) else 1


if __name__ == "__main__":
    sys.exit(main())
