"""What stays and what goes, on small trees with real programs of this host in them."""

from __future__ import annotations

import os
import shutil
from pathlib import Path

import pytest

from orlop.errors import BadInput
from orlop.image import prune
from orlop.image.elf import Libraries, is_elf, link_target, read_needs

TRUE = Path(shutil.which("true") or "/usr/bin/true").resolve()


@pytest.fixture
def tree(tmp_path: Path) -> Path:
    for folder in ("usr/bin", "usr/sbin", "usr/lib/x86_64-linux-gnu", "usr/lib/systemd/system", "usr/lib64"):
        (tmp_path / folder).mkdir(parents=True)
    return tmp_path


def executable(path: Path, content: bytes = b"#!/bin/sh\n") -> Path:
    path.write_bytes(content)
    path.chmod(0o755)
    return path


def names(folder: Path) -> set[str]:
    return {p.name for p in folder.iterdir()}


def test_only_listed_executables_stay_with_what_their_links_point_to(tree: Path) -> None:
    executable(tree / "usr/bin/dash")
    (tree / "usr/bin/sh").symlink_to("dash")
    executable(tree / "usr/bin/perl")
    executable(tree / "usr/sbin/sshd")
    (tree / "usr/sbin/ip").symlink_to("/bin/ip")
    executable(tree / "usr/bin/ip")
    prune.keep_executables(tree, {"sh", "ip"})
    assert names(tree / "usr/bin") == {"dash", "sh", "ip"}
    assert names(tree / "usr/sbin") == {"ip"}


def test_a_listed_program_that_is_gone_fails_by_name(tree: Path) -> None:
    executable(tree / "usr/bin/sh")
    with pytest.raises(BadInput, match=r"no package brings: nosuch$"):
        prune.keep_executables(tree, {"sh", "nosuch"})
    assert (tree / "usr/bin/sh").exists()


def test_list_files_take_comments_and_several_words_a_line(tmp_path: Path) -> None:
    (tmp_path / "l").write_text("# all\na b # c\n\n  d\n")
    assert prune.read_list(tmp_path / "l") == ["a", "b", "d"]


def test_links_to_what_is_gone_are_found_and_links_to_the_running_system_are_not(tree: Path) -> None:
    lib = tree / "usr/lib/systemd/system"
    (lib / "gone.service").symlink_to("nowhere.service")
    (lib / "masked.service").symlink_to("/dev/null")
    (lib / "mtab").symlink_to("/proc/self/mounts")
    (lib / "absolute").symlink_to("/usr/bin/gone")
    found = prune.dangling_links(tree)
    assert found == ["usr/lib/systemd/system/absolute", "usr/lib/systemd/system/gone.service"]


def test_units_that_start_what_is_not_there_are_found(tree: Path) -> None:
    units = tree / "usr/lib/systemd/system"
    executable(tree / "usr/bin/here")
    good = "[Service]\nExecStart=-/usr/bin/gone\nExecStart=@/usr/bin/here x\nExecStart=here\n"
    (units / "good.service").write_text(good)
    (units / "bad.service").write_text("[Service]\nExecStart=/usr/bin/gone --now\n")
    (units / "own-root.service").write_text("[Service]\nRootDirectory=/x\nExecStart=/usr/bin/gone\n")
    (units / "template@.service").write_text("[Service]\nExecStart=/usr/bin/%i\n")
    assert prune.broken_units(tree) == {"usr/lib/systemd/system/bad.service": "/usr/bin/gone"}


def test_modules_go_by_folder_and_by_name_and_what_stands_after_a_mark_stays(tree: Path) -> None:
    base = tree / "usr/lib/modules/6.12/kernel"
    for name in ("hid/hid.ko", "hid/hid-sony.ko", "hid/usbhid/usbhid.ko", "net/tipc/tipc.ko", "net/tls.ko"):
        (base / name).parent.mkdir(parents=True, exist_ok=True)
        (base / name).touch()
    prune.remove_modules(tree, ["hid/*", "!hid/hid.ko", "!hid/usbhid", "net/tipc", "sound"])
    left = {str(path.relative_to(base)) for path in base.rglob("*.ko")}
    assert left == {"hid/hid.ko", "hid/usbhid/usbhid.ko", "net/tls.ko"}


def test_libraries_nothing_needs_go_and_the_loader_stays(tree: Path) -> None:
    shutil.copy2(TRUE, tree / "usr/bin/true")
    needs = read_needs(TRUE)
    assert "libc.so.6" in needs.needed
    host = Path("/usr/lib/x86_64-linux-gnu")
    folder = tree / "usr/lib/x86_64-linux-gnu"
    for soname in needs.needed:
        shutil.copy2((host / soname).resolve(), folder / soname)
    shutil.copy2(folder / "libc.so.6", folder / "libunused.so.1.0")
    (folder / "libunused.so.1").symlink_to("libunused.so.1.0")
    loader = Path("/") / needs.interpreter
    shutil.copy2(loader.resolve(), folder / "ld-linux-x86-64.so.2")
    (tree / "usr/lib64/ld-linux-x86-64.so.2").symlink_to("../lib/x86_64-linux-gnu/ld-linux-x86-64.so.2")
    prune.remove_unused_libraries(tree)
    assert names(folder) == {*needs.needed, "ld-linux-x86-64.so.2"}


def test_a_program_whose_library_is_missing_is_named(tree: Path) -> None:
    shutil.copy2(TRUE, tree / "usr/bin/true")
    (tree / "usr/lib64/ld-linux-x86-64.so.2").write_bytes(b"")
    with pytest.raises(BadInput, match=r"usr/bin/true needs lib\S+, which is not in the tree"):
        Libraries(tree).closure(["usr/bin/true"], optional=False)


def test_setuid_and_setgid_bits_go_and_the_rest_of_the_mode_stays(tree: Path) -> None:
    path = executable(tree / "usr/bin/su")
    path.chmod(0o6755)
    prune.strip_setuid(tree)
    assert path.stat().st_mode & 0o7777 == 0o755


def test_a_damaged_elf_file_needs_nothing(tmp_path: Path) -> None:
    path = tmp_path / "broken"
    path.write_bytes(b"\x7fELF" + os.urandom(60))
    assert is_elf(path)
    assert read_needs(path).needed == ()


@pytest.mark.parametrize(
    ("link", "target", "found"),
    [("usr/bin/a", "b", "usr/bin/b"), ("usr/sbin/a", "/bin/i", "usr/bin/i"), ("usr/lib64/a", "../lib/x", "usr/lib/x")],
)
def test_links_are_followed_inside_the_tree(tree: Path, link: str, target: str, found: str) -> None:
    (tree / link).symlink_to(target)
    assert link_target(tree, link) == found


def test_a_link_out_of_the_tree_is_refused(tree: Path) -> None:
    (tree / "usr/bin/a").symlink_to("../../../etc/passwd")
    with pytest.raises(ValueError, match="out of the tree"):
        link_target(tree, "usr/bin/a")
