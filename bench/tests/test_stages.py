"""Stages from raw observations: borders add up, and what was not seen is not invented."""

from __future__ import annotations

from itertools import pairwise

import pytest
from hypothesis import given
from hypothesis import strategies as st

from bench.boot.stages import (
    Seen,
    Stages,
    busy_seconds,
    configuration,
    init_started,
    loader_started,
    medians,
    stages,
)
from orlop.errors import BadInput

STEP = st.floats(0, 100)


@given(st.tuples(STEP, STEP, STEP, STEP, STEP, STEP, STEP))
def test_the_stages_add_up(steps: tuple[float, ...]) -> None:
    start, firmware, loader, kernel, initrd, userspace, late = steps
    seen = Seen(
        started_at=start,
        loader_at=start + firmware,
        kernel_at=start + firmware + loader,
        answered_at=start + late,
        init=kernel,
        userspace=kernel + initrd,
        finish=kernel + initrd + userspace,
        cpu=7.5,
    )
    got = stages(seen)
    assert got.firmware == pytest.approx(firmware)
    assert got.loader == pytest.approx(loader)
    assert got.kernel == kernel
    assert got.initrd == pytest.approx(initrd)
    assert got.userspace == pytest.approx(userspace)
    assert got.answering == pytest.approx(late)


def test_what_was_not_seen_is_missing() -> None:
    got = stages(Seen(0, None, 5, 30, None, 12, 25, 40))
    assert got == Stages(None, None, None, None, None, 13, 30, 40)


def test_medians_are_stage_by_stage_and_miss_what_any_boot_misses() -> None:
    boots = [Stages(1, 2, 3, 4, 1, 5, 60, 9), Stages(3, 2, 9, None, 1, 6, 40, 8), Stages(2, 2, 4, 4, 2, 7, 50, 7)]
    assert medians(boots) == {
        "firmware": 2,
        "loader": 2,
        "kernel": 4,
        "initrd": None,
        "configuration": 1,
        "userspace": 6,
        "answering": 50,
        "cpu": 8,
    }
    assert set(medians([]).values()) == {None}


FIRMWARE = b'BdsDxe: loading Boot0001 "UEFI Misc Device" from PciRoot(0x0)\r\nBdsDxe: starting Boot0001 "UEFI Misc'


def test_the_loader_starts_when_the_firmware_says_so_last() -> None:
    chunks = [
        (1.0, FIRMWARE[:70]),
        (2.0, FIRMWARE[70:90]),
        (2.5, FIRMWARE[90:]),
        (3.0, b"\r\n" + FIRMWARE),
        (4.0, b"x"),
    ]
    assert loader_started(chunks[:3]) == 2.0
    assert loader_started(chunks) == 3.0
    assert loader_started([(1.0, b"nothing")]) is None
    assert loader_started([]) is None


@given(st.lists(st.integers(1, len(FIRMWARE) - 1), unique=True, max_size=6))
def test_how_the_console_is_cut_into_chunks_does_not_matter(cuts: list[int]) -> None:
    edges = [0, *sorted(cuts), len(FIRMWARE)]
    chunks = [(float(end), FIRMWARE[start:end]) for start, end in pairwise(edges)]
    complete = FIRMWARE.index(b"starting Boot") + len(b"starting Boot")
    assert loader_started(chunks) == min(end for end in edges if end >= complete)


def test_init_from_the_kernel_log() -> None:
    log = "[    0.000000] n1 kernel: Linux version 6.12\n[    4.218374] n1 kernel: Run /init as init process\n"
    assert init_started(log) == 4.218374
    assert init_started("[    4.218374] Run /init as init process") == 4.218374
    assert init_started("") is None


def test_the_hosts_work_leaves_waiting_and_guests_out() -> None:
    stat = "cpu  100 20 30 9999 8888 4 6 7777 90 5\ncpu0 1 1 1 1 1 1 1 1 1 1\nintr 5\n"
    assert busy_seconds(stat, 100) == pytest.approx(1.6)
    for bad in ("", "cpu0 1 2 3 4 5 6 7 8\n", "cpu 1 2\n", "cpu a b c d e f g h\n"):
        with pytest.raises(BadInput):
            busy_seconds(bad, 100)


def test_how_long_the_machine_was_configured() -> None:
    journal = (
        "[    5.250000] localhost systemd[1]: Starting orlop-config.service - Configure this machine: Ignition...\n"
        "[    5.300000] localhost orlop-config[88]: Starting orlop-config.service, it says\n"
        "[    7.000000] localhost systemd[1]: Finished orlop-config.service - Configure this machine: Ignition.\n"
    )
    assert configuration(journal) == 1.75
    assert configuration(journal.replace("Finished", "Failed to start")) is None
    assert configuration("-- No entries --\n") is None
