"""Rules about what podman's Quadlet files ask of the machine, wherever in the config they are.

Their syntax is `settings.check_quadlet`'s. Here is what is right by itself and still would not go well on this system:
a stop that takes longer than a machine waits for, and a network that needs a service nobody starts. What is fetched
when the machine boots is not seen here.
"""

from __future__ import annotations

import base64
import binascii
import zlib
from urllib.parse import unquote_to_bytes

from orlop.model.words import stopping
from orlop.provision.report import Report
from orlop.provision.source import Place
from orlop.provision.tree import Obj

FOLDER = "/etc/containers/systemd/"
PROXY = "netavark-dhcp-proxy.socket"
LARGEST = 1 << 20  # bytes of a file that are looked at


def check(root: Obj, report: Report) -> None:
    enabled = {unit.text("name") for unit in root.obj("systemd").objs("units") if unit.flag("enabled")}
    for file in root.obj("storage").objs("files"):
        path = file.text("path") or ""
        text = content(file.obj("contents"))
        if path.startswith(FOLDER) and text is not None:
            _quadlet(path.rpartition("/")[2], text, file.place, enabled, report)
    for unit in root.obj("systemd").objs("units"):
        for part in (unit, *unit.objs("dropins")):
            text = part.text("contents") or ""
            _too_long(unit.text("name") or "", stopping.unit_seconds([text]), part.at("contents"), report)


def content(resource: Obj) -> str | None:
    """The text of a resource that is in the config; None for one that is elsewhere, or cannot be read."""
    head, comma, data = (resource.text("source") or "").partition(",")
    if not comma or not head.startswith("data:"):
        return None
    try:
        raw = unquote_to_bytes(data)
        if head.endswith(";base64"):
            raw = base64.b64decode(raw, validate=True)
        if resource.text("compression") == "gzip":
            raw = zlib.decompressobj(31).decompress(raw, LARGEST)
    except (binascii.Error, ValueError, zlib.error):
        return None
    return raw[:LARGEST].decode(errors="replace")


def _quadlet(name: str, text: str, place: Place, enabled: set[str | None], report: Report) -> None:
    own = stopping.unit_seconds([text])
    seconds = stopping.container_seconds([text])
    if name.endswith((".container", ".pod")) and seconds is not None and own is None:
        _too_long(name, seconds + stopping.SPARE, place, report)
    elif seconds is not None and own is not None and own < seconds:
        hint = f"give it TimeoutStopSec={min(seconds + stopping.SPARE, stopping.MOST)}, or leave that out"
        report.warn(place, f"{name} may take {seconds} s to stop, but its unit is killed after {own:g} s", hint)
    _too_long(name, own, place, report)
    dhcp = [value.lower() for value in stopping.values([text], "IPAMDriver")][-1:] == ["dhcp"]
    if name.endswith(".network") and dhcp and PROXY not in enabled:
        report.warn(
            place,
            f"{name} takes its addresses by DHCP, which podman leaves to {PROXY}, and that is not enabled",
            f"add `systemd: {{units: [{{name: {PROXY}, enabled: true}}]}}`, or give the network a Subnet=",
        )


def _too_long(name: str, seconds: float | None, place: Place, report: Report) -> None:
    if seconds is not None and seconds > stopping.MOST:
        span = "for ever" if seconds >= stopping.FOREVER else f"{seconds:g} s"
        report.warn(
            place,
            f"{name} may take {span} to stop; a machine that goes down waits {stopping.MOST} s at most",
            "let it stop sooner, or save what matters while it runs",
        )
