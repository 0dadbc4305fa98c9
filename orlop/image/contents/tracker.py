"""Debian's security tracker: which CVEs an image mends that an older one had.

Source: the JSON that the tracker publishes (/tracker/data/json): source package → CVE → release → since which version
it is mended. Versions are compared as dpkg does, for each component by itself: what was built into a program stays as
it was until the program is built anew.
"""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from debian.debian_support import NativeVersion

from orlop.errors import BadInput
from orlop.model.contents.contents import ImageContents

NEVER = "0"  # "mended since" of what the release never had
HINT = "it takes what the security tracker publishes as /tracker/data/json"


@dataclass(frozen=True, order=True)
class Fix:
    """`components`: keys of what had the CVE in the older image, and has not in the newer one."""

    cve: str
    source: str
    since: str
    components: tuple[str, ...]


def read(path: Path) -> Mapping[str, Any]:
    """Raises BadInput."""
    try:
        data = json.loads(path.read_bytes())
    except OSError as e:
        raise BadInput(f"{path} cannot be read: {e.strerror}") from None
    except (ValueError, RecursionError) as e:
        raise BadInput(f"{path} is not valid JSON: {e}", hint=HINT) from None
    if not isinstance(data, dict):
        raise BadInput(f"{path} does not hold an object", hint=HINT)
    return data


def fixed(data: Mapping[str, Any], old: ImageContents, new: ImageContents) -> list[Fix]:
    """By CVE. Raises BadInput when the data are not the tracker's, or say nothing of the image's release of Debian."""
    distro = next(c.distro for c in new.components if c.distro)
    known = False
    before = {(source.name, key): source.version for source, key in old.sources()}
    found: dict[tuple[str, str, str], list[str]] = {}
    for source, key in new.sources():
        was = before.get((source.name, key))
        for cve, releases in _entries(data, source.name):
            known = known or distro in releases
            since = _since(releases, distro, f"{source.name}, {cve}")
            if was and since and _version(was) < _version(since) <= _version(source.version):
                found.setdefault((cve, source.name, since), []).append(key)
    if not known:
        raise BadInput(f"the data say nothing of {distro}, which the image is made of", hint=HINT)
    return sorted(Fix(cve, source, since, tuple(sorted(keys))) for (cve, source, since), keys in found.items())


def _entries(data: Mapping[str, Any], source: str) -> Iterator[tuple[str, Mapping[str, Any]]]:
    of_source = data.get(source, {})
    try:
        for cve, about in of_source.items():
            yield cve, about["releases"].keys() and about["releases"]
    except (AttributeError, KeyError, TypeError):
        raise BadInput(f"the data are not the security tracker's: {source} says no releases", hint=HINT) from None


def _since(releases: Mapping[str, Any], distro: str, where: str) -> str:
    """The version that mends it in this release; "" when none does yet, or it was never there."""
    about = releases.get(distro, {})
    since = about.get("fixed_version", "") if isinstance(about, dict) else None
    if not isinstance(since, str):
        raise BadInput(f"the data are not the security tracker's: {where} has no version", hint=HINT)
    return "" if since == NEVER else since


def _version(text: str) -> NativeVersion:
    try:
        return NativeVersion(text)
    except ValueError:
        raise BadInput(f"{text!r} is not a valid version of a Debian package", hint=HINT) from None
