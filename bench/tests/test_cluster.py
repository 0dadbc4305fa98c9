"""The table of the cluster, its place in the docs, and the process in the lab's network."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path

import pytest

from bench.cluster.__main__ import BEGIN, END
from bench.cluster.outside import DEEDS
from bench.cluster.scene import FIGURES, ClusterScene, OutsideRun
from bench.docs import write_between
from bench.figures import Row
from bench.lab import text
from orlop.errors import BadInput, OrlopError

REPOSITORY = Path(__file__).parents[2]


def test_each_figure_has_a_key_of_its_own_and_its_target() -> None:
    targets = {figure.key: figure.target.limit for figure, _ in FIGURES if figure.target}
    assert targets == {
        "forming": 15, "joining": 2, "leader_lost": 2, "agent_memory": 40e6, "thousand": 120e6, "control_share": 0.2,
        "writes": 0.2, "own": 1000, "fan_out": 1000, "payload": 160e6,
    }  # fmt: skip
    assert len({figure.key for figure, _ in FIGURES}) == len(FIGURES)


def test_the_table_is_aligned() -> None:
    lines = text([Row(figure, 0.5, None) for figure, _ in FIGURES]).splitlines()
    ends = {line.index("0.5 s") for line in lines if "0.5 s" in line}
    assert len(ends) == 1 and "≤ 1000 ms" in lines[-2]


def test_the_docs_have_a_place_for_it(tmp_path: Path) -> None:
    page = tmp_path / "bench.md"
    page.write_text((REPOSITORY / "docs/bench.md").read_text())
    before, after = page.read_text().split(BEGIN)[0], page.read_text().split(END)[1]
    for said in ("one", "two"):
        write_between(page, BEGIN, END, said)
        assert page.read_text() == f"{before}{BEGIN}\n\n{said}\n\n{END}{after}"
    page.write_text(before)
    with pytest.raises(BadInput, match="where this belongs"):
        write_between(page, BEGIN, END, "three")


def test_what_an_earlier_figure_found_is_what_is_shown() -> None:
    scene = object.__new__(ClusterScene)
    scene.values = {"plain": 4.0, "forming": 6.0, "joined": 30.0}
    by_key = {figure.key: function for figure, function in FIGURES}
    assert (by_key["forming_of_plain"](scene), by_key["joined"](scene)) == (1.5, 30.0)


def test_an_outside_process_that_ends_is_an_error_and_not_a_wait() -> None:
    code = "import sys; sys.stdin.readline(); print('{\"ready\": 1}', flush=True); sys.stdin.readline()"
    with subprocess.Popen([sys.executable, "-c", code], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True) as p:
        run = OutsideRun(p)
        run.send(json.dumps({}))
        assert run.hear() == {"ready": 1}
        run.go_on()
        with pytest.raises(OrlopError, match="ended with 0"):
            run.hear()
    assert set(DEEDS) == {"write", "crowd", "fan_out"}
