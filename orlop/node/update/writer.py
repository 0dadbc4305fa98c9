"""The order of writing: the one place that knows how a version comes onto the disk.

    room      is there room for it, on the ESP and in the slot? Nothing has been touched yet
    hide      the other slot's UKI goes, then its labels: from here on it can be overwritten
    fill      blocks into the slot, the UKI veiled and under a name that is not started (`esp` says why)
    verify    everything is read again, from the medium: slot against the root hash, UKI against the index
    publish   the slot is labelled with what it holds; the UKI gets its name, with three tries; it is unveiled

Each step is durable before the next begins, and each may be cut off anywhere: started again from the top, `fill` finds
what was written and goes on there. Invariant: the running slot and its UKI are only ever read.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field, replace

from orlop.errors import BadInput, Missing, NoSpace
from orlop.model import boot
from orlop.model.boot import Uki
from orlop.model.facts import Facts, unused
from orlop.model.index import BLOCK, DIGEST, PARTS, Index, Part, PartName, Patch, file_name, verity_blocks
from orlop.model.version import EMPTY_LABEL, Version
from orlop.node.update import blocks, device, verity, zstd
from orlop.node.update.device import PIECE, Device, DiskFault
from orlop.node.update.disk import Disk, Slot
from orlop.node.update.esp import MAGIC, VEIL, Esp, Veiled
from orlop.node.update.fetch import Blocks, Fetcher, Frames, digests
from orlop.node.update.plan import Plan, Run, plan, runs
from orlop.node.update.source import SourceError
from orlop.node.update.verity import Damaged

ESP_SPARE = 1 << 20  # bytes that stay free on the ESP
_EMPTY = bytes(PIECE)
_USRHASH = b"usrhash="


@dataclass
class Progress:
    """How far the writing is, in bytes of the whole payload; `step` names what is being done.

    `done` can pass `total` a little: some blocks that are here are fetched with their neighbours, to ask less often.
    `received` is what came over the network since the writing was begun or gone on with.
    """

    step: str = ""
    total: int = 0
    done: int = 0
    fetched: int = 0
    reused: int = 0
    received: int = 0
    tell: Callable[[Progress], None] = field(default=lambda _: None, repr=False)

    def moved(self, *, reused: int = 0, fetched: int = 0) -> None:
        self.done += reused + fetched
        self.reused += reused
        self.fetched += fetched
        self.tell(self)


class Writer:
    """Brings versions onto one disk. `running` is the version that runs, whose root hash `disk` knows.

    `accepts` is what the firmware will ask of a UKI before it starts it, asked before it is published: raises Damaged
    for one that would be refused. Without Secure Boot firmware asks nothing.
    """

    def __init__(
        self,
        disk: Disk,
        esp: Esp,
        running: Version,
        progress: Progress | None = None,
        accepts: Callable[[Device], None] = lambda _: None,
    ) -> None:
        self.disk, self.esp, self.running, self.accepts = disk, esp, running, accepts
        self.progress = progress or Progress()

    def facts(self) -> Facts:
        """What the disk shows now. A UKI that is veiled is not there: systemd-boot does not see it either."""
        _, other = self.disk.slots()
        version = other.version
        names = tuple(n for n in self.esp.names() if not n.lower().endswith(boot.SUFFIX) or not self._veiled(n))
        return Facts(self.running, self.disk.running_hash, version, other.root_hash if version else "", names)

    def _veiled(self, name: str) -> bool:
        with self.esp.reading(name) as file:
            return device.read(file, 0, len(MAGIC)) != MAGIC

    # room, hide

    def prepare(self, index: Index) -> None:
        """Make the other slot one that nothing starts. Raises NoSpace, and changes nothing, when it would not fit."""
        self._reclaim(index.version)
        _, other = self.disk.slots()
        names = self.esp.names()
        keep = self._kept(names, index)
        self._need_room(index, other, [n for n in names if n not in keep])
        self.stay()
        for name in names:
            if name not in keep:
                self._remove(name)
        if other.usr.label != EMPTY_LABEL or other.verity.label != EMPTY_LABEL:
            self.disk.clear(other)

    def _reclaim(self, version: Version) -> None:
        """A UKI that has its name and was not unveiled is what a cut in `publish` left: it is written again."""
        name = Uki.fresh(version).name
        if name in self.esp.names() and self._veiled(name):
            self.esp.rename(name, boot.part_name(version))

    def _kept(self, names: tuple[str, ...], index: Index) -> set[str]:
        """Files that stay: all but UKIs that no running slot needs, and parts of other versions."""
        ours = {n for n in names if boot.is_part(n) or Uki.parse(n)}
        running = {n for n in ours if (uki := Uki.parse(n)) and uki.version == self.running}
        return set(names) - ours | running | ({boot.part_name(index.version)} & set(names))

    def _need_room(self, index: Index, other: Slot, going: list[str]) -> None:
        for name in ("usr", "verity"):
            part, room = index.part(name), other.room(name)
            if part.size > room:
                raise NoSpace(
                    f"{index.version} has a {name} image of {part.size} bytes, the slot has {room}",
                    hint="this release is too large for this machine's disk: install it anew",
                )
        part_file = boot.part_name(index.version)
        had = self.esp.size(part_file) if part_file in self.esp.names() else 0
        free = self.esp.free() + had + sum(self.esp.size(n) for n in going)
        if free < index.uki.size + ESP_SPARE:
            raise NoSpace(
                f"the ESP has {free} bytes for a UKI of {index.uki.size}",
                hint="remove what is not Orlop's from the ESP (the folder EFI and its top)",
            )

    # fill

    def fill(self, index: Index, fetcher: Fetcher) -> None:
        """Write every block that is not there yet. Raises SourceError, NoSpace, Damaged; what is written stays."""
        progress = self.progress
        progress.step, progress.total = "fetching", index.payload_bytes
        progress.done = progress.fetched = progress.reused = progress.received = 0
        for name in PARTS:
            with self._target(index, name) as target, self._running(name) as old:
                self._fill(index, name, target, old, fetcher)
                target.flush()

    def _fill(self, index: Index, name: PartName, target: Device, old: Device | None, fetcher: Fetcher) -> None:
        part = index.part(name)
        patch = self._patch(index, name) if old else None
        todo = plan(
            part,
            here=blocks.scan(target, part.size, self.progress.moved),
            old=blocks.scan(old, self._used(name, old), self.progress.moved) if old else b"",
            frames=patch.frames if patch else (),
        )
        self.progress.moved(reused=todo.in_place * BLOCK)
        for run in todo.zeros:
            self._zero(target, part, run)
        if old:
            self._copy(target, part, old, todo)
        fetch = todo.fetch
        if old and patch:
            left = self._unpack(part, patch, todo, target, old, fetcher)
            if left:
                fetch = runs(sorted({n for run in (*fetch, *left) for n in range(run.first, run.end)}))
        paths = (part.blob.path, file_name(index.version, name))
        for first, data in fetcher.fetch(Blocks(part, paths), fetch):
            self._put(target, first * BLOCK, data)
            self.progress.received = fetcher.bytes_in
            self.progress.moved(fetched=len(data))

    def _put(self, target: Device, at: int, data: memoryview | bytes) -> None:
        target.write(data, at)
        target.start_writing(at, len(data))

    def _zero(self, target: Device, part: Part, run: Run) -> None:
        for first in range(run.first, run.end, PIECE // BLOCK):
            size = min(PIECE, run.end * BLOCK - first * BLOCK, part.size - first * BLOCK)
            target.write(_EMPTY[:size], first * BLOCK)
            self.progress.moved(reused=size)

    def _copy(self, target: Device, part: Part, old: Device, todo: Plan) -> None:
        for copy in todo.copies:
            at = copy.first * BLOCK
            for piece in device.stream(old, copy.old * BLOCK, min(copy.count * BLOCK, part.size - at)):
                self._put(target, at, piece)
                at += len(piece)
                self.progress.moved(reused=len(piece))

    def _patch(self, index: Index, name: PartName) -> Patch | None:
        """The patch from what runs, if the release has one."""
        fitting = (p for p in index.patches if p.part == name and p.base_root_hash == self.disk.running_hash)
        return min(fitting, key=lambda p: p.blob.size, default=None)

    def _unpack(self, part: Part, patch: Patch, todo: Plan, target: Device, old: Device, fetcher: Fetcher) -> list[Run]:
        """Write what the chosen frames make; the blocks they did not make, for whatever reason."""
        left = {frame.first: Run(frame.first, frame.count) for frame in todo.frames}
        try:
            for number, data in fetcher.fetch(Frames(patch.blob, todo.frames), [Run(n, 1) for n in range(len(left))]):
                frame = todo.frames[number]
                before = device.read(old, frame.old_first * BLOCK, frame.old_count * BLOCK)
                size = min(frame.count * BLOCK, part.size - frame.first * BLOCK)
                made = zstd.unpack(bytes(data), before, size)
                first, end = frame.first * DIGEST, (frame.first + frame.count) * DIGEST
                if digests(memoryview(made)) != part.digests[first:end]:
                    raise Damaged("a patch makes other blocks than the release promises")
                self._put(target, frame.first * BLOCK, made)
                self.progress.received = fetcher.bytes_in
                self.progress.moved(fetched=len(made))
                del left[frame.first]
        except (SourceError, Damaged, Missing, DiskFault):  # a patch only saves bytes: without, the blocks are fetched
            pass
        return list(left.values())

    def _used(self, name: PartName, old: Device) -> int:
        """How many bytes of the running part are its own."""
        if name == "uki":
            return old.size
        with self._running("verity") as tree:
            assert tree is not None
            blocks = verity.superblock(tree).blocks
        return (blocks if name == "usr" else verity_blocks(blocks)) * BLOCK

    @contextmanager
    def _target(self, index: Index, name: PartName) -> Iterator[Device]:
        """Where the part is written to."""
        if name == "uki":
            with self.esp.writing(boot.part_name(index.version), index.uki.size) as file:
                yield Veiled(file)
        else:
            with self.disk.writing(self.disk.slots()[1].part(name)) as partition:
                yield partition

    @contextmanager
    def _running(self, name: PartName) -> Iterator[Device | None]:
        """The same part of the version that runs, to read blocks from. None when there is no UKI of it."""
        if name != "uki":
            with self.disk.reading(self.disk.slots()[0].part(name)) as partition:
                yield partition
            return
        uki = self.facts().uki(self.running)
        if uki is None:
            yield None
            return
        with self.esp.reading(uki.name) as file:
            yield file

    # verify, label, publish

    def verify(self, index: Index) -> None:
        """Read all of it from the medium. Raises Damaged, naming what is wrong."""
        self.progress.step = "verifying"
        self._reclaim(index.version)
        other = self.disk.slots()[1]
        with self.disk.reading(other.usr) as usr, self.disk.reading(other.verity) as tree:
            usr.forget()
            tree.forget()
            blocks.matches(tree, index.verity, "the verity tree")
            if verity.superblock(tree).blocks != index.usr.blocks:
                raise Damaged("the verity tree is over another usr image")
            verity.verify(usr, tree, index.root_hash, self.progress.moved)
        part_file = boot.part_name(index.version)
        if part_file not in self.esp.names():
            raise Damaged("the ESP has no UKI to publish")
        with self.esp.reading(part_file) as file:
            uki = Veiled(file)
            uki.forget()
            if uki.size != index.uki.size:
                raise Damaged(f"the UKI has {uki.size} bytes instead of {index.uki.size}")
            blocks.matches(uki, index.uki, "the UKI")
            self.accepts(uki)

    def publish(self, index: Index) -> None:
        """Let systemd-boot start it. `verify` has just said that slot and UKI are whole."""
        self.progress.step = "publishing"
        self.disk.label(self.disk.slots()[1], index.version, index.root_hash)
        name = Uki.fresh(index.version).name
        self.esp.rename(boot.part_name(index.version), name)
        self.esp.stamp(name, MAGIC)

    def is_published(self, version: Version) -> bool:
        facts = self.facts()
        return facts.other == version and facts.uki(version) is not None

    # other deeds

    def discard(self, version: Version) -> None:
        """Take a version that does not run off the disk: its UKI, what was begun of it, its labels."""
        assert version != self.running
        self.stay()
        other = self.disk.slots()[1]
        for name in self.esp.names():
            uki = Uki.parse(name)
            if name == boot.part_name(version) or (uki and uki.version == version):
                self._remove(name)
        if other.version == version:
            self.disk.clear(other)

    def clean(self, target: Version | None) -> list[str]:
        """Remove UKIs that no slot uses; which."""
        gone = unused(replace(self.facts(), names=self.esp.names()), target)
        for name in gone:
            self._remove(name)
        return gone

    def _remove(self, name: str) -> None:
        """Veiled first: a cut in the removal must not leave something that starts."""
        if not boot.is_part(name):
            self.esp.stamp(name, VEIL)
        self.esp.remove(name)

    def mend(self, *, proven: bool) -> str:
        """Give a UKI that a cut in a rename left with its short name alone its own name back; what was done.

        `proven`: the running version was blessed before, so its UKI needs no counter.
        """
        facts = self.facts()
        for name in facts.names:
            if not boot.is_stray(name):
                continue
            root_hash = self._root_hash(name)
            if root_hash == facts.running_hash:
                uki = Uki(facts.running) if proven else Uki.fresh(facts.running).tried()
            elif root_hash == facts.other_hash and facts.other:
                uki = Uki(facts.other)
            else:
                self._remove(name)
                return f"removed {name}, which leads to no slot"
            if facts.uki(uki.version) is None:  # otherwise both names may be of one file: removing it would hit both
                self.esp.rename(name, uki.name)
                return f"renamed {name} to {uki.name}"
        return ""

    def _root_hash(self, name: str) -> str:
        """From the command line in the UKI; empty when there is none."""
        with self.esp.reading(name) as file:
            last = b""
            for at in range(0, file.size, PIECE):
                last = last[-len(_USRHASH) - 64 :] + device.read(file, at, PIECE)
                found = re.search(_USRHASH + rb"([0-9a-f]{64})", last)
                if found:
                    return found[1].decode()
        return ""

    def other(self) -> Uki:
        """The UKI of the other slot, which is read whole. Raises BadInput when there is none, or it failed; Damaged."""
        facts = self.facts()
        other = facts.uki(facts.other) if facts.other else None
        if other is None or (other.bad and other.done):
            raise BadInput(
                "there is no other version on this machine to go back to",
                hint="name one to be installed: orlop node update --to VERSION",
            )
        slot = self.disk.slots()[1]
        with self.disk.reading(slot.usr) as usr, self.disk.reading(slot.verity) as tree:
            verity.verify(usr, tree, slot.root_hash, self.progress.moved)
        return other

    def step_aside(self, *, failed: bool = False) -> None:
        """Put the running version behind the other one, which is what starts next.

        The other one gets its tries counted again: if it does not come up any more, the running version, whose UKI is
        renamed and never lost, is what is left to start. But when the running version `failed`, or has yet to prove
        itself, a blessed one stays so: a few power cuts would use up its tries, and then the running one, if newer,
        would be started for ever. A newer one is before the running one as it is; were both bad, it would be started
        for ever. Raises BadInput and Damaged as `other`.
        """
        theirs = self.other()
        if theirs.bad or (theirs.blessed and not failed and not self.facts().unproven):
            self.esp.rename(theirs.name, Uki.fresh(theirs.version).name)
        mine = self.facts().uki(self.running)
        if mine and not mine.bad and (failed or theirs.version < self.running):
            self.esp.rename(mine.name, mine.demoted().name)

    def stay(self) -> None:
        """Put the running version, if it stepped aside for a reboot that did not come, in front again.

        It was blessed then. Left as one that is bad, the next version, once it fails, would be started for ever.
        """
        if self.facts().aside:
            self.esp.rename(Uki(self.running).demoted().name, Uki(self.running).name)
