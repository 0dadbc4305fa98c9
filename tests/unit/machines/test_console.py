"""Lines as real consoles write them, and any text at all."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from orlop.machines.console import (
    BootStage,
    Verdict,
    describe,
    failures,
    last_boot,
    modified,
    plain,
    problems,
    stage,
    tail,
    verdicts,
    waiting,
)

FIRMWARE = (
    '\x1b[2J\x1b[01;01H\x1b[=3h\x1b[2J\x1b[01;01HBdsDxe: loading Boot0001 "UEFI Misc Device" from PciRoot(0x0)\r\n'
    'BdsDxe: starting Boot0001 "UEFI Misc Device" from PciRoot(0x0)\r\n'
)
RESET = "\x1b[!p\x1b]104\x07\x1b[?7h"
GOOD = "orlop-health: verdict=good version=20261123.5 boot=c5bd5670f10f471190e133b108a7583a\r\n"
BAD = 'orlop-health: verdict=bad version=20261123.5 boot=aa11 reason="failed units: a.service; no \\"x\\""\r\n'

TROUBLE = [
    ("kernel panic", "[    1.2] Kernel panic - not syncing: Attempted to kill init! exitcode=0x00000100"),
    ("kernel panic", "---[ end Kernel panic - not syncing: Fatal exception ]---"),
    ("oops", "[    3.1] Oops: Oops: 0000 [#1] PREEMPT SMP NOPTI"),
    ("kernel bug", "[    3.1] BUG: kernel NULL pointer dereference, address: 0000000000000008"),
    ("kernel bug", "kernel BUG at mm/slub.c:4000!"),
    ("verity", "[    9.9] device-mapper: verity: 254:3: data block 4711 is corrupted"),
    ("verity", "device-mapper: verity: 254:3: metadata block 16 is corrupted"),
    ("verity", "Kernel says: dm-verity device corruption"),
    ("out of memory", "[   25.0] Out of memory: Killed process 178 ((udev-worker)) total-vm:18916kB, anon-rss:1368kB"),
    ("failed to start", "[\x1b[0;1;31mFAILED\x1b[0m] Failed to start \x1b[0;1;39mweb.service\x1b[0m - Web."),
    ("failed to start", "systemd[1]: Failed to mount var.mount - /var."),
    ("failed to start", "[FAILED] Something else went wrong."),
    ("dependency failed", "[\x1b[0;1;38:5:185mDEPEND\x1b[0m] Dependency failed for \x1b[0;1;39mvar.mount\x1b[0m."),
    ("ordering cycle", "[\x1b[0;1;31m SKIP \x1b[0m] Ordering cycle found, skipping \x1b[0;1;39msockets.target\x1b[0m"),
    ("ordering cycle", "systemd[1]: a.service: Found ordering cycle on b.service/start"),
    ("emergency mode", "You are in emergency mode. After logging in, type ..."),
    ("emergency mode", "[  OK  ] Reached target emergency.target - Emergency Mode."),
    ("init froze", "systemd[1]: Freezing execution."),
]

HARMLESS = [
    "[  OK  ] Started web.service - Web.",
    "[    0.0] Kernel command line: root=tmpfs panic=10 oops=panic",
    "[    0.5] DEBUG: nothing",
    "systemd[1]: systemd-emergency-thing.slice",
    "verity: sha256 using implementation sha256-generic",
    "[  OK  ] Stopped target emergency.target.",
    "A start job is running for a.service (5s / 1min 30s)",
]


@pytest.mark.parametrize(("kind", "line"), TROUBLE)
def test_trouble_is_found_in_real_lines(kind: str, line: str) -> None:
    found = problems(f"before\r\n{line}\r\nafter\r\n")
    assert [(p.kind, p.line, p.fails) for p in found] == [(kind, 2, True)]
    assert "\x1b" not in found[0].text


@pytest.mark.parametrize("line", HARMLESS)
def test_harmless_lines_are_not_problems(line: str) -> None:
    assert problems(line) == []


def test_a_line_that_was_overwritten_by_a_carriage_return_still_counts() -> None:
    found = problems("[***   ] job\rKernel panic - not syncing: x\r[ ***  ] job")
    assert [p.kind for p in found] == ["kernel panic"]


def test_denials_fail_only_where_selinux_enforces() -> None:
    permissive = 'audit: avc:  denied  { read } for  pid=1 comm="x" scontext=a tcontext=b tclass=file permissive=1\n'
    unknown = 'audit: avc:  denied  { read } for  pid=1 comm="x" tclass=file\n'
    assert [p.fails for p in problems(permissive + unknown)] == [False, False]
    assert [p.fails for p in problems(permissive.replace("=1\n", "=0\n"))] == [True]
    assert [p.fails for p in problems("audit: enforcing=1 old_enforcing=0\n" + unknown + permissive)] == [True, False]
    assert failures(permissive) == []


def test_a_description_names_line_kind_and_text() -> None:
    assert describe(problems("x\nFreezing execution.\n")) == "line 2: init froze: Freezing execution."


def test_verdicts_of_a_whole_console() -> None:
    assert verdicts(FIRMWARE + GOOD + BAD) == [
        Verdict(True, "20261123.5", "c5bd5670f10f471190e133b108a7583a"),
        Verdict(False, "20261123.5", "aa11", 'failed units: a.service; no \\"x\\"'),
    ]


def test_an_unfinished_line_is_no_verdict_yet() -> None:
    assert verdicts(GOOD.rstrip()) == []
    for cut in range(len(BAD) - 1):
        assert verdicts(BAD[:cut]) == []


def test_a_verdict_is_read_behind_a_kernel_time_stamp() -> None:
    assert [v.good for v in verdicts("[   12.3] " + GOOD)] == [True]


def test_of_a_boot_that_was_judged_again_the_last_verdict_counts() -> None:
    assert [
        (v.good, v.reason) for v in verdicts(GOOD + GOOD.replace("good", "bad").replace("\r", ' reason="x"\r'))
    ] == [(False, "x")]


@pytest.mark.parametrize(
    ("said", "count"),
    [
        ("", 0),
        ("orlop-lab: modified: 3 files\r\n", 3),
        ("orlop-lab: modified: 3 files\r\n[ 99.0] x\r\norlop-lab: modified: 12 files\r\n", 12),
        ("orlop-lab: modified: 3 files\r\norlop-lab: modified: 0 files\r\n", 0),
        ("orlop-lab: modified: 3 files\r\norlop-lab: modified: 4", 3),
        ("\x1b[0morlop-lab: modified: 3 files\r\n", 3),
        ("somebody says orlop-lab: modified: 3 files\r\n", 0),
    ],
)
def test_what_was_pushed_is_on_the_console(said: str, count: int) -> None:
    assert modified(FIRMWARE + RESET + GOOD + said) == count


def test_the_next_boot_knows_nothing_of_what_was_pushed() -> None:
    before = FIRMWARE + RESET + GOOD + "orlop-lab: modified: 3 files\r\n"
    assert modified(last_boot(before)) == 3
    assert modified(last_boot(before + FIRMWARE + RESET)) == 0


def test_the_stages_of_a_quiet_boot() -> None:
    steps = [("", BootStage.OFF), ("\x1b[2J\x1b[01;01H \r\n", BootStage.FIRMWARE)]
    text = FIRMWARE
    steps.append((text, BootStage.LOADER))
    for more, expected in ((RESET, BootStage.INITRD), (RESET, BootStage.SYSTEM), (GOOD, BootStage.JUDGED)):
        text += more
        steps.append((text, expected))
    assert [(t, stage(t)) for t, _ in steps] == [(t, s) for t, s in steps]


def test_the_stages_of_a_talking_boot() -> None:
    text = FIRMWARE + "EFI stub: Loaded initrd\r\nLinux version 6.12\r\n"
    assert stage(text) is BootStage.KERNEL
    text += "Welcome to Orlop 20261123.5 (Initramfs)!\r\n"
    assert stage(text) is BootStage.INITRD
    assert stage(text + "Welcome to \x1b[1mOrlop 20261123.5\x1b[0m!\r\n") is BootStage.SYSTEM


def test_the_last_boot_begins_where_the_firmware_spoke_again() -> None:
    second = FIRMWARE + RESET + GOOD.replace("c5bd", "0000")
    text = FIRMWARE + RESET + RESET + GOOD + "reboot: Restarting system\r\n" + second
    assert last_boot(text) == second
    assert last_boot(second) == second


def test_the_tail_skips_empty_lines() -> None:
    assert tail("a\r\n\r\n\x1b[0m\r\nb\r\nc", 2) == "b\nc"


PIECES = st.sampled_from(
    [FIRMWARE, RESET, GOOD, BAD, "\r", "\n", "\x1b", "\x1b[", "\x1b]", "\x07", *[t for _, t in TROUBLE]]
)
TEXTS = st.lists(st.one_of(PIECES, st.text(max_size=12)), max_size=20).map("".join)


@given(TEXTS)
def test_any_text_is_read_without_an_error(text: str) -> None:
    lines = plain(text).split("\n")
    for problem in problems(text):
        assert problem.text in lines[problem.line - 1]
    verdicts(text)
    modified(text)
    assert isinstance(stage(text), BootStage)
    assert text.endswith(last_boot(text))


@given(TEXTS, st.sampled_from(TROUBLE))
def test_trouble_is_found_wherever_it_stands(before: str, trouble: tuple[str, str]) -> None:
    kind, line = trouble
    # a string sequence that was never ended may swallow what follows up to the next escape
    assert kind in [p.kind for p in problems(before + "\x1b\\\n" + line + "\r\n")]


@given(st.text(alphabet=st.characters(blacklist_categories=["Cc", "Cs", "Zl", "Zp"])))
def test_plain_text_stays_as_it_is(text: str) -> None:
    assert plain(text) == text


def test_what_a_boot_waits_for() -> None:
    said = "orlop-health: waiting up to 900 s for what is wrong around this machine: the network is not up: nic0\r\n"
    assert waiting(said) == "the network is not up: nic0"
    assert waiting(GOOD + BAD) == ""
