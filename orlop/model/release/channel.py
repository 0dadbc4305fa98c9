"""A channel's document: which versions it has, and who may have which of them when.

One small signed file a channel is all that a machine reads to decide (`orlop.model.release.policy`). Every statement a
release manager can make is in it: a version and its waves, a halt, a pull-back, a floor that must be passed, a dead
end, the oldest version that is still secure.

Invariant: a `Channel` is whole and consistent. Versions are in order and there once; a pull-back leads to a version
that is there, lower, good, and not below the secure minimum; waves are smooth. Both sides hold it: the signer before
it signs, the machine before it decides. Unknown keys are refused; a document that must say more takes a new SCHEMA and,
because the number is in its file name too, is published beside the old one for machines that read only that.
"""

from __future__ import annotations

import json
from dataclasses import dataclass
from datetime import datetime
from typing import Any

from orlop.errors import BadInput
from orlop.model.release.rollout import MAX_MINUTES, MAX_WAVES, WHOLE, Rollout, Wave, waves_trouble
from orlop.model.words import arch as architectures
from orlop.model.words.name import ROLES, SAID, is_channel, is_name
from orlop.model.words.strict import Fields, Wrong, parse_json, stamp
from orlop.model.words.version import Version

NUMBER = 1
SCHEMA = f"orlop.channel/{NUMBER}"
MAX_BYTES = 512 << 10
MAX_VERSIONS = 200
MAX_GROUPS = 50
MAX_HELD = MAX_MINUTES * 60 * 10
MAX_NOTES = 8000
MAX_REASON = 300
STANDARD = ("alpha", "beta", "stable")
ARCHES = tuple(arch.name for arch in architectures.ARCHES)
HINT = "the release repository is damaged, or was made by a newer orlop: update this one, or tell its publisher"


@dataclass(frozen=True)
class ReleaseImage:
    """`index` is the name of the TUF target that holds the image's index; `bytes` what the image weighs."""

    arch: str
    index: str
    bytes: int


@dataclass(frozen=True)
class PullBack:
    """Machines that run the version go down to `to`, along `rollout`."""

    to: Version
    reason: str
    rollout: Rollout


@dataclass(frozen=True)
class Entry:
    """A version on the channel. `sbom` is the hash of its SPDX document's blob. `floor`, `dead_end` and `halt` are
    reasons, empty when it is none. Machines of a group in `groups` follow that rollout instead of the common one.
    """

    version: Version
    published: datetime
    images: tuple[ReleaseImage, ...]
    rollout: Rollout
    sbom: str
    notes: str = ""
    floor: str = ""
    dead_end: str = ""
    halt: str = ""
    pull_back: PullBack | None = None
    groups: tuple[tuple[str, Rollout], ...] = ()

    def image(self, arch: str) -> ReleaseImage | None:
        return next((image for image in self.images if image.arch == arch), None)

    def rollout_for(self, group: str) -> Rollout:
        return dict(self.groups).get(group, self.rollout)


@dataclass(frozen=True)
class Channel:
    """`entries` are in the order of their versions, oldest first."""

    name: str
    changed: datetime
    entries: tuple[Entry, ...] = ()
    minimum_secure: Version | None = None

    def entry(self, version: Version) -> Entry | None:
        return next((e for e in self.entries if e.version == version), None)

    @property
    def newest(self) -> Entry | None:
        """The newest version that was not pulled back."""
        return next((e for e in reversed(self.entries) if e.pull_back is None), None)


def check_name(name: str) -> str:
    """The name, when it can be a channel's (it is a TUF role's name too). Raises BadInput."""
    if not is_channel(name):
        raise BadInput(f"{name!r} is not a valid channel name", hint=f"use {SAID}, and none of {', '.join(ROLES)}")
    return name


def target_name(channel: str) -> str:
    """The TUF target that holds the channel's document."""
    return f"{channel}/channel.{NUMBER}.json"


def index_target(channel: str, version: Version, arch: str) -> str:
    """The TUF target that holds the index of a version's image, as this channel signs it."""
    return f"{channel}/{version}.{arch}.index.json"


def encode(channel: Channel) -> bytes:
    """The document; the same channel always gives the same bytes. Raises BadInput as `decode`."""
    about: dict[str, Any] = {
        "schema": SCHEMA,
        "channel": channel.name,
        "changed": stamp(channel.changed),
        "versions": [_entry_json(entry) for entry in channel.entries],
    }
    if channel.minimum_secure is not None:
        about["minimum_secure"] = str(channel.minimum_secure)
    raw = json.dumps(about, indent=1, sort_keys=True).encode() + b"\n"
    if decode(raw, channel.name) != channel:
        raise BadInput(f"the document of channel {channel.name} cannot be written so that it is read back the same")
    return raw


def _entry_json(entry: Entry) -> dict[str, Any]:
    about: dict[str, Any] = {
        "version": str(entry.version),
        "published": stamp(entry.published),
        "images": {i.arch: {"index": i.index, "bytes": i.bytes} for i in entry.images},
        "rollout": _rollout_json(entry.rollout),
        "sbom": entry.sbom,
    }
    about |= {
        key: text
        for key, text in (
            ("notes", entry.notes),
            ("floor", entry.floor),
            ("dead_end", entry.dead_end),
            ("halt", entry.halt),
        )
        if text
    }
    if (back := entry.pull_back) is not None:
        about["pull_back"] = {"to": str(back.to), "reason": back.reason, "rollout": _rollout_json(back.rollout)}
    if entry.groups:
        about["groups"] = {name: _rollout_json(rollout) for name, rollout in entry.groups}
    return about


def _rollout_json(rollout: Rollout) -> dict[str, Any]:
    about: dict[str, Any] = {
        "start": stamp(rollout.start),
        "waves": [{"minutes": w.minutes, "ppm": w.ppm} for w in rollout.waves],
    }
    if rollout.base:
        about["base"] = rollout.base
    if rollout.held_seconds:
        about["held_seconds"] = rollout.held_seconds
    if rollout.halted is not None:
        about["halted"] = stamp(rollout.halted)
    return about


def decode(raw: bytes, name: str) -> Channel:
    """Read the document of the channel `name`. Raises BadInput, naming the place, unless every rule here holds."""
    try:
        return _channel(Fields.of("", parse_json(raw, MAX_BYTES)), name)
    except Wrong as e:
        raise BadInput(f"the document of channel {name} cannot be used: {e.message}", hint=HINT) from None


def _channel(top: Fields, name: str) -> Channel:
    if (schema := top.text("schema", 80)) != SCHEMA:
        raise Wrong(f"its schema is {schema!r}, this orlop reads {SCHEMA!r}")
    top.only("schema", "channel", "changed", "versions", "minimum_secure")
    if (own_name := top.text("channel", 80)) != name:
        raise Wrong(f"it is the document of channel {own_name!r}")
    channel = Channel(
        name=name,
        changed=top.moment("changed"),
        entries=tuple(_entry(fields, name) for fields in top.items("versions", MAX_VERSIONS)),
        minimum_secure=top.version("minimum_secure") if "minimum_secure" in top.values else None,
    )
    if trouble := channel_trouble(channel):
        raise Wrong(trouble)
    return channel


def channel_trouble(channel: Channel) -> str:
    """What does not fit together in a channel whose entries are good each for itself; "" when nothing."""
    versions = [entry.version for entry in channel.entries]
    if versions != sorted(set(versions)):
        return "versions are not in order, or one is there twice"
    secure = channel.minimum_secure
    if secure is not None and (channel.newest is None or secure > channel.newest.version):
        return f"minimum_secure is {secure}, and no version here is as new as that"
    for entry in channel.entries:
        back = entry.pull_back
        if back is None:
            continue
        target = channel.entry(back.to)
        if target is None or back.to >= entry.version or target.pull_back is not None:
            return f"{entry.version} is pulled back to {back.to}, which is not a lower, good version of this channel"
        if secure is not None and back.to < secure:
            return f"{entry.version} is pulled back to {back.to}, which is below the secure minimum {secure}"
        if entry.floor:
            return f"{entry.version} is a floor and pulled back"
    return ""


def _entry(fields: Fields, channel: str) -> Entry:
    fields.only(
        *("version", "published", "images", "rollout", "sbom", "notes"),
        *("floor", "dead_end", "halt", "pull_back", "groups"),
    )
    version = fields.version("version")
    entry = Entry(
        version=version,
        published=fields.moment("published"),
        images=_images(fields.fields("images"), channel, version),
        rollout=_rollout(fields.fields("rollout")),
        sbom=fields.sha256("sbom"),
        notes=fields.text("notes", MAX_NOTES) if "notes" in fields.values else "",
        floor=_reason(fields, "floor"),
        dead_end=_reason(fields, "dead_end"),
        halt=_reason(fields, "halt"),
        pull_back=_pull_back(fields.fields("pull_back")) if "pull_back" in fields.values else None,
        groups=_groups(fields.fields("groups")) if "groups" in fields.values else (),
    )
    for rollout in (entry.rollout, *dict(entry.groups).values()):
        if (rollout.halted is not None) != bool(entry.halt):
            raise Wrong(f"{fields.at('halt')} gives a reason exactly when its rollouts say since when they are halted")
    return entry


def _images(fields: Fields, channel: str, version: Version) -> tuple[ReleaseImage, ...]:
    fields.only(*ARCHES)
    images = []
    for arch in sorted(fields.values):
        about = fields.fields(arch)
        about.only("index", "bytes")
        index = about.text("index", 200)
        if index != index_target(channel, version, arch):
            raise Wrong(f"{about.at('index')} is {index!r}, must be {index_target(channel, version, arch)!r}")
        images.append(ReleaseImage(arch, index, about.number("bytes", 1, 1 << 40)))
    if not images:
        raise Wrong(f"{fields.place} names no architecture")
    return tuple(images)


def _reason(fields: Fields, key: str) -> str:
    return fields.text(key, MAX_REASON) if key in fields.values else ""


def _pull_back(fields: Fields) -> PullBack:
    fields.only("to", "reason", "rollout")
    rollout = _rollout(fields.fields("rollout"))
    if rollout.halted is not None:
        raise Wrong(f"{fields.at('rollout.halted')} is unknown here: a pull-back is not halted")
    return PullBack(fields.version("to"), fields.text("reason", MAX_REASON), rollout)


def _groups(fields: Fields) -> tuple[tuple[str, Rollout], ...]:
    if not 1 <= len(fields.values) <= MAX_GROUPS:
        raise Wrong(f"{fields.place} names {len(fields.values)} groups, must be 1 to {MAX_GROUPS}")
    for name in fields.values:
        if not is_name(name):
            raise Wrong(f"{fields.place} names {name[:40]!r}, which is not a valid group name")
    return tuple((name, _rollout(fields.fields(name))) for name in sorted(fields.values))


def _rollout(fields: Fields) -> Rollout:
    fields.only("start", "waves", "base", "held_seconds", "halted")
    base = fields.number("base", 0, WHOLE) if "base" in fields.values else 0
    waves = []
    for wave in fields.items("waves", MAX_WAVES):
        wave.only("minutes", "ppm")
        waves.append(Wave(wave.number("minutes", 1, MAX_MINUTES), wave.number("ppm", 1, WHOLE)))
    rollout = Rollout(
        start=fields.moment("start"),
        waves=tuple(waves),
        base=base,
        held_seconds=fields.number("held_seconds", 0, MAX_HELD) if "held_seconds" in fields.values else 0,
        halted=fields.moment("halted") if "halted" in fields.values else None,
    )
    if trouble := waves_trouble(rollout.waves, base):
        raise Wrong(f"{fields.at('waves')}: {trouble}")
    return rollout
