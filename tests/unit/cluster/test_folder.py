"""An operator's folder: who can read it, and that its files are configurations that machines take."""

from __future__ import annotations

import json
import stat
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest
from cryptography import x509
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.hazmat.primitives.serialization import load_pem_private_key

from orlop.cluster import folder as folders
from orlop.errors import BadInput, Busy, Missing
from orlop.model.cluster import token
from orlop.model.cluster.names import FIRST_FILE, FOLDER_KEYS, RECORD_FILE, SERVER_FILE, WORKER_FILE, Role
from orlop.model.cluster.token import der, fingerprint
from tests.unit.provision.texts import ignition

NOW = datetime(2026, 11, 28, 12, 0, 0, tzinfo=UTC)


@pytest.fixture(scope="module")
def place(tmp_path_factory: pytest.TempPathFactory) -> Path:
    place = tmp_path_factory.mktemp("clusters") / "demo"
    folders.write(place, folders.found("demo", ["10.0.0.1", "n2"], 3, NOW), NOW)
    return place


def test_only_the_owner_can_read_it(place: Path) -> None:
    assert stat.S_IMODE(place.stat().st_mode) == 0o700
    assert {stat.S_IMODE(path.stat().st_mode) for path in place.iterdir()} == {0o600}
    assert sorted(p.name for p in place.iterdir()) == sorted(
        [*FOLDER_KEYS, RECORD_FILE, FIRST_FILE, SERVER_FILE, WORKER_FILE]
    )


def test_it_is_read_as_it_was_written(place: Path) -> None:
    cluster = folders.read(place)
    assert (cluster.name, cluster.servers, cluster.size) == ("demo", ("10.0.0.1", "n2"), 3)
    assert cluster.server() == (place / SERVER_FILE).read_text()


def test_authorities_are_two_and_sign_nothing_but_ends(place: Path) -> None:
    cluster = folders.read(place)
    for authority in (cluster.ca, cluster.store):
        certificate = x509.load_pem_x509_certificate(authority.certificate.encode())
        key = load_pem_private_key(authority.key.encode(), None)
        assert key.public_key() == certificate.public_key()
        assert isinstance(key, ec.EllipticCurvePrivateKey)
        assert key.curve.name == "secp256r1"
        limits = certificate.extensions.get_extension_for_class(x509.BasicConstraints)
        assert limits.critical
        assert (limits.value.ca, limits.value.path_length) == (True, 0)
        assert certificate.not_valid_before_utc < NOW
    assert cluster.ca.key != cluster.store.key


def _files(text: str) -> dict[str, dict[str, Any]]:
    return {file["path"]: file for file in ignition(text, "")["storage"]["files"]}


@pytest.mark.parametrize("name", [FIRST_FILE, SERVER_FILE])
def test_server_is_given_the_keys_for_root_alone(place: Path, name: str) -> None:
    config = ignition((place / name).read_text(), "")
    files = {file["path"]: file["mode"] for file in config["storage"]["files"]}
    assert files == {
        "/etc/orlop/cluster.toml": 0o644,
        "/etc/orlop/cluster/ca.crt": 0o644,
        "/etc/orlop/cluster/ca.key": 0o600,
        "/etc/orlop/cluster/store-ca.crt": 0o644,
        "/etc/orlop/cluster/store-ca.key": 0o600,
    }
    units = {link["target"] for link in config["storage"]["links"]}
    assert units == {f"/usr/lib/systemd/system/orlop-{name}.service" for name in ("cluster", "control", "agent")}


def test_worker_holds_nothing_but_a_token_and_the_hash_of_the_authority(place: Path) -> None:
    text = (place / WORKER_FILE).read_text()
    assert "PRIVATE KEY" not in text
    assert "CERTIFICATE" not in text
    assert sorted(_files(text)) == ["/etc/orlop/cluster.toml", "/etc/orlop/cluster/token"]
    cluster = folders.read(place)
    given = token.parse(next(line for line in text.splitlines() if "token: " in line).partition("token: ")[2])
    ca, key = der(cluster.ca.certificate), der(cluster.ca.key)
    assert (given.role, given.ca) == (Role.WORKER, fingerprint(ca))
    token.check(given, ca, key, NOW + timedelta(hours=23))
    with pytest.raises(BadInput, match="ended"):
        token.check(given, ca, key, NOW + timedelta(hours=25))


def test_cluster_is_never_written_over(place: Path) -> None:
    before = (place / "ca.key").read_text()
    with pytest.raises(Busy, match="is there already"):
        folders.write(place, folders.found("demo", ["n1"], 1, NOW), NOW)
    assert (place / "ca.key").read_text() == before


@pytest.mark.parametrize(
    ("name", "servers", "size", "said"),
    [
        ("Demo", ["a"], 3, "not a valid name of a cluster"),
        ("demo", ["a"], 2, "must be 1, 3 or 5"),
        ("demo", [], 1, "0 addresses"),
        ("demo", ["https://a"], 1, "where servers are found must be"),
        ("demo", ["10.0.0.01"], 1, "where servers are found must be"),
    ],
)
def test_what_is_not_a_cluster_is_refused(name: str, servers: list[str], size: int, said: str) -> None:
    with pytest.raises(BadInput, match=said):
        folders.found(name, servers, size, NOW)


@pytest.mark.parametrize(
    ("damage", "error", "said"),
    [
        (lambda p: (p / RECORD_FILE).unlink(), Missing, "cluster.json is not there"),
        (lambda p: (p / RECORD_FILE).write_text("{}"), BadInput, "schema is missing"),
        (lambda p: (p / RECORD_FILE).write_text(json.dumps({"schema": 1, "who": 1})), BadInput, "who is unknown"),
        (lambda p: (p / "ca.key").write_text("none"), BadInput, "not a PEM text"),
        (lambda p: (p / "ca.key").write_bytes(b"\xff"), BadInput, "not text"),
        (lambda p: (p / "ca.key").unlink(), Missing, "ca.key is not there"),
    ],
)
def test_damaged_folder_is_said_in_words(tmp_path: Path, damage: Any, error: type[Exception], said: str) -> None:
    place = tmp_path / "demo"
    folders.write(place, folders.found("demo", ["n1"], 1, NOW), NOW)
    damage(place)
    with pytest.raises(error, match=said):
        folders.read(place)
