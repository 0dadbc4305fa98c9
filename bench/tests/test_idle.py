"""The idle probe: the script really runs in a POSIX shell, and its text is read as meant."""

from __future__ import annotations

import shlex
import subprocess

import pytest

from bench.boot.idle import ASK, PROBE, IdleFigures, parse
from orlop.errors import BadInput

MEMINFO = "MemTotal:        2000000 kB\nMemFree:          100 kB\nMemAvailable:    1880000 kB\nHugePages_Total:   0\n"
PROCESSES = """\
1 0::/init.scope systemd
2 0::/ kthreadd
77 0::/ kworker/0:1-mm percpu
300 0::/system.slice/systemd-journald.service systemd-journal
410 0::/system.slice/demo.service conmon
420 0::/machine.slice/libpod-6f.scope/container httpd
430 0::/default/demo demo
500 0::/user.slice/user-0.slice/user@0.service/init.scope systemd
501 0::/user.slice/user-0.slice/session-1.scope sh
502 0::/system.slice/system-ssh.slice/ssh@0-1.service sshd
503 0::/system.slice/system-ssh\\x2dmux.slice/x.service sshd
504 0::/system.slice/ssh.service sshd
505 0::/system.slice/orlop-bench-idle.service sh
"""


def test_neither_kernel_threads_nor_the_measuring_itself_count() -> None:
    got = parse(PROCESSES + "\n" + MEMINFO)
    assert got == IdleFigures(120_000 * 1024, ("conmon", "demo", "httpd", "systemd", "systemd-journal"))
    assert parse((PROCESSES + "\n" + MEMINFO).replace("\n", "\r\n")) == got


@pytest.mark.parametrize("text", ["", "\n\n", PROCESSES, "1 0::/init.scope systemd\n\nMemTotal: 5 kB\n"])
def test_text_that_is_not_the_probes_is_refused(text: str) -> None:
    with pytest.raises(BadInput, match="idle probe"):
        parse(text)


def test_the_probe_runs() -> None:
    out = subprocess.run(["sh", "-c", PROBE], check=True, capture_output=True, text=True).stdout
    assert parse(out).memory_used > 0


def test_the_request_carries_the_probe_in_one_word() -> None:
    assert shlex.split(ASK)[-2:] == ["-c", PROBE]
