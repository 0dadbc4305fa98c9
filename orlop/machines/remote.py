"""A machine by its address, or by an alias of the user's SSH configuration: reached by the user's own `ssh`.

Why their own: keys, agents, jump hosts and the host keys that were met are the user's, where those of a lab are the
lab's. Invariant: nothing here changes what ssh believes. A host key that is unknown, or another than it was, is an
error in words, and what to do about it is for the user to decide.
"""

from __future__ import annotations

import getpass
import re
import shlex
import shutil
import subprocess
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path

from orlop.errors import BadInput, CommandFailed, Missing, OrlopError, TimedOut
from orlop.machines import reach
from orlop.machines.console import Verdict
from orlop.machines.reach import Ran
from orlop.model.words.strict import Fields, Wrong, parse_json

CONNECT_SECONDS = 15
SSH_FAILED = 255  # ssh(1): its own failure, where a command's exit status is the command's
_POLL = 2.0
_LOOK = "cat /proc/sys/kernel/random/boot_id; cat /run/orlop/health.json 2> /dev/null || true"
_ADDRESS = re.compile(
    r"(?:(?P<user>[^@\s]+)@)?(?P<host>\[[0-9A-Fa-f:.%]+\]|[^@:\s\[\]/-][^@:\s\[\]/]*)(?::(?P<port>\d{1,5}))?"
)


@dataclass(frozen=True)
class Address:
    """Where a machine is: `user` is empty when ssh's configuration, or else root, says who logs in."""

    host: str
    user: str = ""
    port: int | None = None

    @classmethod
    def parse(cls, text: str) -> Address:
        """`[USER@]HOST[:PORT]`; an IPv6 address with a port stands in brackets. Raises BadInput."""
        if text.count(":") > 1 and "[" not in text:  # an IPv6 address alone
            user, _, host = text.rpartition("@")
            return cls(host, user)
        m = _ADDRESS.fullmatch(text)
        port = int(m["port"]) if m and m["port"] else None
        if m is None or (port is not None and not 0 < port < 65536):
            raise BadInput(f"{text!r} is not a valid address of a machine", hint="write [USER@]HOST[:PORT]")
        return cls(m["host"].strip("[]"), m["user"] or "", port)


@dataclass(frozen=True)
class Remote:
    """`name` is the machine as the user called it; `key` a private key's file, when it is not one that ssh finds."""

    name: str
    address: Address
    key: Path | None = None

    def argv(self, remote: Sequence[str], *, tty: bool = False) -> list[str]:
        """The command line that runs `remote` there, word for word; a login shell when it is empty."""
        argv = [_program(), "-o", "BatchMode=yes", "-o", f"ConnectTimeout={CONNECT_SECONDS}"]
        argv += ["-o", "ServerAliveInterval=10", "-o", "ServerAliveCountMax=3", "-t" if tty else "-T"]
        if self.key is not None:
            argv += ["-i", str(self.key), "-o", "IdentitiesOnly=yes"]
        if self.address.port is not None:
            argv += ["-p", str(self.address.port)]
        argv += ["-l", self.address.user] if self.address.user else []
        return [*argv, "--", self.address.host, *([shlex.join(remote)] if remote else [])]

    def run(self, *remote: str, stdin: bytes = b"", timeout: float = 120.0) -> Ran:
        """Run a command there, word for word. Raises CommandFailed when ssh does not reach it, TimedOut."""
        ran = reach.run(self.argv(remote), what=f"{' '.join(remote)!r} on {self.name}", stdin=stdin, timeout=timeout)
        if ran.code == SSH_FAILED:
            raise unreached(self, ran.err)
        return ran

    def look(self) -> tuple[str, Verdict | None]:
        """The id of its boot, and the verdict on that when there is one. Errors as `run`."""
        ran = self.run("sh", "-c", _LOOK, timeout=CONNECT_SECONDS + 30.0)
        return parse_look(self.name, ran.out)

    def wait_verdict(
        self, before: str, *, timeout: float, poll: float = _POLL, clock: Callable[[], float] = time.monotonic
    ) -> Verdict:
        """Wait for the verdict of the boot after the one with the id `before`. Raises CommandFailed (bad), TimedOut."""
        until, last = clock() + timeout, "it runs the same boot still"
        while clock() < until:
            try:
                boot, verdict = self.look()
            except OrlopError as e:  # while it reboots nothing answers
                last = e.message
            else:
                if boot != before and verdict is not None:
                    return _good(self.name, verdict)
                last = "it runs the same boot still" if boot == before else "it has not judged its boot yet"
            time.sleep(poll)
        raise TimedOut(
            f"{self.name} gave no verdict within {timeout:.0f} s: {last}",
            hint="its console says more; a slow machine may need a longer --timeout",
        )


def _good(name: str, verdict: Verdict) -> Verdict:
    if not verdict.good:
        raise CommandFailed(
            f"{name} is not healthy as {verdict.version}: {verdict.reason}",
            code=1,
            tail="",
            hint=f"orlop node status {name}",
        )
    return verdict


def parse_look(name: str, text: str) -> tuple[str, Verdict | None]:
    """What a machine answers to being looked at. Raises CommandFailed when that is nothing an Orlop machine says."""
    boot, _, rest = text.partition("\n")
    try:
        return boot.strip(), read_verdict(rest) if rest.strip() else None
    except Wrong:
        raise CommandFailed(f"{name} says nothing of its health that can be read", code=0, tail=text[-500:]) from None


def read_verdict(text: str) -> Verdict:
    """What a machine's health.json says. Raises Wrong."""
    raw = text.encode(errors="replace")
    record = Fields.of("", parse_json(raw, len(raw)))
    good = record.value("verdict", str) == "good"
    return Verdict(good, record.value("version", str), record.value("boot", str), record.value("reason", str))


def unreached(remote: Remote, output: str) -> CommandFailed:
    """ssh's own failure, and what to do about the common ones."""
    lines = [line.strip() for line in output.splitlines() if line.strip()]
    why = lines[-1] if lines else "ssh says nothing"
    by_hand = shlex.join(remote.argv(()))
    hint = f"see what this says: {by_hand}"
    if "REMOTE HOST IDENTIFICATION HAS CHANGED" in output:
        why = "its host key is another than it was"
        hint = (
            "a machine that was reset or made anew has a new one: compare its fingerprint with the one on its console, "
        )
        hint += f"then ssh-keygen -R {remote.address.host}"
    elif "Host key verification failed" in output:
        why = "its host key is not known yet"
        hint = f"compare its fingerprint with the one on its console when you log in once: {by_hand}"
    elif "Permission denied" in output:
        hint = "name the private key with --key, or load it into your agent (ssh-add); the public one must be in the "
        hint += "machine's configuration: passwd.users[].ssh_authorized_keys"
    return CommandFailed(f"{remote.name} cannot be reached: {why}", code=SSH_FAILED, tail="", hint=hint)


def find(name: str, key: Path | None = None) -> Remote:
    """The machine that the user calls `name`: an address, or an alias of their SSH configuration. Raises BadInput."""
    if key is not None and not key.is_file():
        raise BadInput(f"there is no private key {key}", hint="--key names the file of a private key")
    address = Address.parse(name)
    if not address.user and not _configured(address.host):
        address = Address(address.host, "root", address.port)
    return Remote(name, address, key)


def is_alias(name: str) -> bool:
    """Whether the user's SSH configuration says something of a host of this name."""
    return shutil.which("ssh") is not None and _configured(name)


def _configured(host: str) -> bool:
    """ssh -G says what would be done: a name that nothing is said of stays as it is, with the user who asks."""
    shown = subprocess.run([_program(), "-G", "--", host], capture_output=True, text=True, timeout=30, check=False)
    told = dict(line.partition(" ")[::2] for line in shown.stdout.splitlines())
    return shown.returncode == 0 and (told.get("hostname") != host.lower() or told.get("user") != getpass.getuser())


def _program() -> str:
    ssh = shutil.which("ssh")
    if ssh is None:
        raise Missing("ssh is not installed on this computer", hint="apt-get install openssh-client")
    return ssh
