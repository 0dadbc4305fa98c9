"""The rim of a container machine: PID 1 of a container runs the configuration, before it becomes systemd.

The kernel, its command line, its modules, the firmware's tables and the disks in sight are those of the computer that
the container runs on. So the configuration is a file that the computer lays at CONFIG, or at a URL; /proc/cmdline has
been covered by the machine's own words (container-start); and what only a whole machine can do is refused, or
noted where leaving it out changes nothing that a workload could see.
"""

from __future__ import annotations

import shutil
import subprocess
from collections.abc import Callable, Collection, Iterator, Sequence
from contextlib import AbstractContextManager, ExitStack, contextmanager, nullcontext
from pathlib import Path

from orlop.node.config import eachboot, manager, network, platforms
from orlop.node.config.failure import Failure, StageFailed
from orlop.node.config.hardware import MissingDevices
from orlop.node.config.platforms import Hardware
from orlop.node.config.rendering import Rendering
from orlop.node.config.surroundings import Surroundings

CONFIG = Path("/run/host/orlop/config.ign")
LINK = "host0"  # what systemd-nspawn, and the lab, call the link that leads out
ETC = Path("/run/orlop/etc")  # what the initrd's own /etc is to a whole machine, while the network is up
RESOLVED = Path("/run/systemd/resolve/stub-resolv.conf")
SYSROOT = Path("/sysroot")  # as in an initrd, so that what Ignition says has the same paths
# in a mount namespace that ends with the program: what is mounted nowhere else has not to be unmounted
_THERE = ("unshare", "--mount", "--propagation=private", "sh", "-ec", 'mount --rbind / "$0"; exec "$@"', str(SYSROOT))
PRIVATE = Path("/run/systemd/private")
_SYSTEMD = "/usr/lib/systemd/systemd"
_NETWORKD = "/usr/lib/systemd/systemd-networkd"
_NOWHERE = "nowhere: no URL among the machine's arguments, and no file was given"
_STOP_SECONDS = 10


class Container(Surroundings):
    def __init__(self) -> None:
        self._networkd: subprocess.Popen[bytes] | None = None

    def modules(self) -> AbstractContextManager[None]:
        return nullcontext()

    def find_disks(self) -> None:
        return None

    def own_disk(self) -> list[str]:
        return []

    def devices(
        self,
        config: Rendering,
        done: Collection[str],  # noqa: ARG002
        say: Callable[[str], None],  # noqa: ARG002
        run: Path,  # noqa: ARG002
    ) -> MissingDevices:
        return MissingDevices(config)

    def hardware(self) -> Hardware:
        return Hardware({}, has_fw_cfg=False)

    def source(self, platform: str, file: str = "") -> str:
        url = platforms.config_url(self.arguments())
        return platforms.source(platform, url, file) if url or file or platform != "metal" else _NOWHERE

    def find_config(self, into: Path, mount_point: Path) -> str:  # noqa: ARG002
        if not CONFIG.exists():
            return ""
        shutil.copyfile(CONFIG, into)
        into.chmod(0o600)
        return "the file that this container machine was given"

    def fitting(self, config: Rendering, note: Callable[[Sequence[str]], None]) -> Rendering:
        if eachboot.has_disks(config):
            reason = "this is a container machine, which has no disks to partition, format, encrypt or mount"
            raise StageFailed(Failure("disks", reason, True))
        if config.kernel_arguments.raw:
            note(["kernel_arguments are left out: a container machine has the kernel of its computer"])
        return Rendering({key: value for key, value in config.raw.items() if key != "kernelArguments"})

    @contextmanager
    def writing(self, root: Path, config: Rendering) -> Iterator[tuple[Path, Sequence[str]]]:  # noqa: ARG002
        """As in an initrd: at /sysroot, for Ignition makes nothing in /; and with a manager, which has yet to start."""
        SYSROOT.mkdir()
        with ExitStack() as stack:
            stack.callback(SYSROOT.rmdir)
            if any("@" in unit["name"] for unit in (config.raw.get("systemd") or {}).get("units") or ()):
                # it asks when an instance of a template, as a@b.service, is to be enabled
                ran = subprocess.run([_SYSTEMD, "--version"], capture_output=True, text=True, timeout=60, check=True)
                PRIVATE.parent.mkdir(parents=True, exist_ok=True)
                stack.enter_context(manager.answering(PRIVATE, ran.stdout.split()[1]))
            yield SYSROOT, _THERE

    def kernel_arguments(self, config: Rendering) -> None:  # noqa: ARG002
        return None

    def network_up(self, names: dict[str, str]) -> bool:
        ETC.mkdir(parents=True, exist_ok=True)
        is_up = network.up(names, f"Name={LINK}", self._start, etc=ETC)
        # /etc is the new root's already: names are resolved by what its resolv.conf links to, below /run
        RESOLVED.parent.mkdir(parents=True, exist_ok=True)
        shutil.copyfile(ETC / "resolv.conf", RESOLVED)
        return is_up

    def _start(self) -> None:
        """systemd-networkd without systemd: it runs until the network goes down again."""
        folder = network.STATE.parent
        folder.mkdir(parents=True, exist_ok=True)
        shutil.chown(folder, "systemd-network", "systemd-network")  # it gives up root by itself
        self._networkd = subprocess.Popen([_NETWORKD], stdin=subprocess.DEVNULL)

    def network_down(self) -> None:
        if self._networkd is None:
            return
        self._networkd.terminate()
        try:
            self._networkd.wait(_STOP_SECONDS)
        except subprocess.TimeoutExpired:
            self._networkd.kill()
            self._networkd.wait()
        for folder in (network.STATE.parent, ETC):
            shutil.rmtree(folder, ignore_errors=True)
        RESOLVED.unlink(missing_ok=True)
        network.forget([LINK])
