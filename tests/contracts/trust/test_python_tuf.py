"""What we publish is read by TUF's own client: two implementations agree on what is believed."""

from __future__ import annotations

from collections.abc import Iterator
from datetime import UTC, datetime
from pathlib import Path

import pytest
from tuf.ngclient import Updater

from orlop.built import BuiltImage
from orlop.model.release.channel import decode, target_name
from orlop.model.release.rollout import PLANS
from orlop.publish.content.publish import Publication, plan
from orlop.publish.repository.audit import audit
from orlop.publish.roots import ceremony, rotation
from orlop.publish.serve import server
from orlop.publish.storage.blobs import blobs_at
from orlop.steps import Steps
from orlop.trust.http import fetcher
from simulators.httpd import running
from simulators.publisher import Publisher, make_image


@pytest.fixture
def publisher(tmp_path: Path) -> Publisher:
    """A repository of now, with one version on alpha."""
    made = Publisher(tmp_path, now=datetime.now(UTC).replace(microsecond=0))
    made.create()
    built = BuiltImage.read(make_image(tmp_path / "images", "20261201.1"))
    state = made.repository.load()
    wish = Publication("alpha", PLANS["default"][0], 0)
    found = plan(made.storage, state, built, wish, tmp_path, (), Steps(quiet=True), made.now)
    made.repository.commit(state, found.change, made.now)
    return made


@pytest.fixture
def url(publisher: Publisher) -> Iterator[str]:
    with running(server(publisher.folder / "repo", "127.0.0.1", 0)) as address:
        yield address


def updater(folder: Path, url: str, given: bytes) -> Updater:
    (folder / "metadata").mkdir(exist_ok=True)
    (folder / "targets").mkdir(exist_ok=True)
    return Updater(
        str(folder / "metadata"), f"{url}metadata/", str(folder / "targets"), f"{url}targets/", bootstrap=given
    )


def document(folder: Path, url: str, given: bytes) -> bytes:
    """The document of alpha as TUF's own client gets it."""
    theirs = updater(folder, url, given)
    theirs.refresh()
    info = theirs.get_targetinfo(target_name("alpha"))
    assert info is not None
    return Path(theirs.download_target(info)).read_bytes()


def test_its_client_reads_what_we_publish(publisher: Publisher, url: str, tmp_path: Path) -> None:
    found = decode(document(tmp_path, url, publisher.given), "alpha")
    assert [str(e.version) for e in found.entries] == ["20261201.1"]
    theirs = updater(tmp_path, url, publisher.given)
    info = theirs.get_targetinfo(found.entries[0].images[0].index)
    assert info is not None
    assert Path(theirs.download_target(info)).stat().st_size == info.length
    assert all(f.good for f in audit(fetcher(url), blobs_at(url), publisher.given, publisher.now, bytes_too=True))


@pytest.mark.parametrize("role", ["timestamp", "snapshot", "targets"])
def test_it_follows_our_rotations(publisher: Publisher, url: str, tmp_path: Path, role: str) -> None:
    before = document(tmp_path, url, publisher.given)
    for n in (2, 3):
        draft = publisher.next_root()
        ceremony.replace_keys(draft, role, [publisher.keyring.make(f"{role}-{n}")])
        ceremony.sign(draft, publisher.keyring)
        rotation.apply(publisher.repository, draft, publisher.now)
    assert document(tmp_path, url, publisher.given) == before
    assert (tmp_path / "metadata/root_history/3.root.json").exists()
