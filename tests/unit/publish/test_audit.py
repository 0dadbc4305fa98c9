"""What an outsider's check finds, asked of a folder, of S3-style storage and of a web server."""

from __future__ import annotations

from collections.abc import Iterator
from datetime import timedelta
from pathlib import Path

import pytest

from orlop.errors import OrlopError
from orlop.net.errors import Unreachable
from orlop.publish.repository.audit import AuditFinding, audit
from orlop.publish.repository.repository import Change, StorageFetch
from orlop.publish.storage.blobs import blobs_at
from orlop.publish.storage.s3 import S3Storage
from orlop.trust.http import fetcher
from simulators.httpd import WebServer, serve
from simulators.publisher import Publisher
from simulators.s3 import WHO, storing
from tests.unit.publish.publishing import bad, release, replace_storage


@pytest.fixture
def server(publisher: Publisher) -> Iterator[WebServer]:
    with serve(publisher.folder / "repo") as found:
        yield found


def usr_blob(publisher: Publisher) -> Path:
    return next(p for p in (publisher.folder / "repo/blobs").iterdir() if p.stat().st_size == 64 * 4096)


def findings(publisher: Publisher, url: str, *, bytes_too: bool = False) -> list[AuditFinding]:
    return list(audit(fetcher(url), blobs_at(url), publisher.given, publisher.now, bytes_too=bytes_too))


def texts(found: list[AuditFinding]) -> list[str]:
    return [f.what for f in found if not f.good]


def test_an_audit_finds_what_is_missing_and_what_is_damaged(publisher: Publisher) -> None:
    release(publisher, "20261201.1")
    blob = next(p for p in (publisher.folder / "repo/blobs").iterdir() if p.stat().st_size == 64 * 4096)
    blob.write_bytes(b"\0" * blob.stat().st_size)
    assert not bad(publisher, bytes_too=False)
    assert ["is damaged" in f.what for f in bad(publisher)] == [True]
    blob.unlink()
    assert ["is missing" in f.what for f in bad(publisher, bytes_too=False)] == [True]
    index = next((publisher.folder / "repo/targets/alpha").glob("*.index.json"))
    index.unlink()
    assert any(".index.json" in f.what for f in bad(publisher))
    (publisher.folder / "repo/metadata/timestamp.json").unlink()
    assert len(bad(publisher)) == 1


@pytest.mark.parametrize("left", [5000, 0])
def test_a_blob_that_was_cut_short_is_found_without_reading_it(
    publisher: Publisher, server: WebServer, left: int
) -> None:
    release(publisher, "20261201.1")
    blob = usr_blob(publisher)
    blob.write_bytes(blob.read_bytes()[:left])
    wanted = [f"alpha 20261201.1: blobs/{blob.name} has {left} bytes, not {64 * 4096}"]
    assert texts(bad(publisher, bytes_too=False)) == wanted
    assert texts(findings(publisher, str(publisher.folder / "repo"))) == wanted
    assert texts(findings(publisher, server.url)) == wanted
    assert server.sent < 64 * 4096


def test_over_http_every_byte_is_read_when_wanted(publisher: Publisher, server: WebServer) -> None:
    release(publisher, "20261201.1")
    assert texts(findings(publisher, server.url, bytes_too=True)) == []
    blob = usr_blob(publisher)
    blob.write_bytes(b"\0" * blob.stat().st_size)
    assert texts(findings(publisher, server.url)) == []
    assert texts(findings(publisher, server.url, bytes_too=True)) == [f"alpha 20261201.1: blobs/{blob.name} is damaged"]
    blob.unlink()
    assert texts(findings(publisher, server.url)) == [f"alpha 20261201.1: blobs/{blob.name} is missing"]


def test_in_s3_blobs_are_asked_for_their_size_only(tmp_path: Path) -> None:
    publisher = Publisher(tmp_path)
    with storing() as (url, bucket):
        p = replace_storage(publisher, S3Storage(url, WHO), tmp_path / "memory")
        p.create()
        release(p, "20261201.1")
        bucket.gets.clear()
        assert not bad(p, bytes_too=False)
        assert [k.partition("/blobs/")[2] for k in bucket.gets if "/blobs/" in k] == [
            p.repository.load().document("alpha").entries[0].sbom
        ]
        key = next(k for k, (body, *_) in bucket.objects.items() if len(body) == 64 * 4096)
        body, headers, made = bucket.objects[key]
        bucket.objects[key] = (body[:-1], headers, made)
        assert texts(bad(p, bytes_too=False)) == [
            f"alpha 20261201.1: {key.removeprefix('os/')} has {64 * 4096 - 1} bytes, not {64 * 4096}"
        ]
        bucket.objects[key] = (body[:-1] + b"!", headers, made)
        assert ["is damaged" in f.what for f in bad(p)] == [True]


def test_what_cannot_be_reached_is_a_finding_and_not_the_end(publisher: Publisher) -> None:
    release(publisher, "20261201.1")
    release(publisher, "20261202.1", changed=3)
    sbom = publisher.repository.load().document("alpha").entries[0].sbom
    usr = usr_blob(publisher).name

    class Broken(StorageFetch):
        def __call__(self, path: str, most: int) -> bytes | None:
            if path.endswith(sbom):
                raise Unreachable("the server broke off")
            return super().__call__(path, most)

        def size(self, path: str) -> int | None:
            if path.endswith(usr):
                raise Unreachable("the server is silent")
            return self.storage.size(path)

        def sha256(self, path: str) -> str | None:
            return self.storage.sha256(path)

    broken = Broken(publisher.storage)
    found = list(audit(broken, broken, publisher.given, publisher.now))
    assert sorted(text.partition(": ")[2] for text in texts(found)) == [
        f"blobs/{usr} is not to be had: the server is silent",
        "the SBOM is not to be had: the server broke off",
    ]
    assert "channel stable: no version" in [f.what for f in found]


def test_what_expires_soon_is_flagged_for_channels_too(publisher: Publisher) -> None:
    publisher.now += timedelta(days=88)
    state = publisher.repository.load()
    publisher.repository.commit(state, Change(renew=["beta"]), publisher.now)
    found = audit(StorageFetch(publisher.storage), publisher.storage, publisher.given, publisher.now)
    assert [f.what.partition(" ")[0] for f in found if f.soon] == ["alpha", "stable"]


@pytest.mark.parametrize("vices", [{"status": 500}, {"redirect": "ftp://elsewhere/"}, {"unchunked": True}])
def test_a_web_server_that_does_not_say_the_size(
    publisher: Publisher, server: WebServer, vices: dict[str, object]
) -> None:
    release(publisher, "20261201.1")
    for name, value in vices.items():
        setattr(server.vices, name, value)
    with pytest.raises(OrlopError):
        blobs_at(server.url).size(f"blobs/{usr_blob(publisher).name}")
