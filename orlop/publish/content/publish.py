"""An image becomes a release: blobs, an index with patches, an SBOM, and an entry in a channel.

Lifetime: one `plan` a release: it reads the image's folder and what the channel has, writes patches into a folder of
its caller's, and changes nothing; the `Change` it gives is committed by the repository. Invariant: what is published is
what its index says: files are hashed as they are stored.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Mapping, Sequence
from contextlib import ExitStack
from dataclasses import dataclass, replace
from datetime import datetime
from pathlib import Path
from typing import Any

from orlop.built import BuiltImage
from orlop.errors import BadInput
from orlop.model.contents import packages
from orlop.model.contents.packages import PackageChange
from orlop.model.release.channel import MAX_NOTES, Channel, Entry, ReleaseImage, index_target
from orlop.model.release.index import PARTS, Index, PartName, Patch, decode, encode
from orlop.model.release.rollout import Wave
from orlop.model.words.arch import BUILT
from orlop.model.words.version import Version
from orlop.publish.channels import edits
from orlop.publish.content import patches, sbom
from orlop.publish.repository.repository import Change, RepositoryState, Upload, target_file
from orlop.publish.storage.storage import Storage
from orlop.steps import Steps

PATCHED: tuple[PartName, ...] = ("usr", "uki")


@dataclass(frozen=True)
class Publication:
    """How an image is to be published. `predecessors`: from how many versions before it patches are made."""

    channel: str
    waves: tuple[Wave, ...]
    predecessors: int = 3
    notes: str = ""
    floor: str = ""
    arch: str = BUILT.name


@dataclass(frozen=True)
class ReleasePlan:
    """`change` is what to commit; `packages` what is in the image now and was not in the one before it."""

    change: Change
    channel: Channel
    index: Index
    packages: Sequence[PackageChange]
    before: Version | None


def plan(
    storage: Storage,
    state: RepositoryState,
    built: BuiltImage,
    wish: Publication,
    work: Path,
    zstd: Sequence[str],
    steps: Steps,
    now: datetime,
) -> ReleasePlan:
    """What publishing the image on the channel changes. Nothing is stored yet; `work` takes the patches."""
    channel, arch = wish.channel, wish.arch
    document = state.document(channel)
    contents = sbom.spdx(built)
    bill = sbom.encode(contents)
    bases = [e for e in document.entries if e.pull_back is None and e.image(arch)]
    changes, before = changed_packages(storage, bases[-1] if bases else None, contents)
    digest = sha256(bill)
    entry = Entry(
        version=built.version,
        published=now.replace(microsecond=0),
        images=(ReleaseImage(arch, index_target(channel, built.version, arch), built.index.payload_bytes),),
        rollout=edits.begin(wish.waves, now),
        sbom=digest,
        notes=wish.notes or packages.notes(changes, MAX_NOTES // 2),
        floor=wish.floor,
    )
    changed = edits.publish(document, entry, now)  # refused before any work is done
    patches: list[Patch] = []
    for base in bases[-wish.predecessors :] if wish.predecessors else []:
        with steps.step(f"Making patches from {base.version}"):
            old = read_index(storage, state, channel, base, arch)
            patches += make_patches(storage, built.index, {n: built.files.part(n) for n in PATCHED}, old, work, zstd)
    index = replace(built.index, patches=tuple(patches))
    blobs = blobs_of(built, bill)
    for patch in patches:
        blobs[patch.blob.path] = Upload(work / patch.blob.sha256, patch.blob.sha256)
    change = Change(
        blobs=blobs,
        indexes={channel: {index_target(channel, built.version, arch): encode(index)}},
        documents={channel: changed},
    )
    return ReleasePlan(change, changed, index, changes, before)


def blobs_of(built: BuiltImage, bill: bytes) -> dict[str, Upload | bytes]:
    """An image's blobs by their names: its SBOM, encoded, and its parts."""
    blobs: dict[str, Upload | bytes] = {f"blobs/{sha256(bill)}": bill}
    for name in PARTS:
        blob = built.index.part(name).blob
        blobs[blob.path] = Upload(built.files.part(name), blob.sha256)
    return blobs


def make_patches(
    storage: Storage, new: Index, files: Mapping[PartName, Path], old: Index, work: Path, zstd: Sequence[str]
) -> list[Patch]:
    """Patches from one predecessor, named by their hashes in `work`. A predecessor whose blobs are gone gives none."""
    new_patches = []
    for name in PATCHED:
        out = work / f"{old.version}.{name}"
        try:
            with storage.local(old.part(name).blob.path) as base:
                patch = patches.make_patch(name, new.part(name), files[name], old, base, out, zstd)
        except FileNotFoundError:
            continue
        if patch is not None:
            out.rename(work / patch.blob.sha256)
            new_patches.append(patch)
    return new_patches


def read_index(storage: Storage, state: RepositoryState, channel: str, entry: Entry, arch: str) -> Index:
    """The index of a version that a channel has. Raises BadInput when it is not what was signed."""
    image = entry.image(arch)
    info = state.channels[channel].targets.get(image.index) if image else None
    raw = storage.read(target_file(info)) if info else None
    if info is None or raw is None or sha256(raw) != info.hashes["sha256"]:
        raise BadInput(f"the index of {entry.version} on {channel} is missing or damaged", hint="orlop release verify")
    return decode(raw)


def changed_packages(
    storage: Storage, before: Entry | None, contents: Mapping[str, Any]
) -> tuple[list[PackageChange], Version | None]:
    """How the packages of an SBOM differ from those of the version before, by its own."""
    raw = storage.read(f"blobs/{before.sbom}") if before else None
    if before is None or raw is None or sha256(raw) != before.sbom:
        return [], None
    old = packages.of_sbom(json.loads(raw))
    new = packages.of_sbom(contents)
    return packages.difference(old, new), before.version


def promotion(
    storage: Storage,
    state: RepositoryState,
    source: str,
    channel: Channel,
    version: Version,
    work: Path,
    zstd: Sequence[str],
    steps: Steps,
    predecessors: int = 3,
) -> Change:
    """The change that gives a channel the image another one has: the same bytes, no new blob but patches.

    Machines of this channel come from other versions than those of the source, so patches from them are added.
    """  # fmt: skip
    entry = edits.find(state.document(source), version)
    indexes: dict[str, bytes] = {}
    blobs: dict[str, Upload | bytes] = {}
    for image in entry.images:
        index = read_index(storage, state, source, entry, image.arch)
        have = {patch.base for patch in index.patches}
        bases = [e for e in channel.entries[:-1] if e.pull_back is None and e.image(image.arch)]
        patches: list[Patch] = []
        with ExitStack() as held:
            files = {name: held.enter_context(storage.local(index.part(name).blob.path)) for name in PATCHED}
            for base in bases[-predecessors:] if predecessors else []:
                if base.version not in have:
                    with steps.step(f"Making patches from {base.version}"):
                        old = read_index(storage, state, channel.name, base, image.arch)
                        patches += make_patches(storage, index, files, old, work, zstd)
        for patch in patches:
            blobs[patch.blob.path] = Upload(work / patch.blob.sha256, patch.blob.sha256)
        index = replace(index, patches=(*index.patches, *patches))
        indexes[index_target(channel.name, version, image.arch)] = encode(index)
    return Change(blobs=blobs, indexes={channel.name: indexes}, documents={channel.name: channel})


def sha256(raw: bytes) -> str:
    return hashlib.sha256(raw).hexdigest()
