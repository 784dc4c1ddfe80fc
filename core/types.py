"""The nouns. Frozen values that every layer may use; this file imports nothing of ours."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any, Literal, NamedTuple

Status = Literal["new", "changed", "unchanged", "removed", "skipped", "failed"]
Side = Literal["query", "passage"]
Severity = Literal["ok", "note", "warning", "error"]
Json = dict[str, Any]


@dataclass(frozen=True, slots=True)
class Source:
    """A file or a folder that documents come from; recorded in the index, so that it can be scanned again.

    `root` is an absolute path; `name` is the first part of its documents' ids and unique within an index.
    """

    name: str
    root: str


@dataclass(frozen=True, slots=True)
class Document:
    """One text to be found. `id` never depends on content or position: reading a file again replaces it.

    `sha256` says whether the content changed: a digest of the bytes it was read from and of the reader's version.
    `meta` holds what the reader knew: `format`, and for paged formats `pages` (offset in `text` where each begins).
    """

    id: str
    title: str
    text: str
    source: str
    sha256: str
    meta: Mapping[str, Any] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class Outcome:
    """What became of one file or record of a source. Every one has exactly one outcome."""

    path: str
    status: Status
    reason: str = ""


@dataclass(frozen=True, slots=True)
class Chunk:
    """A span of a document: `document.text[start:end] == text`, always.

    `context` (the title) is embedded and searched with the text, by the space's template, but is not part of the span.
    """

    document_id: str
    ordinal: int
    start: int
    end: int
    text: str
    context: str = ""


@dataclass(frozen=True, slots=True)
class Query:
    id: str
    text: str


class Match(NamedTuple):
    """A row of a segment (its place in the list of segments) and its score; higher is better, whatever found it."""

    segment: int
    row: int
    score: float


@dataclass(frozen=True, slots=True)
class Stage:
    """What one stage of a search said of a hit: its score (higher is better), its rank (from 1), its weight."""

    score: float
    rank: int
    weight: float = 1.0


@dataclass(frozen=True, slots=True)
class Hit:
    """One answer. `score` is that of the last stage; `trail` keeps every stage's own, in order.

    `alike`: chunks (document id, ordinal) so much like this one that they were folded into it. `ordinals`: of the chunks
    that were joined to this passage, () for a chunk as it is.
    """

    chunk: Chunk
    score: float
    title: str = ""
    place: str = ""
    meta: Mapping[str, Any] = field(default_factory=dict)
    trail: Mapping[str, Stage] = field(default_factory=dict)
    alike: tuple[tuple[str, int], ...] = ()
    ordinals: tuple[int, ...] = ()


@dataclass(frozen=True, slots=True)
class Qrel:
    query_id: str
    document_id: str
    relevance: int


@dataclass(frozen=True, slots=True)
class Finding:
    """What one check found; `fix` is what to do about it, `details` the figures."""

    check: str
    severity: Severity
    message: str
    fix: str = ""
    details: Mapping[str, Any] = field(default_factory=dict)
