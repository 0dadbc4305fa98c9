"""One member of a real etcd over TLS, as orlop-cluster speaks to it: looked after, and its certificate renewed."""

from __future__ import annotations

import time
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest

from orlop.cluster import authority
from orlop.errors import OrlopError
from orlop.model.cluster.actions import Compact, Defragment, Disarm, LeaveAlone
from orlop.model.cluster.certificates import MEMBER_LIFE
from orlop.model.cluster.decide import decide
from orlop.model.cluster.environment import MemberOptions
from orlop.model.cluster.member import NOSPACE, Myself
from orlop.model.cluster.names import NAME_KEY, SIZE_KEY
from orlop.node.cluster import tls
from orlop.node.cluster.act import Doer
from orlop.node.cluster.etcd import Endpoint, StoreRefused
from orlop.node.cluster.examine import slowest
from orlop.node.cluster.host import ServerHost
from orlop.node.cluster.look import Looker
from orlop.node.cluster.tls import Signer
from orlop.store.snapshot import contents
from tests.contracts.store.running import RunningMember, free_ports

QUOTA = 16 << 20
MACHINE = "0" * 31 + "1"
SECONDS = 30.0


def now() -> datetime:
    return datetime.now(UTC)


@pytest.fixture
def signer() -> Signer:
    made = authority.make("demo store CA", now() - timedelta(days=300))
    return Signer(made.certificate, made.key)


@pytest.fixture
def endpoint(tmp_path: Path, signer: Signer) -> Iterator[Endpoint]:
    folder = tmp_path / "store"
    tls.ensure(folder, signer, "n1", ("127.0.0.1",), now())
    with member(tmp_path, folder) as port:
        yield Endpoint("127.0.0.1", tls.context(folder), 2.0, port)


@contextmanager
def member(top: Path, folder: Path) -> Iterator[int]:
    """Its client port. Its data are below `top`."""
    client, peer = free_ports(2)
    name = f"n1-{MACHINE[:8]}"
    files = ("--cert-file", folder / "member.crt", "--key-file", folder / "member.key", "--trusted-ca-file")
    options = ("--client-cert-auth", *files, folder / "ca.crt", "--quota-backend-bytes", str(QUOTA))
    it = RunningMember(
        name, top / "etcd", client, peer, f"{name}=http://127.0.0.1:{peer}", scheme="https", more=options
    )
    it.start()
    try:
        yield client
    finally:
        it.kill()


def until_it_answers(endpoint: Endpoint) -> None:
    end = time.monotonic() + SECONDS
    while True:
        with suppress(OrlopError):
            if endpoint.status().leader:
                return
        assert time.monotonic() < end
        time.sleep(0.1)


def test_snapshot_and_figures_are_had(endpoint: Endpoint, tmp_path: Path) -> None:
    until_it_answers(endpoint)
    endpoint.put(NAME_KEY, "demo")
    for n in range(20):
        endpoint.put(f"/k/{n}", "x" * 50_000)
    told: dict[int, int] = {}
    with (tmp_path / "snapshot").open("w+b") as f:
        size = endpoint.snapshot(f, told.__setitem__)
        f.flush()
        assert size == f.tell() > 1_000_000
        assert told[size] == 0
        with contents.opened(f, "it") as database:
            assert contents.read(database, (NAME_KEY,)).values == {NAME_KEY: "demo"}
    said = endpoint.status()
    assert said.version.startswith("3.")
    assert said.clock is not None and said.asked is not None
    assert abs((said.clock - said.asked).total_seconds()) < 3
    assert all(seconds is not None and 0 < seconds < 20 for seconds in slowest(endpoint.metrics()).values())


def fill(endpoint: Endpoint) -> None:
    """More than its quota."""
    for _ in range(200):
        endpoint.put("/full", "x" * 1_000_000)


def test_store_that_is_full_is_looked_after_until_it_takes_writes(endpoint: Endpoint, tmp_path: Path) -> None:
    until_it_answers(endpoint)
    endpoint.put(SIZE_KEY, "1")
    with pytest.raises(StoreRefused, match="database space exceeded"):
        fill(endpoint)
    looker = Looker(port=endpoint.port)
    me = Myself(MACHINE, "http://127.0.0.1:1", has_data=True, cluster=endpoint.members().cluster)
    doer = Doer(ServerHost(tmp_path), MACHINE, MemberOptions("demo", "n1", "127.0.0.1"))
    done: list[type] = []
    for _ in range(10):
        look = looker.look(me, [], endpoint.context, 1)
        mine = look.view.mine
        assert mine is not None
        view = replace(look.view, me=replace(look.view.me, peer=mine.peer), quota=QUOTA)
        if not done:
            assert {alarm.kind for alarm in view.alarms} == {NOSPACE}
        action = decide(view)
        if isinstance(action, LeaveAlone):
            assert action == LeaveAlone("1 of 1 members answer", is_well=True)
            break
        doer.do(action, replace(look, view=view), looker)
        done.append(type(action))
    assert done == [Compact, Defragment, Disarm]
    said = endpoint.status()
    assert said.bytes < QUOTA / 2
    assert not said.alarms
    endpoint.put("/full", "it takes writes again")
    endpoint.compact(1)  # which is given up already


def test_certificate_is_renewed_under_a_running_store(tmp_path: Path, signer: Signer) -> None:
    """It ends some seconds after the store was started; what is made then counts for the next connection."""
    folder = tmp_path / "store"
    lives = 6.0
    made = now()
    tls.ensure(folder, signer, "n1", ("127.0.0.1",), made - MEMBER_LIFE + timedelta(seconds=lives))
    with member(tmp_path, folder) as port:
        until_it_answers(Endpoint("127.0.0.1", tls.context(folder), 2.0, port))
        end = tls.ends(folder)
        assert end is not None
        while now() <= end:
            time.sleep(0.2)
        with pytest.raises(OrlopError):
            Endpoint("127.0.0.1", tls.context(folder), 2.0, port).status()
        assert "it ended at" in tls.ensure(folder, signer, "n1", ("127.0.0.1",), now())
        Endpoint("127.0.0.1", tls.context(folder), 2.0, port).put("/after", "renewed")
        assert tls.end_of((folder / "member.crt").read_text()) == tls.ends(folder)


def test_server_that_was_off_for_months_starts_again(tmp_path: Path, signer: Signer) -> None:
    folder = tmp_path / "store"
    tls.ensure(folder, signer, "n1", ("127.0.0.1",), now())
    with member(tmp_path, folder) as port:
        endpoint = Endpoint("127.0.0.1", tls.context(folder), 2.0, port)
        until_it_answers(endpoint)
        endpoint.put("/before", "kept")
    # what it has is of 200 days ago, and ended long since
    tls.ensure(folder, signer, "n1", ("127.0.0.2",), now() - timedelta(days=200))
    tls.ensure(folder, signer, "n1", ("127.0.0.1",), now() - timedelta(days=200))
    assert "it ended at" in tls.ensure(folder, signer, "n1", ("127.0.0.1",), now())
    with member(tmp_path, folder) as port:
        endpoint = Endpoint("127.0.0.1", tls.context(folder), 2.0, port)
        until_it_answers(endpoint)
        assert endpoint.get("/before") == "kept"
