"""Files of Quadlet, and the service that systemd's generator makes of each. Source: podman-systemd.unit(5)."""

from __future__ import annotations

from orlop.model.fleet.name import QUADLET, split

SECTIONS = {kind: kind.capitalize() for kind in QUADLET}
# of the others the service has the file's own name
_MARKED = ("volume", "network", "pod", "image", "build")


def is_quadlet(unit: str) -> bool:
    return split(unit).suffix in QUADLET


def service(unit: str) -> str:
    """What systemd calls a unit when it runs: of `app.network` it is `app-network.service`."""
    name = split(unit)
    if name.suffix not in QUADLET:
        return unit
    mark = f"-{name.suffix}" if name.suffix in _MARKED else ""
    if name.template:
        return f"{name.prefix}{mark}@{name.instance}.service"
    return f"{name.name}{mark}.service"
