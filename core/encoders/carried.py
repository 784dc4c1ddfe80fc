"""An encoder that an index carries: weights and tokenizer in one table, so that the directory answers on a machine that
has neither the model nor torch.

Nothing in it is code: arrays that are checked against the shape they claim, and the tokenizer's vocabulary.
"""

from __future__ import annotations

import json
from collections.abc import Iterator
from typing import Any

from core.encoders import Model, Runtime, Work
from core.encoders.bert import POSITIONS, WORDS, Bert, Shape, Unsupported, assemble
from core.encoders.tokenizer import Tokenizer, from_table
from core.encoders.transformer import TransformerEncoder
from core.errors import CorruptError, MissingError
from core.index.columns import Column, Table, write_columns
from core.space.identity import Space

_LARGEST = 1 << 16  # of the sizes a shape may claim, so that no number can make a reader take memory for it


def carry(encoder: TransformerEncoder) -> Iterator[bytes | memoryview]:
    """The bytes of the table that `CarriedEncoder` reads. Raises MissingError for a model that cannot be carried."""
    try:
        bert, tokenizer = encoder.parts()
    except Unsupported as error:
        raise MissingError(
            f"the model {encoder.model.name!r} cannot be carried by an index ({error}): only torch can run it",
            fix="leave --self-contained out, or build an index with a model of the BERT family",
        ) from error
    columns: dict[str, Column] = {}
    columns |= bert.columns()
    columns |= tokenizer.columns()
    return write_columns(columns, {"shape": json.dumps(bert.shape.to_json())})


class CarriedEncoder(TransformerEncoder):
    def __init__(self, table: Table, model: Model, space: Space, metric: str, work: Work):
        """`space` and `metric` are those on the index's record; the canaries show whether the table keeps to them."""
        super().__init__(model, space, metric, work)
        self._table = table

    def reference(self) -> CarriedEncoder:
        return self

    def _reference(self) -> Runtime:
        raise MissingError("the index carries the model, but not for sentence-transformers")

    def _open_tokenizer(self) -> Tokenizer:
        return from_table(self._table)

    def _bert(self) -> Bert:
        try:
            shape = _shape(json.loads(self._table.meta["shape"]))
            names = [*shape.tensors(), POSITIONS]
            arrays: dict[str, Any] = {name: self._table.array(name, "<f4", _ndim(name)) for name in names}
            arrays[WORDS] = self._table.floats(WORDS)
            bert = assemble(shape, arrays)
            if (
                shape.hidden != self.space.dimension
                or self.space.max_tokens > len(bert.positions) - shape.first_position
            ):
                raise ValueError("it is not of the index's dimension or length")
            return bert
        except (ValueError, KeyError, TypeError, RecursionError, Unsupported) as error:
            raise CorruptError(
                f"the encoder that this index carries is damaged ({error})",
                path=self._table.path,
                fix="restore it from a copy, or run `samespace index INDEX --self-contained` where the model is",
            ) from error


def _ndim(name: str) -> int:
    return 1 if name.endswith("bias") or "LayerNorm" in name else 2


def _shape(value: Any) -> Shape:
    """Raises TypeError or ValueError unless every number is one that can be."""
    shape = Shape(**value)
    sizes = (shape.hidden, shape.layers, shape.heads, shape.feed_forward)
    if not all(type(size) is int and 0 < size <= _LARGEST for size in sizes) or shape.hidden % shape.heads:
        raise ValueError("its sizes do not fit one another")
    if type(shape.first_position) is not int or not 0 <= shape.first_position < _LARGEST:
        raise ValueError("its first position cannot be")
    if type(shape.eps) is not float or not 0 < shape.eps < 1:
        raise ValueError("its eps cannot be")
    return shape
