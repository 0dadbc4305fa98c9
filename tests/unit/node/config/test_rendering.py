"""The view of a configuration reads what the table of the config language has, and loses nothing."""

from __future__ import annotations

import copy
import json
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from orlop.node.config.eachboot import deed
from orlop.node.config.rendering import (
    DiskView,
    FileView,
    JsonKey,
    JsonList,
    JsonObject,
    JsonView,
    Rendering,
    ResourceView,
)
from orlop.provision.schema import Field, Scalar, Type
from orlop.provision.spec_variants import FCOS

SCALARS = {Scalar.STRING: str, Scalar.INT: int, Scalar.BOOL: bool, Scalar.MODE: int}


def keys(view: type[JsonView]) -> dict[str, JsonKey[Any] | JsonObject[Any] | JsonList[Any]]:
    """What a kind of view reads, by its name in Ignition's JSON."""
    read = [getattr(view, name) for name in dir(view)]
    return {key.name: key for key in read if isinstance(key, JsonKey | JsonObject | JsonList)}


def compared(view: type[JsonView], table: Type, place: str = "") -> list[str]:
    """Every key that the view reads, checked against the table."""
    there: dict[str | None, Field] = {field.out: field for field in table.fields}
    places = []
    for name, key in keys(view).items():
        at = f"{place}.{name}"
        assert name in there, f"{at} is no key of the config language"
        field = there[name]
        assert key.many is field.many, at
        places.append(at)
        if isinstance(field.kind, Type):
            assert not isinstance(key, JsonKey), at
            places += compared(key.kind, field.kind, at)
        else:
            assert key.kind is SCALARS[field.kind], at
    return places


def test_the_names_and_kinds_are_those_of_the_config_language() -> None:
    places = compared(Rendering, Type("top", FCOS.fields))
    assert ".storage.luks.keyFile.source" in places
    assert ".kernelArguments.shouldExist" in places
    assert len(places) > 50


def views(view: type[JsonView]) -> st.SearchStrategy[dict[str, Any]]:
    """Objects of a kind: with some of its keys, with null for some, with others beside."""
    values: dict[str, st.SearchStrategy[Any]] = {"mode": st.integers(0, 0o777)}
    for name, key in keys(view).items():
        scalar = {str: st.text(max_size=5), bool: st.booleans(), int: st.integers(0, 9)}
        value = scalar[key.kind] if isinstance(key, JsonKey) else views(key.kind)
        values[name] = st.none() | (st.lists(value, max_size=2) if key.many else value)
    return st.fixed_dictionaries({}, optional=values)


def read_all(view: JsonView) -> None:
    """Read all that can be read of a view."""
    for name in dir(type(view)):
        if isinstance(getattr(type(view), name), JsonKey | JsonObject | JsonList | property):
            value = getattr(view, name)
            for inner in value if isinstance(value, list) else [value]:
                if isinstance(inner, JsonView):
                    read_all(inner)


@given(views(Rendering))
def test_reading_changes_nothing_and_null_reads_as_what_is_not_there(raw: dict[str, Any]) -> None:
    before = copy.deepcopy(raw)
    read_all(Rendering(raw))
    assert raw == before
    assert Rendering(raw).copy() == Rendering(raw)

    def without_null(value: Any) -> Any:
        if isinstance(value, dict):
            return {key: without_null(inner) for key, inner in value.items() if inner is not None}
        return list(map(without_null, value)) if isinstance(value, list) else value

    bare = Rendering(without_null(raw))
    for kind in ("disks", "arrays", "volumes", "filesystems", "folders", "files", "links"):
        given_list, bare_list = getattr(Rendering(raw).storage, kind), getattr(bare.storage, kind)
        for one, other in zip(given_list, bare_list, strict=True):
            for name, key in vars(type(one)).items():
                if isinstance(key, JsonKey):
                    assert getattr(one, name) == getattr(other, name)


def test_what_is_set_is_set_where_it_stands_and_a_copy_is_another_object() -> None:
    config = Rendering({"storage": {"disks": [{"device": "/dev/vdb", "wipeTable": True, "x": 1}]}, "other": [None]})
    before = copy.deepcopy(config.raw)
    other = config.copy()
    other.storage.disks[0].wipe_table = False
    assert config.raw == before
    assert other.raw["storage"]["disks"] == [{"device": "/dev/vdb", "wipeTable": False, "x": 1}]
    other.storage.disks = [DiskView({"device": "/dev/vdc"})]
    assert json.dumps(other.raw) == '{"storage": {"disks": [{"device": "/dev/vdc"}]}, "other": [null]}'


def test_what_was_done_once_has_the_name_it_always_had() -> None:
    """As machines have it in their records: another name would wipe a disk again."""
    disk = {"device": "/dev/vdb", "wipeTable": True, "partitions": [{"label": "data", "sizeMiB": 0, "guid": None}]}
    config = Rendering({"storage": {"disks": [disk]}})
    assert deed("disk", config.storage.disks[0].raw) == "disk:13cebee6ee88d9628f528c017de575d8"


@pytest.mark.parametrize(
    ("source", "is_remote"),
    [("http://x/y", True), ("s3://b/k", True), ("data:,x", False), ("DATA:,x", False), ("", False), (None, False)],
)
def test_what_comes_over_a_network(source: str | None, is_remote: bool) -> None:
    assert ResourceView({"source": source}).is_remote is is_remote


def test_a_file_without_contents_says_nothing_of_them_and_an_empty_one_does() -> None:
    assert not FileView({"path": "/a", "contents": {"source": None}}).has_content
    assert FileView({"path": "/a", "contents": {"source": ""}}).has_content
    assert FileView({"append": [{"source": "data:,x"}, {}], "contents": {}}).resources == [
        ResourceView({"source": "data:,x"})
    ]
