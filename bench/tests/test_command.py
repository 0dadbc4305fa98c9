"""`python -m bench`: what may be asked for, and what the peer's definition must hold."""

from __future__ import annotations

import pytest

from bench.__main__ import PARTS, _arguments
from bench.boot.peer_image import DEFINITION, ROOT_UUID
from bench.sizes import sizes
from orlop.errors import BadInput


def test_defaults_measure_everything() -> None:
    args = _arguments([])
    assert (args.parts, args.rounds, args.json, args.image) == (PARTS, 3, False, None)


def test_parts_run_in_the_fixed_order() -> None:
    assert _arguments(["--parts", "boot,sizes"]).parts == ("sizes", "boot")


@pytest.mark.parametrize(
    "words",
    [
        *(["--parts", "speed"], ["--parts", ""], ["--rounds", "0"], ["--rounds", "x"], ["--rounds", "-1"], ["x"]),
        ["--parts", "boot", "--docs"],
    ],
)
def test_bad_words_are_refused(words: list[str], capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit) as ended:
        _arguments(words)
    assert ended.value.code == 2
    assert "usage" in capsys.readouterr().err


def test_sizes_come_from_the_manifest() -> None:
    about = {
        "payload_bytes": 5,
        "image_bytes": 7,
        "image_zstd_bytes": 6,
        "executables": ["a", "b"],
        "setuid": [],
        "interpreters": ["sh", "perl"],
    }
    assert sizes(about) == {
        "payload": 5,
        "image_raw": 7,
        "image_zstd": 6,
        "executables": 2,
        "setuid": 0,
        "interpreters": 1,
    }
    with pytest.raises(BadInput, match="setuid"):
        sizes({name: value for name, value in about.items() if name != "setuid"})


def test_the_peer_boots_the_root_its_disk_has() -> None:
    assert "@ROOT_UUID@" in (DEFINITION / "cmdline").read_text()
    assert "UUID=@ROOT_UUID@" in (DEFINITION / "disk/10-root.conf").read_text()
    assert ROOT_UUID.int


def test_the_peer_has_the_same_kernel_package() -> None:
    ours = (DEFINITION.parents[2] / "os/mkosi.conf").read_text()
    theirs = (DEFINITION / "mkosi.conf").read_text()
    kernels = [{word for word in text.split() if word.startswith("linux-image")} for text in (ours, theirs)]
    assert kernels[0] == kernels[1]
    assert len(kernels[0]) == 1
