"""What Ignition said when it stopped, as an error at the line of the config that it is about, and what to do.

Two kinds of talk: findings with a position in the JSON (`error at $.storage.files.0.path, line 1 col 61: …`), while a
config is read; and one sentence of nested causes with paths and names in it, when a stage ended. For the second the
entry of the config is looked for whose path or name the sentence holds, the longest first.
"""

from __future__ import annotations

import re
from collections.abc import Sequence

from orlop.node.config.failure import NO_GROUP, NO_HOME, TAKEN, WRONG_LINE, Failure
from orlop.provision.report import Report
from orlop.provision.source import ROOT, Place, Span
from orlop.provision.tree import Obj, walk

_FINDING = re.compile(r"^(?:\w+ +: )?(error|warning) at (?:(\$\S*), )?line (\d+) col (\d+): (.*)$", re.MULTILINE)
_FAILED = re.compile(r"^CRITICAL +: Ignition failed: (.*)$", re.MULTILINE)
_COMMAND = re.compile(r'exit status \d+: Cmd: .* Stderr: "(.*?)(?:\\n)*"$')
_LAYERS = re.compile(
    r"^(failed to create (files|units|users/groups|crypttab entries)"
    r"|failed to configure (users|groups)|error creating \S+): "
)
_NAMED = {"user", "group", "file", "directory", "link", "unit", "dropin", "passwd_user", "passwd_group"}
HINTS = (
    (r"/(tmpfiles|sysusers)\.d/", WRONG_LINE),
    (
        r"file exists|exists there already and overwrite|already exists at that path and overwrite|non-directory",
        "the image has it already: `overwrite: true` puts this in its place",
    ),
    (r"group '.*' does not exist", NO_GROUP),
    (r"no such (user|group)|unknown (user|group)", "add it under passwd, or give the owner by id"),
    (r"^lstat \S+: no such file", NO_HOME),
    (r"not a directory", "something on this path is a file; choose another path"),
    (r"is a directory", "a folder is at this path; choose another path"),
    (r"read-only file system", "/usr is part of the image and never changes; put it below /etc or /var"),
    (r"hash verification failed", "write the hash that was calculated, if these are the contents you mean"),
    (r"gzip|unexpected EOF|invalid header", "the contents are not what `compression` says"),
    TAKEN,
    (
        r"unsupported config version",
        "a config that is fetched must be of version 3.3.0 or older; `orlop config build` writes a newer one as that",
    ),
    (
        r"invalid argument",
        "as an ordinary user only owners below the size of /etc/subuid's range can be had: run as root",
    ),
    (
        r"invalid config version|couldn't parse",
        "a config that is merged is Ignition's JSON with its ignition.version: translate it with `orlop config build`",
    ),
    (r"not supported by|invalid user name|invalid group name|invalid shell", "see useradd(8)"),
    (
        r"dial |lookup |no route|timeout|deadline|resource requires networking",
        "check the URL and this computer's network; without --fetch nothing is fetched",
    ),
)


def sentence(log: str) -> str:
    """The cause in what a failed stage printed, without the layers that only say who called whom."""
    operations = _FAILED.findall(log)
    lines = log.strip().splitlines()
    text = operations[-1] if operations else (lines[-1] if lines else "it said nothing")
    if not operations:
        text = re.sub(r"^(.*?: )?(CRITICAL|ERROR) +: ", "", text)
    while (shorter := _LAYERS.sub("", text)) != text:
        text = shorter
    text = _COMMAND.sub(lambda m: m[1], text)
    return text.replace("/sysroot/", "/")


def hint(text: str) -> str:
    for pattern, words in HINTS:
        if re.search(pattern, text, re.IGNORECASE):
            return words
    return "everything that Ignition said is shown with --log"


def findings(log: str, report: Report) -> None:
    """Add what Ignition found in the JSON, each once."""
    for severity, path, line, column, message in _FINDING.findall(log):
        place = _place(path or "$", max(int(line), 1), max(int(column), 1))
        text = f"Ignition: {message}"
        report.warn(place, text) if severity == "warning" else report.error(place, text)


def _place(path: str, line: int, column: int) -> Place:
    place = Place(Span(line, column, line, column + 1))
    for step in path.split(".")[1:]:
        place = place.at(step)
    return place


def failure(stage: str, log: str, config: Obj | None, report: Report) -> None:
    """Add the error that ended `stage`. `config`: the Butane it came from, for the line."""
    findings(log, report)
    if not report.errors:
        text = sentence(log)
        report.error(locate(log, config), f"the stage {stage} fails: {text}", hint(text))


def refused(failure: Failure, config: Obj | None, report: Report) -> None:
    """Add the error with which a machine ends a stage before Ignition begins it."""
    there = [o for o in walk(config) if o.type.name == "luks"] if config is not None else []
    place = next((o.place for o in there if f" {o.key()} " in failure.reason), ROOT)
    report.error(place, f"the stage {failure.stage} fails: {failure.reason}", failure.hint)


def doubt(about: Sequence[tuple[str, str]], text: str, advice: str, config: Obj | None, report: Report) -> None:
    """Add a warning. `about`: kinds and names of entries of the config; the first that is there is the one."""
    there = [(o.type.name, o.key(), o.place) for o in walk(config)] if config is not None else []
    places = (place for kind, name in about for its, key, place in there if (its, key) == (kind, name))
    report.warn(next(places, ROOT), text, advice)


def locate(log: str, config: Obj | None) -> Place:
    """The entry of the config that the last sentence is about; the beginning, if none is named in it."""
    if config is None:
        return ROOT
    reason = (_FAILED.findall(log) or [log])[-1].replace("/sysroot/", "/")
    best: tuple[int, Place] = (0, ROOT)
    for obj in walk(config):
        name = obj.key() if obj.type.name in _NAMED else ""
        if len(name) > best[0] and re.search(rf"(?<![\w./-]){re.escape(name)}(?![\w-]|\.\w|/\w)", reason):
            best = len(name), obj.place
    return best[1]
