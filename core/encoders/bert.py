"""A model of the BERT family as settings and arrays, read from its files without any model library.

Covers `bert`, `roberta`, `xlm-roberta` and `camembert` (Devlin et al. 2018; Liu et al. 2019): token, position and type
embeddings, then layers of self-attention and a feed-forward network, each closed by a layer norm. Nearly every embedding
model is one of these; what is not is left to the reference runtime.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, field
from typing import Any

import numpy as np
from numpy.typing import NDArray

TYPES = ("bert", "roberta", "xlm-roberta", "camembert")
POOLINGS = ("mean", "cls", "max", "mean_sqrt_len_tokens", "weightedmean", "lasttoken")
_PREFIXES = ("", "bert.", "roberta.", "model.")
_OLD_NAMES = {"LayerNorm.weight": "LayerNorm.gamma", "LayerNorm.bias": "LayerNorm.beta"}
WORDS, POSITIONS, TYPE = (f"embeddings.{kind}_embeddings.weight" for kind in ("word", "position", "token_type"))

_PADDING = 0.05
_FEW = 64  # tokens of a batch that is too small to be worth dividing

Floats = NDArray[np.float32]
Ids = NDArray[np.int32]


class Unsupported(Exception):
    """This model is not one that is run here; the message says why. The reference runtime takes it."""


@dataclass(frozen=True, slots=True)
class Shape:
    """`first_position` is the row of the position table that the first token takes."""

    hidden: int
    layers: int
    heads: int
    feed_forward: int
    eps: float
    first_position: int = 0

    def to_json(self) -> dict[str, Any]:
        return asdict(self)

    def tensors(self) -> dict[str, tuple[int, ...]]:
        """The name and shape of every tensor of the layers, and of the first layer norm."""
        h, f = self.hidden, self.feed_forward
        shapes: dict[str, tuple[int, ...]] = {
            "embeddings.LayerNorm.weight": (h,),
            "embeddings.LayerNorm.bias": (h,),
        }
        for layer in range(self.layers):
            for name, rows, columns in (
                ("attention.self.query", h, h),
                ("attention.self.key", h, h),
                ("attention.self.value", h, h),
                ("attention.output.dense", h, h),
                ("intermediate.dense", f, h),
                ("output.dense", h, f),
            ):
                shapes[f"encoder.layer.{layer}.{name}.weight"] = (rows, columns)
                shapes[f"encoder.layer.{layer}.{name}.bias"] = (rows,)
            for name in ("attention.output.LayerNorm", "output.LayerNorm"):
                shapes[f"encoder.layer.{layer}.{name}.weight"] = (h,)
                shapes[f"encoder.layer.{layer}.{name}.bias"] = (h,)
        return shapes


@dataclass(frozen=True, slots=True)
class Bert:
    """`tensors`: float32 each, by transformers' names without prefix; `words`: vocabulary × hidden, float32 or float16,
    mapped, so that only the rows that are asked for are read; `positions`: positions × hidden, float32, with the type's
    embedding added.
    """

    shape: Shape
    tensors: Mapping[str, Floats] = field(repr=False)
    words: NDArray[Any] = field(repr=False)
    positions: Floats = field(repr=False)

    def embed_tokens(self, ids: Ids, positions: NDArray[np.int64]) -> Floats:
        """What the first layer norm takes: float32, tokens × hidden. Raises IndexError for an id the table lacks."""
        rows: Floats = self.words[ids].astype(np.float32, copy=False)
        return rows + self.positions[positions]

    def columns(self) -> dict[str, NDArray[Any]]:
        return {**self.tensors, WORDS: self.words, POSITIONS: self.positions}


def read_shape(config: Mapping[str, Any]) -> Shape:
    """The shape that a transformers config.json describes. Raises Unsupported."""
    kind = config.get("model_type")
    if kind not in TYPES:
        raise Unsupported(f"its architecture is {kind!r}")
    for key, usual in (("hidden_act", "gelu"), ("position_embedding_type", "absolute"), ("is_decoder", False)):
        if config.get(key, usual) != usual:
            raise Unsupported(f"its {key} is {config[key]!r}")
    try:
        padding = config.get("pad_token_id")
        shape = Shape(
            hidden=int(config["hidden_size"]),
            layers=int(config["num_hidden_layers"]),
            heads=int(config["num_attention_heads"]),
            feed_forward=int(config["intermediate_size"]),
            eps=float(config.get("layer_norm_eps", 1e-12)),
            first_position=0 if kind == "bert" else (1 if padding is None else int(padding)) + 1,
        )
    except (KeyError, TypeError, ValueError) as error:
        raise Unsupported(f"its config.json does not say {error}") from error
    if min(shape.hidden, shape.layers, shape.heads, shape.feed_forward) < 1 or shape.hidden % shape.heads:
        raise Unsupported("its sizes do not fit one another")
    return shape


def assemble(shape: Shape, found: Mapping[str, NDArray[Any]]) -> Bert:
    """A Bert of arrays by transformers' names, whatever their prefix. Raises Unsupported when one is missing or misfits."""
    prefix = next((prefix for prefix in _PREFIXES if prefix + WORDS in found), None)
    if prefix is None:
        raise Unsupported("its tensors have other names")

    def get(name: str) -> NDArray[Any]:
        for ending, old in _OLD_NAMES.items():
            if name.endswith(ending) and prefix + name not in found:
                name = name.removesuffix(ending) + old
        if prefix + name not in found:
            raise Unsupported(f"it has no tensor {name}")
        return found[prefix + name]

    tensors = {}
    for name, wanted in shape.tensors().items():
        tensor = get(name)
        if tensor.shape != wanted:
            raise Unsupported(f"its tensor {name} is {tensor.shape} and not {wanted}")
        tensors[name] = tensor.astype(np.float32, copy=False)
    words, positions = get(WORDS), get(POSITIONS).astype(np.float32, copy=False)
    if prefix + TYPE in found:
        positions = positions + get(TYPE)[:1].astype(np.float32, copy=False)
    if words.ndim != 2 or positions.ndim != 2 or not words.shape[1] == positions.shape[1] == shape.hidden:
        raise Unsupported("its embeddings do not fit its hidden size")
    return Bert(shape, tensors, words, positions)


def pool(hidden: Floats, how: str) -> Floats:
    """One vector (hidden,) of the vectors of a text's tokens (tokens × hidden), as sentence-transformers does it."""
    if how == "cls":
        return np.asarray(hidden[0])
    if how == "max":
        return np.asarray(hidden.max(axis=0))
    if how == "lasttoken":
        return np.asarray(hidden[-1])
    if how == "weightedmean":
        weights = np.arange(1, len(hidden) + 1, dtype=np.float32)
        return np.asarray(weights @ hidden / weights.sum())
    total = hidden.sum(axis=0)
    return np.asarray(total / np.float32(len(hidden) if how == "mean" else np.sqrt(len(hidden))))


def batches(lengths: Sequence[int], budget: int) -> list[list[int]]:
    """Which texts are run together: of like length, longest first, at most `budget` tokens with their padding, and of
    these at most a twentieth padding (unless they are so few that it does not matter). `lengths` in tokens; each list
    holds indices into it.
    """
    found: list[list[int]] = []
    tokens = width = 0
    for n in sorted(range(len(lengths)), key=lambda n: (-lengths[n], n)):
        size = width * (len(found[-1]) + 1) if found else 0
        wasted = size - tokens - lengths[n]
        if not found or size > budget or (wasted > size * _PADDING and tokens > _FEW):
            found.append([])
            tokens, width = 0, lengths[n]
        found[-1].append(n)
        tokens += lengths[n]
    return found
