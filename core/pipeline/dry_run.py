"""What a build would do, found out by doing it beside the index: sources are read and cut, nothing is embedded or written."""

from __future__ import annotations

import tempfile
import time
from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np

from core.config import AUTO, open_encoder, price_of, without_contact
from core.embeddings import Embeddings
from core.encoders import Encoder, Model
from core.index.reader import open_published
from core.index.staging import Staging
from core.index.state import State
from core.pipeline.build import check_base_url, check_nothing_staged
from core.pipeline.chunk import chunk_staged
from core.pipeline.embed import block_texts, known_vectors
from core.pipeline.ingest import IngestReport, check_paths, stage_sources
from core.pipeline.known import hash_texts
from core.pipeline.spaces import index_encoder
from core.progress import SILENT, Progress
from core.sources.memory import Memory
from core.vectors.plan import check_ann

SAMPLE = 24  # texts that are embedded to see how long it takes


@dataclass(frozen=True, slots=True)
class DryRun:
    """`changes`: a generation would be published. `chunks` would be cut, `embedded` texts go through the model, `cached` come
    from the embedding cache; `seconds` is how long the embedding would take on this machine, from `sampled` texts that were
    embedded to find out.

    For a model behind a server nothing is sent, so no text is sampled: `tokens` are the estimate of what would be, rather too
    many, and `cost` their price in US dollars where it is known (`priced`: of when).
    """

    ingest: IngestReport
    changes: bool
    chunks: int = 0
    embedded: int = 0
    cached: int = 0
    seconds: float = 0.0
    sampled: int = 0
    tokens: int | None = None
    cost: float | None = None
    priced: str = ""


def dry_run(
    root: Path,
    paths: Sequence[str] = (),
    *,
    model: str | Model | None = None,
    base_url: str | None = None,
    name: str | None = None,
    yes: bool = False,
    chunker: str | None = None,
    size: int | None = None,
    overlap: int | None = None,
    ann: str | None = None,
    progress: Progress = SILENT,
) -> DryRun:
    """What `build` would do with the same arguments. Takes no lock and writes nothing into the index, which need not exist.

    Raises what `build` raises.
    """
    check_ann(ann or "auto")
    check_paths(root, paths)
    check_base_url(root, model, base_url)
    model = without_contact(model)
    is_new = not (root / "samespace.json").exists()
    encoder = open_encoder(model) if is_new and model not in (None, AUTO) else None
    with tempfile.TemporaryDirectory(prefix="samespace-") as scratch:
        staging = Staging(root, Path(scratch) / "staging")
        staging.copy_from(Staging(root))
        report = stage_sources(staging, encoder, Memory(root), paths, model, name, yes, progress)
        if not report.staged:
            check_nothing_staged(report, root, chunker, size, overlap)
            base = open_published(root)
            return DryRun(report, bool(ann and base and base.generation.settings["ann"]["name"] != ann))
        chunked = chunk_staged(staging, chunker, size, overlap, progress)
        state = staging.require("embed")
        missing = _missing(staging, state)
        encoder = index_encoder(open_published(root), Model.from_json(state.model), "documents")
        left = _not_cached(missing, encoder)
        found = DryRun(report, True, chunked.chunks, len(left), len(missing) - len(left))
        if encoder.remote:
            return _priced(found, left, encoder)
        seconds, sampled = _time(left, encoder)
    return replace(found, seconds=seconds, sampled=sampled)


def _priced(found: DryRun, texts: list[str], encoder: Encoder) -> DryRun:
    tokens = sum(min(encoder.count_tokens(text, "passage"), encoder.space.max_tokens) for text in texts)
    price, priced = price_of(encoder.model) or (None, "")
    return replace(found, tokens=tokens, cost=None if price is None else price * tokens / 1e6, priced=priced)


def _missing(staging: Staging, state: State) -> dict[bytes, str]:
    """The different texts that have no vector in the index, by their hash."""
    known = known_vectors(staging, state, open_published(staging.root))
    missing: dict[bytes, str] = {}
    for block in state.blocks:
        texts = block_texts(staging, block, state)
        hashes = hash_texts(texts)
        for row in np.flatnonzero(~known.has(hashes)):
            missing.setdefault(hashes[row].tobytes(), texts[row])
    return missing


def _not_cached(missing: dict[bytes, str], encoder: Encoder) -> list[str]:
    if not missing or encoder.remote:
        return list(missing.values())
    cache = Embeddings(encoder.space.id, "passage", encoder.runtime(), encoder.space.dimension)
    hashes = np.frombuffer(b"".join(missing), dtype=np.uint8).reshape(len(missing), -1)
    found = cache.find(hashes)
    cache.close()
    return [text for key, text in missing.items() if key not in found]


def _time(texts: list[str], encoder: Encoder) -> tuple[float, int]:
    """Seconds for all texts, from a sample of all lengths, and how many were sampled."""
    ordered = sorted(texts, key=len)
    count = min(SAMPLE, len(ordered))
    sample = [ordered[n * len(ordered) // count] for n in range(count)]
    if not sample:
        return 0.0, 0
    encoder.embed(sample[:1], "passage")  # what is only done once is not counted
    start = time.perf_counter()
    encoder.embed(sample, "passage")
    spent = time.perf_counter() - start
    return spent * sum(map(len, texts)) / max(sum(map(len, sample)), 1), len(sample)
