"""`python -m orlop.node.drift.late`: record what a machine without a configuration is expected to be.

`orlop.node.config.run` records it in the initrd, where it has a configuration at hand that owns paths. Without one
(os/…/lib/orlop/configure) all that is recorded is in /etc, which is sealed, and in what that script laid aside of /run:
it can wait for the workloads.
"""

from __future__ import annotations

import sys
from pathlib import Path

from orlop.node.drift.snapshot import record

BEFORE = Path("/run/orlop/before")  # units set at run time, as they were when /etc was sealed
CONTAINER = Path("/run/systemd/container")


def main() -> int:
    # a container machine has the kernel of its computer
    arguments = None if CONTAINER.exists() else ()
    record(Path("/"), {}, sealed=True, arguments=arguments, run=BEFORE)
    return 0


if __name__ == "__main__":
    sys.exit(main())
