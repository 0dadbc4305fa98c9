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
from collections.abc import Callable, Generator, Iterator
from contextlib import contextmanager
from dataclasses import replace

from orlop.errors import BadInput, NoSpace
from orlop.model.release.index import BLOCK, PARTS, Index, PartName, Patch, file_name, verity_blocks
from orlop.model.update import boot
from orlop.model.update.boot import Uki
from orlop.model.update.facts import Facts
from orlop.model.words.labels import EMPTY_LABEL
from orlop.model.words.version import Version
from orlop.node.update.blobs.fetch import Fetcher
from orlop.node.update.slot import blocks, device, verity
from orlop.node.update.slot.device import PIECE, Device
from orlop.node.update.slot.disk import Disk, Slot
from orlop.node.update.slot.esp import MAGIC, VEIL, Esp, Veiled
from orlop.node.update.slot.fill import Filling, Old
from orlop.node.update.slot.progress import Moved, Progress
from orlop.node.update.slot.verity import Damaged

ESP_SPARE = 1 << 20  # bytes that stay free on the ESP
STAND_BY = 9  # tries of a version that was not blessed and is fallen back to all the same
_USRHASH = b"usrhash="


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
        accepts: Callable[[Device], None] = lambda _: None,
    ) -> None:
        self.disk, self.esp, self.running, self.accepts = disk, esp, running, accepts
        self.progress = Progress()

    def facts(self) -> Facts:
        """What the disk shows now. A UKI that is veiled is not there: systemd-boot does not see it either."""
        running, other = self.disk.slots()
        version, letter = other.version, "A" if running.usr.number < other.usr.number else "B"
        names = tuple(n for n in self.esp.names() if not n.lower().endswith(boot.SUFFIX) or not self._veiled(n))
        return Facts(self.running, self.disk.running_hash, version, other.root_hash if version else "", names, letter)

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
        self.stay()  # the running version first in line before the other's UKI goes
        for name in names:
            if name not in keep:
                self._remove(name)
        # UKIs before labels: a cut between them leaves a slot that nothing starts, never a UKI without its slot
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

    def fill(self, index: Index, fetcher: Fetcher) -> Generator[Moved]:
        """Write every block that is not there yet. Raises NetError, NoSpace, Damaged; what is written stays."""
        self.progress = Progress("comparing", index.payload_bytes)
        for name in PARTS:
            with self._target(index, name) as target, self._running(name) as running:
                old = Old(running, self._used(name, running), self._patch(index, name)) if running else None
                part = index.part(name)
                paths = (part.blob.path, file_name(index.version, name))
                self.progress = self.progress.looking("comparing", part.size + (old.size if old else 0))
                for moved in Filling(part, paths, target, old, fetcher).run():
                    self.progress = self.progress.after(moved, fetcher.bytes_in)
                    yield moved
                target.flush()

    def _patch(self, index: Index, name: PartName) -> Patch | None:
        """The patch from what runs, if the release has one."""
        fitting = (p for p in index.patches if p.part == name and p.base_root_hash == self.disk.running_hash)
        return min(fitting, key=lambda p: p.blob.size, default=None)

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

    def verify(self, index: Index) -> Generator[Moved]:
        """Read all of it from the medium. Raises Damaged, naming what is wrong."""
        self.progress = self.progress.looking("verifying", index.usr.size)
        self._reclaim(index.version)
        other = self.disk.slots()[1]
        with self.disk.reading(other.usr) as usr, self.disk.reading(other.verity) as tree:
            # what memory has of it was just written from there: only what the medium gives back is proof
            usr.forget()
            tree.forget()
            blocks.matches(tree, index.verity, "the verity tree")
            if verity.superblock(tree).blocks != index.usr.blocks:
                raise Damaged("the verity tree is over another usr image")
            for moved in verity.verifying(usr, tree, index.root_hash):
                self.progress = replace(self.progress, looked=self.progress.looked + moved.looked)
                yield moved
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
        self.progress = replace(self.progress, step="publishing")
        self._stand_by(index.version)  # before there is a newer one, which systemd-boot would prefer
        # label, name, unveil, each on the disk before the next: only the last makes it start, and cannot be half done
        self.disk.label(self.disk.slots()[1], index.version, index.root_hash)
        name = Uki.fresh(index.version).name
        self.esp.rename(boot.part_name(index.version), name)
        self.esp.stamp(name, MAGIC)

    def _stand_by(self, newer: Version) -> None:
        """Give a running version that has not proven itself more tries: it is what the next one falls back to.

        Were both bad, systemd-boot would start the newer one for ever. There are more than for a version on trial,
        because the power may fail at each start before the other one is taken off the disk. Its UKI may be the only
        one: it is copied, not renamed, because a cut in a rename on FAT can lose the file.
        """
        mine = self.facts().uki(self.running)
        if not mine or mine.left is None or mine.left >= STAND_BY or newer < self.running:
            return
        part, better = boot.part_name(self.running), replace(mine, left=STAND_BY, done=max(mine.done, 1))
        with self.esp.reading(mine.name) as old, self.esp.writing(part, old.size) as file:
            copy = Veiled(file)
            at = 0
            for piece in device.stream(old, 0, old.size):
                copy.write(piece, at)
                at += len(piece)
            copy.flush()
        self.esp.rename(part, better.name)
        self.esp.stamp(better.name, MAGIC)
        self._remove(mine.name)

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

    def _remove(self, name: str) -> None:
        """Veiled first: a cut in the removal must not leave something that starts."""
        if not boot.is_part(name):
            self.esp.stamp(name, VEIL)
        self.esp.remove(name)

    def mend(self, facts: Facts, *, proven: bool) -> str:
        """Give a UKI that a cut in a rename left with its short name alone its own name back; what was done.

        `facts` is what the disk has just shown, which is something else once anything was done. `proven`: the running
        version was blessed before, so its UKI needs no counter.
        """
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
                match = re.search(_USRHASH + rb"([0-9a-f]{64})", last)
                if match:
                    return match[1].decode()
        return ""

    def other(self) -> Uki:
        """The UKI of the other slot. Raises BadInput when there is none, or it failed."""
        facts = self.facts()
        other = facts.uki(facts.other) if facts.other else None
        if other is None or (other.bad and other.done):
            raise BadInput(
                "there is no other version on this machine to go back to",
                hint="name one to be installed: orlop node update --to VERSION",
            )
        return other

    def check_other(self) -> Generator[Moved]:
        """Read the other slot whole. Raises BadInput as `other`; Damaged when it is not what its labels promise."""
        self.other()
        slot = self.disk.slots()[1]
        with self.disk.reading(slot.usr) as usr, self.disk.reading(slot.verity) as tree:
            yield from verity.verifying(usr, tree, slot.root_hash)

    def step_aside(self, *, failed: bool = False) -> Generator[Moved]:
        """Put the running version behind the other one, which is what starts next, once it was read and found whole.

        The other one gets its tries counted again: if it does not come up any more, the running version, whose UKI is
        renamed and never lost, is what is left to start. But when the running version `failed`, or has yet to prove
        itself, a blessed one stays so: a few power cuts would use up its tries, and then the running one, if newer,
        would be started for ever. A newer one is before the running one as it is; were both bad, it would be started
        for ever. Raises BadInput and Damaged as `check_other`. Left before its end it has changed nothing.
        """
        yield from self.check_other()
        theirs = self.other()
        if failed or self.facts().unproven:
            better = Uki(theirs.version) if theirs.bad else theirs  # it was blessed when it stepped aside
        else:
            better = Uki.fresh(theirs.version)  # one that stood by has more tries than one that is on trial
        if better != theirs:
            self.esp.rename(theirs.name, better.name)
        mine = self.facts().uki(self.running)
        if mine and not mine.bad and (failed or theirs.version < self.running):
            self.esp.rename(mine.name, mine.demoted().name)

    def stay(self) -> None:
        """Put the running version, if it stepped aside for a reboot that did not come, in front again.

        It was blessed then. Left as one that is bad, the next version, once it fails, would be started for ever.
        """
        if self.facts().aside:
            self.esp.rename(Uki(self.running).demoted().name, Uki(self.running).name)
