"""The root keys that this machine believes: the configuration's come before the image's.

Both are judged by the rule that `orlop config check` and `orlop image build` go by, before anything is asked of a
server. Invariant: keys that are there and wrong are the end of updating, and the reason that is shown; nothing falls
back from the configuration's to the image's.
"""

from __future__ import annotations

from pathlib import Path

from orlop.errors import BadInput
from orlop.model.settings.document import ROOT_PLACE
from orlop.trust import verify
from orlop.trust.errors import Refused

ROOTS = (ROOT_PLACE.lstrip("/"), "usr/share/orlop/root.json")
_UNREADABLE = "give it mode 0644, as `trust` in the machine's configuration does: it holds no secret"
_WRONG = "give `trust` in the machine's configuration the root.json that `orlop release init` left"


def root_keys(top: Path) -> bytes | None:
    """Of the machine whose / is `top`; None when there are none. Raises BadInput when there are, and they are wrong."""
    for path in (top / name for name in ROOTS):
        try:
            with path.open("rb") as f:
                raw = f.read(verify.MAX_ROOT + 1)
            verify.given_root(raw)
        except FileNotFoundError:
            continue
        except OSError as e:
            raise BadInput(f"{path} cannot be read: {e.strerror}", hint=_UNREADABLE) from None
        except Refused as e:
            raise BadInput(f"{path} does not hold the root keys of a repository: {e.message}", hint=_WRONG) from None
        return raw
    return None
