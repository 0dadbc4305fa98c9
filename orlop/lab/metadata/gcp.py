"""Google Compute Engine's metadata server. Pure.

Source: Compute Engine documentation, "View and query VM metadata": the header a request must carry, and the one every
answer does; folders end in a slash; `recursive`, `alt`.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Mapping

from orlop.lab.metadata.http import Answer, Instance, MetadataRequest, Tree, find, listing, text

FLAVOR = "Metadata-Flavor"
GOOGLE = "Google"
PROJECT = "orlop-lab"
NUMBER = "123456789012"
ROOT = "computeMetadata"


def answer(instance: Instance, request: MetadataRequest) -> Answer:
    response = _answer(instance, request)
    return Answer(
        response.status, response.body, {**response.headers, "Server": "Metadata Server for VM", FLAVOR: GOOGLE}
    )


def _answer(instance: Instance, request: MetadataRequest) -> Answer:
    if request.method not in ("GET", "HEAD"):
        return _error(405, "Method Not Allowed")
    parts = request.parts
    if not parts:  # the one place where clients may look whether this is Google
        return text(200, "computeMetadata/\n", "application/text")
    if "x-forwarded-for" in request.headers or request.headers.get(FLAVOR.lower()) != GOOGLE:
        return _error(403, f"Missing {FLAVOR}:{GOOGLE} header")
    value = find({ROOT: {"v1": _tree(instance)}}, parts)
    if value is None:
        return _error(404, "Not Found")
    return _folder(value, request) if isinstance(value, Mapping) else _leaf(value, request)


def _folder(tree: Tree, request: MetadataRequest) -> Answer:
    if not request.path.endswith("/"):
        return Answer(301, b"", {"Location": f"{request.path}/", "Content-Type": "text/html"})
    if request.query("recursive") in ("true", "True", "1"):
        return _tagged(json.dumps(_plain(tree)).encode(), "application/json")
    return _tagged((listing(tree) + "\n").encode(), "application/text")


def _leaf(value: str | bytes, request: MetadataRequest) -> Answer:
    raw = value.encode() if isinstance(value, str) else value
    if request.query("alt") == "json":
        return _tagged(json.dumps(raw.decode(errors="replace")).encode(), "application/json")
    return _tagged(raw, "application/text")


def _tagged(body: bytes, kind: str) -> Answer:
    return Answer(200, body, {"Content-Type": kind, "ETag": hashlib.sha256(body).hexdigest()[:16]})


def _error(status: int, words: str) -> Answer:
    return text(status, f"<!DOCTYPE html>\n<title>Error {status}</title>\n<p><b>{status}.</b> {words}\n", "text/html")


def _plain(tree: Tree) -> dict[str, object]:
    """As JSON has it: values, and names in camel case except those of the attributes."""
    plain: dict[str, object] = {}
    for name, value in tree.items():
        if name == "attributes" and isinstance(value, Mapping):
            plain[name] = {n: v.decode(errors="replace") if isinstance(v, bytes) else v for n, v in value.items()}
        elif isinstance(value, Mapping):
            plain[name] = _plain(value)
        else:
            first, *rest = name.split("-")
            plain["".join((first, *(word.title() for word in rest)))] = value
    return plain


def _tree(instance: Instance) -> Tree:
    attributes = {} if instance.user_data is None else {"user-data": instance.user_data}
    return {
        "instance": {
            "attributes": attributes,
            "hostname": f"{instance.name}.c.{PROJECT}.internal",
            "id": str(instance.number),
            "machine-type": f"projects/{NUMBER}/machineTypes/e2-micro",
            "name": instance.name,
            "zone": f"projects/{NUMBER}/zones/us-central1-a",
        },
        "project": {"attributes": {}, "numeric-project-id": NUMBER, "project-id": PROJECT},
    }
