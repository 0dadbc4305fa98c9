from __future__ import annotations

from pathlib import Path

import pytest

from orlop.errors import OrlopError
from orlop.machines.paths import make_private


def test_the_socket_folder_is_ours_alone(tmp_path: Path) -> None:
    folder = tmp_path / "run"
    make_private(folder)
    assert folder.stat().st_mode & 0o777 == 0o700
    make_private(folder)
    link = tmp_path / "link"
    link.symlink_to(folder)
    with pytest.raises(OrlopError, match="is not a folder of this user"):
        make_private(link)
