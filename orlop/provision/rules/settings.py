"""Rules of `orlop`: its short forms, and what cannot be written on this system."""

from __future__ import annotations

import base64
import binascii
import re
from dataclasses import replace

from orlop.model.address import web_problem
from orlop.provision.report import Report
from orlop.provision.rules import units, urls
from orlop.provision.rules.unitfile import parse
from orlop.provision.source import Place
from orlop.provision.tree import Obj

# text, not compiled: most configs use few of them, and compiling takes longer than translating a small config
_LABEL = r"[A-Za-z0-9]([A-Za-z0-9-]{0,61}[A-Za-z0-9])?"
_BANDWIDTH = r"[1-9][0-9]{0,4}[kM]"
_NO_PROXY = r"\*|\.?[A-Za-z0-9:._-]{1,253}"
_HOSTNAME = rf"{_LABEL}(\.{_LABEL})*"
_WORD = r"[a-z][a-z0-9-]{0,30}"  # of a channel or a group, as orlop.model.channel has it
_FILE_NAME = r"[A-Za-z0-9_][A-Za-z0-9._-]{0,127}"
_RELEASE = r"20[0-9]{6}\.[0-9]{1,4}"
_TIME = r"([01][0-9]|2[0-3]):[0-5][0-9]"
_ZONE = r"[A-Za-z][A-Za-z0-9_+-]*(/[A-Za-z0-9_+-]+){0,2}"
_CA_HASH = r"sha256:[0-9a-f]{64}"
_PAIR = r"[A-Za-z0-9][A-Za-z0-9._/-]{0,62}=[A-Za-z0-9._/-]{0,63}"
_DURATION = r"(0|[1-9][0-9]{0,5})(s|m|h)"
_SECONDS = {"s": 1, "m": 60, "h": 3600}
_SHELLS = ("/bin/sh", "/usr/bin/sh", "/usr/bin/env sh")
_PEM = r"\s*-----BEGIN PUBLIC KEY-----\s([A-Za-z0-9+/=\s]+)-----END PUBLIC KEY-----\s*"
_ED25519 = bytes.fromhex("302a300506032b6570032100")  # the DER before the 32 bytes of the key

# what a Quadlet file of each kind must have: its section, and one of these options in it
QUADLETS = {
    ".container": ("Container", ("Image", "Rootfs")),
    ".pod": ("Pod", ()),
    ".volume": ("Volume", ()),
    ".network": ("Network", ()),
    ".kube": ("Kube", ("Yaml",)),
    ".image": ("Image", ("Image",)),
    ".build": ("Build", ("ImageTag",)),
}
_STARTED = (".container", ".pod", ".kube")

# where a file would be lost or could not be written, and why
_NO_FILES = {
    "/usr": "is read-only and checked by dm-verity",
    "/bin": "is part of /usr, which is read-only",
    "/sbin": "is part of /usr, which is read-only",
    "/lib": "is part of /usr, which is read-only",
    "/lib64": "is part of /usr, which is read-only",
    "/proc": "belongs to the kernel",
    "/sys": "belongs to the kernel",
    "/dev": "is made anew by udev",
    "/run": "is made anew when the system starts",
    "/tmp": "is empty when the system starts",
}
# where no file system of the user's can be mounted, and why
_NO_MOUNTS = {
    "/": "is made anew at every boot",
    "/etc": "is made anew at every boot, and sealed",
    "/var": "is a file system of the system's own, made at the first boot",
    "/var/lib": "holds what the system itself keeps",
    "/var/lib/orlop": "holds what the system itself keeps",
}


def check(root: Obj, report: Report) -> None:
    """What the user wrote in the short forms, before they become files."""
    _match(root, "hostname", _HOSTNAME, "letters, digits and -, in parts joined by dots", report)
    if len(root.text("hostname") or "") > 64:
        report.error(root.at("hostname"), "a host name has at most 64 characters")
    _update(root.obj("update"), report)
    _health(root.obj("health"), report)
    _cluster(root.obj("cluster"), report)
    for key in root.obj("trust").objs("keys"):
        _match(key, "name", _FILE_NAME, "letters, digits, `.`, `_` and `-`", report)
        _one_of(key, "public_key", "local", report)
    for quadlet in root.objs("quadlets"):
        _quadlet(quadlet, report)


def _update(update: Obj, report: Report) -> None:
    for name in ("channel", "group"):
        _match(update, name, _WORD, "a small letter, then at most 30 small letters, digits and -", report)
    _match(update, "pin", _RELEASE, "a version such as 20261123.1", report)
    _urls(update, "urls", ("http", "https"), report)
    _update_network(update, report)
    _length(update, "check_every", 10, 4 * 3600, "10 s to 4 hours", report)
    window = update.obj("window")
    if update.text("strategy") == "window" and not update.has("window"):
        report.error(
            update.at("strategy"), "the strategy `window` needs a window", "add `window:` with start and minutes"
        )
    elif update.has("window") and update.text("strategy") != "window":
        report.warn(update.at("window"), "the window has no effect", "add `strategy: window`")
    _match(window, "start", _TIME, "a time as in `02:30`", report)
    minutes = window.number("minutes")
    if minutes is not None and not 1 <= minutes <= 1440:
        report.error(window.at("minutes"), "a window is open for 1 to 1440 minutes")
    _match(window, "timezone", _ZONE, "a name as in `Europe/Berlin`", report)
    lock = update.obj("lock")
    if lock.has("url") and (reason := _web_problem(lock.text("url") or "")):
        report.error(lock.at("url"), f"url: {reason}")
    _match(lock, "group", r"[A-Za-z0-9.-]+", "letters, digits, `.` and `-`", report)


def _update_network(update: Obj, report: Report) -> None:
    _match(update, "bandwidth", _BANDWIDTH, "a number and k or M, bytes a second, as in `2M`", report)
    if update.text("bandwidth") in [f"{n}k" for n in range(1, 10)]:
        report.error(update.at("bandwidth"), f"bandwidth cannot be {update.text('bandwidth')!r}", "10k is the least")
    proxy = update.text("proxy")
    if proxy is not None and (_web_problem(proxy) or urls.scheme(proxy) != "http"):
        report.error(update.at("proxy"), "proxy: it must be http://HOST:PORT", "the proxy itself is spoken to in http")
    hosts = update.seq("no_proxy")
    for host, place in zip(hosts.texts(), hosts.places, strict=True):
        if not re.fullmatch(_NO_PROXY, host):
            report.error(place, f"no_proxy: {host[:60]!r} is no host", "a name, an address, or .domain")


def _health(health: Obj, report: Report) -> None:
    for name, least, most, said in (("timeout", 1, 600, "1 s to 10 minutes"), ("soak", 0, 86400, "at most 24 hours")):
        _length(health, name, least, most, said, report)
    for check in health.objs("checks"):
        _match(check, "name", _FILE_NAME, "letters, digits, `.`, `_` and `-`", report)
        _one_of(check, "contents", "contents_local", report)


def _length(obj: Obj, name: str, least: int, most: int, said: str, report: Report) -> None:
    _match(obj, name, _DURATION, "a number and s, m or h, as in `90s`", report)
    value = seconds(obj.text(name) or "")
    if value is not None and not least <= value <= most:
        report.error(obj.at(name), f"{name} cannot be {obj.text(name)!r}", said)


def seconds(duration: str) -> int | None:
    """A number and its unit in seconds; None if it is no duration."""
    found = re.fullmatch(_DURATION, duration)
    return int(found[1]) * _SECONDS[found[2]] if found else None


def _cluster(cluster: Obj, report: Report) -> None:
    _urls(cluster, "servers", ("https",), report)
    _match(cluster, "ca_hash", _CA_HASH, "`sha256:` and 64 small hex digits", report)
    token = cluster.text("token")
    if token is not None and (not token.isprintable() or " " in token or len(token) > 512):
        report.error(cluster.at("token"), "a token has no spaces and at most 512 characters")
    labels = cluster.seq("labels")
    for label, place in zip(labels.texts(), labels.places, strict=True):
        if not re.fullmatch(_PAIR, label):
            report.error(place, f"{label!r} is no label", "`key=value` of letters, digits, `.`, `_`, `/` and `-`")


def _urls(obj: Obj, name: str, schemes: tuple[str, ...], report: Report) -> None:
    value = obj.seq(name)
    for url, place in zip(value.texts(), value.places, strict=True):
        reason = _web_problem(url)
        if not reason and urls.scheme(url) not in schemes:
            reason = "it must begin with https://"
        if reason:
            report.error(place, f"{name}: {reason}")


def _web_problem(url: str) -> str:
    """A URL for a program of this system, not for Ignition alone."""
    return urls.http_problem(url) or web_problem(url)


def _quadlet(quadlet: Obj, report: Report) -> None:
    name = quadlet.text("name") or ""
    if units.suffix(name) not in QUADLETS or not re.fullmatch(_FILE_NAME, name.replace("@", "_")):
        report.error(quadlet.at("name"), f"{name!r} is no Quadlet file", f"NAME and one of: {' '.join(QUADLETS)}")
    if not quadlet.objs("dropins") or (quadlet.has("contents") and quadlet.has("contents_local")):
        _one_of(quadlet, "contents", "contents_local", report)
    for dropin in quadlet.objs("dropins"):
        units.check_dropin(dropin, report)


def check_quadlet(name: str, text: str, place: Place, report: Report) -> None:
    """The text of a Quadlet file, wherever it came from."""
    parsed = parse(text)
    kind = units.suffix(name)
    if parsed.problem:
        there = replace(place, span=place.span.inner(parsed.line))
        report.error(there, f"line {parsed.line} of the Quadlet file: {parsed.problem}")
    elif kind in QUADLETS:
        section, wanted = QUADLETS[kind]
        if section not in parsed.sections and not (f"[{section}]" in text and not wanted):
            report.error(place, f"{name} has no [{section}] section with options", "podman would not make a unit of it")
        elif wanted and not any((section, option) in parsed.options for option in wanted):
            report.error(place, f"{name} has no {' or '.join(wanted)} in [{section}]", "podman needs it")
        elif kind in _STARTED and "Install" not in parsed.sections and ("Container", "Pod") not in parsed.options:
            hint = "add [Install] with `WantedBy=multi-user.target`"
            report.warn(place, f"{name} has no [Install] section, so it is not started at boot", hint)


def check_program(text: bytes, place: Place, report: Report) -> None:
    """A health check must be something this system can run."""
    first = text.split(b"\n", 1)[0].decode("utf-8", "replace").rstrip()
    shell = re.fullmatch(r"#!\s*(\S+(?:\s+sh)?)(?:\s+-\S+)*", first)
    if text.startswith(b"\x7fELF"):
        return
    if not first.startswith("#!"):
        report.error(place, "this is no program: it does not begin with `#!`", "begin the script with `#!/bin/sh`")
    elif shell is None or re.sub(r"\s+", " ", shell[1]) not in _SHELLS:
        hint = "write it for `/bin/sh`, or let it ask a container: `podman exec`"
        report.warn(place, f"the image has no interpreter {first[2:].strip()[:60]!r}", hint)


def check_key(text: bytes, place: Place, report: Report) -> None:
    """A trusted key is one Ed25519 public key in PEM."""
    found = re.fullmatch(_PEM, text.decode("utf-8", "replace"))
    try:
        der = base64.b64decode("".join(found[1].split()), validate=True) if found else b""
    except binascii.Error:
        der = b""
    if not der.startswith(_ED25519) or len(der) != len(_ED25519) + 32:
        hint = "`openssl pkey -pubout` writes one: -----BEGIN PUBLIC KEY-----"
        report.error(place, "this is no Ed25519 public key in PEM", hint)


def check_paths(root: Obj, report: Report) -> None:
    """Files and file systems go only where they stay."""
    storage = root.obj("storage")
    for name in ("directories", "files", "links"):
        for node in storage.objs(name):
            _place(node, node.text("path") or "", report)
    for filesystem in storage.objs("filesystems"):
        path = filesystem.text("path") or ""
        if filesystem.flag("with_mount_unit"):
            _place(filesystem, path, report)
        if path in _NO_MOUNTS:
            hint = "mount it at a folder of its own below /var"
            report.error(filesystem.at("path"), f"nothing can be mounted at {path}: it {_NO_MOUNTS[path]}", hint)


def _place(obj: Obj, path: str, report: Report) -> None:
    for top, reason in _NO_FILES.items():
        if path == top or path.startswith(top + "/"):
            report.error(obj.at("path"), f"nothing can be put at {path}: {top} {reason}", "use /etc or /var")


def _match(obj: Obj, name: str, pattern: str, what: str, report: Report) -> None:
    value = obj.text(name)
    if value is not None and not re.fullmatch(pattern, value):
        report.error(obj.at(name), f"{name} cannot be {value[:60]!r}", what)


def _one_of(obj: Obj, first: str, second: str, report: Report) -> None:
    given = [name for name in (first, second) if obj.has(name)]
    if len(given) == 2:
        report.error(obj.at(second), f"{first} and {second} are both given", "give one of them")
    elif not given:
        report.error(obj.place, f"{first} is missing", f"give {first} or {second}")
