"""For every test: where hypothesis keeps what it found, and no deadline a busy machine would miss.

`make test` tries the same examples each time: whether a change is good must not be a matter of luck. `make long` tries
others each time (ORLOP_EXPLORE), and what it finds becomes a test.
"""

from __future__ import annotations

import os
from pathlib import Path

from hypothesis import HealthCheck, settings
from hypothesis.configuration import set_hypothesis_home_dir

set_hypothesis_home_dir(Path(__file__).parent.parent / ".orlop" / "cache" / "hypothesis")
settings.register_profile("orlop", deadline=None, suppress_health_check=[HealthCheck.too_slow], derandomize=True)
settings.register_profile("explore", settings.get_profile("orlop"), derandomize=False, print_blob=True)
settings.load_profile("explore" if os.environ.get("ORLOP_EXPLORE") else "orlop")
