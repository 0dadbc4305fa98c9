"""What a machine takes and does not do. systemd's own part is in tests/contracts/provision and on machines."""

from __future__ import annotations

import pytest

from orlop.node.config.rendering import Rendering
from orlop.simulate.doubts import Doubt, doubts, of_disks
from orlop.simulate.machine import ProgramOutput, SimulatedMachine, with_dropins
from orlop.simulate.plan import SimulationPlan
from orlop.simulate.snapshot import RootEntry
from orlop.simulate.units import PRESET, QUADLETS
from tests.unit.simulate.roots import file, folder, link, root

ETC, USR, MADE = "/etc/systemd/system/", "/usr/lib/systemd/system/", "/run/systemd/generator/"
IMAGE = root(
    folder("/usr"), folder("/usr/bin"), file("/usr/bin/sh", mode=0o755), file("/usr/bin/env", mode=0o755),
    folder("/usr/lib"), folder("/usr/lib/systemd"), folder(USR.rstrip("/")),
    link(USR + "default.target", "multi-user.target"), file(USR + "multi-user.target"), file(USR + "graphical.target"),
    file(USR + "reboot.target"),
)  # fmt: skip
FACTORY = root(
    folder("/"), folder("/etc"), folder("/etc/systemd"), folder(ETC.rstrip("/")), link("/bin", "usr/bin"),
    file("/etc/passwd", "root:x:0:0::/root:/bin/sh\n"), file("/etc/group", "root:x:0:\n"),
)  # fmt: skip
WANTED = link(ETC + "multi-user.target.wants/a.service", "../a.service")
CONTAINER = "[Unit]\nSourcePath=/etc/containers/systemd/web.container\n[Service]\nExecStart=/usr/bin/sh\n"


def machine(
    *entries: RootEntry, made: tuple[RootEntry, ...] = (), said: ProgramOutput | None = None
) -> SimulatedMachine:
    return SimulatedMachine(
        "node.bu",
        "1",
        FACTORY,
        {**FACTORY, **root(*entries)},
        SimulationPlan(Rendering({})),
        root(*made),
        IMAGE,
        said or ProgramOutput(),
    )


def only(made: SimulatedMachine) -> Doubt:
    (doubt,) = doubts(made)
    return doubt


def service(text: str) -> tuple[RootEntry, RootEntry]:
    return file(ETC + "a.service", text), WANTED


@pytest.mark.parametrize(
    ("line", "program"),
    [
        ("#!/bin/bash", "/bin/bash"),
        ("#! /bin/bash -e", "/bin/bash"),
        ("#!/usr/bin/env python3", "python3"),
        ("#!/usr/bin/env -S A=b python3 -u", "python3"),
        ("#!/etc/interpreter", "/etc/interpreter"),
        ("#!/bin/sh", ""),
        ("#!/usr/bin/env sh", ""),
        ("#!/var/lib/made-later", ""),
        ("no program", ""),
    ],
)
def test_a_program_without_its_interpreter_stops_what_runs_it(line: str, program: str) -> None:
    made = machine(file("/etc/run", line + "\n", mode=0o755), *service('[Service]\nExecStart=-@"/etc/run" x\n'))
    if not program:
        assert doubts(made) == []
        return
    doubt = only(made)
    assert doubt.text == f"/etc/run is a program for {program}, which is not in the image"
    assert (doubt.about[0], doubt.stops) == (("file", "/etc/run"), ("a.service",))


def test_what_nobody_may_execute_is_no_program() -> None:
    assert doubts(machine(file("/etc/text", "#!/bin/bash\n"))) == []


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("[Service]\nUser=nobody-knows\n", "runs as the user nobody-knows, which does not exist"),
        ("[Service]\nGroup=nobody-knows\n", "runs as the group nobody-knows, which does not exist"),
        ("[Service]\nUser=nobody-knows\nUser=root\n", ""),
        ("[Service]\nUser=1234\nGroup=%i\n", ""),
        ("[Service]\nUser=made\nDynamicUser=yes\n", ""),
    ],
)
def test_accounts(text: str, said: str) -> None:
    found = doubts(machine(*service(text)))
    assert [d.text for d in found] == ([f"a.service {said}"] if said else [])


@pytest.mark.parametrize(
    ("by", "said"),
    [
        ("multi-user.target", ""),
        ("default.target", ""),
        ("reboot.target", ""),
        ("graphical.target", "graphical.target, which no boot of this image reaches"),
        ("nowhere.target", "nowhere.target, which does not exist"),
    ],
)
def test_what_starts_a_unit(by: str, said: str) -> None:
    found = doubts(machine(file(ETC + "a.service"), link(f"{ETC}{by}.wants/a.service", "../a.service")))
    assert [d.text for d in found] == ([f"a.service is started by {said}"] if said else [])


def test_one_of_two_that_start_it_is_enough() -> None:
    made = machine(*service(""), link(ETC + "graphical.target.wants/a.service", "../a.service"))
    assert doubts(made) == []


@pytest.mark.parametrize(("name", "text"), [("a.timer", ""), ("a.path", "[Path]\nUnit=b.service\n")])
def test_what_starts_nothing(name: str, text: str) -> None:
    started = "b.service" if text else "a.service"
    doubt = only(machine(file(ETC + name, text), link(f"{ETC}multi-user.target.wants/{name}", f"../{name}")))
    assert (doubt.text, doubt.stops) == (f"{name} starts {started}, which does not exist", (name,))


def test_switches_of_what_is_made_at_boot() -> None:
    quadlet, made = file(QUADLETS + "web.container"), file(MADE + "web.service", CONTAINER)
    on = only(
        machine(
            quadlet,
            file(PRESET, "enable web.service\n"),
            made=(made,),
            said=ProgramOutput(absent=frozenset(["web.service"])),
        )
    )
    assert (on.stops, on.about[-1]) == (("web.service",), ("file", QUADLETS + "web.container"))
    assert "`enabled: true` does not start it" in on.text
    wanted = link(MADE + "multi-user.target.wants/web.service", "../web.service")
    off = only(machine(quadlet, file(PRESET, "disable web.service\n"), made=(made, wanted)))
    assert (off.stops, "`enabled: false` does not stop that" in off.text) == ((), True)
    redundant = machine(quadlet, file(PRESET, "enable web.service\n"), made=(made, wanted))
    assert doubts(redundant) == []


def test_a_change_of_a_unit_that_is_not_there() -> None:
    assert only(machine(file(ETC + "a.service.d/x.conf"))).text == "there is no unit a.service to change"


@pytest.mark.parametrize(
    ("program", "text", "stops"),
    [
        ("/usr/bin/docker", "a.service runs /usr/bin/docker, which is not in the image", True),
        ("docker", "a.service runs docker, which is not in the image", True),
        ("/etc/none", "a.service runs /etc/none, which is not there", True),
        ("/usr/bin/after", "a.service runs /usr/bin/after, which is not in the image", False),
        ("/opt/made-later", "", True),
    ],
)
def test_programs_as_systemd_finds_them(program: str, text: str, stops: bool) -> None:
    said = ProgramOutput(verify=f"a.service: Command {program} is not executable: No such file or directory\n")
    unit = f"[Service]\nExecStopPost=/usr/bin/after\nExecStart={program if stops else '/usr/bin/sh'}\n"
    found = doubts(machine(*service(unit), said=said))
    assert [(d.text, d.stops) for d in found] == ([(text, ("a.service",) if stops else ())] if text else [])


def test_what_systemd_says_of_the_images_own_units_is_not_the_users() -> None:
    said = ProgramOutput(verify="b.service: Command /usr/bin/docker is not executable: No such file or directory\n")
    assert doubts(machine(*service(""), said=said)) == []


def test_the_disk_that_most_machines_boot_from() -> None:
    made = SimulatedMachine(
        "node.ign", "1", FACTORY, FACTORY, SimulationPlan(Rendering({}), devices=("/dev/vda", "/dev/disk/by-id/x"))
    )
    (doubt,) = of_disks(made)
    assert doubt.text.startswith("/dev/vda is the disk that most machines boot from")


def test_the_time_to_stop_that_a_machine_gives() -> None:
    text = "[Container]\nStopTimeout=100\n"
    found = with_dropins(root(file(QUADLETS + "web.container", text), file(QUADLETS + "x.volume", "[Volume]\n")))
    dropin = found[ETC + "web.service.d/10-orlop-stop.conf"]
    assert (dropin.text, dropin.mode) == ("[Service]\nTimeoutStopSec=110\n", 0o644)
    assert found[ETC + "web.service.d"].mode == 0o755
