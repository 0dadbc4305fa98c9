"""What a machine should run, from the channel's document and what it knows of itself: one answer, one reason.

This is the whole rollout: no server decides, and every machine comes to its own answer from the same signed text. The
operator's preview (`orlop release … --dry-run`) and the rollout simulation in `bench/` ask the same function.

Invariants:
- The answer follows from the arguments alone. The same machine asked again a moment later with the same document is
  never told less: who may have a version keeps it, unless the document changes.
- A machine moves to a higher version, or stays. Down it moves only by a pull-back, which is signed.
- A hold stops everything, a pin everything beyond the pinned version; what is on the deny list is never offered.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from datetime import datetime, timedelta

from orlop.errors import BadInput
from orlop.model.release.channel import Channel, Entry, PullBack
from orlop.model.release.rollout import Rollout, position
from orlop.model.words.arch import BUILT
from orlop.model.words.version import Version


@dataclass(frozen=True)
class Machine:
    """`hold` is why updates are held, empty when they are not; `secret` never leaves the machine."""

    current: Version
    channel: str
    secret: bytes = field(repr=False)
    arch: str = BUILT.name
    group: str = ""
    pin: Version | None = None
    hold: str = ""
    denied: frozenset[Version] = frozenset()


@dataclass(frozen=True)
class Stay:
    """Nothing to do, until the document or the machine's settings change."""

    reason: str
    insecure: bool = False


@dataclass(frozen=True)
class Wait:
    """`version` reaches this machine at `at`, in wave `wave` of `waves`."""

    version: Version
    at: datetime
    wave: int
    waves: int
    reason: str
    insecure: bool = False


@dataclass(frozen=True)
class Go:
    """`why` is `newer`, `pull-back` or `named`; `index` is the TUF target that holds the image's index."""

    version: Version
    index: str
    why: str
    reason: str
    insecure: bool = False


Answer = Stay | Wait | Go


def answer(channel: Channel, machine: Machine, now: datetime) -> Answer:
    """What the machine should do. Raises BadInput when the document is another channel's."""
    if channel.name != machine.channel:
        raise BadInput(f"the machine is on channel {machine.channel}, this is the document of {channel.name}")
    insecure = channel.minimum_secure is not None and machine.current < channel.minimum_secure
    note = f"; {machine.current} is below the secure minimum {channel.minimum_secure}" if insecure else ""
    upward = _upward(channel, machine, now)
    if isinstance(upward, Go):
        return Go(upward.version, upward.index, upward.why, upward.reason + note, insecure)
    down = _downward(channel, machine, now)
    if down is not None and not (isinstance(down, Wait) and isinstance(upward, Wait) and upward.at <= down.at):
        upward = down
    match upward:
        case Go(version, index, why, reason):
            return Go(version, index, why, reason + note, insecure)
        case Wait(version, at, wave, waves, reason):
            return Wait(version, at, wave, waves, reason + note, insecure)
        case Stay(reason):
            return Stay(reason + note, insecure)


def named(channel: Channel, machine: Machine, version: Version) -> Go:
    """The version somebody asked this machine for by name. Raises BadInput when it must not have it."""
    entry = channel.entry(version)
    image = entry.image(machine.arch) if entry else None
    where = f"channel {channel.name}"
    if entry is None or image is None:
        have = ", ".join(str(e.version) for e in channel.entries if e.image(machine.arch)) or "none"
        raise BadInput(f"{where} has no {version} for {machine.arch}", hint=f"it has: {have}")
    if entry.pull_back is not None:
        raise BadInput(f"{version} was pulled back: {entry.pull_back.reason}", hint=f"take {entry.pull_back.to}")
    if channel.minimum_secure is not None and version < channel.minimum_secure:
        raise BadInput(
            f"{version} is below the secure minimum of {where}, {channel.minimum_secure}",
            hint=f"take {channel.minimum_secure} or a later one",
        )
    floor = next((e for e in channel.entries if e.floor and machine.current < e.version < version), None)
    if floor is not None:
        raise BadInput(
            f"{machine.current} must pass through {floor.version} on the way to {version}: {floor.floor}",
            hint=f"take {floor.version} first",
        )
    return Go(version, image.index, "named", f"{version} was asked for by name")


def _upward(channel: Channel, machine: Machine, now: datetime) -> Answer:
    """The newest version the machine may have now, or the one that reaches it first."""
    on, running = f"on {channel.name}", f"running {machine.current}"
    own = channel.entry(machine.current)
    if machine.hold:
        return Stay(f"{on}: updates are held ({machine.hold}); {running}")
    if own is not None and own.dead_end:
        return Stay(f"{on}: {machine.current} is a dead end ({own.dead_end}); install a newer version anew")
    higher = [e for e in channel.entries if e.version > machine.current and e.image(machine.arch)]
    if not higher:
        newest = next((e.version for e in reversed(channel.entries) if e.image(machine.arch)), None)
        if newest is None:
            return Stay(f"{on}: the channel has no version for {machine.arch} yet; {running}")
        if newest < machine.current:
            return Stay(f"{on}: {running}, which is newer than all the channel has; waiting for it to catch up")
        return Stay(f"{on}: {running}, the newest")
    blocked: list[str] = []
    allowed = _allowed(higher, machine, blocked)
    waiting: list[Wait] = []
    for entry in reversed(allowed):
        step = _offer(entry, entry.rollout_for(machine.group), machine, now, on)
        if isinstance(step, Go):
            return step
        if isinstance(step, Wait):
            waiting.append(step)
        else:
            blocked.append(step.reason)
    if waiting:
        return min(waiting, key=lambda w: (w.at, -w.version.day.toordinal(), -w.version.number))
    why = "; ".join(dict.fromkeys(blocked))
    return Stay(f"{on}: {running}{'; ' + why if why else ''}")


def _allowed(higher: list[Entry], machine: Machine, blocked: list[str]) -> list[Entry]:
    """Which of the higher versions may be offered at all; why others may not goes to `blocked`."""
    floor = next((e for e in higher if e.floor), None)
    allowed = []
    for entry in higher:
        version = entry.version
        if floor is not None and version > floor.version:
            blocked.append(f"later ones only by way of {floor.version}: {floor.floor}")
        elif machine.pin is not None and version > machine.pin:
            blocked.append(f"pinned to {machine.pin}")
        elif entry.pull_back is not None:
            blocked.append(f"{version} was pulled back ({entry.pull_back.reason})")
        elif version in machine.denied:
            blocked.append(f"{version} is on this machine's deny list")
        else:
            allowed.append(entry)
    return allowed


def _offer(entry: Entry, rollout: Rollout, machine: Machine, now: datetime, on: str) -> Answer:
    version, image = entry.version, entry.image(machine.arch)
    assert image is not None
    if entry.halt:
        return Stay(f"{version} is halted ({entry.halt})")
    at = rollout.reaches(position(machine.secret, version))
    if at is None:
        return Stay(f"{version} is rolled out to {rollout.share(now):.0%} of the machines, and this is not one of them")
    if at <= now:
        return Go(version, image.index, "newer", f"{on}: going from {machine.current} to {version}")
    return _wait(version, rollout, machine, at, f"{on}; {version} reaches this machine in about {span(at - now)}")


def _wait(version: Version, rollout: Rollout, machine: Machine, at: datetime, reason: str) -> Wait:
    wave, waves = rollout.wave_of(position(machine.secret, version)), len(rollout.waves)
    return Wait(version, at, wave, waves, f"{reason}, wave {wave} of {waves}")


def _downward(channel: Channel, machine: Machine, now: datetime) -> Answer | None:
    """What a pull-back of the running version says; None when there is none."""
    own = channel.entry(machine.current)
    if own is None or own.pull_back is None:
        return None
    back: PullBack = own.pull_back
    target = channel.entry(back.to)
    image = target.image(machine.arch) if target else None
    why = f"{machine.current} was pulled back ({back.reason})"
    if machine.hold:
        return Stay(f"on {channel.name}: {why}, but updates are held ({machine.hold})")
    if image is None or back.to in machine.denied:
        what = "on this machine's deny list" if image else f"not there for {machine.arch}"
        return Stay(f"on {channel.name}: {why}, and {back.to} is {what}")
    # the position in the pulled-back version's own rollout: who had it first is freed of it first
    at = back.rollout.reaches(position(machine.secret, machine.current))
    if at is None:
        return Stay(f"on {channel.name}: {why}, and this machine is not among those to go back yet")
    if at <= now:
        return Go(back.to, image.index, "pull-back", f"on {channel.name}: {why}: going back to {back.to}")
    reason = f"on {channel.name}; {why}: this machine goes back to {back.to} in about {span(at - now)}"
    wave, waves = back.rollout.wave_of(position(machine.secret, machine.current)), len(back.rollout.waves)
    return Wait(back.to, at, wave, waves, f"{reason}, wave {wave} of {waves}")


def span(time: timedelta) -> str:
    """A length of time as a person says it: 40 s, 12 min, 7 h, 3 days."""
    seconds = max(0.0, time.total_seconds())
    for unit, size, most in (("s", 1, 90), ("min", 60, 90), ("h", 3600, 48)):
        if seconds / size < most:
            return f"{max(1, round(seconds / size))} {unit}"
    return f"{round(seconds / 86400)} days"
