"""Start `orlop-cluster` on a server.

What is wrong with the settings stays so until the next boot: it is said, and the program ends.
"""

from __future__ import annotations

import sys

from orlop.cluster.settings import load
from orlop.errors import OrlopError
from orlop.node.cluster.host import ServerHost
from orlop.node.cluster.loop import MembershipLoop


def main() -> int:
    host = ServerHost()
    try:
        MembershipLoop(host, load(host.top)).run()
    except OrlopError as e:
        print(f"this server takes no part in its cluster: {e.message} ({e.hint})", file=sys.stderr, flush=True)
    return 1


if __name__ == "__main__":
    sys.exit(main())
