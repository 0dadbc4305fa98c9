"""The short forms of `orlop`: settings of the operating system become the files its programs read.

Which settings there are, what they may be, in which files they stand and who reads them: orlop.model.settings. Quadlet
files go to /etc/containers/systemd, their drop-ins to NAME.d there. A TOML file holds only what was given, under the
names used here, behind its format.
"""

from __future__ import annotations

from collections.abc import Mapping
from contextlib import suppress
from typing import Any

from orlop.errors import BadInput
from orlop.model.cluster.names import SETTINGS_PLACE, UNITS, Role
from orlop.model.settings.cluster import SECRETS
from orlop.model.settings.document import CHECKS_PLACE, FILES, HEALTH_PLACE, HOST_NAME_PLACE, ROOT_PLACE, UPDATE_PLACE
from orlop.model.settings.health import SECONDS
from orlop.model.settings.update import FORMAT
from orlop.provision.local import LocalFiles
from orlop.provision.report import Report
from orlop.provision.rules.settings import check_program, check_quadlet, check_root
from orlop.provision.source import Place
from orlop.provision.spec_base import FILE, LINK, RESOURCE, STORAGE
from orlop.provision.sugar.resources import read, with_data
from orlop.provision.tree import Obj, Seq, Value, listed, made

QUADLETS = "/etc/containers/systemd"


def desugar(root: Obj, files: LocalFiles, report: Report) -> Obj:
    made_files: list[Obj] = []
    hostname = root.text("hostname")
    if hostname is not None:
        made_files.append(_file(HOST_NAME_PLACE, hostname + "\n", root.at("hostname")))
    if root.has("update"):
        update = root.obj("update")
        written = toml(plain(update), "Written from `update` of this machine's configuration")
        made_files.append(_file(UPDATE_PLACE, written, update.place))
    if root.has("health"):
        made_files += _health(root.obj("health"), files, report)
    if root.has("trust"):
        text, place = _text(root.obj("trust"), "root", "root_local", files, report)
        if text is not None:
            check_root(text, place, report)
            made_files.append(_file(ROOT_PLACE, text, root.obj("trust").place))
    links: list[Obj] = []
    if root.has("cluster"):
        made_files += _cluster(root.obj("cluster"))
        links = _units(root.obj("cluster"))
    for quadlet in root.objs("quadlets"):
        made_files += _quadlet(quadlet, files, report)
    return _with(_with(root, "files", made_files), "links", links)


def _with(root: Obj, kind: str, more: list[Obj]) -> Obj:
    """What is made of the short forms comes after what is there."""
    if not more:
        return root
    storage = root.obj("storage") if root.has("storage") else Obj(STORAGE, root.place)
    everything = storage.seq(kind) if storage.has(kind) else listed(root.place, [])
    return root.put("storage", storage.put(kind, everything.plus(*more)), storage.place)


def _cluster(cluster: Obj) -> list[Obj]:
    """What is no secret in one file; each certificate, key and token in its own."""
    places = {file.settings: file for file in FILES}
    secrets = [setting.name for setting in SECRETS]
    out = [
        _file(
            SETTINGS_PLACE,
            toml(plain(cluster.without(*secrets)), "Written from `cluster` of this machine's configuration"),
            cluster.place,
        )
    ]
    for name in filter(cluster.has, secrets):
        file = places[f"cluster.{name}"]
        text = (cluster.text(name) or "").strip() + "\n"
        out.append(_file(file.place, text, cluster.at(name), file.mode))
    return out


def _units(cluster: Obj) -> list[Obj]:
    """What runs on a machine of a cluster, and on no other: a unit that is not enabled is not even read at a boot."""
    try:
        units = UNITS[Role(cluster.text("role") or "")]
    except ValueError:  # which the rules have said
        return []
    wants = "/etc/systemd/system/multi-user.target.wants"
    return [
        made(LINK, cluster.at("role"), path=f"{wants}/{unit}", target=f"/usr/lib/systemd/system/{unit}", overwrite=True)
        for unit in units
    ]


def _health(health: Obj, files: LocalFiles, report: Report) -> list[Obj]:
    lines = ["# Written from `health` of this machine's configuration"]
    for setting in SECONDS:
        with suppress(BadInput):  # which the rules have said
            if health.has(setting.name):
                lines.append(f"{setting.name.upper()}={setting.one(health.text(setting.name), setting.name)}")
    out = [_file(HEALTH_PLACE, "\n".join([*lines, ""]), health.place)]
    for check in health.objs("checks"):
        text, place = _text(check, "contents", "contents_local", files, report)
        if text is not None:
            check_program(text, place, report)
            out.append(_file(f"{CHECKS_PLACE}/{check.text('name')}", text, check.place, 0o755))
    return out


def _quadlet(quadlet: Obj, files: LocalFiles, report: Report) -> list[Obj]:
    path = f"{QUADLETS}/{quadlet.text('name')}"
    out = []
    text, place = _text(quadlet, "contents", "contents_local", files, report)
    if text is not None:
        check_quadlet(quadlet.text("name") or "", text.decode("utf-8", "replace"), place, report)
        out.append(_file(path, text, quadlet.place))
    out += [_file(f"{path}.d/{d.text('name')}", d.text("contents") or "", d.place) for d in quadlet.objs("dropins")]
    return out


def _text(obj: Obj, here: str, local: str, files: LocalFiles, report: Report) -> tuple[bytes | None, Place]:
    """The text given in the config, or that of the local file; None if there is none, or it cannot be had."""
    path = obj.text(local)
    if path is None:
        text = obj.text(here)
        return (None if text is None else text.encode()), obj.at(here)
    return read(files, path, obj.at(local), report), obj.at(local)


def _file(path: str, data: str | bytes, place: Place, mode: int = 0o644) -> Obj:
    raw = data.encode() if isinstance(data, str) else data
    contents = with_data(Obj(RESOURCE, place), raw, place)
    return made(FILE, place, path=path, overwrite=True, contents=contents, mode=mode)


def plain(settings: Obj) -> dict[str, Any]:
    """An object of settings as it would be written."""
    return {name: _plain(value) for name, value in settings.values.items()}


def _plain(value: Value) -> Any:
    if isinstance(value, Obj):
        return plain(value)
    return [_plain(item) for item in value.items] if isinstance(value, Seq) else value


def toml(settings: Mapping[str, Any], title: str) -> str:
    """Strings, numbers, booleans, lists of strings and one level of tables, as TOML behind a line of comment."""
    head = [f"# {title}", f"format = {FORMAT}"]
    tables: list[str] = []
    for name, value in settings.items():
        if isinstance(value, Mapping):
            tables += ["", f"[{name}]", *(f"{n} = {_toml(v)}" for n, v in value.items())]
        else:
            head.append(f"{name} = {_toml(value)}")
    return "\n".join([*head, *tables, ""])


def _toml(value: object) -> str:
    if isinstance(value, list):
        return "[" + ", ".join(_toml(item) for item in value) + "]"
    if isinstance(value, bool):
        return "true" if value else "false"
    if isinstance(value, int):
        return str(value)
    assert isinstance(value, str)
    import json

    return json.dumps(value, ensure_ascii=False).replace("\x7f", "\\u007f")
