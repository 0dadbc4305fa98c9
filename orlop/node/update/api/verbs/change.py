"""`orlop node rollback`, `hold`, `unhold`: one request to the engine each."""

from __future__ import annotations

import argparse
from dataclasses import dataclass
from typing import Any

from orlop.node.update.api.client import ask


@dataclass(frozen=True)
class Verb:
    """What it takes on the command line, and what it asks the engine for."""

    path: str
    option: str = ""

    def arguments(self, parser: argparse.ArgumentParser) -> None:
        if self.option:
            parser.add_argument(self.option, nargs="?", default="", help="why, for whoever asks later")

    def run(self, args: argparse.Namespace) -> int:
        values: dict[str, Any] = {self.option: getattr(args, self.option)} if self.option else {}
        print(ask("POST", self.path, values)["message"])
        return 0


rollback, hold, unhold = Verb("/v1/rollback"), Verb("/v1/hold", "reason"), Verb("/v1/unhold")
