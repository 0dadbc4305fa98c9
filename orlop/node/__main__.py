"""The `orlop` command on a machine: `orlop VERB …`, or with the operator's words `orlop node VERB …`.

Each verb is a module, or a name in one, imported when it is asked for, with `arguments(parser)` and `run(args)`, which
returns the exit status. Errors are as everywhere: two lines, `error:` and `hint:`; the status is 2 then, as for a
wrong call.
"""

from __future__ import annotations

import argparse
import importlib
import sys
from collections.abc import Sequence

from orlop.errors import OrlopError

# verb: (module, or module:name, and what it does)
VERBS = {
    "status": ("orlop.node.update.api.verbs.status", "what runs, and why this machine does or does not update"),
    "update": ("orlop.node.update.api.verbs.update", "go to another version now"),
    "rollback": ("orlop.node.update.api.verbs.change:rollback", "start the version in the other slot again"),
    "hold": ("orlop.node.update.api.verbs.change:hold", "do not update, until `unhold`"),
    "unhold": ("orlop.node.update.api.verbs.change:unhold", "update again"),
    "denylist": ("orlop.node.update.api.verbs.denylist", "the versions that failed here"),
    "cluster": ("orlop.node.cluster.verbs.cluster", "its cluster, on a server of one: how it is, backup, restore"),
    "machine": ("orlop.node.cluster.verbs.machine", "the machines of its cluster: list, show, cordon, drain, locks"),
    "unit": ("orlop.node.cluster.verbs.unit", "units of its cluster, with fleetctl's verbs"),
    "reboot": ("orlop.node.agent.reboot", "reboot this machine, when its cluster can do without it"),
    "diff": ("orlop.node.drift.diff", "what this machine has beyond its image and its configuration"),
    "denials": ("orlop.node.denials.show", "what SELinux refused since this machine started, and what would allow it"),
    "reset": ("orlop.node.reset.ask", "start over: empty /var, but for what is kept, and reboot"),
}
COULD_NOT = 2


def main(argv: Sequence[str]) -> int:
    words = list(argv[1:] if argv[:1] == ["node"] else argv)
    if not words or words[0] not in VERBS:
        asked = words[:1] in (["-h"], ["--help"])
        print(usage(), file=sys.stdout if asked else sys.stderr)
        return 0 if asked else COULD_NOT
    place, about = VERBS[words[0]]
    module, _, name = place.partition(":")
    verb = importlib.import_module(module)
    verb = getattr(verb, name) if name else verb
    parser = argparse.ArgumentParser(prog=f"orlop {words[0]}", description=about, allow_abbrev=False)
    verb.arguments(parser)
    args = parser.parse_args(words[1:])
    try:
        status: int = verb.run(args)
    except OrlopError as e:
        print(f"error: {e.message}", file=sys.stderr)
        if e.hint:
            print(f"hint: {e.hint}", file=sys.stderr)
        return COULD_NOT
    return status


def usage() -> str:
    rows = (f"  {name:<10} {about}" for name, (_, about) in VERBS.items())
    return "\n".join(["usage: orlop VERB …, orlop VERB --help", "", *rows])


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
