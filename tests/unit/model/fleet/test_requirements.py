"""What `[X-Fleet]` says: fleet's meaning of each key, and what is refused today that it ignored."""

from __future__ import annotations

from pathlib import Path

import pytest

from orlop.errors import BadInput
from orlop.model.fleet import unitfile
from orlop.model.fleet.keys import ENTRIES, OLD, FleetKey
from orlop.model.fleet.name import split
from orlop.model.fleet.reference import markdown
from orlop.model.fleet.requirements import Requirements, read

ID = "0123456789abcdef0123456789abcdef"


def of(*lines: str, name: str = "web@1.service", lenient: bool = False) -> Requirements:
    return read(split(name), unitfile.parse("[X-Fleet]\n" + "\n".join(lines)), lenient=lenient)


def refused(*lines: str, name: str = "web@1.service", lenient: bool = False) -> str:
    with pytest.raises(BadInput) as e:
        of(*lines, name=name, lenient=lenient)
    return e.value.message


def metadata(*pairs: tuple[str, str]) -> tuple[tuple[str, frozenset[str]], ...]:
    found: dict[str, set[str]] = {}
    for key, value in pairs:
        found.setdefault(key, set()).add(value)
    return tuple((key, frozenset(values)) for key, values in found.items())


SAME_IN_BOTH = {
    "nothing": ([], Requirements()),
    "MachineID": ([f"MachineID={ID}"], Requirements(machine=ID)),
    "a short MachineID": (["MachineID=01234567"], Requirements(machine="01234567")),
    "the first MachineID counts": (["MachineID=01234567", f"MachineID={ID}"], Requirements(machine="01234567")),
    "X-ConditionMachineID": ([f"X-ConditionMachineID={ID}"], Requirements(machine=ID)),
    "MachineID before its old name": (
        [f"X-ConditionMachineID={ID}", "MachineID=01234567"],
        Requirements(machine="01234567"),
    ),
    "X-ConditionMachineBootID": (["X-ConditionMachineBootID=01234567"], Requirements(machine="01234567")),
    "MachineOf": (["MachineOf=db.service"], Requirements(peers=("db.service",))),
    "MachineOf twice": (["MachineOf=a.service", "MachineOf=b.service"], Requirements(peers=("a.service", "b.service"))),
    "MachineOf in quotes": (['MachineOf="a.service" "b.service"'], Requirements(peers=("a.service", "b.service"))),
    "X-ConditionMachineOf first": (["MachineOf=a.x", "X-ConditionMachineOf=b.x"], Requirements(peers=("b.x", "a.x"))),
    "metadata": (["MachineMetadata=region=eu"], Requirements(metadata=metadata(("region", "eu")))),
    "metadata of one key": (
        ['MachineMetadata="region=eu" "region=us"'],
        Requirements(metadata=metadata(("region", "eu"), ("region", "us"))),
    ),
    "metadata of two keys": (
        ['MachineMetadata="region=eu" "disk=ssd"'],
        Requirements(metadata=metadata(("region", "eu"), ("disk", "ssd"))),
    ),
    "X-ConditionMachineMetadata": (
        ["X-ConditionMachineMetadata=region=eu"],
        Requirements(metadata=metadata(("region", "eu"))),
    ),
    "Conflicts": (["Conflicts=web@*.service"], Requirements(conflicts=("web@*.service",))),
    "Conflicts by blanks": (["Conflicts=a* b*\tc*"], Requirements(conflicts=("a*", "b*", "c*"))),
    "X-Conflicts first": (["Conflicts=a*", "X-Conflicts=b*"], Requirements(conflicts=("b*", "a*"))),
    "Replaces": (["Replaces=old.*"], Requirements(replaces=("old.*",))),
    "Global": (["Global=true"], Requirements(is_global=True)),
    "the last Global counts": (["Global=true", "Global=no"], Requirements()),
    "specifiers": (
        ["Conflicts=%p@*.service %n %N %i"],
        Requirements(conflicts=("web@*.service", "web@1.service", "web@1", "1")),
    ),
    "MachineID with metadata": (
        [f"MachineID={ID}", "MachineMetadata=a=b"],
        Requirements(machine=ID, metadata=metadata(("a", "b"))),
    ),
    "Global with Conflicts": (["Global=1", "Conflicts=a*"], Requirements(is_global=True, conflicts=("a*",))),
    "Global with metadata": (
        ["Global=on", "MachineMetadata=a=b"],
        Requirements(is_global=True, metadata=metadata(("a", "b"))),
    ),
}


@pytest.mark.parametrize(("lines", "meant"), SAME_IN_BOTH.values(), ids=SAME_IN_BOTH)
@pytest.mark.parametrize("lenient", [False, True], ids=["strict", "lenient"])
def test_fleets_keys_have_fleets_meaning(lines: list[str], meant: Requirements, lenient: bool) -> None:
    assert of(*lines, lenient=lenient) == meant


@pytest.mark.parametrize("word", ["true", "yes", "1", "on", "t", "TRUE", "Yes"])
def test_what_is_true(word: str) -> None:
    assert of(f"Global={word}").is_global


@pytest.mark.parametrize("word", ["false", "no", "0", "off", "f"])
def test_what_is_false(word: str) -> None:
    assert not of(f"Global={word}").is_global


CONTRADICTIONS = [
    ([f"MachineID={ID}", "MachineOf=a.service"], "MachineID cannot be used with MachineOf"),
    ([f"MachineID={ID}", "Conflicts=a*"], "MachineID cannot be used with Conflicts"),
    ([f"MachineID={ID}", "Global=true"], "MachineID cannot be used with Global"),
    ([f"MachineID={ID}", "Replaces=a*"], "MachineID cannot be used with Replaces"),
    (["Global=true", "MachineOf=a.service"], "Global cannot be used with MachineOf"),
    (["Global=true", "Replaces=a*"], "Global cannot be used with Replaces"),
    (["Conflicts=a*", "Replaces=b*"], "Conflicts cannot be used with Replaces"),
    (["MachineOf=a.service", "Conflicts=a*"], "matched by its own Conflicts=a*"),
    (["MachineOf=a.service", "Replaces=a.*"], "matched by its own Replaces=a.*"),
]


@pytest.mark.parametrize(("lines", "said"), CONTRADICTIONS, ids=[said for _, said in CONTRADICTIONS])
@pytest.mark.parametrize("lenient", [False, True], ids=["strict", "lenient"])
def test_what_can_hold_nowhere_is_refused(lines: list[str], said: str, lenient: bool) -> None:
    assert said in refused(*lines, lenient=lenient)


# what fleet took and ignored: lines, what is said today, what it meant then
IGNORED = {
    "an unknown key": (["MachineIdd=x"], "line 2: 'MachineIdd' is not a key", Requirements()),
    "a key in other letters": (["machineid=x"], "write MachineID", Requirements()),
    "a malformed pattern": (["Conflicts=bad["], "line 2: Conflicts: 'bad[' is not a valid pattern", Requirements()),
    "metadata without =": (["MachineMetadata=region"], "line 2: MachineMetadata=region is not one", Requirements()),
    "two of metadata without quotes": (
        ["MachineMetadata=a=1 b=2"],
        'write MachineMetadata="a=1" "b=2"',
        Requirements(),
    ),
    "= in a value of metadata": (["MachineMetadata=a=b=c"], "is not one KEY=VALUE", Requirements()),
    "metadata without a value": (["MachineMetadata=a="], "is not one KEY=VALUE", Requirements()),
    "two units without quotes": (
        ["MachineOf=a.x b.x"],
        "put each of several in quotes",
        Requirements(peers=("a.x b.x",)),
    ),
    "an empty MachineID": (["MachineID="], "32 hexadecimal digits", Requirements(machine="?")),
    "a MachineID in capitals": (["MachineID=ABCDEF01"], "32 hexadecimal", Requirements(machine="ABCDEF01")),
    "a Global that is neither": (["Global=maybe"], "must be true or false", Requirements()),
}


@pytest.mark.parametrize(("lines", "said", "then"), IGNORED.values(), ids=IGNORED)
def test_what_fleet_ignored_is_refused_unless_an_old_tool_says_so(
    lines: list[str], said: str, then: Requirements
) -> None:
    assert said in refused(*lines)
    assert of(*lines, lenient=True) == then


def test_every_line_that_is_wrong_is_named() -> None:
    said = refused("MachineIdd=x", "Conflicts=ok*", "Conflicts=bad[", "Global=maybe")
    assert [part.split(":")[0] for part in said.split("; ")] == ["line 2", "line 4", "line 5"]


def test_a_section_that_nobody_reads_is_refused() -> None:
    for section in ("x-fleet", "X-fleet", "Fleet", "X_Fleet"):
        with pytest.raises(BadInput, match=r"read by nobody: write \[X-Fleet\]"):
            read(split("a.service"), unitfile.parse(f"[Service]\nA=b\n[{section}]\nGlobal=true"))
    with pytest.raises(BadInput, match="line 1: text before"):
        read(split("a.service"), unitfile.parse("Global=true\n[Service]\nA=b"))
    with pytest.raises(BadInput, match=r"must have a \[Container\]"):
        read(split("a.container"), unitfile.parse("[Service]\nA=b"))


NEW = {
    "CPU=2": {"cpu": 2000},
    "CPU=0.5": {"cpu": 500},
    "CPU=250m": {"cpu": 250},
    "Memory=64M": {"memory": 64 << 20},
    "Memory=1000": {"memory": 1000},
    "Ports=8080 53/udp": {"ports": frozenset({"8080/tcp", "53/udp"})},
    "Resources=gpu=1 disk.fast=2": {"resources": (("disk.fast", 2), ("gpu", 1))},
    "Prefer=disk=ssd": {"prefer": (("disk", "ssd"),)},
    "PreferWith=cache*": {"prefer_with": ("cache*",)},
    "Avoid=%p@*": {"avoid": ("web@*",)},
    "Spread=zone": {"spread": "zone"},
    "Replicas=3": {"replicas": 3},
    "MaxPerMachine=2": {"max_per_machine": 2},
    "Priority=0": {"priority": 0},
    "WhenPartitioned=stop": {"stops_alone": True},
    "WhenPartitioned=keep": {},
}


@pytest.mark.parametrize(("line", "meant"), NEW.items())
def test_new_keys(line: str, meant: dict[str, object]) -> None:
    assert of(line) == Requirements(**meant)  # type: ignore[arg-type]


@pytest.mark.parametrize(
    "line",
    [
        "CPU=0",
        "CPU=-1",
        "CPU=1.2345",
        "CPU=two",
        "CPU=",
        "Memory=1.5G",
        "Memory=0",
        "Memory=64MB",
        "Ports=0",
        "Ports=65536",
        "Ports=80/sctp",
        "Resources=gpu",
        "Resources=gpu=0",
        "Replicas=0",
        "Replicas=1001",
        "Replicas=٣",
        "MaxPerMachine=x",
        "Priority=1001",
        "Spread=a b",
        "WhenPartitioned=maybe",
        "Prefer=a",
        "PreferWith=[",
        "Avoid=bad[",
    ],
)
def test_new_keys_are_refused_either_way_or_dropped(line: str) -> None:
    assert "line 2" in refused(line)
    if line.partition("=")[0] not in {"Prefer", "PreferWith", "Avoid"}:
        assert "line 2" in refused(line, lenient=True)


def test_replicas_are_of_templates() -> None:
    assert "call it web@.container" in refused("Replicas=2", "[Container]", "Image=a", name="web.container")
    assert "Global cannot be used with Replicas" in refused("Replicas=2", "Global=true")


def test_every_key_has_an_entry() -> None:
    assert [entry.key for entry in ENTRIES] == list(FleetKey)
    assert set(OLD.values()) <= set(FleetKey)


def test_the_reference_is_made_of_the_table() -> None:
    written = (Path(__file__).parents[4] / "docs/reference/units.md").read_text()
    assert written == markdown(), "python -m orlop.model.fleet.reference > docs/reference/units.md"
