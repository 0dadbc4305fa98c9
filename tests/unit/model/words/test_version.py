from __future__ import annotations

from datetime import date

import pytest
from hypothesis import given
from hypothesis import strategies as st

from orlop.errors import BadInput
from orlop.model.words.version import Version

versions = st.builds(Version, st.dates(date(1000, 1, 1)), st.integers(0, 99999))


@given(versions)
def test_what_is_printed_is_read_back(version: Version) -> None:
    assert Version.parse(str(version)) == version


@given(versions, versions)
def test_order_is_by_day_then_number(a: Version, b: Version) -> None:
    assert (a < b) == ((a.day, a.number) < (b.day, b.number))


@pytest.mark.parametrize(
    "text",
    ["", "20261201", "20261201.", "20261201.01", "20261301.1", "20260230.1", "2026121.1", " 20261201.1", "20261201.1\n",
     "20261201.-1", "20261201.100000", "v20261201.1", "٢٠٢٦١٢٠١.1", "../20261201.1"],
)  # fmt: skip
def test_what_is_no_version_is_refused_by_name(text: str) -> None:
    with pytest.raises(BadInput, match="is not a version") as e:
        Version.parse(text)
    assert "YYYYMMDD.N" in e.value.hint


def test_the_names_on_disk() -> None:
    version = Version.parse("20261201.3")
    assert version.usr_label == "orlop_20261201.3"
    assert version.verity_label == "orlop_20261201.3_verity"
    assert version.uki_name == "orlop_20261201.3+3-0.efi"
    assert version.epoch == 1796083200


@given(versions)
def test_labels_fit_a_gpt_entry(version: Version) -> None:
    assert len(version.verity_label) <= 36
