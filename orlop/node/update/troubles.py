"""What is wrong with this machine now, as who looks after it says (os/mkosi.extra/usr/lib/orlop/watch).

Read anew at each call, from one file that is written whole. Lifetime: the process's, which remembers since when it has
seen each trouble; another process counts anew, which only makes it wait longer. Invariant: a file that is missing,
damaged or of another boot says that nothing is known to be wrong.
"""

from __future__ import annotations

import json
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field, replace
from datetime import timedelta

from orlop.model.update import repair
from orlop.model.update.repair import Repair, Trouble
from orlop.model.words.line import MAX_FAILURE, line
from orlop.node.update.host import Host, failures

PLACE = "run/orlop/watch.json"


@dataclass
class Troubles:
    host: Host
    clock: Callable[[], float] = time.monotonic
    _since: dict[str, float] = field(default_factory=dict)

    def now(self) -> tuple[Trouble, ...]:
        """In the order in which they were looked at."""
        troubles, now = self._read(), self.clock()
        # another dictionary each time: threads of the API read here too
        self._since = {trouble.what: self._since.get(trouble.what, now) for trouble in troubles}
        return tuple(replace(t, lasted=timedelta(seconds=now - self._since.get(t.what, now))) for t in troubles)

    def repair(self) -> Repair | None:
        """The reboot that would mend something."""
        return self.repair_of(self.now())

    def repair_of(self, troubles: Sequence[Trouble]) -> Repair | None:
        """The reboot that would mend one of these, which were looked at just now."""
        return repair.wanted(troubles, timedelta(seconds=self._up()))

    def _read(self) -> list[Trouble]:
        try:
            document = json.loads(self.host.text(PLACE))
            if document["boot"] != self.host.boot_id():
                return []
            troubles = []
            for check in document["checks"]:
                if check["ok"] is not True:
                    reason = line(str(check.get("reason", "")), MAX_FAILURE)
                    troubles += [Trouble(what, reason) for what in failures([check])]
            return troubles
        except (ValueError, KeyError, TypeError, AttributeError, RecursionError):
            return []

    def _up(self) -> float:
        """Seconds since the machine started; 0 when that is not known."""
        try:
            return float(self.host.text("proc/uptime").split()[0])
        except (ValueError, IndexError):
            return 0.0
