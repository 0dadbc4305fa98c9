"""All of it in order: find the configuration, let Ignition apply it, finish /etc, remember, report.

The order is Ignition's, and a stage that the configuration gives nothing to do is not started. Between the stages the
rules of `eachboot` and `remote` are laid over the configuration it has read. A source that cannot be read is replaced
by the last good configuration, when there is one, and the console says so; a configuration that was read and is wrong
stops the boot.
"""

from __future__ import annotations

import json
import os
import secrets
import shutil
import subprocess
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import asdict, dataclass, field, replace
from pathlib import Path

from orlop.errors import BadInput
from orlop.files import write_atomic
from orlop.model.drift import Origin, Owner
from orlop.node import drift
from orlop.node.config import eachboot, facts, finish, firsts, kept, media, network, platforms, remote
from orlop.node.config.failure import Failure, StageFailed
from orlop.node.config.ignition import Ignition
from orlop.node.config.kept import Deeds, Kept
from orlop.node.config.remote import Config

FETCH_SECONDS = 120
FETCH_SECONDS_WITH_KEPT = 30
INLINE_BYTES = 64_000_000
# For the stages that apply: each asks its cloud for a region or an account before it begins, and would wait for one
# that is away. By then nothing is fetched any more.
WITHOUT_CLOUD = "metal"
SELINUX = Path("etc/selinux/config")


@dataclass
class Report:
    """What /run/orlop/config.json says; `origin` is "fresh", "kept" or "none"."""

    platform: str = ""
    source: str = ""
    origin: str = "none"
    config_sha256: str = ""
    ok: bool = False
    failure: dict[str, str] = field(default_factory=dict)
    notes: list[str] = field(default_factory=list)
    stages: list[dict[str, object]] = field(default_factory=list)
    seconds: float = 0.0


@dataclass
class Boot:
    """One boot's configuration. `say` prints to the console; `root` is the new root, `run` and `state` are folders
    of this boot and of this machine.
    """

    root: Path
    run: Path
    state: Path
    say: Callable[[str], None]
    report: Report = field(default_factory=Report)
    is_online: bool = False

    def go(self) -> bool:
        """Configure the machine; False when a stage failed, which the console and the report then tell."""
        began = time.monotonic()
        ignition = self._ignition()
        try:
            with facts.all_modules():
                self._configure(ignition)
            self.report.ok = True
        except StageFailed as e:
            self._tell(e.failure)
        finally:
            if self.is_online:
                network.down()
            self.report.stages = [asdict(stage) for stage in ignition.stages]
            self.report.seconds = round(time.monotonic() - began, 3)
            write_atomic(self.run / "config.json", json.dumps(asdict(self.report)) + "\n")
        return self.report.ok

    def _ignition(self) -> Ignition:
        for folder in (self.run, self.run / "ignition", self.run / "ignition/system"):
            folder.mkdir(mode=0o700, parents=True, exist_ok=True)
        self.run.chmod(0o755)
        epoch = int((self.root / "usr/lib/os-release").stat().st_mtime)
        if not facts.FW_CFG_DRIVER.exists():
            subprocess.run(["modprobe", "-q", "qemu_fw_cfg"], check=False, timeout=60)
        name = self.report.platform = platforms.platform(facts.arguments(), facts.hardware())
        self.report.source = platforms.source(name, platforms.config_url(facts.arguments()), "")
        # the same configuration gives the same /etc/shadow, whatever the day
        env = {"SOURCE_DATE_EPOCH": str(epoch)}
        return Ignition(name, self.root, self.run / "ignition", self.run / "ignition/system", env)

    def _configure(self, ignition: Ignition) -> None:
        deeds = self._deeds()
        config, whole = self._acquire(ignition)
        ignition.platform = WITHOUT_CLOUD
        self._persist_identity()
        keys = {name: facts.own_key(self.state / "luks", name) for name in eachboot.keyless(config)}
        disks = eachboot.for_disks(config, self._disks(config, deeds, keys))
        self._use(ignition, disks.config)
        self._note(disks.notes)
        if config.get("kernelArguments"):
            ignition.stage("kargs")
        self._assemble(disks.assemble)
        has_disks = eachboot.has_disks(disks.config)
        if has_disks:
            self._remember(replace(deeds, begun=deeds.begun | disks.begins))
            ignition.stage("disks")
            if not disks.deeds <= deeds.done:
                firsts.flush(config)
        deeds = Deeds(deeds.done | disks.deeds, frozenset(), deeds.paths)
        self._remember(deeds)
        with _selinux_stub(self.root):
            if has_disks:
                ignition.stage("mount")
            try:
                self._files(ignition, config, disks.config, deeds)
            finally:
                if has_disks:
                    ignition.stage("umount")
        self._note(finish.units(self.root))
        finish.users_and_files(self.root)
        finish.clean(self.root, self.run)
        owned = {path: Owner(Origin.CONFIGURATION, at) for path, at in eachboot.watched_paths(config).items()}
        wanted = (config.get("kernelArguments") or {}).get("shouldExist") or ()
        drift.record(self.root, owned, self.run / "expected.json", sealed=True, arguments=wanted)
        if whole is not None and self.report.origin == "fresh":
            kept.save(self.state / "config/good.json", whole)

    # the configuration

    def _acquire(self, ignition: Ignition) -> tuple[Config, Kept | None]:
        """The configuration to apply, needing no network any more, and what to keep of it. Raises StageFailed."""
        last = self._last_good()
        try:
            if ignition.platform not in platforms.SUPPORTED:
                known = ", ".join(platforms.SUPPORTED)
                raise StageFailed(Failure("fetch", f"platform {ignition.platform} is not one of {known}", True))
            self._look_on_disks(ignition)
            timeout = FETCH_SECONDS_WITH_KEPT if last else FETCH_SECONDS
            ignition.stage("fetch-offline", timeout=timeout)
            if ignition.needs_network:
                self._online(ignition.platform)
                ignition.stage("fetch", timeout=timeout)
            config: Config = json.loads(ignition.cache.read_bytes())
            contents = self._fetch_remote(ignition, config)
        except StageFailed as e:
            if last is None or e.failure.reachable:
                raise
            since = time.strftime("%Y-%m-%d %H:%M UTC", time.gmtime(last.when))
            self.say(f"{self.report.source} could not be read: {e.failure.reason}")
            self.say(f"this boot uses the last good configuration, of {since}")
            self.report.origin, self.report.config_sha256 = "kept", last.sha256
            self.report.failure = {"stage": e.failure.stage, "reason": e.failure.reason}
            return last.config, None
        self.report.config_sha256 = kept.digest(config)
        if not _is_given(ignition):
            return config, None
        self.report.origin = "fresh"
        whole = remote.inlined(config, contents)
        return whole, Kept(whole, self.report.source, int(time.time()), self.report.config_sha256)

    def _look_on_disks(self, ignition: Ignition) -> None:
        if ignition.platform == "metal" and not platforms.config_url(facts.arguments()):
            found = media.find_config(ignition.system / "user.ign", self.run / "media")
            self.report.source = platforms.source("metal", "", found)

    def _fetch_remote(self, ignition: Ignition, config: Config) -> list[bytes]:
        """The contents of what the configuration takes from elsewhere, fetched and verified by Ignition itself."""
        wanted = remote.remote(config)
        if not wanted:
            return []
        self._online(ignition.platform)
        into, cache = self.run / "ignition/fetched", self.run / "ignition/fetch-plan.json"
        shutil.rmtree(into, ignore_errors=True)
        write_atomic(cache, json.dumps(remote.fetch_plan(config)), mode=0o600)
        try:
            with _selinux_stub(into):
                ignition.stage("files", root=into, cache=cache, called="fetch-files")
        except StageFailed as e:
            raise StageFailed(replace(e.failure, reason=remote.named(e.failure.reason, str(into), wanted))) from None
        files = [into / str(number) for number in range(len(wanted))]
        size = sum(file.stat().st_size for file in files)
        if size > INLINE_BYTES:
            limit = INLINE_BYTES // 1_000_000
            raise StageFailed(
                Failure("fetch", f"the contents from elsewhere are {size} bytes; {limit} MB are the most", True)
            )
        contents = [file.read_bytes() for file in files]
        shutil.rmtree(into)
        return contents

    def _last_good(self) -> Kept | None:
        try:
            return kept.load(self.state / "config/good.json")
        except BadInput as e:
            self._note([f"the kept configuration is not used: {e}"])
            return None

    def _deeds(self) -> Deeds:
        try:
            return kept.load_deeds(self.state / "config/done.json")
        except BadInput as e:
            raise StageFailed(Failure("disks", f"it is not known what was wiped before: {e}")) from None

    def _remember(self, deeds: Deeds) -> None:
        kept.save_deeds(self.state / "config/done.json", deeds)

    def _use(self, ignition: Ignition, config: Config) -> None:
        write_atomic(ignition.cache, json.dumps(config), mode=0o600)

    # the machine

    def _persist_identity(self) -> None:
        """The secret that this machine is known by to itself: it outlives every boot and update."""
        path = self.state / "identity/secret"
        if not path.exists():
            path.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
            write_atomic(path, secrets.token_hex(32) + "\n", mode=0o400)

    def _disks(self, config: Config, deeds: Deeds, keys: dict[str, str]) -> eachboot.Disks:
        storage = config.get("storage") or {}
        tables = [disk["device"] for disk in storage.get("disks") or ()]
        formats = [f["device"] for f in storage.get("filesystems") or () if f.get("wipeFilesystem")]
        if tables or formats:
            subprocess.run(["udevadm", "settle", "--timeout=30"], check=False, timeout=60)
        found = {device: facts.filesystem(device) for device in formats if Path(device).exists()}
        return eachboot.Disks(
            deeds.done,
            deeds.begun,
            {device: facts.partitions(device) for device in tables},
            {device: filesystem for device, filesystem in found.items() if filesystem},
            keys,
        )

    def _assemble(self, arrays: tuple[tuple[str, tuple[str, ...]], ...]) -> None:
        for name, devices in arrays:
            subprocess.run(["udevadm", "settle", "--timeout=30"], check=False, timeout=60)
            if Path("/dev/md", name).exists():
                continue
            argv = ["mdadm", "--assemble", "--run", "--homehost=any", f"/dev/md/{name}", *devices]
            done = subprocess.run(argv, capture_output=True, text=True, errors="replace", timeout=120, check=False)
            if done.returncode != 0:
                raise StageFailed(Failure("disks", f"array {name}: {' '.join(done.stderr.split())}"))

    def _files(self, ignition: Ignition, config: Config, for_disks: Config, deeds: Deeds) -> None:
        """The files stage. What it makes as no later boot will is remembered before, and on the disk after."""
        roots = eachboot.persistent_roots(config)
        here = {path: size for path, size in deeds.paths.items() if eachboot.is_below(path, roots)}
        self._note(firsts.undo(self.root, here))
        there = facts.kinds(self.root, [*eachboot.owned_paths(config), *eachboot.homes(config)])
        files = eachboot.for_files(for_disks, eachboot.Paths(there, deeds.done))
        for path in files.aside:
            self._move_aside(path)
        self._use(ignition, files.config)
        self._note(files.notes)
        began = {**here, **firsts.before(self.root, files.first)}
        self._remember(replace(deeds, paths=began))
        ignition.stage("files")
        if began:
            firsts.to_disk(self.root, roots)
        self._remember(Deeds(deeds.done | files.deeds))

    def _move_aside(self, path: str) -> None:
        """Out of the configuration's way, on the same file system, where its owner finds it."""
        old = self.root / path.lstrip("/")
        for number in range(1, 1000):
            new = old.with_name(f"{old.name}.moved-aside-{number}")
            if not os.path.lexists(new):
                os.rename(old, new)
                return

    def _online(self, name: str) -> None:
        if not self.is_online:
            self.is_online = True
            if not network.up(platforms.NAMES.get(name, {})):
                self._note(["no address came from the network in time"])

    # telling

    def _note(self, notes: list[str] | tuple[str, ...]) -> None:
        for note in notes:
            print(note, flush=True)
        self.report.notes += notes

    def _tell(self, failure: Failure) -> None:
        self.report.failure = {"stage": failure.stage, "reason": failure.reason, "hint": failure.hint}
        self.say(f"stage {failure.stage} failed: {failure.reason}")
        self.say(f"what to do: {failure.hint}")
        self.say(f"the configuration comes from {self.report.source}")


@contextmanager
def _selinux_stub(root: Path) -> Iterator[None]:
    """Debian's Ignition labels what it wrote, and fails where there is no policy. While the image has none, it finds an
    empty one for as long as it runs, and a `setfiles` that does nothing (os/mkosi.extra/usr/lib/orlop/ignition/bin).
    """
    config = root / SELINUX
    if config.exists():
        yield
        return
    is_new = not config.parent.exists()
    config.parent.mkdir(parents=True, exist_ok=True)
    config.write_text("SELINUX=disabled\nSELINUXTYPE=none\n")
    try:
        yield
    finally:
        config.unlink()
        if is_new:
            config.parent.rmdir()


def _is_given(ignition: Ignition) -> bool:
    """Whether a user's configuration was found, by Ignition's own account."""
    fetched = json.loads((ignition.run / "state").read_bytes()).get("fetchedConfigs") or ()
    return any(entry.get("kind") == "user" for entry in fetched)
