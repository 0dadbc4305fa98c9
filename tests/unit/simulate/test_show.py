"""A result as text: what people see is what was found."""

from __future__ import annotations

import json

import pytest

from orlop.node.config.rendering import Rendering
from orlop.simulate import against, show
from orlop.simulate.machine import SimulatedMachine
from orlop.simulate.plan import ForeseenFetch, SimulationPlan
from orlop.simulate.snapshot import RootEntry
from tests.unit.simulate.roots import file, folder, link, root

FACTORY = root(
    folder("/"),
    folder("/etc"),
    file("/etc/group", "root:x:0:\n"),
    file("/etc/old"),
    file("/etc/passwd", "root:x:0:0:root:/root:/bin/sh\n"),
)
GROUPS = file("/etc/group", "root:x:0:\nweb:x:900:a\n")


def machine(*entries: RootEntry, plan: SimulationPlan | None = None, without: str = "") -> SimulatedMachine:
    after = {path: entry for path, entry in {**FACTORY, **root(*entries)}.items() if path != without}
    made = plan or SimulationPlan(Rendering({}))
    return SimulatedMachine("node.bu", "20261125.1", FACTORY, after, made)


def test_text() -> None:
    made = machine(
        file("/etc/passwd", "root:x:0:0:root:/root:/bin/sh\na:x:1000:900:A:/home/a:/bin/zsh\n"),
        GROUPS,
        folder("/etc/d", 0o1750),
        file("/etc/d/x", "x" * 12_345, 0o4750, 1000, 900),
        link("/etc/d/l", "x"),
        plan=SimulationPlan(
            Rendering({}), (ForeseenFetch("https://x", "/etc/y"),), ("/dev/b: gone",), ("a=b",), ("quiet",)
        ),
        without="/etc/old",
    )
    assert show.text(made) == (
        "node.bu on image 20261125.1\n"
        "\n"
        "files\n"
        "                               /etc/\n"
        "  + drwxr-x--T root:root         d/\n"
        "  + lrwxrwxrwx root:root           l → x\n"
        "  + -rwsr-x--- a:web     12 kB     x\n"
        "  ~ -rw-r--r-- root:root  22 B   group\n"
        "  - -rw-r--r-- root:root   0 B   old\n"
        "  ~ -rw-r--r-- root:root  62 B   passwd\n"
        "\n"
        "users\n"
        "  + a: uid 1000, group web, groups web, home /home/a, shell /bin/zsh, password locked, SSH keys 0, name A\n"
        "\n"
        "groups\n"
        "  + web: gid 900, members a\n"
        "\n"
        "kernel arguments\n"
        "  + a=b\n"
        "  - quiet\n"
        "\n"
        "fetched when the machine boots, not here\n"
        "  https://x → /etc/y, whatever it holds: no hash is given\n"
        "\n"
        "disks, which are left alone here\n"
        "  /dev/b: gone\n"
    )


def test_json_has_it_all() -> None:
    document = json.loads(json.dumps(show.document(machine(GROUPS, file("/etc/x", "x", 0o600)))))
    assert [(e["path"], e["change"]) for e in document["entries"]] == [("/etc/group", "changed"), ("/etc/x", "added")]
    assert document["entries"][1]["after"]["mode"] == "0600"
    assert document["entries"][1]["before"] is None
    assert [g["name"] for g in document["groups"]] == ["web"]


def test_nothing() -> None:
    assert show.text(machine()) == f"node.bu on image 20261125.1\n\nfiles\n  {show.NO_CHANGE}\n"


@pytest.mark.parametrize("name", ["/etc/\x1b[31m", "/etc/a\nb", "/etc/\udcff"])
def test_a_terminal_gets_what_it_can_show(name: str) -> None:
    made = show.text(machine(file(name)))
    assert "\x1b" not in made
    assert made.count("\n") == show.text(machine(file("/etc/plain"))).count("\n")
    made.encode()


def test_against() -> None:
    one = machine(file("/etc/x", "x\n"), plan=SimulationPlan(Rendering({}), disks=("same", "old")))
    two = machine(file("/etc/x", "y\n"), GROUPS, plan=SimulationPlan(Rendering({}), disks=("same", "new")))
    assert against.text(one, two) == (
        "node.bu against node.bu, on image 20261125.1\n"
        "\n"
        "files\n"
        "                              /etc/\n"
        "  ~ -rw-r--r-- root:root 22 B   group\n"
        "  ~ -rw-r--r-- root:root  2 B   x\n"
        "\n"
        "groups\n"
        "  + web: gid 900, members a\n"
        "\n"
        "disks, which are left alone here\n"
        "  - old\n"
        "  + new\n"
        "\n"
        "--- node.bu/etc/group\n"
        "+++ node.bu/etc/group\n"
        "@@ -1 +1,2 @@\n"
        " root:x:0:\n"
        "+web:x:900:a\n"
        "--- node.bu/etc/x\n"
        "+++ node.bu/etc/x\n"
        "@@ -1 +1 @@\n"
        "-x\n"
        "+y\n"
    )
    assert against.SAME in against.text(one, one)
    json.dumps(against.document(one, two))
