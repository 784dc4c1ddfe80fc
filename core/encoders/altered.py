"""A model under other settings: what a diagnosis tries, to see which of them give the vectors it has.

Nothing is loaded twice: an altered encoder runs the weights and the tokenizer of the one it was made from, in float32.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace
from functools import cached_property

import numpy as np
from numpy.typing import NDArray

from core.encoders import Encoder, Runtime
from core.encoders.bert import POSITIONS, WORDS, Bert, Ids, Unsupported
from core.encoders.tokenizer import Tokenizer
from core.encoders.transformer import TransformerEncoder
from core.errors import MissingError
from core.space.identity import Space
from core.text import encodable
from core.types import Side

Floats = NDArray[np.float32]


class Altered(TransformerEncoder):
    """`weights` and `text`, where given, change every tensor (by its name), and every text (its prompt aside) before it is
    cut."""

    def __init__(
        self,
        original: TransformerEncoder,
        space: Space,
        weights: Callable[[str, Floats], Floats] | None = None,
        text: Callable[[str], str] | None = None,
    ):
        """Raises Unsupported where the model is not one that our engines run, or not with these settings."""
        super().__init__(original.model, space, original.metric, "queries")
        self._original, self._weights, self._text = original, weights, text
        bert, _ = self.parts()
        if space.dimension != bert.shape.hidden or space.max_tokens > len(bert.positions) - bert.shape.first_position:
            raise Unsupported("the model has no such dimension or length")

    def _open_tokenizer(self) -> Tokenizer:
        return self._original._tokenizer

    def _bert(self) -> Bert:
        return self._changed

    @cached_property
    def _changed(self) -> Bert:
        bert = self._original._bert()
        if self._weights is None:
            return bert
        change = self._weights
        return replace(
            bert,
            tensors={name: change(name, tensor) for name, tensor in bert.tensors.items()},
            words=change(WORDS, bert.words.astype(np.float32, copy=False)),
            positions=change(POSITIONS, bert.positions),
        )

    def is_like_original(self) -> bool:
        """Whether the change of the weights leaves the matrices of the layers as they are: they were made by it already."""
        before, after = self._original._bert().tensors, self._bert().tensors
        return all(
            np.allclose(before[name], after[name], rtol=1e-6, atol=0) for name in before if before[name].ndim == 2
        )

    def _reference(self) -> Runtime:
        raise MissingError("the reference runs a model with the settings of its own files")

    def reference(self) -> Altered:
        return self

    def embed(self, texts: Sequence[str], side: Side) -> Floats:
        return super().embed([self._text(text) for text in texts] if self._text else texts, side)

    def embed_ids(self, ids: Sequence[Ids]) -> Floats | None:
        """The vectors of texts as tokens; None where the model has no such tokens, or takes no such length."""
        bert, _ = self.parts()
        fits = all(
            0 < len(one) <= self.space.max_tokens and 0 <= one.min() <= one.max() < len(bert.words) for one in ids
        )
        return self._fast("numpy").embed_ids(ids) if fits else None


class Reworded:
    """Any encoder, given other texts: prompts of its own put before them, where it has none, or another spelling."""

    def __init__(self, original: Encoder, prompts: Mapping[Side, str], text: Callable[[str], str] | None = None):
        self._original, self._prompts, self._text = original, prompts, text

    def embed(self, texts: Sequence[str], side: Side) -> Floats:
        spelt = [self._text(text) for text in texts] if self._text else texts
        return self._original.embed([self._prompts.get(side, "") + encodable(text) for text in spelt], side)


def alter(
    encoder: Encoder,
    space: Space,
    weights: Callable[[str, Floats], Floats] | None = None,
    text: Callable[[str], str] | None = None,
) -> Altered | Reworded | None:
    """`encoder` as it would be with the settings of `space`; None where that cannot be tried, or every try is paid for."""
    if encoder.remote:
        return None
    if isinstance(encoder, TransformerEncoder):
        try:
            return Altered(encoder, space, weights, text)
        except Unsupported:
            pass
    here = encoder.space
    prompts: dict[Side, str] = {"query": space.query_prompt, "passage": space.passage_prompt}
    same = replace(space, query_prompt=here.query_prompt, passage_prompt=here.passage_prompt, template=here.template)
    if weights is None and same == here and not (here.query_prompt or here.passage_prompt):
        return Reworded(encoder, prompts, text)
    return None
