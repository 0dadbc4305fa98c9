"""Where units are placed: fleet's order and rules, what is new, and that each decision has its reason."""

from __future__ import annotations

import pytest

from orlop.model.fleet import unitfile
from orlop.model.fleet.able import FleetMachine, UnitInstance
from orlop.model.fleet.explain import explain, summary
from orlop.model.fleet.name import split
from orlop.model.fleet.requirements import read
from orlop.model.fleet.schedule import FleetScheduler


def unit(name: str, *lines: str) -> UnitInstance:
    needs = read(split(name), unitfile.parse("[X-Fleet]\n" + "\n".join(lines)))
    return UnitInstance(name, name, needs, split(name).template)


def machine(name: str, closed: str = "", leaving: str = "", cpu: int = 2000, memory: int = 2048, gpu: int = 0,
            **metadata: str) -> FleetMachine:  # fmt: skip
    resources = {"gpu": gpu} if gpu else {}
    return FleetMachine(name * 32, name, metadata, cpu, memory << 20, resources, closed, leaving)


def cluster(*machines: FleetMachine) -> FleetScheduler:
    made = FleetScheduler()
    for each in machines or (machine("a"), machine("b"), machine("c")):
        made.machine(each)
    return made


def placed(scheduler: FleetScheduler, *units: UnitInstance) -> dict[str, str]:
    """Where each is, by the first letter of the machine's name."""
    for each in units:
        scheduler.want(each)
    scheduler.decide()
    at: dict[str, str] = {}
    for name, where in sorted(scheduler.placed, key=lambda found: found[1]):
        at[name] = at.get(name, "") + where[0]
    return at


def why(scheduler: FleetScheduler, instance: UnitInstance) -> dict[str, str]:
    return {v.machine.host: v.refused or f"#{v.rank}" for v in explain(scheduler.rooms, instance)}


def test_the_fewest_units_then_the_name() -> None:
    found = placed(cluster(), *(unit(f"u{n}.service") for n in range(7)))
    assert found == {f"u{n}.service": "abcabca"[n] for n in range(7)}


def test_global_units_count_in_the_load() -> None:
    scheduler = cluster(machine("a", disk="ssd"), machine("b"))
    assert placed(scheduler, unit("g.service", "Global=true", "MachineMetadata=disk=ssd")) == {"g.service": "a"}
    assert placed(scheduler, unit("u.service"))["u.service"] == "b"


def test_machine_id_in_full_and_in_short() -> None:
    found = placed(cluster(), unit("u.service", f"MachineID={'c' * 32}"), unit("v.service", f"MachineID={'b' * 8}"))
    assert found == {"u.service": "c", "v.service": "b"}
    assert "x.service" not in placed(cluster(), unit("x.service", "MachineID=abcdef01"))


METADATA = {
    "one": (["region=eu"], "a"),
    "alternatives of a key": (["region=us", "region=asia"], "b"),
    "two keys": (["region=eu", "disk=hdd"], "c"),
    "none": (["region=mars"], ""),
    "a key that none has": (["colour=red"], ""),
}


@pytest.mark.parametrize(("wanted", "where"), METADATA.values(), ids=METADATA)
def test_metadata(wanted: list[str], where: str) -> None:
    machines = machine("a", region="eu", disk="ssd"), machine("b", region="us"), machine("c", region="eu", disk="hdd")
    found = placed(cluster(*machines), unit("u.service", *(f"MachineMetadata={pair}" for pair in wanted)))
    assert found.get("u.service", "") == where


def test_a_follower_waits_for_its_peer_and_moves_with_it() -> None:
    scheduler = cluster()
    follower = unit("f.service", "MachineOf=p.service")
    assert placed(scheduler, follower) == {}
    assert scheduler.waiting == ["f.service"]
    assert placed(scheduler, unit("p.service", f"MachineID={'b' * 32}")) == {"f.service": "b", "p.service": "b"}
    moved = placed(scheduler, unit("p.service", f"MachineID={'c' * 32}"))
    assert moved == {"f.service": "c", "p.service": "c"}
    scheduler.unwant("p.service")
    assert placed(scheduler) == {}


def test_a_follower_of_two_needs_both() -> None:
    peers = unit("p.service", f"MachineID={'a' * 32}"), unit("q.service", f"MachineID={'b' * 32}")
    found = placed(cluster(), *peers, unit("f.service", 'MachineOf="p.service" "q.service"'))
    assert "f.service" not in found
    assert "f.service" in placed(cluster(), unit("p.service"), unit("f.service", "MachineOf=p.service"))


def test_conflicts_hold_whoever_says_so() -> None:
    replicas = [unit(f"web@{n}.service", "Conflicts=web@*.service") for n in range(1, 5)]
    scheduler = cluster()
    assert placed(scheduler, *replicas) == {"web@1.service": "a", "web@2.service": "b", "web@3.service": "c"}
    assert scheduler.waiting == ["web@4.service"]
    one, other = unit("a.service", "Conflicts=b.*"), unit("b.service")
    assert placed(cluster(machine("a")), one, other) == placed(cluster(machine("a")), other, one) == {"a.service": "a"}


def test_a_unit_does_not_conflict_with_itself() -> None:
    assert placed(cluster(machine("a")), unit("web.service", "Conflicts=web*")) == {"web.service": "a"}


def test_one_that_waits_is_placed_when_that_changes() -> None:
    scheduler = cluster(machine("a"))
    placed(scheduler, unit("a.service", "Conflicts=b*"), unit("b.service"))
    assert scheduler.waiting == ["b.service"]
    scheduler.machine(machine("b"))
    (change,) = scheduler.decide()
    assert (change.instance.name, change.was, change.to[0]) == ("b.service", "", "b")
    assert scheduler.waiting == []


def test_replaces_takes_the_place_and_the_other_goes_where_it_may() -> None:
    scheduler = cluster(machine("a"), machine("b", disk="ssd"), machine("c"))
    old = unit("old.service")
    assert placed(scheduler, old)["old.service"] == "a"
    scheduler.machine(machine("c", closed="cordoned"))
    placed(scheduler, unit("x.service"))
    found = placed(scheduler, unit("new.service", "Replaces=old.*"))
    assert found == {"new.service": "a", "old.service": "b", "x.service": "b"}


def test_replaces_checks_where_the_other_could_go() -> None:
    """fleet moved it to the next machine, whatever it asks for."""
    scheduler = cluster(machine("a", disk="ssd"), machine("b"), machine("c"))
    placed(scheduler, unit("old.service", "MachineMetadata=disk=ssd"))
    new = unit("new.service", "Replaces=old.*", "MachineMetadata=disk=ssd")
    assert placed(scheduler, new) == {"old.service": "a"}
    assert why(scheduler, new)["a"] == "old.service would have to make way, and nothing else can run it"


def test_two_that_replace_each_other_do_not_take_turns() -> None:
    one, other = unit("a.service", "Replaces=b*"), unit("b.service", "Replaces=a*")
    assert placed(cluster(machine("a")), one, other) == {"a.service": "a", "b.service": "a"}


def test_a_circle_of_three_comes_to_rest() -> None:
    circle = [unit(f"{one}.service", f"Replaces={other}.*") for one, other in ("ab", "bc", "ca")]
    for machines in ("a", "ab", "abc", "abcd"):
        scheduler = cluster(*map(machine, machines))
        placed(scheduler, *circle)
        assert scheduler.decide() == []


def test_global_is_on_every_machine_that_may_run_it() -> None:
    scheduler = cluster(machine("a", disk="ssd"), machine("b"), machine("c", disk="ssd"))
    everywhere = unit("g.service", "Global=true", "MachineMetadata=disk=ssd")
    assert placed(scheduler, everywhere) == {"g.service": "ac"}
    scheduler.machine(machine("d", disk="ssd"))
    assert placed(scheduler) == {"g.service": "acd"}
    scheduler.machine(machine("a", disk="hdd"))
    assert placed(scheduler) == {"g.service": "cd"}
    assert placed(scheduler, unit("g.service")) == {"g.service": "a"}


def test_global_minds_conflicts() -> None:
    scheduler = cluster(machine("a"), machine("b"))
    placed(scheduler, unit("x.service"))
    assert placed(scheduler, unit("g.service", "Global=true", "Conflicts=x*"))["g.service"] == "b"
    scheduler.unwant("x.service")
    assert placed(scheduler) == {"g.service": "ab"}


def test_what_runs_stays() -> None:
    scheduler = cluster(machine("a"))
    placed(scheduler, *(unit(f"u{n}.service") for n in range(4)))
    scheduler.machine(machine("b"))
    assert scheduler.decide() == []
    assert placed(scheduler, unit("new.service"))["new.service"] == "b"


def test_a_closed_machine_keeps_and_a_leaving_one_gives_up() -> None:
    scheduler = cluster(machine("a"), machine("b"))
    placed(scheduler, unit("u.service"), unit("g.service", "Global=true"))
    scheduler.machine(machine("a", closed="cordoned: new disk"))
    assert scheduler.decide() == []
    scheduler.machine(machine("a", leaving="drained: new disk"))
    (change,) = scheduler.decide()
    assert (change.instance.name, change.was[0], change.to[0], change.why) == (
        "u.service", "a", "b", "drained: new disk",
    )  # fmt: skip
    scheduler.machine(machine("a"))
    assert scheduler.decide() == []


def test_a_machine_that_is_gone_loses_all() -> None:
    scheduler = cluster(machine("a"), machine("b"))
    placed(scheduler, unit("u.service"), unit("g.service", "Global=true"))
    scheduler.forget_machine("a" * 32)
    assert placed(scheduler) == {"u.service": "b", "g.service": "b"}
    scheduler.forget_machine("b" * 32)
    assert placed(scheduler) == {} and scheduler.waiting == ["u.service"]


RESOURCES = {
    "cpu": ("CPU=1.5", "it has 0.5 cores left, 1.5 are needed"),
    "memory": ("Memory=1500M", "it has 548M of memory left, 1500M are needed"),
    "ports": ("Ports=80", "port 80/tcp is taken by u1.service"),
    "others": ("Resources=gpu=2", "it has 1 gpu left, 2 are needed"),
}


@pytest.mark.parametrize(("line", "said"), RESOURCES.values(), ids=RESOURCES)
def test_nothing_is_promised_twice(line: str, said: str) -> None:
    scheduler = cluster(machine("a", gpu=3), machine("b", gpu=3))
    found = placed(scheduler, *(unit(f"u{n}.service", line) for n in (1, 2, 3)))
    assert found == {"u1.service": "a", "u2.service": "b"}
    assert why(scheduler, unit("u3.service", line))["a"] == said


def test_a_unit_that_grows_moves_when_it_must() -> None:
    scheduler = cluster(machine("a"), machine("b"))
    placed(scheduler, unit("u.service", "CPU=1"), unit("v.service"), unit("w.service", "CPU=1"))
    assert placed(scheduler, unit("w.service", "CPU=1.5"))["w.service"] == "b"


def test_a_machine_that_shrinks_keeps_the_highest() -> None:
    scheduler = cluster(machine("a"))
    placed(scheduler, unit("a.service", "CPU=1", "Priority=1"), unit("b.service", "CPU=1", "Priority=2"))
    scheduler.machine(machine("a", cpu=1000))
    assert placed(scheduler) == {"b.service": "a"}


def replicas(count: int, *lines: str) -> list[UnitInstance]:
    return [unit(f"web@{n}.service", f"Replicas={count}", *lines) for n in range(1, count + 1)]


def test_replicas_are_spread_over_machines() -> None:
    scheduler = cluster()
    placed(scheduler, *(unit(f"u{n}.service", f"MachineID={'a' * 32}") for n in range(5)))
    found = placed(scheduler, *replicas(4))
    assert [found[f"web@{n}.service"] for n in (1, 2, 3, 4)] == ["b", "c", "a", "b"]


def test_replicas_are_spread_over_metadata() -> None:
    scheduler = cluster(machine("a", zone="1"), machine("b", zone="1"), machine("c", zone="2"))
    found = placed(scheduler, *replicas(4, "Spread=zone"))
    assert sorted(found.values()) == ["a", "b", "c", "c"]


def test_at_most_so_many_on_a_machine() -> None:
    scheduler = cluster(machine("a"), machine("b"))
    assert len(placed(scheduler, *replicas(5, "MaxPerMachine=2"))) == 4
    assert why(scheduler, replicas(5, "MaxPerMachine=2")[4]) == dict.fromkeys("ab", "it has 2 of web@.service already")


def test_wishes_are_met_when_they_can_be() -> None:
    scheduler = cluster(machine("a"), machine("b", disk="ssd", cpu=1000), machine("c"))
    found = placed(scheduler, *(unit(f"u{n}.service", "Prefer=disk=ssd", "CPU=0.5") for n in (1, 2, 3)))
    assert found == {"u1.service": "b", "u2.service": "b", "u3.service": "a"}
    assert placed(scheduler, unit("w.service", "PreferWith=u3*"))["w.service"] == "a"
    assert placed(scheduler, unit("x.service", "Avoid=w* u*"))["x.service"] == "c"


def test_higher_priority_comes_first_and_lower_makes_way() -> None:
    low = [unit(f"low{n}.service", "CPU=1", "Priority=10") for n in range(4)]
    scheduler = cluster(machine("a"), machine("b"))
    placed(scheduler, *low, unit("mid.service", "Priority=50"))
    found = placed(scheduler, unit("high.service", "CPU=1.5", "Priority=200"))
    assert found == {"high.service": "b", "low1.service": "a", "low3.service": "a", "mid.service": "a"}
    assert scheduler.waiting == ["low0.service", "low2.service"]


def test_as_few_as_can_be_make_way() -> None:
    scheduler = cluster(machine("a"))
    placed(scheduler, unit("l1.service", "CPU=0.5", "Priority=1"), unit("l2.service", "CPU=1", "Priority=2"),
           unit("l3.service", "CPU=0.5", "Priority=1"))  # fmt: skip
    found = placed(scheduler, unit("high.service", "CPU=1"))
    assert found == {"high.service": "a", "l2.service": "a"}


def test_the_same_priority_does_not_make_way() -> None:
    scheduler = cluster(machine("a"))
    found = placed(scheduler, unit("u.service", "CPU=2"), unit("v.service", "CPU=2"))
    assert found == {"u.service": "a"}


def test_what_was_placed_is_adopted_and_kept() -> None:
    scheduler = cluster()
    for each in (unit("u.service"), unit("v.service"), unit("g.service", "Global=true")):
        scheduler.want(each)
    assert scheduler.adopt("u.service", "c" * 32)
    assert all(scheduler.adopt("g.service", name * 32) for name in "abc")
    assert not scheduler.adopt("u.service", "a" * 32)
    assert not scheduler.adopt("x.service", "a" * 32)
    assert not scheduler.adopt("v.service", "d" * 32)
    assert [(change.instance.name, change.to[0]) for change in scheduler.decide()] == [("v.service", "a")]


def test_who_goes_is_told_before_who_comes() -> None:
    scheduler = cluster(machine("a"), machine("b"))
    placed(scheduler, unit("z.service", "Ports=80", "Priority=1"))
    scheduler.machine(machine("b", closed="full"))
    scheduler.want(unit("a.service", "Ports=80"))
    assert [change.instance.name for change in scheduler.decide()] == ["z.service", "a.service"]


def test_every_machine_says_why() -> None:
    machines = (
        machine("a", region="eu"), machine("b", region="us"), machine("c", "cordoned: new disk", region="eu"),
        machine("d", region="eu", leaving="it has not been heard of for 9 s"), machine("e"), machine("f", region="eu"),
    )  # fmt: skip
    scheduler = cluster(*machines)
    placed(scheduler, unit("x.service"))
    said = why(scheduler, unit("u.service", "MachineMetadata=region=eu"))
    assert list(said.items()) == [
        ("f", "#1"), ("a", "#2"), ("b", "it has region=us, not region=eu"), ("c", "cordoned: new disk"),
        ("d", "it has not been heard of for 9 s"), ("e", "it has no region, not region=eu"),
    ]  # fmt: skip


def test_one_sentence_says_why_nothing_can_run_it() -> None:
    scheduler = cluster(*(machine(name) for name in "abcde"), machine("f", "cordoned: disk"))
    nowhere = unit("u.service", "MachineMetadata=region=eu")
    assert summary(explain(scheduler.rooms, nowhere)) == (
        "no machine can run it: 5 machines: it has no region, not region=eu; f: cordoned: disk"
    )
    assert summary(explain(scheduler.rooms, unit("u.service"))) == ""
    assert "no machine in the cluster" in summary(explain(FleetScheduler().rooms, nowhere))


def test_it_says_why_a_unit_was_placed() -> None:
    scheduler = cluster(machine("a"), machine("b"))

    def reasons() -> list[str]:
        return [change.why for change in scheduler.decide()]

    scheduler.want(unit("u.service"))
    assert reasons() == ["it has the fewest units"]
    scheduler.want(unit("w@1.service", "Replicas=1"))
    assert reasons() == ["it suits best"]
    scheduler.forget_machine("a" * 32)
    assert reasons() == ["its machine is in the cluster no more"]
    scheduler.unwant("u.service")
    assert reasons() == ["it is not wanted any more"]


def test_nothing_to_do_costs_nothing() -> None:
    scheduler = cluster()
    placed(scheduler, *(unit(f"u{n}.service") for n in range(5)))
    scheduler.machine(machine("a"))
    scheduler.want(unit("u1.service"))
    assert scheduler.decide() == [] and not scheduler._look and not scheduler._suspects
