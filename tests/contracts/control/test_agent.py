"""The agent's own code against the real API: joining, reporting, renewing, being cordoned, being put out."""

from __future__ import annotations

import json
import stat
import time
from collections.abc import Callable, Iterator
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest

from orlop.model.cluster.certificates import MACHINE_LIFE
from orlop.model.cluster.names import BOOTS, MACHINES, REPORTS
from orlop.node.agent.control import RefusedByCluster, trusted_ca
from orlop.node.agent.facts import MachineFacts, addresses
from orlop.node.agent.keys import MachineKeys
from orlop.node.agent.loop import AgentLoop, AgentOutside
from orlop.store.protocol import Delete
from tests.contracts.control.served import Identity, ServedControl, serving, signer_of, token_of

BOOT = "0f3c6f0a-31d6-4f6f-8f1e-2c3c8c0e7b11"


class OneAgent:
    """An agent whose machine is a folder, and whose time and token the test sets."""

    def __init__(self, control: ServedControl, folder: Path) -> None:
        for path, text in {
            "etc/machine-id": f"{folder.name:0>32}\n",
            "etc/os-release": 'NAME=Orlop\nIMAGE_VERSION="20261128.1"\n',
            "proc/sys/kernel/random/boot_id": f"{BOOT}\n",
            "run/orlop/health.json": json.dumps({"verdict": "good", "boot": BOOT, "reason": ""}),
        }.items():
            (folder / path).parent.mkdir(parents=True, exist_ok=True)
            (folder / path).write_text(text)
        (folder / "var").mkdir()
        self.control = control
        self.folder, self.token, self.said = folder, str(control.token()), list[str]()
        self.keys = MachineKeys(folder / "var", control.signer.openssl)
        self.status = folder / "run/status.json"
        outside = AgentOutside(
            MachineFacts(folder), self.keys, self.status, lambda: self.token, port=control.port,
            now=lambda: control.now[0], wait=lambda _: None, say=self.said.append,
        )  # fmt: skip
        self.loop = AgentLoop(outside, "test", ("127.0.0.1",))

    @property
    def machine(self) -> str:
        return self.loop.state.machine

    def copied(self, name: str, *, boot: str) -> OneAgent:
        """Another machine, from a copy of this one's disk."""
        copy = OneAgent(self.control, self.folder.with_name(name))
        for path in ("etc/machine-id", *(f"var/{each.name}" for each in (self.folder / "var").iterdir())):
            (copy.folder / path).write_bytes((self.folder / path).read_bytes())
        copy.loop = AgentLoop(copy.loop._outside, "test", ("127.0.0.1",))
        copy.boots(boot)
        return copy

    def boots(self, boot: str) -> None:
        (self.folder / "proc/sys/kernel/random/boot_id").write_text(f"{boot}\n")

    def state(self) -> dict[str, object]:
        found: dict[str, object] = json.loads(self.status.read_text())
        return found


@pytest.fixture
def agent(control: ServedControl) -> Iterator[OneAgent]:
    made = OneAgent(control, Path(control.folder / "a1"))
    yield made
    made.loop.end()


def until(is_so: Callable[[], bool]) -> None:
    end = time.monotonic() + 10
    while not is_so():
        assert time.monotonic() < end
        time.sleep(0.02)


def test_it_joins_reports_and_hears_what_is_decided(control: ServedControl, admin: Identity, agent: OneAgent) -> None:
    pause = agent.loop.turn()
    assert 24 <= pause <= 36
    assert agent.said == [f"this machine has joined cluster test as {agent.machine}"]
    assert stat.S_IMODE((agent.folder / "var/machine.key").stat().st_mode) == 0o600
    shown = control.ask("GET", f"/v1/machines/{agent.machine}", admin)[1]
    assert (shown["presence"], shown["report"]["version"], shown["report"]["boot"]) == ("good", "20261128.1", BOOT)
    assert agent.state()["joined"] is True
    until(lambda: control.hub.listeners == 1)
    control.ask("PUT", f"/v1/machines/{agent.machine}/cordon", admin, {"reason": "disk"})
    until(lambda: (agent.state()["decided"] or {}).get("cordoned") == "disk")  # type: ignore[attr-defined]
    key = (agent.folder / "var/machine.key").read_bytes()
    agent.loop.turn()
    assert (agent.folder / "var/machine.key").read_bytes() == key and len(agent.said) == 1


def test_it_renews_long_before_the_end(control: ServedControl, agent: OneAgent) -> None:
    today = control.now[0]
    control.now[0] -= MACHINE_LIFE / 3 + timedelta(minutes=1)  # not later: TLS goes by the real clock
    agent.token = str(control.token())
    agent.loop.turn()
    first = agent.keys.life()
    control.now[0] = today
    agent.loop._looked_at_life = -1e9
    agent.loop.turn()
    assert agent.keys.life().ends > first.ends
    assert "a third of its life is over" in agent.said[-1]


def test_it_goes_on_asking_when_nobody_answers(control: ServedControl, agent: OneAgent) -> None:
    agent.loop.turn()
    control.stop()
    pauses = [agent.loop.turn() for _ in range(8)]
    assert pauses[-1] > 25 and max(pauses) <= 60
    assert agent.state()["connected"] is False and agent.keys.has_certificate  # it keeps what it is


def test_an_expelled_one_stays_out_until_it_is_given_a_new_token(
    control: ServedControl, admin: Identity, agent: OneAgent
) -> None:
    agent.loop.turn()
    control.ask("DELETE", f"/v1/machines/{agent.machine}?reason=stolen", admin)
    for _ in range(3):
        agent.loop.turn()
        assert "was expelled: stolen" in str(agent.state()["why"])
    assert control.ask("GET", "/v1/machines", admin)[1]["machines"] == []
    agent.token = str(control.token())
    agent.loop.turn()  # gives its key up
    agent.loop.turn()
    assert agent.state()["joined"] is True
    assert control.ask("GET", f"/v1/machines/{agent.machine}", admin)[0] == 200


@pytest.mark.parametrize(
    ("spoil", "why"),
    [
        (lambda control: str(control.token(timedelta(seconds=-1))), "the token ended at"),
        (lambda _: "nonsense", "this is not a join token"),
        (lambda control: str(token_of(signer_of(control.folder / "other", "x"), control.now[0])), "another cluster"),
    ],
    ids=["ended", "nonsense", "another cluster's"],
)
def test_it_says_why_it_is_not_let_in(
    control: ServedControl, agent: OneAgent, spoil: Callable[[ServedControl], str], why: str
) -> None:
    agent.token = spoil(control)
    agent.loop.turn()
    assert why in str(agent.state()["why"]) and agent.state()["joined"] is False
    agent.loop.turn()
    assert len(agent.said) == 1  # once


def test_a_ca_that_is_not_the_tokens_is_never_believed(control: ServedControl) -> None:
    foreign = token_of(signer_of(control.folder / "other", "x"), control.now[0] + timedelta(hours=1))
    with pytest.raises(RefusedByCluster, match="not the one of the token"):
        trusted_ca(["127.0.0.1"], control.port, foreign)


def test_two_clusters_of_one_name_are_not_taken_for_each_other(
    control: ServedControl, agent: OneAgent, tmp_path_factory: pytest.TempPathFactory
) -> None:
    """`servers` leads to the other one, which is called `test` too: neither lets it in, and each says why."""
    with serving(tmp_path_factory.mktemp("other")) as other:
        assert other.ask("GET", "/v1/whoami")[1]["cluster"] == control.ask("GET", "/v1/whoami")[1]["cluster"] == "test"
        agent.loop._outside.port = other.port
        agent.loop.turn()
        assert "not the one of the token: it is of another cluster" in str(agent.state()["why"])
        # one that is in already does not speak to the other either
        agent.loop._outside.port = control.port
        agent.loop.turn()
        agent.loop._outside.port = other.port
        agent.loop.turn()
        assert agent.state()["joined"] is True and agent.state()["connected"] is False
        assert "CERTIFICATE_VERIFY_FAILED" in str(agent.state()["why"])
        admin = other.identity("admin", "/O=orlop:admin/CN=ada")
        assert other.ask("GET", "/v1/machines", admin)[1]["machines"] == []


@pytest.mark.parametrize(
    ("apart", "said"),
    [(timedelta(days=-2000), "about 5 years behind"), (timedelta(days=2000), "about 5 years ahead of"),
     (timedelta(hours=-7), "about 7 hours behind")],
)  # fmt: skip
def test_a_clock_that_is_off_is_said_and_the_machine_joins_once_it_is_right(
    control: ServedControl, agent: OneAgent, apart: timedelta, said: str
) -> None:
    """TLS goes by the real clock here, so it is the server's certificate that is of another time, as seen from it."""
    begins = datetime.now(UTC) - apart
    control.show_from(begins)
    control.now[0] = begins
    agent.token = str(control.token())
    agent.loop._outside.now = lambda: datetime.now(UTC)
    for _ in range(3):
        agent.loop.turn()
    assert f"this machine's clock is {said} the server's" in str(agent.state()["why"])
    assert agent.state()["joined"] is False and len(agent.said) == 1
    control.show_from(datetime.now(UTC))
    control.now[0] = datetime.now(UTC)
    agent.token = str(control.token())
    agent.loop.turn()
    assert agent.state()["joined"] is True


def test_one_that_was_off_for_longer_than_its_certificate_lives_comes_back_by_a_newer_token(
    control: ServedControl, admin: Identity, agent: OneAgent
) -> None:
    today = control.now[0]
    control.now[0] = today - MACHINE_LIFE - timedelta(hours=1)
    agent.token = str(control.token(MACHINE_LIFE * 2))
    agent.loop._join()
    key = (agent.folder / "var/machine.key").read_bytes()
    control.now[0] = today
    for _ in range(2):
        agent.loop.turn()
        assert "certificate has ended: it was off for longer" in str(agent.state()["why"])
    agent.token = str(control.token())
    agent.loop.turn()
    assert agent.state()["connected"] is True
    assert (agent.folder / "var/machine.key").read_bytes() == key
    assert [m["machine"] for m in control.ask("GET", "/v1/machines", admin)[1]["machines"]] == [agent.machine]


def test_one_that_the_cluster_does_not_know_any_more_comes_back_by_a_newer_token(
    control: ServedControl, admin: Identity, agent: OneAgent
) -> None:
    """As after the store was restored from before it had joined: its certificate is good, and nobody knows it."""
    agent.loop.turn()
    control.do(control.store.commit([Delete(MACHINES + agent.machine), Delete(BOOTS + agent.machine)]))
    for _ in range(2):
        agent.loop.turn()
        assert "there is no machine" in str(agent.state()["why"])
    assert control.do(control.store.page(REPORTS + agent.machine)).entries[0].version == 1  # nothing was written for it
    agent.token = str(control.token())
    agent.loop.turn()
    agent.loop.turn()
    assert agent.state()["connected"] is True
    assert [m["presence"] for m in control.ask("GET", "/v1/machines", admin)[1]["machines"]] == ["good"]


def test_a_copy_of_a_disk_with_its_key_is_refused_and_the_machine_goes_on(
    control: ServedControl, admin: Identity, agent: OneAgent
) -> None:
    agent.loop.turn()
    copy = agent.copied("a2", boot="9" * 36)
    for n in range(1, 4):
        control.now[0] += timedelta(seconds=16)
        copy.loop.turn()
        control.now[0] += timedelta(seconds=16)
        agent.loop.turn()
        assert agent.state()["connected"] is True, n
    assert "another machine with this identity runs" in str(copy.state()["why"])
    assert (copy.folder / "var/machine.key").exists()  # it may be the other one that is the copy
    shown = control.ask("GET", f"/v1/machines/{agent.machine}", admin)[1]
    assert shown["presence"].startswith("doubled: another one with its identity runs at 127.0.0.1, boot 99999999")
    assert shown["report"]["boot"] == BOOT
    found = control.ask("GET", "/v1/machines?verdict=doubled", admin)[1]["machines"]
    assert [each["machine"] for each in found] == [agent.machine]
    entries = control.ask("GET", "/v1/audit", admin)[1]["entries"]
    assert [e["result"] for e in entries if e["what"] == "report"] == [
        "two machines have this identity, at 127.0.0.1 and 127.0.0.1; the latter is refused"
    ]
    # the machine is off for good: its copy needs only to boot
    copy.boots("8" * 36)
    copy.loop.turn()
    assert copy.state()["connected"] is True
    copy.loop.end()


def test_one_whose_first_server_is_away_reports_and_listens_at_another(
    control: ServedControl, admin: Identity, agent: OneAgent
) -> None:
    """Nobody listens at the first two; and a stream that ends comes back by itself, not with the next report."""
    agent.loop = AgentLoop(agent.loop._outside, "test", ("127.0.0.8", "127.0.0.9", "127.0.0.1"))
    agent.loop.turn()
    assert agent.state()["connected"] is True
    until(lambda: control.hub.listeners == 1)
    control.hub.end("this server stops")
    until(lambda: control.hub.listeners == 0)
    until(lambda: control.hub.listeners == 1)
    control.ask("PUT", f"/v1/machines/{agent.machine}/cordon", admin, {"reason": "disk"})
    until(lambda: (agent.state()["decided"] or {}).get("cordoned") == "disk")  # type: ignore[attr-defined]
    agent.loop.end()


def test_its_addresses_are_those_of_the_kernel() -> None:
    import subprocess

    said = json.loads(subprocess.run(["ip", "-j", "address"], capture_output=True, check=True).stdout)
    known = {a["local"] for link in said for a in link["addr_info"] if a["scope"] == "global"}
    assert set(addresses()) == known
