from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from datetime import timedelta

import pytest
from hypothesis import given
from hypothesis import strategies as st

from orlop.errors import BadInput, OrlopError
from orlop.model.release.channel import MAX_VERSIONS, Channel, PullBack, decode, encode
from orlop.model.release.policy import Go, Machine, Stay, answer
from orlop.model.release.rollout import PLANS, WHOLE, Rollout, Wave
from orlop.publish.channels import edits
from orlop.publish.channels.preview import preview
from tests.unit.model.release.channels import DONE, HOUR, NOW, SECRET, channel, channels, entry, v

FAST = PLANS["fast"][0]
EDITS: dict[str, Callable[[Channel], Channel]] = {
    "publish": lambda c: edits.publish(c, entry(99), NOW),
    "wave": lambda c: edits.wave(c, None, FAST, NOW),
    "wave of a group": lambda c: edits.wave(c, None, FAST, NOW, "canary"),
    "halt": lambda c: edits.halt(c, None, "why", NOW),
    "resume": lambda c: edits.resume(c, None, NOW),
    "pull back": lambda c: edits.pull_back(c, None, None, "why", FAST, NOW),
    "floor": lambda c: edits.floor(c, None, "why", NOW),
    "dead end": lambda c: edits.dead_end(c, None, "why", NOW),
    "forget": lambda c: edits.forget(c, 2, NOW)[0],
}


@given(channels(), st.lists(st.sampled_from(sorted(EDITS)), min_size=1, max_size=4))
def test_an_edit_is_refused_or_keeps_every_rule(one: Channel, names: list[str]) -> None:
    for name in names:
        try:
            one = EDITS[name](one)
        except BadInput:
            continue
        assert decode(encode(one), "stable") == one


@given(channels(), st.sampled_from(["wave", "halt", "resume"]), st.integers(0, 400_000))
def test_an_edit_of_a_rollout_makes_no_jump(one: Channel, name: str, later: int) -> None:
    now = NOW + timedelta(seconds=later)
    before = one.newest
    if before is None or before.rollout.start > NOW:
        return
    try:
        after = EDITS[name](one).newest
    except BadInput:
        return
    assert after is not None
    assert after.rollout.share(NOW) == pytest.approx(before.rollout.share(NOW), abs=2e-6)
    assert after.rollout.share(now) >= after.rollout.share(NOW)


def test_halt_and_resume_take_time_out_of_the_rollout() -> None:
    one = channel(entry(1), entry(2, Rollout(NOW, (Wave(600, WHOLE),))))
    halted = edits.halt(one, None, "crashes", NOW + 2 * HOUR)
    machine = Machine(v(1), "stable", SECRET)
    assert isinstance(answer(halted, machine, NOW + 90 * HOUR), Stay)
    resumed = edits.resume(halted, None, NOW + 90 * HOUR)
    assert resumed.newest is not None
    assert resumed.newest.rollout.share(NOW + 90 * HOUR) == pytest.approx(0.2)
    assert isinstance(answer(resumed, machine, NOW + 98.1 * HOUR), Go)


def test_pull_back_leads_to_the_newest_good_version_below() -> None:
    one = channel(entry(1), entry(2, pull_back=PullBack(v(1), "old", DONE)), entry(3, floor="keys"))
    made = edits.pull_back(one, None, None, "crashes", FAST, NOW)
    found = made.entry(v(3))
    assert found is not None
    assert found.pull_back is not None
    assert (found.pull_back.to, found.pull_back.reason, found.floor) == (v(1), "crashes", "")
    assert made.newest is not None
    assert made.newest.version == v(1)


def test_pull_back_leads_past_halted_versions_and_dead_ends() -> None:
    one = channel(entry(1), entry(2, DONE.halt(NOW), halt="kills disks"), entry(3, dead_end="no way on"), entry(4))
    made = edits.pull_back(one, None, None, "crashes", FAST, NOW)
    back = made.entries[-1].pull_back
    assert back is not None
    assert back.to == v(1)
    for to, why in ((v(2), r"halted \(kills disks\)"), (v(3), r"a dead end \(no way on\)")):
        with pytest.raises(BadInput, match=f"cannot be pulled back to {to}: it is {why}") as e:
            edits.pull_back(one, None, to, "crashes", FAST, NOW)
        assert "good ones are 20261201.1" in e.value.hint
    halted = channel(entry(1, DONE.halt(NOW), halt="kills disks"), entry(2))
    with pytest.raises(BadInput, match="has no lower version to go to that is good"):
        edits.pull_back(halted, None, None, "crashes", FAST, NOW)


def test_promotion_takes_image_and_notes_and_nothing_of_the_rollout() -> None:
    source = channel(entry(1, channel="alpha", notes="quiet", floor="keys", groups=(("canary", DONE),)), name="alpha")
    made = edits.promote(source, channel(), None, FAST, NOW + HOUR)
    found = made.newest
    assert found is not None
    assert found.images[0].index == "stable/20261201.1.x86-64.index.json"
    assert (found.notes, found.floor, found.groups) == ("quiet", "keys", ())
    assert found.rollout == Rollout(NOW + HOUR, FAST)
    assert found.sbom == source.entries[0].sbom


def test_promotion_does_not_leap_over_a_floor() -> None:
    def on(name: str, *numbers: int) -> Channel:
        floors = {2: "new keys", 4: "new disks"}
        return channel(*(entry(n, channel=name, floor=floors.get(n, "")) for n in numbers), name=name)

    alpha = on("alpha", 1, 2, 3, 4, 5)
    steps = [(on("beta", 1), 5, 2), (on("beta", 1), 3, 2), (on("beta"), 3, 2), (on("beta", 1, 2, 3), 5, 4)]
    for beta, wanted, floor in steps:
        with pytest.raises(BadInput, match=rf"must pass through {v(floor)} on the way to {v(wanted)} \(new") as e:
            edits.promote(alpha, beta, v(wanted), FAST, NOW)
        assert e.value.hint == f"first: orlop release promote alpha beta --version {v(floor)}"
        made = edits.promote(alpha, beta, v(floor), FAST, NOW)
        assert [x.version for x in made.entries if x.floor][-1] == v(floor)
    made = edits.promote(alpha, edits.promote(alpha, on("beta", 1), v(2), FAST, NOW), v(3), FAST, NOW)
    machine = Machine(v(1), "beta", SECRET)
    go = answer(made, machine, NOW + 1000 * HOUR)
    assert isinstance(go, Go)
    assert go.version == v(2)
    edits.promote(alpha, on("beta", 1, 3), v(4), FAST, NOW)  # what was leapt over before is not asked for again


REFUSED: list[tuple[str, Callable[[], object]]] = [
    ("has no 20261201.9", lambda: edits.halt(channel(entry(1)), v(9), "x", NOW)),
    ("channel stable has no version", lambda: edits.halt(channel(), None, "x", NOW)),
    ("is not newer", lambda: edits.publish(channel(entry(2)), entry(1), NOW)),
    ("is halted already", lambda: edits.halt(channel(entry(1, DONE.halt(NOW), halt="a")), None, "x", NOW)),
    ("is not halted", lambda: edits.resume(channel(entry(1)), None, NOW)),
    ("has no lower version to go to", lambda: edits.pull_back(channel(entry(1)), None, None, "x", FAST, NOW)),
    ("is pulled back already", lambda: edits.pull_back(
        channel(entry(1), entry(2, pull_back=PullBack(v(1), "x", DONE))), v(2), None, "x", FAST, NOW)),
    ("it must stay good", lambda: edits.pull_back(
        channel(entry(0), entry(1), entry(2, pull_back=PullBack(v(1), "x", DONE))), v(1), None, "x", FAST, NOW)),
    ("is halted \\(a\\) on alpha", lambda: edits.promote(
        channel(entry(1, DONE.halt(NOW), channel="alpha", halt="a"), name="alpha"), channel(), None, FAST, NOW)),
    ("is 20261201.2 already", lambda: edits.secure(channel(entry(1), entry(2), minimum=2), v(1), NOW)),
]  # fmt: skip


@pytest.mark.parametrize(("message", "edit"), REFUSED, ids=[m for m, _ in REFUSED])
def test_what_makes_no_sense_is_refused(message: str, edit: Callable[[], object]) -> None:
    with pytest.raises(OrlopError, match=message):
        edit()


def test_forgetting_keeps_what_machines_must_be_told() -> None:
    one = channel(
        entry(1, dead_end="no way on"), entry(2), entry(3), entry(4, pull_back=PullBack(v(3), "x", DONE)),
        entry(5, floor="keys"), entry(6), entry(7, Rollout(NOW, FAST)),
        entry(8, groups=(("canary", DONE), ("careful", Rollout(NOW, FAST)))), entry(9, groups=(("canary", DONE),)),
        entry(10),
    )  # fmt: skip
    made, gone = edits.forget(one, 1, NOW)
    assert [e.version.number for e in gone] == [2, 6, 9]
    assert [e.version.number for e in made.entries] == [1, 3, 4, 5, 7, 8, 10]


def test_a_full_channel_says_how_room_is_made() -> None:
    with pytest.raises(BadInput, match="has 200 versions") as e:
        edits.publish(channel(*(entry(n) for n in range(MAX_VERSIONS))), entry(MAX_VERSIONS), NOW)
    made, gone = edits.forget(channel(*(entry(n) for n in range(MAX_VERSIONS))), int(e.value.hint.split()[-1]), NOW)
    assert gone
    assert edits.publish(made, entry(MAX_VERSIONS), NOW).entries[-1] == entry(MAX_VERSIONS)


PREVIEWS: list[tuple[str, Channel, Channel, list[str]]] = [
    ("a first version", channel(), channel(entry(1)), ["machines on an older version: go to 20261201.1 now"]),
    ("a halt", channel(entry(1), entry(2)), edits.halt(channel(entry(1), entry(2)), None, "crashes", NOW),
     ["machines on an older version: go to 20261201.1 now",
      "machines on 20261201.1: stay (20261201.2 is halted (crashes))"]),
    ("a pull-back", channel(entry(1), entry(2)),
     channel(entry(1), entry(2, pull_back=PullBack(v(1), "crashes", DONE))),
     ["machines on an older version: go to 20261201.1 now",
      "machines on 20261201.1: stay (20261201.2 was pulled back (crashes))",
      "machines on 20261201.2: go back to 20261201.1 now"]),
    ("a floor", channel(entry(1), entry(2), entry(3)), channel(entry(1), entry(2, floor="keys"), entry(3)),
     ["machines on an older version: go to 20261201.2 now", "machines on 20261201.1: go to 20261201.2 now"]),
    ("nothing", channel(entry(1)), channel(entry(1, notes="words")), ["no machine will do anything else than before"]),
    ("a minimum", channel(entry(1), entry(2)), channel(entry(1), entry(2), minimum=2),
     ["machines below 20261201.2 will say that they are insecure"]),
]  # fmt: skip


@pytest.mark.parametrize(("old", "new", "lines"), [p[1:] for p in PREVIEWS], ids=[p[0] for p in PREVIEWS])
def test_what_machines_will_do(old: Channel, new: Channel, lines: list[str]) -> None:
    assert preview(old, new) == lines


def test_a_rollout_is_previewed_with_its_end() -> None:
    new = channel(entry(1), entry(2, Rollout(NOW - HOUR, (Wave(60 * 4, WHOLE),))))
    line = preview(channel(entry(1)), new)[-1]
    assert line.startswith("machines on 20261201.1: ")
    assert "go to 20261201.2 from 2026-12-01 12:0" in line
    assert " to 2026-12-01 14:5" in line
    assert "go to 20261201.2 now" in line


def test_groups_are_previewed_by_name() -> None:
    new = channel(entry(1), entry(2, Rollout(NOW + HOUR, FAST), groups=(("canary", DONE),)))
    assert preview(channel(entry(1)), new, group="canary")[-1] == "machines on 20261201.1: go to 20261201.2 now"
    assert replace(new, changed=NOW) == new
