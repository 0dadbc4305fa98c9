"""What the programs behind a container machine are told."""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from orlop.machines import console
from orlop.machines.console import BootStage
from orlop.machines.container import cgroup, limits, words
from orlop.machines.container.words import ContainerMachine
from orlop.machines.paths import MachinePaths
from orlop.machines.ports import Forward

MACHINE = ContainerMachine(
    key="orlop-0-abc",
    name="n2",
    at=MachinePaths(Path("/s/lab/a/n2"), *map(Path, ("/tmp/q", "/tmp/c", "/tmp/s"))),
    usr=Path("/s/lab/a/usr.erofs"),
    net=Path("/proc/4711/ns/net"),
    cpus=2,
    memory_mib=1024,
    macs=("52:54:00:00:00:02", "52:54:01:00:00:02"),
    credentials=(("tmpfiles.extra", Path("/s/lab/a/n2/tmpfiles.extra")),),
)


def test_nspawn_is_given_a_fresh_root_and_the_machines_own_things() -> None:
    told = words.nspawn(replace(MACHINE, binds=((Path("/s/demo"), "/run/media"),)))
    assert {"--volatile=yes", "--register=no", "--hostname=n2", "--machine=orlop-0-abc-n2"} <= set(told)
    assert {"--bind=/s/lab/a/n2/var:/var", "--bind-ro=/s/demo:/run/media"} <= set(told)
    assert "--load-credential=tmpfiles.extra:/s/lab/a/n2/tmpfiles.extra" in told
    assert words.process_one(MACHINE) == [words.START]
    assert words.process_one(replace(MACHINE, url="http://a/b")) == [words.START, "ignition.config.url=http://a/b"]


@given(st.text(st.characters(codec="utf-8", exclude_characters="\0"), min_size=1))
def test_a_path_with_colons_is_one_path(name: str) -> None:
    """nspawn splits the option at colons, and takes a backslash before one away."""
    path = Path("/s") / name.replace("/", "_")
    source = words.config_option(path).removeprefix("--bind-ro=").removesuffix(":/run/host/orlop/config.ign")
    parts, escaped = [""], False
    for c in source:
        if escaped or c not in "\\:":
            parts[-1] += c
            escaped = False
        elif c == "\\":
            escaped = True
        else:
            parts.append("")
    assert parts == [str(path)]


def test_links_have_names_that_linux_takes_and_both_ends() -> None:
    setup = words.link_setup("n32", 4711, ("52:54:00:00:00:20", "52:54:01:00:00:20"), up=False)
    assert "link add n32o type veth peer name host0 address 52:54:00:00:00:20 netns 4711\n" in setup
    assert setup.endswith("link set n32o down\nlink set n32p down\n")
    assert words.link_state("n1", up=True) == "link set n1t up\nlink set n1o up\nlink set n1p up\n"
    assert words.link_state("n1", up=False, far=True) == "link set n1t down\nlink set n1p down\n"
    assert words.link_setup("n1", 4711, (), up=True) == "", "a machine without cards"
    names = {word for line in setup.splitlines() for word in line.split() if word.startswith("n32")}
    assert max(map(len, names)) < 16
    assert ("switch" in words.namespace_setup(with_tap=True), "switch" in words.namespace_setup(with_tap=False)) == (
        True,
        False,
    )


def test_a_forwarded_port_leads_from_the_loopback() -> None:
    asked = json.loads(words.forward_request(Forward(8080, 80)))
    assert asked["execute"] == "add_hostfwd"
    assert asked["arguments"] | {"guest_addr": ""} == {
        "proto": "tcp", "host_addr": "127.0.0.1", "host_port": 8080, "guest_port": 80, "guest_addr": "",
    }  # fmt: skip


@pytest.mark.parametrize(
    ("mounts", "place"),
    [
        ("cgroup2 /sys/fs/cgroup cgroup2 rw 0 0\n", "/sys/fs/cgroup"),
        (
            "cgroup /sys/fs/cgroup/cpu cgroup rw 0 0\nnone /sys/fs/cgroup/unified cgroup2 rw 0 0\n",
            "/sys/fs/cgroup/unified",
        ),
        ("cgroup /sys/fs/cgroup/cpu cgroup rw 0 0\nproc /proc proc rw 0 0\n\n", None),
    ],
)
def test_where_cgroup_v2_is(mounts: str, place: str | None) -> None:
    found = cgroup.hierarchy(mounts)
    assert (str(found) if found else None) == place


def test_a_machine_that_was_started_again_is_in_a_new_boot() -> None:
    first = "orlop-lab: n1 starts\r\nWelcome to Orlop!\r\norlop-health: verdict=good version=1 boot=aa\r\n"
    again = "orlop-lab: n1 starts\r\n"
    assert console.last_boot(first) == first
    assert console.last_boot(first + again) == again
    assert console.stage(again) is BootStage.INITRD
    assert console.stage(first) is BootStage.JUDGED
    assert console.last_boot(first + "orlop-lab: n1 is off\r\n").startswith("orlop-lab: n1 starts")


def test_a_limit_of_the_computer_is_raised_when_it_is_too_low_and_said(tmp_path: Path) -> None:
    instances = tmp_path / "max_user_instances"
    instances.write_text("128\n")
    assert "raised from 128 to 640" in limits.allow(32, instances)
    assert int(instances.read_text()) == 640
    assert limits.allow(32, instances) == limits.allow(5, instances) == ""
    assert int(instances.read_text()) == 640
    assert limits.allow(1, tmp_path / "missing") == ""
    instances.unlink()
    instances.mkdir()
    assert limits.allow(1, instances) == ""
