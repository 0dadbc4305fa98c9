"""A machine's settings of its cluster: what the translator writes is what the machine reads."""

from __future__ import annotations

import stat
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest

from orlop.cluster import folder as folders
from orlop.cluster.settings import certificate, load, parse, secret
from orlop.errors import BadInput, Missing
from orlop.model.cluster.access import Access
from orlop.model.cluster.names import (
    CA_KEY_PLACE,
    CA_PLACE,
    SETTINGS_PLACE,
    STORAGE_KEY_PLACE,
    STORE_CA_KEY_PLACE,
    TOKEN_PLACE,
    Role,
)
from orlop.model.cluster.oidc import OidcSettings
from orlop.model.cluster.snapshots import Schedule
from orlop.model.words.bucket import S3Address
from tests.unit.model.settings.borders import checked, toml

NOW = datetime(2026, 11, 28, 12, 0, 0, tzinfo=UTC)
CLUSTER = folders.found("demo", ["10.0.0.1", "n2.example"], 3, NOW)
KEYS = {
    "ca": CLUSTER.ca.certificate,
    "ca_key": CLUSTER.ca.key,
    "store_ca": CLUSTER.store.certificate,
    "store_ca_key": CLUSTER.store.key,
}
TOKEN = str(CLUSTER.token(Role.WORKER, NOW))
SERVER: dict[str, Any] = {"name": "demo", "role": "server", "servers": ["10.0.0.1"]}
WORKER: dict[str, Any] = {"name": "demo", "role": "worker", "servers": ["10.0.0.1"], "token": TOKEN}


def machine(top: Path, cluster: dict[str, Any]) -> Path:
    """The files of a machine that is given this."""
    files = checked({"cluster": cluster})
    assert files is not None
    for place, raw in files.items():
        path = top / place.lstrip("/")
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(raw)
    return top


def test_server_reads_what_it_was_given(tmp_path: Path) -> None:
    form = {"until": "2026-11-29T12:00:00Z", "servers": 5}
    top = machine(tmp_path, {**SERVER, **KEYS, "address": "10.0.0.7", "form": form})
    found = load(top)
    assert (found.name, found.role, found.servers, found.address) == ("demo", Role.SERVER, ("10.0.0.1",), "10.0.0.7")
    assert found.form is not None
    assert (found.form.until, found.form.servers) == (datetime(2026, 11, 29, 12, tzinfo=UTC), 5)
    assert certificate(CA_PLACE, top) == KEYS["ca"]
    assert secret(CA_KEY_PLACE, top) == KEYS["ca_key"]
    assert "PRIVATE" not in (top / SETTINGS_PLACE.lstrip("/")).read_text()


def test_server_reads_who_its_people_are(tmp_path: Path) -> None:
    oidc = {
        "issuer": "https://id.example/realms/a", "audience": "orlop", "claim": "realm_access.roles", "name": "email",
        "admins": ["platform team"], "viewers": ["all", "guests"], "provider_ca": KEYS["ca"],
    }  # fmt: skip
    found = load(machine(tmp_path, {**SERVER, **KEYS, "oidc": oidc})).oidc
    assert found == OidcSettings(
        "https://id.example/realms/a", "orlop",
        {Access.ADMIN: ("platform team",), Access.OPERATOR: (), Access.AUDITOR: (), Access.VIEWER: ("all", "guests")},
        "realm_access.roles", "email", KEYS["ca"],
    )  # fmt: skip
    plain = load(machine(tmp_path / "2", {**SERVER, **KEYS, "oidc": {"issuer": "https://a", "audience": "b"}})).oidc
    assert plain is not None
    assert (plain.claim, plain.name, plain.ca) == ("groups", "sub", "")


@pytest.mark.parametrize(
    "oidc",
    [
        {"audience": "orlop"},
        {"issuer": "https://id.example"},
        {"issuer": "http://id.example", "audience": "orlop"},
        {"issuer": "https://id.example?a=b", "audience": "orlop"},
        {"issuer": "https://id.example", "audience": "orlop", "admins": ["a\nb"]},
        {"issuer": "https://id.example", "audience": "orlop", "kings": ["a"]},
    ],
)
def test_people_who_are_said_wrongly_are_refused_on_both_sides(oidc: dict[str, Any]) -> None:
    given = {**SERVER, "oidc": oidc}
    assert checked({"cluster": {**given, **KEYS}}) is None
    with pytest.raises(BadInput, match="oidc"):
        parse(toml(given))


def test_server_reads_where_its_snapshots_go(tmp_path: Path) -> None:
    to = "s3://backups/clusters?endpoint=https://s3.example.net&region=eu-1"
    given = {**SERVER, **KEYS, "snapshots": {"every": "1h", "keep": 48, "to": to}, "storage_key": "KEY:SEC:RET"}
    top = machine(tmp_path, given)
    found = load(top)
    assert found.snapshots == Schedule(timedelta(hours=1), 48)
    assert found.storage == S3Address("backups", "clusters", "https", "s3.example.net", "eu-1")
    assert secret(STORAGE_KEY_PLACE, top).strip() == "KEY:SEC:RET"
    assert "SEC:RET" not in (top / SETTINGS_PLACE.lstrip("/")).read_text()


def test_server_takes_snapshots_without_being_told(tmp_path: Path) -> None:
    found = load(machine(tmp_path, {**SERVER, **KEYS}))
    assert (found.snapshots, found.storage) == (Schedule(timedelta(hours=6), 28), None)


@pytest.mark.parametrize(
    "more",
    [
        {"snapshots": {"to": "s3://b?endpoint=https://h"}},  # who is let in there is not said
        {"snapshots": {"to": "https://h/b"}, "storage_key": "a:b"},
        {"snapshots": {"to": "s3://b?endpoint=https://user:word@h"}, "storage_key": "a:b"},
        {"snapshots": {"keep": 0}},
        {"snapshots": {"every": "5s"}},
        {"storage_key": "no colon"},
    ],
)
def test_snapshots_that_cannot_be_are_refused(more: dict[str, Any]) -> None:
    assert checked({"cluster": {**SERVER, **KEYS, **more}}) is None


@pytest.mark.parametrize("more", [{"snapshots": {"keep": 3}}, {"storage_key": "a:b"}])
def test_worker_takes_no_snapshots(more: dict[str, Any]) -> None:
    assert checked({"cluster": {**WORKER, **more}}) is None


def test_worker_reads_what_it_was_given(tmp_path: Path) -> None:
    top = machine(tmp_path, WORKER)
    assert load(top).role is Role.WORKER
    assert secret(TOKEN_PLACE, top).strip() == TOKEN
    assert TOKEN not in (top / SETTINGS_PLACE.lstrip("/")).read_text()


def test_what_a_machine_offers_to_units(tmp_path: Path) -> None:
    more = {"metadata": ["region=eu", "disk=ssd"], "resources": ["gpu=2"]}
    settings = load(machine(tmp_path, {**WORKER, **more}))
    assert (settings.metadata, settings.resources) == ({"region": "eu", "disk": "ssd"}, {"gpu": 2})


@pytest.mark.parametrize("pair", ["region", "=eu", "region=", "a b=c", "a=b c", "a=b=c", 'a="b"', "k" * 64 + "=v"])
def test_metadata_that_no_unit_could_ask_for_is_refused(pair: str) -> None:
    with pytest.raises(BadInput, match="must be KEY=VALUE"):
        parse(toml({**{k: v for k, v in WORKER.items() if k != "token"}, "metadata": [pair]}))


def test_credential_is_what_systemd_hands_over(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("CREDENTIALS_DIRECTORY", str(tmp_path))
    (tmp_path / "store-ca.key").write_text("handed over")
    assert secret(STORE_CA_KEY_PLACE) == "handed over"
    with pytest.raises(Missing, match=r"ca\.key is not there"):
        secret(CA_KEY_PLACE)


@pytest.mark.parametrize(
    "cluster",
    [
        SERVER,
        {**SERVER, **{k: v for k, v in KEYS.items() if k != "store_ca_key"}},
        {**SERVER, **KEYS, "token": TOKEN},
        {**SERVER, **KEYS, "servers": []},
        {**SERVER, **KEYS, "servers": ["https://10.0.0.1"]},
        {**SERVER, **KEYS, "servers": ["10.0.0.01"]},
        {**SERVER, **KEYS, "address": "n1"},
        {**SERVER, **KEYS, "name": "De mo"},
        {**SERVER, **KEYS, "form": {"until": "tomorrow", "servers": 3}},
        {**SERVER, **KEYS, "form": {"until": "2026-11-29T12:00:00Z", "servers": 2}},
        {**SERVER, **KEYS, "ca_key": "none"},
        {**WORKER, "role": "boss"},
        {**WORKER, "ca_key": KEYS["ca_key"]},
        {**WORKER, "form": {"until": "2026-11-29T12:00:00Z", "servers": 3}},
        {**WORKER, "token": TOKEN[:-1]},
        {k: v for k, v in WORKER.items() if k != "token"},
    ],
)
def test_what_is_not_a_machine_of_a_cluster_is_refused_before_it_is_given(cluster: dict[str, Any]) -> None:
    assert checked({"cluster": cluster}) is None


@pytest.mark.parametrize(
    ("raw", "said"),
    [
        (b"\xff", "not TOML"),
        (b"format = 2\n", "format is 2"),
        (toml({"name": "demo", "role": "server"})[:-1] + b"\nunknown = 1\n", "unknown"),
        (toml({"name": "demo", "role": "server", "servers": []}), "servers is empty"),
        (toml({"name": "demo", "role": "boss", "servers": ["a"]}), "role"),
        (toml({"name": "demo", "role": "server", "servers": ["a"], "form": {"servers": 3}}), "until is missing"),
    ],
)
def test_file_that_was_written_in_another_way_is_held_to_the_same_rules(raw: bytes, said: str) -> None:
    with pytest.raises(BadInput, match=said):
        parse(raw)


def test_machine_without_a_cluster_says_so(tmp_path: Path) -> None:
    with pytest.raises(Missing, match="in no cluster"):
        load(tmp_path)


def test_files_of_keys_are_for_root_alone() -> None:
    from orlop.model.settings.document import FILES

    modes = {file.settings: file.mode for file in FILES}
    for name in ("ca_key", "store_ca_key", "token"):
        assert stat.S_IMODE(modes[f"cluster.{name}"]) == 0o600
