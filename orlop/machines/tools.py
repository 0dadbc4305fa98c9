"""The programs that machines are run by, given as a value: nothing here looks for them.

Why: a lab runs its machines by the programs of the SDK; whoever else uses this library may have them elsewhere, and a
test may give programs of its own.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Protocol

from orlop.model.words.arch import BUILT
from orlop.processes import run

# By these names `pids.find` knows what belongs to a machine, or to the network of a set of machines.
PROGRAMS = (BUILT.qemu, "qemu-img", "vde_switch", "slirp4netns", "systemd-nspawn", "supervise.py")


class Inside(Protocol):
    """The command line that runs `argv` where the programs are. `binds`: further folders it may write to."""

    def __call__(
        self,
        argv: Sequence[str | Path],
        *,
        binds: Sequence[Path] = (),
        env: Mapping[str, str] | None = None,
        die_with_parent: bool = True,
    ) -> list[str]: ...


@dataclass(frozen=True)
class Tools:
    """`tree`: the folder that holds the `usr` of the programs. `qemu` and `firmware` are named as seen inside,
    `firmware_vars` and `libraries` below `tree`.
    """

    tree: Path
    inside: Inside
    qemu: str = PROGRAMS[0]
    firmware: Path = Path("/usr/share/OVMF/OVMF_CODE_4M.fd")
    firmware_vars: Path = Path("usr/share/OVMF/OVMF_VARS_4M.fd")
    libraries: Path = Path("usr/lib", BUILT.libraries)
    loader: Path = Path("usr", BUILT.loader)

    def run(
        self, argv: Sequence[str | Path], *, what: str, binds: Sequence[Path] = (), timeout: float | None = None
    ) -> str:
        """Run a program to its end and return its output. Errors as `orlop.processes.run`."""
        return run(self.inside(argv, binds=binds), what=what, timeout=timeout)

    def by_loader(self, program: str, argv: Sequence[str]) -> list[str]:
        """A program started on this computer's own root, by the loader of its tree: for what makes containers itself,
        and what a sandbox around it would forbid to whoever runs in them.
        """
        libraries = self.tree / self.libraries
        path = f"{libraries}:{libraries / 'systemd'}"
        return [str(self.tree / self.loader), "--library-path", path, str(self.tree / "usr/bin" / program), *argv]
