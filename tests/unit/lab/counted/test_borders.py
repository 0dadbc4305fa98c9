"""Borders from what machines really said, shortened: one of Orlop, one of the peer."""

from __future__ import annotations

import pytest

from orlop.errors import BadInput
from orlop.lab.counted.borders import PHASES, Said, borders, manager_times

KERNEL = """\
[    0.000000] Linux version 6.12.57+deb13-cloud-amd64
[    5.510565] Run /init as init process
"""
JOURNAL = """\
[   12.373568] localhost systemd[1]: Finished systemd-veritysetup@usr.service - Integrity Protection Setup for usr.
[   15.501822] localhost systemd[1]: Starting orlop-config.service - Configure this machine: Ignition...
[   19.411186] localhost systemd[1]: Finished orlop-config.service - Configure this machine: Ignition.
[   28.363000] n1 systemd[1]: Finished systemd-veritysetup@usr.service - Integrity Protection Setup for usr.
[   42.190086] n1 systemd[1]: Started demo.service - The demo: a page that names this machine and its operating system.
[   42.512000] n1 demo[354]: demo: answers on port 8080
[   99.000000] n1 demo[999]: demo: answers on port 8080
"""
ORLOP = Said(
    "InitRDUnitsLoadFinishTimestampMonotonic=6598411\nUserspaceTimestampMonotonic=20492848\n"
    "UnitsLoadFinishTimestampMonotonic=24515087\nActiveEnterTimestampMonotonic=32689074\n",
    KERNEL,
    JOURNAL,
)
PEER = Said(ORLOP.show.replace("=6598411", "=0"), KERNEL, "[   30.100000] peer sh[400]: demo: answers on port 8080\n")


def test_each_phase_ends_where_the_machine_first_said_so() -> None:
    found = borders(ORLOP)
    assert list(found) == list(PHASES)
    assert list(found.values()) == [
        *(0.0, 5.510565, 6.598411, 12.373568, 15.501822, 19.411186),
        *(20.492848, 24.515087, 32.689074, 42.512),
    ]


def test_a_machine_without_a_phase_has_no_border_for_it() -> None:
    assert list(borders(PEER)) == ["firmware", "kernel", "switch", "units", "basic", "container"]


def test_a_journal_without_the_answer_is_not_a_boot() -> None:
    with pytest.raises(BadInput, match="when its container answered"):
        borders(Said(ORLOP.show, KERNEL, JOURNAL.replace("answers", "starts")))


def test_manager_times() -> None:
    text = "UserspaceTimestampMonotonic=8100000\nFinishTimestampMonotonic=0\n"
    assert manager_times(text) == {"Userspace": 8.1, "Finish": 0.0}
    for bad in ("Userspace=1", "FinishTimestampMonotonic=", "error", "FinishTimestampMonotonic=-1"):
        with pytest.raises(BadInput, match="timestamp"):
            manager_times(bad)
