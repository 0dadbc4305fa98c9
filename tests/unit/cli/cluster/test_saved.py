"""`orlop cluster backup` and `restore` at the operator's end: files judged before any machine is asked."""

from __future__ import annotations

import hashlib
import io
import sys
from pathlib import Path

import pytest
from typer.testing import CliRunner

from orlop.cli.app import app
from orlop.errors import TimedOut
from orlop.machines.reach import piped
from orlop.store.snapshot import bolt, contents


def orlop(*words: str) -> tuple[int, str]:
    done = CliRunner().invoke(app, ["cluster", *words])
    return done.exit_code, done.output


def snapshot() -> bytes:
    out = io.BytesIO()
    bolt.write(out, {b"key": [(contents.revision_key(7), b"")], b"meta": []})
    return out.getvalue() + hashlib.sha256(out.getvalue()).digest()


@pytest.mark.parametrize(
    ("raw", "said"),
    [
        (None, "cannot be read: No such file or directory"),
        (b"variant: orlop\n", "is not a snapshot of etcd: it has 15 bytes"),
        (snapshot()[:-1], "is not a whole snapshot of etcd: the hash at its end"),
        (snapshot(), "there is no lab"),  # it is good, and only then a machine is looked for
    ],
)
def test_file_is_judged_before_a_machine_is_asked(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, raw: bytes | None, said: str
) -> None:
    monkeypatch.setenv("ORLOP_STATE", str(tmp_path / "state"))
    file = tmp_path / "it"
    if raw is not None:
        file.write_bytes(raw)
    code, output = orlop("restore", "n1", str(file))
    assert code == 1
    assert said in output.replace("\n", " ")


def test_backup_is_not_written_over(tmp_path: Path) -> None:
    (tmp_path / "it").write_text("precious")
    code, output = orlop("backup", "n1", "-o", str(tmp_path / "it"))
    assert (code, "is there already" in output) == (1, True)
    assert (tmp_path / "it").read_text() == "precious"


def test_size_is_judged_before_a_machine_is_asked() -> None:
    code, output = orlop("size", "n1", "2")
    assert (code, "1, 3 or 5 members, not 2" in output) == (1, True)


def test_file_goes_over_whole_and_is_counted(tmp_path: Path) -> None:
    raw, seen = bytes(range(256)) * 4000, [0]
    (tmp_path / "in").write_bytes(raw)
    with (tmp_path / "in").open("rb") as f:
        copy = ["sh", "-c", f"cat > {tmp_path / 'there'}; echo done; echo said >&2"]
        ran = piped(copy, what="it", file=f, is_read=True, seen=seen.append, poll=0.01)
    assert (ran.code, ran.out) == (0, "done\nsaid\n")
    assert (tmp_path / "there").read_bytes() == raw
    with (tmp_path / "out").open("wb") as f:
        ran = piped(["cat", str(tmp_path / "in")], what="it", file=f, is_read=False, seen=seen.append, poll=0.01)
    assert (ran.code, ran.out) == (0, "")
    assert (tmp_path / "out").read_bytes() == raw
    assert max(seen) <= len(raw)


def test_command_that_does_not_go_on_is_ended(tmp_path: Path) -> None:
    wait = [sys.executable, "-c", "import time; time.sleep(60)"]
    with (tmp_path / "out").open("wb") as f, pytest.raises(TimedOut, match="it did not go on"):
        piped(wait, what="it", file=f, is_read=False, silence=0.3, poll=0.05)
