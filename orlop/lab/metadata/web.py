"""No cloud: a web server that has the configuration at one path, for `ignition.config.url=`. Pure."""

from __future__ import annotations

from orlop.lab.metadata.http import Answer, Instance, MetadataRequest, text

PATH = "/config.ign"


def answer(instance: Instance, request: MetadataRequest) -> Answer:
    if request.method not in ("GET", "HEAD"):
        return text(405, "Method Not Allowed\n")
    if request.path != PATH or instance.user_data is None:
        return text(404, "Not Found\n")
    return text(200, instance.user_data, "application/vnd.coreos.ignition+json")
