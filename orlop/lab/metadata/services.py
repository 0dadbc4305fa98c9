"""Which services there are. Pure."""

from __future__ import annotations

from collections.abc import Callable, Mapping

from orlop.lab.metadata import aws, azure, gcp, openstack, web
from orlop.lab.metadata.http import Answer, Instance, MetadataRequest

SERVICES: Mapping[str, Callable[[Instance, MetadataRequest], Answer]] = {
    "aws": aws.answer,
    "azure": azure.answer,
    "gcp": gcp.answer,
    "openstack": openstack.answer,
    "web": web.answer,
}
