"""What firmware, boot loader and kernel would do with the disk of a real machine: the counterpart of `machine`.

`machine` judges the small disks that the simulators make; this judges one that Linux has written: its own reading of
FAT32 as mkfs.vfat makes it, and UKIs that are EFI programs. The partition table and the order of entries are judged by
the same code. Everything is read through `Findings`, so that the next state costs only what is different in it.
"""

from __future__ import annotations

import hashlib
import re
import struct
import uuid
from collections.abc import Container
from dataclasses import dataclass

from orlop.image.seal import ON_ESP
from orlop.model.disk.gpt import ESP_TYPE
from orlop.model.words.arch import BUILT
from orlop.model.words.version import Version
from simulators.fat import long_name
from simulators.findings import Findings
from simulators.machine import ORDER, MenuEntry, Unbootable, table_of
from simulators.pe import sections
from simulators.releases import make_tree

SECTOR = 512
LOADER = (*ON_ESP, "loader/loader.conf")
_TRIES = re.compile(r".*\+(\d+)(?:-(\d+))?\.efi", re.IGNORECASE)
NO_RELEASE = " is not the UKI of any release"
_PIECE = 1 << 20
_MOST = 1 << 27  # bytes of a file that is looked at
Runs = tuple[tuple[int, int], ...]  # (first byte on the disk, length) of a file's pieces


@dataclass(frozen=True)
class FoundFile:
    name: str
    first: int
    size: int
    is_folder: bool


@dataclass(frozen=True)
class FirmwareStart:
    """What starts: `entry` is systemd-boot's first; `listed` names all of them."""

    entry: MenuEntry
    listed: tuple[str, ...]


class Fat:
    """A FAT32 volume that begins at byte `start` of the disk. Source: Microsoft's FAT specification 1.03."""

    def __init__(self, disk: Findings, start: int) -> None:
        self._disk, self._start = disk, start
        head = disk.read(start, SECTOR)
        unit, per, reserved, copies = struct.unpack_from("<HBHB", head, 11)
        (fat_sectors,) = struct.unpack_from("<I", head, 36)
        (self._root,) = struct.unpack_from("<I", head, 44)
        if head[510:512] != b"\x55\xaa" or unit % SECTOR or not per or not fat_sectors:
            raise Unbootable("the ESP is not a FAT32 volume")
        self._cluster = per * unit
        self._fat = start + reserved * unit
        self._data = self._fat + copies * fat_sectors * unit
        self._last = fat_sectors * unit // 4
        self._sectors: dict[int, tuple[int, ...]] = {}

    def chain(self, first: int, most: int) -> Runs:
        """(byte on the disk, length) of the runs of at most `most` bytes, as far as the table leads."""
        found: list[list[int]] = []
        total = 0
        while 2 <= first < self._last and total < most:
            at = self._data + (first - 2) * self._cluster
            if found and sum(found[-1]) == at:
                found[-1][1] += self._cluster
            else:
                found.append([at, self._cluster])
            total += self._cluster
            sector, place = divmod(first, SECTOR // 4)
            if sector not in self._sectors:
                self._sectors[sector] = struct.unpack("<128I", self._disk.read(self._fat + sector * SECTOR, SECTOR))
            first = self._sectors[sector][place] & 0x0FFFFFFF
        return tuple((at, size) for at, size in found)

    def folder(self, first: int) -> list[FoundFile]:
        """A long name whose entries do not fit is not seen, the short one is."""
        raw = b"".join(self._disk.read(at, size) for at, size in self.chain(first, 1 << 20))
        found: list[FoundFile] = []
        long: list[bytes] = []
        for n in range(0, len(raw), 32):
            entry = raw[n : n + 32]
            if entry[0] == 0:
                break
            if entry[0] == 0xE5:
                long = []
            elif entry[11] == 0x0F:
                long = [entry] if entry[0] & 0x40 else [*long, entry]
            else:
                if not entry[11] & 0x08:  # a volume's label
                    high, low, size = struct.unpack_from("<20xH4xHI", entry)
                    plain = (entry[:8].rstrip() + b"." + entry[8:11].rstrip()).decode("ascii", "replace").rstrip(".")
                    found.append(
                        FoundFile(
                            long_name(tuple(long), entry[:11]) or plain, high << 16 | low, size, bool(entry[11] & 0x10)
                        )
                    )
                long = []
        return found

    def find(self, path: str) -> FoundFile:
        at = FoundFile("", self._root, 0, is_folder=True)
        for name in path.split("/"):
            at = next((f for f in self.folder(at.first) if f.name.lower() == name.lower()), at)
            if at.name.lower() != name.lower():
                raise Unbootable(f"the ESP has no {path}")
        return at

    def runs(self, file: FoundFile) -> Runs:
        """Where its bytes are."""
        left, found = min(file.size, _MOST), []
        for at, size in self.chain(file.first, left):
            found.append((at, min(size, left)))
            left -= size
        return tuple(found)


def content(disk: Findings, runs: Runs) -> bytes:
    return b"".join(disk.read(at, size) for at, size in runs)


def start(disk: Findings, ukis: Container[bytes], loader: bytes | None = None) -> FirmwareStart:
    """What systemd-boot starts, all that it lists being whole. Raises Unbootable.

    `ukis`: the SHA-256 of each UKI that was ever released; `loader`: what `loader_digest` said before.
    """
    esp = _partition(disk, ESP_TYPE, None)[0]
    if loader is not None and loader_digest(disk) != loader:
        raise Unbootable("the boot loader is not what it was")
    entries = sorted((_entry(disk, name, runs) for name, runs in _programs(disk, esp)), key=ORDER)
    if not entries:
        raise Unbootable("systemd-boot finds no entry")
    for entry in entries:
        if entry.content not in ukis:
            raise Unbootable(f"{entry.file}{NO_RELEASE}")
        _check_slot(disk, entry)
    return FirmwareStart(entries[0], tuple(e.file for e in entries))


def loader_digest(disk: Findings) -> bytes:
    def make() -> bytes:
        volume = Fat(disk, _partition(disk, ESP_TYPE, None)[0])
        files = [content(disk, volume.runs(volume.find(path))) for path in LOADER]
        return hashlib.sha256(b"".join(hashlib.sha256(f).digest() for f in files)).digest()

    return disk.find("loader", make)


def slots(disk: Findings) -> list[tuple[int, int]]:
    """Where the slots' /usr are: first byte, and the one after the last."""
    table = disk.find("table", lambda: table_of(disk))
    return [(at, at + size) for kind, _, at, size in table if kind == BUILT.usr_type]


def _programs(disk: Findings, esp: int) -> list[tuple[str, Runs]]:
    """(name, where it is) of each file that systemd-boot takes for a program."""

    def make() -> list[tuple[str, Runs]]:
        volume = Fat(disk, esp)
        found = []
        for file in volume.folder(volume.find("EFI/Linux").first):
            if file.is_folder or not file.name.lower().endswith(".efi") or file.name.lower().startswith("auto-"):
                continue
            head = volume.chain(file.first, 1)
            if head and file.size > 1 and disk.read(head[0][0], 2) == b"MZ":
                found.append((file.name, volume.runs(file)))
        return found

    return disk.find(("programs", esp), make)


def _entry(disk: Findings, name: str, runs: Runs) -> MenuEntry:
    return disk.find(("uki", name, runs), lambda: _read_entry(disk, name, runs))


def _read_entry(disk: Findings, name: str, runs: Runs) -> MenuEntry:
    program = content(disk, runs)
    parts: dict[str, bytes] = {}
    try:
        for section, data in sections(program):
            parts.setdefault(section, data)  # the first profile's
    except ValueError as e:
        raise Unbootable(f"{name} is not a program: {e}") from None
    version = re.search(rb"^IMAGE_VERSION=(\S+)$", parts.get("osrel", b""), re.MULTILINE)
    root = re.search(rb"\busrhash=([0-9a-f]{64})\b", parts.get("cmdline", b""))
    if not version or not root:
        raise Unbootable(f"{name} does not say what it is of")
    m = _TRIES.fullmatch(name)
    left, done = (int(m[1]), int(m[2] or 0)) if m else (-1, -1)
    digest = hashlib.sha256(program).digest()
    return MenuEntry(name, digest, Version.parse(version[1].decode()), root[1].decode(), left, done)


def _check_slot(disk: Findings, entry: MenuEntry) -> None:
    """The whole verity tree leads to the root hash in the UKI."""
    half = len(entry.root_hash) // 2
    usr = _partition(disk, BUILT.usr_type, uuid.UUID(entry.root_hash[:half]))
    tree = _partition(disk, BUILT.verity_type, uuid.UUID(entry.root_hash[half:]))
    disk.find(("slot", usr, tree, entry.root_hash), lambda: _verify(disk, usr, tree, entry.root_hash))


def _verify(disk: Findings, usr: tuple[int, int], tree: tuple[int, int], root_hash: str) -> None:
    head = disk.read(tree[0], 4096)
    count, salt_size = struct.unpack_from("<QH", head, 72)
    if head[:8] != b"verity\0\0" or not 0 < count * 4096 <= usr[1] or salt_size > 256:
        raise Unbootable(f"no verity superblock for {root_hash[:16]}…")
    data = b"".join(disk.read(usr[0] + at, min(_PIECE, count * 4096 - at)) for at in range(0, count * 4096, _PIECE))
    made, root = make_tree(data, head[88 : 88 + salt_size])
    if root != root_hash or disk.read(tree[0] + 4096, len(made) - 4096) != made[4096:]:
        raise Unbootable(f"the verity tree does not lead to the root hash {root_hash[:16]}…")


def _partition(disk: Findings, kind: uuid.UUID, own: uuid.UUID | None) -> tuple[int, int]:
    """(first byte, size) of the first that fits."""
    for its_kind, its_own, at, size in disk.find("table", lambda: table_of(disk)):
        if its_kind == kind and own in (None, its_own):
            return at, size
    raise Unbootable(f"there is no partition {own or kind}")
