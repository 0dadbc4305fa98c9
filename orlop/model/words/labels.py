"""GPT labels that carry no version; those that do are `version.Version`'s."""

from __future__ import annotations

EMPTY_LABEL = "_empty"
