"""Decisions and words: a decision has a number, a status and a date; the lists of both are whole and in order."""

from __future__ import annotations

import re
from datetime import date
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
ADR = ROOT / "docs/adr"
DECISIONS = sorted(ADR.glob("[0-9]*.md"))
NUMBERS = [path.name[:4] for path in DECISIONS]
HEAD = re.compile(r"# (\d{4}) · (\S.*)\n\n- Status: (.+)\n- Date: (\d{4}-\d\d-\d\d)\n")
STATUS = re.compile(r"proposed|accepted|superseded by \[(\d{4})\]\((\1-[a-z0-9-]+\.md)\)")


def head(path: Path) -> re.Match[str]:
    found = HEAD.match(path.read_text())
    assert found, f"{path.relative_to(ROOT)} must begin as docs/adr/template.md does"
    return found


def test_numbers_are_their_own_and_leave_no_gap() -> None:
    assert [f"{n:04}" for n in range(1, len(NUMBERS) + 1)] == NUMBERS


@pytest.mark.parametrize("path", DECISIONS, ids=NUMBERS)
def test_a_decision_begins_as_the_template_says(path: Path) -> None:
    number, _, status, day = head(path).groups()
    assert number == path.name[:4]
    date.fromisoformat(day)
    meant = STATUS.fullmatch(status)
    assert meant, f"{status!r} is not a valid status"
    assert meant[2] is None or (ADR / meant[2]).is_file()


def test_the_list_names_every_decision_with_its_date_and_status() -> None:
    rows = [line for line in (ADR / "README.md").read_text().splitlines() if line.startswith("| [")]
    want = []
    for path in DECISIONS:
        number, title, status, day = head(path).groups()
        want.append(f"| [{number}]({path.name}) | {title} | {day} | {status} |")
    assert rows == want


def test_the_glossary_has_each_word_once_in_order() -> None:
    rows = [row for row in (ROOT / "docs/reference/glossary.md").read_text().splitlines() if row.startswith("| **")]
    words = [row.split("**")[1] for row in rows]
    assert words
    assert words == sorted(set(words), key=str.casefold)
    assert not [row for row in rows if not re.fullmatch(r"\| \*\*[^*]+\*\* \| [^|]+\. \|", row)]


@pytest.mark.parametrize(
    "page", ["README.md", "docs/adr/README.md", "docs/adr/template.md", "docs/reference/glossary.md"]
)
def test_links_lead_to_files(page: str) -> None:
    path = ROOT / page
    targets = re.findall(r"\]\(([^)#:]+)(?:#[^)]*)?\)", path.read_text())
    missing = [to for to in targets if "NNNN" not in to and not (path.parent / to).exists()]
    assert not missing
