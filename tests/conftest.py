"""For every test: where hypothesis keeps what it found, and no deadline a busy machine would miss."""

from __future__ import annotations

from pathlib import Path

from hypothesis import HealthCheck, settings
from hypothesis.configuration import set_hypothesis_home_dir

set_hypothesis_home_dir(Path(__file__).parent.parent / ".orlop" / "cache" / "hypothesis")
settings.register_profile("orlop", deadline=None, suppress_health_check=[HealthCheck.too_slow])
settings.load_profile("orlop")
