from __future__ import annotations

import functools
import itertools
import random

import pytest
from hypothesis import given
from hypothesis import strategies as st

from orlop.model.update.boot import RESET_SORT_KEY, SORT_KEY, Uki, first, is_part, is_stray, order, part_name
from orlop.model.words.version import Version

V1, V2 = Version.parse("20261201.1"), Version.parse("20261202.1")
ukis = st.builds(
    Uki, st.sampled_from([V1, V2, Version.parse("20261201.10")]), st.none() | st.integers(0, 5), st.just(0)
)


@given(st.sampled_from([V1, V2]), st.integers(0, 9), st.integers(0, 9))
def test_a_name_is_read_back(version: Version, left: int, done: int) -> None:
    assert Uki.parse(Uki(version, left, done).name) == Uki(version, left, done)
    assert Uki.parse(Uki(version).name) == Uki(version)


@pytest.mark.parametrize(
    ("name", "expected"),
    [
        ("orlop_20261201.1+3.efi", Uki(V1, 3, 0)),
        ("ORLOP_20261201.1+2-1.EFI", Uki(V1, 2, 1)),
        ("orlop_20261201.1.efi", Uki(V1)),
        ("orlop_20261201.1.part", None),
        ("orlop_20261201.1+3-0.efi.part", None),
        ("orlop_20261301.1.efi", None),
        ("orlop_~1.EFI", None),
        ("other.efi", None),
    ],
)
def test_what_is_an_entry(name: str, expected: Uki | None) -> None:
    assert Uki.parse(name) == expected


@pytest.mark.parametrize(
    ("names", "starts"),
    [
        (["orlop_20261201.1.efi", "orlop_20261202.1+3-0.efi"], "orlop_20261202.1+3-0.efi"),
        (["orlop_20261201.1.efi", "orlop_20261202.1+0-3.efi"], "orlop_20261201.1.efi"),
        (["orlop_20261201.1+0-3.efi", "orlop_20261202.1+0-3.efi"], "orlop_20261202.1+0-3.efi"),
        (["orlop_20261201.10.efi", "orlop_20261201.9.efi"], "orlop_20261201.10.efi"),
        (["orlop_20261202.1+0-0.efi", "orlop_20261201.1+3-0.efi"], "orlop_20261201.1+3-0.efi"),
        (["loader.conf", "x.efi"], None),
    ],
)
def test_what_starts(names: list[str], starts: str | None) -> None:
    for mixed in itertools.permutations(names):
        uki = first(mixed)
        assert (uki.name if uki else None) == starts


def test_a_new_version_that_never_gets_well_ends_behind_the_old_after_three_tries() -> None:
    old, new = Uki(V1), Uki.fresh(V2)
    started = []
    for _ in range(5):
        entry = order([old.name, new.name])[0]
        started.append(entry.version)
        new = new.tried() if entry.version == V2 else new
    assert started == [V2, V2, V2, V1, V1]
    assert new.name == "orlop_20261202.1+0-3.efi"


@given(st.lists(ukis, min_size=1))
def test_a_bad_entry_starts_only_when_all_are_bad(found: list[Uki]) -> None:
    starts = first(uki.name for uki in found)
    assert starts is not None
    assert starts.bad == all(uki.bad for uki in found)


def versus(a: tuple[Uki, str, str], b: tuple[Uki, str, str]) -> int:
    """systemd 257's `boot_entry_compare` for two of our entries: (file, sort key, what the id has behind the name)."""

    def key(entry: tuple[Uki, str, str]) -> list[tuple[object, bool]]:
        uki, sort_key, profile = entry
        newest_first = (uki.version.day, uki.version.number)
        return [(uki.bad, False), (sort_key, False), (newest_first, True), (uki.name + profile, True)]

    for (x, down), (y, _) in zip(key(a), key(b), strict=True):
        if x != y:
            return 1 if (x > y) != down else -1  # type: ignore[operator]
    return 0


@given(st.lists(ukis, min_size=1, unique_by=lambda uki: uki.version), st.randoms())
def test_the_entry_for_a_factory_reset_never_starts_by_itself(found: list[Uki], shuffled: random.Random) -> None:
    entries = [(u, key, at) for u in found for key, at in ((SORT_KEY, ""), (RESET_SORT_KEY, "@factory-reset"))]
    shuffled.shuffle(entries)
    starts = min(entries, key=functools.cmp_to_key(versus))
    assert starts[1:] == (SORT_KEY, "")
    assert starts[0] == first(uki.name for uki in found)
    one_key = [(uki, SORT_KEY, profile) for uki, _, profile in entries]
    assert min(one_key, key=functools.cmp_to_key(versus))[2] == "@factory-reset", "why they have two"


def test_names_that_are_written_to_and_names_that_a_cut_leaves() -> None:
    assert is_part(part_name(V1)) and Uki.parse(part_name(V1)) is None
    assert is_stray("ORLOP_~1.EFI") and not is_stray("orlop_20261201.1+3-0.efi") and not is_stray("shim.efi")
    assert Uki(V1).demoted().name == "orlop_20261201.1+0-0.efi"
    assert Uki(V1, 2, 1).bless() == Uki(V1)
