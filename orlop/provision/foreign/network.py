"""NetworkManager's keyfiles as files of systemd-networkd, where each of their words has one there.

One word without a meaning here, and the whole file stays untranslated, with a warning that names the word: half a
network is none. Source: nm-settings-keyfile(5) and systemd.network(5).
"""

from __future__ import annotations

import ipaddress
import re
from collections.abc import Iterator, Mapping

from orlop.provision.foreign.table import KEYFILES
from orlop.provision.foreign.texts import Configured, Text
from orlop.provision.report import Report

FOLDER = "/etc/systemd/network/"
ANY = ["Type=ether", "Kind=!*"]
_KEYFILE = re.compile(r"/etc/NetworkManager/system-connections/([^/]+?)(?:\.nmconnection)?")
_INTERFACE = re.compile(r"[A-Za-z0-9][A-Za-z0-9._-]{0,14}")
_MAC = re.compile(r"[0-9A-Fa-f]{2}(?::[0-9A-Fa-f]{2}){5}")
_DOMAIN = re.compile(r"~?\.|~?[A-Za-z0-9_]([A-Za-z0-9._-]*[A-Za-z0-9_])?")
# words that say nothing about how the link is set up
_SILENT = {
    "connection": ("id", "uuid", "timestamp", "permissions", "autoconnect-priority", "autoconnect-retries", "zone"),
    "ipv4": ("may-fail", "dns-priority"),
    "ipv6": ("may-fail", "addr-gen-mode", "dns-priority"),
    "proxy": (),
}
Sections = Mapping[str, Mapping[str, str]]


class _Inexact(Exception):
    """What has no exact meaning in a file of systemd-networkd."""


def files(config: Configured, report: Report) -> Iterator[tuple[str, str, Text]]:
    """Path, text and origin of each file that says the same as a keyfile of the config."""
    for file in config.files:
        match = _KEYFILE.fullmatch(file.path)
        if match is None:
            continue
        try:
            if file.text is None:
                raise _Inexact("its contents are elsewhere, and not seen here")
            text = _network(_sections(file.text))
        except _Inexact as e:
            report.warn(file.place, f"{file.path} is not translated: {e}", KEYFILES.write)
            continue
        yield f"{FOLDER}20-{re.sub(r'[^A-Za-z0-9._-]', '-', match[1])}.network", text, file


def _sections(text: str) -> Sections:
    out: dict[str, dict[str, str]] = {}
    section: dict[str, str] = {}
    for raw in text.splitlines():
        line = raw.strip()
        if not line or line.startswith(("#", ";")):
            continue
        if line.startswith("[") and line.endswith("]"):
            section = out.setdefault({"802-3-ethernet": "ethernet"}.get(line[1:-1], line[1:-1]), {})
            continue
        name, equals, value = line.partition("=")
        if not equals:
            raise _Inexact(f"the line {line[:40]!r} is not NAME=VALUE")
        section[name.strip()] = value.strip()
    return out


def _network(given: Sections) -> str:
    _only(given)
    connection, ethernet = given.get("connection", {}), given.get("ethernet", {})
    if connection.get("type", "ethernet") not in ("ethernet", "802-3-ethernet"):
        raise _Inexact(f"a connection of the type {connection['type']} is more than one file here")
    if connection.get("autoconnect", "true") not in ("true", "yes", "1"):
        raise _Inexact("a connection that is not made by itself has no like here")
    match = _match(connection, ethernet)
    is_static = any(key.startswith("address") for part in ("ipv4", "ipv6") for key in given.get(part, {}))
    if is_static and match == ANY:
        raise _Inexact("its address is for one interface, and it names none")
    link = [f"MTUBytes={_number(ethernet['mtu'], 'mtu')}"] if ethernet.get("mtu") not in (None, "0") else []
    network = [*_ipv4(given.get("ipv4", {})), *_ipv6(given.get("ipv6", {})), *_names(given)]
    dhcp4 = given.get("ipv4", {}).get("method", "auto") == "auto"
    network = ["DHCP=ipv4" if dhcp4 else "DHCP=no", "LLMNR=no", "MulticastDNS=no", *network]
    sections = [("Match", match), ("Link", link), ("Network", network)]
    if dhcp4:
        sections.append(("DHCPv4", ["UseDomains=yes"]))
    parts = [f"[{name}]\n" + "".join(f"{line}\n" for line in lines) for name, lines in sections if lines]
    return "# Made from a keyfile of NetworkManager\n" + "\n".join(parts)


def _only(given: Sections) -> None:
    """Nothing but what is understood."""
    known = {
        "connection": ("type", "interface-name", "autoconnect"),
        "ethernet": ("mac-address", "mtu"),
        "ipv4": ("method", "gateway", "dns", "dns-search"),
        "ipv6": ("method", "gateway", "dns", "dns-search"),
    }
    for section, keys in given.items():
        if section not in _SILENT and section not in known:
            raise _Inexact(f"the section [{section}] has no exact like here")
        for key in keys:
            is_address = section in ("ipv4", "ipv6") and re.fullmatch(r"address(es|\d+)", key)
            if key not in (*known.get(section, ()), *_SILENT.get(section, ())) and not is_address:
                raise _Inexact(f"{key} in [{section}] has no exact like here")


def _match(connection: Mapping[str, str], ethernet: Mapping[str, str]) -> list[str]:
    name, mac = connection.get("interface-name"), ethernet.get("mac-address")
    if name is not None and not _INTERFACE.fullmatch(name):
        raise _Inexact(f"the interface {name!r} is not a plain name")
    if mac is not None and not _MAC.fullmatch(mac):
        raise _Inexact(f"the address {mac!r} is not that of an Ethernet card")
    if name is None and mac is None:
        return ANY
    return ([f"Name={name}"] if name else []) + ([f"PermanentMACAddress={mac}"] if mac else [])


def _ipv4(given: Mapping[str, str]) -> list[str]:
    method = given.get("method", "auto")
    if method not in ("auto", "manual", "disabled"):
        raise _Inexact(f"the method {method} of [ipv4] has no exact like here")
    if method == "disabled":
        return ["LinkLocalAddressing=ipv6"]
    lines = _addresses(given, 4)
    if method == "manual" and not _has_address(lines):
        raise _Inexact("the method manual of [ipv4] has no address")
    return lines


def _ipv6(given: Mapping[str, str]) -> list[str]:
    method = given.get("method", "auto")
    if method == "disabled":
        return ["LinkLocalAddressing=no", "IPv6AcceptRA=no"]
    if method not in ("auto", "manual", "link-local"):
        raise _Inexact(f"the method {method} of [ipv6] has no exact like here")
    lines = _addresses(given, 6)
    if method == "manual" and not _has_address(lines):
        raise _Inexact("the method manual of [ipv6] has no address")
    return [*lines, *(["IPv6AcceptRA=no"] if method != "auto" else [])]


def _addresses(given: Mapping[str, str], version: int) -> list[str]:
    """`address1=IP/PREFIX,GATEWAY`, `addresses=IP/PREFIX;…`, `gateway=`, `dns=`."""
    lines: list[str] = []
    gateways = [given["gateway"]] if given.get("gateway") else []
    for key, value in given.items():
        if key == "addresses":
            lines += [f"Address={_interface(item, version)}" for item in _items(value)]
        elif re.fullmatch(r"address\d+", key):
            address, _, gateway = value.partition(",")
            lines.append(f"Address={_interface(address, version)}")
            gateways += [gateway] if gateway else []
    lines += [f"Gateway={_address(gateway, version)}" for gateway in dict.fromkeys(gateways)]
    return lines + [f"DNS={_address(item, version)}" for item in _items(given.get("dns", ""))]


def _has_address(lines: list[str]) -> bool:
    return any(line.startswith("Address=") for line in lines)


def _names(given: Sections) -> list[str]:
    domains = [d for part in ("ipv4", "ipv6") for d in _items(given.get(part, {}).get("dns-search", ""))]
    if any(not _DOMAIN.fullmatch(domain) for domain in domains):
        raise _Inexact("dns-search holds what is not a domain")
    return ["Domains=" + " ".join(dict.fromkeys(domains))] if domains else []


def _items(text: str) -> list[str]:
    return [item.strip() for item in re.split("[;,]", text) if item.strip()]


def _interface(text: str, version: int) -> str:
    try:
        found = ipaddress.ip_interface(text.strip())
    except ValueError:
        raise _Inexact(f"{text.strip()!r} is not an address with its prefix") from None
    if found.version != version or "/" not in text:
        raise _Inexact(f"{text.strip()!r} is not an IPv{version} address with its prefix")
    return str(found)


def _address(text: str, version: int) -> str:
    try:
        found = ipaddress.ip_address(text.strip())
    except ValueError:
        raise _Inexact(f"{text.strip()!r} is not an address") from None
    if found.version != version:
        raise _Inexact(f"{text.strip()!r} is not an IPv{version} address")
    return str(found)


def _number(text: str, called: str) -> int:
    if not re.fullmatch(r"[1-9]\d{0,5}", text):
        raise _Inexact(f"{called} must be a number, not {text!r}")
    return int(text)
