"""Where things are: the repository's sources, and `.orlop/`, which holds everything made from them.

Everything under `.orlop/` can be deleted at any time and is made again. `ORLOP_STATE` moves it elsewhere.
"""

from __future__ import annotations

import os
from dataclasses import dataclass
from pathlib import Path

from orlop.errors import BadInput, Missing


@dataclass(frozen=True)
class Workspace:
    """`root` is the repository, `state` its `.orlop` folder; both absolute."""

    root: Path
    state: Path

    @classmethod
    def find(cls) -> Workspace:
        """The repository this package runs from."""
        root = Path(__file__).resolve().parent.parent
        if not (root / "os" / "mkosi.conf").is_file():
            raise Missing(
                f"{root} holds no os/mkosi.conf", hint="run orlop from a clone of its repository: `make up` shows how"
            )
        state = Path(os.environ.get("ORLOP_STATE") or root / ".orlop")
        try:
            return cls(root, state.resolve())
        except RuntimeError:  # what Python 3.11 and 3.12 make of ELOOP
            raise BadInput(f"the links of {state} lead in a circle", hint="remove them, or set ORLOP_STATE") from None

    @property
    def os_tree(self) -> Path:
        return self.root / "os"

    @property
    def sdk(self) -> Path:
        return self.state / "sdk"

    @property
    def cache(self) -> Path:
        return self.state / "cache"

    @property
    def images(self) -> Path:
        """One folder a version, each whole: see `orlop.image.build`."""
        return self.state / "images"

    @property
    def demo_image(self) -> Path:
        """The demo container image, an OCI layout."""
        return self.state / "demo"

    @property
    def labs(self) -> Path:
        return self.state / "lab"

    @property
    def saved(self) -> Path:
        """Saved labs, one folder each, whole: see `orlop.lab.saved`."""
        return self.state / "saved"
