from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from orlop.lab.identity import mac, private_ip


@given(st.text(), st.integers(1, 99), st.integers(1, 99))
def test_no_two_nics_of_a_lab_share_an_address(lab: str, i: int, k: int) -> None:
    assert mac(lab, i, 0) != mac(lab, i, 1)
    assert (mac(lab, i, 1) == mac(lab, k, 1)) == (i == k)
    first = int(mac(lab, i, 0).split(":")[0], 16)
    assert first & 0b11 == 0b10, "locally administered, and not a group's"


def test_private_addresses_count_up() -> None:
    assert [private_ip(i) for i in (1, 2, 32)] == ["10.77.0.11", "10.77.0.12", "10.77.0.42"]
