"""What a machine says of a push, and what is said of it to a person; pushing is in tests/machines."""

from __future__ import annotations

from dataclasses import replace

import pytest

from orlop.cli.lab.push import lines
from orlop.errors import CommandFailed
from orlop.lab.push import Pushed, parse_answer, parse_done

SENT = Pushed("n1", "20261201.1", files=("orlop/a.py", "orlop/b.py"), changed=("orlop/b.py",), restarted=("a.service",))
DONE = """\
idle b.service
ran a.service
failed c.service
| Traceback
|   ValueError
ran orlop-health.service
verdict {"verdict": "bad", "version": "20261201.1", "boot": "0f", "reason": "failed units: c.service", "checks": []}
"""


def test_a_machine_says_its_image_and_what_it_was_given() -> None:
    assert parse_answer("n1", "20261201.1 abc\n{}\n") == ("20261201.1", "abc", {})
    assert parse_answer("n1", '20261201.1 abc\n{"orlop/a.py": "file 1"}') == (
        "20261201.1",
        "abc",
        {"orlop/a.py": "file 1"},
    )


@pytest.mark.parametrize("text", ["", "20261201.1\n{}", "20261201.1 abc\n", "20261201.1 abc\n[]", "20261201.1 abc\n{"])
def test_an_answer_that_says_no_image_is_an_error(text: str) -> None:
    with pytest.raises(CommandFailed, match="n1 does not say which image it runs"):
        parse_answer("n1", text)


def test_what_was_run_again_what_failed_and_the_verdict_are_read() -> None:
    found = parse_done(SENT, DONE)
    assert found.restarted == ("a.service", "orlop-health.service")
    assert (found.failed, found.idle) == (("c.service",), ("b.service",))
    assert (found.verdict, found.said) == ("bad: failed units: c.service", "Traceback\n  ValueError")
    assert not found.is_well
    assert parse_done(SENT, "ran a.service\n").is_well
    assert parse_done(SENT, "verdict {\n").verdict.startswith("bad")


def test_a_push_is_one_line_with_files_units_and_seconds() -> None:
    assert lines(replace(SENT, seconds=3.14), dry_run=False) == [
        "n1: 2 files of the tree differ from image 20261201.1; restarted a.service; 3.1 s"
    ]


def test_a_dry_run_names_the_files() -> None:
    assert lines(SENT, dry_run=True) == [
        "n1: 2 files of the tree differ from image 20261201.1; would restart a.service",
        "  orlop/b.py",
    ]


def test_nothing_to_do_is_said() -> None:
    same = Pushed("n1", "20261201.1", needs_image=("os/cmdline",))
    assert lines(same, dry_run=False)[0] == "n1: no files of the tree differ from image 20261201.1: nothing to do"
    assert "os/cmdline" in lines(same, dry_run=False)[-1]
    has = lines(replace(SENT, changed=(), restarted=()), dry_run=False)
    assert has == ["n1: 2 files of the tree differ from image 20261201.1, and it has them already: nothing to do"]


def test_trouble_is_said_with_its_hint_and_the_programs_last_words() -> None:
    troubled = Pushed("n2", trouble="n2 is off", hint="`orlop lab start n2` starts it", said="x")
    assert lines(troubled, dry_run=False) == [
        "    x",
        "n2: error: n2 is off",
        "n2: hint: `orlop lab start n2` starts it",
    ]
