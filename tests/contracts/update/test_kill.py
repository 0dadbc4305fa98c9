"""SIGKILL, again and again, in a real process on a real file: what runs stays as it was, and the update ends."""

from __future__ import annotations

import hashlib
import random
import subprocess
import sys
from pathlib import Path

import pytest

from orlop.model.release.index import encode
from orlop.model.update.boot import Uki, first
from orlop.node.update.slot import verity
from orlop.node.update.slot.disk import open_disk
from orlop.node.update.slot.esp import MAGIC
from simulators import machine
from simulators.httpd import serve
from simulators.medium import SECTOR
from simulators.releases import release

OLD = release("20261201.1", blocks=250, uki=200_000)
NEW = release("20261202.1", blocks=250, uki=200_000, seed=1)  # nothing in common: all of it is fetched
RATE = 700_000


@pytest.mark.slow
def test_killed_at_any_moment_it_goes_on_where_it_was(tmp_path: Path) -> None:
    medium = machine.install(OLD)
    disk, folder = tmp_path / "disk.raw", tmp_path / "esp/EFI/Linux"
    disk.write_bytes(medium.durable.read(0, medium.size))
    folder.mkdir(parents=True)
    (folder / Uki(OLD.version).name).write_bytes(OLD.uki)
    NEW.publish(tmp_path / "server")
    (tmp_path / "index").write_bytes(encode(NEW.index))
    rng, killed = random.Random(4), 0
    with serve(tmp_path / "server") as server:
        values = (disk, tmp_path / "esp", tmp_path / "state", server.url, OLD.version, OLD.index.root_hash)
        argv = [*map(str, values), str(tmp_path / "index"), str(RATE)]
        for _ in range(60):
            child = subprocess.Popen(
                [sys.executable, "-m", "tests.contracts.update.engine_process", *argv],
                stdout=subprocess.PIPE, stderr=subprocess.PIPE,
            )  # fmt: skip
            with child:
                assert child.stdout is not None
                child.stdout.readline()  # it has begun: how long Python takes to start is not what is tried
                try:
                    ended = child.wait(timeout=rng.uniform(0.0, 0.5) if killed < 12 else 60)
                except subprocess.TimeoutExpired:
                    child.kill()
                    killed += 1
                    ended = None
                said = child.stderr.read().decode() if child.stderr else ""
            assert ended in (None, 0), said
            judge(disk, folder)
            if ended == 0:
                break
        asked = [(path, int(text.removeprefix("bytes=").partition("-")[0])) for path, text in server.asked]
    assert killed >= 8
    assert first(p.name for p in folder.iterdir()) == Uki.fresh(NEW.version)
    for blob in (NEW.index.usr.blob, NEW.index.uki.blob):
        starts = [start for path, start in asked if path == blob.path]
        assert starts == sorted(starts), "it began anew instead of going on"
    assert len(asked) > 6


def judge(disk: Path, folder: Path) -> None:
    """What the firmware would find now."""
    names = {p.name for p in folder.iterdir() if not p.name.endswith(".efi") or p.read_bytes()[:2] == MAGIC}
    assert (folder / Uki(OLD.version).name).read_bytes() == OLD.uki
    opened = open_disk(disk, OLD.index.root_hash)
    mine, other = opened.slots()
    with opened.reading(mine.usr) as usr, opened.reading(mine.verity) as tree:
        verity.verify(usr, tree, OLD.index.root_hash)
    starts = first(names)
    assert starts in (Uki(OLD.version), Uki.fresh(NEW.version))
    if starts == Uki.fresh(NEW.version):
        assert hashlib.sha256((folder / starts.name).read_bytes()).hexdigest() == NEW.index.uki.blob.sha256
        assert other.root_hash == NEW.index.root_hash
        with opened.reading(other.usr) as usr, opened.reading(other.verity) as tree:
            verity.verify(usr, tree, NEW.index.root_hash)
    opened.close()
    assert disk.stat().st_size % SECTOR == 0
