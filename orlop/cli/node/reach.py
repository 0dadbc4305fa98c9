"""Which machine a command of `orlop node` means, and how it is reached: a lab's, or any with an address and a key.

A lab's machine is waited for by its console; of another there is none, and it is asked over SSH until it answers.
"""

from __future__ import annotations

import threading
from abc import ABC, abstractmethod
from collections.abc import Callable, Iterator, Sequence
from contextlib import AbstractContextManager, contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated, BinaryIO

import typer

from orlop.cli.lab.name import open_lab
from orlop.errors import BadInput, CommandFailed, Missing, OrlopError
from orlop.lab.machine import Node
from orlop.lab.nodeconfig import HOST_FROM_NODE
from orlop.lab.wait import wait_verdict
from orlop.machines import remote, ssh
from orlop.machines.console import Verdict
from orlop.machines.ports import LOOPBACK
from orlop.machines.reach import Ran, piped
from orlop.machines.remote import Address, Remote
from orlop.publish.serve import server
from orlop.steps import Steps

COMMAND = "/usr/bin/orlop"
NOT_FOUND = 127

MachineName = Annotated[
    str,
    typer.Argument(
        metavar="MACHINE", help="A node of a lab (n1), [USER@]HOST[:PORT], or an alias of your SSH configuration."
    ),
]
Key = Annotated[Path | None, typer.Option("--key", metavar="FILE", help="Private key for a machine by address.")]


class Reached(ABC):
    """A machine that commands reach."""

    @property
    @abstractmethod
    def name(self) -> str: ...

    @abstractmethod
    def run(self, *words: str) -> Ran:
        """Run a command there as root, word for word."""

    @abstractmethod
    def pipe(self, *words: str, file: BinaryIO, is_read: bool, seen: Callable[[int], None]) -> Ran:
        """As `run`, with a file as the command's input (`is_read`) or its output, however large."""

    @abstractmethod
    def moment(self) -> str:
        """Where its boots stand now: what `wait_verdict` is told."""

    @abstractmethod
    def wait_verdict(self, since: str, steps: Steps, timeout: float) -> Verdict:
        """The good verdict of the boot that comes after `since`. Raises CommandFailed or TimedOut."""

    @abstractmethod
    def has_gone(self) -> bool:
        """Whether it is known to be off, rather than only not to answer."""

    @abstractmethod
    def served(self, folder: Path) -> AbstractContextManager[str]:
        """A folder of this computer at an address that the machine reaches, while the `with` lasts."""

    @abstractmethod
    def forget_host_key(self) -> None:
        """It may have a new one."""

    @property
    @abstractmethod
    def log_hint(self) -> str: ...

    def ask(self, *words: str, good: tuple[int, ...] = (0,)) -> str:
        """What its own `orlop` command prints. Raises CommandFailed with what that says of its failure."""
        return self.judged(self.run(COMMAND, *words), words, good)

    def ask_with(self, *words: str, file: BinaryIO, is_read: bool, seen: Callable[[int], None]) -> str:
        """What its own `orlop` command prints that reads a file, or writes one. Raises as `ask`."""
        return self.judged(self.pipe(COMMAND, *words, file=file, is_read=is_read, seen=seen), words, (0,))

    def judged(self, ran: Ran, words: Sequence[str], good: tuple[int, ...]) -> str:
        """What a command printed, when it ended well. Raises as `ask`."""
        if ran.code in good:
            return ran.out
        if ran.code == NOT_FOUND:
            raise CommandFailed(
                f"{self.name} is not a machine of Orlop: it has no {COMMAND}", code=ran.code, tail=ran.err[-500:]
            )
        told = dict(line.split(": ", 1) for line in ran.err.splitlines() if line.startswith(("error: ", "hint: ")))
        raise CommandFailed(
            told.get("error", f"orlop {words[0]} on {self.name} ended with {ran.code}"),
            code=ran.code,
            tail="" if "error" in told else (ran.out + ran.err)[-2000:].strip(),
            hint=told.get("hint", self.log_hint),
        )


@dataclass(frozen=True)
class LabMachine(Reached):
    node: Node

    @property
    def name(self) -> str:
        return self.node.name

    def run(self, *words: str) -> Ran:
        return self.node.run(*words)

    def pipe(self, *words: str, file: BinaryIO, is_read: bool, seen: Callable[[int], None]) -> Ran:
        what = f"{' '.join(words)!r} on {self.name}"
        return piped(self.node.argv(words), what=what, file=file, is_read=is_read, seen=seen)

    def moment(self) -> str:
        return str(self.node.console_size())

    def wait_verdict(self, since: str, steps: Steps, timeout: float) -> Verdict:
        return wait_verdict(self.node, steps, timeout=timeout, start=int(since))

    def has_gone(self) -> bool:
        return not self.node.running

    @contextmanager
    def served(self, folder: Path) -> Iterator[str]:
        httpd = server(folder, LOOPBACK, 0, whole=True, quiet=True)
        thread = threading.Thread(target=httpd.serve_forever, daemon=True)
        thread.start()
        try:
            yield f"http://{HOST_FROM_NODE}:{httpd.server_address[1]}"
        finally:
            httpd.shutdown()
            httpd.server_close()
            thread.join()

    def forget_host_key(self) -> None:
        ssh.forget(self.node.paths.login, self.node.name)

    @property
    def log_hint(self) -> str:
        return f"`orlop lab logs {self.name}` shows what the machine is doing"


@dataclass(frozen=True)
class RemoteMachine(Reached):
    remote: Remote

    @property
    def name(self) -> str:
        return self.remote.name

    def run(self, *words: str) -> Ran:
        return self.remote.run(*words)

    def pipe(self, *words: str, file: BinaryIO, is_read: bool, seen: Callable[[int], None]) -> Ran:
        what = f"{' '.join(words)!r} on {self.name}"
        ran = piped(self.remote.argv(words), what=what, file=file, is_read=is_read, seen=seen)
        if ran.code == remote.SSH_FAILED:
            raise remote.unreached(self.remote, ran.err)
        return ran

    def moment(self) -> str:
        return self.remote.look()[0]

    def wait_verdict(self, since: str, steps: Steps, timeout: float) -> Verdict:  # noqa: ARG002 - nothing to show
        return self.remote.wait_verdict(since, timeout=timeout)

    def has_gone(self) -> bool:
        return False

    def served(self, folder: Path) -> AbstractContextManager[str]:
        raise BadInput(
            f"{folder} is a folder of this computer, which {self.name} cannot read",
            hint="serve it where the machine reaches it (orlop release serve), and give that URL with --from",
        )

    def forget_host_key(self) -> None:
        """The user's known hosts are theirs: `remote.unreached` says what to do."""

    @property
    def log_hint(self) -> str:
        return f"its journal says more: {' '.join(self.remote.argv(('journalctl', '-b')))}"


def reach(machine: str, lab: str | None, key: Path | None) -> Reached:
    """The machine that is meant. Raises Missing or BadInput."""
    if key is not None or any(mark in machine for mark in "@:."):
        if lab is not None:
            raise BadInput(f"{machine} is an address, and --name means a lab", hint="leave out one of the two")
        return RemoteMachine(remote.find(machine, key))
    try:
        return LabMachine(open_lab(lab).node(machine))
    except Missing as e:
        if lab is None and remote.is_alias(machine):
            return RemoteMachine(Remote(machine, Address(machine)))  # user and port are in the configuration
        raise Missing(e.message, hint=_joined(e)) from None


def _joined(error: OrlopError) -> str:
    other = "a machine that is not a lab's: [USER@]HOST[:PORT], or an alias of your SSH configuration"
    return f"{error.hint}; {other}" if error.hint else other
