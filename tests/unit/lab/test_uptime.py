from __future__ import annotations

import pytest

from orlop.errors import BadInput
from orlop.lab.uptime import clock_zero


def test_the_quickest_reading_of_the_clock_decides() -> None:
    samples = [(100.0, "40.00 70.1\n", 101.0), (102.0, "41.90 71.0\n", 102.02), (103.0, "43.00 1\n", 103.5)]
    assert clock_zero(samples) == pytest.approx(102.01 - 41.90)
    with pytest.raises(BadInput):
        clock_zero([])
