"""`orlop denials` on a machine, with a journal that a program on PATH stands in for."""

from __future__ import annotations

import argparse
import json
from pathlib import Path

import pytest

from orlop.errors import BadInput, OrlopError
from orlop.node.denials import show

LINE = (
    'audit: type=1400 audit(1.2:3): avc:  denied  {{ {} }} for pid=812 comm="sh" scontext=system_u:system_r:admin_t:s0 '
    "tcontext=system_u:object_r:security_t:s0 tclass=security permissive=0"
)


@pytest.fixture
def journal(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """What the journal says, on a machine that has SELinux."""
    said, program = tmp_path / "journal", tmp_path / "journalctl"
    program.write_text(f'#!/bin/sh\n[ "$1" = --boot ] && exec cat {said}\n')
    program.chmod(0o755)
    (tmp_path / "enforce").write_text("1")
    monkeypatch.setenv("PATH", f"{tmp_path}:/usr/bin:/bin")
    monkeypatch.setattr(show, "ENFORCE", tmp_path / "enforce")
    return said


def run(capsys: pytest.CaptureFixture[str], *, as_json: bool = False) -> tuple[int, str]:
    code = show.run(argparse.Namespace(json=as_json))
    return code, capsys.readouterr().out


def test_nothing_was_refused(journal: Path, capsys: pytest.CaptureFixture[str]) -> None:
    journal.write_text("systemd[1]: hello\n")
    assert run(capsys) == (0, "SELinux has refused nothing since this machine started\n")
    code, out = run(capsys, as_json=True)
    assert (code, json.loads(out)["denials"]) == (0, [])


def test_what_was_refused_in_sentences_and_as_json(journal: Path, capsys: pytest.CaptureFixture[str]) -> None:
    journal.write_text(f"x\n{LINE.format('setenforce')}\n{LINE.format('setenforce')}\n")
    code, out = run(capsys)
    assert code == 1
    assert out.splitlines()[0] == "a login (sh) was refused to setenforce SELinux itself, 2 times"
    code, out = run(capsys, as_json=True)
    assert (code, json.loads(out)["denials"][0]["count"]) == (1, 2)


def test_a_journal_that_cannot_be_read(journal: Path, capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(OrlopError, match="the journal cannot be read"):
        run(capsys)
    assert not journal.exists()


def test_a_machine_without_selinux_says_so(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(show, "ENFORCE", tmp_path / "none")
    with pytest.raises(BadInput, match="this machine has no SELinux"):
        show.run(argparse.Namespace(json=False))
