"""What a release manager can say of a channel, each a function from document to document. Pure.

Invariant: an edit that is not refused gives a channel that holds `orlop.model.release.channel`'s rules, keeps every
rollout continuous, and takes no version away from the machines that have it, save by a pull-back.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from datetime import datetime

from orlop.errors import BadInput
from orlop.model.release.channel import (
    MAX_REASON,
    MAX_VERSIONS,
    Channel,
    Entry,
    PullBack,
    ReleaseImage,
    channel_trouble,
    index_target,
)
from orlop.model.release.rollout import Rollout, Wave
from orlop.model.words.name import SAID, is_name
from orlop.model.words.version import Version

Waves = tuple[Wave, ...]


def find(channel: Channel, version: Version | None) -> Entry:
    """The entry of a version, of the newest good one when none is given. Raises BadInput."""
    entry = channel.newest if version is None else channel.entry(version)
    if entry is None:
        have = ", ".join(str(e.version) for e in channel.entries) or "none"
        raise BadInput(
            f"channel {channel.name} has no {'version' if version is None else version}", hint=f"it has: {have}"
        )
    return entry


def reason_given(text: str) -> str:
    """A reason as machines show it. Raises BadInput."""
    if not text or len(text) > MAX_REASON or not text.isprintable():
        wrong = (
            f"has {len(text)} characters" if len(text) != 1 and text.isprintable() else "cannot be printed in one line"
        )
        raise BadInput(
            f"the reason {wrong}: it must be one line of 1 to {MAX_REASON} characters",
            hint="machines show it to their owners; nothing was changed",
        )
    return text


def changed(channel: Channel, now: datetime, *entries: Entry, minimum: Version | None = None) -> Channel:
    """The channel with these entries in the place of those of the same version. Raises BadInput."""
    by_version = {e.version: e for e in (*channel.entries, *entries)}
    edited = replace(
        channel,
        changed=now.replace(microsecond=0),
        entries=tuple(by_version[v] for v in sorted(by_version)),
        minimum_secure=minimum or channel.minimum_secure,
    )
    if trouble := channel_trouble(edited):
        raise BadInput(f"channel {channel.name} cannot say that: {trouble}", hint="nothing was changed")
    return edited


def publish(channel: Channel, entry: Entry, now: datetime) -> Channel:
    """A new version, newer than all the channel has or had."""
    last = channel.entries[-1].version if channel.entries else None
    if last is not None and entry.version <= last:
        raise BadInput(
            f"channel {channel.name} has {last} already: {entry.version} is not newer",
            hint="a channel only grows; build a newer version",
        )
    if len(channel.entries) >= MAX_VERSIONS:
        raise BadInput(
            f"channel {channel.name} has {MAX_VERSIONS} versions",
            hint=f"make room: orlop release gc --keep {MAX_VERSIONS // 2}",
        )
    return changed(channel, now, entry)


def promote(source: Channel, target: Channel, version: Version | None, waves: Waves, now: datetime) -> Channel:
    """The target channel with a version of the source's: the same image, waves of its own.

    Refused while the source has a floor on the way that the target does not have: its machines would leap over what
    they must pass through. The floor is not carried along, for what comes onto a channel is named by who answers for
    it: it is a version of its own, with waves of its own, and machines must reach it before the next one.
    """
    entry = find(source, version)
    if entry.pull_back is not None or entry.halt:
        what = f"pulled back ({entry.pull_back.reason})" if entry.pull_back else f"halted ({entry.halt})"
        raise BadInput(f"{entry.version} is {what} on {source.name}", hint="promote a version that is good")
    last = target.entries[-1].version if target.entries else None
    on_the_way = [e for e in source.entries if e.floor and e.version < entry.version]
    missing = next((e for e in on_the_way if last is None or e.version > last), None)
    if missing is not None:
        hint = f"first: orlop release promote {source.name} {target.name} --version {missing.version}"
        if missing.halt:
            hint = f"it is halted ({missing.halt}): resume it and promote it first, or let it be no floor any more"
        raise BadInput(
            f"machines must pass through {missing.version} on the way to {entry.version} ({missing.floor}), "
            f"and {target.name} does not have it",
            hint=hint,
        )
    images = tuple(
        ReleaseImage(i.arch, index_target(target.name, entry.version, i.arch), i.bytes) for i in entry.images
    )
    fresh = replace(entry, images=images, rollout=begin(waves, now), published=now.replace(microsecond=0), groups=())
    return publish(target, fresh, now)


def begin(waves: Waves, now: datetime) -> Rollout:
    return Rollout(now.replace(microsecond=0), waves)


def wave(channel: Channel, version: Version | None, waves: Waves, now: datetime, group: str = "") -> Channel:
    """Other waves from now on, for all machines or those of a group; they begin at the share that was reached."""
    now = now.replace(microsecond=0)
    if group and not is_name(group):
        raise BadInput(f"{group!r} is not a valid name of a group", hint=f"use {SAID}")
    entry = find(channel, version)
    if not group:
        return changed(channel, now, replace(entry, rollout=entry.rollout.changed(waves, now)))
    own = entry.rollout_for(group).changed(waves, now)
    return changed(channel, now, replace(entry, groups=tuple(sorted({**dict(entry.groups), group: own}.items()))))


def halt(channel: Channel, version: Version | None, reason: str, now: datetime) -> Channel:
    """Nobody gets the version who has not got it; the rollout stands still."""
    now = now.replace(microsecond=0)
    reason = reason_given(reason)
    entry = find(channel, version)
    if entry.halt:
        raise BadInput(f"{entry.version} is halted already: {entry.halt}", hint="orlop release resume goes on")
    groups = tuple((name, rollout.halt(now)) for name, rollout in entry.groups)
    return changed(channel, now, replace(entry, halt=reason, rollout=entry.rollout.halt(now), groups=groups))


def resume(channel: Channel, version: Version | None, now: datetime) -> Channel:
    """The rollout goes on where it stood."""
    now = now.replace(microsecond=0)
    entry = find(channel, version)
    if not entry.halt:
        raise BadInput(f"{entry.version} is not halted", hint="orlop release show says what is")
    groups = tuple((name, rollout.resume(now)) for name, rollout in entry.groups)
    return changed(channel, now, replace(entry, halt="", rollout=entry.rollout.resume(now), groups=groups))


def pull_back(
    channel: Channel, version: Version | None, to: Version | None, reason: str, waves: Waves, now: datetime
) -> Channel:
    """Nobody gets the version any more, and who has it goes down to `to`: the newest lower good one unless given.

    A halted version is not good: nobody is to get it who has it not. Nor is a dead end, which nothing leads out of.
    """
    reason = reason_given(reason)
    entry = find(channel, version)
    if entry.pull_back is not None:
        raise BadInput(f"{entry.version} is pulled back already, to {entry.pull_back.to}")
    lower = [e.version for e in channel.entries if e.version < entry.version and not _no_target(e)]
    if to is None and not lower:
        raise BadInput(
            f"{entry.version} cannot be pulled back: channel {channel.name} has no lower version to go to that is good",
            hint="`orlop release halt` stops it from spreading; publish a newer one",
        )
    wanted = channel.entry(to) if to is not None else None
    if wanted is not None and (trouble := _no_target(wanted)):
        raise BadInput(
            f"{entry.version} cannot be pulled back to {to}: it is {trouble}",
            hint="give another one with --to" + (f"; good ones are {', '.join(map(str, lower))}" if lower else ""),
        )
    back = PullBack(to or lower[-1], reason, begin(waves, now))
    if (
        leads := next((e for e in channel.entries if e.pull_back and e.pull_back.to == entry.version), None)
    ) is not None:
        raise BadInput(
            f"{leads.version} was pulled back to {entry.version}: it must stay good", hint="publish a newer one"
        )
    return changed(channel, now, replace(entry, pull_back=back, floor=""))


def _no_target(entry: Entry) -> str:
    """Why no machine may be sent down to a version; "" when it may."""
    if entry.pull_back is not None:
        return f"pulled back ({entry.pull_back.reason})"
    if entry.halt:
        return f"halted ({entry.halt})"
    return f"a dead end ({entry.dead_end})" if entry.dead_end else ""


def floor(channel: Channel, version: Version | None, reason: str, now: datetime) -> Channel:
    """Machines below it must pass through the version; an empty reason takes that back."""
    return changed(channel, now, replace(find(channel, version), floor=reason and reason_given(reason)))


def dead_end(channel: Channel, version: Version | None, reason: str, now: datetime) -> Channel:
    """Machines that run the version cannot be updated; an empty reason takes that back."""
    return changed(channel, now, replace(find(channel, version), dead_end=reason and reason_given(reason)))


def secure(channel: Channel, minimum: Version, now: datetime) -> Channel:
    """The oldest version that is secure. It only rises."""
    if channel.minimum_secure is not None and minimum < channel.minimum_secure:
        raise BadInput(
            f"the secure minimum of {channel.name} is {channel.minimum_secure} already", hint="it only rises"
        )
    return changed(channel, now, minimum=minimum)


def forget(channel: Channel, keep: int, now: datetime) -> tuple[Channel, Sequence[Entry]]:
    """Without the oldest versions: the `keep` newest stay, and all that machines must still be told of.

    Those are floors, dead ends, pulled-back versions and what they lead to, and what is still being rolled out, if to
    one group only.
    """
    entries = channel.entries
    needed = {e.pull_back.to for e in entries if e.pull_back} | {
        e.version for e in entries[max(0, len(entries) - keep) :]
    }
    needed |= {e.version for e in entries if e.floor or e.dead_end or e.pull_back}
    needed |= {e.version for e in entries if not all(r.over(now) for r in (e.rollout, *dict(e.groups).values()))}
    gone = [e for e in entries if e.version not in needed]
    remaining = tuple(e for e in entries if e.version in needed)
    return replace(channel, entries=remaining, changed=now.replace(microsecond=0) if gone else channel.changed), gone
