"""Channels to test with: short ways to write them, and every valid one for hypothesis."""

from __future__ import annotations

from datetime import UTC, date, datetime, timedelta

from hypothesis import strategies as st

from orlop.model.release.channel import Channel, Entry, PullBack, ReleaseImage, channel_trouble, index_target
from orlop.model.release.rollout import WHOLE, Rollout, Wave
from orlop.model.words.version import Version

NOW = datetime(2026, 12, 1, 12, tzinfo=UTC)
HOUR = timedelta(hours=1)
SECRET = b"k" * 32
DONE = Rollout(NOW - 100 * HOUR, (Wave(60, WHOLE),))


def v(number: int) -> Version:
    return Version(date(2026, 12, 1), number)


def entry(
    number: int, rollout: Rollout = DONE, *, channel: str = "stable", arches: tuple[str, ...] = ("x86-64",),
    notes: str = "", floor: str = "", dead_end: str = "", halt: str = "",
    pull_back: PullBack | None = None, groups: tuple[tuple[str, Rollout], ...] = (),
) -> Entry:  # fmt: skip
    images = tuple(ReleaseImage(arch, index_target(channel, v(number), arch), 1000) for arch in arches)
    return Entry(
        v(number), NOW, images, rollout, "0" * 64,
        notes=notes, floor=floor, dead_end=dead_end, halt=halt, pull_back=pull_back, groups=groups,
    )  # fmt: skip


def channel(*entries: Entry, minimum: int | None = None, name: str = "stable") -> Channel:
    return Channel(name, NOW, tuple(entries), None if minimum is None else v(minimum))


moments = st.integers(-500_000, 500_000).map(lambda s: NOW + timedelta(seconds=s))
reasons = st.text(st.characters(codec="utf-8", categories=["L", "N", "P"]), min_size=1, max_size=20)


@st.composite
def rollouts(draw: st.DrawFn, *, halted: bool = False) -> Rollout:
    count = draw(st.integers(0, 4))
    base = draw(st.integers(0, 500_000))
    minutes = sorted(draw(st.sets(st.integers(1, 10_000), min_size=count, max_size=count)))
    shares = sorted(draw(st.sets(st.integers(base + 1, WHOLE), min_size=count, max_size=count)))
    start = draw(moments)
    return Rollout(
        start,
        tuple(map(Wave, minutes, shares)),
        base,
        draw(st.integers(0, 100_000)),
        draw(moments) if halted else None,
    )


@st.composite
def entries(draw: st.DrawFn, number: int, lower: tuple[int, ...]) -> Entry:
    halted = draw(st.booleans())
    back = None
    if lower and draw(st.integers(0, 3)) == 0:
        back = PullBack(v(draw(st.sampled_from(lower))), draw(reasons), draw(rollouts()))
    return entry(
        number,
        draw(rollouts(halted=halted)),
        arches=draw(st.sampled_from([("x86-64",), ("arm64",), ("arm64", "x86-64")])),
        notes=draw(st.just("") | reasons),
        floor="" if back else draw(st.just("") | reasons),
        dead_end=draw(st.just("") | st.just("") | reasons),
        halt=draw(reasons) if halted else "",
        pull_back=back,
        groups=(("canary", draw(rollouts(halted=halted))),) if draw(st.booleans()) else (),
    )


@st.composite
def channels(draw: st.DrawFn) -> Channel:
    numbers = sorted(draw(st.sets(st.integers(0, 20), max_size=6)))
    made: list[Entry] = []
    for n in numbers:
        good = tuple(e.version.number for e in made if e.pull_back is None)
        made.append(draw(entries(n, good)))
    found = channel(*made, minimum=draw(st.none() | st.sampled_from(numbers)) if numbers else None)
    return found if not channel_trouble(found) else channel(*made)
