from __future__ import annotations

import base64
from datetime import UTC, datetime, timedelta

import pytest
from hypothesis import given
from hypothesis import strategies as st

from orlop.errors import BadInput
from orlop.model.cluster import token
from orlop.model.cluster.names import Role

NOW = datetime(2026, 11, 28, 12, 0, 0, tzinfo=UTC)
CA, KEY = b"a certificate", b"a key"


def _made(role: Role = Role.WORKER, ends: datetime = NOW + timedelta(hours=1)) -> token.Token:
    return token.make(role, ends, CA, KEY)


@given(st.sampled_from(Role), st.integers(1, 10**6))
def test_token_is_read_as_it_was_made_and_taken_until_its_end(role: Role, seconds: int) -> None:
    made = _made(role, NOW + timedelta(seconds=seconds))
    read = token.parse(f"{made}\n")
    assert read == made
    token.check(read, CA, KEY, made.ends - timedelta(seconds=1))
    with pytest.raises(BadInput, match="ended at"):
        token.check(read, CA, KEY, made.ends)


@given(st.data())
def test_token_altered_in_one_character_is_refused(data: st.DataObject) -> None:
    text = str(_made())
    at = data.draw(st.integers(0, len(text) - 1))
    other = data.draw(st.characters(codec="ascii").filter(lambda c: c != text[at] and not c.isspace()))
    with pytest.raises(BadInput):
        token.check(token.parse(text[:at] + other + text[at + 1 :]), CA, KEY, NOW)


@given(st.text(max_size=400))
def test_no_text_makes_the_reader_stumble(text: str) -> None:
    with pytest.raises(BadInput) as raised:
        token.parse(text)
    assert len(text) < 20 or text not in raised.value.message + raised.value.hint


def test_other_clusters_and_other_keys_are_told_apart() -> None:
    with pytest.raises(BadInput, match="another cluster"):
        token.check(_made(), b"another certificate", KEY, NOW)
    with pytest.raises(BadInput, match="not made by this cluster"):
        token.check(_made(), CA, b"another key", NOW)


def test_what_is_logged_of_a_token_does_not_let_anybody_in() -> None:
    made = _made()
    assert made.id in repr(made)
    assert made.mac not in repr(made)


def test_pem_is_read_as_openssl_writes_it() -> None:
    raw = bytes(range(100))
    lines = base64.encodebytes(raw).decode()
    pem = f"-----BEGIN EC PARAMETERS\n-----BEGIN CERTIFICATE-----\n{lines}-----END CERTIFICATE-----\n"
    assert token.der(pem) == raw
    for wrong in ("", "-----BEGIN A-----\n-----END A-----", "-----BEGIN A-----\nAAA\n-----END A-----", lines):
        with pytest.raises(BadInput, match="PEM"):
            token.der(wrong)
