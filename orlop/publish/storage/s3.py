"""A repository in S3-style storage, spoken to with nothing but HTTP and a signature.

    s3://BUCKET[/PREFIX]?endpoint=https://HOST&region=REGION

Objects are put whole or not at all, so a name holds the old content or the new one; the storage itself compares what it
received with the hash that was promised. An interrupted publication goes on where it was: blobs that are there are not
sent again. Credentials come from the environment (AWS_ACCESS_KEY_ID, AWS_SECRET_ACCESS_KEY, AWS_SESSION_TOKEN).

Source: AWS Signature Version 4, and the S3 API: GetObject, HeadObject, PutObject (with If-None-Match), DeleteObject,
ListObjectsV2. The bucket is part of the path, which every implementation understands.
"""

from __future__ import annotations

import hashlib
import hmac
import os
import tempfile
import xml.etree.ElementTree as ET
from collections.abc import Iterator, Mapping
from contextlib import ExitStack, closing, contextmanager
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from email.message import Message
from email.utils import parsedate_to_datetime
from pathlib import Path
from typing import IO
from urllib.parse import parse_qs, quote, urlsplit

from orlop.errors import BadInput, NoSpace, OrlopError
from orlop.net.dial import Patience
from orlop.net.errors import Overloaded
from orlop.net.exchange import Client, Reply, insist
from orlop.net.route import OVERLOADED, retry_after
from orlop.publish.storage.lock import LOCK, StorageLock
from orlop.publish.storage.storage import hash_of

SECONDS = 60.0  # without a byte
LARGEST = 1 << 28  # bytes of an answer that is kept in memory
TRIES = 4
EMPTY = hashlib.sha256(b"").hexdigest()
IMMUTABLE = "public, max-age=31536000, immutable"


@dataclass(frozen=True)
class Credentials:
    key: str
    secret: str = field(repr=False)
    token: str = field(default="", repr=False)

    @classmethod
    def find(cls) -> Credentials:
        """From the environment. Raises BadInput."""
        env = os.environ
        if not env.get("AWS_ACCESS_KEY_ID") or not env.get("AWS_SECRET_ACCESS_KEY"):
            raise BadInput(
                "there are no credentials for the storage",
                hint="set AWS_ACCESS_KEY_ID and AWS_SECRET_ACCESS_KEY",
            )
        return cls(env["AWS_ACCESS_KEY_ID"], env["AWS_SECRET_ACCESS_KEY"], env.get("AWS_SESSION_TOKEN", ""))


def authorization(
    method: str, path: str, query: Mapping[str, str], headers: Mapping[str, str], who: Credentials, region: str
) -> str:
    """The Authorization header. `headers` holds host, x-amz-date and x-amz-content-sha256, names in small letters."""
    names = ";".join(sorted(headers))
    canonical = "\n".join(
        [
            method,
            path,
            query_string(query),
            *(f"{name}:{headers[name].strip()}" for name in sorted(headers)),
            "",
            names,
            headers["x-amz-content-sha256"],
        ]
    )
    day = headers["x-amz-date"][:8]
    scope = f"{day}/{region}/s3/aws4_request"
    text = "\n".join([
        "AWS4-HMAC-SHA256", headers["x-amz-date"], scope, hashlib.sha256(canonical.encode()).hexdigest(),
    ])  # fmt: skip
    key = f"AWS4{who.secret}".encode()
    for word in (day, region, "s3", "aws4_request", text):
        key = hmac.new(key, word.encode(), hashlib.sha256).digest()
    return f"AWS4-HMAC-SHA256 Credential={who.key}/{scope},SignedHeaders={names},Signature={key.hex()}"


def query_string(query: Mapping[str, str]) -> str:
    return "&".join(f"{quote(k, safe='-_.~')}={quote(v, safe='-_.~')}" for k, v in sorted(query.items()))


class S3Storage:
    """`url` as above. Raises BadInput when it is none."""

    def __init__(self, url: str, who: Credentials) -> None:
        parts = urlsplit(url)
        options = {key: values[-1] for key, values in parse_qs(parts.query).items()}
        self._endpoint = urlsplit(options.get("endpoint", ""))
        self._region = options.get("region", "us-east-1")
        good = parts.scheme == "s3" and parts.netloc and self._endpoint.scheme in ("http", "https")
        if not good or not self._endpoint.hostname or set(options) - {"endpoint", "region"}:
            raise BadInput(
                f"{url!r} names no S3-style storage", hint="s3://BUCKET/PREFIX?endpoint=https://HOST&region=REGION"
            )
        self._lock: StorageLock | None = None
        self._bucket, self._prefix, self._who = parts.netloc, parts.path.strip("/"), who

    def read(self, path: str) -> bytes | None:
        status, body, _ = self._ask("GET", path)
        return self._found(status, body, path)

    def size(self, path: str) -> int | None:
        status, body, headers = self._ask("HEAD", path)
        return None if self._found(status, body, path) is None else int(headers.get("Content-Length", "0"))

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
                status, body, _ = self._ask("GET", path, into=f)
            except OSError as e:
                why = f"{path} cannot be kept in {f.name}: {e.strerror}"
                raise NoSpace(why, hint="free some space there") from None
            if self._found(status, body, path) is None:
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
        status, body, _ = self._ask("DELETE", path)
        if status not in (200, 204, 404):
            raise _refused(status, body, f"removing {path}")

    def names(self, folder: str) -> Iterator[str]:
        top = f"{self._prefix}/" if self._prefix else ""
        query = {"list-type": "2", "prefix": f"{top}{folder}/".removesuffix("./")}
        while True:
            status, body, _ = self._ask("GET", None, query=query)
            if status != 200:
                raise _refused(status, body, f"listing {folder}")
            listing = ET.fromstring(body)  # noqa: S314 — from the storage that holds the repository
            space = listing.tag.partition("}")[0] + "}" if listing.tag.startswith("{") else ""
            for key in listing.iter(f"{space}Key"):
                yield (key.text or "").removeprefix(top)
            token = listing.findtext(f"{space}NextContinuationToken")
            if not token:
                return
            query["continuation-token"] = token

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
        status, body, _ = self._ask("PUT", path, data=data, extra={"if-none-match": "*", "cache-control": "no-cache"})
        if status not in (200, 409, 412):
            raise _refused(status, body, f"making {path}")
        return status == 200

    def aged(self, path: str) -> tuple[bytes, timedelta] | None:
        """What is there, and how old it is by the storage's own clock."""
        status, body, headers = self._ask("GET", path)
        if self._found(status, body, path) is None:
            return None
        modified, now = (headers.get(name, "") for name in ("Last-Modified", "Date"))
        try:
            return body, parsedate_to_datetime(now) - parsedate_to_datetime(modified)
        except (ValueError, TypeError):
            return body, timedelta()

    def _put(self, path: str, data: bytes | Path, sha256: str) -> None:
        lasting = path.rpartition("/")[2] not in ("timestamp.json", LOCK)
        extra = {"cache-control": IMMUTABLE if lasting else "no-cache"}
        status, body, _ = self._ask("PUT", path, data=data, sha256=sha256, extra=extra)
        if status == 400 and b"XAmzContentSHA256Mismatch" in body:
            raise BadInput(f"{path} is not what its index says", hint="build the image again: orlop image build")
        if status != 200:
            raise _refused(status, body, f"storing {path}")

    def _found(self, status: int, body: bytes, path: str) -> bytes | None:
        if status == 404:
            return None
        if status != 200:
            raise _refused(status, body, f"reading {path}")
        return body

    def _ask(
        self,
        method: str,
        path: str | None,
        *,
        query: Mapping[str, str] | None = None,
        data: bytes | Path = b"",
        sha256: str = "",
        extra: Mapping[str, str] | None = None,
        into: IO[bytes] | None = None,
    ) -> tuple[int, bytes, Message]:
        """Ask, and ask again when the storage does not answer or says that it cannot now. Raises NetError."""
        return insist(lambda: self._once(method, path, query or {}, data, sha256, extra or {}, into), TRIES)

    def _once(
        self,
        method: str,
        path: str | None,
        query: Mapping[str, str],
        data: bytes | Path,
        sha256: str,
        extra: Mapping[str, str],
        into: IO[bytes] | None,
    ) -> tuple[int, bytes, Message]:
        """Status, body (what is asked for goes to `into`, if that is given) and headers."""
        names = [self._bucket] + ([] if path is None else [*filter(None, [self._prefix]), path])
        target = "/" + quote("/".join(names), safe="/-_.~")
        headers = {
            "host": self._endpoint.netloc.rpartition("@")[2],
            "x-amz-date": datetime.now(UTC).strftime("%Y%m%dT%H%M%SZ"),
            "x-amz-content-sha256": sha256 or (hashlib.sha256(data).hexdigest() if isinstance(data, bytes) else EMPTY),
            **extra,
        }
        if self._who.token:
            headers["x-amz-security-token"] = self._who.token
        headers["authorization"] = authorization(method, target, query, headers, self._who, self._region)
        url = f"{self._endpoint.scheme}://{headers['host']}{target}" + (f"?{query_string(query)}" if query else "")
        with ExitStack() as held:
            body: bytes | IO[bytes] | None = None
            if method == "PUT":
                body = held.enter_context(data.open("rb")) if isinstance(data, Path) else data
                headers["content-length"] = str(data.stat().st_size if isinstance(data, Path) else len(data))
            client = held.enter_context(closing(Client(Patience(None, SECONDS), redirects=0)))
            answer = client.ask(url, path or "", method=method, headers=headers, body=body)
            if into is not None and answer.status == 200:
                into.seek(0)
                into.truncate()
                for piece in answer.pieces():
                    into.write(piece)
                return answer.status, b"", answer.headers
            raw = b"" if method == "HEAD" else answer.whole(LARGEST)
        if answer.status in OVERLOADED or answer.status >= 500:
            raise _overloaded(answer, raw)
        return answer.status, raw, answer.headers


def _overloaded(answer: Reply, body: bytes) -> Overloaded:
    why = f"the storage answers {answer.status} ({_code(body)})"
    return Overloaded(why, hint="try again later", after=retry_after(answer.headers, datetime.now(UTC)))


def _code(body: bytes) -> str:
    return body.partition(b"<Code>")[2].partition(b"</Code>")[0].decode(errors="replace") or "no reason given"


def _refused(status: int, body: bytes, what: str) -> OrlopError:
    return OrlopError(
        f"{what}: the storage answers {status} ({_code(body)})", hint="check its address and the credentials"
    )
