"""The short forms of `orlop`: settings of the operating system become the files its programs read.

| key        | file                                  | mode | read by |
|------------|---------------------------------------|------|---------|
| `hostname` | `/etc/hostname`                       | 0644 | systemd |
| `update`   | `/etc/orlop/update.toml`              | 0644 | update engine |
| `health`   | `/etc/orlop/health.conf` (`KEY=SECONDS`), `/etc/orlop/health.d/NAME` | 0644, 0755 | health check |
| `cluster`  | `/etc/orlop/cluster.toml`             | 0600 | agent (holds the join token) |
| `trust`    | `/etc/orlop/keys.d/NAME.pem`          | 0644 | update engine |
| `quadlets` | `/etc/containers/systemd/NAME`, drop-ins in `NAME.d/` | 0644 | podman's Quadlet generator |

The TOML files hold only what was given, under the names used here, behind `format = 1`.
"""

from __future__ import annotations

from orlop.provision.local import LocalFiles
from orlop.provision.report import Report
from orlop.provision.rules.settings import check_key, check_program, check_quadlet, seconds
from orlop.provision.source import Place
from orlop.provision.spec_base import FILE, OWNER_GROUP, OWNER_USER, RESOURCE, STORAGE
from orlop.provision.sugar.resources import read, with_data
from orlop.provision.tree import Obj, Seq, Value, listed, made

ETC = "/etc/orlop"
QUADLETS = "/etc/containers/systemd"
FORMAT = 1


def desugar(root: Obj, files: LocalFiles, report: Report) -> Obj:
    made_files: list[Obj] = []
    hostname = root.text("hostname")
    if hostname is not None:
        made_files.append(_file("/etc/hostname", hostname + "\n", root.at("hostname")))
    for name, mode in (("update", 0o644), ("cluster", 0o600)):
        if root.has(name):
            settings = root.obj(name)
            made_files.append(_file(f"{ETC}/{name}.toml", toml(settings, name), settings.place, mode))
    if root.has("health"):
        made_files += _health(root.obj("health"), files, report)
    for key in root.obj("trust").objs("keys"):
        text, place = _text(key, "public_key", "local", files, report)
        if text is not None:
            check_key(text, place, report)
            made_files.append(_file(f"{ETC}/keys.d/{key.text('name')}.pem", text, key.place))
    for quadlet in root.objs("quadlets"):
        made_files += _quadlet(quadlet, files, report)
    if not made_files:
        return root
    storage = root.obj("storage") if root.has("storage") else Obj(STORAGE, root.place)
    everything = storage.seq("files") if storage.has("files") else listed(root.place, [])
    everything = everything.plus(*made_files)
    return root.put("storage", storage.put("files", everything), storage.place)


def _health(health: Obj, files: LocalFiles, report: Report) -> list[Obj]:
    given = {name: seconds(health.text(name) or "") for name in ("timeout", "soak") if health.has(name)}
    lines = ["# Written from `health` of this machine's configuration", *(f"{n.upper()}={v}" for n, v in given.items())]
    out = [_file(f"{ETC}/health.conf", "\n".join([*lines, ""]), health.place)]
    for check in health.objs("checks"):
        text, place = _text(check, "contents", "contents_local", files, report)
        if text is not None:
            check_program(text, place, report)
            out.append(_file(f"{ETC}/health.d/{check.text('name')}", text, check.place, 0o755))
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
    owner = {"user": made(OWNER_USER, place, id=0), "group": made(OWNER_GROUP, place, id=0)} if mode == 0o600 else {}
    return made(FILE, place, path=path, overwrite=True, contents=contents, mode=mode, **owner)


def toml(settings: Obj, title: str) -> str:
    """An object of strings, numbers, booleans, lists of strings and one level of tables, as TOML."""
    head = [f"# Written from `{title}` of this machine's configuration", f"format = {FORMAT}"]
    tables: list[str] = []
    for name, value in settings.values.items():
        if isinstance(value, Obj):
            tables += ["", f"[{name}]", *(f"{n} = {_toml(v)}" for n, v in value.values.items())]
        else:
            head.append(f"{name} = {_toml(value)}")
    return "\n".join([*head, *tables, ""])


def _toml(value: Value) -> str:
    if isinstance(value, Seq):
        return "[" + ", ".join(_toml(item) for item in value.items) + "]"
    if isinstance(value, bool):
        return "true" if value else "false"
    if isinstance(value, int):
        return str(value)
    assert isinstance(value, str)
    import json

    return json.dumps(value, ensure_ascii=False).replace("\x7f", "\\u007f")
