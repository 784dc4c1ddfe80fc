from __future__ import annotations

import math
from collections.abc import Sequence
from pathlib import Path

import pytest
from reranker_contract import RerankerContract

from core.config import open_encoder
from core.errors import BackendError, MissingError, SpaceMismatchError, UsageError
from core.index.reader import Index, open_index
from core.pipeline.build import build
from core.pipeline.rerank import open_reranker, read_hits, read_run_hits, rerank
from core.pipeline.search import Search, SearchSettings
from core.rerankers import RERANKERS, Reranker
from core.types import Chunk, Hit, Query, Stage


class TestMaxsim(RerankerContract):
    @pytest.fixture
    def reranker(self) -> Reranker:
        return RERANKERS.load("maxsim")(open_encoder("hashing"))

    def test_a_passage_that_holds_every_word_of_the_query_gets_1(self, reranker: Reranker) -> None:
        scores = reranker.score("otters dig", ["where otters swim and dig", "where otters swim", "nothing here"])
        assert scores[0] == pytest.approx(1, abs=1e-5)
        assert scores[0] > scores[1] > scores[2]

    def test_by_hand(self, reranker: Reranker) -> None:
        """The mean over the query's tokens of the nearest token of the passage."""
        encoder = open_encoder("hashing")
        (query,), (passage,) = encoder.token_vectors(["a bc"], "query"), encoder.token_vectors(["bcd a e"], "passage")
        nearest = [max(float(q @ p) for p in passage) for q in query]
        assert reranker.score("a bc", ["bcd a e"]) == pytest.approx([sum(nearest) / 2], abs=1e-6)


def save_cross_encoder(folder: Path, labels: int = 1, safe: bool = True) -> Path:
    """A tiny BERT with random weights, as a cross-encoder's folder."""
    import torch
    from transformers import BertConfig, BertForSequenceClassification, BertTokenizerFast

    folder.mkdir()
    words = [
        "[PAD]",
        "[UNK]",
        "[CLS]",
        "[SEP]",
        "[MASK]",
        "otters",
        "dig",
        "bank",
        "the",
        "river",
        "银",
        "行",
        "利",
        "率",
        ".",
    ]
    (folder / "vocab.txt").write_text("\n".join(words))
    BertTokenizerFast(vocab_file=str(folder / "vocab.txt"), model_max_length=64).save_pretrained(str(folder))
    torch.manual_seed(1)
    config = BertConfig(
        vocab_size=len(words), hidden_size=16, num_hidden_layers=1, num_attention_heads=2, intermediate_size=16,
        max_position_embeddings=64, num_labels=labels, initializer_range=1.0,
    )  # fmt: skip
    BertForSequenceClassification(config).save_pretrained(str(folder))
    if not safe:
        (folder / "model.safetensors").rename(folder / "pytorch_model.bin")
    return folder


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return save_cross_encoder(tmp_path_factory.mktemp("models") / "tiny")


@pytest.mark.xdist_group("minilm")
class TestCrossEncoder(RerankerContract):
    @pytest.fixture
    def reranker(self, folder: Path, index: Index) -> Reranker:
        return open_reranker(str(folder), index)

    def test_an_encoder_would_rank_at_random(self, index: Index) -> None:
        with pytest.raises(MissingError, match="no trained head") as caught:
            open_reranker("minilm", index)
        assert "maxsim" in caught.value.fix

    def test_saved_again_by_sentence_transformers(self, folder: Path, tmp_path: Path, index: Index) -> None:
        from sentence_transformers import CrossEncoder

        CrossEncoder(str(folder), device="cpu").save_pretrained(str(tmp_path / "saved"))
        scores = [
            open_reranker(str(path), index).score("otters", ["the bank", "dig"])
            for path in (folder, tmp_path / "saved")
        ]
        assert scores[0] == pytest.approx(scores[1], abs=1e-5)

    def test_more_than_one_value_a_pair_is_refused(self, tmp_path: Path, index: Index) -> None:
        with pytest.raises(MissingError, match="gives 3 values a pair"):
            open_reranker(str(save_cross_encoder(tmp_path / "three", labels=3)), index)

    def test_pickled_weights_are_refused(self, tmp_path: Path, index: Index) -> None:
        with pytest.raises(MissingError, match=r"no \.safetensors"):
            open_reranker(str(save_cross_encoder(tmp_path / "pickled", safe=False)), index)

    def test_damaged_folders_are_refused(self, folder: Path, tmp_path: Path, index: Index) -> None:
        import shutil

        for name, content in (("model.safetensors", b"\xff" * 50), ("config.json", b"{"), ("config.json", b"[1]")):
            copy = Path(shutil.copytree(folder, tmp_path / f"{name}{len(content)}"))
            (copy / name).write_bytes(content)
            with pytest.raises(MissingError, match="no cross-encoder"):
                open_reranker(str(copy), index)


class Given:
    """A reranker that says what it is told."""

    name = "given"

    def __init__(self, *scores: float):
        self.scores = list(scores)

    def score(self, query: str, passages: Sequence[str]) -> list[float]:
        return self.scores


HITS = [
    Hit(Chunk(f"d{n}", 0, 0, 4, "text", "title"), 1 / n, trail={"dense": Stage(1 / n, n)}, place=f"line {n}")
    for n in (1, 2, 3)
]


def order(hits: Sequence[Hit]) -> list[str]:
    return [hit.chunk.document_id for hit in hits]


class TestRerank:
    def test_the_order_is_the_rerankers_and_the_trail_gains_its_stage(self) -> None:
        ranked = rerank(Given(0.1, 0.9, 0.5), "q", HITS)
        assert order(ranked) == ["d2", "d3", "d1"]
        assert [list(hit.trail) for hit in ranked] == [["dense", "rerank"]] * 3
        assert [hit.trail["rerank"] for hit in ranked] == [Stage(0.9, 1), Stage(0.5, 2), Stage(0.1, 3)]
        assert [hit.trail["dense"].rank for hit in ranked] == [2, 3, 1]
        assert [hit.score for hit in ranked] == [0.9, 0.5, 0.1]
        assert ranked[0].place == "line 2"
        assert list(HITS[0].trail) == ["dense"]

    def test_ties_keep_the_order_they_came_in(self) -> None:
        assert order(rerank(Given(0.5, 0.5, 0.5), "q", HITS)) == ["d1", "d2", "d3"]
        assert order(rerank(Given(0.5, 0.5 + 1e-9, 0.7), "q", HITS)) == ["d3", "d1", "d2"]

    def test_k(self) -> None:
        assert order(rerank(Given(0.1, 0.9, 0.5), "q", HITS, 2)) == ["d2", "d3"]
        assert rerank(Given(), "q", [], 2) == []

    @pytest.mark.parametrize(
        "scores", [(1.0, 2.0), (1.0,) * 4, (), (1.0, math.nan, 2.0), (math.inf, 1.0, 2.0)], ids=str
    )
    def test_scores_that_are_none(self, scores: tuple[float, ...]) -> None:
        with pytest.raises(BackendError, match="'given'") as caught:
            rerank(Given(*scores), "q", HITS)
        assert caught.value.exit_code == 16
        assert "another reranker" in caught.value.fix

    @pytest.mark.parametrize("query", ["", " \n　"])
    def test_an_empty_query(self, query: str) -> None:
        with pytest.raises(UsageError, match="the query is empty"):
            rerank(Given(1, 2, 3), query, HITS)

    def test_the_title_is_read_with_the_text(self) -> None:
        seen: list[str] = []

        class Listening(Given):
            def score(self, query: str, passages: Sequence[str]) -> list[float]:
                seen.extend([query, *passages])
                return [1.0] * len(passages)

        rerank(Listening(), "q", HITS[:1])
        assert seen == ["q", "title\ntext"]


@pytest.fixture(scope="module")
def index(tmp_path_factory: pytest.TempPathFactory) -> Index:
    folder = tmp_path_factory.mktemp("reranked")
    (folder / "docs").mkdir()
    (folder / "docs" / "a.txt").write_text("Otters dig along the bank.")
    (folder / "docs" / "b.txt").write_text("银行的利率上周又下调了。")
    (folder / "docs" / "long.txt").write_text(
        "\n\n".join(f"Paragraph {n} of otters and lamps. " * 8 for n in range(20))
    )
    build(folder / "i", [str(folder / "docs")], model="hashing")
    return open_index(folder / "i")


class TestInputs:
    def test_every_chunk_of_a_runs_document_is_read(self, index: Index) -> None:
        hits = read_run_hits(index, [("docs/long.txt", 3.0), ("docs/gone.txt", 2.0), ("docs/a.txt", 1.0)])
        chunks = [hit.chunk.ordinal for hit in hits if hit.chunk.document_id == "docs/long.txt"]
        assert len(chunks) > 1
        assert chunks == list(range(len(chunks)))
        assert hits[-1].chunk.document_id == "docs/a.txt"
        assert hits[-1].trail["input"] == Stage(1.0, 3)

    def test_texts_come_from_the_index_not_from_the_input(self, index: Index) -> None:
        text = '{"query": "q", "hits": [{"document": "docs/a.txt", "ordinal": 0, "score": 7, "text": "forged"}]}'
        query, hits = read_hits(text, index)
        assert query == "q"
        assert hits[0].chunk.text == "Otters dig along the bank."
        assert hits[0].trail["input"] == Stage(7.0, 1)

    @pytest.mark.parametrize(
        "hit",
        [
            '{"document": "docs/a.txt", "ordinal": 9, "score": 1}',
            '{"document": "docs/c.txt", "ordinal": 0, "score": 1}',
        ],
    )
    def test_a_chunk_that_is_not_there(self, index: Index, hit: str) -> None:
        with pytest.raises(UsageError, match="another index or generation"):
            read_hits(f'{{"query": "q", "hits": [{hit}]}}', index)

    def test_maxsim_is_checked_at_the_door(self, index: Index, monkeypatch: pytest.MonkeyPatch) -> None:
        from core.encoders.hashing import HashingEncoder

        honest = HashingEncoder.embed
        monkeypatch.setattr(HashingEncoder, "embed", lambda self, texts, side: -honest(self, texts, side))
        with pytest.raises(SpaceMismatchError):
            open_reranker("maxsim", index)

    def test_it_reorders_a_search(self, index: Index) -> None:
        search = Search(index, SearchSettings(mode="lexical"))
        hits = search.search(Query("1", "otters along the bank")).hits
        ranked = rerank(open_reranker(None, index), "otters along the bank", hits, 1)
        assert order(ranked) == ["docs/a.txt"]
        assert list(ranked[0].trail) == ["lexical", "rerank"]
