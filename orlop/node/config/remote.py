"""What a configuration takes from elsewhere while it is applied, and putting it inside. Pure.

Why: the files stage fetches the contents of files as it writes them. When a server is away at a later boot, that is too
late: half of the root is written. So what is remote is fetched first, by Ignition itself and into a folder of its own,
and then put into the configuration as data URLs. What is applied needs no network, and what is kept for later is whole.

Source: Ignition configuration specification 3.3.0, `storage.files[].contents|append`, `storage.luks[].keyFile`.
"""

from __future__ import annotations

import base64
import copy
from collections.abc import Iterator, Sequence

from orlop.node.config.rendering import Rendering, ResourceView


def resources(config: Rendering) -> Iterator[ResourceView]:
    """Every resource that is fetched when the configuration is applied; changing one changes `config`."""
    for file in config.storage.files:
        yield from file.resources
    for volume in config.storage.volumes:
        if volume.key_file.raw:
            yield volume.key_file


def remote(config: Rendering) -> list[ResourceView]:
    """Those of the resources that come over a network, in order."""
    return [resource for resource in resources(config) if resource.is_remote]


def fetch_plan(config: Rendering, wanted: Sequence[ResourceView]) -> Rendering:
    """A configuration that writes the n-th wanted resource to /n, under the same proxy, trust and patience."""
    files = [
        {"path": f"/{number}", "mode": 0o600, "overwrite": True, "contents": copy.deepcopy(resource.raw)}
        for number, resource in enumerate(wanted)
    ]
    return Rendering({"ignition": copy.deepcopy(config.raw["ignition"]), "storage": {"files": files}})


def data_url(content: bytes) -> str:
    return "data:;base64," + base64.b64encode(content).decode()


def named(reason: str, folder: str, wanted: Sequence[ResourceView]) -> str:
    """A reason that speaks of the files in `folder` by the addresses they were to come from."""
    for number, resource in reversed(list(enumerate(wanted))):
        reason = reason.replace(f"{folder}/{number}", resource.url)
    return reason
