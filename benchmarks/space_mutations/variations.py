"""python benchmarks/space_mutations/variations.py DATA [--out FILE]: 200 honest variations, and 200 random harmful changes.

Honest: every runtime of this machine, canaries alone, in other batches, orders and company. Harmful: noise on the weights at
falling levels, layers put in another's place, prompts in part. A change counts as harmful where the ten nearest of real
queries overlap by less than 0.95; it has to be refused then. The curve of both figures is the measured threshold.
"""

from __future__ import annotations

import argparse
import json
import sys
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np

sys.path.insert(0, str(Path(__file__).parents[2]))

from core.config import open_encoder
from core.encoders import Encoder
from core.encoders.altered import Altered
from core.space.canaries import SIDES, compare
from core.space.record import SpaceRecord, record_space
from core.space.verify import verify_space

CORPUS = {"minilm": "scifact", "multilingual-e5-small-q4": "xquad-zh"}
ROWS, QUERIES = 1000, 60
OVERLAP = 0.95


def read(path: Path, count: int) -> list[str]:
    return [json.loads(line)["text"][:400] for line in path.read_text().splitlines()[:count]]


def honest(record: SpaceRecord, model: str, count: int, company: list[str]) -> Iterator[dict[str, Any]]:
    """The canaries among other texts, in another order, in batches of another size, by every runtime in turn."""
    rng = np.random.default_rng(7)
    runtimes: list[Encoder] = []
    for work in ("queries", "documents", "reference"):
        encoder = open_encoder(model, work)  # type: ignore[arg-type]
        _ = encoder.runtime_name
        runtimes.append(encoder)
        if work == "documents":
            slower = open_encoder(model, work)
            if slower.fall_back():
                runtimes.append(slower)
    for number in range(count):
        encoder = runtimes[number % len(runtimes)]
        worst = 0.0
        for side in SIDES:
            texts = record.canaries.inputs(encoder.space, side)
            others = [company[n] for n in rng.choice(len(company), size=int(rng.integers(0, 30)), replace=False)]
            mixed = [*texts, *others]
            order = rng.permutation(len(mixed))
            size = int(rng.integers(1, len(mixed) + 1))
            found = np.zeros((len(mixed), encoder.space.dimension), dtype=np.float32)
            for start in range(0, len(order), size):
                part = order[start : start + size]
                found[part] = encoder.embed([mixed[n] for n in part], side)
            agreement = compare({side: record.canaries.vectors(side)}, {side: found[: len(texts)]}, 1.0)
            worst = max(worst, agreement.worst_distance, agreement.worst_length)
        yield {"runtime": encoder.runtime_name, "moved": worst, "refused": worst > record.tolerance}


def harmful(record: SpaceRecord, encoder: Any, count: int, rows: Any, queries: list[str]) -> Iterator[dict[str, Any]]:
    rng = np.random.default_rng(11)
    plain = Altered(encoder, encoder.space)
    before = nearest(plain, rows, queries)
    layers = plain.parts()[0].shape.layers
    pool = rng.standard_normal(1 << 22, dtype=np.float32)
    for number in range(count):
        space = encoder.space
        if number % 5 == 3 and layers > 1:
            a, b = rng.choice(layers, size=2, replace=False).tolist()
            what, model = f"layer {a} in the place of {b}", Swapped(encoder, a, b)
        elif number % 5 == 4:
            prompt = space.query_prompt or "query: "
            kept = int(rng.integers(0, len(prompt)))
            changed = replace(space, query_prompt=prompt[:kept] if space.query_prompt else prompt[: kept + 1])
            what, model = f"query prompt {changed.query_prompt!r}", Altered(encoder, changed)
        else:
            level = float(np.exp(rng.uniform(np.log(0.003), np.log(0.3))))
            start = int(rng.integers(0, len(pool) // 2))

            def noisy(name: str, tensor: Any, level: float = level, start: int = start) -> Any:
                noise = np.resize(pool[start:], tensor.shape)
                return (tensor + noise * np.float32(level * tensor.std())).astype(np.float32)

            what, model = f"noise {level:.4f}", Altered(encoder, space, weights=noisy)
        verdict = verify_space(replace(record, space=model.space), model, short=True, sides=("query",))
        everything = verify_space(replace(record, space=model.space), model)
        shares = [len(a & b) / 10 for a, b in zip(before, nearest(model, rows, queries), strict=True)]
        yield {
            "change": what,
            "moved": max(verdict.agreement.worst_distance, verdict.agreement.worst_length),
            "overlap": round(float(np.mean(shares)), 4),
            "refused by search": not verdict.accepted,
            "refused by verify-space": not everything.accepted,
        }


class Swapped(Altered):
    """One layer's weights in the place of another's."""

    def __init__(self, encoder: Any, a: int, b: int):
        self._pair = (a, b)
        super().__init__(encoder, encoder.space)

    def _bert(self) -> Any:
        a, b = (f"encoder.layer.{n}." for n in self._pair)
        bert = self._original._bert()
        tensors = dict(bert.tensors)
        tensors.update({name.replace(b, a): bert.tensors[name] for name in tensors if name.startswith(b)})
        return replace(bert, tensors=tensors)


def nearest(model: Altered, rows: Any, queries: list[str]) -> list[set[int]]:
    scores = model.embed(queries, "query") @ rows.T
    return [set(np.argsort(-one, kind="stable")[:10].tolist()) for one in scores]


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("data", type=Path)
    parser.add_argument("--models", nargs="*", default=list(CORPUS))
    parser.add_argument("--count", type=int, default=100, help="of each kind, for each model")
    parser.add_argument("--out", type=Path)
    options = parser.parse_args()
    results: dict[str, Any] = {}
    for model in options.models:
        folder = options.data / "retrieval" / CORPUS[model]
        texts, queries = read(folder / "corpus.jsonl", ROWS), read(folder / "queries.jsonl", QUERIES)
        documents = open_encoder(model, "documents")
        record = record_space(documents)
        rows = documents.embed(texts, "passage")
        good = list(honest(record, model, options.count, texts))
        bad = list(harmful(record, open_encoder(model), options.count, rows, queries))
        missed = [one for one in bad if one["overlap"] < OVERLAP and not one["refused by search"]]
        by_runtime = {one["runtime"]: max(x["moved"] for x in good if x["runtime"] == one["runtime"]) for one in good}
        results[model] = {
            "tolerance": record.tolerance,
            "honest": {"tried": len(good), "refused": sum(one["refused"] for one in good), "moved at most": by_runtime},
            "harmful": {
                "tried": len(bad),
                "below the overlap": sum(one["overlap"] < OVERLAP for one in bad),
                "of these not refused": len(missed),
                "least moved of these": min((one["moved"] for one in bad if one["overlap"] < OVERLAP), default=None),
                "refused though harmless": sum(one["refused by search"] and one["overlap"] >= OVERLAP for one in bad),
            },
            "curve": sorted(bad, key=lambda one: one["moved"]),
        }
        print(model, json.dumps({name: part for name, part in results[model].items() if name != "curve"}), flush=True)
    if options.out:
        options.out.write_text(json.dumps(results, ensure_ascii=False, indent=1) + "\n")


if __name__ == "__main__":
    main()
