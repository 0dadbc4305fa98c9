"""How long a source of a configuration is waited for."""

from __future__ import annotations

import pytest

from orlop.node.config.run import fetch_seconds


@pytest.mark.parametrize(
    ("has_kept", "has_address", "seconds"),
    [(False, True, 120), (False, False, 120), (True, True, 30), (True, False, 5)],
)
def test_who_can_start_without_it_waits_less(has_kept: bool, has_address: bool, seconds: int) -> None:
    assert fetch_seconds(has_kept=has_kept, has_address=has_address) == seconds
