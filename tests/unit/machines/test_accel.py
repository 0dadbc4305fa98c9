from __future__ import annotations

import pytest

from orlop.machines.accel import PROBE_CODE, firmware, without_probe

WITH = "processor : 0\nflags\t\t: fpu vme vmx sse\n"


@pytest.mark.parametrize(
    ("cpuinfo", "device", "why"),
    [
        ("flags\t\t: fpu vme sse\n", "", "the CPU shows no vmx or svm flag"),
        ("", "", "no vmx or svm"),
        ("model name : a vmx machine\nflags : fpu\n", "", "no vmx or svm"),
        (WITH, "missing", "there is no /dev/kvm"),
        (WITH, "closed", "may not open /dev/kvm"),
    ],
)
def test_kvm_is_ruled_out_with_a_reason(cpuinfo: str, device: str, why: str) -> None:
    decided = without_probe(cpuinfo, device)
    assert decided is not None
    assert decided.name == "tcg"
    assert why in decided.why


@pytest.mark.parametrize("flag", ["vmx", "svm"])
def test_only_a_probe_can_rule_it_in(flag: str) -> None:
    assert without_probe(WITH.replace("vmx", flag), "") is None


def test_the_probe_starts_where_a_processor_starts() -> None:
    rom = firmware()
    assert len(rom) == 65536
    assert rom[-16:].startswith(PROBE_CODE)
