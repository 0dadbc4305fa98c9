"""Which other version the guard of a boot without verdict believes the boot loader starts: a real shell, real files."""

from __future__ import annotations

import subprocess
import tempfile
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from orlop.model.update.boot import Uki, order
from orlop.model.words.version import Version

ENTRIES = Path(__file__).parents[3] / "os/mkosi.extra/usr/lib/orlop/health-entries"
V1, V2 = Version.parse("20261201.9"), Version.parse("20261201.10")


def another(running: Version, names: dict[str, bytes]) -> bool:
    with tempfile.TemporaryDirectory() as folder:
        for name, content in names.items():
            (Path(folder) / name).write_bytes(content)
        script = f". {ENTRIES}; ESP={folder}; IMAGE_VERSION={running}; another"
        return subprocess.run(["sh", "-uc", script], check=False, timeout=30).returncode == 0


@pytest.mark.parametrize(
    ("running", "other", "there"),
    [
        (V1, "", False),
        (V1, f"orlop_{V2}.efi", True),
        (V1, f"orlop_{V2}+1-2.efi", True),
        (V1, f"orlop_{V2}+0-3.efi", False),
        (V1, f"orlop_{V2}+0-0.efi", True),
        (V2, f"orlop_{V1}+0-0.efi", False),
        (V2, f"orlop_{V1}+0-3.efi", False),
        (V2, f"orlop_{V1}.efi", True),
        (V2, "orlop_20261130.11+0-0.efi", False),
        (V1, "orlop_20261202.1+0-0.efi", True),
    ],
)
def test_another_version_to_start(running: Version, other: str, there: bool) -> None:
    names = {f"orlop_{running}+0-3.efi": b"MZ"} | ({other: b"MZ"} if other else {})
    assert another(running, names) is there


def test_what_is_veiled_is_not_started() -> None:
    assert not another(V1, {f"orlop_{V1}+0-3.efi": b"MZ", f"orlop_{V2}.efi": b"ZZ"})


OTHERS = st.just(Uki(V2)) | st.builds(Uki, st.just(V2), st.integers(0, 3), st.integers(0, 3))


@given(mine=st.builds(Uki, st.just(V1), st.just(0), st.integers(1, 3)), other=OTHERS)
def test_it_is_what_systemd_boot_starts_unless_that_failed(mine: Uki, other: Uki) -> None:
    starts = order([mine.name, other.name])[0]
    failed = other.bad and other.done > 0
    assert another(V1, {mine.name: b"MZ", other.name: b"MZ"}) is (starts == other and not failed)
