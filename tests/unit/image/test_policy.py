"""The text of the SELinux policy: lists become rules, tables become facts, and what is wrong has its line."""

from __future__ import annotations

import re
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from orlop.errors import BadInput
from orlop.image import policy

TOP = Path("os/selinux").resolve()
names = st.lists(st.from_regex(r"[a-z]{1,6}_t", fullmatch=True), min_size=1, max_size=4)


@given(names, names)
def test_a_rule_for_each_pair(subjects: list[str], targets: list[str]) -> None:
    text = f"(allow ({' '.join(subjects)}) ({' '.join(targets)}) (file (read))) ; why (not"
    rules = policy.expand(text).splitlines()
    assert rules == [f"(allow {a} {b} (file (read)))" for a in subjects for b in targets]


def test_what_is_no_rule_stays_as_it_is() -> None:
    text = "(type a_t)\n(typeattributeset x (and (a) (not (b_t)))) ; two\n(allow a_t self rw)"
    assert policy.expand(text).splitlines() == [
        "(type a_t)",
        "(typeattributeset x (and (a) (not (b_t))))",
        "(allow a_t self rw)",
    ]


@pytest.mark.parametrize(
    ("text", "words"),
    [("(type a_t))", "line 1: this bracket closes nothing"), ("\n(type a_t", "begins in line 2 is not closed")],
)
def test_brackets_match(text: str, words: str) -> None:
    with pytest.raises(BadInput, match=words):
        policy.expand(text)


@pytest.mark.parametrize(
    ("table", "line"), [("file(none) read", 1), ("# a\n(file) read\nfile[file]", 3), ("a b c\n! x", 2)]
)
def test_a_table_that_is_wrong_is_refused_with_its_line(table: str, line: int) -> None:
    with pytest.raises(BadInput, match=f"line {line}:"):
        policy.classes(table)


def test_every_class_of_the_kernel_has_permissions_and_not_too_many() -> None:
    """The kernel keeps them in 32 bits."""
    shared, known = policy.classes((TOP / "classes").read_text())
    for name, (of, own) in known.items():
        every = [*shared.get(of, []), *own]
        assert 0 < len(every) <= 32, name
        assert len(set(every)) == len(every), name


def test_every_domain_and_file_has_a_type_that_is_declared() -> None:
    declared = set(re.findall(r"\(type (\w+)\)", (TOP / "policy/10-types.cil").read_text()))
    used = re.findall(r":(\w+_t):s0", (TOP / "file_contexts").read_text())
    used += [kind for _, kind in policy.initial_labels((TOP / "sids").read_text())]
    for path in Path("os/mkosi.extra/usr/lib/systemd/system").glob("*.service"):
        used += re.findall(r"^SELinuxContext=system_u:system_r:(\w+):s0$", path.read_text(), re.MULTILINE)
    assert set(used) <= declared
    assert len(declared) > 60


def test_every_unit_of_ours_has_a_domain_of_its_own() -> None:
    """Save those whose program brings one: udevadm, fsck, and networkctl, which only asks networkd. What places units
    of the cluster's is as what process 1 starts: it writes units, which no narrower domain may.
    """
    by_program = {"orlop-devices.service", "orlop-esp-check.service", "orlop-network-storage.service"}
    by_program |= {"orlop-units-asked.service"}
    for path in Path("os/mkosi.extra/usr/lib/systemd/system").glob("orlop-*.service"):
        assert ("SELinuxContext=" in path.read_text()) == (path.name not in by_program), path.name


def test_the_labels_of_usr_as_they_are_inside_the_image() -> None:
    contexts = "# x\n/.*\tr\n/usr(/.*)?\tos\n/usr/bin/podman\t--\tpodman\n/var(/.*)?\tv\n"
    assert policy.below_usr(contexts) == "(/.*)?\tos\n/bin/podman\t--\tpodman\n"


def test_the_kernel_is_told_to_enforce() -> None:
    assert policy.enforced(["ro", "lsm=landlock,yama", "quiet"]) == [
        "ro",
        "lsm=landlock,yama,selinux",
        "quiet",
        "enforcing=1",
    ]
    with pytest.raises(BadInput, match="no lsm="):
        policy.enforced(["ro"])
