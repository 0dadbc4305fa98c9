"""Amazon EC2's instance metadata service, version 2: nothing is told without a token. Pure.

Source: Amazon EC2 User Guide, "Instance metadata and user data"; instances that require tokens (IMDSv2 only).
"""

from __future__ import annotations

import base64
import hashlib
import hmac
import json
import struct

from orlop.lab.metadata.http import Answer, Instance, MetadataRequest, Tree, find, listing, text
from orlop.model.words.arch import BUILT

TTL_HEADER = "X-aws-ec2-metadata-token-ttl-seconds"
TOKEN_HEADER = "X-aws-ec2-metadata-token"  # noqa: S105 — its name
MAX_TTL = 21600
VERSIONS = (
    *("1.0", "2007-01-19", "2007-03-01", "2007-08-29", "2007-10-10", "2007-12-15", "2008-02-01", "2008-09-01"),
    *("2009-04-04", "2011-01-01", "2011-05-01", "2012-01-12", "2014-02-25", "2014-11-05", "2015-10-20"),
    *("2016-04-19", "2016-06-30", "2016-09-02", "2018-03-28", "2018-08-17", "2018-09-24", "2019-10-01"),
    "latest",
)
REGION, ZONE = "us-east-1", "us-east-1a"
ADDRESS = "10.0.2.15"


def answer(instance: Instance, request: MetadataRequest) -> Answer:
    parts = request.parts
    if parts == ["latest", "api", "token"]:
        return _token(instance, request)
    if request.method not in ("GET", "HEAD"):
        return _error(405, "Method Not Allowed")
    if not is_token(instance, request.headers.get(TOKEN_HEADER.lower(), ""), request.now):
        return _error(401, "Unauthorized")
    if not parts:
        return text(200, "\n".join(VERSIONS))
    if parts[0] not in VERSIONS:
        return _error(404, "Not Found")
    value = find(_tree(instance), parts[1:])
    if value is None:
        return _error(404, "Not Found")
    if isinstance(value, bytes):
        return text(200, value, "application/octet-stream")
    return text(200, value if isinstance(value, str) else listing(value))


def _token(instance: Instance, request: MetadataRequest) -> Answer:
    if request.method != "PUT":
        return _error(405, "Method Not Allowed")
    if "x-forwarded-for" in request.headers:  # a proxy was talked into asking
        return _error(403, "Forbidden")
    given = request.headers.get(TTL_HEADER.lower(), "")
    if not given.isascii() or not given.isdigit() or not 1 <= int(given) <= MAX_TTL:
        return _error(400, "Bad Request")
    token = make_token(instance, request.now + int(given))
    return Answer(200, token.encode(), {"Content-Type": "text/plain", TTL_HEADER: given})


def make_token(instance: Instance, end: float) -> str:
    """56 characters, as Amazon's: when it ends, and a signature."""
    when = struct.pack(">Qxx", int(end))
    signature = hmac.digest(instance.secret, instance.name.encode() + when, hashlib.sha256)
    return base64.urlsafe_b64encode(when + signature).decode()


def is_token(instance: Instance, token: str, now: float) -> bool:
    try:
        raw = base64.b64decode(token.encode(), altchars=b"-_", validate=True)
        (end,) = struct.unpack(">Qxx", raw[:10])
    except (ValueError, struct.error):
        return False
    return hmac.compare_digest(token.encode(), make_token(instance, end).encode()) and now < end


def _error(status: int, words: str) -> Answer:
    page = f"<html><head><title>{status} - {words}</title></head><body><h1>{status} - {words}</h1></body></html>"
    return text(status, page, "text/html")


def _tree(instance: Instance) -> Tree:
    number = f"i-{instance.number:017x}"
    identity = {
        "accountId": "123456789012",
        "architecture": BUILT.machine,
        "availabilityZone": ZONE,
        "imageId": "ami-0123456789abcdef0",
        "instanceId": number,
        "instanceType": "t3.micro",
        "privateIp": ADDRESS,
        "region": REGION,
        "version": "2017-09-30",
    }
    meta: Tree = {
        "ami-id": "ami-0123456789abcdef0",
        "hostname": f"{instance.name}.ec2.internal",
        "instance-id": number,
        "instance-type": "t3.micro",
        "local-hostname": f"{instance.name}.ec2.internal",
        "local-ipv4": ADDRESS,
        "placement": {"availability-zone": ZONE, "region": REGION},
        "services": {"domain": "amazonaws.com", "partition": "aws"},
    }
    tree: dict[str, Tree | str | bytes] = {
        "dynamic": {"instance-identity": {"document": json.dumps(identity, indent=2)}},
        "meta-data": meta,
    }
    if instance.user_data is not None:
        tree["user-data"] = instance.user_data
    return tree
