"""The stages' own work between two generations: part of none, resumable, thrown away when it is published."""

from __future__ import annotations

import contextlib
import hashlib
import re
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from core.errors import UsageError, shell
from core.index import fs
from core.index.columns import Column, Table, concatenate, write_columns
from core.index.state import Block, State, read_state


class Batch(NamedTuple):
    """Hashes of texts (uint8, rows × 16), their vectors (float32, rows × dimension), and the run that embedded each (int32).
    Rows that are not `live` (None: all are) are there and count for nothing.
    """

    texts: NDArray[np.uint8]
    vectors: NDArray[np.float32]
    runs: NDArray[np.int32]
    live: NDArray[np.bool_] | None = None


def read_batch(table: Table, live: NDArray[np.bool_] | None = None) -> Batch:
    """The batch of a table of vectors, mapped. Raises CorruptError."""
    texts = table.array("texts", "|u1", 2)
    return Batch(texts, table.array("vectors", "<f4", 2), row_runs(table, len(texts)), live)


def row_runs(table: Table, rows: int) -> NDArray[np.int32]:
    """In which run each row of a table of vectors was embedded, int32: the number of the generation that was being built;
    0 where that is not known, as in tables that are older than the column. Raises CorruptError.
    """
    return table.array("runs", "<i4") if "runs" in table else np.zeros(rows, dtype=np.int32)


class Staging:
    """Reading needs no lock; every writing method is called by the holder of the index's lock, or on a `folder` of its own."""

    def __init__(self, root: Path, folder: Path | None = None):
        self.root = root
        self.folder = folder or root / "staging"
        self._last_part: dict[str, int] = {}

    # state.json

    def state(self) -> State | None:
        """The staged state, or None when nothing is staged. Raises CorruptError."""
        return read_state(self.root, self.folder)

    def require(self, stage: str) -> State:
        """The staged state for `stage`. Raises UsageError when nothing is staged, or an `ingest` was cut off."""
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

    # files of no block: space.json, canaries, encoder

    def path(self, name: str) -> Path:
        return self.folder / name

    def write(self, name: str, columns: Mapping[str, Column]) -> str:
        """Write a table; returns its sha256."""
        return fs.write(self.path(name), write_columns(columns)).sha256

    def has(self, state: State, name: str) -> bool:
        """Whether the staged file `name` is there, and the one that `state` speaks of."""
        path = self.path(name)
        return name in state.tables and path.is_file() and fs.digest(path).sha256 == state.tables[name]

    # blocks: documents, chunks, vectors, lexical

    def table_path(self, block: Block, kind: str) -> Path:
        return self.folder / block.name / kind

    def new_block(self, columns: Mapping[str, Column], documents: int) -> Block:
        """Write the documents of a new block, under a name that no other has."""
        used = [int(path.name[6:]) for path in self.folder.glob("block-*") if re.fullmatch(r"block-\d+", path.name)]
        block = Block(f"block-{max(used, default=0) + 1:06d}", documents)
        return self.write_table(block, "documents", columns)

    def write_table(self, block: Block, kind: str, columns: Mapping[str, Column]) -> Block:
        """Write a table of `block`; returns the block with it. It counts when a state is saved that speaks of it."""
        return block.with_table(kind, fs.write(self.table_path(block, kind), write_columns(columns)).sha256)

    def put(self, state: State, block: Block, kind: str, columns: Mapping[str, Column]) -> State:
        """Write a table of `block` and then the state that speaks of it. Returns that state."""
        state = state.with_block(self.write_table(block, kind, columns))
        self.save(state)
        return state

    def table(self, block: Block, kind: str) -> Table | None:
        """A table of `block`; None when there is none, or it is of another run or damaged."""
        path = self.table_path(block, kind)
        if kind not in block.tables or not path.is_file() or fs.digest(path).sha256 != block.tables[kind]:
            return None
        return Table(path)

    def copy_from(self, other: Staging) -> None:
        """What `other` has staged, its writer perhaps at work: what is gone meanwhile is missing here, as if it had been
        damaged. No link is followed.
        """
        state = other.state()
        if state is None:
            return
        names = [f"{block.name}/{kind}" for block in state.blocks for kind in block.tables]
        names += [path.relative_to(other.folder).as_posix() for path in (other.folder / "parts").rglob("*-*")]
        for name in (*names, *state.tables):
            source, target = other.folder / name, self.folder / name
            if any(path.is_symlink() for path in (source, *source.parents[: len(Path(name).parts)])):
                continue
            with contextlib.suppress(FileNotFoundError, IsADirectoryError):
                data = source.read_bytes()
                target.parent.mkdir(parents=True, exist_ok=True)
                target.write_bytes(data)
        self.save(state)

    def sweep(self, state: State) -> None:
        """Remove the folders of blocks that `state` does not speak of."""
        kept = {block.name for block in state.blocks}
        for path in sorted(self.folder.glob("block-*")):
            if path.name not in kept:
                fs.remove_folder(path)

    # parts: batches of vectors as they were embedded, until the table of their block is written

    def add_part(self, space: str, batch: Batch) -> Path:
        """Keep one batch. Returns its file."""
        columns: dict[str, Column] = {"texts": batch.texts, "vectors": batch.vectors, "runs": batch.runs}
        data = concatenate(write_columns(columns))
        path = self._next_part(space, hashlib.sha256(data).hexdigest())
        fs.write(path, [data])
        return path

    def keep_vectors(self, space: str, block: Block) -> None:
        """Make a part of the vectors of a block that is to be written anew, so that they need not be embedded again."""
        if self.table(block, "vectors") is not None:
            fs.place(self.table_path(block, "vectors"), self._next_part(space, block.tables["vectors"]))

    def _next_part(self, space: str, sha256: str) -> Path:
        if space not in self._last_part:
            self._last_part[space] = max((int(path.name[:6]) for path in self._part_paths(space)), default=0)
        self._last_part[space] += 1
        return self.folder / "parts" / space / f"{self._last_part[space]:06d}-{sha256[:16]}"

    def parts(self, space: str, dimension: int) -> Iterator[Batch]:
        """The batches kept so far that are whole; a damaged one is passed over and embedded again."""
        for path in self._part_paths(space):
            if fs.digest(path).sha256[:16] != path.name[7:]:
                continue
            batch = read_batch(Table(path))
            if len(batch.texts) == len(batch.vectors) == len(batch.runs) and batch.vectors.shape[1] == dimension:
                yield batch

    def drop_parts(self, space: str) -> None:
        """When what is in them was written into the tables of blocks."""
        fs.remove_folder(self.folder / "parts" / space)
        self._last_part.pop(space, None)

    def _part_paths(self, space: str) -> list[Path]:
        folder = self.folder / "parts" / space
        names = sorted(folder.glob(f"{'[0-9]' * 6}-*")) if folder.is_dir() else []
        return [path for path in names if path.is_file() and not path.name.endswith(fs.TMP)]
