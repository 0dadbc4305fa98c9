"""The configuration as Ignition renders it, read by the names and kinds of its specification. Pure.

Ignition writes one JSON object: merged from all its sources, checked, with null or nothing where nothing was said. A
view of it is made once, where it comes in. For each key that a boot or a simulation reads it says the name, the kind,
and what stands for one that is not there. It does not write the object anew: `raw` is the object as it stands, which
Ignition is given back and which `eachboot.deed` names, so that no version of this file makes another deed of what was
done once. What is set through a view is set in that object; who changes one takes a `copy` first.

Lifetime: a boot. Invariant: the names and kinds are those of the table of the config language (`orlop.provision`),
which a test compares. Source: Ignition's configuration specification 3.3.0.
"""

from __future__ import annotations

import copy
from collections.abc import Iterable, Sequence
from typing import Any, Generic, TypeVar, overload

T = TypeVar("T")
V = TypeVar("V", bound="JsonView")


class JsonView:
    """An object of the configuration."""

    __slots__ = ("raw",)

    def __init__(self, raw: dict[str, Any]) -> None:
        self.raw = raw

    def __eq__(self, other: object) -> bool:
        return isinstance(other, JsonView) and self.raw == other.raw

    __hash__ = None  # type: ignore[assignment]

    def __repr__(self) -> str:
        return f"{type(self).__name__}({self.raw!r})"


class JsonKey(Generic[T]):
    """A value of a `kind`, or of `many` of them. `absent`: what it is when the key is not there, or null."""

    def __init__(self, name: str, kind: type, absent: T, *, many: bool = False) -> None:
        self.name, self.kind, self.absent, self.many = name, kind, absent, many

    @overload
    def __get__(self, view: None, owner: type) -> JsonKey[T]: ...
    @overload
    def __get__(self, view: JsonView, owner: type) -> T: ...
    def __get__(self, view: JsonView | None, owner: type) -> JsonKey[T] | T:
        if view is None:
            return self
        value: T | None = view.raw.get(self.name)
        return self.absent if value is None else value

    def __set__(self, view: JsonView, value: T) -> None:
        view.raw[self.name] = value


class JsonObject(Generic[V]):
    """An object; an empty one, which is no part of the configuration, when it is not there."""

    many = False

    def __init__(self, name: str, kind: type[V]) -> None:
        self.name, self.kind = name, kind

    @overload
    def __get__(self, view: None, owner: type) -> JsonObject[V]: ...
    @overload
    def __get__(self, view: JsonView, owner: type) -> V: ...
    def __get__(self, view: JsonView | None, owner: type) -> JsonObject[V] | V:
        return self if view is None else self.kind(view.raw.get(self.name) or {})

    def __set__(self, view: JsonView, value: V) -> None:
        view.raw[self.name] = value.raw


class JsonList(Generic[V]):
    """A list of objects."""

    many = True

    def __init__(self, name: str, kind: type[V]) -> None:
        self.name, self.kind = name, kind

    @overload
    def __get__(self, view: None, owner: type) -> JsonList[V]: ...
    @overload
    def __get__(self, view: JsonView, owner: type) -> list[V]: ...
    def __get__(self, view: JsonView | None, owner: type) -> JsonList[V] | list[V]:
        return self if view is None else [self.kind(raw) for raw in view.raw.get(self.name) or ()]

    def __set__(self, view: JsonView, entries: Iterable[V]) -> None:
        view.raw[self.name] = [entry.raw for entry in entries]


def text(name: str) -> JsonKey[str]:
    return JsonKey(name, str, "")


def flag(name: str) -> JsonKey[bool]:
    return JsonKey(name, bool, absent=False)


def texts(name: str) -> JsonKey[Sequence[str]]:
    return JsonKey(name, str, (), many=True)


class VerificationView(JsonView):
    hash = text("hash")


class ResourceView(JsonView):
    """Contents, and where they come from. `source`: None says nothing, "" says empty."""

    source: JsonKey[str | None] = JsonKey("source", str, None)
    compression = text("compression")
    verification = JsonObject("verification", VerificationView)

    @property
    def url(self) -> str:
        return self.source or ""

    @property
    def is_remote(self) -> bool:
        """Whether it comes over a network."""
        return bool(self.url) and self.url[:5].lower() != "data:"

    def become(self, source: str) -> None:
        """Be other contents, plain and at hand."""
        self.raw.clear()
        self.source = source


class NodeView(JsonView):
    """What a path is to be. `overwrite`: None says nothing."""

    path = text("path")
    overwrite: JsonKey[bool | None] = JsonKey("overwrite", bool, None)


class FolderView(NodeView):
    pass


class FileView(NodeView):
    contents = JsonObject("contents", ResourceView)
    append = JsonList("append", ResourceView)

    @property
    def has_content(self) -> bool:
        """Whether it says all that is in the file, and not only what is added or who owns it."""
        return self.contents.source is not None

    @property
    def resources(self) -> list[ResourceView]:
        """What its bytes are made of, in order: those that say something."""
        return [resource for resource in (self.contents, *self.append) if resource.raw]


class LinkView(NodeView):
    hard = flag("hard")


class PartitionView(JsonView):
    """`label`: None says nothing, "" says none."""

    number: JsonKey[int] = JsonKey("number", int, 0)
    label: JsonKey[str | None] = JsonKey("label", str, None)
    size_mib: JsonKey[int] = JsonKey("sizeMiB", int, 0)
    should_exist: JsonKey[bool] = JsonKey("shouldExist", bool, absent=True)


class DiskView(JsonView):
    device = text("device")
    wipe_table = flag("wipeTable")
    partitions = JsonList("partitions", PartitionView)


class ArrayView(JsonView):
    name = text("name")
    level = text("level")
    devices = texts("devices")
    spares: JsonKey[int] = JsonKey("spares", int, 0)


class ClevisPin(JsonView):
    pin = text("pin")


class TangServer(JsonView):
    url = text("url")


class ClevisView(JsonView):
    tpm2 = flag("tpm2")
    tang = JsonList("tang", TangServer)
    custom = JsonObject("custom", ClevisPin)


class VolumeView(JsonView):
    name = text("name")
    device = text("device")
    wipe_volume = flag("wipeVolume")
    key_file = JsonObject("keyFile", ResourceView)
    clevis = JsonObject("clevis", ClevisView)

    @property
    def asks_for_clevis(self) -> bool:
        return bool(self.clevis.tpm2 or self.clevis.tang or self.clevis.custom.pin)


class FileSystemView(JsonView):
    device = text("device")
    format = text("format")
    label = text("label")
    uuid = text("uuid")
    path = text("path")
    wipe_filesystem = flag("wipeFilesystem")
    options = texts("options")
    mount_options = texts("mountOptions")

    @property
    def name(self) -> str:
        """What a person knows it by."""
        return self.path or self.device


class StorageSection(JsonView):
    disks = JsonList("disks", DiskView)
    arrays = JsonList("raid", ArrayView)
    volumes = JsonList("luks", VolumeView)
    filesystems = JsonList("filesystems", FileSystemView)
    folders = JsonList("directories", FolderView)
    files = JsonList("files", FileView)
    links = JsonList("links", LinkView)

    @property
    def nodes(self) -> tuple[tuple[str, Sequence[NodeView]], ...]:
        """What is made at paths, by the key it stands under."""
        return ("directories", self.folders), ("files", self.files), ("links", self.links)


class UserView(JsonView):
    name = text("name")
    home_dir = text("homeDir")
    no_create_home = flag("noCreateHome")

    @property
    def home(self) -> str:
        return self.home_dir or f"/home/{self.name}"


class PasswdSection(JsonView):
    users = JsonList("users", UserView)


class UnitView(JsonView):
    name = text("name")
    contents = text("contents")


class SystemdSection(JsonView):
    units = JsonList("units", UnitView)


class KernelSection(JsonView):
    should_exist = texts("shouldExist")
    should_not_exist = texts("shouldNotExist")


class Rendering(JsonView):
    """All of it."""

    storage = JsonObject("storage", StorageSection)
    passwd = JsonObject("passwd", PasswdSection)
    systemd = JsonObject("systemd", SystemdSection)
    kernel_arguments = JsonObject("kernelArguments", KernelSection)

    def copy(self) -> Rendering:
        return Rendering(copy.deepcopy(self.raw))
