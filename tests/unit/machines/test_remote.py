"""Machines by address: which ssh is run, and what its failures mean. A program that stands in for ssh, on PATH."""

from __future__ import annotations

import itertools
import json
from collections.abc import Callable
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from orlop.errors import BadInput, CommandFailed, Missing, TimedOut
from orlop.machines import remote
from orlop.machines.remote import Address, Remote

# prints what `ssh -G` would for an alias `web`, and else does what $SSH_DOES says
SSH = """#!/bin/sh
if [ "$1" = -G ]; then
    case $3 in web) echo "hostname 192.0.2.7"; echo "user core" ;; *) echo "hostname $3"; echo "user $(id -un)" ;; esac
    exit
fi
printf '%s\\n' "$@" > "$SSH_LOG"
eval "$SSH_DOES"
"""
GOOD = {"verdict": "good", "version": "20261201.2", "boot": "b", "reason": ""}


@pytest.fixture
def ssh(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Callable[[str], Path]:
    program = tmp_path / "bin/ssh"
    program.parent.mkdir()
    program.write_text(SSH)
    program.chmod(0o755)
    log = tmp_path / "log"
    monkeypatch.setenv("PATH", f"{program.parent}:/usr/bin:/bin")
    monkeypatch.setenv("SSH_LOG", str(log))

    def does(script: str) -> Path:
        monkeypatch.setenv("SSH_DOES", script)
        return log

    return does


@pytest.mark.parametrize(
    ("text", "address"),
    [
        ("192.0.2.1", Address("192.0.2.1")),
        ("core@web.example", Address("web.example", "core")),
        ("root@web.example:2222", Address("web.example", "root", 2222)),
        ("2001:db8::7", Address("2001:db8::7")),
        ("root@2001:db8::7", Address("2001:db8::7", "root")),
        ("root@[2001:db8::7]:2222", Address("2001:db8::7", "root", 2222)),
    ],
)
def test_addresses(text: str, address: Address) -> None:
    assert Address.parse(text) == address


@pytest.mark.parametrize("text", ["", "@", "root@", "a b", "host:0", "host:65536", "host:x", "-oProxyCommand=x", "a/b"])
def test_what_is_not_an_address(text: str) -> None:
    with pytest.raises(BadInput, match="is not a valid address of a machine"):
        Address.parse(text)


@given(st.text(max_size=30))
def test_no_word_of_an_address_becomes_an_option(text: str) -> None:
    try:
        address = Address.parse(text)
    except BadInput:
        return
    assert not address.host.startswith("-")


def test_an_address_is_reached_as_root_and_an_alias_as_its_configuration_says(ssh: Callable[[str], Path]) -> None:
    ssh("")
    assert remote.find("192.0.2.1").address.user == "root"
    assert remote.find("core@192.0.2.1").address.user == "core"
    assert remote.find("web").address == Address("web")
    assert (remote.is_alias("web"), remote.is_alias("n1")) == (True, False)


def test_a_command_goes_word_for_word_with_key_and_port(ssh: Callable[[str], Path], tmp_path: Path) -> None:
    log = ssh("echo out; echo err >&2; exit 7")
    key = tmp_path / "key"
    key.write_text("")
    ran = remote.find("192.0.2.1:2222", key).run("sh", "-c", "echo 'a b'")
    assert (ran.code, ran.out, ran.err) == (7, "out\n", "err\n")
    words = log.read_text().splitlines()
    assert words[words.index("-i") + 1] == str(key) and words[words.index("-p") + 1] == "2222"
    assert words[words.index("--") + 1 :] == ["192.0.2.1", """sh -c 'echo '"'"'a b'"'"''"""]


def test_a_key_that_is_not_there_is_named() -> None:
    with pytest.raises(BadInput, match="there is no private key /nowhere/key"):
        remote.find("192.0.2.1", Path("/nowhere/key"))


def test_a_computer_without_ssh_says_what_to_install(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setenv("PATH", str(tmp_path))
    assert not remote.is_alias("n1")
    with pytest.raises(Missing, match="ssh is not installed") as e:
        remote.find("192.0.2.1")
    assert e.value.hint == "apt-get install openssh-client"


@pytest.mark.parametrize(
    ("said", "why", "hint"),
    [
        ("ssh: connect to host x port 22: Connection refused", "Connection refused", "see what this says: "),
        ("Host key verification failed.", "its host key is not known yet", "compare its fingerprint"),
        (
            "@ WARNING: REMOTE HOST IDENTIFICATION HAS CHANGED! @\nHost key verification failed.",
            "another than",
            "-R 192",
        ),
        ("root@x: Permission denied (publickey).", "Permission denied", "name the private key with --key"),
        ("", "ssh says nothing", "see what this says: "),
    ],
)
def test_failures_of_ssh_are_words(ssh: Callable[[str], Path], said: str, why: str, hint: str) -> None:
    ssh(f"echo '{said}' >&2; exit 255")
    with pytest.raises(CommandFailed, match=r"192\.0\.2\.1 cannot be reached: ") as e:
        remote.find("192.0.2.1").run("true")
    assert why in e.value.message and hint in e.value.hint


def _boots(ssh: Callable[[str], Path], *looks: str) -> None:
    """What the machine answers, one look after another; an empty one is a machine that does not answer."""
    log = ssh("")
    for n, text in enumerate(looks):
        (log.parent / f"look{n}").write_text(text)
    ssh(
        f"n=$(cat {log.parent}/n 2> /dev/null || echo 0); echo $((n + 1)) > {log.parent}/n; "
        f"[ -s {log.parent}/look$n ] || exit 255; cat {log.parent}/look$n"
    )


def test_it_waits_through_the_reboot_for_the_next_boots_verdict(ssh: Callable[[str], Path]) -> None:
    _boots(ssh, f"one\n{json.dumps(GOOD)}", "", "two\n", f"two\n{json.dumps(GOOD)}")
    assert remote.find("192.0.2.1").wait_verdict("one", timeout=30, poll=0).version == "20261201.2"


def test_a_bad_verdict_and_none_at_all(ssh: Callable[[str], Path]) -> None:
    bad = GOOD | {"verdict": "bad", "reason": "a unit failed"}
    _boots(ssh, f"two\n{json.dumps(bad)}")
    with pytest.raises(CommandFailed, match=r"is not healthy as 20261201\.2: a unit failed"):
        remote.find("192.0.2.1").wait_verdict("one", timeout=30, poll=0)
    ssh("echo one")
    ticks = itertools.count(step=10)
    with pytest.raises(TimedOut, match="no verdict within 30 s: it runs the same boot still"):
        remote.find("192.0.2.1").wait_verdict("one", timeout=30, poll=0, clock=lambda: float(next(ticks)))


def test_what_is_not_an_answer_of_orlop() -> None:
    with pytest.raises(CommandFailed, match="says nothing of its health that can be read"):
        remote.parse_look("x", "boot\nnot json")


def test_a_login_shell_has_a_terminal(ssh: Callable[[str], Path]) -> None:
    ssh("")
    assert Remote("x", Address("x")).argv((), tty=True)[-3:] == ["-t", "--", "x"]
