"""What a configuration takes from elsewhere while it is applied, and putting it inside. Pure.

Why: the files stage fetches the contents of files as it writes them. When a server is away at a later boot, that is too
late: half of the root is written. So what is remote is fetched first, by Ignition itself and into a folder of its own,
and then put into the configuration as data URLs. What is applied needs no network, and what is kept for later is whole.

Configurations here are Ignition's own rendering (its cache), as JSON values: already merged and checked by it.
Source: Ignition configuration specification 3.3.0, `storage.files[].contents|append`, `storage.luks[].keyFile`.
"""

from __future__ import annotations

import base64
import copy
from collections.abc import Iterator, Sequence
from typing import Any

Config = dict[str, Any]
Resource = dict[str, Any]


def resources(config: Config) -> Iterator[Resource]:
    """Every resource that is fetched when the configuration is applied; changing one changes `config`."""
    storage = config.get("storage") or {}
    for file in storage.get("files") or ():
        for resource in (file.get("contents"), *(file.get("append") or ())):
            if resource:
                yield resource
    for volume in storage.get("luks") or ():
        if volume.get("keyFile"):
            yield volume["keyFile"]


def is_remote(resource: Resource) -> bool:
    source = resource.get("source") or ""
    return bool(source) and not source.startswith("data:")


def remote(config: Config) -> list[Resource]:
    """Those of the resources that come over a network, in order."""
    return [resource for resource in resources(config) if is_remote(resource)]


def fetch_plan(config: Config) -> Config:
    """A configuration that writes the n-th remote resource to /n, under the same proxy, trust and patience."""
    files = [
        {"path": f"/{number}", "mode": 0o600, "overwrite": True, "contents": copy.deepcopy(resource)}
        for number, resource in enumerate(remote(config))
    ]
    return {"ignition": copy.deepcopy(config["ignition"]), "storage": {"files": files}}


def inlined(config: Config, contents: Sequence[bytes]) -> Config:
    """The configuration with its remote resources replaced by `contents`, in the order of `remote`.

    They were unpacked and verified when they were fetched, so both is left out of the copy.
    """
    result = copy.deepcopy(config)
    for resource, data in zip(remote(result), contents, strict=True):
        resource.clear()
        resource["source"] = "data:;base64," + base64.b64encode(data).decode()
    return result


def named(reason: str, folder: str, wanted: Sequence[Resource]) -> str:
    """A reason that speaks of the files in `folder` by the addresses they were to come from."""
    for number, resource in reversed(list(enumerate(wanted))):
        reason = reason.replace(f"{folder}/{number}", resource["source"])
    return reason
