"""From a finished tree to what a machine boots: the usr image, its verity tree, the UKI, and a disk with all three.

The root hash of the verity tree is on the UKI's command line and, split in two, it is the UUID of the two partitions:
that is how they are found (Discoverable Partitions Specification), and only on the disk that was booted (OF_BOOTED).
"""

from __future__ import annotations

import hashlib
import re
import shutil
import tempfile
import uuid
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from orlop.built import BuiltImage, ImageFiles
from orlop.errors import CommandFailed
from orlop.image import selinux
from orlop.model.disk.own import IMAGE_DISK, IMAGE_SEED
from orlop.model.update.boot import RESET_SORT_KEY
from orlop.model.words.arch import BUILT
from orlop.model.words.version import Version
from orlop.sdk.run import sdk_run
from orlop.workspace import Workspace

EROFS = ("-zlz4hc,12:zstd,level=9", "-C65536", "--all-root", "--quiet")
HINTS = "erofs-hints"
_EFI = "usr/lib/systemd/boot/efi"
STUB = f"{_EFI}/{BUILT.efi_stub}"
LOADER = f"{_EFI}/{BUILT.efi_loader}"
# where firmware looks on a disk that it has no entry for, and where systemd-boot and its updates are
ON_ESP = (f"EFI/BOOT/{BUILT.efi_default}", f"EFI/systemd/{BUILT.efi_loader}")
CMDLINE = "usr/lib/orlop/cmdline"
# The UKI's second profile, which is a second entry in the boot menu (ADR 0008): its id, its title, what its command
# line has more, and what it is sorted by there.
RESET = ("factory-reset", "factory reset", "systemd.factory_reset=1", RESET_SORT_KEY)
# Where udev shows the partitions of the disk that was booted, and of no other: 65-orlop-disk.rules. On two disks with
# the same version the UUIDs that follow from its root hash are the same.
OF_BOOTED = "/dev/disk/orlop/by-partuuid"
DISK_SIZE = "3G"  # clouds want whole MiB or whole GiB; what no partition takes is a hole in the file
LOADER_CONF = "timeout 0\neditor no\nauto-entries no\n"


@dataclass(frozen=True)
class Sealed(ImageFiles):
    """The artifacts of a version, made; `root_hash` is hexadecimal."""

    root_hash: str

    @classmethod
    def of(cls, image: BuiltImage) -> Sealed:
        return cls(image.folder, image.version, image.root_hash)

    @property
    def usr_uuid(self) -> uuid.UUID:
        return uuid.UUID(self.root_hash[:32])

    @property
    def verity_uuid(self) -> uuid.UUID:
        return uuid.UUID(self.root_hash[32:])

    @property
    def payload_bytes(self) -> int:
        """What an update carries: usr image, verity tree and UKI."""
        return sum(p.stat().st_size for p in (self.usr, self.verity, self.uki))


def keep_command_line(ws: Workspace, tree: Path) -> None:
    """Tell the machine what it is to be booted with; the root hash cannot be in what it is the hash of."""
    path = tree / CMDLINE
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(" ".join(_told(ws)) + "\n")


def _told(ws: Workspace, enforcing: selinux.SELinuxMode | None = None) -> list[str]:
    words = command_words((ws.os_tree / "cmdline").read_text())
    return selinux.arguments(words, enforcing or selinux.mode(ws))


def seed(version: Version, what: str) -> uuid.UUID:
    """A UUID that is always the same for the same version and purpose."""
    return uuid.UUID(bytes=hashlib.sha256(f"orlop {version} {what}".encode()).digest()[:16], version=4)


def seal_usr(ws: Workspace, tree: Path, folder: Path, version: Version) -> Sealed:
    """Make the usr image and the verity tree over it in `folder`."""
    draft = Sealed(folder, version, "0" * 64)
    make_erofs(ws, tree / "usr", draft.usr, epoch=version.epoch, name=seed(version, "usr"))
    return seal_verity(ws, folder, version)


def make_erofs(ws: Workspace, usr: Path, image: Path, *, epoch: int, name: uuid.UUID | str) -> None:
    """Make the file system of a /usr, labelled as the SELinux policy in it says. `epoch`: the time of
    every file; `name`: its UUID.
    """
    with tempfile.TemporaryDirectory(prefix="orlop-erofs-", dir="/tmp") as folder:
        sdk_run(
            ws,
            [
                *(
                    "mkfs.erofs",
                    *EROFS,
                    f"--compress-hints={ws.os_tree / HINTS}",
                    *selinux.label_words(usr, Path(folder)),
                ),
                *("-T", str(epoch), "-U", str(name), image, usr),
            ],
            what="making the usr image",
            binds=[image.parent, usr.parent],
        )


def seal_verity(ws: Workspace, folder: Path, version: Version) -> Sealed:
    """Make the verity tree over the usr image that is in `folder`."""
    draft = Sealed(folder, version, "0" * 64)
    out = sdk_run(
        ws,
        [
            *("veritysetup", "format", draft.usr, draft.verity),
            *("--uuid", str(seed(version, "verity")), "--salt", seed(version, "salt").hex),
            *("--data-block-size=4096", "--hash-block-size=4096", "--hash=sha256"),
        ],
        what="making the verity tree",
        binds=[folder],
    )
    match = re.search(r"Root hash:\s+([0-9a-f]{64})", out)
    if not match:
        raise CommandFailed("veritysetup printed no root hash", code=0, tail=out)
    return Sealed(folder, version, match[1])


def command_words(text: str) -> list[str]:
    """The words of os/cmdline. `#` begins a comment."""
    return [word for line in text.splitlines() for word in line.split("#", 1)[0].split()]


def command_line(words: Sequence[str], roothash: str) -> str:
    """The kernel command line: `words`, then the root hash."""
    halves = (("data", roothash[:32]), ("hash", roothash[32:]))
    places = [f"systemd.verity_usr_{name}={OF_BOOTED}/{uuid.UUID(half)}" for name, half in halves]
    return " ".join([*words, *places, f"usrhash={roothash}"])


def make_uki(
    ws: Workspace,
    sealed: Sealed,
    *,
    kernel: Path,
    release: str,
    initrd: Path,
    os_release: Path,
    more: Sequence[str] = (),
    enforcing: selinux.SELinuxMode | None = None,
) -> None:
    """Join stub, kernel, initrd and command line into one EFI program, with a second profile for a factory reset.

    `more` are further words of the command line; `enforcing` is what is done with SELinux, if it is not what os/ says.
    """
    cmdline = command_line([*_told(ws, enforcing), *more], sealed.root_hash)
    reset = _reset_profile(ws, cmdline, os_release, kernel.parent)
    sdk_run(
        ws,
        [
            *("/usr/lib/systemd/ukify", "build"),
            *("--stub", f"/{STUB}"),
            *("--linux", kernel, "--initrd", initrd, "--uname", release),
            *("--os-release", f"@{os_release}", "--cmdline", cmdline),
            *("--profile", "ID=main\n", "--join-profile", reset),
            *("--output", sealed.uki),
        ],
        what="making the UKI",
        binds=[sealed.folder, kernel.parent, initrd.parent, os_release.parent],
    )


def _reset_profile(ws: Workspace, cmdline: str, os_release: Path, work: Path) -> Path:
    """What differs when the same kernel and initrd are to make /var anew."""
    name, title, more, sort_key = RESET
    release, profile = work / f"{name}.os-release", work / f"{name}.efi"
    release.write_text(sorted_by(os_release.read_text(), sort_key))
    sdk_run(
        ws,
        [
            *("/usr/lib/systemd/ukify", "build"),
            *("--profile", f"ID={name}\nTITLE={title}\n"),
            *("--os-release", f"@{release}", "--cmdline", f"{cmdline} {more}"),
            *("--output", profile),
        ],
        what="making the UKI's profile for a factory reset",
        binds=[work],
    )
    return profile


def sorted_by(os_release: str, sort_key: str) -> str:
    """An os-release that systemd-boot sorts by `sort_key`, which it takes from IMAGE_ID."""
    return re.sub(r"^IMAGE_ID=.*$", f"IMAGE_ID={sort_key}", os_release, count=1, flags=re.MULTILINE)


def make_disk(ws: Workspace, sealed: Sealed, work: Path) -> None:
    """Write the whole disk: os/disk says which partitions, `work` is a folder to build in."""
    esp = work / "disk-root/esp"
    (esp / "EFI/Linux").mkdir(parents=True)
    (esp / "EFI/BOOT").mkdir()
    (esp / "EFI/systemd").mkdir()
    (esp / "loader").mkdir()
    (esp / "loader/loader.conf").write_text(LOADER_CONF)
    for name in ON_ESP:
        shutil.copyfile(ws.sdk / LOADER, esp / name)
    shutil.copyfile(sealed.uki, esp / "EFI/Linux" / sealed.version.uki_name)
    definitions = work / "disk-definitions"
    definitions.mkdir()
    values = {
        "DISK_UUID": str(IMAGE_DISK),
        "VERSION": str(sealed.version),
        "USR": str(sealed.usr),
        "USR_UUID": str(sealed.usr_uuid),
        "VERITY": str(sealed.verity),
        "VERITY_UUID": str(sealed.verity_uuid),
    }
    for conf in sorted((ws.os_tree / "disk").glob("*.conf")):
        (definitions / conf.name).write_text(re.sub(r"@([A-Z_]+)@", lambda m: values[m[1]], conf.read_text()))
    sdk_run(
        ws,
        [
            *("env", f"SOURCE_DATE_EPOCH={sealed.version.epoch}"),
            *("systemd-repart", "--empty=create", f"--size={DISK_SIZE}", "--dry-run=no", "--offline=yes", "--no-pager"),
            *("--definitions", definitions, "--copy-source", work / "disk-root", "--json=off"),
            *("--seed", str(IMAGE_SEED), sealed.disk),
        ],
        what="writing the disk image",
        binds=[sealed.folder, work],
    )
    sdk_run(ws, ["fallocate", "--dig-holes", sealed.disk], what="making the disk image sparse", binds=[sealed.folder])
