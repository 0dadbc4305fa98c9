"""An image that somebody names by hand: found, checked for what can be checked, remembered."""

from __future__ import annotations

from datetime import UTC, datetime
from pathlib import Path

import pytest

from orlop.errors import BadInput, Missing, OrlopError
from orlop.model.release.index import index_name
from orlop.model.update.memory import Memory
from orlop.node.update.blobs.fetch import Blocks
from orlop.node.update.blobs.plan import BlockRun
from orlop.node.update.catalog.unsigned import NAME, Choice, UnsignedFolder, forget, recall, remember
from orlop.node.update.outside import Situation
from simulators.releases import release
from simulators.webserver import serving
from tests.unit.model.release.channels import v

NOW = Situation(datetime(2026, 12, 1, tzinfo=UTC), v(1), Memory())

NEW, OLD = release("20261201.10", blocks=8, uki=5000), release("20261201.9", blocks=8, uki=5000)


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    for made in (NEW, OLD):
        made.publish(tmp_path / "images", by_name=True)
    (tmp_path / "images/orlop_nonsense.index.json").write_bytes(b"")
    return tmp_path / "images"


def test_the_newest_of_a_folder_or_the_one_that_is_named(folder: Path) -> None:
    for url in (str(folder), f"file://{folder}"):
        catalog = UnsignedFolder(url)
        assert catalog.offer(NOW) is None
        target = catalog.named()
        assert (target.version, target.root_hash, target.why) == (v(10), NEW.index.root_hash, "named")
        assert catalog.named(v(9)).version == v(9)
        assert catalog.index(target, NOW) == NEW.index


def test_a_web_server_must_be_told_the_version(folder: Path) -> None:
    def files(path: str) -> bytes | None:
        return (folder / path).read_bytes() if (folder / path).is_file() else None

    with serving(files) as url:
        catalog = UnsignedFolder(url)
        with pytest.raises(BadInput, match="does not say which versions") as e:
            catalog.named()
        assert "--to VERSION" in e.value.hint
        target = catalog.named(v(10))
        assert catalog.index(target, NOW) == NEW.index
        blocks = Blocks(NEW.index.uki, (NEW.index.uki.blob.path, "orlop_20261201.10.efi"))
        sent = b"".join(bytes(data) for _, data in catalog.fetcher(target).fetch(blocks, [BlockRun(0, 2)]))
        assert sent == NEW.uki
        with pytest.raises(Missing, match=r"has no orlop_20261201\.3\.index\.json"):
            catalog.named(v(3))


def test_what_is_no_image_is_refused(folder: Path, tmp_path: Path) -> None:
    (tmp_path / "empty").mkdir()
    for url in (str(tmp_path / "nowhere"), str(tmp_path / "empty")):
        with pytest.raises(Missing):
            UnsignedFolder(url).named()
    (folder / index_name(v(10))).write_bytes(b"{}")
    with pytest.raises(BadInput):
        UnsignedFolder(str(folder)).named()
    (folder / index_name(v(10))).write_bytes((folder / index_name(v(9))).read_bytes())
    with pytest.raises(BadInput, match=r"is the index of 20261201\.9"):
        UnsignedFolder(str(folder)).named()
    with pytest.raises(BadInput):
        UnsignedFolder("ftp://example.com/")


def test_a_choice_survives(tmp_path: Path) -> None:
    assert recall(tmp_path) is None
    choice = Choice("http://builder:8000/", v(10), unsigned=True)
    remember(tmp_path, choice)
    assert recall(tmp_path) == choice
    forget(tmp_path)
    forget(tmp_path)
    assert recall(tmp_path) is None


@pytest.mark.parametrize(
    "raw",
    [b"", b"{", b"[]", b"{}", b'{"url": "x", "version": "20261201.1"}', b'{"url": 1, "version": "1"}', b" " * 99999],
)
def test_a_damaged_choice_is_no_choice(tmp_path: Path, raw: bytes) -> None:
    (tmp_path / NAME).write_bytes(raw)
    with pytest.raises(OrlopError, match="is damaged"):
        recall(tmp_path)
