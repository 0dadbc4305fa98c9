"""Users and groups as the tables of a root have them; a line that is none is passed over."""

from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from orlop.simulate.accounts import groups, users
from tests.unit.simulate.roots import file, root

ROOT = root(
    file("/etc/passwd", "root:x:0:0:root:/root:/bin/sh\ncore:x:1000:900::/home/core:/bin/sh\nbroken\nb:x:?:0:::\n"),
    file("/etc/group", "root:x:0:\nweb:x:900:\nadm:x:4:core,root\nx:x:y:\n"),
    file("/etc/shadow", "root:*:1::::::\ncore:$y$x:1:0:99999:7:::\n"),
    file("/home/core/.ssh/authorized_keys.d/ignition", "ssh-ed25519 AAAA\n\n# no key\nssh-rsa BBBB\n"),
)


def test_users() -> None:
    found = users(ROOT)
    assert list(found) == ["root", "core"]
    core = found["core"]
    assert (core.uid, core.group, core.groups, core.home, core.password, core.keys) == (
        1000,
        "web",
        ("adm",),
        "/home/core",
        "set",
        2,
    )
    assert (found["root"].password, found["root"].keys) == ("locked", 0)


def test_groups() -> None:
    assert {name: (g.gid, g.members) for name, g in groups(ROOT).items()} == {
        "root": (0, ()),
        "web": (900, ()),
        "adm": (4, ("core", "root")),
    }


def test_no_password() -> None:
    made = root(file("/etc/passwd", "a:x:1:1:::\n"), file("/etc/shadow", "a::1::::::\n"))
    assert users(made)["a"].password == "none"
    assert users(root(file("/etc/passwd", "a:x:1:1:::\n")))["a"].password == "locked"


@given(st.text(max_size=80), st.text(max_size=80), st.text(max_size=80))
def test_any_tables(passwd: str, group: str, shadow: str) -> None:
    def safe(text: str) -> str:
        return text.encode("utf-8", "replace").decode()

    made = root(file("/etc/passwd", safe(passwd)), file("/etc/group", safe(group)), file("/etc/shadow", safe(shadow)))
    assert all(user.uid >= 0 for user in users(made).values())
    assert all(g.gid >= 0 for g in groups(made).values())


def test_nothing_there() -> None:
    assert users({}) == {}
    assert groups({}) == {}
