"""`orlop release` as the tests run it, in the folder of the fixture `here`."""

from __future__ import annotations

import json

from typer.testing import CliRunner, Result

from orlop.cli.app import app


def run(*args: str) -> Result:
    return CliRunner().invoke(app, ["release", *args])


def good(*args: str) -> str:
    done = run(*args)
    assert done.exit_code == 0, done.output
    return done.output


def refused(message: str, *args: str) -> None:
    done = run(*args)
    assert done.exit_code == 1, done.output
    assert message in done.output


def shown(channel: str = "alpha") -> list[dict[str, object]]:
    about = json.loads(run("show", channel, "--json").stdout)
    found: list[dict[str, object]] = about["channels"][0]["versions"]
    return found
