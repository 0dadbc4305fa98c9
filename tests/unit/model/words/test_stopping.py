"""How long stopping may take: systemd's time spans, and what a Quadlet file makes of them."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from orlop.model.words.stopping import FOREVER, MOST, container_seconds, needed, span, unit_seconds


@pytest.mark.parametrize(
    ("text", "seconds"),
    [
        ("0", 0), ("90", 90), ("90s", 90), ("2min 30s", 150), ("2min30s", 150), ("1.5h", 5400), ("1 d", 86400),
        ("500ms", 0.5), ("infinity", FOREVER), ("", None), ("soon", None), ("-1", None), ("5 parsec", None),
    ],
)  # fmt: skip
def test_a_time_span(text: str, seconds: float | None) -> None:
    assert span(text) == seconds


@given(st.text(max_size=40))
def test_no_text_is_too_odd(text: str) -> None:
    span(text)
    needed([text, f"TimeoutStopSec={text}", f"StopTimeout={text}"])


@pytest.mark.parametrize(
    ("texts", "seconds"),
    [
        (["[Container]\nImage=x\n"], None),
        (["[Container]\nStopTimeout=10\n"], None),
        (["[Container]\nStopTimeout=20\n"], None),
        (["[Container]\nStopTimeout=21\n"], 31),
        (["[Container]\nStopTimeout = 120\n"], 130),
        (["[Container]\n#StopTimeout=120\n"], None),
        (["[Container]\nStopTimeout=120\n", "[Container]\nStopTimeout=5\n"], None),
        (["[Container]\nPodmanArgs=--stop-timeout 120 --tty\n"], 130),
        (["[Container]\nPodmanArgs=--stop-timeout=60\n"], 70),
        (["[Container]\nStopTimeout=3600\n"], MOST),
        (["[Container]\nStopTimeout=many\n"], None),
        (["[Container]\nStopTimeout=120\n[Service]\nTimeoutStopSec=60\n"], None),
        (["[Container]\nStopTimeout=120\n", "[Service]\nTimeoutStopSec=10min\n"], None),
    ],
)
def test_what_a_container_needs(texts: list[str], seconds: int | None) -> None:
    assert needed(texts) == seconds


def test_what_a_unit_says_itself() -> None:
    assert unit_seconds(["[Service]\nTimeoutStopSec=1h\n"]) == 3600
    assert unit_seconds(["[Service]\nTimeoutSec=2min\n"]) == 120
    assert unit_seconds(["[Service]\nTimeoutStopSec=0\n"]) == FOREVER, "systemd: none"
    assert unit_seconds(["[Service]\nType=simple\n"]) is None
    assert container_seconds(["StopTimeout=7"]) == 7
