"""What became of the units a config is about."""

from __future__ import annotations

import pytest

from orlop.simulate.changes import changes
from orlop.simulate.snapshot import RootEntry
from orlop.simulate.units import PRESET, units
from tests.unit.simulate.roots import file, folder, link, root

S = "/etc/systemd/system/"
G = "/run/systemd/generator/"
U = "/usr/lib/systemd/system/"
MADE = "[Unit]\nSourcePath=/etc/containers/systemd/sub/a.container\n"
Q = "/etc/containers/systemd/"
INSTALL = "[Service]\n[Install]\nWantedBy=multi-user.target\n"
WANTS = link(S + "multi-user.target.wants/a.service", S + "a.service")


def states(before: dict[str, RootEntry], after: dict[str, RootEntry]) -> dict[str, tuple[str, str]]:
    return {unit.name: (unit.state, unit.origin) for unit in units(after, changes(before, after))}


@pytest.mark.parametrize(
    ("after", "expected"),
    [
        ([file(S + "a.service", INSTALL)], {"a.service": ("disabled", "config")}),
        ([file(S + "a.service", "[Service]\n")], {"a.service": ("static", "config")}),
        ([file(S + "a.service", INSTALL), WANTS], {"a.service": ("enabled", "config")}),
        ([WANTS], {"a.service": ("enabled", "image")}),
        ([link(S + "a.service", "/dev/null")], {"a.service": ("masked", "config")}),
        ([link(S + "alias.service", "/usr/lib/systemd/system/a.service")], {}),
        ([folder(S + "a.service.d"), file(S + "a.service.d/x.conf")], {"a.service": ("disabled", "image")}),
        ([file(PRESET, "disable a.service\n")], {}),
        ([file(PRESET, "disable a.service\n"), file(U + "a.service")], {"a.service": ("disabled", "image")}),
        (
            [file(PRESET, "# x\n\nenable t@.service one two\n")],
            dict.fromkeys(["t@one.service", "t@two.service"], ("disabled", "image")),
        ),
        (
            [file(S + "t@.service", INSTALL), link(S + "x.target.wants/t@1.service", S + "t@.service")],
            {"t@.service": ("indirect", "config"), "t@1.service": ("enabled", "config")},
        ),
        ([file(G + "a.service", MADE)], {"a.service": ("generated", "config")}),
        (
            [file(G + "a.service", MADE), link(G + "x.target.wants/a.service", "../a.service")],
            {"a.service": ("enabled", "config")},
        ),
        ([file(G + "a.service", MADE), link(S + "a.service", "/dev/null")], {"a.service": ("masked", "config")}),
        ([file(G + "a.service", MADE), file(S + "a.service", INSTALL)], {"a.service": ("disabled", "config")}),
        ([file(Q + "a.container"), file(G + "var-x.mount", "[Mount]\n")], {}),
        ([file("/etc/a.service", INSTALL)], {}),
    ],
)
def test_states(after: list[RootEntry], expected: dict[str, tuple[str, str]]) -> None:
    assert states({}, root(*after)) == expected


def test_a_unit_of_the_image_that_is_switched_off() -> None:
    assert states(root(WANTS), {}) == {"a.service": ("disabled", "image")}


def test_what_is_as_in_the_image_is_not_named() -> None:
    same = root(file(S + "a.service", INSTALL), WANTS)
    assert states(same, same) == {}


def test_missing() -> None:
    after = root(file(PRESET, "enable a.service\nenable b.service\n"))
    found = units(after, changes({}, after), missing=["b.service"])
    assert [(unit.name, unit.state) for unit in found] == [("a.service", "disabled"), ("b.service", "missing")]


def test_what_is_made_at_boot_is_not_missing() -> None:
    after = root(file(PRESET, "enable a.service\n"), file(G + "a.service", MADE), file(S + "a.service.d/x.conf"))
    (unit,) = units(after, changes({}, after), missing=["a.service"])
    assert (unit.state, unit.made_from, unit.dropins) == ("generated", "sub/a.container", ("x.conf",))


def test_dropins_and_links() -> None:
    after = root(file(S + "a.service.d/2.conf"), file(S + "a.service.d/1.conf"), WANTS)
    (unit,) = units(after, changes({}, after))
    assert unit.dropins == ("1.conf", "2.conf")
    assert unit.links == (WANTS.path,)
