"""All of it in order: find the configuration, let Ignition apply it, finish /etc, remember, report.

The order is Ignition's, and a stage that the configuration gives nothing to do is not started. Between the stages the
rules of `eachboot` and `remote` are laid over the configuration it has read. A source that cannot be read is replaced
by the last good configuration, when there is one, and the console says so; a configuration that was read and is wrong
stops the boot.
"""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import asdict, dataclass, field, replace
from pathlib import Path

from orlop.errors import BadInput
from orlop.files import write_atomic
from orlop.model.drift.difference import Origin, Owner
from orlop.model.words.sizes import CONTENTS_BYTES
from orlop.node.config import eachboot, facts, finish, firsts, hardware, kept, platforms, remote, stops
from orlop.node.config.contents import Contents, streamed
from orlop.node.config.failure import Failure, StageFailed
from orlop.node.config.ignition import Ignition
from orlop.node.config.kept import Deeds, Kept
from orlop.node.config.rendering import Rendering
from orlop.node.config.surroundings import Surroundings
from orlop.node.drift import snapshot as drift

# For the stages that apply: each asks its cloud for a region or an account before it begins, and would wait for one
# that is away. By then nothing is fetched any more.
WITHOUT_CLOUD = "metal"
SELINUX = Path("etc/selinux/config")


def fetch_seconds(*, has_kept: bool, has_address: bool = True) -> int:
    """How long a source is waited for. A machine that has what to start with waits less; without an address, for which
    it has waited already, only as long as a fetch takes that succeeds a little later all the same.
    """
    if not has_kept:
        return 120
    return 30 if has_address else 5


@dataclass
class ConfigReport:
    """What /run/orlop/config.json says; `origin` is "fresh", "kept" or "none"."""

    platform: str = ""
    source: str = ""
    origin: str = "none"
    config_sha256: str = ""
    ok: bool = False
    failure: dict[str, str] = field(default_factory=dict)
    notes: list[str] = field(default_factory=list)
    hardware: list[str] = field(default_factory=list)
    stages: list[dict[str, object]] = field(default_factory=list)
    seconds: float = 0.0


@dataclass
class Boot:
    """One boot's configuration. `say` prints to the console; `root` is the new root, `run` and `state` are folders
    of this boot and of this machine; `around` is what it runs on.
    """

    root: Path
    run: Path
    state: Path
    say: Callable[[str], None]
    around: Surroundings = field(default_factory=Surroundings)
    report: ConfigReport = field(default_factory=ConfigReport)
    is_online: bool = False
    has_address: bool = False

    @property
    def contents(self) -> Contents:
        return Contents(self.state / "config/contents")

    def go(self) -> bool:
        """Configure the machine; False when a stage failed, which the console and the report then tell."""
        began = time.monotonic()
        ignition = self._ignition()
        try:
            with self.around.modules():
                self.around.find_disks()
                self._configure(ignition)
            self.report.ok = True
        except StageFailed as e:
            self._tell(e.failure)
        finally:
            if self.is_online:
                self.around.network_down()
            self.report.stages = [asdict(stage) for stage in ignition.stages]
            self.report.seconds = round(time.monotonic() - began, 3)
            write_atomic(self.run / "config.json", json.dumps(asdict(self.report)) + "\n")
        return self.report.ok

    def _ignition(self) -> Ignition:
        for folder in (self.run, self.run / "ignition", self.run / "ignition/system"):
            folder.mkdir(mode=0o700, parents=True, exist_ok=True)
        self.run.chmod(0o755)
        epoch = int((self.root / "usr/lib/os-release").stat().st_mtime)
        name = self.report.platform = platforms.platform(self.around.arguments(), self.around.hardware())
        self.report.source = self.around.source(name)
        # the same configuration gives the same /etc/shadow, whatever the day
        env = {"SOURCE_DATE_EPOCH": str(epoch)}
        return Ignition(name, self.root, self.run / "ignition", self.run / "ignition/system", env)

    def _configure(self, ignition: Ignition) -> None:
        self._note_hardware(self.around.own_disk())
        deeds = self._deeds()
        config, whole = self._acquire(ignition)
        ignition.platform = WITHOUT_CLOUD
        facts.own_secret(self.state / "identity/secret")
        config = self.around.fitting(config, self._note)
        if deeds is None:
            deeds = Deeds(eachboot.all_deeds(config))
        missing = self.around.devices(config, deeds.done, self.say, self.run)
        self._note_hardware(missing.notes)
        config = missing.config
        keys = {name: facts.own_key(self.state / "luks", name) for name in eachboot.keyless(config)}
        disks = eachboot.for_disks(config, self._disks(config, deeds, keys))
        disks = replace(disks, config=hardware.with_degraded(disks.config, missing.degraded))
        self._use(ignition, disks.config)
        self._note(disks.notes)
        if config.kernel_arguments.raw:
            ignition.stage("kargs")
        self._assemble(disks.assemble, missing.absent)
        if any(len(hardware.members(f)) > 1 for f in config.storage.filesystems):
            facts.scan_btrfs(missing.degraded.values())
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
        self._note(stops.give_time(self.root))
        self._note(finish.units(self.root))
        finish.users_and_files(self.root)
        finish.clean(self.root, self.run)
        owned = {path: Owner(Origin.CONFIGURATION, at) for path, at in eachboot.watched_paths(config).items()}
        wanted = self.around.kernel_arguments(config)
        drift.record(self.root, owned, self.run / "expected.json", sealed=True, arguments=wanted)
        if whole is not None and self.report.origin == "fresh":
            kept.save(self.state / "config/good.json", whole)
            self.contents.forget_others(whole.config)

    # the configuration

    def _acquire(self, ignition: Ignition) -> tuple[Rendering, Kept | None]:
        """The configuration to apply, needing no network any more, and what to keep of it. Raises StageFailed."""
        last = self._last_good()
        try:
            if ignition.platform not in platforms.SUPPORTED:
                known = ", ".join(platforms.SUPPORTED)
                raise StageFailed(Failure("fetch", f"platform {ignition.platform} is not one of {known}", True))
            self._look_on_disks(ignition)
            has_kept = last is not None
            ignition.stage("fetch-offline", timeout=fetch_seconds(has_kept=has_kept))
            if ignition.needs_network:
                self._online(ignition.platform)
                timeout = fetch_seconds(has_kept=has_kept, has_address=self.has_address)
                ignition.stage("fetch", timeout=timeout)
            config = Rendering(json.loads(ignition.cache.read_bytes()))
            self._fetch_remote(ignition, config)
        except StageFailed as e:
            if last is None or e.failure.reachable:
                raise
            since = time.strftime("%Y-%m-%d %H:%M UTC", time.gmtime(last.when))
            self.say(f"{self.report.source} could not be read: {e.failure.reason}")
            self.say(f"this boot uses the last good configuration, of {since}")
            self.report.origin, self.report.config_sha256 = "kept", last.sha256
            self.report.failure = {"stage": e.failure.stage, "reason": e.failure.reason}
            return last.config, None
        if not _is_given(ignition):
            return config, None
        self.report.origin, self.report.config_sha256 = "fresh", kept.digest(config)
        whole = self.contents.placed(config)
        return whole, Kept(whole, self.report.source, int(time.time()), self.report.config_sha256)

    def _look_on_disks(self, ignition: Ignition) -> None:
        if ignition.platform == "metal" and not platforms.config_url(self.around.arguments()):
            file = self.around.find_config(ignition.system / "user.ign", self.run / "media")
            self.report.source = self.around.source("metal", file)

    def _fetch_remote(self, ignition: Ignition, config: Rendering) -> None:
        """What the configuration takes from elsewhere, and is not kept, fetched and verified by Ignition itself."""
        if wanted := self.contents.wanted(config):
            self._online(ignition.platform)
            into, cache = self.state / "config/fetching", self.run / "ignition/fetch-plan.json"
            shutil.rmtree(into, ignore_errors=True)
            self.contents.folder.mkdir(mode=0o700, parents=True, exist_ok=True)
            write_atomic(cache, json.dumps(remote.fetch_plan(config, wanted).raw), mode=0o600)
            try:
                with _selinux_stub(into):
                    ignition.stage("files", root=into, cache=cache, called="fetch-files")
            except StageFailed as e:
                reason = remote.named(e.failure.reason, str(into), wanted)
                raise StageFailed(replace(e.failure, reason=reason)) from None
            for number, resource in enumerate(wanted):
                self.contents.take(resource, into / str(number))
            shutil.rmtree(into)
        if (size := self.contents.size(config)) > CONTENTS_BYTES:
            limit = CONTENTS_BYTES // 1_000_000
            reason = f"the contents from elsewhere are {size} bytes; {limit} MB are the most"
            raise StageFailed(Failure("fetch", reason, True))

    def _last_good(self) -> Kept | None:
        try:
            return kept.load(self.state / "config/good.json")
        except BadInput as e:
            self._note([f"the kept configuration is not used: {e}"])
            return None

    def _deeds(self) -> Deeds | None:
        deeds, note = kept.recover_deeds(self.state / "config/done.json")
        self._note([note] if note else [])
        return deeds

    def _remember(self, deeds: Deeds) -> None:
        kept.save_deeds(self.state / "config/done.json", deeds)

    def _use(self, ignition: Ignition, config: Rendering) -> None:
        write_atomic(ignition.cache, json.dumps(config.raw), mode=0o600)

    # the machine

    def _disks(self, config: Rendering, deeds: Deeds, keys: dict[str, str]) -> eachboot.Disks:
        tables = [disk.device for disk in config.storage.disks]
        formats = [f.device for f in config.storage.filesystems if f.wipe_filesystem]
        if tables or formats:
            subprocess.run(["udevadm", "settle", "--timeout=30"], check=False, timeout=60)
        filesystems = {device: facts.filesystem(device) for device in formats if Path(device).exists()}
        return eachboot.Disks(
            deeds.done,
            deeds.begun,
            {device: facts.partitions(device) for device in tables},
            {device: filesystem for device, filesystem in filesystems.items() if filesystem},
            keys,
        )

    def _assemble(self, arrays: tuple[tuple[str, tuple[str, ...]], ...], absent: frozenset[str]) -> None:
        for name, members in arrays:
            devices = [device for device in members if device not in absent]
            subprocess.run(["udevadm", "settle", "--timeout=30"], check=False, timeout=60)
            array = Path("/dev/md", name)
            if array.exists():
                continue
            argv = ["mdadm", "--assemble", "--run", "--homehost=any", f"/dev/md/{name}", *devices]
            done = subprocess.run(argv, capture_output=True, text=True, errors="replace", timeout=120, check=False)
            if done.returncode != 0:
                raise StageFailed(Failure("disks", f"array {name}: {' '.join(done.stderr.split())}"))
            if len(devices) == len(members) and facts.is_degraded(array):
                hint = f"add the member that it lacks again, with `mdadm /dev/md/{name} --add DEVICE`"
                self._note_hardware([f"the array {name} runs degraded, with all its devices there: {hint}"])

    def _files(self, ignition: Ignition, config: Rendering, for_disks: Rendering, deeds: Deeds) -> None:
        """The files stage. What it makes as no later boot will is remembered before, and on the disk after."""
        roots = eachboot.persistent_roots(config)
        here = {path: size for path, size in deeds.paths.items() if eachboot.is_below(path, roots)}
        self._note(firsts.undo(self.root, here))
        there = facts.kinds(self.root, [*eachboot.owned_paths(config), *eachboot.homes(config)])
        files = eachboot.for_files(for_disks, eachboot.PathsThere(there, deeds.done))
        for path in files.aside:
            self._move_aside(path)
        for_ignition, streams = streamed(files.config)
        self._use(ignition, for_ignition)
        self._note(files.notes)
        began = {**here, **firsts.before(self.root, files.first)}
        self._remember(replace(deeds, paths=began))
        with self.around.writing(self.root, for_ignition) as (root, by):
            ignition.stage("files", root=root, by=by)
        self.contents.write(self.root, streams)
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
            self.has_address = self.around.network_up(platforms.NAMES.get(name, {}))
            if not self.has_address:
                self._note(["no address came from the network in time"])

    # telling

    def _note(self, notes: Sequence[str]) -> None:
        for note in notes:
            print(note, flush=True)
        self.report.notes += notes

    def _note_hardware(self, notes: Sequence[str]) -> None:
        """What the machine's status, verdict and metrics say as well: its hardware is not as it should be."""
        self._note(notes)
        self.report.hardware += notes
        write_atomic(self.run / "hardware.json", json.dumps(self.report.hardware) + "\n")

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
