"""Servers that mean harm or say nothing: whatever the first one does, the engine lives and the second one is used."""

from __future__ import annotations

import random
from pathlib import Path

import pytest

from orlop.model.index import BLOCK
from orlop.node.update.catalog import Following, Repository
from orlop.node.update.fetch import Blocks, Fetcher
from orlop.node.update.plan import Run
from orlop.node.update.source import SourceError, source
from tests.simulators import hostile
from tests.simulators.releases import part
from tests.simulators.webserver import serving
from tests.unit.node.update.test_catalog import Life

RAW = random.Random(5).randbytes(5 * BLOCK)
PART = part(RAW)
PATHS = (PART.blob.path, "orlop_20261201.1.usr.raw")


def whole(*urls: str) -> bytes:
    found = Fetcher([source(url, stall=2) for url in urls], sleep=lambda _: None)
    return b"".join(bytes(data) for _, data in found.fetch(Blocks(PART, PATHS), [Run(0, PART.blocks)]))


@pytest.mark.parametrize("raw", hostile.ANSWERS.values(), ids=hostile.ANSWERS)
def test_blobs_come_from_another_server_whatever_the_first_answers(raw: bytes) -> None:
    with hostile.answering(raw) as bad, serving({PART.blob.path: RAW}.get) as good:
        with pytest.raises(SourceError) as e:
            whole(bad)
        assert e.value.message.isprintable()
        assert len(e.value.message) < 400
        assert whole(bad, good) == RAW


@pytest.mark.parametrize("raw", hostile.ANSWERS.values(), ids=hostile.ANSWERS)
def test_releases_are_learnt_from_another_server_whatever_the_first_answers(tmp_path: Path, raw: bytes) -> None:
    life = Life(tmp_path)
    files = life.repo.files

    def served(path: str) -> bytes | None:
        return files.get(path.removeprefix("metadata/"))

    with hostile.answering(raw) as bad, serving(served) as good:
        life.catalog = Repository(Following((bad, good)), life.repo.first_root, tmp_path, life.catalog._myself)
        assert life.catalog.offer() is None
        assert life.catalog.answer is not None
