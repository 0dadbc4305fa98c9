"""The table of counted boots, and its place in the docs."""

from __future__ import annotations

from pathlib import Path

import pytest

from bench.boot.counted import BEGIN, END, Counted, facts, table, write_docs
from orlop.errors import BadInput
from orlop.lab.counted.borders import PHASES
from orlop.lab.counted.cost import Cost, Phase

REPOSITORY = Path(__file__).parents[2]


def cost(millions: float, *names: str) -> Cost:
    return Cost({name: Phase(millions, 2.0) for name in names})


ORLOP = Counted([cost(100, *PHASES), cost(102, *PHASES)], [cost(50, *PHASES), cost(50, *PHASES)])
PEER = Counted([cost(400, "kernel", "container")] * 2, [cost(300, "kernel", "container")] * 2)


def test_the_table_has_a_line_a_phase_and_what_is_missing_is_empty() -> None:
    lines = [
        [cell.strip() for cell in line.strip("|").split("|")]
        for line in table({"orlop": ORLOP, "peer": PEER}).splitlines()
    ]
    assert lines[0][2:] == ["orlop, first boot", "peer, first boot", "orlop, later boot", "peer, later boot"]
    by_name = {line[0]: line[2:] for line in lines[2:]}
    assert list(by_name) == [*PHASES, "**in all**", "2 runs differ by"]
    assert by_name["usr"] == ["0.10 G, 2.0 s", "", "0.05 G, 2.0 s", ""]
    assert by_name["**in all**"] == ["1.01 G, 20.0 s", "0.80 G, 4.0 s", "0.50 G, 20.0 s", "0.60 G, 4.0 s"]
    assert by_name["2 runs differ by"] == ["2.0%", "0.0%", "0.0%", "0.0%"]


def test_figures_are_in_instructions() -> None:
    assert ORLOP.values() == {"first_boot": pytest.approx(1010e6), "later_boot": pytest.approx(500e6)}


@pytest.mark.parametrize(("millions", "still"), [(101.9, True), (103, False)])
def test_boots_that_do_not_agree_are_told(millions: float, still: bool) -> None:
    found = facts({"orlop": Counted([cost(100, *PHASES), cost(millions, *PHASES)], [cost(50, *PHASES)])})
    assert ("counted boots" not in found) == still


def test_the_docs_have_a_place_for_the_table(tmp_path: Path) -> None:
    page = tmp_path / "bench.md"
    page.write_text((REPOSITORY / "docs/bench.md").read_text())
    before, after = page.read_text().split(BEGIN)[0], page.read_text().split(END)[1]
    for text in ("one", "two"):
        write_docs(page, text)
        assert page.read_text() == f"{before}{BEGIN}\n\n{text}\n\n{END}{after}"
    page.write_text(before)
    with pytest.raises(BadInput, match="where this belongs"):
        write_docs(page, "three")
