"""chrony's servers as those of systemd-timesyncd, where nothing is lost by it.

Lost would be: a server that is asked with a key or by NTS, another port, a clock that is not on the network, and the
serving of time to others. A file with one of these stays untranslated, with a warning that names it. How fast a clock
is corrected is each program's own affair. Source: chrony.conf(5), timesyncd.conf(5).
"""

from __future__ import annotations

import re

from orlop.provision.foreign.table import CHRONY
from orlop.provision.foreign.texts import Configured, Text
from orlop.provision.report import Report

PLACE = "/etc/systemd/timesyncd.conf.d/20-chrony.conf"
_FILE = re.compile(
    r"/etc/chrony\.conf|/etc/chrony/chrony\.conf|/etc/chrony/sources\.d/[^/]*\.sources"
    r"|/etc/chrony/conf\.d/[^/]*\.conf|/etc/chrony\.d/[^/]*\.conf"
)
_HOST = re.compile(r"[A-Za-z0-9]([A-Za-z0-9.:-]*[A-Za-z0-9])?")
_LOST_OPTIONS = ("nts", "key", "port", "ntsport", "xleave", "certset")
_LOST = ("refclock", "peer", "allow", "local", "ntsservercert", "hwtimestamp", "broadcast")


def file(config: Configured, report: Report) -> tuple[str, Text] | None:
    """The text of the file at `PLACE`, and where it comes from; None when there is nothing to write."""
    hosts: list[str] = []
    origin: Text | None = None
    for source in sorted((f for f in config.files if _FILE.fullmatch(f.path)), key=lambda f: f.path):
        lost = _lost(source)
        if lost:
            report.warn(source.place, f"{source.path} is not translated: {lost}", CHRONY.write)
            return None
        found = [words[1] for words in _lines(source.text or "") if words[0] in ("server", "pool") and len(words) > 1]
        hosts += found
        origin = origin or (source if found else None)
    if origin is None:
        return None
    return f"# Made from chrony's settings\n[Time]\nNTP={' '.join(dict.fromkeys(hosts))}\n", origin


def _lines(text: str) -> list[list[str]]:
    lines = (line.strip() for line in text.splitlines())
    return [line.split() for line in lines if line and line[0] not in "#!;%"]


def _lost(source: Text) -> str:
    if source.text is None:
        return "its contents are elsewhere, and not seen here"
    for words in _lines(source.text):
        word = words[0].lower()
        if word in _LOST:
            return f"systemd-timesyncd has nothing like {word}"
        if word in ("server", "pool"):
            options = [option for option in words[2:] if option.lower() in _LOST_OPTIONS]
            if len(words) < 2 or not _HOST.fullmatch(words[1]):
                return f"{' '.join(words)[:60]!r} names no server"
            if options:
                return f"systemd-timesyncd has nothing like {options[0]} of a {word}"
    return ""
