"""`orlop config simulate`: the part that needs the SDK and the image, loaded only when it is asked for.

Exit status as of the other `orlop config` commands; that two configs differ is no failure.
"""

from __future__ import annotations

import json
import sys
from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

import typer

from orlop.cli.session import steps, workspace
from orlop.errors import BadInput
from orlop.provision.report import Report, render
from orlop.simulate import against, show
from orlop.simulate.run import Config, Outcome, prepare, simulate

if TYPE_CHECKING:
    from orlop.provision.translate import Result


def simulated(
    ctx: typer.Context,
    given: Sequence[tuple[str, Result | None, bytes]],
    *,
    image: str | None,
    fetch: bool,
    as_json: bool,
    log: bool,
    strict: bool,
) -> bool:
    """Simulate one config, or the first against the second, and print it. `given`: name, translation, and the bytes of
    those that were not translated. Returns whether all were right.
    """
    configs = [_config(*one) for one in given]
    texts = [result.text if result else config.ignition for (_, result, _), config in zip(given, configs, strict=True)]
    reports = [result.report if result else Report() for _, result, _ in given]
    if any(report.failed(strict=strict) for report in reports):
        return _refused(configs, texts, reports, as_json=as_json)
    base = prepare(workspace(), steps(ctx), image)
    outcomes: list[Outcome] = []
    for config, text, report in zip(configs, texts, reports, strict=True):
        outcome = simulate(workspace(), base, config, fetch=fetch)
        if log:
            print(outcome.log, end="", file=sys.stderr)
        if not as_json:
            _say([report, outcome.report], text, config.name)
        outcomes.append(outcome)
    machines = [outcome.machine for outcome in outcomes if outcome.machine]
    if any(outcome.report.failed(strict=strict) for outcome in outcomes):
        return _refused(configs, texts, [outcome.report for outcome in outcomes], as_json=as_json, said=True)
    other = machines[1] if len(machines) > 1 else None
    if as_json:
        document = show.document(machines[0]) if other is None else against.document(other, machines[0])
        _print(json.dumps(document, indent=2) + "\n")
    else:
        _print(show.text(machines[0]) if other is None else against.text(other, machines[0]))
    return True


def _config(name: str, result: Result | None, raw: bytes) -> Config:
    from orlop.cli.config import called

    if result is not None:
        return Config(called(name), result.ignition or "", result.root)
    try:
        text = raw.decode("utf-8-sig")
    except UnicodeDecodeError:
        raise BadInput(f"{name} is not UTF-8 text", hint="an Ignition config is JSON; is it packed?") from None
    return Config(called(name), text)


def _refused(
    configs: list[Config], texts: list[str], reports: list[Report], *, as_json: bool, said: bool = False
) -> bool:
    """Say what is wrong, unless it was `said`; as JSON it has the form of `check --json`."""
    if as_json:
        files: list[dict[str, Any]] = [
            {
                "file": config.name,
                "ok": not report.errors,
                "errors": report.errors,
                "warnings": report.warnings,
                "entries": [entry.as_json() for entry in report.sorted()],
            }
            for config, report in zip(configs, reports, strict=True)
        ]
        _print(json.dumps({"files": files}, indent=2) + "\n")
    elif not said:
        for config, text, report in zip(configs, texts, reports, strict=True):
            _say([report], text, config.name)
    return False


def _say(reports: list[Report], text: str, name: str) -> None:
    for report in reports:
        if report.entries:
            print(render(report, text, name), file=sys.stderr)


def _print(text: str) -> None:
    sys.stdout.buffer.write(text.encode("utf-8", "surrogateescape"))
