"""S3-style storage, spoken to with nothing but HTTP and a signature.

Objects are put whole or not at all, so a name holds the old content or the new one; the storage itself compares what it
received with the hash that was promised. Credentials are given, or come from the environment (AWS_ACCESS_KEY_ID,
AWS_SECRET_ACCESS_KEY, AWS_SESSION_TOKEN).

Source: AWS Signature Version 4, and the S3 API: GetObject, HeadObject, PutObject, DeleteObject, ListObjectsV2.
"""

from __future__ import annotations

import hashlib
import hmac
import html
import os
import re
from collections.abc import Iterator, Mapping
from contextlib import ExitStack, closing
from dataclasses import dataclass, field
from datetime import UTC, datetime
from email.message import Message
from pathlib import Path
from typing import IO
from urllib.parse import quote

from orlop.errors import BadInput, OrlopError
from orlop.model.words.bucket import S3Address
from orlop.net.dial import Patience
from orlop.net.errors import Overloaded
from orlop.net.exchange import Client, Reply, insist
from orlop.net.route import OVERLOADED, retry_after

SECONDS = 60.0  # without a byte
LARGEST = 1 << 28  # bytes of an answer that is kept in memory
TRIES = 4
EMPTY = hashlib.sha256(b"").hexdigest()


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


class S3Bucket:
    """Names are below the address's prefix. `who` signs."""

    def __init__(self, address: S3Address, who: Credentials) -> None:
        self._address, self._who = address, who

    def read(self, path: str) -> bytes | None:
        status, body, _ = self.ask("GET", path)
        return self.found(status, body, path)

    def size(self, path: str) -> int | None:
        status, body, headers = self.ask("HEAD", path)
        return None if self.found(status, body, path) is None else int(headers.get("Content-Length", "0"))

    def put(self, path: str, data: bytes | Path, sha256: str = "", *, cached: str = "no-cache") -> None:
        """`sha256`: of a file, which is not read twice. Raises BadInput when it is not what was promised."""
        status, body, _ = self.ask("PUT", path, data=data, sha256=sha256, extra={"cache-control": cached})
        if status == 400 and b"XAmzContentSHA256Mismatch" in body:
            raise BadInput(f"{path} is not what was promised: its hash is another")
        if status != 200:
            raise refused(status, body, f"storing {path}")

    def remove(self, path: str) -> None:
        status, body, _ = self.ask("DELETE", path)
        if status not in (200, 204, 404):
            raise refused(status, body, f"removing {path}")

    def names(self, folder: str) -> Iterator[str]:
        """Of everything in a folder, and in those below it; "." is all."""
        top = f"{self._address.prefix}/" if self._address.prefix else ""
        query = {"list-type": "2", "prefix": f"{top}{folder}/".removesuffix("./")}
        while True:
            status, body, _ = self.ask("GET", None, query=query)
            if status != 200:
                raise refused(status, body, f"listing {folder}")
            for key in _texts(body, "Key"):
                yield key.removeprefix(top)
            token = next(_texts(body, "NextContinuationToken"), "")
            if not token:
                return
            query["continuation-token"] = token

    def found(self, status: int, body: bytes, path: str) -> bytes | None:
        if status == 404:
            return None
        if status != 200:
            raise refused(status, body, f"reading {path}")
        return body

    def ask(
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
        address = self._address
        names = [address.bucket] + ([] if path is None else [*filter(None, [address.prefix]), path])
        target = "/" + quote("/".join(names), safe="/-_.~")
        headers = {
            "host": address.host,
            "x-amz-date": datetime.now(UTC).strftime("%Y%m%dT%H%M%SZ"),
            "x-amz-content-sha256": sha256 or (hashlib.sha256(data).hexdigest() if isinstance(data, bytes) else EMPTY),
            **extra,
        }
        if self._who.token:
            headers["x-amz-security-token"] = self._who.token
        headers["authorization"] = authorization(method, target, query, headers, self._who, address.region)
        url = f"{address.scheme}://{headers['host']}{target}" + (f"?{query_string(query)}" if query else "")
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


def refused(status: int, body: bytes, what: str) -> OrlopError:
    return OrlopError(
        f"{what}: the storage answers {status} ({_code(body)})", hint="check its address and the credentials"
    )


def _texts(body: bytes, tag: str) -> Iterator[str]:
    """What a tag holds, each time. A listing's tags hold text alone: it takes no parser of XML, nor what can be done
    to one.
    """
    for found in re.finditer(rf"<{tag}>([^<]*)</{tag}>", body.decode(errors="replace")):
        yield html.unescape(found[1])
