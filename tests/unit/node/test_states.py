"""No file of ours that is damaged, cut short or another thing altogether keeps a machine from starting."""

from __future__ import annotations

import re
import shutil
from pathlib import Path

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from orlop.node.update.catalog import unsigned
from orlop.node.update.journal import NAME as JOURNAL
from tests.unit.node.states import STATES, is_known, state

ROOT = Path(__file__).parents[3]
SHELLS = {"machine-id", "labels", "failures/.open", "update/journal", "update/from.json"}  # each start takes a while
ODD = (b"", b"\0" * 4096, b"\n", b"{", b"[" * 20_000, b'{"schema": 1, "keep": ["\\ud800"]}', b"\xff\xfe\xff", b"null\n")


def damage(data: st.DataObject, good: bytes) -> bytes:
    """Odd bytes, a part of the good ones as a cut leaves it, or good ones with a few that are others."""
    match data.draw(st.sampled_from(("odd", "cut", "flipped", "zeroed", "longer"))):
        case "odd":
            return data.draw(st.sampled_from(ODD) | st.binary(max_size=300))
        case "cut":
            return good[: data.draw(st.integers(0, len(good)))]
        case "flipped":
            raw = bytearray(good)
            for at in data.draw(st.lists(st.integers(0, max(len(raw) - 1, 0)), max_size=4)):
                raw[at : at + 1] = bytes([data.draw(st.integers(0, 255))])
            return bytes(raw)
        case "zeroed":  # a length without its bytes, as a file system may leave it
            keep = data.draw(st.integers(0, len(good)))
            return good[:keep] + bytes(len(good) - keep)
        case _:
            return good + data.draw(st.binary(min_size=1, max_size=100))


@pytest.mark.parametrize("name", STATES)
def test_whatever_is_in_it_the_machine_starts(name: str, tmp_path: Path) -> None:
    file = STATES[name]
    file.write(tmp_path)
    path = state(tmp_path) / name
    good = path.read_bytes()

    @settings(max_examples=15 if name in SHELLS else 100, suppress_health_check=list(HealthCheck), deadline=None)
    @given(st.data())
    def starts(data: st.DataObject) -> None:
        shutil.rmtree(state(tmp_path), ignore_errors=True)
        path.parent.mkdir(parents=True)
        path.write_bytes(damage(data, good))
        file.start(tmp_path)
        if name != "reset.json":
            file.start(tmp_path)  # and once more, with what it made of it

    starts()


@pytest.mark.parametrize(
    "name", sorted(set(STATES) - {"reset.json", "failures/.open", "update/journal", "update/from.json"})
)
def test_a_folder_in_its_place_is_put_aside(name: str, tmp_path: Path) -> None:
    (state(tmp_path) / name / "x").mkdir(parents=True)
    STATES[name].start(tmp_path)


def test_no_file_is_forgotten() -> None:
    """Whatever the sources name below /var/lib/orlop is in the table."""
    named = {f"update/{JOURNAL}", f"update/{unsigned.NAME}", "update/releases/x"}
    files = (p for top in ("os", "orlop/node", "orlop/model") for p in (ROOT / top).rglob("*") if p.is_file())
    sources = [p for p in files if "__pycache__" not in p.parts]
    for source in sources:
        text = source.read_bytes().decode(errors="replace")
        named |= set(re.findall(r"var/lib/orlop/([A-Za-z0-9._/-]+[A-Za-z0-9])", text))
        named |= set(re.findall(r'self\.state / "([^"]+)"', text))
    folders = {"failures", "identity", "luks", "ssh", "update", "config", "cluster", "etcd", "agent"}
    assert len(named) > 10
    assert not sorted(name for name in named - folders if not is_known(name))
