from __future__ import annotations

from collections.abc import Iterator

import pytest

from tests.contracts.control.served import Identity, ServedControl, serving


@pytest.fixture
def control(tmp_path_factory: pytest.TempPathFactory) -> Iterator[ServedControl]:
    # its own short folder: the sandbox of the SDK's openssl sees /tmp
    with serving(tmp_path_factory.mktemp("control")) as there:
        yield there


@pytest.fixture
def admin(control: ServedControl) -> Identity:
    return control.identity("admin", "/O=orlop:admin/CN=ada")
