"""The stages' own work between two generations: part of none, resumable, thrown away when it is published."""

from __future__ import annotations

import hashlib
from collections.abc import Iterator, Mapping
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from core.errors import UsageError, shell
from core.index import fs
from core.index.columns import Column, Table, concatenate, write_columns
from core.index.state import State, read_state


class Staging:
    """Reading needs no lock; every writing method is called by the holder of the index's lock."""

    def __init__(self, root: Path):
        self.root = root
        self.folder = root / "staging"
        self._last_part: dict[str, int] = {}

    # state.json

    def state(self) -> State | None:
        """The staged state, or None when nothing is staged. Raises CorruptError."""
        return read_state(self.root)

    def require(self, stage: str) -> State:
        """The staged state for `stage`. Raises UsageError when nothing is staged."""
        state = self.state()
        if state is None:
            raise UsageError(
                f"there is nothing to {stage}: no documents are staged",
                path=self.root,
                fix=f"samespace ingest FOLDER --to {shell(self.root)}, or all stages at once: samespace build --to {shell(self.root)}",
            )
        return state

    def save(self, state: State) -> None:
        fs.write(self.folder / "state.json", [state.to_bytes()])

    def clear(self) -> None:
        """`state.json` first: without it nothing is staged, whatever else is still there."""
        if self.folder.is_dir():
            fs.remove(self.folder / "state.json")
            fs.remove_folder(self.folder)

    # tables: documents, chunks, vectors

    def path(self, name: str) -> Path:
        return self.folder / name

    def write(self, name: str, columns: Mapping[str, Column]) -> str:
        """Write a table; returns its sha256."""
        return fs.write(self.path(name), write_columns(columns)).sha256

    def put(self, state: State, name: str, columns: Mapping[str, Column]) -> State:
        """Write a table of `state.TABLES` and then the state that speaks of it. Returns that state."""
        state = state.with_table(name, self.write(name, columns))
        self.save(state)
        return state

    def table(self, state: State, name: str) -> Table | None:
        """The staged table that `state` speaks of; None when there is none, or it is of another run or damaged."""
        return Table(self.path(name)) if self.has(state, name) else None

    def has(self, state: State, name: str) -> bool:
        """Whether the staged file `name` is there, and the one that `state` speaks of."""
        path = self.path(name)
        return name in state.tables and path.is_file() and fs.digest(path).sha256 == state.tables[name]

    # parts: batches of vectors as they were embedded

    def add_part(self, space: str, texts: NDArray[np.uint8], vectors: NDArray[np.float32]) -> None:
        """Keep one batch: texts is uint8 rows × 16 (hashes), vectors float32 rows × dimension."""
        data = concatenate(write_columns({"texts": texts, "vectors": vectors}))
        folder = self.folder / "parts" / space
        if space not in self._last_part:
            self._last_part[space] = max((int(path.name[:6]) for path in self._part_paths(space)), default=0)
        self._last_part[space] += 1
        number = self._last_part[space]
        fs.write(folder / f"{number:06d}-{_sha256(data)[:16]}", [data])

    def parts(self, space: str, dimension: int) -> Iterator[tuple[NDArray[np.uint8], NDArray[np.float32]]]:
        """The batches kept so far that are whole; a damaged one is passed over and embedded again."""
        for path in self._part_paths(space):
            if fs.digest(path).sha256[:16] != path.name[7:]:
                continue
            table = Table(path)
            texts, vectors = table.array("texts", "|u1", 2), table.array("vectors", "<f4", 2)
            if len(texts) == len(vectors) and vectors.shape[1] == dimension:
                yield texts, vectors

    def _part_paths(self, space: str) -> list[Path]:
        folder = self.folder / "parts" / space
        names = sorted(folder.glob(f"{'[0-9]' * 6}-*")) if folder.is_dir() else []
        return [path for path in names if path.is_file() and not path.name.endswith(fs.TMP)]


def _sha256(data: bytes) -> str:
    return hashlib.sha256(data).hexdigest()
