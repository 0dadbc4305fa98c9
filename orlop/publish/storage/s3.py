"""A repository in S3-style storage.

An interrupted publication goes on where it was: blobs that are there are not sent again. Only one publisher at a time
has the lock, which is an object too.
"""

from __future__ import annotations

import hashlib
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import timedelta
from email.utils import parsedate_to_datetime
from pathlib import Path

from orlop.errors import BadInput, NoSpace
from orlop.model.words.bucket import S3Address
from orlop.net.s3 import Credentials, S3Bucket, refused
from orlop.publish.storage.lock import LOCK, StorageLock
from orlop.publish.storage.storage import hash_of

IMMUTABLE = "public, max-age=31536000, immutable"


class S3Storage:
    """`url` as S3Address has it. Raises BadInput when it is none."""

    def __init__(self, url: str, who: Credentials) -> None:
        self._bucket = S3Bucket(S3Address.parse(url), who)
        self._lock: StorageLock | None = None

    def read(self, path: str) -> bytes | None:
        return self._bucket.read(path)

    def size(self, path: str) -> int | None:
        return self._bucket.size(path)

    def sha256(self, path: str) -> str | None:
        try:
            with self.local(path) as f:
                return hash_of(f)
        except FileNotFoundError:
            return None

    @contextmanager
    def local(self, path: str) -> Iterator[Path]:
        with tempfile.NamedTemporaryFile(prefix="orlop-s3-") as f:
            try:
                status, body, _ = self._bucket.ask("GET", path, into=f)
            except OSError as e:
                why = f"{path} cannot be kept in {f.name}: {e.strerror}"
                raise NoSpace(why, hint="free some space there") from None
            if self._bucket.found(status, body, path) is None:
                raise FileNotFoundError(path)
            f.flush()
            yield Path(f.name)

    def write(self, path: str, data: bytes) -> None:
        if self._lock is not None and path.endswith((".root.json", "/timestamp.json")):
            self._lock.must_hold()
        self._put(path, data, hashlib.sha256(data).hexdigest())

    def upload(self, path: str, source: Path, sha256: str) -> None:
        self._put(path, source, sha256)

    def remove(self, path: str) -> None:
        self._bucket.remove(path)

    def names(self, folder: str) -> Iterator[str]:
        return self._bucket.names(folder)

    @contextmanager
    def lock(self) -> Iterator[str]:
        lock = StorageLock(self)
        with lock.held() as told:
            self._lock = lock
            try:
                yield told
            finally:
                self._lock = None

    def create(self, path: str, data: bytes) -> bool:
        """Write it unless it is there."""
        status, body, _ = self._bucket.ask(
            "PUT", path, data=data, extra={"if-none-match": "*", "cache-control": "no-cache"}
        )
        if status not in (200, 409, 412):
            raise refused(status, body, f"making {path}")
        return status == 200

    def aged(self, path: str) -> tuple[bytes, timedelta] | None:
        """What is there, and how old it is by the storage's own clock."""
        status, body, headers = self._bucket.ask("GET", path)
        if self._bucket.found(status, body, path) is None:
            return None
        modified, now = (headers.get(name, "") for name in ("Last-Modified", "Date"))
        try:
            return body, parsedate_to_datetime(now) - parsedate_to_datetime(modified)
        except (ValueError, TypeError):
            return body, timedelta()

    def _put(self, path: str, data: bytes | Path, sha256: str) -> None:
        lasting = path.rpartition("/")[2] not in ("timestamp.json", LOCK)
        try:
            self._bucket.put(path, data, sha256, cached=IMMUTABLE if lasting else "no-cache")
        except BadInput:
            raise BadInput(
                f"{path} is not what its index says", hint="build the image again: orlop image build"
            ) from None
