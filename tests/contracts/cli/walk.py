"""Walk every command of the Typer app through one kind of surroundings, and tell how each call ended.

    walk.py TEMPLATE WORK SURROUNDINGS     prints a list of results as JSON

Why a program of its own: it imports everything once and forks a child for each call, so a call costs milliseconds. And
it may be started in a mount namespace, where it mounts what it likes. Each call gets a world of its own: a copy of
TEMPLATE.
"""

from __future__ import annotations

import contextlib
import gc
import json
import os
import resource
import shutil
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from dataclasses import asdict, dataclass
from pathlib import Path

from orlop.cli.app import app
from tests.contracts.cli.calls import KNOWN, arguments, calls, commands, late_options
from tests.contracts.cli.children import Ended, begin, closed, count_steps, encoded, end, interrupt_at, run, state

MOUNT = shutil.which("mount") or "mount"
# each place and each step of each command; else one place and some steps, another one for each command
EVERYTHING = bool(os.environ.get("ORLOP_EXPLORE"))
Share = list[list[str]]


@dataclass
class Walk:
    template: Path
    work: Path  # results and mounts
    world: Path  # what a call works in

    def fresh(self) -> None:
        os.chdir("/")
        for name in [p.name for p in self.world.iterdir()] if self.world.exists() else ():
            path = self.world / name
            shutil.rmtree(path) if path.is_dir() and not path.is_symlink() else path.unlink()
        self.world.mkdir(exist_ok=True)
        for path in self.template.iterdir():
            target = self.world / path.name
            shutil.copytree(
                path, target, symlinks=True, copy_function=shutil.copyfile
            ) if path.is_dir() else shutil.copyfile(path, target)
        os.chdir(self.world)

    def plain(self, share: Share) -> Iterator[Ended]:
        for call in share:
            self.fresh()
            yield run(call, self.work)

    def read_only(self, share: Share) -> Iterator[Ended]:
        self.fresh()
        mount("--bind", self.world, self.world)
        mount("-o", "remount,ro,bind", self.world)
        os.chdir("/")
        os.chdir(self.world)
        for call in share:
            yield run(call, self.work)

    def full(self, share: Share) -> Iterator[Ended]:
        self.world.mkdir(exist_ok=True)
        mount("-t", "tmpfs", "-o", "size=8m", "tmpfs", self.world)
        for call in share:
            self.fresh()
            fill(self.world / "filling")
            ended = run(call, self.work)
            Path("filling").unlink()
            yield self.whole(ended)

    def instead(self, share: Share, put: Callable[[Path], None], only: tuple[str, ...]) -> Iterator[Ended]:
        for number, call in enumerate(share):
            names = [name for name in only if concerns(name, call)]
            for name in names if EVERYTHING else names[number % len(names) :][:1] if names else ():
                self.fresh()
                path = self.world / name
                shutil.rmtree(path) if path.is_dir() else path.unlink(missing_ok=True)
                put(path)
                ended = run(call, self.work)
                ended.about = name
                yield ended

    FOLDERS = (
        "state",
        "release",
        "state/images",
        "state/images/20261201.1",
        "state/lab",
        "state/lab/default",
        "release/memory",
        "release/repo",
        "release/keys",
        "release/repo/metadata",
    )
    FILES = (
        "cfg.bu",
        "pass",
        "k.key",
        "release/root.json",
        "state/lab/default/lab.json",
        "state/images/20261201.1/manifest.json",
        "release/root.draft.json",
        "release/storage",
    )

    def file_for_folder(self, share: Share) -> Iterator[Ended]:
        yield from self.instead(share, put(b"x"), self.FOLDERS)

    def loops(self, share: Share) -> Iterator[Ended]:
        yield from self.instead(share, lambda path: path.symlink_to(path.name), (*self.FOLDERS, *self.FILES))

    def folder_for_file(self, share: Share) -> Iterator[Ended]:
        yield from self.instead(share, lambda path: path.mkdir(), self.FILES)

    def garbage(self, share: Share) -> Iterator[Ended]:
        yield from self.instead(share, put(b"{}\xff"), self.FILES)

    def empty_objects(self, share: Share) -> Iterator[Ended]:
        yield from self.instead(share, put(b"{}"), self.FILES)

    def streams(self, share: Share, prepare: Callable[[], None]) -> Iterator[Ended]:
        for call in share:
            self.fresh()
            yield run(call, self.work, prepare)

    def no_input(self, share: Share) -> Iterator[Ended]:
        yield from self.streams(share, lambda: closed(0))

    def no_output(self, share: Share) -> Iterator[Ended]:
        yield from self.streams(share, lambda: closed(1))

    def no_streams(self, share: Share) -> Iterator[Ended]:
        yield from self.streams(share, lambda: closed(0, 1, 2))

    def full_output(self, share: Share) -> Iterator[Ended]:
        yield from self.streams(share, full_output)

    def ascii(self, share: Share) -> Iterator[Ended]:
        yield from self.streams(share, lambda: encoded("ascii"))

    def latin_1(self, share: Share) -> Iterator[Ended]:
        yield from self.streams(share, lambda: encoded("latin-1"))

    def no_folder(self, share: Share) -> Iterator[Ended]:
        """The folder that the command is called in was removed."""

        def prepare() -> None:
            Path(self.work / "gone").mkdir(exist_ok=True)
            os.chdir(self.work / "gone")
            os.rmdir(self.work / "gone")

        yield from self.streams(share, prepare)

    def not_utf8(self, _: Share) -> Iterator[Ended]:
        bad = os.fsdecode(b"\xff\xfe")
        for path, command in commands():
            words = [bad if w in KNOWN.values() or w == "x" else w for w in arguments(command, everything=True)]
            if path not in (["release", "serve"], ["lab", "console"]):
                self.fresh()
                yield run([*path, *words], self.work)

    def fifos(self, share: Share) -> Iterator[Ended]:
        """What a command is given to read is a FIFO that nobody writes: it waits, and Ctrl-C ends it."""
        for number, call in enumerate(share):
            for name in ("cfg.bu", "k.key", "pass"):
                if name in call or (name == "pass" and call[0] == "release" and (EVERYTHING or number % 4 == 0)):
                    self.fresh()
                    path = self.world / name
                    path.unlink()
                    os.mkfifo(path)
                    pid, since = begin(call, self.work, "call")
                    while time.monotonic() < since + 0.7:
                        time.sleep(0.02)
                        if state(pid) == "Z":
                            break
                    else:
                        os.kill(pid, signal.SIGINT)
                    ended = end(pid, since, call, self.work, "call")
                    ended.about = name
                    yield ended

    def late(self, _: Share) -> Iterator[Ended]:
        for call in late_options():
            self.fresh()
            yield run(call, self.work)

    def twice(self, share: Share) -> Iterator[Ended]:
        for call in share:
            self.fresh()
            both = [(*begin(call, self.work, name), name) for name in ("one", "two")]
            for pid, since, name in both:
                ended = end(pid, since, call, self.work, name)
                yield self.whole(ended) if name == "two" else ended

    def interrupted(self, share: Share) -> Iterator[Ended]:
        most = 1000 if EVERYTHING else 3
        steps = self.work / "steps"
        for call in share:
            self.fresh()
            steps.unlink(missing_ok=True)
            run(call, self.work, lambda: count_steps(steps))
            total = steps.stat().st_size if steps.exists() else 0
            chosen = range(total) if total <= most else sorted({i * (total - 1) // (most - 1) for i in range(most)})
            for number in chosen:
                self.fresh()
                ended = run(call, self.work, lambda n=number: interrupt_at(n))  # type: ignore[misc]
                ended.about = f"step {number} of {total}"
                yield self.whole(ended)

    def whole(self, ended: Ended) -> Ended:
        """What looks at the world afterwards finds nothing broken in it."""
        looks = (
            [["release", "verify"]]
            if ended.call[0] == "release"
            else [["image", "list", "--json"], ["lab", "list", "--json"]]
        )
        for call in looks:
            looked = run(call, self.work)
            broken = looked.code != 0 and "holds no release repository" not in looked.err
            if call[1] == "list" and not broken:
                broken = any(each.get("damaged") or each.get("trouble") for each in json.loads(looked.out))
            if broken:
                ended.after.append(f"{call}: {looked.out[-300:]} {looked.err[-600:]}")
        return ended


def put(data: bytes) -> Callable[[Path], None]:
    def into(path: Path) -> None:
        path.write_bytes(data)

    return into


def full_output() -> None:
    os.dup2(os.open("/dev/full", os.O_WRONLY), 1)


def fill(path: Path) -> None:
    with contextlib.suppress(OSError), path.open("wb", buffering=0) as f:
        while f.write(bytes(65536)):
            pass


def concerns(place: str, call: list[str]) -> bool:
    """Whether a command may ever look at that place of the world."""
    if place.startswith("release"):
        return call[0] == "release"
    if place.startswith("state"):
        return call[0] != "release" or call[1] in {"publish", "repair", "promote"}
    return (place == "pass" and call[0] == "release") or place in call


def mount(*words: object) -> None:
    subprocess.run([MOUNT, *map(str, words)], check=True)


def warm_up() -> None:
    """Let what commands import when they are called be there, so that no child has to."""
    with (
        Path(os.devnull).open("w") as nowhere,
        contextlib.redirect_stdout(nowhere),
        contextlib.redirect_stderr(nowhere),
    ):
        for call in (["image", "list"], ["config", "build", "cfg.bu"], ["release", "show"], ["release", "renew"]):
            with contextlib.suppress(SystemExit):
                app(call)
    gc.collect()
    gc.freeze()


def main() -> None:
    template, work, surroundings = sys.argv[1:]
    resource.setrlimit(resource.RLIMIT_CORE, (0, 0))
    walk = Walk(Path(template), Path(work), Path(work) / "world")
    walk.work.mkdir(parents=True, exist_ok=True)
    for name in ("COLUMNS", "TERM"):
        os.environ.pop(name, None)
    world = str(walk.world)
    os.environ |= {"ORLOP_STATE": f"{world}/state", "ORLOP_RELEASE": f"{world}/release", "HOME": world,
                   "ORLOP_PASSPHRASE_FILE": f"{world}/pass", "PATH": "/nowhere"}  # fmt: skip
    walk.fresh()
    warm_up()
    mine = calls()
    results = [asdict(ended) for ended in getattr(walk, surroundings)(mine)]
    os.chdir("/")
    sys.stdout.write(json.dumps(results))


if __name__ == "__main__":
    main()
