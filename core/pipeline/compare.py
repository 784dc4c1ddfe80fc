"""Chunks embedded once more: how many rows of an index lie where its model puts their texts, by sample or all of them."""

from __future__ import annotations

import contextlib
import json
from collections import Counter
from collections.abc import Iterator, Sequence
from dataclasses import asdict, dataclass, field
from itertools import groupby
from pathlib import Path
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from core.cache import cache_folder
from core.canonical import digest
from core.encoders import Encoder
from core.errors import CorruptError
from core.index.reader import Index, SegmentReader
from core.index.staging import row_runs
from core.pipeline.known import HASH, hash_texts
from core.progress import SILENT, Progress
from core.space.bound import CONFIDENCE, allocate, compare_rows, mixed_bound
from core.space.record import SpaceRecord
from core.types import Json

WINDOW = 512  # rows embedded at once: what is held in memory, and what an interruption can cost


@dataclass(frozen=True, slots=True)
class Foreign:
    """A row that is not where the model puts its text, or (`other_text`) is marked as one of another text."""

    document: str
    ordinal: int
    segment: str
    row: int
    run: int
    cosine: float
    other_text: bool


@dataclass(frozen=True, slots=True)
class Stratum:
    """The live chunks of one segment that one run embedded (0: not known which)."""

    segment: str
    run: int
    chunks: int
    compared: int
    foreign: int


@dataclass(frozen=True, slots=True)
class Comparison:
    """`bound`: the largest share of foreign rows among the live ones that is not refuted, at 95 %; the share itself where
    all were compared. `seed` is None then.
    """

    chunks: int
    compared: int
    bound: float
    foreign: tuple[Foreign, ...]
    strata: tuple[Stratum, ...]
    seed: int | None = None
    documents: int = field(init=False)  # with a foreign row

    def __post_init__(self) -> None:
        object.__setattr__(self, "documents", len({row.document for row in self.foreign}))

    @property
    def is_whole(self) -> bool:
        return self.compared == self.chunks

    @property
    def summary(self) -> str:
        equal = f"{self.compared - len(self.foreign):,} of {self.compared:,} equal"
        if self.is_whole:
            return f"mixed share {percent(self.bound)}, all chunks compared, {equal}"
        return f"mixed share ≤ {percent(self.bound, up=True)} at {CONFIDENCE:.0%}".replace("95%", "95 %") + f", {equal}"

    def to_json(self) -> Json:
        found = asdict(self)
        return {**found, "equal": self.compared - len(self.foreign), "confidence": CONFIDENCE, "summary": self.summary}


def percent(share: float, up: bool = False) -> str:
    """`share` in per cent with two digits that count, rounded `up` where a bound must not be understated."""
    if not 0 < share < 1:
        return f"{100 * share:.0f} %"
    digits = 1
    while 100 * share * 10**digits < 9:
        digits += 1
    scaled = 100 * share * 10**digits
    return f"{(np.ceil(scaled - 1e-9) if up else np.round(scaled)) / 10**digits:.{digits}f} %"


def compare_sample(
    index: Index, record: SpaceRecord, encoder: Encoder, count: int, seed: int, progress: Progress = SILENT
) -> Comparison:
    """Embed at least `count` live chunks again, drawn from every segment and run by its size, and compare them with the
    rows stored. `encoder` has shown that it lies in the space of `record`. Raises CorruptError, BackendError.
    """
    strata = live_strata(index, record)
    sizes = [len(rows) for _, _, rows in strata]
    drawn = allocate(sizes, count)
    chance = np.random.default_rng(seed)
    chosen: dict[int, list[int]] = {}
    for (place, _, rows), number in zip(strata, drawn, strict=True):
        chosen.setdefault(place, []).extend(chance.choice(rows, size=number, replace=False).tolist())
    progress.stage("compare", sum(drawn))
    foreign: list[Foreign] = []
    for place, numbers in chosen.items():
        for part in _windows(np.array(sorted(numbers), dtype=np.int64)):
            foreign += compare_part(index.segments[place], part, record, encoder)
            progress.advance(len(part))
    return _comparison(index, strata, drawn, foreign, seed)


def compare_all(index: Index, record: SpaceRecord, encoder: Encoder, progress: Progress = SILENT) -> Comparison:
    """The same with every live chunk. What was done of it before it was interrupted is not done again, as long as index
    and runtime are the same; how far it came is kept in the user's cache. Raises the same.
    """
    strata = live_strata(index, record)
    live = [_live_rows(segment) for segment in index.segments]
    total = sum(map(len, live))
    journal = _Journal(index, record, encoder)
    done, kept = journal.read(total)
    if not all(0 <= place < len(live) and 0 <= row < index.segments[place].segment.chunks for place, row, _, _ in kept):
        done, kept = 0, []  # it is not of this index
    foreign = [_foreign(index.segments[place], row, cosine, other) for place, row, cosine, other in kept]
    progress.stage("compare", total)
    progress.advance(done)
    if done:
        progress.note(f"{done:,} of {total:,} chunks were compared before: going on from there")
    before = 0
    try:
        for place, rows in enumerate(live):
            for part in _windows(rows[max(0, done - before) :]):
                found = compare_part(index.segments[place], part, record, encoder)
                foreign += found
                journal.add(done, done + len(part), [[place, row.row, row.cosine, row.other_text] for row in found])
                done += len(part)
                progress.advance(len(part))
            before += len(rows)
    except BaseException as error:
        if not isinstance(error, Exception):  # Ctrl-C
            progress.note(f"{done:,} of {total:,} chunks are compared")
        raise
    return _comparison(index, strata, [len(rows) for _, _, rows in strata], foreign, None)


def forget(index: Index, record: SpaceRecord, encoder: Encoder) -> None:
    """The next `compare_all` begins anew: what this one found was said."""
    _Journal(index, record, encoder).remove()


def compare_part(
    segment: SegmentReader, rows: NDArray[np.int64], record: SpaceRecord, encoder: Encoder
) -> list[Foreign]:
    """Those of these rows (rising) of a segment that are foreign."""
    texts = row_texts(segment, rows, record)
    agrees, cosines = compare_rows(
        segment.vectors.array("vectors", "<f4", 2)[rows], encoder.embed(texts, "passage"), record.row_tolerance
    )
    hashed = (segment.vectors.array("texts", "|u1", 2)[rows] == hash_texts(texts)).all(axis=1)
    return [
        _foreign(segment, int(row), float(cosine), not bool(same))
        for row, good, same, cosine in zip(rows, agrees, hashed, cosines, strict=True)
        if not (good and same)
    ]


def row_texts(segment: SegmentReader, rows: NDArray[np.int64], record: SpaceRecord) -> list[str]:
    """What is embedded for each of these rows (rising)."""
    texts: list[str] = []
    for number, those in groupby(rows.tolist(), key=lambda row: int(segment.chunk_documents[row])):
        document = segment.document(number)
        for row in those:
            piece = segment.chunk(row, document)
            texts.append(record.space.fill_template(piece.context, piece.text))
    return texts


def _foreign(segment: SegmentReader, row: int, cosine: float, other_text: bool) -> Foreign:
    document, ordinal = segment.name_of(row)
    table = segment.vectors
    run = int(table.array("runs", "<i4")[row]) if "runs" in table else 0
    return Foreign(document, ordinal, segment.segment.name, row, run, round(cosine, 6), other_text)


def _windows(rows: NDArray[np.int64]) -> Iterator[NDArray[np.int64]]:
    return (rows[start : start + WINDOW] for start in range(0, len(rows), WINDOW))


def _live_rows(segment: SegmentReader) -> NDArray[np.int64]:
    return np.arange(segment.segment.chunks) if segment.live is None else np.flatnonzero(segment.live)


class Rows(NamedTuple):
    """Live rows (rising) that one run embedded (0: not known which), and the place of their segment."""

    place: int
    run: int
    rows: NDArray[np.int64]


def live_strata(index: Index, record: SpaceRecord) -> list[Rows]:
    """The live rows by segment and run. Raises CorruptError unless every table of vectors fits its segment."""
    found: list[Rows] = []
    for place, segment in enumerate(index.segments):
        table, chunks = segment.vectors, segment.segment.chunks
        runs = row_runs(table, chunks)
        shapes = (table.array("vectors", "<f4", 2).shape, table.array("texts", "|u1", 2).shape, runs.shape)
        if shapes != ((chunks, record.space.dimension), (chunks, HASH), (chunks,)):
            fix = "restore the file from a copy, or build the index again in a new place"
            raise CorruptError("the vectors do not fit the segment", path=table.path, fix=fix)
        rows = _live_rows(segment)
        found += [Rows(place, int(run), rows[runs[rows] == run]) for run in np.unique(runs[rows])]
    return found


def _comparison(
    index: Index,
    strata: Sequence[Rows],
    drawn: Sequence[int],
    foreign: Sequence[Foreign],
    seed: int | None,
) -> Comparison:
    sizes = [len(rows) for _, _, rows in strata]
    counts = Counter((row.segment, row.run) for row in foreign)
    parts = []
    for (place, run, rows), number in zip(strata, drawn, strict=True):
        name = index.segments[place].segment.name
        parts.append(Stratum(name, run, len(rows), number, counts[name, run]))
    bound = mixed_bound(sizes, drawn, len(foreign))
    return Comparison(sum(sizes), sum(drawn), bound, tuple(foreign), tuple(parts), seed)


class _Journal:
    """How far a comparison of every chunk has come: a line for each window, added when it is done. A line that is torn or
    does not go on from the one before is passed over, so two processes at once only cost time. Nothing in it raises.
    """

    def __init__(self, index: Index, record: SpaceRecord, encoder: Encoder):
        key = digest(
            {
                "generation": index.generation.to_bytes().decode(),
                "space": record.space.id,
                "weights": encoder.space.id,
                "runtime": dict(encoder.runtime()),
            }
        )
        self._path: Path = cache_folder() / "comparisons" / f"{key[:32]}.jsonl"

    def read(self, total: int) -> tuple[int, list[tuple[int, int, float, bool]]]:
        """How many chunks were compared, of `total`, and what was foreign: place of the segment, row, cosine, other text."""
        done = 0
        found: list[tuple[int, int, float, bool]] = []
        with contextlib.suppress(OSError):
            for line in self._path.read_text(encoding="utf-8", errors="replace").splitlines():
                with contextlib.suppress(ValueError, KeyError, TypeError, RecursionError, OverflowError):
                    value = json.loads(line)
                    first, last = int(value["from"]), int(value["to"])
                    rows = [(int(a), int(b), float(c), bool(d)) for a, b, c, d in value["foreign"]]
                    if first == done and first < last <= total:
                        done, found = last, found + rows
        return done, found

    def add(self, first: int, last: int, foreign: list[list[object]]) -> None:
        with contextlib.suppress(OSError):
            self._path.parent.mkdir(parents=True, exist_ok=True)
            with self._path.open("a", encoding="utf-8") as file:
                file.write(json.dumps({"from": first, "to": last, "foreign": foreign}) + "\n")

    def remove(self) -> None:
        with contextlib.suppress(OSError):
            self._path.unlink(missing_ok=True)
