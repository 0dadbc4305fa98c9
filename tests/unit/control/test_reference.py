from __future__ import annotations

from pathlib import Path

from orlop.control.api.reference import markdown
from orlop.control.api.routes import ROUTES, STREAMS
from orlop.model.cluster.access import Right

PAGE = Path(__file__).parents[3] / "docs/protocol/control-api.md"


def test_the_page_is_made_from_the_tables() -> None:
    command = "python -m orlop.control.api.reference > docs/protocol/control-api.md"
    assert PAGE.read_text() == markdown(), command


def test_every_right_is_asked_for_by_a_route() -> None:
    asked = {route.right for route in ROUTES} | {right for _, right, _, _ in STREAMS}
    assert asked - {None} == set(Right)
