"""The table of cases: what failed under the new version, what under the one before, and what follows."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

from orlop.model.update.blame import KINDS, Class, Finding, class_of, compare
from orlop.model.words.version import Version

V1 = Version.parse("20261201.1")
HEALTH = Path(__file__).parents[4] / "os/mkosi.extra/usr/lib/orlop"


def well(what: str) -> Finding:
    return Finding(deny=True, sentence=f"compared with {V1}, where {what} is well")


def bad(what: str) -> Finding:
    return Finding(deny=False, sentence=f"{what} is bad under {V1} too")


BLAMED = Finding(deny=True, sentence="")
COMES_UP = Finding(deny=True, sentence=f"compared with {V1}, which comes up")


@pytest.mark.parametrize(
    ("failed", "good", "there", "finding"),
    [
        # the version's own: at once, whatever the one before does
        ("system:a.service", None, "", BLAMED),
        ("podman", False, "podman", BLAMED),
        ("agent network", None, "", BLAMED),
        ("something-new", None, "", BLAMED),
        # around the machine
        ("network", None, "", None),
        ("network", True, "", well("network")),
        ("network", False, "network", bad("network")),
        ("network", False, "network system:a.service", bad("network")),
        ("network", False, "var", well("network")),
        ("network var", False, "network var", bad("network and var")),
        ("network var", False, "network", well("var")),
        ("data:srv.mount", False, "data:systemd-fsck@dev-vdb.service", bad("data")),
        ("image:a.service", False, "image:b.service", bad("image")),
        # perhaps the version's
        ("user:10-web", None, "", None),
        ("user:10-web", True, "", well("user:10-web")),
        ("user:10-web", False, "user:10-web", bad("user:10-web")),
        ("user:10-web", False, "user:20-db", well("user:10-web")),
        ("workload:web.service network", False, "network", well("workload:web.service")),
        ("settings", False, "settings", bad("settings")),
        # the machine's own: whatever came of it is not the version's either
        ("storage", None, "", Finding(False, "storage is the machine's own, not the version's")),
        ("storage var system:a.service", True, "", Finding(False, "storage is the machine's own, not the version's")),
        # no verdict: a panic, tries that were used up, a journal that could not be written
        ("", None, "", None),
        ("", True, "", COMES_UP),
        ("", False, "var podman", bad("var")),
        ("", False, "workload:web.service", BLAMED),
    ],
)
def test_who_is_to_blame(failed: str, good: bool | None, there: str, finding: Finding | None) -> None:
    assert compare(failed.split(), V1, good, there.split()) == finding


def test_the_health_check_knows_the_same_kinds_and_waits_for_the_same() -> None:
    text = (HEALTH / "health-kinds").read_text()
    waited = re.search(r'^WAITED="(.*)"', text, re.MULTILINE)
    assert waited is not None
    assert set(waited[1].split()) == {kind for kind, its in KINDS.items() if its is Class.WAITED}
    said = set(re.findall(r"\becho ([a-z]+)", text))
    assert said <= set(KINDS) and class_of("nothing-known") is Class.BLAMED
