"""search: a query to ranked hits, from the words, the vectors, or both. The query's door is guarded before the index is read."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from copy import copy
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING, Literal

from core.errors import UsageError
from core.fusion import DEFAULT_ALPHA, FUSIONS, Fused, Lists
from core.index.reader import Index
from core.lexical import ANALYZERS, Analyzer
from core.lexical.bm25 import Bm25
from core.lexical.postings import Postings
from core.pipeline.analyzers import check_analyzer
from core.pipeline.hits import make_hit
from core.types import Hit, Query, Stage

if TYPE_CHECKING:  # lexical search needs none of these, and should not wait for them
    from core.encoders import Encoder, Model
    from core.space.verify import Verdict

Mode = Literal["hybrid", "dense", "lexical"]
MODES: tuple[Mode, ...] = ("hybrid", "dense", "lexical")
Unit = Literal["chunk", "document"]
Key = tuple[int, int]  # segment, row


@dataclass(frozen=True, slots=True)
class SearchSettings:
    """`k` hits are returned of `depth` candidates a side; `unit` says what is ranked: chunks, or documents by their best.

    `untrusted`: the index comes from somebody else, so that no file of it reaches native code that would have to trust it.
    """

    mode: Mode = "hybrid"
    k: int = 10
    depth: int = 200
    fusion: str = "auto"
    alpha: float = DEFAULT_ALPHA
    unit: Unit = "chunk"
    untrusted: bool = False

    def check(self) -> None:
        """Raises UsageError for values that do not fit."""
        if self.mode not in MODES:
            raise UsageError(f"there is no mode {self.mode!r}", fix=f"choose one of: {', '.join(MODES)}")
        if self.unit not in ("chunk", "document"):
            raise UsageError(f"there is no unit {self.unit!r}", fix="choose chunk or document")
        if self.fusion not in FUSIONS:
            raise UsageError(f"there is no fusion {self.fusion!r}", fix=f"choose one of: {', '.join(FUSIONS)}")
        if not 1 <= self.k <= 10_000:
            raise UsageError(f"-k {self.k} does not fit", fix="choose between 1 and 10000")
        if not 0 <= self.alpha <= 1:
            raise UsageError(f"--alpha {self.alpha} does not fit", fix="choose between 0 (words) and 1 (vectors)")


@dataclass(frozen=True, slots=True)
class SearchResult:
    """The hits of one query, best first, and what is worth saying about how they came about."""

    query: Query
    hits: tuple[Hit, ...]
    plan: str
    notes: tuple[str, ...] = ()


class Search:
    """One published generation, ready for many queries; `queries` is how many are expected, for the plan.

    Opening it for anything but lexical search loads the model and lets it prove itself on the canaries; a model behind a
    server does so with every query, in the query's own request. `base_url`: the model behind another server. Raises
    SpaceMismatchError, UsageError, MissingError, BackendError, CorruptError.
    """

    def __init__(
        self,
        index: Index,
        settings: SearchSettings,
        model: str | Model | None = None,
        queries: int = 1,
        base_url: str | None = None,
    ):
        settings.check()
        self.index, self.settings = index, settings
        self.encoder: Encoder | None = None
        if settings.mode != "lexical":
            self._open_vectors(model, base_url, queries)
        if settings.mode != "dense":
            self._analyzer: Analyzer = ANALYZERS.load(index.generation.settings["analyzer"]["name"])()
            check_analyzer(self._analyzer, index)
            postings = [Postings(segment.lexical) for segment in index.segments]
            for segment, words in zip(index.segments, postings, strict=True):
                if len(words) != segment.segment.chunks:
                    name = segment.segment.files(index.view)["lexical"]
                    raise index.damaged(name, "its postings are of another number of chunks")
            self._bm25 = Bm25(postings, [segment.live for segment in index.segments])

    @property
    def _depth(self) -> int:
        """Candidates a side."""
        settings = self.settings
        return max(settings.depth, settings.k * (2 if settings.unit == "document" else 1))

    @property
    def verdict(self) -> Verdict | None:
        """What the canaries said last; None for a lexical search, and before the first query of a model behind a server."""
        return self._vectors.verdict if self.settings.mode != "lexical" else None

    def _open_vectors(self, model: str | Model | None, base_url: str | None, queries: int) -> None:
        from core.pipeline.spaces import asked_encoder, read_space
        from core.pipeline.vectors import VectorSide
        from core.space.verify import guard

        record = read_space(self.index)
        encoder = self.encoder = asked_encoder(self.index, record.model, model, base_url, "queries")
        verdict = None
        if not encoder.remote:
            verdict = guard(record, encoder, path=str(self.index.root), short=True, sides=("query",))
        untrusted = self.settings.untrusted
        self._vectors = VectorSide(self.index, record, encoder, verdict, self._depth, queries, untrusted)

    def only(self, mode: Mode) -> Search:
        """One side of a hybrid search, opened with it: they share the model and the vector of the last query."""
        side = copy(self)
        side.settings = replace(self.settings, mode=mode)
        return side

    def embed(self, query: Query) -> None:
        """Embed the query ahead: the next searches for it, on this or a shared side, need not. Raises as `search` does."""
        if self.settings.mode != "lexical":
            self._vectors.embed(query.text)

    def search(self, query: Query) -> SearchResult:
        """The best hits for `query`. Raises UsageError for an empty one; of a model behind a server what opening raises."""
        if not query.text.strip():
            raise UsageError("the query is empty", fix='type what you look for: samespace search INDEX "…"')
        settings, depth = self.settings, self._depth
        stages: dict[str, dict[Key, float]] = {}
        notes: list[str] = []
        plan: str = settings.mode
        fused: Fused | None = None
        if settings.mode != "lexical":
            stages["dense"] = self._vectors.search(query.text, depth)
            notes += self._vectors.notes(query.text)
        if settings.mode != "dense":
            tokens = self._analyzer.tokens(query.text)
            stages["lexical"] = {(m.segment, m.row): m.score for m in self._bm25.search(tokens, depth)}
        if settings.mode == "hybrid":
            lists = Lists(
                self._vectors.complete(stages["dense"], stages["lexical"]),
                stages["lexical"],
                dense_evidence=self._vectors.evidence(query.text),
                lexical_evidence=self._bm25.evidence(tokens),
                alpha=settings.alpha,
            )
            fused = FUSIONS.load(settings.fusion)(lists)
            stages["fused"] = dict(fused.scores)
            plan = f"hybrid, {settings.fusion}: dense {fused.dense_weight:.2f}, lexical {fused.lexical_weight:.2f}"
        if settings.mode != "lexical":
            plan += f"; vectors by {self._vectors.plan}"
        return SearchResult(query, tuple(self._hits(stages, fused)), plan, tuple(notes))

    def _hits(self, stages: dict[str, dict[Key, float]], fused: Fused | None) -> Iterator[Hit]:
        """The candidates of the last stage as hits, by score; ties by document id and ordinal. At most `k`."""
        final = list(stages.values())[-1]
        weights = {"dense": fused.dense_weight, "lexical": fused.lexical_weight} if fused else {}
        ranks = {stage: _ranks(scores) for stage, scores in stages.items()}
        segments = self.index.segments
        names = {key: segments[key[0]].name_of(key[1]) for key in final}
        order = sorted(final, key=lambda key: (-round(final[key], 6), names[key]))
        if self.settings.unit == "document":
            best: dict[str, Key] = {}
            for key in order:
                best.setdefault(names[key][0], key)
            order = list(best.values())
        for key in order[: self.settings.k]:
            trail = {
                stage: Stage(scores[key], ranks[stage][key], weights.get(stage, 1.0))
                for stage, scores in stages.items()
                if key in scores
            }
            yield replace(make_hit(segments[key[0]], key[1], final[key]), trail=trail)


def _ranks(scores: dict[Key, float]) -> dict[Key, int]:
    return {key: rank for rank, key in enumerate(sorted(scores, key=lambda key: (-scores[key], key)), start=1)}


def read_queries(path: Path) -> list[Query]:
    """Queries of a JSON-lines file, `{"_id": …, "text": …}` a line, in its order.

    Raises UsageError naming the line that is not like that, or an id that stands twice.
    """
    import json

    if not path.is_file():
        raise UsageError("there is no such file of queries", path=path, fix='a line each: {"_id": "q1", "text": "…"}')
    queries: dict[str, Query] = {}
    for number, line in enumerate(path.read_bytes().split(b"\n"), start=1):
        if not line.strip():
            continue
        try:
            value = json.loads(line)
            query = Query(str(value["_id"]), value["text"])
            if not isinstance(query.text, str) or not query.id or query.id in queries:
                raise ValueError("the same _id stands twice" if query.id in queries else "no _id, or text is no string")
        except (ValueError, KeyError, TypeError, RecursionError) as error:
            what = f"{error.args[0]!r} is missing" if isinstance(error, KeyError) else error
            raise UsageError(
                f"line {number} is no query ({what})", path=path, fix='a line each: {"_id": "q1", "text": "…"}'
            ) from error
        queries[query.id] = query
    if not queries:
        raise UsageError("this file holds no queries", path=path, fix='a line each: {"_id": "q1", "text": "…"}')
    return list(queries.values())


def documents_of(hits: Sequence[Hit]) -> dict[str, float]:
    """Document id -> score of its best chunk, in the order of the hits."""
    best: dict[str, float] = {}
    for hit in hits:
        best.setdefault(hit.chunk.document_id, hit.score)
    return best
