"""Azure's instance metadata service. Pure.

Source: Azure documentation, "Azure Instance Metadata Service": the header, `api-version` and what is said when it is
missing or unknown; user data is base64, there since 2021-01-01, and empty when none was given.
"""

from __future__ import annotations

import base64
import json
import uuid
from collections.abc import Mapping

from orlop.lab.metadata.http import Answer, Instance, MetadataRequest, Tree, as_json, find, text

HEADER = "Metadata"
USER_DATA_SINCE = "2021-01-01"
VERSIONS = (
    *("2017-03-01", "2017-04-02", "2017-08-01", "2017-10-01", "2017-12-01", "2018-02-01", "2018-04-02", "2018-10-01"),
    *("2019-02-01", "2019-03-11", "2019-04-30", "2019-06-01", "2019-06-04", "2019-08-01", "2019-08-15", "2019-11-01"),
    *("2020-06-01", "2020-07-15", "2020-09-01", "2020-10-01", "2020-12-01", "2021-01-01", "2021-02-01", "2021-03-01"),
    *("2021-05-01", "2021-10-01", "2021-11-01", "2021-11-15", "2021-12-13", "2023-07-01"),
)


def answer(instance: Instance, request: MetadataRequest) -> Answer:
    if request.method != "GET":
        return _error(405, "Method not allowed")
    if request.headers.get(HEADER.lower(), "").lower() != "true" or "x-forwarded-for" in request.headers:
        return _error(400, "Bad request. Required metadata header not specified")
    parts = request.parts
    if parts == ["metadata", "versions"]:
        return as_json(200, {"apiVersions": list(VERSIONS)})
    if parts[:2] != ["metadata", "instance"]:
        return _error(404, "Not found")
    version = request.query("api-version")
    if version is None:
        return _version_error("Bad request. api-version was not specified in the request")
    if version not in VERSIONS:
        return _version_error("Bad request. api-version is invalid or was not specified in the request")
    return _told(find(_tree(instance, version), parts[2:]), request.query("format"))


def _told(value: Tree | str | bytes | None, form: str | None) -> Answer:
    if value is None:
        return _error(404, "Not found")
    if isinstance(value, Mapping):
        if form == "text":
            return text(200, "\n".join(f"{n}/" if isinstance(v, Mapping) else n for n, v in value.items()))
        return as_json(200, value)
    if form == "json":
        return text(200, json.dumps(value), "application/json; charset=utf-8")
    return text(200, value, "text/plain; charset=utf-8")


def _error(status: int, words: str) -> Answer:
    return as_json(status, {"error": words})


def _version_error(words: str) -> Answer:
    return as_json(400, {"error": words, "newest-versions": list(reversed(VERSIONS))[:3]})


def _tree(instance: Instance, version: str) -> Tree:
    compute: dict[str, Tree | str | bytes] = {
        "location": "westeurope",
        "name": instance.name,
        "osType": "Linux",
        "vmId": str(uuid.uuid5(uuid.NAMESPACE_DNS, instance.name)),
        "vmSize": "Standard_B1s",
    }
    if version >= USER_DATA_SINCE:
        compute["userData"] = base64.b64encode(instance.user_data or b"").decode()
    return {"compute": compute}
