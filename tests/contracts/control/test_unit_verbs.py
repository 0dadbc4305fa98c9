"""`orlop unit` on a server, word for word as it is typed, against the real API and a machine that does as it is told.

What fleetctl's functional tests looked at is here: unit actions, replacing, templates, blocking, lists, columns.
"""

from __future__ import annotations

import argparse
import base64
import json
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from orlop.errors import BadInput, OrlopError
from orlop.net.tls import client_context
from orlop.node.agent.control import ControlClient, RefusedByCluster
from orlop.node.cluster.verbs import unit as verb
from tests.contracts.control.machines import SimulatedMachine, until
from tests.contracts.control.served import Identity, ServedControl

TEXT = "[Unit]\nDescription=Hello World\n\n[Service]\nExecStart=/bin/sleep 1d\n"
Type = Callable[..., tuple[int, str, str]]


@pytest.fixture
def machine(control: ServedControl) -> Iterator[SimulatedMachine]:
    made = SimulatedMachine(control, "1", region="eu").come()
    until(lambda: control.scheduler is not None and control.scheduler.picture.present)
    yield made
    made.go()


@pytest.fixture
def typed(
    control: ServedControl, admin: Identity, capsys: pytest.CaptureFixture[str],
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch,
) -> Type:  # fmt: skip
    """Type a command in a folder of its own; the exit status and both outputs."""
    monkeypatch.chdir(tmp_path)
    context = client_context(control.certificates.ca.read_text(), admin.certificate, admin.key)
    asked = ControlClient(["127.0.0.1"], control.port, context)

    def type_it(*words: str) -> tuple[int, str, str]:
        parser = argparse.ArgumentParser(allow_abbrev=False)
        verb.arguments(parser)
        code = verb.act(asked, parser.parse_args(words))
        out, err = capsys.readouterr()
        return code, out, err

    return type_it


def file(name: str, *fleet: str, text: str = TEXT) -> str:
    Path(name).write_text(text + ("[X-Fleet]\n" + "\n".join(fleet) + "\n" if fleet else ""))
    return name


@pytest.mark.usefixtures("machine")
def test_submit_load_start_stop_unload_destroy(typed: Type) -> None:
    file("hello.service")
    on = "on 11111111.../n1"
    assert typed("submit", "hello.service") == (0, "Unit hello.service inactive\n", "")
    assert typed("load", "hello.service") == (0, f"Unit hello.service loaded {on}\n", "")
    assert typed("start", "hello") == (0, f"Unit hello.service launched {on}\n", "")
    assert typed("submit", "hello.service")[0] == 0
    assert typed("list-unit-files", "--no-legend")[1].split()[2:4] == ["launched", "launched"], "nothing is taken back"
    assert typed("stop", "hello.service") == (0, f"Unit hello.service loaded {on}\n", "")
    assert typed("unload", "hello.service") == (0, "Unit hello.service inactive\n", "")
    assert typed("destroy", "hello.service") == (0, "Destroyed hello.service\n", "")
    assert typed("list-unit-files")[1].splitlines()[1:] == []


@pytest.mark.usefixtures("machine")
def test_restart_restarts(typed: Type, machine: SimulatedMachine) -> None:
    typed("start", file("hello.service"))
    assert typed("restart", "hello.service") == (0, "Unit hello.service launched on 11111111.../n1\n", "")
    assert machine.runs["hello.service"]["restarts"] == 1
    typed("stop", "hello.service")
    with pytest.raises(BadInput, match="is not started"):
        typed("restart", "hello.service")


@pytest.mark.usefixtures("machine")
def test_replacing(typed: Type) -> None:
    typed("start", file("hello.service"))
    file("hello.service", text=TEXT.replace("World", "again"))
    code, _, err = typed("start", "hello.service")
    assert code == 0 and "warning: hello.service in the cluster is another than the file" in err
    assert "World" in typed("cat", "hello.service")[1]
    assert typed("start", "--replace", "hello.service")[0] == 0
    assert "again" in typed("cat", "hello.service")[1]
    file("hello.service", text=TEXT.replace("World", "once more"))
    assert typed("submit", "--replace", "hello.service")[0] == 0
    assert typed("list-unit-files", "--no-legend", "--fields", "dstate")[1] == "launched\n", "it stays what it was"
    Path("hello.service").unlink()
    with pytest.raises(OrlopError, match="--replace needs a file"):
        typed("start", "--replace", "hello.service")


@pytest.mark.usefixtures("machine")
def test_instances_come_of_templates_of_the_cluster_first_then_of_files(typed: Type) -> None:
    file("web@.service", text=TEXT.replace("Hello", "%i of the file"))
    assert typed("start", "web@1.service")[0] == 0
    assert "of the file" in typed("cat", "web@1.service")[1]
    typed("submit", "web@.service")
    file("web@.service", text=TEXT.replace("Hello", "another"))
    assert typed("start", "web@2", "web@3.service")[0] == 0
    assert "of the file" in typed("cat", "web@3")[1]
    with pytest.raises(BadInput, match="is a template"):
        typed("start", "web@.service")


@pytest.mark.usefixtures("machine")
def test_what_no_machine_can_run_fails_at_once(typed: Type) -> None:
    code, out, err = typed("start", file("no.service", "MachineMetadata=region=us"), file("yes.service"))
    assert (code, out) == (1, "Unit yes.service launched on 11111111.../n1\n")
    assert err == "error: no.service: no machine can run it: n1: it has region=eu, not region=us\n"
    code, out, _ = typed("explain", "no.service")
    assert code == 1 and out.splitlines()[0].startswith("no.service is not placed: no machine can run it")
    assert typed("status", "no.service")[0] == 1


@pytest.mark.usefixtures("machine")
def test_replicas_that_find_no_place_end_the_wait(typed: Type) -> None:
    file("web@.service", "Replicas=2", "MaxPerMachine=1")
    with pytest.raises(OrlopError, match=r"web@2\.service is not placed: no machine can run it: n1: it has 1 of web@"):
        typed("start", "web@.service")


def test_blocking_ends_after_its_attempts_or_at_once(typed: Type, machine: SimulatedMachine) -> None:
    machine.is_idle = True
    assert typed("start", "--no-block", file("hello.service")) == (0, "Triggered unit hello.service start\n", "")
    code, _, err = typed("load", "--block-attempts", "1", file("other.service"))
    assert (code, err) == (1, "error: other.service: not loaded yet\n")


def test_what_is_not_there_is_said(typed: Type) -> None:
    for deed in ("start", "stop", "unload", "destroy", "restart", "status", "cat", "explain"):
        with pytest.raises(OrlopError, match=r"there is no unit none\.service"):
            typed(deed, "none")
    for deed in ("start", "destroy"):
        with pytest.raises(OrlopError, match="not a valid name"):
            typed(deed, "no ne.service")
    typed("submit", file("a.service"))
    code, out, err = typed("destroy", "none.service", "a.service")
    assert (code, out) == (1, "Destroyed a.service\n") and "there is no unit none.service" in err


def test_what_is_wrong_in_a_file_names_its_line_and_old_tools_may_ignore_it(typed: Type) -> None:
    file("bad.service", "MachineIdd=1")
    with pytest.raises(BadInput, match="line 7: 'MachineIdd' is not a key"):
        typed("submit", "bad.service")
    assert typed("submit", "--lenient", "bad.service")[0] == 0
    Path("large.service").write_bytes(b"x" * (65 << 10))
    with pytest.raises(BadInput, match="more than 64 KiB"):
        typed("submit", "large.service")
    Path("latin.service").write_bytes(b"\xff")
    with pytest.raises(BadInput, match="is not text"):
        typed("submit", "latin.service")


@pytest.mark.usefixtures("machine")
def test_lists_have_fleetctls_columns(typed: Type) -> None:
    typed("start", file("hello.service"), file("every.service", "Global=true"))
    typed("submit", file("idle.service"))
    units = [line.split() for line in typed("list-units")[1].splitlines()]
    assert units == [
        ["UNIT", "MACHINE", "ACTIVE", "SUB"],
        ["every.service", "11111111.../n1", "active", "running"],
        ["hello.service", "11111111.../n1", "active", "running"],
    ]
    files = [line.split() for line in typed("list-unit-files")[1].splitlines()]
    assert files[0] == ["UNIT", "HASH", "DSTATE", "STATE", "TARGET"]
    assert [row[0:1] + row[2:] for row in files[1:]] == [
        ["every.service", "launched", "launched", "global"],
        ["hello.service", "launched", "launched", "11111111.../n1"],
        ["idle.service", "inactive", "inactive", "-"],
    ]
    assert typed("list-unit-files", "--fields", "unit,desc", "--no-legend")[1].splitlines()[1].split("  ") == [
        "hello.service", "Hello World",
    ]  # fmt: skip
    machines = typed("list-machines", "--fields", "machine,host,metadata,units", "--no-legend")[1].split()
    assert machines == ["11111111...", "n1", "region=eu", "2"]
    assert {at["instance"] for at in json.loads(typed("list-units", "--json")[1])["units"]} == {
        "every.service", "hello.service",
    }  # fmt: skip
    with pytest.raises(BadInput, match="'colour' is not a column"):
        typed("list-units", "--fields", "unit,colour")


@pytest.mark.usefixtures("machine")
def test_status_and_explain_say_where_and_why(typed: Type) -> None:
    typed("start", file("hello.service"))
    code, out, _ = typed("status", "hello")
    assert code == 0 and "hello.service on n1: loaded, active (running)" in out and "Hello World" in out
    code, out, _ = typed("explain", "hello")
    assert (code, out.splitlines()[0]) == (0, "hello.service is on n1: it has the fewest units")
    assert json.loads(typed("explain", "hello", "--json")[1])["instances"][0]["machines"][0]["has_it"] is True


@pytest.mark.usefixtures("machine")
def test_a_text_that_fails_ends_the_wait(typed: Type) -> None:
    typed("start", file("web@.service", "Replicas=2"))
    file("web@.service", "Replicas=2", text="[Service]\nExecStart=/bin/false\n")
    with pytest.raises(OrlopError, match=r"web@1\.service on n1 failed.*; the others stay as they were"):
        typed("start", "--replace", "web@.service")


def test_files_of_another_computer_are_given_along(typed: Type) -> None:
    packed = base64.b64encode(TEXT.encode()).decode()
    assert typed("submit", "--given", "far.service", packed, "--", "far.service")[0] == 0
    assert typed("cat", "far.service")[1] == TEXT


def test_a_viewer_changes_nothing(control: ServedControl, typed: Type) -> None:
    typed("submit", file("a.service"))
    viewer = control.identity("viewer", "/O=orlop:viewer/CN=eve")
    context = client_context(control.certificates.ca.read_text(), viewer.certificate, viewer.key)
    asked = ControlClient(["127.0.0.1"], control.port, context)
    parser = argparse.ArgumentParser()
    verb.arguments(parser)
    with pytest.raises(RefusedByCluster, match="may not change units"):
        verb.act(asked, parser.parse_args(["destroy", "a.service"]))
