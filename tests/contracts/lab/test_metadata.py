"""The metadata services, asked by the real Ignition at their real address.

Ignition runs in a network that holds nothing but 169.254.169.254, where our service answers: what it asks for is what
it asks clouds for, and it takes what it is told. That is what makes the services faithful; the rest is in tests/unit.
"""

from __future__ import annotations

import json
import subprocess
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest

from orlop.sdk import tree
from orlop.sdk.run import in_sdk
from orlop.steps import Steps
from orlop.workspace import Workspace
from simulators import linklocal
from simulators import metadata as md
from simulators.metadata import Simulator, serving

pytestmark = [pytest.mark.sdk]

IGNITION = "/usr/lib/dracut/modules.d/30ignition/ignition"
CONFIG = {
    "ignition": {"version": "3.3.0"},
    "storage": {"files": [{"path": "/etc/from", "contents": {"source": "data:,cloud"}}]},
}
RAW = json.dumps(CONFIG).encode()
USER_DATA = {
    "aws": "/2019-10-01/user-data",
    "azure": "/metadata/instance/compute/userData?api-version=2021-01-01&format=text",
    "gcp": "/computeMetadata/v1/instance/attributes/user-data",
    "openstack": "/openstack/latest/user_data",
}
SERVICES = sorted(USER_DATA)


@dataclass(frozen=True)
class Fetched:
    """What Ignition's fetch stage did. `code` None: it went on when we lost patience. `paths`: the files its
    configuration has; None when it has none.
    """

    code: int | None
    paths: list[str] | None
    log: str
    service: Simulator

    def user_data_requests(self) -> list[md.Recorded]:
        return [r for r in self.service.requests if r.target == USER_DATA[self.service.service]]


@pytest.fixture(scope="module")
def ws() -> Workspace:
    found = Workspace.find()
    tree.ensure(found, Steps())
    return found


Fetch = Callable[..., Fetched]


@pytest.fixture
def fetch(ws: Workspace, tmp_path: Path) -> Fetch:
    def run(
        service: str, user_data: bytes | None, *faults: md.Fault, seconds: float = 30, patience: float = 30
    ) -> Fetched:
        hosts = tmp_path / "hosts"
        hosts.write_text("127.0.0.1 localhost\n169.254.169.254 metadata.google.internal\n")
        cache, log = tmp_path / "ignition.json", tmp_path / "log"
        argv: list[str | Path] = [
            IGNITION,
            "--platform",
            service,
            "--stage",
            "fetch",
            "--root",
            tmp_path,
            "--log-to-stdout",
        ]
        argv += ["--config-cache", cache, "--state-file", tmp_path / "state", "--fetch-timeout", f"{seconds:.0f}s"]
        command = in_sdk(ws, argv, binds=[tmp_path])
        end = command.index("--")
        command[end:end] = ["--ro-bind", str(hosts), "/etc/hosts"]
        with (
            linklocal.inside(command, log) as (child, listening),
            serving(service, user_data, listening, faults) as made,
        ):
            try:
                code: int | None = child.wait(seconds + patience)
            except subprocess.TimeoutExpired:
                code = None
        return Fetched(code, paths(cache), log.read_text(errors="replace"), made)

    return run


def paths(cache: Path) -> list[str] | None:
    if not cache.exists():
        return None
    config: dict[str, Any] = json.loads(cache.read_text())
    return [file["path"] for file in config["storage"].get("files") or []]


@pytest.mark.parametrize("service", SERVICES)
def test_ignition_gets_its_configuration(fetch: Fetch, service: str) -> None:
    done = fetch(service, RAW)
    assert (done.code, done.paths) == (0, ["/etc/from"]), done.log
    (asked,) = done.user_data_requests()
    assert (asked.method, asked.status) == ("GET", 200)


def test_aws_is_asked_with_a_token(fetch: Fetch) -> None:
    done = fetch("aws", RAW)
    tokens = [r for r in done.service.requests if r.target == "/latest/api/token"]
    assert {r.method for r in tokens} == {"PUT"}
    assert {r.status for r in tokens} == {200}
    assert all(1 <= int(r.headers["x-aws-ec2-metadata-token-ttl-seconds"]) <= 21600 for r in tokens)
    (asked,) = done.user_data_requests()
    assert len(asked.headers["x-aws-ec2-metadata-token"]) == 56
    assert done.service.requests[0] == tokens[0], "nothing is asked before there is a token"
    assert all(r.status == 200 for r in done.service.requests), "nothing was refused"


def test_google_is_asked_with_its_header_and_azure_with_its_own(fetch: Fetch) -> None:
    (asked,) = fetch("gcp", RAW).user_data_requests()
    assert asked.headers["metadata-flavor"] == "Google"
    (asked,) = fetch("azure", RAW).user_data_requests()
    assert asked.headers["metadata"] == "true"


@pytest.mark.parametrize("service", ["aws", "gcp", "openstack"])
def test_no_user_data_is_no_configuration(fetch: Fetch, service: str) -> None:
    done = fetch(service, None)
    assert (done.code, done.paths) == (0, []), done.log
    assert done.user_data_requests()[0].status == 404


def test_azure_without_user_data_waits_for_the_cd(fetch: Fetch) -> None:
    done = fetch("azure", None, seconds=2, patience=3)
    assert done.user_data_requests()[0].status == 200
    assert (done.code, done.paths) == (None, None), "for ever: whoever starts it has to end it"


@pytest.mark.parametrize("service", SERVICES)
@pytest.mark.parametrize("code", [500, 503])
def test_a_service_in_trouble_is_asked_again(fetch: Fetch, service: str, code: int) -> None:
    done = fetch(service, RAW, md.first(3, md.status(code), USER_DATA[service]))
    assert (done.code, done.paths) == (0, ["/etc/from"]), done.log
    asked = done.user_data_requests()
    assert len(asked) == 4
    waits = md.gaps(asked)
    assert waits == sorted(waits), "each time it waits longer"


@pytest.mark.parametrize("service", SERVICES)
def test_a_reset_connection_is_made_again(fetch: Fetch, service: str) -> None:
    done = fetch(service, RAW, md.first(2, md.reset, USER_DATA[service]))
    assert (done.code, done.paths) == (0, ["/etc/from"]), done.log
    assert len(done.user_data_requests()) >= 3


@pytest.mark.parametrize("service", SERVICES)
def test_a_service_may_take_its_time(fetch: Fetch, service: str) -> None:
    done = fetch(service, RAW, md.first(1, md.slow(3), USER_DATA[service]))
    assert (done.code, done.paths) == (0, ["/etc/from"]), done.log


@pytest.mark.parametrize("service", SERVICES)
def test_garbage_is_no_configuration(fetch: Fetch, service: str) -> None:
    done = fetch(service, RAW, md.always(md.body(b"\x00\xff{]" * 50), USER_DATA[service]), seconds=5)
    assert done.paths is None
    assert done.code not in (0, None), done.log


@pytest.mark.parametrize("service", ["aws", "gcp"])
def test_half_a_configuration_is_none(fetch: Fetch, service: str) -> None:
    done = fetch(service, RAW, md.always(md.truncated, USER_DATA[service]), seconds=5)
    assert done.paths is None
    assert done.code not in (0, None), done.log


def test_where_nobody_answers_ignition_fails_or_asks_for_ever(fetch: Fetch) -> None:
    """Its own timeout bounds one request, not a token before it, nor a drive that is waited for beside it."""
    done = {name: fetch(name, RAW, md.always(md.no_answer), seconds=2, patience=4) for name in SERVICES}
    assert {name: one.paths for name, one in done.items()} == dict.fromkeys(SERVICES)
    assert {name: one.code for name, one in done.items()} == {"aws": None, "azure": 1, "gcp": 1, "openstack": None}


def test_ten_megabytes_come_whole(fetch: Fetch) -> None:
    large = dict(CONFIG, storage={"files": [{"path": "/large", "contents": {"source": "data:," + "x" * 10_000_000}}]})
    done = fetch("openstack", None, md.always(md.body(json.dumps(large).encode()), USER_DATA["openstack"]))
    assert (done.code, done.paths) == (0, ["/large"]), done.log[-500:]
