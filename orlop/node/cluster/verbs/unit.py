"""`orlop unit`: units of the cluster, with fleetctl's verbs and columns. On a server, for root."""

from __future__ import annotations

import argparse
import base64
import json
import socket
import sys
import time
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import Any
from urllib.parse import quote

from orlop.errors import BadInput, Missing, OrlopError
from orlop.model.fleet.name import mangled, split
from orlop.model.fleet.unitfile import LARGEST, parse
from orlop.node.agent.control import ControlClient, RefusedByCluster
from orlop.node.cluster.admin import control
from orlop.node.cluster.verbs.columns import columns

TARGETS = {"submit": "inactive", "load": "loaded", "start": "launched", "stop": "loaded", "unload": "inactive"}
_STATE = {"launched": "launched", "loaded": "loaded", "inactive": "inactive"}
_LOOK, _SLICE = 0.25, 2.0  # seconds: fleetctl's
_DECIDED = 2.0  # seconds in which the scheduler has decided
_MOST = 32 << 20
_DIGITS = 8

Row = dict[str, Any]
UNIT_FIELDS: dict[str, Callable[[Row], str]] = {
    "unit": lambda row: str(row["instance"]),
    "load": lambda row: str(row["load"] or "-"),
    "active": lambda row: str(row["active"] or "-"),
    "sub": lambda row: str(row["sub"] or "-"),
    "machine": lambda row: f"{str(row['machine'])[:_DIGITS]}.../{row['host']}",
    "hash": lambda row: str(row["hash"] or "-")[:7],
}
FILE_FIELDS: dict[str, Callable[[Row], str]] = {
    "unit": lambda row: str(row["name"]),
    "hash": lambda row: str(row["hash"])[:7],
    "desc": lambda row: str(row["description"] or "-"),
    "dstate": lambda row: str(row["target"]),
    "state": lambda row: str(row["state"]),
    "target": lambda row: "global" if row["global"] else _where(row),
    "global": lambda row: str(row["global"]).lower(),
}
MACHINE_FIELDS: dict[str, Callable[[Row], str]] = {
    "machine": lambda row: f"{str(row['machine'])[:_DIGITS]}...",
    "host": lambda row: str(row["host"]),
    "units": lambda row: str(row["units"]),
    "cpu": lambda row: f"{row['cpu_used'] / 1000:g}/{row['cpu'] / 1000:g}",
    "memory": lambda row: f"{row['memory_used'] >> 20}M/{row['memory'] >> 20}M",
    "metadata": lambda row: ",".join(f"{key}={value}" for key, value in sorted(row["metadata"].items())) or "-",
    "closed": lambda row: str(row["closed"] or "-"),
}
LISTS = {
    "list-units": (UNIT_FIELDS, "unit,machine,active,sub"),
    "list-unit-files": (FILE_FIELDS, "unit,hash,dstate,state,target"),
    "list-machines": (MACHINE_FIELDS, "machine,host,metadata,units,closed"),
}
DEEDS = {
    "submit": "put units into the cluster",
    "load": "place them on machines, not started",
    "start": "place them and start them",
    "stop": "stop them where they are",
    "unload": "take them from their machines",
    "destroy": "stop them and forget them",
    "restart": "start them again where they run",
}


def arguments(parser: argparse.ArgumentParser) -> None:
    deeds = parser.add_subparsers(dest="deed", required=True, metavar="DEED")
    for deed, about in DEEDS.items():
        made = deeds.add_parser(deed, help=about)
        made.add_argument("units", nargs="+", metavar="UNIT", help="a name, or a file; .service when it has no type")
        if deed in {"submit", "load", "start"}:
            made.add_argument("--replace", action="store_true", help="what is there under that name becomes this")
            made.add_argument("--lenient", action="store_true", help="ignore in [X-Fleet] what fleet ignored")
            made.add_argument("--given", nargs=2, action="append", default=[], help=argparse.SUPPRESS)
        if deed not in {"submit", "destroy"}:
            made.add_argument("--no-block", action="store_true", help="do not wait until it is so")
            made.add_argument("--block-attempts", type=int, default=0, metavar="N", help="wait N times 2 s at most")
    for deed, (fields, usual) in LISTS.items():
        made = deeds.add_parser(deed, help=f"columns: {', '.join(fields)}")
        made.add_argument("--fields", default=usual, help=f"which columns, {usual} unless given")
        made.add_argument("--no-legend", action="store_true", help="no line of titles")
        made.add_argument("--json", action="store_true", help="as JSON")
    for deed, about in (("status", "how it is, where"), ("cat", "its text"), ("explain", "why it is where it is")):
        made = deeds.add_parser(deed, help=about)
        made.add_argument("unit", metavar="UNIT")
        if deed != "cat":
            made.add_argument("--json", action="store_true", help="as JSON")


def run(args: argparse.Namespace) -> int:
    with control(f"root on {socket.gethostname()}") as asked:
        return act(asked, args)


def act(asked: ControlClient, args: argparse.Namespace) -> int:
    """The exit status."""
    if args.deed in LISTS:
        return listed(asked, args)
    if args.deed in {"status", "cat", "explain"}:
        return {"status": status, "cat": cat, "explain": explain}[args.deed](asked, args)
    return changed(asked, args)


# lists


def everything(asked: ControlClient) -> list[Row]:
    units: list[Row] = []
    more = ""
    while True:
        page = asked.ask("GET", f"/v1/units?limit=1000{more}", most=_MOST)
        units += page["units"]
        if not page.get("continue"):
            return units
        more = f"&continue={quote(page['continue'])}"


def listed(asked: ControlClient, args: argparse.Namespace) -> int:
    fields = LISTS[args.deed][0]
    chosen = args.fields.split(",")
    if unknown := [name for name in chosen if name not in fields]:
        raise BadInput(f"{unknown[0]!r} is not a column", hint=f"--fields takes {','.join(fields)}")
    if args.deed == "list-machines":
        rows: list[Row] = asked.ask("GET", "/v1/fleet", most=_MOST)["machines"]
    else:
        rows = everything(asked)
        if args.deed == "list-units":
            placed = [at for unit in rows for at in unit["placed"]]
            rows = sorted(placed, key=lambda at: (at["instance"], at["machine"]))
    if args.json:
        print(json.dumps({args.deed.removeprefix("list-").replace("-", "_"): rows}, indent=1))
        return 0
    table = [[fields[name](row) for name in chosen] for row in rows]
    titles = [] if args.no_legend else [[name.upper() for name in chosen]]
    print("\n".join(columns([*titles, *table])))
    return 0


def _where(unit: Row) -> str:
    if not unit["placed"]:
        return "-"
    if unit["wanted"] > 1:
        return f"{len(unit['placed'])} of {unit['wanted']}"
    return UNIT_FIELDS["machine"](unit["placed"][0])


# one unit


def status(asked: ControlClient, args: argparse.Namespace) -> int:
    """Exit status 0 when all of it is as it is wanted, 1 when not."""
    unit = asked.ask("GET", _path(args.unit))
    if args.json:
        print(json.dumps(unit, indent=1))
    else:
        print(f"{unit['name']}: {unit['description'] or 'no description'}")
        print(f"  wanted {unit['target']}, is {unit['state']}; text {unit['hash'][:7]}")
        for at in unit["placed"]:
            words = f"{at['load'] or 'not seen yet'}, {at['active'] or '-'} ({at['sub'] or '-'})"
            gone = "" if at["is_present"] else "; its machine is not connected"
            print(f"  {at['instance']} on {at['host']}: {words}{gone}" + (f": {at['why']}" if at["why"] else ""))
        if len(unit["placed"]) < unit["wanted"] and not unit["global"]:
            missing = unit["wanted"] - len(unit["placed"])
            print(f"  {missing} of it not placed: orlop unit explain {unit['name']} says why")
    is_well = unit["state"] == unit["target"] and all(at["active"] != "failed" for at in unit["placed"])
    return 0 if is_well else 1


def cat(asked: ControlClient, args: argparse.Namespace) -> int:
    print(asked.ask("GET", _path(args.unit))["text"], end="")
    return 0


def explain(asked: ControlClient, args: argparse.Namespace) -> int:
    """Exit status 0 when all of it is placed or not wanted, 1 when something waits."""
    found = asked.ask("GET", f"{_path(args.unit)}/explain", most=_MOST)
    waits = [each for each in found["instances"] if not each["placed"] and found["target"] != "inactive"]
    if args.json:
        print(json.dumps(found, indent=1))
        return 1 if waits else 0
    for each in found["instances"]:
        print("\n".join(_explained(each, found["target"])))
    if not found["instances"]:
        print(f"{found['unit']} is a template: its instances are placed")
    return 1 if waits else 0


def _explained(instance: Row, target: str) -> Iterator[str]:
    placed = {at["machine"]: at["why"] for at in instance["placed"]}
    if not placed:
        yield f"{instance['instance']} is {'not wanted on a machine' if target == 'inactive' else 'not placed'}" + (
            f": {instance['why']}" if instance["why"] else ""
        )
    for machine in instance["machines"]:
        if machine["machine"] in placed:
            yield f"{instance['instance']} is on {machine['host']}: {placed[machine['machine']]}"
    rows = [
        ["", machine["host"] or machine["machine"][:_DIGITS],
         machine["refused"] or ("has it" if machine["has_it"] else f"could have it, rank {machine['rank']}")]
        for machine in instance["machines"]
    ]  # fmt: skip
    yield from columns(rows)


# changes


def changed(asked: ControlClient, args: argparse.Namespace) -> int:
    """The exit status: 1 when something is not as it was asked for."""
    given = {name: base64.b64decode(text).decode() for name, text in getattr(args, "given", [])}
    failed = 0
    waits: list[str] = []
    for word in args.units:
        name = mangled(word)
        try:
            if args.deed == "destroy":
                asked.ask("DELETE", _path(name))
                print(f"Destroyed {name}")
            elif args.deed == "restart":
                asked.ask("POST", f"{_path(name)}/restart", {})
                waits.append(name)
            else:
                why = _aimed(asked, word, name, args, given)
                if why:
                    print(f"error: {name}: {why}", file=sys.stderr)
                    failed = 1
                elif args.deed != "submit":
                    waits.append(name)
                else:
                    print(f"Unit {name} {TARGETS['submit']}")
        except RefusedByCluster as e:
            if args.deed in {"stop", "unload", "destroy", "restart"} and e.status == 404 and len(args.units) > 1:
                print(f"error: {name}: {e.message}", file=sys.stderr)  # as fleetctl: the others are not kept from it
                failed = 1
            else:
                raise
    if getattr(args, "no_block", True):
        for name in waits:
            print(f"Triggered unit {name} {args.deed}")
        return failed
    return _awaited(asked, waits, args) or failed


def _aimed(asked: ControlClient, word: str, name: str, args: argparse.Namespace, given: dict[str, str]) -> str:
    """Why no machine can run it; empty when one can, or none needs to."""
    target = TARGETS[args.deed]
    if args.deed in {"stop", "unload"}:
        return str(asked.ask("PUT", f"{_path(name)}/target", {"target": target})["why"])
    known = _known(asked, name)
    text = _local(word, name, given)
    if known is not None and not args.replace:
        if text is not None and parse(text).hash != known["hash"]:
            print(f"warning: {name} in the cluster is another than the file: --replace replaces it", file=sys.stderr)
        return str(asked.ask("PUT", f"{_path(name)}/target", {"target": _higher(known["target"], target)})["why"])
    if known is None and text is None:
        text = _of_template(asked, word, name, given)
    if text is None and known is None:
        raise Missing(f"there is no unit {name} in this cluster, and no file {word}",
                      hint="orlop unit submit FILE puts one into it")  # fmt: skip
    if text is None:
        raise Missing(f"--replace needs a file: there is no {word} here")
    target = _higher(known["target"], target) if known is not None else target
    return str(asked.ask("PUT", _path(name), {"text": text, "target": target, "lenient": args.lenient})["why"])


def _higher(now: str, target: str) -> str:
    """Submitting or loading again takes nothing back: fleetctl leaves what is loaded or started so."""
    order = ("inactive", "loaded", "launched")
    return max(now, target, key=order.index) if target != "launched" else target


def _known(asked: ControlClient, name: str) -> Row | None:
    try:
        found: Row = asked.ask("GET", _path(name))
    except RefusedByCluster as e:
        if e.status == 404:
            return None
        raise
    return found


def _local(word: str, name: str, given: dict[str, str]) -> str | None:
    if name in given:
        return given[name]
    for path in (Path(word), Path(name)):
        if path.is_file():
            return read(path)
    return None


def _of_template(asked: ControlClient, word: str, name: str, given: dict[str, str]) -> str | None:
    """Of an instance: its template's, from the cluster first."""
    template = split(name).template if split(name).is_instance else ""
    if not template:
        return None
    known = _known(asked, template)
    return str(known["text"]) if known else _local(str(Path(word).with_name(template)), template, given)


def read(path: Path) -> str:
    """A unit's file. Raises BadInput."""
    try:
        with path.open("rb") as f:
            raw = f.read(LARGEST + 1)
        if len(raw) > LARGEST:
            raise BadInput(f"{path} has more than {LARGEST >> 10} KiB")
        return raw.decode()
    except OSError as e:
        raise BadInput(f"{path} cannot be read: {e.strerror}") from None
    except UnicodeDecodeError:
        raise BadInput(f"{path} is not text") from None


def _awaited(asked: ControlClient, names: Sequence[str], args: argparse.Namespace) -> int:
    """Until all are as they are to be, each said as it comes to be so. Raises OrlopError for what will not."""
    want, began = TARGETS.get(args.deed, "launched"), time.monotonic()
    until = began + (args.block_attempts * _SLICE if args.block_attempts > 0 else 1e9)
    left = list(names)
    while left:
        for name in list(left):
            unit = asked.ask("GET", _path(name))
            if troubles := list(_troubles(unit, want)):
                raise OrlopError(f"{name} is not {want}: {'; '.join(troubles)}",
                                 hint=f"orlop unit status {name} shows it again")  # fmt: skip
            if _is_so(unit, want):
                print("\n".join(_said(unit, want)))
                left.remove(name)
            elif len(unit["placed"]) < unit["wanted"] and time.monotonic() > began + _DECIDED:
                _explain_waiting(asked, name)
        if left and time.monotonic() > until:
            print(f"error: {', '.join(left)}: not {want} yet", file=sys.stderr)
            return 1
        if left:
            time.sleep(_LOOK)
    return 0


def _troubles(unit: Row, want: str) -> Iterator[str]:
    yield from (f"{at['instance']} on {at['host']}: {at['why']}" for at in unit["placed"] if at["why"])
    is_held = any(at["hash"] != unit["hash"] for at in unit["placed"])
    for at in unit["placed"] if is_held and want == "launched" else ():
        if at["active"] == "failed" and at["hash"] == unit["hash"]:
            yield f"{at['instance']} on {at['host']} failed; the others stay as they were"


def _explain_waiting(asked: ControlClient, name: str) -> None:
    """Raise OrlopError when an instance is on no machine, and can be on none."""
    for instance in asked.ask("GET", f"{_path(name)}/explain", most=_MOST)["instances"]:
        if not instance["placed"] and instance["why"]:
            raise OrlopError(f"{instance['instance']} is not placed: {instance['why']}",
                             hint="it is placed by itself when that changes")  # fmt: skip


def _is_so(unit: Row, want: str) -> bool:
    if want == "inactive":
        return not unit["placed"]
    if len(unit["placed"]) < unit["wanted"] or unit["state"] != want:
        return False
    if any((at["hash"], at["restarts"]) != (unit["hash"], unit["restarts"]) for at in unit["placed"]):
        return False  # its machine has not done yet what was asked last
    words = {"launched": {"active", "failed", "inactive"}, "loaded": {"inactive", "failed"}}[want]
    return all(at["active"] in words for at in unit["placed"])  # activating: an image is fetched, for example


def _said(unit: Row, want: str) -> Iterator[str]:
    if not unit["placed"]:
        yield f"Unit {unit['name']} {want}"
    for at in unit["placed"]:
        ended = f", {at['active']} ({at['sub']})" if want == "launched" and at["active"] != "active" else ""
        yield f"Unit {at['instance']} {_STATE[want]} on {UNIT_FIELDS['machine'](at)}{ended}"


def _path(word: str) -> str:
    return f"/v1/units/{quote(mangled(word), safe='@:')}"
