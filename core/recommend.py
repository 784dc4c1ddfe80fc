"""recommend: which models of the catalogue fit the documents of an index, by what is published; its own model is not needed."""

from __future__ import annotations

from bisect import bisect
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any, TypeVar

import numpy as np
from numpy.typing import NDArray

from core.config import available, catalogue, find_model, refusal
from core.encoders import Model
from core.index.reader import Index, SegmentReader, reading
from core.language import MUCH, estimated_tokens, in_words, shares, unknown
from core.pipeline.languages import count_languages
from core.pipeline.spaces import read_space

_LOOKED_AT = 2000  # chunks and documents, evenly spread
_SIZES = (
    50_000_000,
    150_000_000,
    400_000_000,
)  # parameters: each class takes about three times as long as the one before
_SPEEDS = ("small and fast", "of middle size", "large and slow", "very large and slow")
_HERE = {
    "yes": "on this machine",
    "first use": "on this machine, unpacked on first use",
    "download": "to be downloaded",
    "network": "by network: the texts are sent to it",
    "set OPENAI_API_KEY": "by network: the texts are sent to it, with a key of yours",
}
T = TypeVar("T")


@dataclass(frozen=True, slots=True)
class Corpus:
    """What is published. `languages` are shares that add up to 1, `tokens` estimated from the characters: a chunk's
    median and 95th percentile, `document_characters` a document's."""

    documents: int
    chunks: int
    languages: Mapping[str, float]
    tokens: tuple[int, int]
    document_characters: tuple[int, int]


@dataclass(frozen=True, slots=True)
class Candidate:
    """`unknown` is the share of the text in languages the model does not know, None where its card names none;
    `truncated` the share of chunks that are longer than it takes; `reasons` and `rank` (less is better) are in
    the order in which they weigh."""

    name: str
    fits: bool
    here: str
    unknown: float | None
    truncated: float
    reasons: tuple[str, ...]
    rank: tuple[float, ...]


@dataclass(frozen=True, slots=True)
class Recommendation:
    """`candidates`, the best first; `own` is the index's model, judged in the same way."""

    corpus: Corpus
    candidates: tuple[Candidate, ...]
    own: Candidate

    def to_json(self) -> dict[str, Any]:
        candidates = [_json(candidate) for candidate in self.candidates]
        return {"corpus": asdict(self.corpus), "own": _json(self.own), "right": self.own.fits, "candidates": candidates}


def _json(candidate: Candidate) -> dict[str, Any]:
    return {name: value for name, value in asdict(candidate).items() if name != "rank"}


def recommend(root: Path) -> Recommendation:
    """Rank the catalogue for the index at `root`: language, length, size, licence, then what is here already.

    Raises NoIndexError, CorruptError, FormatError.
    """
    return reading(root, _recommend)


def _recommend(index: Index) -> Recommendation:
    lengths = np.array([estimated_tokens(text) for text in _chunk_texts(index)], dtype=np.int64)
    corpus = _look_at(index, lengths)
    names = [name for name, entry in catalogue().items() if entry["provider"] != "hashing"]
    ranked = sorted(
        (_judge(find_model(name), catalogue()[name], corpus, lengths) for name in names),
        key=lambda candidate: candidate.rank,
    )
    model = Model.from_json(index.generation.model)
    described = {"languages": model.languages, "max_tokens": read_space(index).space.max_tokens}
    own = _judge(model, {**described, **catalogue().get(model.name, {})}, corpus, lengths)
    return Recommendation(corpus, tuple(ranked), own)


def _look_at(index: Index, lengths: NDArray[np.int64]) -> Corpus:
    counted = count_languages(index, index.generation.dead, ())
    documents = _spread(list(index.live_documents()))
    characters = np.array([len(segment.document(row).text) for segment, row in documents], dtype=np.int64)
    chunks = sum(len(_live_chunks(segment)) for segment in index.segments)
    found = shares(counted["thousandths"])
    return Corpus(index.generation.documents, chunks, found, _percentiles(lengths), _percentiles(characters))


def _chunk_texts(index: Index) -> Iterator[str]:
    """What a model would be given of some chunks, prompts left out."""
    every = [(reader, int(row)) for reader in index.segments for row in _live_chunks(reader)]
    for segment, row in _spread(every):
        chunk = segment.chunk(row, segment.document(int(segment.chunk_documents[row])))
        yield f"{chunk.context}\n{chunk.text}"


def _live_chunks(segment: SegmentReader) -> NDArray[np.int64]:
    return np.arange(segment.segment.chunks) if segment.live is None else np.flatnonzero(segment.live)


def _spread(rows: Sequence[T]) -> list[T]:
    return [rows[at * len(rows) // _LOOKED_AT] for at in range(_LOOKED_AT)] if len(rows) > _LOOKED_AT else list(rows)


def _percentiles(values: NDArray[np.int64]) -> tuple[int, int]:
    return (int(np.percentile(values, 50)), int(np.percentile(values, 95))) if len(values) else (0, 0)


def _judge(model: Model, entry: Mapping[str, Any], corpus: Corpus, lengths: NDArray[np.int64]) -> Candidate:
    strange = unknown(corpus.languages, entry.get("languages", ()))
    share = sum(strange.values()) if entry.get("languages") else None
    truncated = float(np.mean(lengths > entry["max_tokens"])) if len(lengths) else 0.0
    refused, here = refusal(model), available(model)
    fits = refused is None and share is not None and share < MUCH and truncated < MUCH
    reasons = (
        *([refused.message] if refused else []),
        "the languages it knows are not said"
        if share is None
        else f"does not know {in_words(strange)}"
        if share >= MUCH
        else "knows the languages of the text",
        f"{truncated:.0%} of the chunks are longer than its {entry['max_tokens']} tokens"
        if truncated
        else f"no chunk is longer than its {entry['max_tokens']} tokens",
        f"{_SPEEDS[_size(entry)]}, {entry['parameters'] / 1e6:.0f} million parameters"
        if "parameters" in entry
        else "its size is not said",
        entry.get("licence", "its licence is not said"),
        *([] if refused else [_HERE.get(here, here)]),
    )
    rank = (refused is not None, share is None, round(share or 0, 2), round(truncated, 1), _size(entry))
    return Candidate(model.name, fits, here, share, truncated, reasons, (*rank, "licence" not in entry, here != "yes"))


def _size(entry: Mapping[str, Any]) -> int:
    """The class of size; where it is not said, the largest."""
    return bisect(_SIZES, entry.get("parameters", _SIZES[-1]))
