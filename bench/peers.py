"""Three engines that bring the same files onto the same disk: Orlop's, systemd-sysupdate, RAUC.

Each gives the command that is timed, run in a process group of its own, and what a machine would have ready before it.
systemd-sysupdate is the SDK's, and writes to the disk's file as Orlop does. RAUC comes with a Debian tree that is made
once in `.orlop/cache/peers`; it gets the slots as loop devices over the same file, and a D-Bus of its own.
"""

from __future__ import annotations

import json
import os
import re
import shutil
import subprocess
import sys
import uuid
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Protocol

from bench.update_apply import BenchMachine, apply_argv
from orlop.files import locked, made_beside, remove_tree
from orlop.image.seal import Sealed
from orlop.model.release.index import PARTS, PartName
from orlop.model.update.boot import Uki
from orlop.node.update.slot.disk import Slot, open_disk
from orlop.processes import run
from orlop.sdk.run import in_sdk
from orlop.sdk.sources import from_host
from orlop.sdk.tree import bootstrap_argv
from orlop.steps import Steps
from orlop.workspace import Workspace

RAUC = Path(__file__).with_name("rauc")
PACKAGES = ["ca-certificates", "curl", "dbus", "openssl", "rauc", "rauc-service", "squashfs-tools"]
SLOT_PARTS: tuple[PartName, ...] = ("usr", "verity")
# mounts end with the namespace, and so does every process
_IN_TREE = (
    "mount -t proc proc $0/proc && mount --rbind /dev $0/dev && mount --rbind /sys $0/sys && "
    "mount -t tmpfs tmpfs $0/run && mount -t tmpfs tmpfs $0/tmp && "
    'mount --bind "$1" $0/mnt && exec chroot $0 "${@:2}"'
)


class PeerEngine(Protocol):
    name: str

    @contextmanager
    def ready(self, machine: BenchMachine, new: Sealed) -> Iterator[None]:
        """What a machine has before an update begins."""
        ...

    def command(self, machine: BenchMachine, new: Sealed, url: str) -> Sequence[str | Path]: ...

    def seconds(self, out: str, wall: float) -> float:
        """How long the update itself took."""
        ...

    def target(self, machine: BenchMachine) -> tuple[Path, int]:
        """Where the usr image is written to: a file or device, and the offset in it."""
        ...

    def notes(self, machine: BenchMachine) -> dict[str, object]:
        """What only this engine can tell."""
        ...


def slots(machine: BenchMachine) -> tuple[Slot, Slot]:
    opened = open_disk(machine.disk, machine.running.root_hash)
    try:
        return opened.slots()
    finally:
        opened.close()


def in_file(machine: BenchMachine) -> tuple[Path, int]:
    other = slots(machine)[1]
    return machine.disk, other.usr.first * other.sector


class Orlop:
    name = "orlop"

    @contextmanager
    def ready(self, machine: BenchMachine, new: Sealed) -> Iterator[None]:  # noqa: ARG002
        yield

    def command(self, machine: BenchMachine, new: Sealed, url: str) -> Sequence[str | Path]:
        return [sys.executable, *apply_argv(machine, new, url)]

    def seconds(self, out: str, wall: float) -> float:  # noqa: ARG002
        return float(json.loads(out)["seconds"])

    def target(self, machine: BenchMachine) -> tuple[Path, int]:
        return in_file(machine)

    def notes(self, machine: BenchMachine) -> dict[str, object]:  # noqa: ARG002
        return {}


class Sysupdate:
    name = "sysupdate"

    def __init__(self, ws: Workspace, folder: Path) -> None:
        self.ws, self.definitions, self.folder = ws, folder / "sysupdate.d", folder

    @contextmanager
    def ready(self, machine: BenchMachine, new: Sealed) -> Iterator[None]:  # noqa: ARG002
        yield
        remove_tree(self.definitions)

    def command(self, machine: BenchMachine, new: Sealed, url: str) -> Sequence[str | Path]:  # noqa: ARG002
        self.definitions.mkdir(exist_ok=True)
        head = f"[Transfer]\nVerify=no\nProtectVersion={machine.running.version}\n"
        source = f"[Source]\nType=url-file\nPath={url}sysupdate/\nMatchPattern=orlop_@v_"
        for n, (part, suffix, kind) in enumerate((("verity", "_verity", "usr-verity"), ("usr", "", "usr"))):
            (self.definitions / f"{n}-{part}.transfer").write_text(
                f"{head}{source}@u.{kind}.raw\n[Target]\nType=partition\nPath={machine.disk}\n"
                f"MatchPattern=orlop_@v{suffix}\nMatchPartitionType={kind}\nReadOnly=1\n"
            )
        (self.definitions / "9-uki.transfer").write_text(
            f"{head}{source[:-1]}.efi\n[Target]\nType=regular-file\nPath={machine.esp / 'EFI/Linux'}\n"
            "MatchPattern=orlop_@v+@l-@d.efi orlop_@v+@l.efi orlop_@v.efi\nTriesLeft=3\nTriesDone=0\nInstancesMax=2\n"
        )
        argv = ["/usr/lib/systemd/systemd-sysupdate", f"--definitions={self.definitions}", "update"]
        return in_sdk(self.ws, argv, binds=[self.folder])

    def seconds(self, out: str, wall: float) -> float:  # noqa: ARG002
        return wall

    def target(self, machine: BenchMachine) -> tuple[Path, int]:
        return in_file(machine)

    def notes(self, machine: BenchMachine) -> dict[str, object]:  # noqa: ARG002
        return {}


def for_sysupdate(new: Sealed) -> None:
    """The image's files by names that carry the partitions' UUIDs, and their hashes."""
    folder, half = new.folder / "sysupdate", len(new.root_hash) // 2
    folder.mkdir()
    names: dict[PartName, str] = {
        "usr": f"{new.version.usr_label}_{uuid.UUID(new.root_hash[:half])}.usr.raw",
        "verity": f"{new.version.usr_label}_{uuid.UUID(new.root_hash[half:])}.usr-verity.raw",
        "uki": f"{new.version.usr_label}.efi",
    }
    for part, name in names.items():
        os.link(new.part(part), folder / name)
    sums = run(["sha256sum", *(folder / name for name in names.values())], what="hashing")
    (folder / "SHA256SUMS").write_text(sums.replace(f"{folder}/", ""))


class Rauc:
    """`adaptive`: with block-hash-index, where it copies from its slots what they hold already."""

    def __init__(self, tree: Path, folder: Path, *, adaptive: bool) -> None:
        self.name = "rauc adaptive" if adaptive else "rauc"
        self.tree, self.top, self.adaptive = tree, folder, adaptive
        self.folder = folder / "rauc"
        if not self.folder.exists():
            shutil.copytree(RAUC, self.folder)
            key = ["req", "-x509", "-newkey", "rsa:2048", "-nodes", "-subj", "/O=bench/CN=bench", "-days", "3650"]
            files = ["-keyout", "/mnt/rauc/key.pem", "-out", "/mnt/rauc/cert.pem"]
            run(self._inside("openssl", *key, *files), what="making a key for RAUC")

    def _inside(self, *argv: str) -> list[str | Path]:
        alone = ["unshare", "--mount", "--pid", "--fork", "--kill-child=KILL", "--"]
        return [*alone, "bash", "-c", _IN_TREE, self.tree, self.top, *argv]

    def bundle(self, new: Sealed, form: str = "plain") -> Path:
        """The image as a bundle beside its files, made once."""
        made = new.folder / f"{self.name.replace(' ', '-')}-{form}.raucb"
        if made.exists():
            return made
        content = self.folder / "content"
        content.mkdir()
        for part in PARTS:
            os.link(new.part(part), content / f"{part}.{'efi' if part == 'uki' else 'img'}")
        values = {
            "@VERSION@": str(new.version),
            "@FORMAT@": form,
            "@ADAPTIVE@": "adaptive=block-hash-index" if self.adaptive else "",
            "@UKI@": Uki.fresh(new.version).name,
        }
        for name in ("manifest.raucm", "hook.sh"):
            text = re.sub("@[A-Z]+@", lambda m: values[m[0]], (RAUC / name).read_text())
            (content / name).write_text(text)
        (content / "hook.sh").chmod(0o755)
        signed = ["--cert=/mnt/rauc/cert.pem", "--key=/mnt/rauc/key.pem", "/mnt/rauc/content"]
        run(
            self._inside("rauc", "bundle", *signed, f"/mnt/{made.relative_to(self.top)}"),
            what="making a bundle",
        )
        remove_tree(content)
        return made

    @contextmanager
    def ready(self, machine: BenchMachine, new: Sealed) -> Iterator[None]:
        self.bundle(new)
        devices = self.folder / "dev"
        for name in ("data", "boot", "dev"):
            remove_tree(self.folder / name)
            (self.folder / name).mkdir()
        (self.folder / "download.raucb").unlink(missing_ok=True)
        loops = []
        try:
            for slot, letter in zip(slots(machine), "ab", strict=True):
                for part in SLOT_PARTS:
                    where = (f"--offset={slot.part(part).first * slot.sector}", f"--sizelimit={slot.room(part)}")
                    argv: list[str | Path] = ["losetup", "--find", "--show", *where, machine.disk]
                    loops.append(run(argv, what="attaching a slot").strip())
                    (devices / f"{part}-{letter}").symlink_to(loops[-1])
            if self.adaptive:
                self._installed(machine)
            yield
        finally:
            for loop in loops:
                run(["losetup", "--detach", loop], what="detaching a slot")

    def _installed(self, machine: BenchMachine) -> None:
        """Let RAUC itself have installed what runs: it then has the hashes of its blocks."""
        bundle = self.bundle(machine.running)
        argv = self._inside("/mnt/rauc/install.sh", "B", f"file:///mnt/{bundle.relative_to(self.top)}")
        run(argv, what="installing what runs")
        (machine.esp / "EFI/Linux" / Uki.fresh(machine.running.version).name).unlink()
        (self.folder / "download.raucb").unlink()

    def command(self, machine: BenchMachine, new: Sealed, url: str) -> Sequence[str | Path]:  # noqa: ARG002
        return self._inside("/mnt/rauc/install.sh", "A", url + self.bundle(new).name)

    def seconds(self, out: str, wall: float) -> float:  # noqa: ARG002
        return int(out.rsplit(maxsplit=1)[-1]) / 1000

    def target(self, machine: BenchMachine) -> tuple[Path, int]:  # noqa: ARG002
        return Path(os.readlink(self.folder / "dev/usr-b")), 0

    def notes(self, machine: BenchMachine) -> dict[str, object]:  # noqa: ARG002
        log = (self.folder / "log").read_text()
        boot = self.folder / "boot"
        read = sum(int(n) for n in re.findall(r"source_image: count=(\d+)", log))
        said = {p.name: p.read_text().strip() for p in sorted(boot.glob("[ABp]*"))}
        return {"boot loader": said, "read from the bundle": read * 4096 if self.adaptive else None}

    def streaming(self, new: Sealed) -> str:
        """What a bundle in the verity format, which streaming needs, says here; empty when it installs."""
        bundle = self.bundle(new, "verity")
        argv = self._inside("/mnt/rauc/install.sh", "A", f"file:///mnt/{bundle.relative_to(self.top)}")
        done = subprocess.run(argv, check=False, capture_output=True, text=True, timeout=600)
        bundle.unlink()
        return "" if done.returncode == 0 else next(iter(re.findall("LastError: (.*)", done.stderr)), done.stderr)


def tree(ws: Workspace, steps: Steps) -> Path:
    """A Debian with RAUC in it, made once for a list of packages."""
    made, listed = ws.cache / "peers", " ".join(PACKAGES)
    with locked(ws.state / "peers.lock", "the peers' tree"):
        if not (made / "packages").is_file() or (made / "packages").read_text() != listed:
            remove_tree(made)
            cache = ws.cache / "sdk-packages"
            cache.mkdir(parents=True, exist_ok=True)
            with steps.step("Making the peers' tree"), made_beside(made) as work:
                run(
                    bootstrap_argv(work / "tree", PACKAGES, cache, from_host()),
                    what="making the peers' tree",
                    env={"TMPDIR": str(work)},
                )
                (work / "packages").write_text(listed)
    return made / "tree"
