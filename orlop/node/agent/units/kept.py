"""What the machine is to run, on its disk: what a boot begins with when no server answers."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import asdict, dataclass
from pathlib import Path

from orlop.errors import BadInput, NoSpace
from orlop.files import write_atomic
from orlop.model.fleet import tasks
from orlop.model.fleet.records import TargetState
from orlop.model.fleet.tasks import MachineUnit, UnitHad
from orlop.model.words.strict import Fields, parse_json

LARGEST = 32 << 20
KEPT, HAD = "units.json", "had.json"


@dataclass(frozen=True)
class KeptWork:
    """`state` is on the disk, `run` is new at each boot: what was done in it is of this boot."""

    state: Path
    run: Path

    def want(self) -> dict[str, MachineUnit]:
        """As it was last told; nothing when it cannot be read: then the control plane tells it again."""
        try:
            return tasks.read(parse_json((self.state / KEPT).read_bytes(), LARGEST))
        except (OSError, BadInput):
            return {}

    def keep(self, want: Mapping[str, MachineUnit]) -> str:
        """Why it was not kept; empty when it was. Units run all the same."""
        units = [asdict(unit) for unit in want.values()]
        try:
            write_atomic(self.state / KEPT, json.dumps({"units": units}), mode=0o600)
        except (NoSpace, OSError) as e:
            return f"what this machine is to run was not written to its disk: {e}"
        return ""

    def had(self) -> dict[str, UnitHad]:
        """What was done in this boot."""
        try:
            f = Fields.of("", parse_json((self.run / HAD).read_bytes(), LARGEST))
            return {name: _had(Fields.of(name, value)) for name, value in f.values.items()}
        except (OSError, BadInput):
            return {}

    def note(self, had: Mapping[str, UnitHad]) -> None:
        """Raises NoSpace, OSError."""
        write_atomic(self.run / HAD, json.dumps({name: asdict(each) for name, each in had.items()}), mode=0o600)


def _had(f: Fields) -> UnitHad:
    most = 1 << 62
    return UnitHad(f.line("hash", 40), f.line("body", 40), f.text("limits", 2000, empty=True),
                   TargetState(f.choice("target", *TargetState)), f.number("restarts", 0, most),
                   f.number("epoch", 0, most))  # fmt: skip
