"""What an image is made of, told of a small repository."""

from __future__ import annotations

from pathlib import Path

from orlop.image import sources


def make(root: Path) -> None:
    for name, text in {
        "orlop/__init__.py": "",
        "orlop/node/__init__.py": "",
        "orlop/node/a.py": "import json\nfrom orlop.model import b\n",
        "orlop/model/__init__.py": "",
        "orlop/model/b.py": "",
        "orlop/model/unused.py": "",
        "orlop/image/seal.py": "",
        "os/cmdline": "quiet\n",
        "os/mkosi.extra/usr/bin/orlop": "#!/bin/sh\n",
    }.items():
        (root / name).parent.mkdir(parents=True, exist_ok=True)
        (root / name).write_text(text)
    (root / "os/mkosi.extra/usr/bin/orlop").chmod(0o755)
    (root / "os/link").symlink_to("cmdline")


def test_it_is_the_nodes_modules_the_definition_and_the_builder(tmp_path: Path) -> None:
    make(tmp_path)
    made = sources.made_of(tmp_path)
    assert [path for path in made if path.startswith(("orlop/", "os/"))] == [
        *("orlop/__init__.py", "orlop/image/seal.py", "orlop/model/__init__.py", "orlop/model/b.py"),
        *("orlop/node/__init__.py", "orlop/node/a.py"),
        *("os/cmdline", "os/link", "os/mkosi.extra/usr/bin/orlop"),
    ]
    assert "tuf/__init__.py" in made, "third parties' Python goes into it too"
    assert made["os/link"] == "link cmdline"


def test_a_digest_tells_content_and_whether_it_can_be_run(tmp_path: Path) -> None:
    make(tmp_path)
    path = tmp_path / "os/cmdline"
    before = sources.digest(path)
    path.chmod(0o755)
    as_program = sources.digest(path)
    path.write_text("loud\n")
    assert len({before, as_program, sources.digest(path)}) == 3
    assert before.removeprefix("file ") == as_program.removeprefix("program ")
