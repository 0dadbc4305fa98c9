"""The lock of a repository in S3-style storage: who has it, who may take it over, and who must not."""

from __future__ import annotations

import subprocess
import sys
import time
from collections.abc import Iterator
from datetime import timedelta
from pathlib import Path

import pytest

from orlop.errors import Busy
from orlop.publish.storage.lock import StorageLock
from orlop.publish.storage.s3 import S3Storage
from simulators.publisher import Publisher
from simulators.s3 import WHO, Bucket, storing
from tests.unit.publish.publishing import release, replace_storage, seen, versions

REPOSITORY = Path(__file__).parents[3]
KEY = "os/.lock"
LONG = timedelta(hours=2)
HOLDING = """
import sys, time
from orlop.publish.storage.s3 import S3Storage
from simulators.s3 import WHO
with S3Storage(sys.argv[1], WHO).lock():
    print("held", flush=True)
    time.sleep(60)
"""


@pytest.fixture
def place() -> Iterator[tuple[str, Bucket]]:
    with storing() as found:
        yield found


def test_a_lock_that_was_left_behind_ends(place: tuple[str, Bucket]) -> None:
    url, bucket = place
    storage = S3Storage(url, WHO)
    storage.write(".lock", b"elsewhere 7 a-boot/pid:[1] 0123")
    with (
        pytest.raises(Busy, match=r"somebody else is changing the repository \(elsewhere, process 7\)"),
        storage.lock(),
    ):
        pass
    bucket.age(KEY, LONG)
    with storage.lock() as said:
        assert said == "took over a lock that was left behind (elsewhere, process 7)"
        assert KEY in bucket.objects
    assert KEY not in bucket.objects


def test_a_lock_is_not_given_back_for_another(place: tuple[str, Bucket]) -> None:
    url, bucket = place
    one, two, three = (S3Storage(url, WHO) for _ in range(3))
    with one.lock():
        bucket.age(KEY, LONG)
        second = two.lock()
        second.__enter__()
    assert KEY in bucket.objects
    with pytest.raises(Busy), three.lock():
        pass
    second.__exit__(None, None, None)
    assert KEY not in bucket.objects


def test_who_lost_the_lock_writes_nothing_that_machines_see(tmp_path: Path, place: tuple[str, Bucket]) -> None:
    url, bucket = place
    mine, other = S3Storage(url, WHO), S3Storage(url, WHO)
    p = replace_storage(Publisher(tmp_path), mine, tmp_path / "memory")
    p.create()
    with mine.lock():
        release(p, "20261201.1")
        bucket.age(KEY, LONG)
        with other.lock(), pytest.raises(Busy, match="has taken the repository's lock over") as e:
            release(p, "20261202.1")
    assert "run the same command again" in e.value.hint
    assert versions(seen(p, "alpha")) == ["20261201.1"]
    with mine.lock():
        release(p, "20261202.1")
    assert versions(seen(p, "alpha")) == ["20261201.1", "20261202.1"]


def test_a_lock_whose_answer_was_lost_is_known_as_ones_own(place: tuple[str, Bucket]) -> None:
    url, bucket = place
    bucket.losses = 1
    with S3Storage(url, WHO).lock() as said:
        assert said == ""
        assert KEY in bucket.objects
    assert KEY not in bucket.objects


def test_the_lock_of_a_process_that_was_killed_here_is_taken_over(place: tuple[str, Bucket]) -> None:
    url, bucket = place
    child = subprocess.Popen([sys.executable, "-c", HOLDING, url], cwd=REPOSITORY, stdout=subprocess.PIPE, text=True)
    try:
        assert child.stdout is not None
        assert child.stdout.readline() == "held\n"
        with pytest.raises(Busy, match=f"process {child.pid}"), S3Storage(url, WHO).lock():
            pass
    finally:
        child.kill()
        child.communicate(timeout=10)
    with S3Storage(url, WHO).lock() as said:
        assert said == f"took over the lock of process {child.pid} of this computer, which is gone"
    S3Storage(url, WHO).write(".lock", f"elsewhere {child.pid} another-boot/pid:[1] 0123".encode())
    with pytest.raises(Busy), S3Storage(url, WHO).lock():
        pass
    assert KEY in bucket.objects


def test_a_lock_stays_fresh_as_long_as_it_is_held(place: tuple[str, Bucket]) -> None:
    url, bucket = place
    with StorageLock(S3Storage(url, WHO), refresh=timedelta(seconds=0.05)).held():
        bucket.age(KEY, LONG)
        before = bucket.objects[KEY][2]
        deadline = time.monotonic() + 10
        while bucket.objects[KEY][2] == before and time.monotonic() < deadline:
            time.sleep(0.02)
        with pytest.raises(Busy), S3Storage(url, WHO).lock():
            pass
        S3Storage(url, WHO).write(".lock", b"somebody who took it over")
        time.sleep(0.2)
        assert bucket.objects[KEY][0] == b"somebody who took it over"
    assert KEY in bucket.objects


@pytest.mark.parametrize(
    "text", [b"", b"a", b"host 99999999999999999999 x y", b"h -1 x y", "h ² x y".encode(), b"\xff " * 4]
)
def test_a_lock_of_any_text_is_a_lock(place: tuple[str, Bucket], text: bytes) -> None:
    url, bucket = place
    S3Storage(url, WHO).write(".lock", text)
    with pytest.raises(Busy), S3Storage(url, WHO).lock():
        pass
    assert bucket.objects[KEY][0] == text
