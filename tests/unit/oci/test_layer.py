"""A layer is a function of its entries: order, time and host do not show in it."""

from __future__ import annotations

import io
import tarfile

import pytest
from hypothesis import given
from hypothesis import strategies as st

from orlop.errors import BadInput
from orlop.oci.layer import Entry, LayerFile, LayerFolder, LayerLink, layer

NAMES = st.text("abcxyz-_.é", min_size=1, max_size=12).filter(lambda name: name not in (".", ".."))
FILES = st.dictionaries(NAMES, st.tuples(st.binary(max_size=200), st.integers(0, 0o7777), st.integers(0, 2**32)))


def members(raw: bytes) -> list[tarfile.TarInfo]:
    with tarfile.open(fileobj=io.BytesIO(raw)) as tar:
        return tar.getmembers()


@given(FILES, st.randoms(use_true_random=False))
def test_any_order_gives_the_same_bits_and_every_file_comes_back(files, random) -> None:  # type: ignore[no-untyped-def]
    entries: list[Entry] = [LayerFile(f"d/{n}", data, mode, uid) for n, (data, mode, uid) in files.items()]
    first = layer(entries)
    random.shuffle(entries)
    assert layer(entries) == first
    with tarfile.open(fileobj=io.BytesIO(first)) as tar:
        for name, (data, mode, uid) in files.items():
            member = tar.getmember(f"d/{name}")
            content = tar.extractfile(member)
            assert content is not None
            assert (content.read(), member.mode, member.uid, member.mtime) == (data, mode, uid, 0)


def test_a_folder_comes_before_what_it_holds() -> None:
    found = [
        m.name
        for m in members(
            layer([LayerFile("b-c", b""), LayerFile("b/z/f", b""), LayerLink("a", "b/z"), LayerFolder("b")])
        )
    ]
    assert found == ["a", "b", "b-c", "b/z", "b/z/f"]


def test_implied_folders_are_roots_and_given_ones_are_kept() -> None:
    by_name = {m.name: m for m in members(layer([LayerFolder("tmp", mode=0o1777, uid=7), LayerFile("tmp/a/b", b"")]))}
    assert (by_name["tmp"].mode, by_name["tmp"].uid) == (0o1777, 7)
    assert (by_name["tmp/a"].mode, by_name["tmp/a"].uid) == (0o755, 0)


def test_no_names_of_users_are_written() -> None:
    assert {
        (m.uname, m.gname) for m in members(layer([LayerFile("a", b""), LayerFolder("b"), LayerLink("c", "a")]))
    } == {("", "")}


def test_long_names_and_large_ids_survive() -> None:
    name = "/".join(["n" * 90] * 4)
    member = members(layer([LayerFile(name, b"x", uid=3_000_000_000)]))[-1]
    assert (member.name, member.uid) == (name, 3_000_000_000)


@pytest.mark.parametrize("path", ["", "/etc", "a//b", "a/", "../a", "a/../b", "./a", "a/.", "a\0b"])
def test_a_path_that_is_not_below_the_root_is_refused(path: str) -> None:
    with pytest.raises(BadInput, match="below the root"):
        layer([LayerFile(path, b"")])


def test_a_path_given_twice_is_refused() -> None:
    with pytest.raises(BadInput, match="twice"):
        layer([LayerFile("a", b""), LayerFolder("a")])


@pytest.mark.parametrize("top", [LayerFile("a", b""), LayerLink("a", "b")])
def test_a_file_inside_something_that_is_no_folder_is_refused(top: Entry) -> None:
    with pytest.raises(BadInput, match="not a folder"):
        layer([top, LayerFile("a/b/c", b"")])
