"""What every encoder keeps. A suite inherits `EncoderContract` and gives an `encoder` fixture."""

from __future__ import annotations

import numpy as np
import pytest

from core.encoders import Encoder
from core.types import Side

TEXTS = [
    "The river bank was muddy after the rain.",
    "银行的利率上周又下调了。",
    "iPhone 15 的 v1.2.3 报错 E-1047",
    "",
    "x",
    "Otters. " * 400,
    "e\u0301 🦦 \u202e שלום",
]
SIDES: list[Side] = ["query", "passage"]


class EncoderContract:
    @pytest.mark.parametrize("side", SIDES)
    def test_a_row_for_every_text(self, encoder: Encoder, side: Side) -> None:
        vectors = encoder.embed(TEXTS, side)
        assert vectors.shape == (len(TEXTS), encoder.space.dimension)
        assert vectors.dtype == np.float32
        assert np.isfinite(vectors).all()

    def test_unit_length_if_the_space_says_so(self, encoder: Encoder) -> None:
        assert encoder.space.normalize
        lengths = np.linalg.norm(encoder.embed(TEXTS, "passage"), axis=1)
        assert np.allclose(lengths, 1, atol=1e-5)

    def test_no_texts(self, encoder: Encoder) -> None:
        assert encoder.embed([], "passage").shape == (0, encoder.space.dimension)
        assert encoder.embed([], "query").dtype == np.float32
        assert encoder.token_vectors([], "passage") == []

    def test_the_order_is_kept_whatever_the_batch(self, encoder: Encoder) -> None:
        together = encoder.embed(TEXTS, "passage")
        backwards = encoder.embed(TEXTS[::-1], "passage")[::-1]
        alone = np.concatenate([encoder.embed([text], "passage") for text in TEXTS])
        assert np.abs(together - backwards).max() < 1e-5
        assert np.abs(together - alone).max() < 1e-5
        assert np.abs(together[0] - together[1]).max() > 0.01

    def test_the_same_twice(self, encoder: Encoder) -> None:
        assert np.array_equal(encoder.embed(TEXTS, "query"), encoder.embed(TEXTS, "query"))

    def test_token_vectors(self, encoder: Encoder) -> None:
        vectors = encoder.token_vectors(TEXTS, "passage")
        assert len(vectors) == len(TEXTS)
        for text, tokens in zip(TEXTS, vectors, strict=True):
            assert tokens.dtype == np.float32
            assert tokens.shape[1] == encoder.space.dimension
            assert 1 <= len(tokens) <= encoder.space.max_tokens
            assert np.allclose(np.linalg.norm(tokens, axis=1), 1, atol=1e-4), text

    def test_token_starts_rise_within_the_text(self, encoder: Encoder) -> None:
        for text in TEXTS:
            starts = encoder.token_starts(text)
            assert (np.diff(starts) >= 0).all()
            assert not len(starts) or 0 <= starts[0] <= starts[-1] < len(text)
        assert len(encoder.token_starts("")) == 0
        assert list(encoder.token_starts("ab cd")) == [0, 3]
        assert list(encoder.token_starts("河狸")) == [0, 1]

    @pytest.mark.parametrize("side", SIDES)
    def test_all_tokens_are_counted(self, encoder: Encoder, side: Side) -> None:
        for text in TEXTS:
            assert encoder.count_tokens(text, side) >= len(encoder.token_starts(text))
        assert encoder.count_tokens(TEXTS[5], side) > encoder.space.max_tokens  # not truncated

    def test_bytes_that_were_no_text(self, encoder: Encoder) -> None:
        """A shell's argument that is not UTF-8 comes with lone surrogates."""
        text = "otters \udcff dig"
        assert np.isfinite(encoder.embed([text], "query")).all()
        assert len(encoder.token_vectors([text], "query")[0])
        assert max(encoder.token_starts(text)) < len(text)
        assert encoder.count_tokens(text, "query") > 2

    def test_it_says_what_it_is(self, encoder: Encoder) -> None:
        assert encoder.metric in ("cosine", "dot", "euclidean")
        assert {"engine", "precision"} <= encoder.runtime().keys()
        assert len(encoder.space.weights) == len(encoder.space.tokenizer) == 64
