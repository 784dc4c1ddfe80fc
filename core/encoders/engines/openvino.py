"""BERT by OpenVINO on the processor, for documents: batches beside one another, bfloat16 where there is hardware for it.

The graph is built here from the mapped weights, without any file that another program would have to parse: half a second,
so nothing is kept that could go stale. The word table stays outside of it; only the rows of a batch are copied in.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Iterable, Iterator, Sequence
from typing import Any

import numpy as np
import openvino as ov
from openvino import opset13 as op

from core.encoders.bert import Bert, Floats, Ids, Unsupported
from core.encoders.engines.probe import Way, clock, fastest_way

_MANY = 2000  # texts for which it pays to find the best way first
_TYPICAL = 128  # tokens of the texts it is found with
_PROBED = 8192  # tokens by which each way is timed
_PRECISIONS = {"float32": "f32", "bfloat16": "bf16"}


class OpenvinoEngine:
    name = "openvino"

    def __init__(self, bert: Bert, precision: str = "float32"):
        self._bert, self.precision = bert, precision
        self._graph = _graph(bert)
        self._use(Way())

    @property
    def budget(self) -> int:
        return self._way.budget

    def _use(self, way: Way) -> None:
        self._way = way
        try:
            self._compile(way)
        except RuntimeError as error:  # a processor or a container that it does not know
            raise Unsupported(f"OpenVINO cannot run it here ({str(error).strip()[:200]})") from error

    def _compile(self, way: Way) -> None:
        config = {"INFERENCE_PRECISION_HINT": _PRECISIONS[self.precision], "NUM_STREAMS": way.streams}
        self._compiled = ov.Core().compile_model(self._graph, "CPU", config)

    def prepare(self, texts: int) -> None:
        if texts < _MANY:
            return
        way = fastest_way((ov.__version__, self.precision, self._bert.shape), self._seconds)
        if way != self._way:
            self._use(way)

    def _seconds(self, way: Way) -> float:
        """What a token takes, once the kernels for its batch's shape are made."""
        if way.streams != self._way.streams:
            self._use(way)
        length = min(_TYPICAL, len(self._bert.positions) - self._bert.shape.first_position)
        texts = way.budget // length
        batch, count = [np.zeros(length, dtype=np.int32)] * texts, max(2 * way.streams, _PROBED // way.budget)
        deque(self.run([batch] * way.streams), maxlen=0)
        return clock(lambda: deque(self.run([batch] * count), maxlen=0)) / (count * texts * length)

    def run(self, groups: Iterable[Sequence[Ids]]) -> Iterator[list[Floats]]:
        free = [self._compiled.create_infer_request() for _ in range(self._way.streams + 1)]
        busy: deque[tuple[Any, list[Any], Sequence[Ids]]] = deque()
        try:
            for group in groups:
                request, inputs = free.pop(), self._inputs(group)
                request.start_async(inputs, share_inputs=True)
                busy.append((request, inputs, group))
                if not free:
                    yield self._finish(busy, free)
            while busy:
                yield self._finish(busy, free)
        finally:
            for request, _, _ in busy:  # its inputs must outlive it
                request.wait()

    def _inputs(self, group: Sequence[Ids]) -> list[Any]:
        """Embedded tokens, float32 texts × tokens × hidden, and what is added to attention: 0, or much less for padding."""
        length = max(len(ids) for ids in group)
        ids = np.zeros((len(group), length), dtype=np.int32)
        mask = np.full((len(group), 1, 1, length), -1e4, dtype=np.float32)
        for row, one in enumerate(group):
            ids[row, : len(one)] = one
            mask[row, 0, 0, : len(one)] = 0
        places = np.arange(length) + self._bert.shape.first_position
        return [self._bert.embed_tokens(ids, places), mask]

    def _finish(self, busy: deque[tuple[Any, list[Any], Sequence[Ids]]], free: list[Any]) -> list[Floats]:
        request, _, group = busy[0]
        request.wait()
        busy.popleft()
        hidden = request.get_output_tensor(0).data
        found = [hidden[row, : len(ids)].astype(np.float32) for row, ids in enumerate(group)]
        free.append(request)
        return found


def _graph(bert: Bert) -> Any:
    shape, tensors = bert.shape, bert.tensors
    size = shape.hidden // shape.heads

    def constant(value: Any, dtype: Any = np.int64) -> Any:
        return op.constant(np.asarray(value, dtype=dtype))

    def linear(x: Any, name: str) -> Any:
        weight, bias = (op.constant(np.ascontiguousarray(tensors[f"{name}.{part}"])) for part in ("weight", "bias"))
        return op.add(op.matmul(x, weight, False, True), bias)

    def norm(x: Any, name: str) -> Any:
        weight, bias = (op.constant(tensors[f"{name}.LayerNorm.{part}"]) for part in ("weight", "bias"))
        return op.add(op.multiply(op.mvn(x, constant([-1]), True, shape.eps, "inside_sqrt"), weight), bias)

    def attend(x: Any, name: str) -> Any:
        parts = [
            op.transpose(
                op.reshape(linear(x, f"{name}.attention.self.{part}"), constant([0, 0, shape.heads, size]), True),
                constant([0, 2, 1, 3]),
            )
            for part in ("query", "key", "value")
        ]
        mixed = op.transpose(op.scaled_dot_product_attention(*parts, mask), constant([0, 2, 1, 3]))
        return linear(op.reshape(mixed, constant([0, 0, shape.hidden]), True), f"{name}.attention.output.dense")

    tokens = op.parameter(ov.PartialShape([-1, -1, shape.hidden]), np.float32)
    mask = op.parameter(ov.PartialShape([-1, 1, 1, -1]), np.float32)
    x = norm(tokens, "embeddings")
    for layer in range(shape.layers):
        name = f"encoder.layer.{layer}"
        x = norm(op.add(attend(x, name), x), f"{name}.attention.output")
        inner = op.gelu(linear(x, f"{name}.intermediate.dense"), "erf")
        x = norm(op.add(linear(inner, f"{name}.output.dense"), x), f"{name}.output")
    return ov.Model([x], [tokens, mask], "bert")
