"""`orlop node` on a machine by its address: one of the shared ones, which is told nothing of that.

The ssh on PATH is the SDK's, with a file of host keys of its own: those of the user who runs the tests are not touched.
"""

from __future__ import annotations

import json
import os
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import pytest

from orlop.model.update.status import parse
from orlop.workspace import Workspace
from tests.machines.machines import Machines

Orlop = Callable[..., subprocess.CompletedProcess[str]]


@pytest.fixture
def known_hosts(tmp_path: Path) -> Path:
    return tmp_path / "known_hosts"


@pytest.fixture
def orlop(tmp_path: Path, ws: Workspace, known_hosts: Path) -> Orlop:
    program = tmp_path / "bin/ssh"
    program.parent.mkdir()
    program.write_text(
        f"#!/bin/sh\nexec {sys.executable} -m orlop sdk run ssh -F none -o UserKnownHostsFile={known_hosts} "
        f'-o IdentityAgent=none "$@"\n'
    )
    program.chmod(0o755)

    def run(*words: str, timeout: float = 120) -> subprocess.CompletedProcess[str]:
        env = os.environ | {"PATH": f"{program.parent}:{os.environ['PATH']}", "PYTHONPATH": str(ws.root)}
        argv = [sys.executable, "-m", "orlop", "node", *words]
        return subprocess.run(argv, env=env, capture_output=True, text=True, timeout=timeout, check=False)

    return run


def test_a_machine_by_address_and_key(orlop: Orlop, machines: Machines, known_hosts: Path) -> None:
    node = machines.n1
    address, key = f"root@127.0.0.1:{node.port(22)}", str(node.paths.login.key)

    ran = orlop("status", address, "--key", key)
    assert ran.returncode == 1 and "its host key is not known yet" in ran.stderr
    assert "hint: compare its fingerprint" in ran.stderr

    public = node.sh("cat /etc/ssh/ssh_host_ed25519_key.pub").split()
    known_hosts.write_text(f"[127.0.0.1]:{node.port(22)} {public[0]} {public[1]}\n")
    ran = orlop("status", address, "--key", key, "--json")
    assert ran.returncode == 0, ran.stderr
    running = [slot for slot in parse(ran.stdout, "it")["slots"] if slot["running"]]
    assert [slot["version"] for slot in running] == [json.loads(node.sh("cat /run/orlop/health.json"))["version"]]

    ran = orlop("diff", address, "--key", key)
    assert (ran.returncode, ran.stdout) == (0, f"no difference: {address} is its image and its configuration\n")
    assert orlop("hold", address, "a test", "--key", key).returncode == 0
    assert "a test" in node.sh("orlop status")
    assert orlop("unhold", address, "--key", key).returncode == 0


def test_what_is_wrong_is_said_as_it_is(orlop: Orlop, machines: Machines, known_hosts: Path, tmp_path: Path) -> None:
    port = machines.n1.port(22)
    known_hosts.write_text(f"[127.0.0.1]:{port} {machines.n1.sh('cat /etc/ssh/ssh_host_ed25519_key.pub')}")
    key = tmp_path / "other"
    subprocess.run(
        [sys.executable, "-m", "orlop", "sdk", "run", "ssh-keygen", "-q", "-t", "ed25519", "-N", "", "-f", str(key)],
        check=True,
    )
    ran = orlop("status", f"127.0.0.1:{port}", "--key", str(key))
    assert (
        ran.returncode == 1 and "Permission denied" in ran.stderr and "passwd.users[].ssh_authorized_keys" in ran.stderr
    )
    ran = orlop("update", f"127.0.0.1:{port}", "--key", str(machines.n1.paths.login.key), "--from", str(tmp_path))
    assert ran.returncode == 1 and "a version must be named" in ran.stderr
    ran = orlop("status", "127.0.0.1:1")
    assert ran.returncode == 1 and "127.0.0.1:1 cannot be reached" in ran.stderr
    ran = orlop("status", "n9")
    assert ran.returncode == 1 and "[USER@]HOST[:PORT]" in ran.stderr
