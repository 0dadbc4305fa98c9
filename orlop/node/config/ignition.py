"""One stage of the real Ignition 2.14, as the image has it.

Its log goes on to the journal line by line, save the "full config" it prints when it fails: a configuration holds
secrets. Timings are kept for /run/orlop/config.json.
"""

from __future__ import annotations

import re
import subprocess
import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path

from orlop.node.config import failure
from orlop.node.config.failure import Failure, StageFailed

HOME = Path("/usr/lib/orlop/ignition")
_LOGGED = re.compile(r"^(DEBUG|INFO|NOTICE|WARNING|ERROR|CRITICAL) *: (.*)")
_LEVELS = {"DEBUG": 7, "INFO": 6, "NOTICE": 5, "WARNING": 4, "ERROR": 3, "CRITICAL": 2}  # sd-daemon(3)
_QUIET = re.compile(r"failed to log systemd journal entry|Full config:")
_GRACE_SECONDS = 10  # Ignition does not keep to its --fetch-timeout while it waits for a token or a drive


@dataclass(frozen=True)
class IgnitionStage:
    """What a stage did; `seconds` of wall clock."""

    stage: str
    seconds: float
    ok: bool


@dataclass
class Ignition:
    """`system`: the folder Ignition reads as /usr/lib/ignition; `run`: where its cache and state are."""

    platform: str
    root: Path
    run: Path
    system: Path
    env: Mapping[str, str] = field(default_factory=dict)
    program: Path = HOME / "ignition"
    stages: list[IgnitionStage] = field(default_factory=list)

    @property
    def cache(self) -> Path:
        return self.run / "ignition.json"

    @property
    def needs_network(self) -> bool:
        return (self.run / "neednet").exists()

    def stage(
        self,
        name: str,
        *,
        root: Path | None = None,
        cache: Path | None = None,
        timeout: int = 120,
        called: str = "",
        by: Sequence[str] = (),
    ) -> None:
        """Run one stage. `timeout`: seconds for fetching a configuration; `called`: its name in reports, when that is
        another; `by`: what starts the program. Raises StageFailed.
        """
        argv = [
            *by,
            *(str(self.program), f"--stage={name}", f"--platform={self.platform}", f"--root={root or self.root}"),
            *(f"--config-cache={cache or self.cache}", f"--neednet={self.run / 'neednet'}"),
            *(f"--state-file={self.run / 'state'}", f"--fetch-timeout={timeout}s", "--log-to-stdout"),
        ]
        env = {
            "PATH": f"{self.program.parent / 'bin'}:/usr/sbin:/usr/bin",
            "IGNITION_SYSTEM_CONFIG_DIR": str(self.system),
            "IGNITION_WRITE_AUTHORIZED_KEYS_FRAGMENT": "true",
            **self.env,
        }
        began = time.monotonic()
        code, log = _run(name, argv, env, seconds=None if name in ("disks", "files") else timeout + _GRACE_SECONDS)
        self.stages.append(IgnitionStage(called or name, round(time.monotonic() - began, 3), code == 0))
        _pass_on(log)
        if code != 0:
            raise StageFailed(failure.read(called or name, log))


def _run(name: str, argv: list[str], env: Mapping[str, str], *, seconds: float | None) -> tuple[int, str]:
    try:
        done = subprocess.run(
            argv,
            env={"HOME": "/", **env},
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            timeout=seconds,
            check=False,
        )
    except subprocess.TimeoutExpired as e:
        output = (e.stdout or b"").decode(errors="replace")
        return 1, output + f"\nCRITICAL : nothing came within {seconds:.0f} s"
    except OSError as e:
        raise StageFailed(Failure(name, f"{argv[0]} cannot be run: {e.strerror}")) from None
    return done.returncode, done.stdout.decode(errors="replace")


def _pass_on(log: str) -> None:
    for line in log.splitlines():
        m = _LOGGED.match(line)
        if m and not _QUIET.search(line):
            print(f"<{_LEVELS[m[1]]}>{m[2]}", flush=True)
