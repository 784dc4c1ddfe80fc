"""verify-space without the model: what the vectors of an index tell by themselves, beside the words of its chunks."""

from __future__ import annotations

import hashlib
from collections import Counter
from collections.abc import Iterator, Sequence
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from core.index.reader import Index, SegmentReader, reading
from core.lexical import ANALYZERS, Analyzer
from core.pipeline.analyzers import check_analyzer
from core.pipeline.compare import Rows, live_strata
from core.pipeline.spaces import read_space
from core.progress import SILENT, Progress
from core.space.bound import allocate
from core.space.geometry import MOST
from core.space.population import (
    LENGTH,
    Census,
    alike_finding,
    canaries_finding,
    census_findings,
    shape_findings,
    strangers,
)
from core.types import Finding

SEED = 20260131
_BLOCK = 4096  # rows at once
_BUCKETS = 1024  # to which words are hashed
_COMMON = 0.2  # of the chunks: a word in more of them says nothing


def look_alone(root: Path, progress: Progress = SILENT) -> list[Finding]:
    """Findings about the vectors of the published generation, without any model: norms, values that are no numbers,
    duplicates (every live row); cone, cosines, hubs and tests for a second population (a sample of them). Nothing in them is a
    proof that the vectors lie in the space. Raises NoIndexError, CorruptError, FormatError.
    """
    return reading(root, lambda index: list(_findings(index, progress)))


def _findings(index: Index, progress: Progress) -> Iterator[Finding]:
    record = read_space(index)
    strata = live_strata(index, record)
    progress.stage("vectors", sum(len(part.rows) for part in strata))
    census = _census(index, strata, progress)
    yield from census_findings(census, record.space.normalize)
    if not census.rows:
        return
    sample = _draw(strata)
    vectors = _vectors(index, sample)
    sound = np.isfinite(vectors).all(axis=1) & (np.abs(vectors).max(axis=1, initial=0) > 0)
    yield from shape_findings(vectors[sound])
    if (found := canaries_finding(vectors[sound], record.canaries.passage)) is not None:
        yield found
    words = _words(index, sample)
    yield alike_finding(strangers(vectors[sound], words[sound]))
    yield _provenance(strata)


def _provenance(strata: Sequence[Rows]) -> Finding:
    """How many rows have a run on record; a row without one might have been embedded by anything."""
    total = sum(len(part.rows) for part in strata)
    unknown = sum(len(part.rows) for part in strata if not part.run)
    runs = len({part.run for part in strata if part.run})
    message = f"{runs:,} runs embedded {total - unknown:,} of {total:,} vectors"
    if not unknown:
        return Finding("provenance", "note", message, details={"runs": runs, "unknown": 0})
    message += f"; of {unknown:,} it is not known when, which counts as a mismatch until it is disproved"
    fix = "samespace verify-space INDEX --all, with the model"
    return Finding("provenance", "warning", message, fix, {"runs": runs, "unknown": unknown})


def _census(index: Index, strata: Sequence[Rows], progress: Progress) -> Census:
    """One pass over all live rows; what is kept of each is a hash of 8 bytes, and one of its text."""
    not_finite = zero = off = 0
    longest, keys, texts = 0.0, [], []
    for part in strata:
        table = index.segments[part.place].vectors
        stored, hashes = table.array("vectors", "<f4", 2), table.array("texts", "|u1", 2)
        for start in range(0, len(part.rows), _BLOCK):
            rows = part.rows[start : start + _BLOCK]
            block = stored[rows]
            finite = np.isfinite(block).all(axis=1)
            lengths = np.linalg.norm(np.where(finite[:, None], block, 0).astype(np.float64), axis=1)
            strays = np.abs(lengths - 1)[finite & (lengths > 0)]
            not_finite += int((~finite).sum())
            zero += int((finite & (lengths == 0)).sum())
            off += int((strays > LENGTH).sum())
            longest = max(longest, float(strays.max(initial=0.0)))
            keys.append(_hashes(block))
            texts.append(np.ascontiguousarray(hashes[rows, :8]).view("<u8").reshape(-1))
            progress.advance(len(rows))
    shared, most = _shared(np.concatenate(keys), np.concatenate(texts)) if keys else (0, 0)
    return Census(sum(len(part.rows) for part in strata), not_finite, zero, off, longest, shared, most)


def _hashes(block: NDArray[np.float32]) -> NDArray[np.uint64]:
    """Eight bytes for each row; equal rows have equal ones."""
    digests = (hashlib.blake2b(row.tobytes(), digest_size=8).digest() for row in block)
    return np.frombuffer(b"".join(digests), dtype="<u8")


def _shared(keys: NDArray[np.uint64], texts: NDArray[np.uint64]) -> tuple[int, int]:
    """Of the different (vector, text) pairs: how many have a vector that another text has too, and how many the most
    common of these."""
    pairs = np.unique(np.stack([keys, texts], axis=1), axis=0)
    _, counts = np.unique(pairs[:, 0], return_counts=True)
    return int(counts[counts > 1].sum()), int(counts[counts > 1].max(initial=0))


def _draw(strata: Sequence[Rows]) -> list[tuple[int, NDArray[np.int64]]]:
    """Place of a segment and rows (rising) of it: a sample of about `MOST` live rows; the same one every time."""
    chance = np.random.default_rng(SEED)
    numbers = allocate([len(part.rows) for part in strata], MOST)
    drawn = (np.sort(chance.choice(part.rows, size=n, replace=False)) for part, n in zip(strata, numbers, strict=True))
    return [(part.place, rows) for part, rows in zip(strata, drawn, strict=True)]


def _vectors(index: Index, sample: Sequence[tuple[int, NDArray[np.int64]]]) -> NDArray[np.float32]:
    parts = [index.segments[place].vectors.array("vectors", "<f4", 2)[rows] for place, rows in sample]
    return np.concatenate(parts)


def _words(index: Index, sample: Sequence[tuple[int, NDArray[np.int64]]]) -> NDArray[np.float32]:
    """float32, rows × buckets at length 1: which words each chunk has, the rare ones weighing more (tf-idf), hashed
    (Weinberger et al. 2009). A row without words is 0.
    """
    analyzer: Analyzer = ANALYZERS.load(index.generation.settings["analyzer"]["name"])()
    check_analyzer(analyzer, index)
    counted = [Counter(analyzer.tokens(text)) for place, rows in sample for text in _texts(index.segments[place], rows)]
    holding = Counter(word for words in counted for word in words)
    total = len(counted)
    found = np.zeros((total, _BUCKETS), dtype=np.float32)
    for row, words in zip(found, counted, strict=True):
        for word, count in words.items():
            if 2 <= holding[word] <= max(2, _COMMON * total):
                bucket, sign = _bucket(word)
                row[bucket] += sign * (1 + np.log(count)) * np.log(total / holding[word])
    return np.asarray(found / np.maximum(np.linalg.norm(found, axis=1, keepdims=True), 1e-9), dtype=np.float32)


def _bucket(word: str) -> tuple[int, int]:
    hashed = int.from_bytes(hashlib.blake2b(word.encode("utf-8", "replace"), digest_size=4).digest(), "little")
    return hashed // 2 % _BUCKETS, 1 if hashed % 2 else -1


def _texts(segment: SegmentReader, rows: NDArray[np.int64]) -> Iterator[str]:
    for row in rows.tolist():
        piece = segment.chunk(row, segment.document(int(segment.chunk_documents[row])))
        yield f"{piece.context}\n{piece.text}"
