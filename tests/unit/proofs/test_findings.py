"""What is found again only when it may differ is what would have been found anew; and records are read as they are."""

from __future__ import annotations

import struct
from pathlib import Path

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from orlop.errors import BadInput
from proofs.recording import DISCARD, FLUSH, Logged, read_log
from proofs.replay import Cut, is_theirs, lose
from simulators.findings import DiskState, Findings
from simulators.machine import Unbootable

SIZE = 64 << 10
WRITES = st.lists(st.tuples(st.integers(0, SIZE - 600), st.binary(min_size=1, max_size=600)), max_size=12)


@pytest.fixture(scope="module")
def base(tmp_path_factory: pytest.TempPathFactory) -> Path:
    path = tmp_path_factory.mktemp("findings") / "base"
    path.write_bytes(bytes(n * 7 % 251 for n in range(SIZE)))
    return path


def chain(disk: Findings, at: int, steps: int) -> int:
    """Where one gets to by following what one reads: which bytes count depends on the bytes."""
    for _ in range(steps):
        (at,) = struct.unpack("<H", disk.read(at % (SIZE - 2), 2))
    if at % 5 == 0:
        raise Unbootable(f"at {at}")
    return at


def look(disk: Findings) -> list[object]:
    def inner(start: int) -> int:
        return disk.find(("inner", start), lambda: chain(disk, start, 4))

    def outer() -> int:
        return inner(1) + inner(40_000)

    found: list[object] = []
    for key, make in (("outer", outer), ("own", lambda: chain(disk, 9, 3))):
        try:
            found.append(disk.find(key, make))
        except Unbootable as e:
            found.append(str(e))
    return found


@given(WRITES)
@settings(suppress_health_check=[HealthCheck.function_scoped_fixture])
def test_findings_are_those_of_a_fresh_look(base: Path, writes: list[tuple[int, bytes]]) -> None:
    state = DiskState(base)
    kept = Findings(state)
    whole = bytearray(base.read_bytes())
    for at, data in writes:
        is_the_same = not kept.depends("outer", at, len(data))
        before = look(kept)[0]
        state.write(at, data)
        kept.changed(at, len(data))
        whole[at : at + len(data)] = data
        assert state.read(0, SIZE) == whole
        assert look(kept) == look(Findings(state))
        if is_the_same:
            assert look(kept)[0] == before


def test_a_copy_of_a_state_is_its_own(base: Path) -> None:
    first = DiskState(base)
    first.write(5000, b"first")
    second = first.copy()
    second.write(5001, b"second")
    assert first.read(5000, 5) == b"first" and second.read(5000, 7) == b"fsecond"


def test_a_record_of_writes(tmp_path: Path) -> None:
    log = tmp_path / "log"
    entries = ((8, 1, 0, b"a" * 512), (0, 0, FLUSH, b""), (64, 4, DISCARD, b""), (9, 2, FLUSH, b"b" * 1024))
    raw = struct.pack("<QQQI", 0x6A736677736872, 1, len(entries), 512).ljust(512, b"\0")
    for sector, count, flags, data in entries:
        raw += struct.pack("<QQQQ", sector, count, flags, 0).ljust(512, b"\0") + data
    log.write_bytes(raw + b"what is not counted yet")
    assert list(read_log(log)) == [
        Logged(4096, 512, 0, b"a" * 512),
        Logged(0, 0, FLUSH, b""),
        Logged(32768, 2048, DISCARD, b""),
        Logged(4608, 1024, FLUSH, b"b" * 1024),
    ]
    log.write_bytes(bytes(512))
    with pytest.raises(BadInput, match="not a record of writes"):
        list(read_log(log))


def test_the_same_cut_loses_the_same(base: Path) -> None:
    since = [Logged(at, 512, 0, bytes([at // 512]) * 512) for at in range(0, SIZE, 512)]
    one, again, other = (lose(DiskState(base), since, Cut("lost", 7, n)).read(0, SIZE) for n in (1, 1, 2))
    assert one == again != other
    assert base.read_bytes() != one != b"".join(e.data for e in since)


def test_only_what_systemd_boot_has_counted_may_be_torn_by_it() -> None:
    assert is_theirs("orlop_20261202.1+2-1.efi is not the UKI of any release")
    for ours in ("orlop_20261202.1+3-0.efi", "orlop_20261202.1.efi", "ORLOP_~1.EFI"):
        assert not is_theirs(f"{ours} is not the UKI of any release")
    assert not is_theirs("orlop_20261202.1+2-1.efi does not say what it is of")
