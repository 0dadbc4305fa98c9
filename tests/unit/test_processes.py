"""Real programs that end well, badly, late or not at all."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import textwrap
import time
from pathlib import Path

import pytest

from orlop.errors import CommandFailed, Missing, TimedOut
from orlop.processes import TAIL_LINES, end_group, run, signals_held


def alive(pid: int) -> bool:
    """Whether the process runs; a zombie does not."""
    try:
        return Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0] not in "ZX"
    except (FileNotFoundError, ProcessLookupError):
        return False


def gone(pid: int, seconds: float = 5) -> bool:
    end = time.monotonic() + seconds
    while alive(pid) and time.monotonic() < end:
        time.sleep(0.02)
    return not alive(pid)


def read_pid(path: Path) -> int:
    end = time.monotonic() + 10
    while time.monotonic() < end:
        if path.exists() and path.read_text().endswith("\n"):
            return int(path.read_text())
        time.sleep(0.02)
    raise AssertionError(f"no process id in {path}")


def test_output_is_returned_and_logged(tmp_path: Path) -> None:
    log = tmp_path / "logs" / "it.log"
    out = run(["sh", "-c", "echo out; echo err >&2"], what="it", log=log)
    assert out == "out\nerr\n"
    assert log.read_text() == out


def test_stdin_env_and_cwd(tmp_path: Path) -> None:
    script = 'cat; echo "$ORLOP_TEST"; pwd'
    out = run(["sh", "-c", script], what="it", stdin=b"in\n", env={"ORLOP_TEST": "set"}, cwd=tmp_path)
    assert out == f"in\nset\n{tmp_path}\n"


def test_without_stdin_a_reader_sees_the_end() -> None:
    assert run(["cat"], what="it", timeout=10) == ""


def test_unread_input_is_no_error() -> None:
    assert run(["true"], what="it", stdin=b"x" * 1_000_000) == ""


def test_big_output_with_broken_text() -> None:
    script = "import sys; sys.stdout.buffer.write(b'\\xff' + b'x' * 20_000_000)"
    out = run([sys.executable, "-c", script], what="it")
    assert len(out) == 20_000_001
    assert out[0] == "�"


def test_failure_says_what_and_shows_the_end(tmp_path: Path) -> None:
    log = tmp_path / "it.log"
    with pytest.raises(CommandFailed) as caught:
        run(["sh", "-c", "seq 100; exit 3"], what="making it", log=log, hint="do this")
    assert caught.value.message == f"making it failed: sh ended with 3 (all of it in {log})"
    assert caught.value.code == 3
    assert caught.value.tail.splitlines() == [str(n) for n in range(101 - TAIL_LINES, 101)]
    assert caught.value.hint == "do this"


def test_a_signal_is_a_negative_code() -> None:
    with pytest.raises(CommandFailed) as caught:
        run(["sh", "-c", "kill -9 $$"], what="it")
    assert caught.value.code == -signal.SIGKILL


def test_a_missing_program_names_itself_and_the_way_out() -> None:
    with pytest.raises(Missing, match="making it: 'no-such-program' is not installed") as caught:
        run(["no-such-program"], what="making it")
    assert "make setup" in caught.value.hint


def test_a_program_that_may_not_run(tmp_path: Path) -> None:
    program = tmp_path / "program"
    program.write_text("not executable")
    with pytest.raises(Missing, match="may not be executed"):
        run([program], what="it")


def test_a_missing_folder_is_not_called_a_missing_program(tmp_path: Path) -> None:
    with pytest.raises(Missing, match=r"the folder .*/nowhere is not there"):
        run(["true"], what="it", cwd=tmp_path / "nowhere")


def test_timeout_ends_the_whole_group(tmp_path: Path) -> None:
    pid = tmp_path / "pid"
    start = time.monotonic()
    with pytest.raises(TimedOut, match="it: sh did not end within 1 s"):
        run(["sh", "-c", f"sleep 300 & echo $! > {pid}; wait"], what="it", timeout=1)
    assert time.monotonic() - start < 10
    assert gone(read_pid(pid))


def test_what_outlives_its_parent_is_ended(tmp_path: Path) -> None:
    pid = tmp_path / "pid"
    run(["sh", "-c", f"sleep 300 >/dev/null & echo $! > {pid}"], what="it", timeout=60)
    assert gone(read_pid(pid))


def test_a_group_that_ignores_sigterm_is_killed(tmp_path: Path) -> None:
    script = f"trap '' TERM; echo $$ > {tmp_path}/pid; while :; do sleep 1; done"
    child = subprocess.Popen(["sh", "-c", script], start_new_session=True)
    pid = read_pid(tmp_path / "pid")
    end_group(child, grace=0.5)
    assert child.returncode == -signal.SIGKILL
    assert gone(pid)
    end_group(child)  # again is harmless


@pytest.mark.parametrize("sig", [signal.SIGINT, signal.SIGTERM])
def test_an_interrupt_ends_the_group_first(tmp_path: Path, sig: signal.Signals) -> None:
    script = textwrap.dedent(
        f"""
        import signal, sys
        from orlop.processes import run
        signal.signal(signal.SIGTERM, lambda *_: sys.exit(143))
        run(["sh", "-c", "trap 'sleep 0.3; echo cleaned > {tmp_path}/cleaned; exit' TERM; "
             "echo $$ > {tmp_path}/pid; while :; do sleep 0.1; done"], what="it")
        """
    )
    child = subprocess.Popen([sys.executable, "-c", script], stderr=subprocess.PIPE)
    pid = read_pid(tmp_path / "pid")
    os.kill(child.pid, sig)
    _, err = child.communicate(timeout=20)
    assert (b"KeyboardInterrupt" in err) == (sig == signal.SIGINT)
    assert not alive(pid)
    assert (tmp_path / "cleaned").exists()


def test_held_signals_come_after_the_block() -> None:
    done = []

    def hold() -> None:
        with signals_held():
            signal.raise_signal(signal.SIGINT)
            done.append("block")
        done.append("after")

    with pytest.raises(KeyboardInterrupt):
        hold()
    assert done == ["block"]
    with pytest.raises(KeyboardInterrupt):  # and the handler is back
        signal.raise_signal(signal.SIGINT)
