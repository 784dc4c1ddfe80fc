"""Canonical JSON and the ids made from it: what is equal has the same id on every machine."""

from __future__ import annotations

import hashlib
import json
from typing import Any


def canonical(value: Any) -> bytes:
    """`value` as UTF-8 JSON with sorted keys and no spaces. Raises ValueError for NaN and infinities."""
    text = json.dumps(value, sort_keys=True, ensure_ascii=False, separators=(",", ":"), allow_nan=False)
    return text.encode("utf-8", "replace")


def digest(value: Any) -> str:
    return hashlib.sha256(canonical(value)).hexdigest()


def make_id(letter: str, value: Any) -> str:
    """`letter`, a dash, and 16 hex digits that stand for `value`."""
    return f"{letter}-{digest(value)[:16]}"
