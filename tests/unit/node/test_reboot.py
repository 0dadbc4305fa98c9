"""`orlop reboot` on a machine in no cluster; never without --lock-only here, which is what keeps this computer up."""

from __future__ import annotations

import argparse
import os

import pytest

from orlop.cluster.lock import is_in_cluster
from orlop.errors import BadInput
from orlop.node.agent import reboot


def parsed(*words: str) -> argparse.Namespace:
    parser = argparse.ArgumentParser()
    reboot.arguments(parser)
    args = parser.parse_args(words)
    assert args.lock_only
    return args


@pytest.mark.skipif(os.geteuid() != 0 or is_in_cluster(), reason="as root, on a computer in no cluster")
def test_there_is_no_lock_to_take_without_a_cluster(capsys: pytest.CaptureFixture[str]) -> None:
    assert reboot.run(parsed("--lock-only")) == 0
    assert capsys.readouterr().out == ""


def test_words_that_leave_nothing_to_do() -> None:
    with pytest.raises(BadInput, match="leave nothing to do" if not os.geteuid() else "needs root"):
        reboot.run(parsed("--lock-only", "--no-lock"))
