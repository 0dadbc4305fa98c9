"""`orlop machine`: the machines of the cluster, listed, shown, cordoned, put out, and who may reboot.

On a server, for root.
"""

from __future__ import annotations

import argparse
import json
import socket
from collections.abc import Sequence
from typing import Any
from urllib.parse import quote

from orlop.errors import BadInput
from orlop.model.cluster.lock import MOST_SLOTS
from orlop.model.cluster.machine import machine_trouble
from orlop.node.agent.control import ControlClient
from orlop.node.cluster.admin import control
from orlop.node.cluster.verbs.columns import columns

_COLUMNS = (("MACHINE", "machine"), ("HOST", "host"), ("ROLE", "role"), ("IS", "presence"), ("CORDONED", "cordoned"))
_DIGITS = 8  # of a machine's name in a list, and the fewest that name one


def arguments(parser: argparse.ArgumentParser) -> None:
    deeds = parser.add_subparsers(dest="deed", required=True, metavar="DEED")
    listed = deeds.add_parser("list", help="all machines, with what they last reported")
    listed.add_argument("--json", action="store_true", help="as JSON")
    locks = deeds.add_parser("locks", help="who holds the reboot lock, and how many may in each group")
    locks.add_argument("--json", action="store_true", help="as JSON")
    slots = deeds.add_parser("slots", help="how many machines of a group may reboot at once")
    slots.add_argument("group", metavar="GROUP")
    slots.add_argument("slots", metavar="N", type=int, help=f"0 (none) to {MOST_SLOTS}")
    slots.add_argument("--reason", required=True, help="why, for those who ask later")
    for name, about, reason in (
        ("show", "one machine", False),
        ("cordon", "give it no new work", True),
        ("drain", "let its units go elsewhere, and give it no new ones", True),
        ("uncordon", "give it work again", False),
        ("expel", "put it out: its certificate is refused from now on", True),
        ("unlock", "take the reboot lock from it", True),
    ):
        deed = deeds.add_parser(name, help=about)
        deed.add_argument("machine", metavar="MACHINE", help="its name, or the beginning of it, or its host's")
        if reason:
            deed.add_argument("--reason", required=True, help="why, for those who ask later")


def run(args: argparse.Namespace) -> int:
    with control(f"root on {socket.gethostname()}") as asked:
        if args.deed == "locks":
            groups = asked.ask("GET", "/v1/locks")["groups"]
            print(json.dumps({"groups": groups}, indent=1) if args.json else "\n".join(locks_table(groups)))
            return 0
        if args.deed == "slots":
            asked.ask("PUT", f"/v1/lock-groups/{quote(args.group, '')}", {"slots": args.slots, "reason": args.reason})
            print(f"of group {args.group} {args.slots or 'none'} may reboot at once")
            return 0
        machines = everything(asked)
        if args.deed == "list":
            print(json.dumps({"machines": machines}, indent=1) if args.json else "\n".join(table(machines)))
            return 0
        machine = chosen(machines, args.machine)["machine"]
        where = f"/v1/machines/{machine}"
        if args.deed == "unlock":
            asked.ask("DELETE", f"/v1/locks/{machine}?reason={quote(args.reason)}")
            print(f"{machine} holds the reboot lock no more")
        elif args.deed == "show":
            print(json.dumps(asked.ask("GET", where), indent=1))
        elif args.deed == "expel":
            asked.ask("DELETE", f"{where}?reason={quote(args.reason)}")
            print(f"{machine} is out; it comes back only with a new token")
        elif args.deed == "drain":
            asked.ask("PUT", f"{where}/cordon", {"reason": args.reason})
            asked.ask("PUT", f"{where}/drain", {"reason": args.reason})
            print(f"{machine} gives its units up; uncordon lets it have some again")
        else:
            reason = args.reason if args.deed == "cordon" else ""
            asked.ask("PUT", f"{where}/cordon", {"reason": reason})
            if not reason:
                asked.ask("PUT", f"{where}/drain", {"reason": ""})
            print(f"{machine} gets {'no new work' if reason else 'work again'}")
    return 0


def everything(asked: ControlClient) -> list[dict[str, Any]]:
    machines: list[dict[str, Any]] = []
    more = ""
    while True:
        page = asked.ask("GET", f"/v1/machines?limit=500{more}")
        machines += page["machines"]
        if not page.get("continue"):
            return machines
        more = f"&continue={quote(page['continue'])}"


def chosen(machines: Sequence[dict[str, Any]], word: str) -> dict[str, Any]:
    """The one machine that `word` names. Raises BadInput when it is none, or several."""
    found = [m for m in machines if m["host"] == word or (len(word) >= _DIGITS and m["machine"].startswith(word))]
    if len(found) == 1:
        return found[0]
    if not found and not machine_trouble(word):
        raise BadInput(f"there is no machine {word} in this cluster", hint="orlop machine list shows all")
    if not found:
        hint = f"name it by its host, or by {_DIGITS} or more digits of what orlop machine list shows"
        raise BadInput(f"no machine of this cluster is {word!r}", hint=hint)
    names = ", ".join(m["machine"] for m in found)
    raise BadInput(f"{word!r} is {len(found)} machines: {names}", hint="name one of them by its digits")


def locks_table(groups: Sequence[dict[str, Any]]) -> list[str]:
    """For people: a line a holder, and one for each group that has none."""
    rows = [["GROUP", "SLOTS", "HOLDER", "HOST", "SINCE", "IS"]]
    for group in groups:
        holders: Sequence[dict[str, Any]] = group["holders"] or ({},)
        for holder in holders:
            row = [str(holder.get(name) or "-") for name in ("machine", "host", "since", "presence")]
            rows.append([str(group["group"]), str(group["slots"]), row[0][:_DIGITS], *row[1:]])
    return list(columns(rows))


def table(machines: Sequence[dict[str, Any]]) -> list[str]:
    """For people: a line a machine under a line of titles."""
    rows = [[title for title, _ in _COLUMNS]]
    for machine in machines:
        row = [str(machine.get(name) or "-") for _, name in _COLUMNS]
        rows.append([row[0][:_DIGITS], *row[1:]])
    return list(columns(rows))
