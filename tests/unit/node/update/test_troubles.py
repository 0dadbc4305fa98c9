"""What is read of the file in which the machine says what is wrong with it now."""

from __future__ import annotations

import json
from datetime import timedelta
from pathlib import Path
from typing import Any

import pytest

from orlop.model.update.repair import Repair, Trouble
from orlop.node.update.host import Host
from orlop.node.update.troubles import PLACE, Troubles

BOOT = "3f1c0c7e-8a51-4bdf-9d44-6a2f6a0f6c11"
ERRORS = {"check": "storage", "ok": False, "kind": "storage", "about": "", "reason": "/var has errors"}
FAILED = {"check": "units", "ok": False, "kind": "system", "about": "a.service b.service", "reason": "failed"}


class Machine:
    def __init__(self, top: Path) -> None:
        self.top, self.time = top, 100.0
        self.troubles = Troubles(Host(top), clock=lambda: self.time)
        self.put("proc/sys/kernel/random/boot_id", BOOT + "\n")
        self.put("proc/uptime", "90000.12 1.0\n")

    def put(self, name: str, text: str) -> None:
        path = self.top / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(text)

    def says(self, *checks: Any, boot: str = BOOT) -> None:
        self.put(PLACE, json.dumps({"boot": boot.replace("-", ""), "checks": checks}))


@pytest.fixture
def machine(tmp_path: Path) -> Machine:
    return Machine(tmp_path)


def test_what_is_wrong_and_for_how_long(machine: Machine) -> None:
    assert machine.troubles.now() == ()
    machine.says({"check": "var", "ok": True}, ERRORS, FAILED)
    first = [Trouble("storage", "/var has errors"), Trouble("system:a.service", "failed")]
    assert list(machine.troubles.now()) == [*first, Trouble("system:b.service", "failed")]
    machine.time += 60
    machine.says(ERRORS)
    assert machine.troubles.now() == (Trouble("storage", "/var has errors", timedelta(seconds=60)),)
    machine.says()
    assert machine.troubles.now() == ()
    machine.says(ERRORS)
    assert machine.troubles.now() == (Trouble("storage", "/var has errors"),), "counted anew"


def test_a_reboot_is_wanted_by_how_long_the_machine_runs(machine: Machine) -> None:
    machine.says(ERRORS)
    assert machine.troubles.repair() == Repair("/var has errors", danger=True)
    for uptime in ("59.9 1.0\n", "", "x"):
        machine.put("proc/uptime", uptime)
        assert machine.troubles.repair() is None


@pytest.mark.parametrize("text", ["", "{", "[]", "null", "{}", '{"boot": 1}', "[" * 100_000])
def test_a_file_that_cannot_be_read_says_nothing(machine: Machine, text: str) -> None:
    machine.put(PLACE, text)
    assert machine.troubles.now() == ()


@pytest.mark.parametrize("check", [1, "x", {}, {"ok": False}, {"ok": False, "kind": ["x"]}])
def test_a_check_of_another_form_hurts_nobody(machine: Machine, check: object) -> None:
    machine.says(check)
    assert machine.troubles.repair() is None


def test_another_boots_file_says_nothing(machine: Machine) -> None:
    machine.says(ERRORS, boot="0" * 32)
    assert machine.troubles.now() == ()
