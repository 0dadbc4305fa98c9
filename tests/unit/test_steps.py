"""What a person sees of the steps, and what is kept of them."""

from __future__ import annotations

import io
from collections.abc import Callable, Iterator

import pytest

from orlop.steps import Steps


def ticking() -> Callable[[], float]:
    """A clock that goes on by one second each time it is read."""
    times: Iterator[float] = iter(range(1000))
    return lambda: float(next(times))


def test_steps_are_an_indented_tree_with_times() -> None:
    out = io.StringIO()
    steps = Steps(out=out, clock=ticking())
    with steps.step("Outer"):
        steps.note("on the way")
        with steps.step("Inner"):
            pass
    assert out.getvalue().splitlines() == [
        "‣ Outer",
        "  on the way",
        "  ‣ Inner",
        "  ✓ Inner: 1.0 s",
        "✓ Outer: 3.0 s",
    ]
    assert steps.done == [("Inner", 1.0), ("Outer", 3.0)]


def test_a_failed_step_is_closed_and_the_error_goes_on() -> None:
    out = io.StringIO()
    steps = Steps(out=out, clock=ticking())
    with pytest.raises(KeyboardInterrupt), steps.step("It"):
        raise KeyboardInterrupt
    assert out.getvalue() == "‣ It\n✗ It: 1.0 s\n"
    with steps.step("Next"):
        pass
    assert "\n‣ Next\n" in out.getvalue()


def test_quiet_keeps_the_record() -> None:
    out = io.StringIO()
    steps = Steps(out=out, quiet=True, clock=ticking())
    with steps.step("It"):
        steps.note("unseen")
    assert out.getvalue() == ""
    assert steps.done == [("It", 1.0)]


def test_output_goes_to_stderr(capsys: pytest.CaptureFixture[str]) -> None:
    with Steps().step("It"):
        pass
    seen = capsys.readouterr()
    assert seen.out == ""
    assert seen.err.startswith("‣ It\n✓ It: ")
