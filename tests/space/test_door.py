"""Both doors are guarded: a model that changed under its name embeds neither a document nor a query."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from handmade import FIRST, SECOND, all_files, built, generation, put, seen, seen_or_nothing
from numpy.typing import NDArray

from core.encoders import Model, Work
from core.encoders.hashing import HashingEncoder
from core.errors import BackendError, SpaceMismatchError
from core.index import fs
from core.index.reader import open_index
from core.index.staging import Staging
from core.pipeline.chunk import chunk
from core.pipeline.embed import embed
from core.pipeline.index import index
from core.pipeline.ingest import ingest
from core.pipeline.search import Search, SearchSettings
from core.pipeline.spaces import read_space
from core.space.verify import verify_space
from core.types import Query, Side

Vectors = NDArray[np.float32]
Embed = Callable[[HashingEncoder, Sequence[str], Side], Vectors]
_embed: Embed = HashingEncoder.embed


def noise(encoder: HashingEncoder, texts: Sequence[str], side: Side) -> Vectors:
    vectors = _embed(encoder, texts, side)
    return vectors + np.random.default_rng(0).normal(scale=0.01, size=vectors.shape).astype(np.float32)


def sign(encoder: HashingEncoder, texts: Sequence[str], side: Side) -> Vectors:
    return -_embed(encoder, texts, side)


def not_normalised(encoder: HashingEncoder, texts: Sequence[str], side: Side) -> Vectors:
    return np.stack([tokens.sum(axis=0) for tokens in encoder.token_vectors(texts, side)])


def prompted(encoder: HashingEncoder, texts: Sequence[str], side: Side) -> Vectors:
    return _embed(encoder, [f"query: {text}" for text in texts], side)


def dimensions_swapped(encoder: HashingEncoder, texts: Sequence[str], side: Side) -> Vectors:
    return np.roll(_embed(encoder, texts, side), 1, axis=1)


def lower_case_only(encoder: HashingEncoder, texts: Sequence[str], side: Side) -> Vectors:
    return _embed(encoder, [text.swapcase().replace("t", "d") for text in texts], side)


def no_chinese(encoder: HashingEncoder, texts: Sequence[str], side: Side) -> Vectors:
    return _embed(encoder, [text.encode("ascii", "ignore").decode() for text in texts], side)


def other_seed(encoder: HashingEncoder, texts: Sequence[str], side: Side) -> Vectors:
    return _embed(HashingEncoder(Model("hashing-2", "hashing")), texts, side)


def no_numbers(encoder: HashingEncoder, texts: Sequence[str], side: Side) -> Vectors:
    return _embed(encoder, texts, side) * np.float32("nan")


def shorter(encoder: HashingEncoder, texts: Sequence[str], side: Side) -> Vectors:
    return _embed(encoder, [" ".join(text.split()[:40]) for text in texts], side)


def passages_only(encoder: HashingEncoder, texts: Sequence[str], side: Side) -> Vectors:
    return prompted(encoder, texts, side) if side == "passage" else _embed(encoder, texts, side)


ALTERED: list[Embed] = [
    noise, sign, not_normalised, prompted, dimensions_swapped, lower_case_only, no_chinese, other_seed, no_numbers,
]  # fmt: skip
# These cannot show on the few short canaries of a query, nor alter a query's vector.
ONLY_DOCUMENTS: list[Embed] = [shorter, passages_only]


def name(altered: Embed) -> str:
    return altered.__name__  # type: ignore[attr-defined, no-any-return]


@pytest.fixture
def source(tmp_path: Path) -> Path:
    return put(tmp_path / "notes", FIRST)


@pytest.fixture
def root(tmp_path: Path, source: Path) -> Path:
    root = tmp_path / "my.index"
    built(root, source)
    return root


@pytest.mark.parametrize("altered", ALTERED + ONLY_DOCUMENTS, ids=name)
def test_embed_refuses_an_altered_model(
    root: Path, source: Path, altered: Embed, monkeypatch: pytest.MonkeyPatch
) -> None:
    before = seen(root)
    put(source, SECOND)
    ingest(root)
    chunk(root)
    staged = all_files(root)
    with monkeypatch.context() as patch:
        patch.setattr(HashingEncoder, "embed", altered)
        with pytest.raises(SpaceMismatchError, match="identity is equal but the behaviour is not") as caught:
            embed(root)
    assert "put back the hashing" in caught.value.fix
    assert caught.value.details["canaries"]["agrees"] is False
    assert all_files(root) == staged  # neither a part nor sealed vectors
    assert seen(root) == before
    built(root)  # the model is put back
    assert not seen(root).alike(before)


@pytest.mark.parametrize("altered", ALTERED, ids=name)
@pytest.mark.parametrize("mode", ["dense", "hybrid"])
def test_search_refuses_an_altered_model(
    root: Path, altered: Embed, mode: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(HashingEncoder, "embed", altered)
    with pytest.raises(SpaceMismatchError):
        Search(open_index(root), SearchSettings(mode=mode))  # type: ignore[arg-type]
    found = Search(open_index(root), SearchSettings(mode="lexical")).search(Query("q", "river"))
    assert found.hits  # the words need no model


@pytest.mark.parametrize("altered", ONLY_DOCUMENTS, ids=name)
def test_what_alters_only_documents_does_not_stop_a_query(
    root: Path, altered: Embed, monkeypatch: pytest.MonkeyPatch
) -> None:
    before = seen(root)
    monkeypatch.setattr(HashingEncoder, "embed", altered)
    assert seen(root) == before


def test_an_unaltered_model_is_accepted_by_identity(root: Path) -> None:
    verdict = Search(open_index(root), SearchSettings()).verdict
    assert verdict is not None
    assert verdict.accepted
    assert "identity equal" in verdict.summary
    assert [finding.severity for finding in verdict.findings()] == ["ok"]


def test_where_only_lengths_differ_that_is_said(root: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(HashingEncoder, "embed", lambda *call: _embed(*call) * np.float32(1.5))
    with pytest.raises(SpaceMismatchError, match=r"mean cosine 1\.000, .* lengths differ by up to 0\.5"):
        Search(open_index(root), SearchSettings())


def test_rounding_is_no_alteration(root: Path, source: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def rounded(encoder: HashingEncoder, texts: Sequence[str], side: Side) -> Vectors:
        return _embed(encoder, texts, side) + np.float32(1e-6)

    monkeypatch.setattr(HashingEncoder, "embed", rounded)
    put(source, SECOND)
    assert built(root).index.published


# Another model


def test_another_model_for_a_query(root: Path) -> None:
    with pytest.raises(SpaceMismatchError, match="another space: weights") as caught:
        Search(open_index(root), SearchSettings(), model="hashing-2")
    assert "the index's own is hashing" in caught.value.fix
    assert "weights" in caught.value.details["differences"]


def _renamed(encoder: HashingEncoder, model: Model, work: Work = "queries") -> None:
    _init(encoder, model, work)
    encoder.space = replace(encoder.space, weights="00" * 32)


_init = HashingEncoder.__init__


def test_another_identity_that_behaves_the_same_is_accepted_and_said(
    root: Path, source: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """As after a conversion of the weights to another file format."""
    space = generation(root).primary.space
    monkeypatch.setattr(HashingEncoder, "__init__", _renamed)
    verdict = Search(open_index(root), SearchSettings()).verdict
    assert verdict is not None
    assert verdict.accepted
    assert verdict.summary.startswith("accepted by behaviour: ")
    assert "the identity differs in weights" in verdict.summary
    assert [(finding.check, finding.severity) for finding in verdict.findings()] == [
        ("weights", "note"),
        ("canaries", "ok"),
    ]
    put(source, SECOND)
    built(root)
    assert generation(root).primary.space == space


def test_when_the_identity_differs_every_canary_is_asked(root: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    record = read_space(open_index(root))
    same = verify_space(record, HashingEncoder(record.model), short=True)
    monkeypatch.setattr(HashingEncoder, "__init__", _renamed)
    other = verify_space(record, HashingEncoder(record.model), short=True)
    assert same.agreement.texts < other.agreement.texts == 2 * len(record.canaries.texts)


# A new index has no space on record yet


def test_a_new_index_takes_no_vectors_that_are_no_numbers(
    tmp_path: Path, source: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    root = tmp_path / "new.index"
    with monkeypatch.context() as patch:
        patch.setattr(HashingEncoder, "embed", no_numbers)
        with pytest.raises(BackendError, match="no numbers"):
            built(root, source)
    assert seen_or_nothing(root) is None
    built(root)  # and nothing of it is in the way of a good model
    assert len(seen(root).documents) == len(FIRST)


def test_vectors_that_turn_into_no_numbers_later(root: Path, source: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """The canaries are well, a document is not: what is not a number never gets in."""

    def sometimes(encoder: HashingEncoder, texts: Sequence[str], side: Side) -> Vectors:
        vectors = _embed(encoder, texts, side)
        vectors[[i for i, text in enumerate(texts) if "dog" in text and "fox" not in text]] = np.nan
        return vectors

    before = seen(root)
    put(source, SECOND)
    monkeypatch.setattr(HashingEncoder, "embed", sometimes)
    with pytest.raises(BackendError, match="no numbers"):
        built(root)
    assert not (root / "staging" / "parts").exists()
    assert seen(root) == before


def test_a_first_run_altered_between_two_batches(tmp_path: Path, source: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Staged by one model, gone on with by another of the same name: the staged canaries tell."""
    root = tmp_path / "new.index"
    ingest(root, [str(source)], model="hashing")
    chunk(root)
    embed(root)
    put(source, {"more.txt": "Some more text."})
    ingest(root)
    chunk(root)
    before = all_files(root)
    with monkeypatch.context() as patch:
        patch.setattr(HashingEncoder, "embed", prompted)
        with pytest.raises(SpaceMismatchError):
            embed(root)
    assert all_files(root) == before
    embed(root)
    index(root)
    assert len(seen(root).documents) == len(FIRST) + 1


def _stop() -> None:
    raise KeyboardInterrupt


def test_kept_parts_that_lie_elsewhere_are_found_when_they_are_sealed(
    root: Path, source: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Parts with a right digest and wrong vectors: rows are embedded once more before they are sealed."""
    put(source, SECOND)
    ingest(root)
    chunk(root)
    with monkeypatch.context() as patch:  # before they are gathered in the table of their block
        patch.setattr(fs, "on_step", lambda step, path: _stop() if path.name == "vectors.tmp" else None)
        with pytest.raises(KeyboardInterrupt):
            embed(root)
    staging, space = Staging(root), generation(root).primary.space
    (part,) = staging.parts(space, 128)
    staging.add_part(space, part._replace(vectors=-part.vectors))  # the later part of the same texts counts
    put(source, {"another.txt": "One more, so that the model is asked at all."})
    ingest(root)
    chunk(root)
    with pytest.raises(SpaceMismatchError, match="embedded earlier"):
        embed(root)


def test_the_canaries_of_every_run_lie_beside_its_vectors(root: Path, source: Path) -> None:
    put(source, SECOND)
    built(root)
    opened = open_index(root)
    record = read_space(opened)
    for segment in opened.segments:
        for side in ("query", "passage"):
            stored = segment.vectors.array(f"canaries_{side}", "<f4", 2)
            assert np.allclose(stored, record.canaries.vectors(side), atol=1e-6)  # type: ignore[arg-type]
