"""Engines run a BERT: token ids in, the vectors of every token out. Which one is best depends on how much there is to do.

`numpy` needs nothing but the mapped weights, so it answers a query 20 ms after the process has started. `openvino` takes
half a second to start and then works through documents several times as fast, in bfloat16 where the processor has it.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from typing import Protocol

from core.encoders.bert import Bert, Floats, Ids
from core.registry import Registry

ENGINES = Registry(
    "engine",
    {"numpy": "core.encoders.engines.numpy:NumpyEngine", "openvino": "core.encoders.engines.openvino:OpenvinoEngine"},
    extras={"openvino": "openvino"},
)


class Engine(Protocol):
    name: str
    precision: str
    budget: int  # tokens of one batch, padding included

    def __init__(self, bert: Bert, precision: str): ...

    def prepare(self, texts: int) -> None:
        """Many texts are coming, or few: what costs time to find out is worth it only for many."""
        ...

    def run(self, groups: Iterable[Sequence[Ids]]) -> Iterator[list[Floats]]:
        """For every group of texts (their token ids, special tokens included, at least one a text), in order: one array
        a text, float32, tokens × hidden. A group is taken from the iterable while the one before is computed.
        """
        ...
