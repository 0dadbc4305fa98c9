"""How systemd-repart is started for /var: the real script, with programs that note how they were called."""

from __future__ import annotations

import os
import subprocess
from pathlib import Path

import pytest

SCRIPT = Path("os/initrd/tree/usr/lib/orlop/make-var").resolve()
CALLED = "systemd-repart --dry-run=no --offline=no --definitions=/sysusr/usr/lib/repart.d"


class Initrd:
    def __init__(self, top: Path) -> None:
        self.top = top
        (top / "bin").mkdir()
        (top / "run").mkdir()
        self.node = top / "node"
        self.program("mknod", f'[ "$2" = 600 ] && echo "$4 $5 $6" > "{self.node}"')
        self.repart(0)

    def program(self, name: str, does: str) -> None:
        path = self.top / "bin" / name
        path.write_text(f'#!/bin/sh\necho "${{0##*/}} $*" >> "{self.top}/calls"\n{does}\n')
        path.chmod(0o755)

    def repart(self, code: int) -> None:
        self.program("systemd-repart", f'cat "{self.node}" >> "{self.top}/seen" 2> /dev/null\nexit {code}')

    def disk(self, name: str, number: str) -> None:
        for path, text in ((f"run/disk/{name}", ""), (f"block/{name}/dev", f"{number}\n")):
            (self.top / path).parent.mkdir(parents=True, exist_ok=True)
            (self.top / path).write_text(text)

    def run(self) -> int:
        at = {"RUN": self.top / "run", "BLOCK": self.top / "block", "NODE": self.node}
        env = {f"ORLOP_{name}": str(path) for name, path in at.items()}
        env["PATH"] = f"{self.top}/bin:{os.environ['PATH']}"
        done = subprocess.run(["sh", str(SCRIPT)], env=env, capture_output=True, text=True, check=False, timeout=20)
        assert done.stdout == done.stderr == ""
        return done.returncode

    @property
    def calls(self) -> list[str]:
        return (self.top / "calls").read_text().splitlines()


@pytest.fixture
def initrd(tmp_path: Path) -> Initrd:
    return Initrd(tmp_path)


@pytest.mark.parametrize("code", [0, 1, 77])
def test_the_disk_has_another_name_for_as_long_as_repart_runs(initrd: Initrd, code: int) -> None:
    initrd.disk("vda", "254:0")
    initrd.repart(code)
    assert initrd.run() == code
    assert initrd.calls == [f"mknod -m 600 {initrd.node} b 254 0", f"{CALLED} {initrd.node}"]
    assert (initrd.top / "seen").read_text() == "b 254 0\n"
    assert not initrd.node.exists()


def test_one_that_was_killed_leaves_nothing_that_counts(initrd: Initrd) -> None:
    initrd.disk("nvme0n1", "259:3")
    initrd.node.write_text("b 8 16\n")
    assert initrd.run() == 0
    assert (initrd.top / "seen").read_text() == "b 259 3\n"


def test_without_a_noted_disk_repart_looks_for_it(initrd: Initrd) -> None:
    assert initrd.run() == 0
    assert initrd.calls == [CALLED]


def test_without_a_second_name_repart_is_still_run(initrd: Initrd) -> None:
    initrd.disk("vda", "254:0")
    initrd.program("mknod", "exit 1")
    initrd.repart(3)
    assert initrd.run() == 3
    assert initrd.calls[-1] == CALLED
