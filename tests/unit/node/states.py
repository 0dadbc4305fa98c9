"""Every file in which a machine remembers something, below /var/lib/orlop, and who reads it at a start.

A file that a program of ours keeps there and that is not in `STATES` fails a test: of the sources (`test_states`), and
of a machine that has run (`tests/machines/test_container_machines.py`).
"""

from __future__ import annotations

import json
import os
import re
import shutil
import subprocess
from collections.abc import Callable
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path

from orlop.errors import BadInput
from orlop.model.update.memory import Memory
from orlop.node.cluster import memory
from orlop.node.config import eachboot, facts, kept
from orlop.node.config.kept import Deeds, Kept
from orlop.node.config.rendering import Rendering
from orlop.node.reset.wipe import reset
from orlop.node.update.catalog.catalog import FollowedRepository, Following
from orlop.node.update.catalog.offers import Offers
from orlop.node.update.catalog.unsigned import Choice, remember
from orlop.node.update.host import Host
from orlop.node.update.journal import Journal
from simulators.world import World
from tests.unit.node.update.worlds import FIRST, V1

OS = Path(__file__).parents[3] / "os/mkosi.extra/usr/lib/orlop"
CONFIG = Rendering(
    {"ignition": {"version": "3.4.0"}, "storage": {"disks": [{"device": "/dev/vdb", "wipeTable": True}]}}
)
SECRET = "0123456789abcdef" * 4


@dataclass(frozen=True)
class StateFile:
    """`write` makes a good one below the root of a machine; `start` is what reads it, and may not raise."""

    write: Callable[[Path], None]
    start: Callable[[Path], None]


def state(root: Path) -> Path:
    return root / "var/lib/orlop"


def _written(name: str, text: str) -> Callable[[Path], None]:
    def write(root: Path) -> None:
        path = state(root) / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(text)

    return write


def _nothing(_root: Path) -> None:
    """Nobody reads what is in it."""


def assemble(root: Path, words: str = "quiet") -> None:
    """As the initrd: the new root has an identity, whatever was kept of one. `words`: of the kernel's command line."""
    shutil.rmtree(root / "etc", ignore_errors=True)
    (root / "usr/share/factory/etc").mkdir(parents=True, exist_ok=True)
    (root / "usr/share/selinux/orlop").mkdir(parents=True, exist_ok=True)
    (root / "usr/share/selinux/orlop/labels").write_text("0a1b\n")
    (root / "cmdline").write_text(f"{words}\n")
    env = {**os.environ, "ORLOP_CMDLINE": str(root / "cmdline"), "ORLOP_RELABEL": str(root / "orders")}
    subprocess.run(["sh", OS / "assemble-root", root], env=env, check=True, timeout=30)
    made = (root / "etc/machine-id").read_text()
    assert re.fullmatch(r"[0-9a-f]{32}\n", made), made
    assert (state(root) / "machine-id").read_bytes()[:32] == made[:32].encode(), "and keeps it"


def label(root: Path) -> None:
    """As the initrd, where SELinux is to be enforced: what is not remembered rightly is labelled anew."""
    path = state(root) / "labels"

    def first_line() -> bytes:  # as a shell reads it
        return path.read_bytes().replace(b"\0", b"").partition(b"\n")[0].strip() if path.is_file() else b""

    had = first_line()
    assemble(root, "quiet enforcing=1")
    assert first_line() == b"0a1b"
    assert had == b"0a1b" or "/var" in (root / "orders/orlop.relabel").read_text().splitlines()


def know(root: Path) -> None:
    path = state(root) / "identity/secret"
    facts.own_secret(path)
    assert len(bytes.fromhex(path.read_text())) == 32


def last_good(root: Path) -> None:
    with suppress(BadInput):  # another configuration is asked for, and this one is not used
        kept.load(state(root) / "config/good.json")
    kept.save(state(root) / "config/good.json", Kept(CONFIG, "x", 1, "y"))


def deeds(root: Path) -> None:
    """A disk that may hold data is not wiped because nobody remembers."""
    path = state(root) / "config/done.json"
    found, note = kept.recover_deeds(path)
    assert (found is None) == bool(note)
    done = Deeds(eachboot.all_deeds(CONFIG)) if found is None else found
    assert not eachboot.for_disks(CONFIG, eachboot.Disks(done.done)).config.storage.disks[0].wipe_table
    kept.save_deeds(path, done)


def key(root: Path) -> None:
    assert len(facts.own_key(state(root) / "luks", "data")) > 80, "never an empty key"


def wipe(root: Path) -> None:
    reset(root)
    assert not (state(root) / "reset.json").exists()


def engine(root: Path) -> None:
    """The update engine with its state here: it knows what runs, and does a step."""
    folder = state(root) / "update"
    Offers(FollowedRepository(Following(()), None, folder / "releases", b""), folder)
    assert World(folder, FIRST).step() is not None


def failures(root: Path) -> None:
    release = root / "release"
    release.write_text("IMAGE_VERSION=20261201.1\n")
    folder = state(root) / "failures"
    env = {"ORLOP_FAILURES": str(folder), "ORLOP_RUN": str(root / "run"), "ORLOP_RELEASE": str(release)}
    env |= {"PATH": os.environ["PATH"], "ORLOP_PSTORE": str(root / "pstore")}
    subprocess.run(["sh", OS / "failures"], env=env, check=True, timeout=60, capture_output=True)
    assert (folder / ".open").read_text().startswith("20261201.1 ")


def excerpt(root: Path) -> None:
    Host(root).excerpt(V1)


def _journal(root: Path) -> None:
    Journal(state(root) / "update").save(Memory(hold="a fair"))


def _choice(root: Path) -> None:
    remember(state(root) / "update", Choice("http://releases.example", V1, unsigned=False))


def membership(root: Path) -> None:
    """A server looks where it is told to, and remembers anew."""
    folder = state(root) / "cluster"
    folder.mkdir(parents=True, exist_ok=True)
    memory.read(folder)
    memory.write(folder, memory.ClusterMemory(7, ("10.0.0.1",)))
    assert memory.read(folder) == memory.ClusterMemory(7, ("10.0.0.1",))


STATES = {
    "machine-id": StateFile(assemble, assemble),
    "labels": StateFile(label, label),
    "identity/secret": StateFile(_written("identity/secret", SECRET + "\n"), know),
    "config/good.json": StateFile(last_good, last_good),
    "config/done.json": StateFile(
        lambda root: kept.save_deeds(state(root) / "config/done.json", Deeds(eachboot.all_deeds(CONFIG))), deeds
    ),
    "luks/data.key": StateFile(key, key),
    "cluster/memory.json": StateFile(membership, membership),
    "reset.json": StateFile(_written("reset.json", json.dumps({"schema": 1, "keep": ["/var/log"]})), wipe),
    "update/journal": StateFile(_journal, engine),
    "update/from.json": StateFile(_choice, engine),
    "failures/.open": StateFile(failures, failures),
    "failures/20261201.1.txt": StateFile(_written("failures/20261201.1.txt", "bad verdict: x\n\nrest\n"), excerpt),
    "once-good": StateFile(_written("once-good", ""), _nothing),
}
# what is tested elsewhere: metadata, which is verified whenever it is read (tests/unit/trust, and the catalog's); keys,
# which the unit looks at before it keeps them (tests/machines/test_first_boots.py); contents, used if they are
# what their hash says, and what was being fetched, which begins anew (tests/unit/node/config/test_contents.py); the
# data of a member of the store, which etcd checks itself
ELSEWHERE = ("update/releases/", "ssh/", ".health", "config/contents", "config/fetching", "etcd/")


def is_known(name: str) -> bool:
    """Of a path below /var/lib/orlop."""
    generic = re.sub(r"^luks/.*", "luks/data.key", re.sub(r"/\d{8}\.\d+\.", "/20261201.1.", name))
    return generic in STATES or name.startswith(ELSEWHERE)
