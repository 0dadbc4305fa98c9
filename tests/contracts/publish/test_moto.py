"""S3-style storage that others wrote, moto's server: what every storage must do, and a repository from its first key.

Our own stand-in (simulators/s3.py) fails, ages and counts as no real storage does on demand; this one knows what we
did not think of.
"""

from __future__ import annotations

import os
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import boto3  # type: ignore[import-untyped]
import pytest
from moto.server import ThreadedMotoServer

from orlop.net.s3 import Credentials
from orlop.publish.storage.s3 import S3Storage
from simulators.publisher import WORDS, make_image
from tests.unit.publish.test_storage import (  # noqa: F401 — they are run here with the storage below
    test_names_are_listed_by_folder,
    test_one_at_a_time,
    test_what_is_written_is_read_back,
)

ROOT = Path(__file__).parents[3]
WHO = Credentials("AKID", "secret")
REGION = "us-east-1"


@pytest.fixture(scope="module")
def endpoint() -> Iterator[str]:
    server = ThreadedMotoServer(ip_address="127.0.0.1", port=0, verbose=False)
    server.start()
    host, port = server.get_host_and_port()
    yield f"http://{host}:{port}"
    server.stop()


@pytest.fixture
def bucket(endpoint: str, request: pytest.FixtureRequest) -> str:
    name = f"bucket-{abs(hash(request.node.nodeid)) % 10**8}"
    s3 = boto3.client(
        "s3", endpoint_url=endpoint, region_name=REGION, aws_access_key_id=WHO.key, aws_secret_access_key=WHO.secret
    )
    s3.create_bucket(Bucket=name)
    return f"s3://{name}/some/prefix?endpoint={endpoint}&region={REGION}"


@pytest.fixture
def storage(bucket: str) -> S3Storage:
    return S3Storage(bucket, WHO)


def test_many_names_come_in_pages(storage: S3Storage) -> None:
    wanted = {f"blobs/{n:04}" for n in range(1001)}  # one more than a page has
    for name in wanted:
        storage.write(name, b"")
    assert set(storage.names("blobs")) == wanted


def test_a_blob_is_what_was_sent(storage: S3Storage, tmp_path: Path) -> None:
    data = bytes(range(256)) * 50_000
    (tmp_path / "blob").write_bytes(data)
    storage.upload("blobs/x", tmp_path / "blob", "")
    with storage.local("blobs/x") as path:
        assert path.read_bytes() == data


def test_a_repository_is_made_published_to_and_verified(bucket: str, tmp_path: Path) -> None:
    make_image(tmp_path / "state/images", "20261201.1")
    (tmp_path / "state/images/latest").symlink_to("20261201.1")
    (tmp_path / "pass").write_text(WORDS)
    env = {**os.environ, "ORLOP_STATE": str(tmp_path / "state"), "ORLOP_PASSPHRASE_FILE": str(tmp_path / "pass"),
           "PYTHONPATH": str(ROOT), "AWS_ACCESS_KEY_ID": WHO.key, "AWS_SECRET_ACCESS_KEY": WHO.secret}  # fmt: skip
    env.pop("ORLOP_RELEASE", None)
    for words in (
        ["init", "--storage", bucket],
        ["publish"],
        ["promote", "alpha", "beta"],
        ["renew"],
        ["verify"],
        ["gc"],
    ):
        done = subprocess.run(
            [sys.executable, "-m", "orlop", "release", *words], cwd=tmp_path, env=env, capture_output=True, text=True,
            check=False, timeout=120,
        )  # fmt: skip
        assert done.returncode == 0, (words, done.stderr)
    names = set(S3Storage(bucket, WHO).names("metadata"))
    assert {"metadata/timestamp.json", "metadata/1.root.json"} <= names
    assert not (tmp_path / "release/repo").exists()
