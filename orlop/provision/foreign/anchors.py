"""Certificates of authorities, added to the one bundle that everything here reads: no program is needed at the boot.

Each becomes a part that Ignition appends to the image's bundle; /etc is made anew at every boot, so it is never there
twice. What is at a URL is taken from there by the machine, with its hash.
"""

from __future__ import annotations

import re

from orlop.provision.foreign.table import ANCHORS
from orlop.provision.foreign.texts import Configured
from orlop.provision.report import Report
from orlop.provision.source import Place
from orlop.provision.spec_base import RESOURCE
from orlop.provision.sugar.resources import with_data
from orlop.provision.tree import Obj

BUNDLE = "/etc/ssl/certs/ca-certificates.crt"
_ANCHOR = re.compile(
    r"/etc/pki/ca-trust/source/anchors/[^/]+|/etc/ca-certificates/trust-source/anchors/[^/]+"
    r"|/etc/ssl/certs/[^/]+\.(pem|crt)"
)
_BEGIN, _END = "-----BEGIN CERTIFICATE-----", "-----END CERTIFICATE-----"


def certificates(config: Configured, report: Report) -> list[Obj]:
    """The contents that are to be in the bundle, in order."""
    found: list[Obj] = []
    for file in config.files:
        if file.path == BUNDLE or not _ANCHOR.fullmatch(file.path) or file.file.objs("append"):
            continue
        contents = file.file.obj("contents")
        if not contents.text("source"):
            continue
        if file.text is not None and not _is_pem(file.text):
            report.warn(file.place, f"{file.path} holds no certificate in PEM, and is not trusted", ANCHORS.write)
            continue
        found.append(contents)
    return found


def appended(certificates: list[Obj]) -> list[Obj]:
    """What to append to the bundle for them."""
    parts = [part for certificate in certificates for part in (_newline(certificate.place), certificate)]
    return [*parts, _newline(parts[-1].place)] if parts else []


def _is_pem(text: str) -> bool:
    return _BEGIN in text and text.count(_BEGIN) == text.count(_END)


def _newline(place: Place) -> Obj:
    """Between two parts: a file that does not end its last line would run into the next one."""
    return with_data(Obj(RESOURCE, place), b"\n", place)
