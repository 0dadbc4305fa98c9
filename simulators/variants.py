"""New releases for the tests, in a second or two each: variants of the image that was built, good and bad.

    good        another version of the same system
    panics      its kernel finds no init and no root, and panics
    no-initrd   a unit that its initrd needs fails
    unhealthy   a unit of it fails, so that its first boot is judged bad
    hangs       a unit that the boot waits for never ends, so that its boot is never judged
    enforcing   the same system, whose kernel is told to enforce its SELinux policy

Each is a folder as `orlop image build` leaves it, without a disk. Compressing a /usr takes longest, so it is done once,
for all of them: it holds what every kind needs, and the kernel's command line says which kind it is. The version is in
two small files, which erofs keeps as they are: it is written over in place. So two variants differ in a few blocks of
/usr, in the verity tree, and in the UKI.

Kept under .orlop/cache by the image and by this file; those of another image go some hours after their last use.
"""

from __future__ import annotations

import hashlib
import os
import shutil
import time
from collections.abc import Sequence
from dataclasses import dataclass, replace
from enum import StrEnum
from pathlib import Path

from orlop import built
from orlop.errors import BadInput
from orlop.files import locked, made_beside, remove_tree
from orlop.image.factory import os_release
from orlop.image.index import make_index, write_index
from orlop.image.inspect import sha256
from orlop.image.seal import Sealed, make_disk, make_erofs, make_uki, seal_verity
from orlop.image.selinux import SELinuxMode
from orlop.model.words.version import Version
from orlop.sdk.run import sdk_run
from orlop.workspace import Workspace
from simulators.pe import sections

NOTE = "/usr/share/orlop/release-note"
FIRST = 90001  # of the numbers of a day, which are as long as each other
_MARK = 90000  # the number in the /usr that all are made from
_WORD = "orlop.test="
_TREE = "usr"
MAKE_SECONDS = 900.0  # the first compresses a whole /usr, and others wait for it
_KEPT_SECONDS = 6 * 3600  # after its last use; another session may be using it

UNHEALTHY = """[Unit]
Description=Fail, as a broken release would
ConditionKernelCommandLine=orlop.test=unhealthy

[Service]
Type=oneshot
ExecStart=/usr/bin/false
"""
HANGS = """[Unit]
Description=Never end, as a broken release would
ConditionKernelCommandLine=orlop.test=hangs
Before=multi-user.target

[Service]
Type=oneshot
ExecStart=/usr/bin/sleep infinity
TimeoutStartSec=infinity
"""
NO_INITRD = """[Unit]
Description=Fail, as a broken initrd would
DefaultDependencies=no
Before=initrd-root-fs.target

[Service]
Type=oneshot
ExecStart=/usr/bin/systemctl no-such-verb
"""


class VariantKind(StrEnum):
    GOOD = "good"
    PANICS = "panics"
    NO_INITRD = "no-initrd"
    UNHEALTHY = "unhealthy"
    HANGS = "hangs"
    ENFORCING = "enforcing"


@dataclass(frozen=True)
class Releases:
    """Variants of the image in `image`."""

    ws: Workspace
    image: Path

    @property
    def base(self) -> Version:
        return Version.parse(self.image.name)

    @property
    def _built(self) -> built.ImageFiles:
        return built.ImageFiles(self.image, self.base)

    @property
    def _folder(self) -> Path:
        key = hashlib.sha256(self._built.index.read_bytes() + Path(__file__).read_bytes())
        return self.ws.cache / "test-releases" / key.hexdigest()[:16]

    def version(self, number: int) -> Version:
        """The version of release `number`, counted from 1; each is newer than the image and the ones before."""
        return Version(self.base.day, FIRST - 1 + number)

    def make(self, number: int, kind: VariantKind = VariantKind.GOOD) -> Path:
        """The folder of release `number`, which is of this kind."""
        version, top = self.version(number), self._folder
        with locked(self.ws.cache / "test-releases.lock", "the maker of test releases", wait=MAKE_SECONDS):
            self._shared()
            folder = top / kind / str(version)
            if not folder.exists():
                folder.parent.mkdir(exist_ok=True)
                with made_beside(folder) as fresh:
                    self._make(fresh, version, kind)
        return folder

    def disk(self, number: int, kind: VariantKind) -> Path:
        """A folder with release `number` as `make` leaves it, and with its disk: for a machine that begins as it."""
        made = self.make(number, kind)
        folder = made.parent / "disks" / made.name
        with locked(self.ws.cache / "test-releases.lock", "the maker of test releases", wait=MAKE_SECONDS):
            if not folder.exists():
                folder.parent.mkdir(exist_ok=True)
                with made_beside(folder) as fresh:
                    for file in made.iterdir():
                        os.link(file, fresh / file.name)
                    work = fresh / "work"
                    work.mkdir()
                    make_disk(self.ws, Sealed.of(built.BuiltImage.read(fresh)), work)
                    remove_tree(work)
        return folder

    # what all have in common

    def _shared(self) -> None:
        """The /usr, and the parts of the image's UKI."""
        top = self._folder
        if (top / "shared").exists():
            os.utime(top)
            return
        for old in top.parent.iterdir() if top.parent.is_dir() else ():
            if old.stat().st_mtime < time.time() - _KEPT_SECONDS:
                remove_tree(old)
        top.mkdir(parents=True, exist_ok=True)
        with made_beside(top / "shared") as fresh:
            for name, content in sections(self._built.uki.read_bytes()):
                if not (fresh / name).exists():  # the second profile has sections of the same names
                    (fresh / name).write_bytes(content)
            self._make_usr(fresh)

    def _make_usr(self, fresh: Path) -> None:
        tree = fresh / _TREE
        sdk_run(
            self.ws,
            ["fsck.erofs", f"--extract={tree}", self._built.usr],
            what="unpacking the usr image",
            binds=[fresh, self.image],
        )
        mark = Version(self.base.day, _MARK)
        (tree / "lib/os-release").write_text(os_release(mark, hashlib.sha256(str(mark).encode()).hexdigest()[:16]))
        note = tree / NOTE.removeprefix("/usr/")
        note.parent.mkdir(parents=True, exist_ok=True)
        note.write_text(f"This is {mark}, made for a test.\n")
        for name, text in (("unhealthy", UNHEALTHY), ("hangs", HANGS)):
            unit = tree / f"lib/systemd/system/orlop-test-{name}.service"
            unit.write_text(text)
            wants = unit.parent / "multi-user.target.wants"
            wants.mkdir(exist_ok=True)
            (wants / unit.name).symlink_to(f"../{unit.name}")
        name = "7e57f00d-0000-4000-8000-000000000000"
        make_erofs(self.ws, tree, fresh / "usr.raw", epoch=self.base.epoch, name=name)
        remove_tree(tree)

    # one of them

    def _make(self, folder: Path, version: Version, kind: VariantKind) -> None:
        shared = self._folder / "shared"
        usr = (shared / "usr.raw").read_bytes()
        mark = str(Version(self.base.day, _MARK)).encode()
        if usr.count(mark) != str(os_release(version, "")).count(str(version)) + 1:
            raise BadInput("the version is not where it should be in the usr image of the test releases")
        built.ImageFiles(folder, version).usr.write_bytes(usr.replace(mark, str(version).encode()))
        sealed = seal_verity(self.ws, folder, version)
        work = folder / "work"
        work.mkdir()
        for name in ("linux", "initrd"):
            shutil.copyfile(shared / name, work / name)
        (work / "os-release").write_text(os_release(version, hashlib.sha256(str(version).encode()).hexdigest()[:16]))
        if kind is VariantKind.NO_INITRD:
            self._spoil_initrd(work)
        make_uki(
            self.ws,
            sealed,
            kernel=work / "linux",
            release=(shared / "uname").read_text(),
            initrd=work / "initrd",
            os_release=work / "os-release",
            more=words(kind),
            enforcing=SELinuxMode.ENFORCING if kind is VariantKind.ENFORCING else None,
        )
        remove_tree(work)
        write_index(folder, make_index(folder, version, sealed.root_hash))
        sums = {path.name: sha256(path) for path in (sealed.usr, sealed.verity, sealed.uki)}
        about = {
            **built.read_manifest(self.image).about,
            "version": str(version),
            "roothash": sealed.root_hash,
            "sha256": sums,
            **({"selinux": SELinuxMode.ENFORCING} if kind is VariantKind.ENFORCING else {}),
        }
        built.write_contents(folder, replace(built.BuiltImage.read(self.image).contents, version=version))
        built.write_manifest(folder, about)

    def _spoil_initrd(self, work: Path) -> None:
        """The kernel unpacks archives that follow one another over each other."""
        unit = work / "more/etc/systemd/system/orlop-test.service"
        unit.parent.mkdir(parents=True)
        unit.write_text(NO_INITRD)
        needed = unit.parent / "initrd-root-fs.target.requires"
        needed.mkdir()
        (needed / unit.name).symlink_to(f"../{unit.name}")
        pack = "find . -mindepth 1 | LC_ALL=C sort | cpio -o -H newc --quiet -R 0:0 | zstd -q >> ../initrd"
        sdk_run(
            self.ws,
            ["sh", "-c", f'cd "$1" && {pack}', "sh", work / "more"],
            what="spoiling the initrd",
            binds=[work],
        )


def words(kind: VariantKind) -> Sequence[str]:
    """What its kernel is told besides."""
    match kind:
        case VariantKind.PANICS:
            return ("rdinit=/no-such-program",)
        case VariantKind.UNHEALTHY | VariantKind.HANGS:
            return (f"{_WORD}{kind}",)
        case _:
            return ()
