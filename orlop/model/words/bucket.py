"""Where something is kept in S3-style storage, as a text: `s3://BUCKET[/PREFIX]?endpoint=https://HOST&region=REGION`.

The bucket is part of the path of a request, which every implementation understands.
"""

from __future__ import annotations

from dataclasses import dataclass
from urllib.parse import parse_qs, urlsplit

from orlop.errors import BadInput

SAID = "s3://BUCKET/PREFIX?endpoint=https://HOST&region=REGION"


@dataclass(frozen=True)
class S3Address:
    """`scheme` and `host`, with its port, of who is spoken to; `prefix` without slashes at its ends, or empty."""

    bucket: str
    prefix: str
    scheme: str
    host: str
    region: str

    @classmethod
    def parse_text(cls, url: str) -> S3Address:
        """As `parse`. Raises ValueError, as kinds of settings do."""
        try:
            return cls.parse(url)
        except BadInput:
            raise ValueError from None

    @classmethod
    def parse(cls, url: str) -> S3Address:
        """Raises BadInput, which repeats the address: it holds no secret, and one that has a login is refused."""
        try:
            parts = urlsplit(url)
            options = {key: values[-1] for key, values in parse_qs(parts.query).items()}
            endpoint = urlsplit(options.get("endpoint", ""))
            _ = endpoint.port  # raises, for what is none
        except ValueError:
            raise BadInput(f"{url!r} names no S3-style storage", hint=SAID) from None
        good = parts.scheme == "s3" and parts.netloc and endpoint.scheme in ("http", "https") and "@" not in url
        if not good or not endpoint.hostname or set(options) - {"endpoint", "region"}:
            raise BadInput(f"{url!r} names no S3-style storage", hint=SAID)
        region = options.get("region", "us-east-1")
        return cls(parts.netloc, parts.path.strip("/"), endpoint.scheme, endpoint.netloc, region)
