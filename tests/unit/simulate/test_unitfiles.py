"""Unit files as systemd reads them."""

from __future__ import annotations

import pytest

from orlop.simulate.snapshot import RootEntry, find
from orlop.simulate.unitfiles import UnitFiles, UnitSetting, parse, template
from tests.unit.simulate.roots import file, folder, link, root

ETC, USR, MADE = "/etc/systemd/system/", "/usr/lib/systemd/system/", "/run/systemd/generator/"


def there(*entries: RootEntry) -> UnitFiles:
    above = [folder(path) for path in ("/etc", ETC.rstrip("/"), "/etc/systemd", USR.rstrip("/"), "/usr", "/usr/lib")]
    return UnitFiles(root(*above, folder("/usr/lib/systemd"), *entries))


def test_lines_comments_and_what_is_continued() -> None:
    text = "# c\n[Unit]\nA = x\n; c\n[Service]\nB=one \\\n# between\n  two\n\nC=\nnot a setting\n"
    assert list(parse(text)) == [
        UnitSetting("Unit", "A", "x"),
        UnitSetting("Service", "B", "one  two"),
        UnitSetting("Service", "C", ""),
    ]


@pytest.mark.parametrize(("name", "found"), [("a@b.service", "a@.service"), ("a.service", "a.service")])
def test_template(name: str, found: str) -> None:
    assert template(name) == found


def test_drop_ins_add_and_take_back_and_etc_wins() -> None:
    units = there(
        file(USR + "a@.service", "[Service]\nExecStart=one\nUser=u\n"),
        file(USR + "a@.service.d/10.conf", "[Service]\nExecStart=\nExecStart=two\n"),
        file(USR + "a@.service.d/20.conf", "[Service]\nUser=image\n"),
        file(ETC + "a@x.service.d/20.conf", "[Service]\nUser=mine\n"),
        file(ETC + "a@x.service.d/30.txt", "[Service]\nUser=other\n"),
    )
    assert units.values("a@x.service", "ExecStart") == ["two"]
    assert units.values("a@x.service", "User") == ["u", "mine"]
    assert units.values("a@y.service", "User") == ["u", "image"]


def test_what_is_started_is_followed_over_aliases_links_and_what_is_made() -> None:
    units = there(
        link(USR + "default.target", "multi-user.target"),
        file(USR + "multi-user.target", "[Unit]\nRequires=basic.target\n"),
        link(USR + "runlevel3.target", "multi-user.target"),
        file(USR + "basic.target"),
        link(ETC + "multi-user.target.wants/a.service", "/etc/systemd/system/a.service"),
        file(ETC + "a.service", "[Unit]\nWants=b.service\n"),
        link(MADE + "a.service.requires/made.service", "../made.service"),
        file(ETC + "far.service"),
        link(ETC + "graphical.target.wants/far.service", "../far.service"),
    )
    found = units.reached("default.target")
    assert found == {"multi-user.target", "basic.target", "a.service", "b.service", "made.service"}
    assert units.named("runlevel3.target") == "multi-user.target"
    assert units.named("a@b.service") == "a@b.service"


def test_masked_is_not_an_alias() -> None:
    assert there(link(ETC + "a.service", "/dev/null")).named("a.service") == "a.service"


@pytest.mark.parametrize(
    ("path", "found"),
    [
        ("/bin/sh", "/usr/bin/sh"),
        ("/a", "/usr/bin/sh"),
        ("/etc/../a", "/usr/bin/sh"),
        ("/loop", None),
        ("/out", "/etc"),
        ("/none", None),
        ("/", "/"),
    ],
)
def test_links_are_followed_below_the_root(path: str, found: str | None) -> None:
    files = root(
        folder("/"), folder("/etc"), folder("/usr"), folder("/usr/bin"), file("/usr/bin/sh"), link("/bin", "usr/bin"),
        link("/a", "/bin/../bin/sh"), link("/loop", "loop"), link("/out", "../../etc"),
    )  # fmt: skip
    entry = find(files, path)
    assert (entry.path if entry else None) == found
