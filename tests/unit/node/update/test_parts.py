"""The plan, the journal, the lock client and the writer's own refusals."""

from __future__ import annotations

import json
import random
import tracemalloc
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import UTC, datetime
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from orlop.cluster.lock import LockRefused
from orlop.errors import BadInput, NoSpace
from orlop.model.release.index import BLOCK, DIGEST, Blob, Frame, Part
from orlop.model.update.memory import Denied, Memory
from orlop.model.update.state import Staged, Target
from orlop.model.words.version import Version
from orlop.net.errors import Unreachable
from orlop.node.update.blobs import plan as planner
from orlop.node.update.blobs.plan import BlockRun, plan
from orlop.node.update.fleetlock import FleetLock
from orlop.node.update.journal import LARGEST, NAME, Journal
from orlop.node.update.slot.writer import Writer
from simulators import machine
from simulators.httpd import running
from simulators.releases import part, release

V1, V2 = Version.parse("20261201.1"), Version.parse("20261202.1")
NOW = datetime(2026, 12, 1, tzinfo=UTC)
kinds = st.lists(st.integers(0, 5), max_size=40)


@given(st.data())
def test_a_plan_makes_the_new_part_whatever_is_there(data: st.DataObject) -> None:
    new, here, old = (_raw(data.draw(kinds)) for _ in range(3))
    new = new or bytes(BLOCK)
    wanted = part(new)
    packed = data.draw(st.lists(st.tuples(st.integers(0, 30), st.integers(1, 8)), max_size=4))
    frames = [Frame(n, k, 0, 0, 0, 100, "00" * 32) for n, k in packed if n + k <= wanted.blocks]
    made = plan(wanted, here=part(here).digests, old=part(old).digests, frames=frames)
    disk = bytearray(here.ljust(len(new), b"\x99")[: len(new)])
    for run in made.zeros:
        disk[run.first * BLOCK : run.end * BLOCK] = bytes(run.count * BLOCK)
    for copy in made.copies:
        end = copy.first + copy.count
        disk[copy.first * BLOCK : end * BLOCK] = old[copy.old * BLOCK : (copy.old + copy.count) * BLOCK]
    for first, end in [(f.first, f.first + f.count) for f in made.frames] + [(r.first, r.end) for r in made.fetch]:
        disk[first * BLOCK : end * BLOCK] = new[first * BLOCK : end * BLOCK]
    assert bytes(disk) == new
    if not frames:
        assert planner.runs(_missing(wanted.digests, here, old), gap=planner.GAP) == made.fetch


def test_a_plan_of_many_blocks_needs_little_memory() -> None:
    """65536 blocks, all of them elsewhere in the running part: a quarter of a slot of 1 GiB."""
    rng = random.Random(0)
    digests, here = rng.randbytes(65536 * DIGEST), rng.randbytes(65536 * DIGEST)
    wanted = Part(Blob("00" * 32, 65536 * BLOCK), digests)
    old = digests[DIGEST:] + digests[:DIGEST]
    tracemalloc.start()
    try:
        made = plan(wanted, here=here, old=old)
        _, most = tracemalloc.get_traced_memory()
    finally:
        tracemalloc.stop()
    assert [(c.first, c.count, c.old) for c in made.copies] == [(0, 1, 65535), (1, 65535, 0)]
    assert made.fetch == () and most < 8 << 20


def _raw(found: list[int]) -> bytes:
    return b"".join(bytes([n]) * BLOCK for n in found)


def _missing(digests: bytes, here: bytes, old: bytes) -> Iterator[int]:
    have, had = part(here).digests, part(old).digests
    known = {had[n : n + DIGEST] for n in range(0, len(had), DIGEST)}
    for n in range(len(digests) // DIGEST):
        digest = digests[n * DIGEST : (n + 1) * DIGEST]
        if digest not in known and digest != planner.ZERO and have[n * DIGEST : (n + 1) * DIGEST] != digest:
            yield n


def test_runs_that_are_near_become_one() -> None:
    assert planner.runs([1, 2, 5, 20], gap=2) == (BlockRun(1, 5), BlockRun(20, 1))
    assert planner.runs([]) == ()


def test_a_frame_is_used_when_it_is_smaller_than_what_it_brings() -> None:
    frame = Frame(0, 10, 0, 0, 0, 3 * BLOCK, "00" * 32)
    assert planner.cheaper([frame], [1, 2, 3, 4]) == (frame,)
    assert planner.cheaper([frame], [1, 2, 3]) == ()
    assert planner.cheaper([frame, frame], [1, 2, 3, 4]) == (frame,)


def remembered(number: int) -> Memory:
    return Memory(state=Staged(Target(V2, f"{number:064x}")), denied=(Denied(V1, "it hung", NOW),), failures=number)


def test_what_was_saved_last_is_loaded(tmp_path: Path) -> None:
    assert Journal(tmp_path).load() == Memory()
    journal = Journal(tmp_path / "a/b")
    for n in range(5):
        journal.save(remembered(n))
    assert Journal(tmp_path / "a/b").load() == remembered(4)


def test_the_file_does_not_grow_for_ever(tmp_path: Path) -> None:
    journal = Journal(tmp_path)
    for n in range(900):
        journal.save(Memory(failures=n, hold="h" * 400))
    assert (tmp_path / NAME).stat().st_size <= LARGEST
    assert Journal(tmp_path).load().failures == 899


def test_cut_off_anywhere_an_earlier_line_or_none_is_left(tmp_path: Path) -> None:
    journal = Journal(tmp_path)
    for n in range(3):
        journal.save(remembered(n))
    raw = (tmp_path / NAME).read_bytes()
    known = [Memory(), *map(remembered, range(3))]
    seen = []
    for length in range(len(raw) + 1):
        (tmp_path / NAME).write_bytes(raw[:length])
        seen.append(known.index(Journal(tmp_path).load()))
    assert seen == sorted(seen) and set(seen) == {0, 1, 2, 3}


@given(st.data())
def test_garbage_costs_the_lines_it_hits_and_no_others(tmp_path_factory: pytest.TempPathFactory, data: Any) -> None:
    folder = tmp_path_factory.mktemp("journal")
    journal = Journal(folder)
    for n in range(3):
        journal.save(remembered(n))
    raw = bytearray((folder / NAME).read_bytes())
    at = data.draw(st.integers(0, len(raw) - 1))
    raw[at : at + data.draw(st.integers(0, 300))] = data.draw(st.binary(max_size=300))
    (folder / NAME).write_bytes(raw)
    again = Journal(folder)
    assert again.load() in [Memory(), *map(remembered, range(3))]
    again.save(remembered(9))
    assert Journal(folder).load() == remembered(9)


def test_a_full_disk_is_said_and_the_last_line_still_counts(tmp_path: Path) -> None:
    (tmp_path / "full").mkdir()
    (tmp_path / "full" / NAME).symlink_to("/dev/full")
    with pytest.raises(NoSpace, match="no space left to write"):
        Journal(tmp_path / "full").save(Memory())


@contextmanager
def lock_service(status: int, answer: bytes) -> Iterator[tuple[str, list[Any]]]:
    """A FleetLock server that always answers this; what it was asked."""
    asked: list[Any] = []

    class Handler(BaseHTTPRequestHandler):
        def log_message(self, format: str, *args: Any) -> None:  # noqa: A002
            pass

        def do_POST(self) -> None:
            body = self.rfile.read(int(self.headers["Content-Length"]))
            asked.append((self.path, self.headers["fleet-lock-protocol"], json.loads(body)))
            self.send_response(status)
            self.send_header("Content-Length", str(len(answer)))
            self.end_headers()
            self.wfile.write(answer)

    with running(ThreadingHTTPServer(("127.0.0.1", 0), Handler)) as address:
        yield f"{address}lock/", asked


def test_the_lock_is_asked_for_and_given_back() -> None:
    with lock_service(200, b"") as (url, asked):
        lock = FleetLock(url, "7f1c", "workers")
        lock.take()
        lock.give_back()
    body = {"client_params": {"group": "workers", "id": "7f1c"}}
    assert asked == [("/lock/v1/pre-reboot", "true", body), ("/lock/v1/steady-state", "true", body)]


@pytest.mark.parametrize(
    ("status", "answer", "words"),
    [
        (409, b'{"kind": "failed_lock", "value": "all slots are taken"}', r"all slots are taken \(failed_lock\)"),
        (500, b"<html>", "status 500"),
        (404, b"[]", "status 404"),
        (409, b"[" * 60_000, "status 409"),
        (
            409,
            b'{"kind": "k", "value": "no\\nMAINPID=1\\ud800\\u001b[2J"}',
            "refuses: no MAINPID=1\ufffd\ufffd.2J .k.$",
        ),
        (409, b'{"kind": "k", "value": "' + b"x" * 60_000 + b'"}', "refuses: x{199}…$"),
    ],
)
def test_a_refusal_has_the_service_s_words(status: int, answer: bytes, words: str) -> None:
    with lock_service(status, answer) as (url, _), pytest.raises(LockRefused, match=words):
        FleetLock(url, "7f1c").take()


def test_a_lock_service_that_is_not_there() -> None:
    with pytest.raises(Unreachable, match="does not answer"):
        FleetLock("http://127.0.0.1:1", "7f1c", timeout=2).take()
    with pytest.raises(BadInput, match="the address of the lock service must be"):
        FleetLock("lock.example", "7f1c")
    with pytest.raises(BadInput, match=r"the address of the lock service must be .*: the port") as e:
        FleetLock("http://u:secret@h:99999/", "7f1c")
    assert "secret" not in e.value.message
    with pytest.raises(BadInput, match="the group of a lock must be"):
        FleetLock("http://lock.example", "7f1c", "all of them")


def test_what_does_not_fit_is_refused_before_anything_is_touched() -> None:
    first, second = release("20261130.1", blocks=16), release("20261201.1", blocks=16)
    medium = machine.install(second, first)
    before = medium.durable.read(0, medium.size)
    esp = machine.esp_of(medium, random.Random(0))
    medium.log.clear()
    writer = Writer(machine.disk_of(medium, second.index.root_hash), esp, second.version)
    with pytest.raises(NoSpace, match="the slot has"):
        writer.prepare(release("20261202.1", blocks=300).index)
    with pytest.raises(NoSpace, match="the ESP has"):
        writer.prepare(release("20261202.1", blocks=16, uki=4 << 20).index)
    assert not medium.log
    assert medium.durable.read(0, medium.size) == before
