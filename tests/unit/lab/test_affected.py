"""Which units a changed file concerns, on small trees and on the tree that is here."""

from __future__ import annotations

from collections.abc import Collection

import pytest

from orlop.lab.affected import GONE, UNITS, USR, Effects, can_be_pushed, differences, effects, unseen
from orlop.lab.layer import Tree
from orlop.workspace import Workspace

TEXTS = {
    UNITS + "a.service": "[Service]\nExecStart=/usr/lib/orlop/run-a --fast\n",
    UNITS + "a.socket": "[Socket]\nListenStream=/run/a\n",
    UNITS + "b.service": "[Service]\nType=notify\nExecStart=/usr/bin/python3 -I -m orlop.node.b\n",
    UNITS + "c.service": "[Service]\nType=oneshot\nExecStart=/usr/lib/orlop/c\nExecStop=/usr/lib/orlop/c closed\n",
    UNITS + "d.mount": "[Mount]\nWhat=/usr/lib/orlop/run-a\n",
    UNITS + "orlop-health.service": "[Service]\nType=oneshot\nExecStart=/usr/lib/orlop/words\n",
    UNITS + "z.service": "[Service]\nExecStart=/usr/lib/orlop/words\n",
    UNITS + "late.target": "[Unit]\n",
    USR + "lib/orlop/run-a": "#!/bin/sh\n. /usr/lib/orlop/words\n",
    USR + "lib/orlop/run": "#!/bin/sh\n",
    USR + "lib/orlop/words": "say() { echo; }\n",
    USR + "lib/orlop/c": "#!/bin/sh\n",
}
MODULES = {"orlop.node.b": ("orlop/node/b.py", "orlop/model/c.py")}


def effects_of(*changed: str) -> Effects:
    def reach(program: str) -> Collection[str]:
        return MODULES[program]

    return effects(changed, TEXTS, reach)


@pytest.mark.parametrize(
    ("changed", "restart"),
    [
        (UNITS + "a.service", ["a.service"]),
        (UNITS + "a.socket", ["a.socket"]),
        (UNITS + "b.service.d/10-more.conf", ["b.service"]),
        (USR + "lib/orlop/run-a", ["a.service"]),
        (USR + "lib/orlop/run", []),
        ("orlop/model/c.py", ["b.service"]),
        ("orlop/model/other.py", []),
        (UNITS + "d.mount", []),
        (UNITS + "late.target", []),
    ],
)
def test_a_unit_is_restarted_for_what_it_is_made_of_and_what_it_runs(changed: str, restart: list[str]) -> None:
    assert list(effects_of(changed).restart) == restart


def test_what_a_script_reads_concerns_its_unit_and_the_judge_of_all_comes_last() -> None:
    assert effects_of(USR + "lib/orlop/words").restart == ("a.service", "z.service", "orlop-health.service")


def test_what_marks_a_beginning_and_an_end_is_left_alone() -> None:
    found = effects_of(USR + "lib/orlop/c")
    assert (found.restart, found.left) == ((), ("c.service",))


def test_systemd_reads_its_units_anew_only_when_one_changed() -> None:
    assert effects_of(UNITS + "multi-user.target.wants/late.target").units
    assert not effects_of(USR + "lib/orlop/words", "orlop/model/c.py").units


def test_services_of_systemds_read_their_files_again() -> None:
    found = effects_of(USR + "lib/sysctl.d/60-orlop.conf", USR + "lib/systemd/network/80-orlop-dhcp.network")
    assert (found.restart, found.reread) == ((), ("systemd-networkd.service", "systemd-sysctl.service"))


def test_differences_are_what_is_new_what_is_changed_and_what_is_gone() -> None:
    assert differences({"a": "1", "b": "2", "c": "3"}, {"b": "2", "c": "4", "d": "5"}) == {
        "a": "1",
        "c": "3",
        "d": GONE,
    }
    assert differences({"a": "1"}, {"a": "1"}) == {}


@pytest.mark.parametrize(
    ("path", "can"),
    [
        ("orlop/node/drift/diff.py", True),
        (USR + "bin/orlop", True),
        (USR + "lib/systemd/journald.conf.d/10-orlop.conf", True),
        ("orlop/image/seal.py", False),
        ("tuf/api/metadata.py", False),
        ("os/initrd/files.list", False),
        ("os/mkosi.extra/etc/pam.d/sshd", False),
        (USR + "lib/tmpfiles.d/orlop.conf", False),
    ],
)
def test_what_counts_at_a_boot_alone_is_not_pushed(path: str, can: bool) -> None:
    assert can_be_pushed(path) is can


@pytest.fixture(scope="module")
def tree() -> Tree:
    return Tree(Workspace.find().root)


def test_in_the_tree_that_is_here(tree: Tree) -> None:
    def concerned(path: str) -> tuple[str, ...]:
        assert path in tree.files
        return effects([path], tree.texts, tree.reach).restart

    assert concerned("orlop/node/update/loop.py") == ("orlop-update.service",)
    assert concerned("orlop/node/drift/diff.py") == ()
    readers = ("orlop-health-guard.service", "orlop-watch.service", "orlop-health.service")
    assert concerned(USR + "lib/orlop/health-user") == readers
    assert effects([USR + "lib/orlop/failures"], tree.texts, tree.reach).left == ("orlop-failures.service",)


def test_modules_of_the_initrd_alone_are_told_from_others(tree: Tree) -> None:
    paths = ("orlop/node/config/run.py", "orlop/node/drift/diff.py", "orlop/errors.py", USR + "bin/orlop")
    assert unseen(paths, tree.used) == ["orlop/node/config/run.py"]
