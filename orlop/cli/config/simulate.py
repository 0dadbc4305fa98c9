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
from orlop.provision.report import Report, render
from orlop.simulate import against, show
from orlop.simulate.run import Config, Simulation, prepare, simulate

if TYPE_CHECKING:
    from orlop.provision.translate import Translation


def simulated(
    ctx: typer.Context,
    given: Sequence[tuple[str, Translation]],
    *,
    image: str | None,
    fetch: bool,
    as_json: bool,
    log: bool,
    strict: bool,
) -> bool:
    """Simulate one config, or the first against the second, and print it. `given`: names and translations. Returns
    whether all were right.
    """
    configs = [Config(name, result.ignition or "", result.root) for name, result in given]
    texts = [result.text for _, result in given]
    reports = [result.report for _, result in given]
    if any(report.failed(strict=strict) for report in reports):
        return _refused(configs, texts, reports, as_json=as_json)
    base = prepare(workspace(), steps(ctx), image)
    outcomes: list[Simulation] = []
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
        said = [*reports, *(outcome.report for outcome in outcomes)]
        warnings = [entry.as_json() for report in said for entry in report.sorted()]
        _print(json.dumps({**document, "warnings": warnings}, indent=2) + "\n")
    else:
        _print(show.text(machines[0]) if other is None else against.text(other, machines[0]))
    return True


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
