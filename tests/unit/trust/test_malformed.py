"""Documents that are none: damaged, deep, garbage, or signed and yet wrong. Refused, and never a crash."""

from __future__ import annotations

import json
from collections.abc import Callable
from contextlib import suppress
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from securesystemslib.formats import encode_canonical
from tuf.api.metadata import TargetFile

from orlop.trust import client, verify
from orlop.trust.errors import Refused
from orlop.trust.verify import Trusted
from simulators.repository import START, RepositorySimulator

json_values = st.recursive(
    st.none()
    | st.booleans()
    | st.integers(-1, 5)
    | st.just(1 << 70)
    | st.floats(allow_nan=False)
    | st.text(max_size=6),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=6), inner, max_size=3),
    max_leaves=4,
)
LOADS: dict[str, Callable[[Trusted, bytes], Trusted]] = {
    "timestamp": verify.with_timestamp,
    "snapshot": verify.with_snapshot,
    "stable": lambda t, raw: verify.with_role(t, raw, "stable", "targets"),
    "root": verify.next_root,
}
REPO = RepositorySimulator()
REPO.publish("root", "timestamp")


def trusted_before(role: str) -> Trusted:
    t = verify.start(REPO.files["1.root.json"], START)
    if role == "root":
        return t
    t = verify.next_root(t, REPO.files["2.root.json"])
    if role != "timestamp":
        t = verify.with_timestamp(t, REPO.files["timestamp.json"])
    if role == "stable":
        t = verify.with_snapshot(t, REPO.files["1.snapshot.json"])
        t = verify.with_role(t, REPO.files["1.targets.json"], "targets", "root")
    return t


@given(st.sampled_from(sorted(LOADS)), st.data())
def test_a_malformed_document_is_refused(role: str, data: st.DataObject) -> None:
    """Damage anywhere, signed by nobody or by the right key: Refused or something valid, never a crash."""
    name = {"root": "2.root.json", "timestamp": "timestamp.json"}.get(role, f"1.{role}.json")
    about = json.loads(REPO.files[name])
    at: Any = about
    while True:
        key = data.draw(st.sampled_from(sorted(at) if isinstance(at, dict) else range(len(at))))
        if isinstance(at[key], dict | list) and at[key] and data.draw(st.integers(0, 3)):
            at = at[key]
            continue
        if isinstance(at, dict) and data.draw(st.booleans()):
            del at[key]
        else:
            at[key] = data.draw(json_values)
        break
    if data.draw(st.booleans()) and isinstance(about.get("signed"), dict):
        try:
            payload = str(encode_canonical(about["signed"])).encode()
        except Exception:  # noqa: BLE001  what canonical JSON cannot say cannot be signed
            return
        about["signatures"] = [s.sign(payload).to_dict() for s in REPO.signers[role]]
    with suppress(Refused):
        LOADS[role](trusted_before(role), json.dumps(about).encode())


@given(st.binary(max_size=300), st.sampled_from(sorted(LOADS)))
def test_garbage_is_refused(raw: bytes, role: str) -> None:
    with pytest.raises(Refused):
        LOADS[role](trusted_before(role), raw)


def test_deep_nesting_is_refused() -> None:
    for raw in (b"[" * 200_000, b'{"signed":' * 50_000):
        with pytest.raises(Refused):
            verify.start(raw, START)


def test_target_file_names_are_quoted() -> None:
    t = trusted_before("root")
    info = TargetFile.from_data("a b/ü?.json", b"x", ["sha256"])
    assert client.target_path(t, info) == f"a%20b/{info.hashes['sha256']}.%C3%BC%3F.json"
