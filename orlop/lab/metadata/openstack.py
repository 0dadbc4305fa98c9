"""OpenStack's metadata service (Nova), and the files of its config drive, which hold the same. Pure.

Source: OpenStack Nova documentation, "Metadata": the tree below /openstack, a version a folder, and the one that
follows Amazon's beside it.
"""

from __future__ import annotations

import json
import uuid
from collections.abc import Mapping

from orlop.lab.metadata.http import Answer, Instance, MetadataRequest, Tree, find, listing, text

VERSIONS = (
    *("2012-08-10", "2013-04-04", "2013-10-17", "2015-10-15", "2016-06-30", "2016-10-06", "2017-02-22", "2018-08-27"),
    *("2020-10-14", "latest"),
)
EC2_VERSIONS = ("2009-04-04", "latest")


def answer(instance: Instance, request: MetadataRequest) -> Answer:
    if request.method not in ("GET", "HEAD"):
        return _error(405, "Method Not Allowed")
    parts = request.parts
    if not parts:
        return text(200, "\n".join(EC2_VERSIONS))
    if parts == ["openstack"]:
        return text(200, "\n".join(VERSIONS))
    if parts[0] == "openstack":
        value = find(files(instance), parts[2:]) if parts[1] in VERSIONS else None
    else:
        value = find(_ec2(instance), parts[1:]) if parts[0] in EC2_VERSIONS else None
    if value is None:
        return _error(404, "Not Found")
    if isinstance(value, Mapping):
        return text(200, listing(value))
    kind = "application/json" if parts[-1].endswith(".json") else "text/plain; charset=utf-8"
    return text(200, value, "application/octet-stream" if isinstance(value, bytes) else kind)


def files(instance: Instance) -> dict[str, str | bytes]:
    """What one version's folder holds, by name."""
    meta = {
        "uuid": str(uuid.uuid5(uuid.NAMESPACE_DNS, instance.name)),
        "name": instance.name,
        "hostname": f"{instance.name}.novalocal",
        "launch_index": 0,
        "availability_zone": "nova",
        "project_id": "0123456789abcdef0123456789abcdef",
    }
    contents: dict[str, str | bytes] = {
        "meta_data.json": json.dumps(meta),
        "network_data.json": json.dumps({"links": [], "networks": [], "services": []}),
        "vendor_data.json": "{}",
        "vendor_data2.json": "{}",
    }
    if instance.user_data is not None:
        contents["user_data"] = instance.user_data
    return contents


def _ec2(instance: Instance) -> Tree:
    meta = {"hostname": f"{instance.name}.novalocal", "instance-id": f"i-{instance.number & 0xFFFFFFFF:08x}"}
    return {"meta-data": meta} | ({} if instance.user_data is None else {"user-data": instance.user_data})


def _error(status: int, words: str) -> Answer:
    return text(status, f"<html><head><title>{status} {words}</title></head><body>{words}</body></html>", "text/html")
