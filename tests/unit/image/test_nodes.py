from __future__ import annotations

import pytest

from orlop.errors import BadInput
from orlop.image.nodes import lines

DEVNAME = """# Device nodes to trigger on-demand module loading.
fuse fuse c10:229
tun net/tun c10:200
loop0 net/other b7:0
"""


def test_nodes_are_as_kmod_writes_them() -> None:
    assert list(lines(DEVNAME)) == [
        "c! /dev/fuse 0600 - - - 10:229",
        "d /dev/net 0755 - - -",
        "c! /dev/net/tun 0600 - - - 10:200",
        "b! /dev/net/other 0600 - - - 7:0",
    ]


@pytest.mark.parametrize("line", ["fuse fuse", "fuse fuse 10:229", "fuse fuse c10:229 more"])
def test_a_line_of_another_form_is_named(line: str) -> None:
    with pytest.raises(BadInput, match=line):
        list(lines(line))
