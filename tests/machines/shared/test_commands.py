"""`orlop lab` as a person types it, on the machines that run."""

from __future__ import annotations

import json
import os
import subprocess
import sys
import time

import pytest

from tests.machines.machines import LAB, Machines

pytestmark = pytest.mark.usefixtures("machines")


def orlop(*words: str, stdin: bytes = b"", timeout: float = 120) -> subprocess.CompletedProcess[bytes]:
    return subprocess.run(
        [sys.executable, "-m", "orlop", *words], input=stdin, capture_output=True, timeout=timeout, check=False
    )


def test_exec_passes_words_input_output_and_status_through() -> None:
    words = ["a b", "$HOME", '"', "'", "*", "\\", ""]
    ran = orlop("lab", "exec", "--name", LAB, "n1", "--", "printf", "%s|", *words)
    assert (ran.returncode, ran.stdout.decode()) == (0, "".join(f"{w}|" for w in words))
    data = os.urandom(100_000)
    ran = orlop("lab", "exec", "--name", LAB, "n1", "--", "cat", stdin=data)
    assert (ran.returncode, ran.stdout) == (0, data)
    ran = orlop("lab", "exec", "--name", LAB, "n1", "--", "sh", "-c", "echo out; echo err >&2; exit 7")
    assert (ran.returncode, ran.stdout, ran.stderr) == (7, b"out\n", b"err\n")


def test_status_and_list_tell_what_runs(machines: Machines) -> None:
    (report,) = json.loads(orlop("lab", "status", "--name", LAB, "--json").stdout)
    assert [(n["name"], n["power"], n["boot"], n["network"]) for n in report["nodes"]][:2] == [
        ("n1", "on", "good", "plugged in"),
        ("n2", "on", "good", "plugged in"),
    ]
    assert report["acceleration"] in ("tcg", "kvm")
    assert report["why"]
    listed = {entry["name"]: entry for entry in json.loads(orlop("lab", "list", "--json").stdout)}
    assert listed[LAB]["nodes"] == ["n1", "n2", "n3"]
    text = orlop("lab", "status", "--name", LAB).stdout.decode()
    assert "10.77.0.11" in text
    assert f"127.0.0.1:{machines.n1.port(22)}" in text


def test_logs_are_the_whole_console(machines: Machines) -> None:
    assert orlop("lab", "logs", "--name", LAB, "n1", "--raw").stdout == machines.n1.at.console_log.read_bytes()


def test_the_console_shows_what_the_machine_writes_and_lets_go(machines: Machines) -> None:
    child = subprocess.Popen(
        [sys.executable, "-m", "orlop", "lab", "console", "--name", LAB, "n1"],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
    )
    assert child.stdin
    assert child.stdout
    assert child.stderr
    assert b"Ctrl-] leaves" in child.stderr.readline()
    time.sleep(1)
    machines.n1.sh("echo hello from n1 > /dev/ttyS0")
    assert b"hello from n1" in child.stdout.readline()
    _, err = child.communicate(b"\x1d", timeout=30)
    assert (child.returncode, err) == (0, b"")


@pytest.mark.parametrize(
    ("words", "said"),
    [
        (("exec", "--name", "nowhere", "n1", "--", "true"), "there is no lab 'nowhere'"),
        (("exec", "--name", LAB, "n4", "--", "true"), "has no node 'n4'"),
        (("up", "--name", LAB), f"there is a lab '{LAB}' already"),
        (("up", "--name", "x", "--image", "/nonexistent"), "there is no image /nonexistent"),
        (("start", "--name", LAB, "n1"), "n1 runs already"),
    ],
)
def test_what_cannot_be_done_is_said_with_what_to_do(words: tuple[str, ...], said: str) -> None:
    ran = orlop("lab", *words)
    lines = ran.stderr.decode().splitlines()
    assert ran.returncode == 1
    assert said in next(line for line in lines if line.startswith("error: "))
    assert any(line.startswith("hint: ") for line in lines)
