"""What a machine runs on, as far as configuring it meets that: firmware, kernel, disks, network.

One implementation configures every machine (`run`); this is its rim for a whole machine, real or emulated, whose kernel
is its own. `container.Container` is the rim for a container machine, which has the kernel of somebody else's computer:
nothing of that may be read as this machine's, and nothing of it changed.
"""

from __future__ import annotations

import subprocess
from collections.abc import Callable, Collection, Sequence
from contextlib import AbstractContextManager, nullcontext
from pathlib import Path

from orlop.node.config import bootdisk, devices, facts, media, network, owndisk, platforms, systemdisk, tries
from orlop.node.config.devices import Waiting
from orlop.node.config.hardware import MissingDevices
from orlop.node.config.platforms import Hardware
from orlop.node.config.rendering import Rendering


class Surroundings:
    """A whole machine, seen from its initrd."""

    def modules(self) -> AbstractContextManager[None]:
        """Let the kernel find what it is asked for, for as long as the block lasts."""
        return facts.all_modules()

    def find_disks(self) -> None:
        """Let disks be found that the initrd did not need: one may bring the configuration, which may name others."""
        trigger = ("udevadm", "trigger", "--type=devices", "--action=add")
        for which in (("pci", "--attr-match=class=0x01*"), ("scsi",)):
            subprocess.run([*trigger, f"--subsystem-match={which[0]}", *which[1:]], check=False, timeout=60)

    def own_disk(self) -> list[str]:
        """Make the disk that was booted this machine's own. What is to be known about the machine's disks."""
        name = owndisk.claimed() or systemdisk.of_usr()
        return bootdisk.settle(name, tries.counted()) if name else []

    def devices(
        self, config: Rendering, done: Collection[str], say: Callable[[str], None], run: Path
    ) -> MissingDevices:
        """Wait for the devices of the configuration. What is missing, and can be spared. Raises StageFailed, too when
        one of them is the system's.
        """
        tried = tries.counted()
        limit = devices.TRIAL_SECONDS if tried else None
        missing = Waiting(say, lambda: tries.lent(tried, run / "esp"), limit).wait(config, done)
        systemdisk.refuse(config, owndisk.claimed() or systemdisk.of_usr())
        return missing

    def arguments(self) -> list[str]:
        """The words of the kernel command line."""
        return facts.arguments()

    def hardware(self) -> Hardware:
        """What the firmware says of itself."""
        if not facts.FW_CFG_DRIVER.exists():
            subprocess.run(["modprobe", "-q", "qemu_fw_cfg"], check=False, timeout=60)
        return facts.hardware()

    def source(self, platform: str, file: str = "") -> str:
        """Where the configuration comes from, as a person reads it. `file`: the file it was found in, or ""."""
        return platforms.source(platform, platforms.config_url(self.arguments()), file)

    def find_config(self, into: Path, mount_point: Path) -> str:
        """As `media.find_config`."""
        return media.find_config(into, mount_point)

    def fitting(self, config: Rendering, note: Callable[[Sequence[str]], None]) -> Rendering:  # noqa: ARG002
        """The configuration without what has no meaning here; `note` is told what that is. Raises StageFailed for what
        cannot be left out.
        """
        return config

    def writing(self, root: Path, config: Rendering) -> AbstractContextManager[tuple[Path, Sequence[str]]]:  # noqa: ARG002
        """Where Ignition finds the new root, and what it is started by to find it there; for as long as the block lasts
        there is a system manager to ask.
        """
        return nullcontext((root, ()))

    def kernel_arguments(self, config: Rendering) -> Sequence[str] | None:
        """Those that the configuration wants; None where the kernel is not this machine's."""
        return config.kernel_arguments.should_exist

    def network_up(self, names: dict[str, str]) -> bool:
        """As `network.up`."""
        network.load_drivers()
        return network.up(names, network.ETHERNET, network.start_unit)

    def network_down(self) -> None:
        network.down()
