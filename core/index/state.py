"""What the next generation will be, as far as it is decided: `staging/state.json`. Needs no array, so `info` is quick."""

from __future__ import annotations

import json
import re
from collections.abc import Mapping
from dataclasses import asdict, dataclass, field, replace
from pathlib import Path
from typing import Any

from core.canonical import canonical, digest
from core.errors import CorruptError
from core.index.generation import published_number, read_small
from core.types import Source

TABLES = ("documents", "chunks", "vectors", "lexical")  # of a block; each is made from those before it


@dataclass(frozen=True, slots=True)
class Block:
    """Some of the staged documents, few enough to be worked on in memory: a folder of `staging/`.

    `tables` has the sha256 of each of its files: another one of the name is of another run, or damaged, and its stage is
    to be run again.
    """

    name: str
    documents: int
    tables: Mapping[str, str] = field(default_factory=dict)

    def with_table(self, kind: str, sha256: str) -> Block:
        """With a table made anew: those that were made from the one it replaces are out of date."""
        return self.before(kind, {kind: sha256})

    def before(self, kind: str, tables: Mapping[str, str] | None = None) -> Block:
        """With the tables that come before `kind`, and `tables`."""
        earlier = TABLES[: TABLES.index(kind)]
        kept = {name: sha256 for name, sha256 in self.tables.items() if name in earlier}
        return replace(self, tables={**kept, **(tables or {})})


@dataclass(frozen=True, slots=True)
class State:
    """`base` is the generation it started from (0: none); `dead` its rows that were replaced or removed; `space` and
    `model` what the index was created with; `tables` the sha256 of the staged files of no block; `reading` is true while
    an `ingest` is under way, or was cut off: then not all is staged that has to be.
    """

    base: int
    sources: tuple[Source, ...]
    model: Mapping[str, Any]
    space: Mapping[str, Any]
    settings: Mapping[str, Any] = field(default_factory=dict)
    dead: Mapping[str, tuple[int, ...]] = field(default_factory=dict)
    blocks: tuple[Block, ...] = ()
    tables: Mapping[str, str] = field(default_factory=dict)
    reading: bool = False

    @property
    def documents(self) -> int:
        return sum(block.documents for block in self.blocks)

    def with_settings(self, **settings: Any) -> State:
        return replace(self, settings={**self.settings, **settings})

    def with_chunker(self, settings: Mapping[str, Any]) -> State:
        """With other settings of the chunker what was cut by the old ones is out of date."""
        if self.settings.get("chunker") == settings:
            return self
        blocks = tuple(block.before("chunks") for block in self.blocks)
        return replace(self.with_settings(chunker=settings), blocks=blocks)

    def with_file(self, name: str, sha256: str) -> State:
        return replace(self, tables={**self.tables, name: sha256})

    def with_block(self, block: Block) -> State:
        """With `block` in the place of the one of its name, or after all others."""
        if all(block.name != other.name for other in self.blocks):
            return replace(self, blocks=(*self.blocks, block))
        return replace(self, blocks=tuple(block if block.name == other.name else other for other in self.blocks))

    def to_bytes(self) -> bytes:
        value = asdict(self)
        return canonical({**value, "sha256": digest(value)}) + b"\n"


def read_state(root: Path, folder: Path | None = None) -> State | None:
    """The staged state of the index at `root`; None when nothing is staged, or it was staged for another generation.

    `folder` is where the staging lies, if not in the index. Raises CorruptError.
    """
    path = (folder or root / "staging") / "state.json"
    try:
        value = json.loads(read_small(path))
        if value.pop("sha256") != digest(value):
            raise ValueError("sha256 differs")
        _check_types(value)
        if value["base"] != published_number(root):
            return None  # published already, before the staging could be cleared
        return State(
            **{
                **value,
                "sources": tuple(Source(**source) for source in value["sources"]),
                "dead": {name: tuple(rows) for name, rows in value["dead"].items()},
                "blocks": tuple(_block(block) for block in value["blocks"]),
            }
        )
    except FileNotFoundError:
        return None
    except (
        ValueError, KeyError, TypeError, AttributeError, RecursionError, IsADirectoryError, NotADirectoryError
    ) as error:  # fmt: skip
        raise CorruptError(
            "the staged work is damaged; what is published is not touched by that",
            path=path,
            fix=f"remove the folder {path.parent} and run build again",
        ) from error


def _check_types(value: Mapping[str, Any]) -> None:
    """Raises TypeError or KeyError unless every field has its type: it may come from anywhere."""
    fits = (
        all(isinstance(value[name], dict) for name in ("model", "space", "settings", "dead", "tables"))
        and all(isinstance(part, dict) for part in value["settings"].values())
        and all(type(row) is int and row >= 0 for rows in value["dead"].values() for row in rows)
        and all(type(block["documents"]) is int and block["documents"] >= 0 for block in value["blocks"])
        and all(isinstance(part, str) for block in value["blocks"] for part in block["tables"].values())
        and all(isinstance(part, str) for source in value["sources"] for part in source.values())
    )
    if not fits:
        raise TypeError("a field is not of its type")


def _block(value: Mapping[str, Any]) -> Block:
    """Raises ValueError for a name that would lead out of the staging."""
    block = Block(**value)
    if not re.fullmatch(r"block-[0-9]{6,}", block.name) or not set(block.tables) <= set(TABLES):
        raise ValueError("not a block")
    return block
