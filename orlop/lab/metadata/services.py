"""Which services there are. Pure."""

from __future__ import annotations

from collections.abc import Callable, Mapping

from orlop.lab.metadata import aws, azure, gcp, openstack, web
from orlop.lab.metadata.http import Answer, Instance, Request

SERVICES: Mapping[str, Callable[[Instance, Request], Answer]] = {
    "aws": aws.answer,
    "azure": azure.answer,
    "gcp": gcp.answer,
    "openstack": openstack.answer,
    "web": web.answer,
}
