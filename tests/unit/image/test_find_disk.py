"""How a boot finds its disks and devices: the real scripts, with devices that are files and a udev that only notes."""

from __future__ import annotations

import os
import subprocess
from pathlib import Path

import pytest

TREE = Path("os/initrd/tree/usr/lib/orlop").resolve()
AWAITED = Path("os/mkosi.extra/usr/lib/orlop/awaited-devices").resolve()
EARLY = Path("os/mkosi.extra/usr/lib/orlop/early-devices").resolve()
HASH = "49f7153730b466a3666ccc1cf3bf44f8cbde483b2546e344fe4afc9c4c040469"
DATA, TREE_UUID = "49f71537-30b4-66a3-666c-cc1cf3bf44f8", "cbde483b-2546-e344-fe4a-fc9c4c040469"
EVERYWHERE = "--subsystem-match=pci"


class Initrd:
    def __init__(self, top: Path) -> None:
        self.top, self.disks, self.bin = top, top / "disks", top / "bin"
        for folder in (self.disks, self.bin):
            folder.mkdir()
        (top / "cmdline").write_text(f"root=tmpfs usrhash={HASH} quiet\n")
        (top / "seqnum").write_text("100\n")
        self.program("sleep", f"echo slept >> {top}/called")
        self.finds()

    def program(self, name: str, script: str) -> None:
        (self.bin / name).write_text(f"#!/bin/sh\n{script}\n")
        (self.bin / name).chmod(0o755)

    def finds(self, *uuids: str, by: str = EVERYWHERE, first: str = ":") -> None:
        """What a trigger whose words hold `by` makes appear; `first`: shell that runs before that."""
        made = " ".join(["touch", str(self.top / "called"), *(str(self.disks / uuid) for uuid in uuids)])
        note = f'echo "$*" >> {self.top}/called'
        self.program("udevadm", f'{note}\n{first}\ncase "$*" in *{by}*) {made} ;; esac')

    def boot(self) -> subprocess.CompletedProcess[str]:
        env = {
            "PATH": f"{self.bin}:{os.environ['PATH']}",
            "ORLOP_DISKS": str(self.disks),
            "ORLOP_SEQNUM": f"{self.top}/seqnum",
            "ORLOP_CMDLINE": f"{self.top}/cmdline",
            "ORLOP_PCI": f"{self.top}/pci",
        }
        argv = ["sh", str(TREE / "find-disk")]
        # in `/`, as in the initrd: it has names of four letters
        return subprocess.run(argv, cwd="/", env=env, capture_output=True, text=True, check=False, timeout=60)

    def controller(self, name: str, kind: str, *, has_driver: bool) -> Path:
        """A PCI device; the file that its event is asked for in."""
        place = self.top / "pci" / name
        place.mkdir(parents=True)
        (place / "class").write_text(f"{kind}\n")
        (place / "uevent").touch()
        if has_driver:
            (place / "driver").touch()
        return place / "uevent"

    @property
    def called(self) -> list[str]:
        return (self.top / "called").read_text().splitlines()


@pytest.fixture
def initrd(tmp_path: Path) -> Initrd:
    return Initrd(tmp_path)


def test_a_disk_where_most_machines_have_it_is_all_that_is_looked_for(initrd: Initrd) -> None:
    initrd.finds(DATA, TREE_UUID, by="--subsystem-match=virtio")
    assert initrd.boot().returncode == 0
    assert not [line for line in initrd.called if EVERYWHERE in line]
    assert "slept" not in initrd.called


def test_every_controller_is_looked_at_when_it_is_not_there(initrd: Initrd) -> None:
    initrd.finds(DATA, TREE_UUID)
    assert initrd.boot().returncode == 0
    assert len([line for line in initrd.called if EVERYWHERE in line]) == 1


def test_other_controllers_of_disks_are_asked_for_once_usr_is_found(initrd: Initrd) -> None:
    sata = initrd.controller("0000:00:1f.2", "0x010601", has_driver=False)
    scsi = initrd.controller("0000:00:03.0", "0x010000", has_driver=True)
    card = initrd.controller("0000:00:04.0", "0x020000", has_driver=False)
    initrd.finds(DATA, TREE_UUID, by="--subsystem-match=virtio")
    assert initrd.boot().returncode == 0
    assert [device.read_text() for device in (sata, scsi, card)] == ["add\n", "", ""]
    assert initrd.called[-1] == "settle", "it does not wait for them"


def test_it_gives_up_when_nothing_new_is_found(initrd: Initrd) -> None:
    initrd.finds(DATA)  # and not the hash tree
    done = initrd.boot()
    assert done.returncode == 1
    assert f"<3>no disk has this version's /usr: its partitions {DATA} and {TREE_UUID} are not there" in done.stdout
    assert 60 <= initrd.called.count("slept") <= 62


def test_it_does_not_give_up_while_devices_are_found(initrd: Initrd) -> None:
    # each second a device more, for longer than its patience; the disk is the last
    count = f"read -r n < {initrd.top}/seqnum; n=$((n + 1)); echo $n > {initrd.top}/seqnum"
    found = f"[ $n -lt 300 ] || touch {initrd.disks / DATA} {initrd.disks / TREE_UUID}"
    initrd.program("sleep", f"{count}; {found}")
    assert initrd.boot().returncode == 0


def test_it_does_not_give_up_while_udev_works(initrd: Initrd) -> None:
    initrd.finds(DATA, first='[ "$2" != --timeout=1 ] || exit 1')
    count = f"echo >> {initrd.top}/slept; [ $(wc -l < {initrd.top}/slept) -lt 100 ]"
    initrd.program("sleep", f"{count} || touch {initrd.disks / TREE_UUID}")
    assert initrd.boot().returncode == 0


def test_without_a_hash_there_is_nothing_to_wait_for(initrd: Initrd) -> None:
    (initrd.top / "cmdline").write_text("root=tmpfs\n")
    assert initrd.boot().returncode == 0


@pytest.mark.parametrize(
    ("jobs", "waits"),
    [
        ("1 var-data.mount start waiting\n2 dev-sda1.device start running\n", True),
        ("1 web.service start running\n2 a.device.service start waiting\n", False),
        ("", False),
    ],
)
def test_all_devices_are_found_early_only_when_a_unit_waits_for_one(tmp_path: Path, jobs: str, waits: bool) -> None:
    (tmp_path / "jobs").write_text(jobs)
    (tmp_path / "systemctl").write_text(
        f'#!/bin/sh\ncase $1 in list-jobs) cat {tmp_path}/jobs ;; *) echo "$*" >> {tmp_path}/called ;; esac\n'
    )
    (tmp_path / "udevadm").write_text("#!/bin/sh\n")
    for program in ("systemctl", "udevadm"):
        (tmp_path / program).chmod(0o755)
    env = {"PATH": f"{tmp_path}:{os.environ['PATH']}"}
    for words in ([], ["settled"]):
        subprocess.run(["sh", str(AWAITED), *words], env=env, check=True, timeout=20)
    called = (tmp_path / "called").read_text().splitlines() if (tmp_path / "called").exists() else []
    starts = ["start --no-block orlop-awaited-devices.service", "start orlop-devices.service"]
    assert called == (starts if waits else [])


def test_cards_watchdogs_and_consoles_are_found_early(tmp_path: Path) -> None:
    kinds = {"00:03.0": "0x020000", "00:06.0": "0x088000", "00:1f.2": "0x010601", "00:1f.3": "0x0c0500"}
    for place, kind in kinds.items():
        device = tmp_path / "sys/bus/pci/devices" / place
        device.mkdir(parents=True)
        (device / "class").write_text(f"{kind}\n")
    for name in ("ttyS0", "hvc0", "tty0", "ttyS9"):
        (tmp_path / "sys/class/tty" / name).mkdir(parents=True)
    for device in tmp_path.glob("sys/*/*/**/"):
        (device / "uevent").touch()
    (tmp_path / "sys/class/tty/ttyS9/uevent").unlink()  # it went away
    env = {"PATH": os.environ["PATH"], "ORLOP_SYS": f"{tmp_path}/sys", "ORLOP_NEXT": "true"}
    subprocess.run(["sh", str(EARLY)], env=env, check=True, timeout=20)
    asked = [path.parent.name for path in tmp_path.glob("sys/**/uevent") if path.read_text() == "add\n"]
    assert sorted(asked) == ["00:03.0", "00:06.0", "hvc0", "ttyS0"]
