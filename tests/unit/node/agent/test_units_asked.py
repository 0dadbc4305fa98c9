"""The host's side of what the agent asks about units: the real script, with a systemctl that says what it was told."""

from __future__ import annotations

import os
import subprocess
from dataclasses import dataclass
from pathlib import Path

import pytest

SCRIPT = Path(__file__).parents[4] / "os/mkosi.extra/usr/lib/orlop/units-asked"
SYSTEMCTL = """#!/bin/sh
echo "$*" >> "$CALLS"
case "$*" in *broken*) echo "Failed to start broken.service: it has a bad setting."; exit 1 ;; esac
"""


@dataclass
class AskedHost:
    top: Path

    def __post_init__(self) -> None:
        for folder in ("bin", "agent/units", "etc"):
            (self.top / folder).mkdir(parents=True)
        (self.top / "bin/systemctl").write_text(SYSTEMCTL)
        (self.top / "bin/systemctl").chmod(0o755)

    def ask(self, *deeds: str, **texts: str) -> list[str]:
        """What systemctl was told."""
        for name, text in texts.items():
            (self.top / "agent/units" / name.replace("__", ".")).write_text(text)
        (self.top / "agent/asked").write_text("\n".join(["17", *deeds, ""]))
        (self.top / "calls").write_text("")
        env = {
            "PATH": f"{self.top}/bin:{os.environ['PATH']}", "CALLS": f"{self.top}/calls",
            "ORLOP_ASKED": f"{self.top}/agent/asked", "ORLOP_UNITS_TEXTS": f"{self.top}/agent/units",
            "ORLOP_PLACED": f"{self.top}/placed", "ORLOP_UNITS": f"{self.top}/units",
            "ORLOP_QUADLETS": f"{self.top}/quadlets", "ORLOP_OTHERS": f"{self.top}/etc",
        }  # fmt: skip
        ran = subprocess.run(["sh", SCRIPT], env=env, check=False, capture_output=True, text=True)
        assert ran.returncode == 0, ran.stderr
        assert not (self.top / "agent/asked").exists(), "else the path unit would start it for ever"
        return (self.top / "calls").read_text().splitlines()

    @property
    def answer(self) -> list[str]:
        number, *refused = (self.top / "placed/.answer").read_text().splitlines()
        assert number == "17"
        return refused

    def tree(self) -> list[str]:
        places = [self.top / "units", self.top / "quadlets", self.top / "placed"]
        return sorted(str(p.relative_to(self.top)) for place in places for p in place.rglob("*") if p.is_file())


@pytest.fixture
def host(tmp_path: Path) -> AskedHost:
    return AskedHost(tmp_path)


def test_a_unit_is_placed_read_and_started(host: AskedHost) -> None:
    calls = host.ask("load web.service web.service", "start web.service web.service", web__service="[Service]\n")
    assert calls == ["daemon-reload", "--no-block start web.service"]
    assert host.tree() == ["placed/.answer", "placed/web.service", "units/web.service"]
    assert host.answer == []


def test_a_file_of_quadlet_goes_to_quadlet_and_its_share_to_the_service(host: AskedHost) -> None:
    (host.top / "agent/units/web@1.container.conf").write_text("[Service]\nMemoryMax=1\n")
    host.ask("load web@1.container web@1.service", **{"web@1.container": "[Container]\n"})
    assert host.tree() == [
        "placed/.answer", "placed/web@1.service", "quadlets/web@1.container", "units/web@1.service.d/50-orlop.conf",
    ]  # fmt: skip


def test_what_goes_is_stopped_first_and_leaves_nothing(host: AskedHost) -> None:
    (host.top / "agent/units/web.service.conf").write_text("[Service]\nMemoryMax=1\n")
    host.ask("load web.service web.service", web__service="[Service]\n")
    calls = host.ask("unload web.service web.service")
    assert calls == ["stop web.service", "reset-failed web.service", "daemon-reload"]
    assert host.tree() == ["placed/.answer"]


def test_several_are_stopped_at_once(host: AskedHost) -> None:
    names = ("a.service", "b.service")
    host.ask(*(f"load {name} {name}" for name in names), a__service="x", b__service="x")
    assert host.ask(*(f"unload {name} {name}" for name in names))[0] == "stop a.service b.service"
    assert host.tree() == ["placed/.answer"]


def test_stopping_and_starting_again(host: AskedHost) -> None:
    host.ask("load web.service web.service", web__service="[Service]\n")
    assert host.ask("restart web.service web.service", "stop web.service web.service") == [
        "--no-block stop web.service", "--no-block restart web.service",
    ]  # fmt: skip


OTHERS = ["etc/web.service", "etc/web.container"]


@pytest.mark.parametrize("there", OTHERS)
def test_what_the_machine_has_itself_is_never_touched(host: AskedHost, there: str) -> None:
    (host.top / there).write_text("mine")
    calls = host.ask("load web.container web.service", "start web.container web.service", web__container="x")
    assert calls == []
    assert host.answer == [f"web.container this machine has a unit of that name itself: {host.top}/{there}"]
    assert host.ask("unload web.container web.service", "stop web.container web.service") == []
    assert (host.top / there).read_text() == "mine"


def test_the_systems_own_names_are_kept(host: AskedHost) -> None:
    assert host.ask("load orlop-agent.service orlop-agent.service", **{"orlop-agent__service": "x"}) == []
    assert host.answer == ["orlop-agent.service its name is the system's own"]


@pytest.mark.parametrize(
    "name", ["../etc/x.service", "/etc/x.service", "a b.service", "$(id).service", "-x y", ".x", "*"]
)
def test_a_name_is_a_files_and_nothing_more(host: AskedHost, name: str) -> None:
    (host.top / "x.service").write_text("x")
    assert host.ask(f"load {name} x.service", f"load x.service {name}", f"start {name} {name}") == []
    assert host.tree() == ["placed/.answer"]


def test_a_link_is_not_followed(host: AskedHost) -> None:
    (host.top / "secret").write_text("secret")
    (host.top / "agent/units/web.service").symlink_to(host.top / "secret")
    assert host.ask("load web.service web.service") == []
    assert host.answer == ["web.service its text cannot be placed"]
    assert host.tree() == ["placed/.answer"]


def test_what_systemd_refuses_is_told(host: AskedHost) -> None:
    host.ask("load broken.service broken.service", broken__service="[Service]\n")
    host.ask("start broken.service broken.service")
    assert host.answer == ["broken.service Failed to start broken.service: it has a bad setting."]


def test_one_that_is_refused_does_not_keep_others(host: AskedHost) -> None:
    deeds = ("load gone.service gone.service", "load web.service web.service", "start web.service web.service")
    calls = host.ask(*deeds, web__service="x")
    assert calls == ["daemon-reload", "--no-block start web.service"]
    assert host.answer == ["gone.service its text cannot be placed"]
