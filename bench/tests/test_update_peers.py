"""The tools that compare update engines: memory of a family of processes, its end, and the tables."""

from __future__ import annotations

import subprocess
import sys
import time
from pathlib import Path

from bench import deltas, update_peers
from bench.update_peers import OTHER, PeerMemory, _family, kill

# a process with a child with 64 MiB, both waiting
PARENT = (
    "import subprocess, sys\n"
    "child = 'import time; held = bytearray(b\"x\") * (64 << 20); print(1, flush=True); time.sleep(60)'\n"
    "subprocess.run([sys.executable, '-c', child])\n"
)


def parent() -> subprocess.Popen[str]:
    argv = [sys.executable, "-c", PARENT]
    process = subprocess.Popen(argv, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True, start_new_session=True)
    assert process.stdout is not None
    assert process.stdout.readline() == "1\n"
    return process


def test_memory_is_that_of_all_below_a_process() -> None:
    process = parent()
    try:
        memory = PeerMemory(process.pid)
        deadline = time.monotonic() + 10
        while memory.most < 64 << 20 and time.monotonic() < deadline:
            time.sleep(0.02)
        memory.ended.set()
        assert 64 << 20 < memory.most < 256 << 20
    finally:
        kill(process)


def test_a_kill_leaves_nothing_of_the_family() -> None:
    process = parent()
    family = list(_family(process.pid))
    assert len(family) == 2
    kill(process)
    deadline = time.monotonic() + 10
    while any(_runs(pid) for pid in family) and time.monotonic() < deadline:
        time.sleep(0.02)
    assert not any(_runs(pid) for pid in family)


def _runs(pid: int) -> bool:
    """A child whose parent was killed with it may be left as a zombie where nobody reaps."""
    try:
        return Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0] != "Z"
    except FileNotFoundError:
        return False


def run_of(seconds: float) -> dict[str, object]:
    return {"seconds": seconds, "sync": 0.0, "fetched": 5e6, "memory": 4e7, "notes": {"read from the bundle": 4096}}


def test_the_table_gives_ratios_to_ours_and_says_what_a_cut_left() -> None:
    runs = {name: [run_of(n)] * 3 for n, name in enumerate(("orlop", "sysupdate", "rauc", "rauc adaptive"), 1)}
    after = {OTHER: "_empty", "ESP": ["orlop_1.efi"], "starts": "20261201.1", "old slot untouched": False}
    cut = {"after the cut": after, "fetched before": 6e7, "fetched again": 8e7}
    found = {"runs": {"everything": runs}, "cuts": {"sysupdate": cut}, "rauc with a verity bundle": "no dm-verity"}
    text = update_peers.text(found)
    assert [line.split()[4] for line in text.splitlines()[1:4]] == ["1.00", "2.00", "3.00"]
    assert "DAMAGED" in text
    assert "60.0 MB, and once more 80.0 MB" in text
    assert text.endswith("no dm-verity")


def test_a_delta_over_its_limit_is_no() -> None:
    row = {"metadata": 1e4, "index": 1.4e6, "patches": 4e6, "blocks": 5e6, "payload": 1e8}
    published = {"all": {"seconds": 61.0, "bases": 3}}
    found = {"downloaded": {"patch": row, "all": row | {"patches": 6e7}}, "published": published}
    answers = list(deltas.reached(found | {"check": {"requests": 1, "bytes": 480}}).values())
    assert answers == [True, False, False, True]
