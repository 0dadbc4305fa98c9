"""What the images weigh and hold, from their manifests. Pure."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from orlop.errors import BadInput


def sizes(about: Mapping[str, Any]) -> dict[str, float]:
    """The figures of one image. Raises BadInput when its manifest does not have them."""
    try:
        return {
            "payload": int(about["payload_bytes"]),
            "image_raw": int(about["image_bytes"]),
            "image_zstd": int(about["image_zstd_bytes"]),
            "executables": len(about["executables"]),
            "setuid": len(about["setuid"]),
            "interpreters": len([name for name in about["interpreters"] if name != "sh"]),
        }
    except (KeyError, TypeError, ValueError) as e:
        raise BadInput(
            f"the image's manifest does not say what the bench needs: {e!r}", hint="build it again: orlop image build"
        ) from None
