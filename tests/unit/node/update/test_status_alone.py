"""What `orlop node status` says on a machine whose engine does not answer, or that has none."""

from __future__ import annotations

import json
from pathlib import Path

from orlop.node.update.api.verbs.status import of_the_machine

BOOT = "3f1c0c7e8a514bdf9d446a2f6a0f6c11"


def test_the_boot_and_what_is_wrong_now_have_a_sentence_each(tmp_path: Path) -> None:
    assert of_the_machine(tmp_path) == []
    (tmp_path / "run/orlop").mkdir(parents=True)
    (tmp_path / "proc/sys/kernel/random").mkdir(parents=True)
    (tmp_path / "proc/sys/kernel/random/boot_id").write_text(BOOT + "\n")
    verdict = {"verdict": "bad", "boot": BOOT, "reason": "a was not started; b failed", "checks": []}
    (tmp_path / "run/orlop/health.json").write_text(json.dumps(verdict))
    check = {"check": "storage", "ok": False, "kind": "storage", "about": "", "reason": "/var has errors"}
    (tmp_path / "run/orlop/watch.json").write_text(json.dumps({"boot": BOOT, "checks": [check]}))
    assert of_the_machine(tmp_path) == [
        "health    bad: a was not started",
        "          b failed",
        "now       /var has errors",
    ]
