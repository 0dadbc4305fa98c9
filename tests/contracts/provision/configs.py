"""Configs made from the table itself: every key of every variant, with values that are mostly right and at times not.

Lives beside the test that proves every accepted one against Ignition. The text is JSON, which is YAML too.
"""

from __future__ import annotations

import json
from collections.abc import Callable
from typing import Any

from hypothesis import strategies as st

from orlop.provision.schema import Field, Scalar, Type
from orlop.provision.variants import UNMEANT, VARIANTS, Variant
from simulators.repository import RepositorySimulator
from tests.contracts.provision import mending

# what no machine can do, and every version that has it is told so: test_versions.py
IMPOSSIBLE = tuple({path.rpartition(".")[2] for path in UNMEANT})
RIGHT = 40  # how often a right value is taken for each wrong one

HTTP = ["http://example.com/a", "https://user:pw@example.com:8443/a%20b?x=%zz#frag", "https://[2001:db8::1]:80/"]
OTHER = ["tftp://10.0.0.1/x", "s3://bucket/key?versionId=abc", "gs://bucket/object", "data:,hi%20you", "HTTP://A.b"]
NO_URLS = ["s3://b/k?versionId=", "data:;base64,aGVsbG8", "data:foo/bar,x", "data:,ü", "ftp://a/", "http://a:b/", ":x"]
UNITS = [
    "[Unit]\nDescription=x\n\n[Service]\nExecStart=/bin/true\n[Install]\nWantedBy=multi-user.target\n",
    "[Service]\nExecStart=/bin/sh -c \\\n  'a' \\\n  'b'\n# c \\\n d=e\nX=1\n",
    "[Container]\nImage=x\n[Volume]\nA=b\n[Network]\nA=b\n[Pod]\nA=b\n[Install]\nWantedBy=x\n",
    "",
]
NO_UNITS = ["[Unit]\nA=" + "x" * 2100 + "\n", "[Unit] x\nA=1", "[Unit]\nno equals\n", "[Unit"]
PATHS = ["/etc/a", "/etc/b", "/etc/c/d", "/var/x", "/var/lib/a-b", "/opt/ü", "/etc/%x", "/a b"]
NO_PATHS = ["//x", "/x/", "/./y", "rel", "", "/etc/a/b"]
DEVICES = ["/dev/vda", "/dev/vdb", "/dev/mapper/a", "/dev/disk/by-partlabel/x-y"]
WORDS = ["a", "b", "core", "x-y", "user_1"]
NO_WORDS = ["x y", "ü", "a/b", "a:b", "x" * 13, "x" * 37, "", "sha256-x"]
GUIDS = ["01234567-89ab-cdef-0123-456789ABCDEF", "11234567-89ab-cdef-0123-456789ABCDEF"]
NO_GUIDS = ["x", "0123456789abcdef0123456789abcdef", "11234567-89ab-cdef-0123-456789ABCDEF\n"]
ROOT = RepositorySimulator().first_root.decode()

# what a key may hold: right values, wrong ones
POOLS: dict[str, tuple[list[Any], list[Any]]] = {
    "path": (PATHS, NO_PATHS),
    "device": (DEVICES, NO_PATHS),
    "devices": (DEVICES, ["dev"]),
    "local": (["one", "two", "bin"], ["missing", "../up", "tree"]),
    "contents_local": (["web"], ["missing"]),
    "ssh_authorized_keys_local": (["keys"], ["missing"]),
    "target": (["/etc/a", "b", "../x"], [""]),
    "source": (HTTP + OTHER, NO_URLS),
    "url": (HTTP, NO_URLS + OTHER),
    "urls": (HTTP, OTHER),
    "http_proxy": (HTTP, OTHER),
    "https_proxy": (HTTP, OTHER),
    "contents": (UNITS, NO_UNITS),
    "inline": (["", "x", "long " * 100, "ü\n", "\u0000"], [""]),
    "guid": (GUIDS, NO_GUIDS),
    "type_guid": (GUIDS, NO_GUIDS),
    "format": (["ext4", "xfs", "btrfs", "vfat", "swap", "none"], ["zfs", ""]),
    "level": (["raid1", "raid0", "linear", "5"], ["raid7"]),
    "compression": (["gzip", ""], ["xz"]),
    "hash": (["sha256-" + "a" * 64, "sha512-" + "0" * 128], ["sha256-" + "g" * 64, "sha1-00", "x"]),
    "pin": (["tpm2", "tang"], ["x"]),
    "hostname": (["node1", "a.b"], ["-x"]),
    "start": (["02:30"], ["25:00"]),
    "timezone": (["Europe/Berlin", "UTC"], ["+"]),
    "root": ([ROOT], ["x"]),
    "root_local": (["root.json"], ["missing", "one"]),
    "channel": (["stable", "mine"], ["A"]),
}
# the same, for names and pins that mean something else in one kind of object
OWN: dict[tuple[str, str], tuple[list[Any], list[Any]]] = {
    ("unit", "name"): (["a.service", "b.socket", "var-x.mount", "x@.service", "a.timer"], ["bad", "a/b.service"]),
    ("tree", "local"): (["tree"], ["one", "missing", "../up"]),
    ("dropin", "name"): (["10-a.conf", "b.conf"], ["c", "x/y.conf"]),
    ("quadlet", "name"): (["a.container", "b.volume", "c.network", "d.pod"], ["e.txt"]),
    ("update", "pin"): (["20261123.1"], ["x"]),
}
NUMBERS = ([0, 1, 2, 3, 4, 127, 420, 493], [128, 644, 4095, 4096, 8192, 1 << 40, -1])
ALTERNATIVES = (("source", "inline", "local"), ("root", "root_local"), ("contents", "contents_local"), ("id", "name"))


def configs() -> st.SearchStrategy[str]:
    """The text of one config, of any variant."""
    return st.sampled_from(VARIANTS).flatmap(_config)


def _config(variant: Variant) -> st.SearchStrategy[str]:
    left_out = ("variant", "version", "boot_device", *IMPOSSIBLE, *variant.refused)
    given = [f for f in variant.type.fields if f.name not in left_out]
    head = {"variant": variant.name, "version": variant.version}
    body = st.fixed_dictionaries({}, optional={f.name: _field(f, variant.type) for f in given})
    body = body.map(lambda found: mending.config({**head, **found}))
    return body.map(lambda found: json.dumps(found, ensure_ascii=False))


def _object(kind: Type) -> st.SearchStrategy[dict[str, Any]]:
    fields = {f.name: _field(f, kind) for f in kind.fields if f.name not in IMPOSSIBLE}
    must = {f.name for f in kind.fields if f.required} | {"target", "level", "devices", "format"} & set(fields)
    made: st.SearchStrategy[dict[str, Any]] = st.fixed_dictionaries(
        {name: fields[name] for name in must}, optional={n: s for n, s in fields.items() if n not in must}
    )
    for names in ALTERNATIVES:
        if set(names) <= set(fields):
            made = st.builds(_only, made, st.just(names), st.sampled_from(names), *(fields[n] for n in names))
    mend = mending.BY_KIND.get(kind.name)
    return made if mend is None else st.builds(_mostly_mended, st.just(mend), made, st.integers(0, RIGHT))


def _mostly_mended(mend: Callable[[dict[str, Any]], dict[str, Any]], found: dict[str, Any], n: int) -> dict[str, Any]:
    return mend(found) if n < RIGHT else found


def _only(found: dict[str, Any], names: tuple[str, ...], chosen: str, *values: Any) -> dict[str, Any]:
    """One of several keys that exclude each other."""
    rest = {name: value for name, value in found.items() if name not in names}
    return {**rest, chosen: values[names.index(chosen)]}


def _field(field: Field, kind: Type) -> st.SearchStrategy[Any]:
    if isinstance(field.kind, Type):
        item: st.SearchStrategy[Any] = _object(field.kind)
        return st.lists(item, max_size=3, unique_by=_key(field.kind)) if field.many else item
    if field.kind is Scalar.STRING:
        item = _mostly(*_pool(field, kind))
    elif field.kind is Scalar.BOOL:
        item = st.booleans()
    else:
        item = _mostly(*NUMBERS)
    return st.lists(item, max_size=3, unique=True) if field.many else item


def _key(kind: Type) -> Callable[[dict[str, Any]], str]:
    """Entries of a list mostly differ in their key; some that are made here have none."""
    return lambda found: str(found.get(kind.key, found))


def _pool(field: Field, kind: Type) -> tuple[list[Any], list[Any]]:
    if field.choices:
        return list(field.choices), ["never"]
    return OWN.get((kind.name, field.name)) or POOLS.get(field.name, (WORDS, NO_WORDS))


def _mostly(right: list[Any], wrong: list[Any]) -> st.SearchStrategy[Any]:
    """The first `RIGHT` of every `RIGHT + 1` numbers stand for right values. (A long list of them has a long name.)"""
    many = len(right) * len(wrong) * (RIGHT + 1)
    return st.integers(0, many - 1).map(
        lambda n: right[n % len(right)] if n % (RIGHT + 1) < RIGHT else wrong[n // (RIGHT + 1) % len(wrong)]
    )
