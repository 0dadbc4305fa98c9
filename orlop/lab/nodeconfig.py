"""What a node is given at boot: files, folders and links, as tmpfiles.d lines in one systemd credential.

Why tmpfiles.d: it is systemd's own language for "this path has this content", the initrd applies it to the new root
before the system starts, and so units and Quadlet files in it take part in the boot. Pure: values in, text out; the
text is handed to QEMU by `orlop.lab.machine`. Invariant: any path and any bytes come out on the node as they went in.
"""

from __future__ import annotations

import base64
import string
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Self

from orlop.errors import BadInput

CREDENTIAL = "tmpfiles.extra"
MAX_BYTES = 1_000_000  # systemd refuses credentials of more than 1 MiB
PRIVATE_NETWORK = "10.77.0"
PRIVATE_NETWORK6 = "fd77"
HOST_FROM_NODE = "10.0.2.2"

_UNITS = "/etc/systemd/system"
_SYSTEM_UNITS = "/usr/lib/systemd/system"
_QUADLETS = "/etc/containers/systemd"
_UNIT_CHARS = frozenset(string.ascii_letters + string.digits + ":-_.\\@")


@dataclass(frozen=True)
class ConfigFile:
    """`is_default`: only when the machine's own configuration has no such file."""

    path: str
    data: bytes
    mode: int = 0o644
    is_default: bool = False


@dataclass(frozen=True)
class ConfigFolder:
    path: str
    mode: int = 0o755


@dataclass(frozen=True)
class ConfigLink:
    path: str
    target: str


@dataclass(frozen=True)
class NodeConfig:
    """What a node gets. Of two entries for one path the later wins, so that configurations can be added up."""

    entries: tuple[ConfigFile | ConfigFolder | ConfigLink, ...] = field(default=())

    def __add__(self, other: NodeConfig) -> NodeConfig:
        return NodeConfig(self.entries + other.entries)

    def file(self, path: str, data: str | bytes, mode: int = 0o644) -> Self:
        return self._with(ConfigFile(path, data.encode() if isinstance(data, str) else data, mode))

    def folder(self, path: str, mode: int = 0o755) -> Self:
        return self._with(ConfigFolder(path, mode))

    def link(self, path: str, target: str) -> Self:
        return self._with(ConfigLink(path, target))

    def _with(self, entry: ConfigFile | ConfigFolder | ConfigLink) -> Self:
        return type(self)((*self.entries, entry))

    def ssh_access(self, public_key: str) -> Self:
        """Let the holder of this key in as root."""
        config = self.folder("/root", 0o700).folder("/root/.ssh", 0o700)
        return config.file("/root/.ssh/authorized_keys", public_key.strip() + "\n", 0o600).enable(
            "ssh.socket", "sockets.target"
        )

    def private_address(self, mac: str, address: str) -> Self:
        """A fixed address, with its prefix length, on the link with this MAC; nothing is routed over it."""
        link_local = "ipv6" if ":" in address else "no"
        return self.file(
            "/etc/systemd/network/10-orlop-lab.network",
            "# The private network of the lab's nodes.\n"
            f"[Match]\nMACAddress={mac}\n\n"
            f"[Network]\nAddress={address}\nLinkLocalAddressing={link_local}\nIPv6AcceptRA=no\nLLMNR=no\n",
        )

    def names(self, own: str, addresses: Mapping[str, str]) -> Self:
        """The node's host name, and every node's address by name (without prefix length)."""
        lines = ["127.0.0.1 localhost", "::1 localhost ip6-localhost ip6-loopback"]
        lines += [f"{address} {name}" for name, address in addresses.items()]
        texts = {"/etc/hostname": own + "\n", "/etc/hosts": "\n".join(lines) + "\n"}
        return type(self)(
            (*self.entries, *(ConfigFile(p, text.encode(), is_default=True) for p, text in texts.items()))
        )

    def unit(self, name: str, text: str, *, wanted_by: str = "") -> Self:
        """A unit file, enabled for the target `wanted_by` when that is given."""
        _check_unit(name)
        config = self.file(f"{_UNITS}/{name}", text)
        return config.link(f"{_UNITS}/{wanted_by}.wants/{name}", f"{_UNITS}/{name}") if wanted_by else config

    def enable(self, unit: str, target: str = "multi-user.target") -> Self:
        """Enable a unit that the image ships."""
        _check_unit(unit)
        return self.link(f"{_UNITS}/{target}.wants/{unit}", f"{_SYSTEM_UNITS}/{unit}")

    def quadlet(self, name: str, text: str) -> Self:
        """A Quadlet file, for example `web.container`."""
        _check_unit(name)
        return self.file(f"{_QUADLETS}/{name}", text)

    def docker_api(self) -> Self:
        """Open the Docker API socket for root."""
        return self.enable("podman.socket", "sockets.target")

    def registry(self, location: str, *, insecure: bool = False) -> Self:
        """Say how the registry at `location` (host:port) is reached."""
        name = "".join(c if c in _UNIT_CHARS else "-" for c in location)
        text = f'[[registry]]\nlocation = "{location}"\ninsecure = {str(insecure).lower()}\n'
        return self.file(f"/etc/containers/registries.conf.d/50-{name}.conf", text)

    def tmpfiles(self) -> str:
        """The credential's text. Raises BadInput when an entry cannot be said, or it is too much for a credential."""
        last = {entry.path: entry for entry in self.entries}
        text = "".join(_line(last[path]) + "\n" for path in sorted(last))
        if len(text) > MAX_BYTES:
            raise BadInput(
                f"the node configuration is {len(text)} bytes long, {MAX_BYTES} are the most a credential can hold",
                hint="give large files to the node over `orlop lab exec` or in a container image",
            )
        return text


def _line(entry: ConfigFile | ConfigFolder | ConfigLink) -> str:
    path = _field(_path(entry.path, "path"))
    match entry:
        case ConfigFile(data=data, mode=mode, is_default=is_default):
            argument = " " + base64.b64encode(data).decode() if data else ""
            return f"f{'' if is_default else '+'}{'~' if data else ''} {path} {_mode(mode)} root root -{argument}"
        case ConfigFolder(mode=mode):
            return f"d {path} {_mode(mode)} root root -"
        case ConfigLink(target=target):
            return f"L+ {path} - - - - {_target(target)}"


def _path(path: str, what: str) -> str:
    bad = [c for c in path if ord(c) < 32 or ord(c) == 127]
    parts = path.split("/")
    if not path.startswith("/") or bad or path == "/" or any(part in ("", ".", "..") for part in parts[1:]):
        raise BadInput(
            f"node configuration: {path!r} is not a valid {what}: it must be absolute and plain",
            hint="no empty, '.' or '..' parts, no control characters, no '/' at the end",
        )
    return path


def _target(target: str) -> str:
    """The argument is the rest of the line: it is not unquoted, but C escapes and specifiers are expanded."""
    if not target or target == "-" or target != target.strip() or any(ord(c) < 32 or ord(c) == 127 for c in target):
        raise BadInput(f"node configuration: {target!r} is not a valid link target", hint="give a plain path")
    return target.replace("\\", "\\\\").replace("%", "%%")


def _field(text: str) -> str:
    """One quoted field: C escapes for the quote and the backslash, doubled specifier signs."""
    text = text.replace("%", "%%")
    if any(c in text for c in "\"'\\ "):
        text = '"' + text.replace("\\", "\\\\").replace('"', '\\"') + '"'
    return text


def _mode(mode: int) -> str:
    if not 0 <= mode <= 0o7777:
        raise BadInput(f"node configuration: {mode:o} is not a valid file mode", hint="give permission bits up to 7777")
    return f"{mode:04o}"


def _check_unit(name: str) -> None:
    stem, _, suffix = name.rpartition(".")
    if not stem or not suffix or len(name) > 255 or not set(name) <= _UNIT_CHARS:
        raise BadInput(f"node configuration: {name!r} is not a valid unit name", hint="for example `web.service`")
