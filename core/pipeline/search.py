"""search: a query to ranked hits, from the words, the vectors, or both. The query's door is guarded before the index is read."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from copy import copy
from dataclasses import dataclass, replace
from itertools import islice
from pathlib import Path
from typing import TYPE_CHECKING, Literal

from core.errors import UsageError
from core.fusion import DEFAULT_ALPHA, FUSIONS, Fused, Lists
from core.index.reader import Index
from core.pipeline.arrange import capped, fold, mmr, passages, pool, texts_of, unit_vectors
from core.pipeline.hits import make_hit
from core.pipeline.scope import Scope, scope_of
from core.pipeline.words import WordSide
from core.query import Parsed
from core.types import Document, Hit, Query, Stage

if TYPE_CHECKING:  # lexical search needs none of these, and should not wait for them
    from core.encoders import Encoder, Model
    from core.space.verify import Verdict

Mode = Literal["hybrid", "dense", "lexical"]
MODES: tuple[Mode, ...] = ("hybrid", "dense", "lexical")
Unit = Literal["chunk", "document"]
Key = tuple[int, int]  # segment, row
_WITHOUT_WORDS = {
    "lexical": 'the query holds no word to look up, only signs or words like "the"; in quotation marks they are looked for, too',
    "hybrid": "the query holds no word to look up: it is searched by meaning alone",
}


@dataclass(frozen=True, slots=True)
class SearchSettings:
    """`k` hits are returned of `depth` candidates a side; `unit` says what is ranked: chunks, or documents by their best.

    `fold` folds near-duplicates into the best of them, `max_per_document` keeps a document's best chunks only, `mmr` (0 to 1)
    weighs relevance against likeness to the hits before, and `passages` joins hits that are neighbours; in this order.
    `untrusted`: the index comes from somebody else, so that no file of it reaches native code that would have to trust it.
    """

    mode: Mode = "hybrid"
    k: int = 10
    depth: int = 200
    fusion: str = "auto"
    alpha: float = DEFAULT_ALPHA
    unit: Unit = "chunk"
    untrusted: bool = False
    fold: bool = False
    max_per_document: int | None = None
    mmr: float | None = None
    passages: bool = False

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
        if self.mmr is not None and not 0 <= self.mmr <= 1:
            raise UsageError(f"--mmr {self.mmr} does not fit", fix="choose between 0 (diversity) and 1 (relevance)")
        if self.max_per_document is not None and self.max_per_document < 1:
            raise UsageError(f"--max-per-document {self.max_per_document} does not fit", fix="choose 1 or more")
        if self.unit == "document" and (self.passages or self.max_per_document is not None):
            what = "--passages" if self.passages else "--max-per-document"
            raise UsageError(
                f"{what} is about chunks, and documents are ranked here", fix="leave it out, or use --unit chunk"
            )


@dataclass(frozen=True, slots=True)
class SearchResult:
    """The hits of one query, best first, and what is worth saying about how they came about.

    `parsed` is how the query was read; `scope` what its operators left, None where it has none.
    """

    query: Query
    hits: tuple[Hit, ...]
    plan: str
    notes: tuple[str, ...]
    parsed: Parsed
    scope: Scope | None = None


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
        self._opened: WordSide | None = None
        if settings.mode != "lexical":
            self._open_vectors(model, base_url, queries)
        if settings.mode != "dense":
            self._words()

    def _words(self) -> WordSide:
        """Opened when it is first needed: a dense search needs it for phrases and exclusions only."""
        if self._opened is None:
            self._opened = WordSide(self.index)
        return self._opened

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

    def search(self, query: Query, parsed: Parsed | None = None) -> SearchResult:
        """The best hits for `query`; `parsed`: how it is to be read, without it literally.

        Raises UsageError for an empty one and for operators that do not fit; of a model behind a server what opening raises.
        """
        parsed = parsed or Parsed(query.text)
        _check(query, parsed)
        scope = scope_of(self.index, parsed, self._words)
        allowed = scope.allowed if scope else None
        text, settings, depth = parsed.text, self.settings, self._depth
        stages: dict[str, dict[Key, float]] = {}
        notes = [*parsed.notes, *(scope.notes if scope else ())]
        plan: str = settings.mode
        fused: Fused | None = None
        if settings.mode != "lexical":
            stages["dense"] = self._vectors.search(text, depth, allowed)
            notes += self._vectors.notes(text)
        if settings.mode != "dense":
            tokens = self._words().analyzer.tokens(text)
            stages["lexical"] = self._words().search(tokens, depth, allowed)
            if not tokens:
                notes.append(_WITHOUT_WORDS[settings.mode])
        if settings.mode == "lexical" and scope and parsed.phrases and not tokens:
            stages["lexical"] = dict.fromkeys(islice(scope.keys(), depth), 0.0)  # "to be or not to be"
        if settings.mode == "hybrid":
            fused = self._fuse(text, tokens, stages)
            stages["fused"] = dict(fused.scores)
            plan = f"hybrid, {settings.fusion}: dense {fused.dense_weight:.2f}, lexical {fused.lexical_weight:.2f}"
        if settings.mode != "lexical":
            plan += f"; vectors by {self._vectors.plan}"
        if scope:
            plan += f"; {scope.left:,} of {scope.chunks:,} chunks fit"
        return SearchResult(query, tuple(self._hits(stages, fused)), plan, tuple(notes), parsed, scope)

    def _fuse(self, text: str, tokens: Sequence[str], stages: Mapping[str, dict[Key, float]]) -> Fused:
        lists = Lists(
            self._vectors.complete(stages["dense"], stages["lexical"]),
            stages["lexical"],
            dense_evidence=self._vectors.evidence(text),
            lexical_evidence=self._words().evidence(tokens),
            alpha=self.settings.alpha,
        )
        fused: Fused = FUSIONS.load(self.settings.fusion)(lists)
        return fused

    def _hits(self, stages: dict[str, dict[Key, float]], fused: Fused | None) -> list[Hit]:
        """The candidates of the last stage as hits, by score; ties by document id and ordinal. At most `k`."""
        final = list(stages.values())[-1]
        weights = {"dense": fused.dense_weight, "lexical": fused.lexical_weight} if fused else {}
        ranks = {stage: _ranks(scores) for stage, scores in stages.items()}
        segments = self.index.segments
        names = {key: segments[key[0]].name_of(key[1]) for key in final}
        order = sorted(final, key=lambda key: (-round(final[key], 6), names[key]))
        if self.settings.unit == "document":
            order = capped(order, lambda key: names[key][0], 1)
        hits: list[Hit] = []
        for key, alike, worth in self._arranged(order, final, names):
            trail = {
                stage: Stage(scores[key], ranks[stage][key], weights.get(stage, 1.0))
                for stage, scores in stages.items()
                if key in scores
            }
            if worth is not None:
                trail["mmr"] = Stage(worth, len(hits) + 1)
            hit = make_hit(segments[key[0]], key[1], final[key] if worth is None else worth)
            hits.append(replace(hit, trail=trail, alike=tuple(names[one] for one in alike)))
        if not self.settings.passages:
            return hits
        places = {(hit.chunk.document_id, hit.chunk.ordinal): hit for hit in hits}
        keys = {names[key]: key for key in order if names[key] in places}

        def document(hit: Hit) -> Document:
            segment, row = keys[hit.chunk.document_id, hit.chunk.ordinal]
            return segments[segment].document(int(segments[segment].chunk_documents[row]))

        return passages(hits, document)

    def _arranged(
        self, order: list[Key], scores: Mapping[Key, float], names: Mapping[Key, tuple[str, int]]
    ) -> Iterator[tuple[Key, Sequence[Key], float | None]]:
        """The chosen `k` of `order`, each with those folded into it and what MMR says of it."""
        settings, alike = self.settings, dict[Key, list[Key]]()
        most = pool(settings.k) if settings.mmr is not None else settings.k
        if settings.fold:
            units = None if settings.mode == "lexical" else unit_vectors(self.index, order)
            room = most if settings.max_per_document is None else len(order)
            alike = fold(order, texts_of(self.index, order), units, room)
            order = list(alike)
        if settings.max_per_document is not None:
            order = capped(order, lambda key: names[key][0], settings.max_per_document)
        order = order[:most]
        if settings.mmr is None:
            yield from ((key, alike.get(key, ()), None) for key in order)
            return
        relevance = [scores[key] for key in order]
        for place, worth in mmr(relevance, unit_vectors(self.index, order), settings.mmr, settings.k):
            yield order[place], alike.get(order[place], ()), worth


def _check(query: Query, parsed: Parsed) -> None:
    if not query.text.strip():
        raise UsageError("the query is empty", fix='type what you look for: samespace search INDEX "…"')
    if not parsed.text.strip():
        raise UsageError(
            "the query only says what to leave out or where to look, not what to look for",
            fix='add a word: samespace search INDEX "otters type:md -river"; --literal takes it all as text',
        )


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
