"""What every storage must do, asked of each of them."""

from __future__ import annotations

import hashlib
from collections.abc import Iterator
from pathlib import Path

import pytest

from orlop.errors import BadInput, Busy, OrlopError
from orlop.net.errors import Unreachable
from orlop.net.s3 import Credentials, authorization
from orlop.publish.storage.s3 import S3Storage
from orlop.publish.storage.storage import FolderStorage, Storage
from simulators.s3 import WHO, Bucket, storing


@pytest.fixture(params=["folder", "s3"])
def storage(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[Storage]:
    if request.param == "folder":
        yield FolderStorage(tmp_path / "repo")
        return
    with storing() as (url, _):
        yield S3Storage(url, WHO)


@pytest.fixture
def bucket() -> Iterator[tuple[S3Storage, Bucket]]:
    with storing() as (url, found):
        yield S3Storage(url, WHO), found


def test_what_is_written_is_read_back(storage: Storage) -> None:
    assert (storage.read("metadata/1.json"), storage.size("metadata/1.json")) == (None, None)
    storage.write("metadata/1.json", b"one")
    storage.write("metadata/1.json", b"second")
    assert (storage.read("metadata/1.json"), storage.size("metadata/1.json")) == (b"second", 6)
    with storage.local("metadata/1.json") as path:
        assert path.read_bytes() == b"second"
    storage.remove("metadata/1.json")
    storage.remove("metadata/1.json")
    assert storage.read("metadata/1.json") is None
    with pytest.raises(FileNotFoundError), storage.local("metadata/1.json"):
        pass


def test_a_file_is_stored_when_it_is_what_was_said(storage: Storage, tmp_path: Path) -> None:
    data = bytes(range(256)) * 5000
    (tmp_path / "blob").write_bytes(data)
    digest = hashlib.sha256(data).hexdigest()
    storage.upload(f"blobs/{digest}", tmp_path / "blob", digest)
    assert storage.read(f"blobs/{digest}") == data
    with pytest.raises(BadInput, match="is not what its index says"):
        storage.upload("blobs/other", tmp_path / "blob", "0" * 64)
    assert list(storage.names("blobs")) == [f"blobs/{digest}"]


def test_names_are_listed_by_folder(storage: Storage) -> None:
    wanted = {f"targets/stable/{n}.json" for n in range(8)} | {"targets/x+y & z.json"}
    for name in (*wanted, "metadata/a.json", "targetsx/b"):
        storage.write(name, b"")
    assert set(storage.names("targets")) == wanted
    assert set(storage.names("nothing")) == set()


def test_one_at_a_time(storage: Storage) -> None:
    with storage.lock(), pytest.raises(Busy), storage.lock():
        pass
    with storage.lock():
        pass


def test_caches_are_told_what_changes(bucket: tuple[S3Storage, Bucket]) -> None:
    storage, found = bucket
    storage.write("metadata/timestamp.json", b"")
    storage.write("metadata/1.root.json", b"")
    assert found.objects["os/metadata/timestamp.json"][1]["Cache-Control"] == "no-cache"
    assert "immutable" in found.objects["os/metadata/1.root.json"][1]["Cache-Control"]


def test_what_passes_is_tried_again(bucket: tuple[S3Storage, Bucket]) -> None:
    storage, found = bucket
    found.failures[:] = [503, 500]
    storage.write("a", b"1")
    assert storage.read("a") == b"1"
    found.failures[:] = [503] * 4
    with pytest.raises(OrlopError, match="the storage answers 503"):
        storage.read("a")


def test_wrong_credentials_are_said() -> None:
    with storing() as (url, _):
        storage = S3Storage(url, Credentials("AKID", "wrong", "token"))
        for deed in (lambda: storage.read("a"), lambda: storage.write("a", b""), lambda: list(storage.names("a"))):
            with pytest.raises(OrlopError, match=r"answers 403 \(SignatureDoesNotMatch\)"):
                deed()


def test_nobody_answers() -> None:
    with storing() as (url, _):
        pass
    with pytest.raises(Unreachable):
        S3Storage(url, WHO).read("a")


def test_credentials_come_from_the_environment(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("AWS_ACCESS_KEY_ID", raising=False)
    with pytest.raises(BadInput, match="no credentials"):
        Credentials.find()
    monkeypatch.setenv("AWS_ACCESS_KEY_ID", "a")
    monkeypatch.setenv("AWS_SECRET_ACCESS_KEY", "hush")
    monkeypatch.delenv("AWS_SESSION_TOKEN", raising=False)
    assert Credentials.find() == Credentials("a", "hush")
    assert "hush" not in repr(Credentials.find())


@pytest.mark.parametrize("url", ["s3://b", "s3:///x?endpoint=http://h", "http://b?endpoint=http://h", "s3://b?endpoint=ftp://h",
                                 "s3://b?endpoint=http://h&regoin=x"])  # fmt: skip
def test_what_names_no_storage(url: str) -> None:
    with pytest.raises(BadInput, match="names no S3-style storage"):
        S3Storage(url, WHO)


# The examples of the documentation of AWS Signature Version 4 for S3, whose keys are for examples only.
EXAMPLE = Credentials("AKIAIOSFODNN7EXAMPLE", "wJalrXUtnFEMI/K7MDENG/bPxRfiCYEXAMPLEKEY")
NOTHING = "e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855"
SIGNED = [
    ("GET", "/test.txt", {}, {"range": "bytes=0-9"}, NOTHING,
     "f0e8bdb87c964420e857bd35b5d6ed310bd44f0170aba48dd91039c6036bdb41"),
    ("PUT", "/test%24file.text", {},
     {"date": "Fri, 24 May 2013 00:00:00 GMT", "x-amz-storage-class": "REDUCED_REDUNDANCY"},
     "44ce7dd67c959e0d3524ffac1771dfbba87d2b6b4b4e99e42034a8b803f8b072",
     "98ad721746da40c64f1a55b78f14c238d841ea1380cd77a1b5971af0ece108bd"),
    ("GET", "/", {"lifecycle": ""}, {}, NOTHING, "fea454ca298b7da1c68078a5d1bdbfbbe0d65c699e0f91ac7a200a0136783543"),
    ("GET", "/", {"max-keys": "2", "prefix": "J"}, {}, NOTHING,
     "34b48302e7b5fa45bde8084f4b7868a86f0a534bc59db6670ed5711ef69dc6f7"),
]  # fmt: skip


@pytest.mark.parametrize(("method", "path", "query", "extra", "sha256", "signature"), SIGNED)
def test_signatures_are_those_of_the_documentation(
    method: str, path: str, query: dict[str, str], extra: dict[str, str], sha256: str, signature: str
) -> None:
    headers = {
        "host": "examplebucket.s3.amazonaws.com", "x-amz-content-sha256": sha256, "x-amz-date": "20130524T000000Z",
        **extra,
    }  # fmt: skip
    found = authorization(method, path, query, headers, EXAMPLE, "us-east-1")
    assert found.endswith(f"Signature={signature}")
