"""The table as documentation: `docs/reference/config-foreign.md` is made by `orlop config reference --foreign`."""

from __future__ import annotations

from collections.abc import Iterable

from orlop.provision.foreign.table import TABLE, Foreign
from orlop.provision.variants import IGNITION_VERSION, JSON_VARIANTS, UNMEANT, VARIANTS

_HEAD = """\
# What other systems' configurations mean here

Made by `orlop config reference --foreign` from the table that `orlop config check` itself uses. How to write a
configuration: [Describe a machine](../guide/config.md).

A configuration for Fedora CoreOS or Flatcar is taken as it is written. This page tells what becomes of the files, units
and habits in it that are another system's. They are met in Butane of every variant, and in Ignition's JSON.

## Versions

| written as | versions | then |
|---|---|---|
{versions}
All are written as Ignition {ignition}, which is what the machine's Ignition reads. An older version is read by its
own rules: a key that came later is left out, with a warning. A newer one is taken where all that it says can be said
in {ignition}; these keys cannot, and are refused:

| key | instead |
|---|---|
{unmeant}| a source that begins with `arn:` | name the object itself: `s3://BUCKET/KEY` |
| setuid, setgid and sticky in a `mode` (`fcos` 1.7, Ignition 3.6) | a line `z PATH MODE` in /etc/tmpfiles.d |

A configuration within the configuration (`ignition.config.merge`) that is given there is treated in the same way; one
that the machine fetches must be of version {ignition} or older.

## Honoured

What has exactly the same meaning here is translated: the configuration that comes out holds the file that this system
reads. A file of this system's own that the configuration writes itself counts instead, and a warning says so. What has
no exact meaning is left out, with a warning; for updates and reboots it becomes `off`, never the opposite of what was
asked.

| | what becomes of it | else |
|---|---|---|
"""
_WARNED = """
## Warned about

`orlop config check` names each of these with its line and says what to write.

| | here | write |
|---|---|---|
"""
_WHERE = """
## Where each is met

| | files | units | programs |
|---|---|---|---|
"""


def markdown() -> str:
    names = tuple(dict.fromkeys(v.name for v in VARIANTS))
    versions = "".join(f"| `variant: {name}` | {_span(name)} | {_then(name)} |\n" for name in names)
    versions += f"| Ignition's JSON | {JSON_VARIANTS[0].version} to {JSON_VARIANTS[-1].version} | the same rules |\n"
    unmeant = "".join(f"| `{path}` | {instead} |\n" for path, instead in UNMEANT.items())
    head = _HEAD.format(versions=versions, unmeant=unmeant, ignition=IGNITION_VERSION)
    honoured = "".join(_row(entry) for entry in TABLE if entry.honoured)
    warned = "".join(_row(entry) for entry in TABLE if not entry.honoured)
    return head + honoured + _WARNED + warned + _WHERE + "".join(_where(entry) for entry in TABLE)


def _span(name: str) -> str:
    versions = [v.version for v in VARIANTS if v.name == name]
    return versions[0] if len(versions) == 1 else f"{versions[0]} to {versions[-1]}"


def _then(name: str) -> str:
    return "an unknown key is an error" if name == "orlop" else "an unknown key is left out, with a warning"


def _row(entry: Foreign) -> str:
    return f"| {_cell(entry.name)} | {_cell(entry.here)} | {_cell(entry.write)} |\n"


def _where(entry: Foreign) -> str:
    files = _codes(entry.files) if entry.files else _cell(entry.at)
    if entry.files and entry.at:
        files += f", {_cell(entry.at)}"
    elif not entry.files and not entry.at:
        files = ""
    return f"| {_cell(entry.name)} | {files} | {_codes(entry.units)} | {_codes(entry.programs)} |\n"


def _codes(names: Iterable[str]) -> str:
    return ", ".join(f"`{_cell(name)}`" for name in names)


def _cell(text: str) -> str:
    return text.replace("|", "\\|")
