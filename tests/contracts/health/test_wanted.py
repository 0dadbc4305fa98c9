"""What was wanted and is not there, by name: a real shell, folders of links as systemd has them, and a systemctl that
answers from files.
"""

from __future__ import annotations

import os
import subprocess
from dataclasses import dataclass
from pathlib import Path

import pytest

OS = Path(__file__).parents[3] / "os" / "mkosi.extra" / "usr" / "lib" / "orlop"
SYSTEMCTL = """#!/bin/sh
for last in "$@"; do :; done
case $* in
    list-units*) cat "$FAKE/units" ;;
    "show -P Requires"*) cat "$FAKE/$last.needs" 2> /dev/null || echo ;;
    show*) cat "$FAKE/$last" 2> /dev/null || { echo LoadState=not-found; echo ActiveState=inactive; } ;;
esac
"""
NEVER = "LoadState=loaded\nActiveState=inactive\nInactiveExitTimestampMonotonic=0\nConditionTimestampMonotonic=0\n"
DONE = "LoadState=loaded\nActiveState=inactive\nResult=success\nInactiveExitTimestampMonotonic=7\n"
MINE = "FragmentPath=/etc/systemd/system/x\n"
SYSTEMS = "FragmentPath=/usr/lib/systemd/system/x\n"


@dataclass
class Machine:
    """`up` are the units that are active, `failed` those that failed."""

    top: Path
    up: tuple[str, ...] = ("multi-user.target",)
    failed: tuple[str, ...] = ()

    def enabled(self, unit: str, by: str = "multi-user.target.wants") -> None:
        link = self.top / "etc" / by / unit
        link.parent.mkdir(parents=True, exist_ok=True)
        link.symlink_to(f"../{unit}")

    def is_so(self, unit: str, shown: str, needs: str = "") -> None:
        (self.top / unit).write_text(shown)
        (self.top / f"{unit}.needs").write_text(needs + "\n")

    def missed(self, call: str = 'absent | while read -r unit; do missed "$unit"; done; refused') -> list[str]:
        states = [*((u, "active") for u in self.up), *((u, "failed") for u in self.failed)]
        (self.top / "units").write_text("".join(f"{u} loaded {state} x a description\n" for u, state in states))
        programs = self.top / "bin"
        programs.mkdir(exist_ok=True)
        (programs / "systemctl").write_text(SYSTEMCTL)
        (programs / "systemctl").chmod(0o755)
        env = {
            "PATH": f"{programs}:{os.environ['PATH']}",
            "FAKE": str(self.top),
            "ORLOP_UNITS": str(self.top / "etc"),
            "ORLOP_GENERATED": str(self.top / "run"),
            "ORLOP_ENABLED": str(self.top / "preset"),
            "ORLOP_QUADLETS": str(self.top / "quadlets"),
        }
        script = f". {OS}/health-kinds; . {OS}/health-wanted; units_now; {call}"
        ran = subprocess.run(["sh", "-uc", script], env=env, capture_output=True, text=True, check=False, timeout=30)
        assert ran.stderr == ""
        return ran.stdout.splitlines()


@pytest.fixture
def machine(tmp_path: Path) -> Machine:
    return Machine(tmp_path)


@pytest.mark.parametrize(
    ("shown", "said"),
    [
        ("LoadState=masked\nActiveState=inactive\n", ""),
        (DONE + MINE, ""),
        (DONE + MINE + "Type=simple\nRestart=always\n", ""),  # somebody stopped it
        (DONE + SYSTEMS + "Type=oneshot\nRestart=no\n", ""),
        (
            DONE + SYSTEMS + "Type=notify\nRestart=always\n",
            "system a.service a.service is not running any more (success)",
        ),
        (NEVER + MINE + "ConditionTimestampMonotonic=5\nConditionResult=no\n", ""),
        (NEVER + MINE + "Job=12\n", ""),
        ("LoadState=loaded\nActiveState=activating\n", ""),
        (NEVER + MINE, "workload a.service a.service was not started"),
        (NEVER + SYSTEMS, "system a.service a.service was not started"),
        (
            NEVER + MINE + "AssertTimestampMonotonic=5\nAssertResult=no\n",
            "workload a.service a.service was not started: what it asserts is not so",
        ),
        (
            "LoadState=not-found\nActiveState=inactive\n",
            "workload a.service a.service is enabled, and there is no such unit",
        ),
        (
            "LoadState=bad-setting\nActiveState=inactive\n" + MINE,
            "workload a.service a.service cannot be used (bad-setting): systemctl status a.service",
        ),
    ],
)
def test_what_is_enabled_is_there_was_done_or_did_not_want_to(machine: Machine, shown: str, said: str) -> None:
    machine.enabled("a.service")
    machine.is_so("a.service", shown)
    assert machine.missed() == ([said] if said else [])


def test_the_requirement_that_is_missing_is_named_and_gives_the_kind(machine: Machine) -> None:
    for unit in ("far", "near", "lost", "net"):
        machine.enabled(f"{unit}.service")
    machine.is_so("near.service", NEVER + MINE, "sysinit.target gone.service")
    machine.is_so("far.service", NEVER + MINE, "srv.mount")
    machine.is_so("srv.mount", NEVER + MINE, "dev-sdb.device")
    machine.is_so("dev-sdb.device", NEVER)
    machine.is_so("lost.service", NEVER + MINE, "helper.service")
    machine.is_so("helper.service", "LoadState=loaded\nActiveState=failed\n" + SYSTEMS)
    machine.is_so("net.service", NEVER + MINE, "systemd-networkd-wait-online.service")
    machine.is_so("systemd-networkd-wait-online.service", "LoadState=loaded\nActiveState=failed\n" + SYSTEMS)
    machine.up = ("multi-user.target", "sysinit.target")
    assert machine.missed() == [
        "data far.service far.service was not started: it needs dev-sdb.device, which was not started",
        "system lost.service lost.service was not started: it needs helper.service, which failed",
        "workload near.service near.service was not started: it needs gone.service, which is not there",
        "network net.service net.service was not started: it needs systemd-networkd-wait-online.service, which failed",
    ]


def test_only_what_a_reached_unit_wants_is_asked_for(machine: Machine) -> None:
    machine.enabled("a.service", "rescue.target.wants")
    generated = machine.top / "run/generator/local-fs.target.wants"
    generated.mkdir(parents=True)
    (generated / "systemd-remount-fs.service").symlink_to("/nowhere")  # a generator does not know what the image has
    machine.enabled("up.service")
    machine.enabled("bad.service")
    machine.enabled("systemd-bless-boot.service")  # left out of a boot that was judged bad, and queued before that
    machine.is_so("systemd-bless-boot.service", NEVER + SYSTEMS, "boot-complete.target")
    machine.enabled("srv.mount", "local-fs.target.wants")  # nofail
    machine.enabled("data.mount", "local-fs.target.requires")
    machine.is_so("data.mount", NEVER + MINE)
    machine.up, machine.failed = ("multi-user.target", "local-fs.target", "up.service"), ("bad.service",)
    assert machine.missed() == ["data data.mount data.mount was not started"]


def test_a_name_is_taken_as_it_is(machine: Machine) -> None:
    machine.enabled("systemd-fsck@dev-disk-by\\x2dlabel-a.service")
    assert machine.missed() == [
        "data systemd-fsck@dev-disk-by\\x2dlabel-a.service systemd-fsck@dev-disk-by\\x2dlabel-a.service is enabled, "
        "and there is no such unit"
    ]


def test_a_unit_that_is_to_be_enabled_and_does_not_exist_is_named(machine: Machine) -> None:
    (machine.top / "preset").write_text(
        "enable a.service\nenable t@.service one\nenable no.service\ndisable x.service\n"
    )
    (machine.top / "etc").mkdir()
    (machine.top / "etc/a.service").touch()
    assert machine.missed() == ["workload no.service no.service is enabled, and there is no such unit"]


def test_a_quadlet_that_podman_did_not_understand_is_named(machine: Machine) -> None:
    folder = machine.top / "quadlets"
    folder.mkdir()
    for name in ("made.container", "not.container", "t@.container", "group.pod", "off.container", "named.container"):
        rest = "" if name.startswith("off") else "[Install]\nWantedBy=multi-user.target\n"
        (folder / name).write_text(f"[Container]\n{'ServiceName=other' if name.startswith('named') else ''}\n{rest}")
    made = machine.top / "run/generator"
    made.mkdir(parents=True)
    (made / "made.service").touch()
    assert machine.missed() == [
        f"workload not.service not.service is not there: podman did not understand {folder}/not.container",
        f"workload group-pod.service group-pod.service is not there: podman did not understand {folder}/group.pod",
    ]


def test_a_verdict_has_one_result_a_kind(machine: Machine) -> None:
    machine.enabled("a.service")
    machine.enabled("b.service")
    machine.is_so("a.service", NEVER + MINE)
    machine.is_so("b.service", NEVER + SYSTEMS)
    begin = "room=0 verdict=good kinds='' reasons='' checks=''"
    call = f'. {OS}/health-checks; {begin}; wanted; echo "$verdict|$kinds|$checks"'
    [said] = machine.missed(call)
    verdict, kinds, checks = said.split("|")
    assert (verdict, kinds) == ("bad", " system workload")
    assert '"kind": "workload", "about": "a.service", "reason": "a.service was not started"' in checks
    machine.top.joinpath("a.service").write_text(DONE + MINE)
    machine.top.joinpath("b.service").write_text(DONE + SYSTEMS + "Type=oneshot\n")
    assert machine.missed(call) == ['good||{"check": "wanted", "ok": true}']
