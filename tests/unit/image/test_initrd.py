from __future__ import annotations

import pytest

from orlop.errors import BadInput
from orlop.image.initrd import module_closure, parse_list, without_what_they_need

DEPS = """kernel/fs/erofs/erofs.ko: kernel/lib/libcrc32c.ko
kernel/lib/libcrc32c.ko:
kernel/drivers/md/dm-verity.ko: kernel/drivers/md/dm-bufio.ko kernel/drivers/md/dm-mod.ko
kernel/drivers/md/dm-bufio.ko: kernel/drivers/md/dm-mod.ko
kernel/drivers/md/dm-mod.ko:
"""


def test_a_list_has_paths_modules_and_libraries() -> None:
    wanted = parse_list("# x\nusr/bin/sh\nmodule dm-verity # why\nlibrary libkmod.so.2\n")
    assert wanted.paths == ("usr/bin/sh",)
    assert wanted.modules == ("dm_verity",)
    assert wanted.libraries == ("libkmod.so.2",)


@pytest.mark.parametrize("line", ["modul x", "/usr/bin/sh", "module a b"])
def test_a_line_it_cannot_read_is_named_with_its_number(line: str) -> None:
    with pytest.raises(BadInput, match=r"files.list:2: cannot read"):
        parse_list(f"usr/bin/sh\n{line}\n")


def test_modules_bring_what_they_depend_on() -> None:
    assert module_closure(DEPS, ["erofs", "dm_verity"]) == [
        "kernel/drivers/md/dm-bufio.ko",
        "kernel/drivers/md/dm-mod.ko",
        "kernel/drivers/md/dm-verity.ko",
        "kernel/fs/erofs/erofs.ko",
        "kernel/lib/libcrc32c.ko",
    ]


def test_a_built_in_module_needs_no_file_and_an_unknown_one_is_named() -> None:
    assert module_closure(DEPS, ["ext4"], "kernel/fs/ext4/ext4.ko\n") == []
    with pytest.raises(BadInput, match="no module nosuch"):
        module_closure(DEPS, ["nosuch"])


def test_a_module_that_is_left_without_what_it_needs_is_found() -> None:
    every = {line.partition(":")[0] for line in DEPS.splitlines()}
    assert without_what_they_need(DEPS, every) == {}
    assert without_what_they_need(DEPS, every - {"kernel/drivers/md/dm-verity.ko"}) == {}
    assert without_what_they_need(DEPS, every - {"kernel/lib/libcrc32c.ko"}) == {
        "kernel/fs/erofs/erofs.ko": "kernel/lib/libcrc32c.ko"
    }
