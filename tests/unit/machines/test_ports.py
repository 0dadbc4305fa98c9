from __future__ import annotations

import socket

import pytest
from hypothesis import given
from hypothesis import strategies as st

from orlop.errors import BadInput, Busy
from orlop.machines.ports import FIRST, LAST, Forward, home, is_free, need_free, parse, pick


@given(st.integers(0, 65535), st.integers(1, 65535))
def test_a_pair_of_ports_is_parsed(host: int, guest: int) -> None:
    assert parse(f"{host}:{guest}") == Forward(host, guest)


@pytest.mark.parametrize(
    "text", ["", "80", ":80", "80:", "a:80", "80:80:80", "-1:80", "80:0", "70000:80", "80:70000", "٣:80"]
)
def test_what_is_no_pair_of_ports_is_refused(text: str) -> None:
    with pytest.raises(BadInput, match="is not a pair of ports"):
        parse(text)


@pytest.mark.parametrize("address", ["127.0.0.1", "0.0.0.0"])
def test_a_port_somebody_listens_on_is_not_free(address: str) -> None:
    with socket.socket() as s:
        s.bind((address, 0))
        s.listen()
        port = s.getsockname()[1]
        assert not is_free(port)
        with pytest.raises(Busy, match=f"port {port} on 127.0.0.1 is in use") as caught:
            need_free(port, ())
        assert "choose another port" in caught.value.hint
    assert is_free(port)


def test_labs_look_for_ports_in_places_of_their_own() -> None:
    assert len({home(f"/clone{i}/.orlop/lab/default") for i in range(20)}) > 15


@given(st.text())
def test_a_place_is_in_the_range(key: str) -> None:
    assert FIRST <= home(key) <= LAST


def test_a_port_another_lab_holds_is_refused_and_not_picked() -> None:
    port = pick(())
    assert FIRST <= port <= LAST
    assert pick({port}) > port
    assert pick((), LAST) in (LAST, port)
    with pytest.raises(Busy, match="belongs to another lab"):
        need_free(port, {port})
    with pytest.raises(Busy, match="no free port"):
        pick(range(FIRST, LAST + 1))
