"""What the next generation will be, as far as it is decided: `staging/state.json`. Needs no array, so `info` is quick."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import asdict, dataclass, field, replace
from pathlib import Path
from typing import Any

from core.canonical import canonical, digest
from core.errors import CorruptError
from core.index.generation import read_current
from core.types import Source

TABLES = ("documents", "chunks", "vectors")  # each is made from the one before


@dataclass(frozen=True, slots=True)
class State:
    """`base` is the generation it started from (0: none); `dead` its rows that were replaced or removed; `space` and
    `model` what the index was created with; `tables` the sha256 of the staged files it speaks of: another one of the
    name is of another run, or damaged, and its stage is to be run again.
    """

    base: int
    sources: tuple[Source, ...]
    model: Mapping[str, Any]
    space: Mapping[str, Any]
    settings: Mapping[str, Any] = field(default_factory=dict)
    dead: Mapping[str, tuple[int, ...]] = field(default_factory=dict)
    documents: int = 0
    tables: Mapping[str, str] = field(default_factory=dict)

    def with_settings(self, **settings: Any) -> State:
        return replace(self, settings={**self.settings, **settings})

    def with_table(self, name: str, sha256: str) -> State:
        """With a table made anew: those that were made from the one it replaces are out of date."""
        later = TABLES[TABLES.index(name) :] if name in TABLES else ()
        kept = {other: digest for other, digest in self.tables.items() if other not in later}
        return replace(self, tables={**kept, name: sha256})

    def to_bytes(self) -> bytes:
        value = asdict(self)
        return canonical({**value, "sha256": digest(value)}) + b"\n"


def read_state(root: Path) -> State | None:
    """The staged state of the index at `root`; None when nothing is staged, or it was staged for another generation.

    Raises CorruptError.
    """
    path = root / "staging" / "state.json"
    try:
        value = json.loads(path.read_bytes())
        if value.pop("sha256") != digest(value):
            raise ValueError("sha256 differs")
        if value["base"] != read_current(root):
            return None  # published already, before the staging could be cleared
        return State(
            **{
                **value,
                "sources": tuple(Source(**source) for source in value["sources"]),
                "dead": {name: tuple(rows) for name, rows in value["dead"].items()},
            }
        )
    except FileNotFoundError:
        return None
    except (ValueError, KeyError, TypeError, AttributeError) as error:
        raise CorruptError(
            "the staged work is damaged; what is published is not touched by that",
            path=path,
            fix=f"remove the folder {path.parent} and run build again",
        ) from error
