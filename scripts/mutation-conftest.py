"""The conftest.py of a copy of the tree that scripts/mutation.py makes: cases have names that mutmut can give back.

It chooses tests by their full names, and pytest does not find again what has brackets, colons or a backslash in it.
"""

from __future__ import annotations

import zlib

import pytest


def pytest_make_parametrize_id(config: pytest.Config, val: object, argname: str) -> str | None:  # noqa: ARG001
    return f"{argname}{zlib.crc32(repr(val).encode()):08x}" if isinstance(val, str | bytes) else None


@pytest.hookimpl(tryfirst=True)
def pytest_generate_tests(metafunc: pytest.Metafunc) -> None:
    original = metafunc.parametrize

    def without_names(*args: object, ids: object = None, **more: object) -> None:  # noqa: ARG001
        original(*args, **more)  # type: ignore[arg-type]

    metafunc.parametrize = without_names  # type: ignore[method-assign]
