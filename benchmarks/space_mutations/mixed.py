"""Mixed indexes: is what another model embedded found, as often as statistics promises, and mended, it alone?

    python benchmarks/space_mutations/mixed.py DATA/retrieval [--chunks 1000] [--draws 200] [--out FILE]

An index of the first texts of scifact by each of two models of 384 dimensions; then 0.3, 1, 5 and 50 % of its rows are
replaced by the vectors that the other model gives the same texts, with honest digests. `--sample 300` is drawn with many
seeds (the texts are embedded once and remembered) and its hits are compared with the hypergeometric chance; `--all` has to
find exactly those rows, `--repair` to mend exactly them. The tests without a model see the mixed indexes, and honest ones of
other corpora in English, Chinese, both, and code.
"""

from __future__ import annotations

import argparse
import hashlib
import json
import math
import shutil
import sys
import tempfile
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np

sys.path.insert(0, str(Path(__file__).parent.parent))

from measure import records, versions

from core.check import check
from core.config import open_encoder
from core.index import fs
from core.index.columns import write_columns
from core.index.generation import current_line, generation_name
from core.index.reader import open_index
from core.pipeline.alone import look_alone
from core.pipeline.build import build
from core.pipeline.compare import compare_sample
from core.pipeline.spaces import read_space
from core.pipeline.verify_rows import verify_rows
from core.space.verify import judge

MODELS = ("minilm", "multilingual-e5-small-q4")
SHARES = (0.003, 0.01, 0.05, 0.5)
HONEST = (("xquad-en",), ("xquad-zh",), ("xquad-en", "xquad-zh"), ("cosqa",), ("cranfield",))
SAMPLE = 300
CHARACTERS = 400


class Remembering:
    """An encoder that embeds a text once; everything else is the encoder's own."""

    def __init__(self, encoder: Any):
        self._encoder, self._known = encoder, {}

    def __getattr__(self, name: str) -> Any:
        return getattr(self._encoder, name)

    def embed(self, texts: Sequence[str], side: str) -> Any:
        new = [text for text in dict.fromkeys(texts) if (side, text) not in self._known]
        if new:
            found = self._encoder.embed(new, side)
            self._known.update({(side, text): vector for text, vector in zip(new, found, strict=True)})
        return np.stack([self._known[side, text] for text in texts])


def indexed(data: Path, names: Sequence[str], count: int, model: str, folder: Path) -> Path:
    """An index, a chunk a document, of the first `count` texts of each collection."""
    source, root = folder / "-".join(names), folder / f"{'-'.join(names)}-{model}.index"
    source.mkdir(exist_ok=True)
    rows = [row for name in names for row in records(data / name / "corpus.jsonl")[:count]]
    lines = [
        json.dumps({"_id": f"d{n}", "title": row.get("title", ""), "text": row["text"][:CHARACTERS]})
        for n, row in enumerate(rows)
    ]
    (source / "corpus.jsonl").write_text("\n".join(lines) + "\n", encoding="utf-8")
    build(root, [str(source)], model=model, chunker="none")
    return root


def mix(honest: Path, other: Path, share: float, root: Path) -> np.ndarray:
    """Copy `honest` to `root` with a share of its rows from `other`, of the same documents. Returns these rows."""
    shutil.copytree(honest, root)
    index, foreign = open_index(root), open_index(other)
    (segment,), (source,) = index.segments, foreign.segments
    assert [*segment.document_ids()] == [*source.document_ids()]
    table, count = segment.vectors, segment.segment.chunks
    rows = np.sort(np.random.default_rng(7).choice(count, size=round(share * count), replace=False))
    columns = {
        name: table.array(name, dtype, ndim).copy()
        for name, dtype, ndim in (
            ("vectors", "<f4", 2), ("norms", "<f4", 1), ("texts", "|u1", 2), ("runs", "<i4", 1),
            ("canaries_query", "<f4", 2), ("canaries_passage", "<f4", 2),
        )
    }  # fmt: skip
    columns["vectors"][rows] = source.vectors.array("vectors", "<f4", 2)[rows]
    columns["norms"] = np.linalg.norm(columns["vectors"], axis=1).astype(np.float32)
    name = segment.segment.files(segment.view)["vectors"]
    digest = fs.write(root / name, write_columns(columns))
    generation = replace(index.generation, files={**index.generation.files, name: digest})
    data = generation.to_bytes()
    (root / generation_name(generation.generation)).write_bytes(data)
    line = current_line(generation.generation, hashlib.sha256(data).hexdigest())
    (root / "CURRENT").write_bytes(line)
    return rows


def promised(count: int, foreign: int, drawn: int) -> float:
    """The chance that a sample without replacement holds at least one foreign row."""
    return 1 - math.comb(count - foreign, drawn) / math.comb(count, drawn)


def alone(root: Path) -> dict[str, Any]:
    findings = look_alone(root)
    worst = {finding.check: finding.message for finding in findings if finding.severity in ("error", "warning")}
    return {
        "errors": [finding.check for finding in findings if finding.severity == "error"],
        "warnings": [finding.check for finding in findings if finding.severity == "warning"],
        "messages": worst,
        "strangers": next((dict(f.details) for f in findings if f.check == "populations"), {}),
    }


def vectors_of(root: Path) -> np.ndarray:
    return np.concatenate([segment.vectors.array("vectors", "<f4", 2) for segment in open_index(root).segments])


def trial(honest: Path, other: Path, share: float, encoder: Any, draws: int, root: Path) -> dict[str, Any]:
    rows = mix(honest, other, share, root)
    index = open_index(root)
    record = read_space(index)
    verdict = judge(record, encoder)
    count, held, hits = index.segments[0].segment.chunks, 0, 0
    for seed in range(draws):
        found = compare_sample(index, record, encoder, SAMPLE, seed)
        hits += bool(found.foreign)
        held += found.bound >= len(rows) / count
    chance, before, without = promised(count, len(rows), SAMPLE), vectors_of(root), alone(root)
    every = verify_rows(root, record, encoder, verdict)
    mended = verify_rows(root, record, encoder, verdict, repair=True)
    after, right = vectors_of(root), vectors_of(honest)
    changed = np.flatnonzero((before != after).any(axis=1))
    again = verify_rows(root, record, encoder, verdict)
    return {
        "share": share,
        "chunks": count,
        "foreign": len(rows),
        "draws": draws,
        "sample_finds": round(hits / draws, 4),
        "promised": round(chance, 4),
        "standard_error": round(math.sqrt(chance * (1 - chance) / draws), 4),
        "bound_holds": round(held / draws, 4),
        "all_finds_exactly": sorted(row.row for row in every.comparison.foreign) == rows.tolist(),
        "repair_changes_exactly": changed.tolist() == rows.tolist(),
        "repaired_least_cosine": round(float((after[rows] * right[rows]).sum(axis=1).min()), 6),
        "foreign_after": len(again.comparison.foreign),
        "mended": mended.mended and mended.mended.rows,
        "check_read_data": sorted({f.severity for f in check(root, read_data=True)}),
        "without_model": without,
    }


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("data", type=Path, help="a folder of BEIR's collections")
    parser.add_argument("--chunks", type=int, default=1000)
    parser.add_argument("--draws", type=int, default=200, help="samples of each mixed index")
    parser.add_argument("--out", type=Path, default=Path(__file__).parent.parent / "results" / "mixed.json")
    options = parser.parse_args()
    found: dict[str, Any] = {"sample": SAMPLE, "trials": {}, "honest": {}}
    with tempfile.TemporaryDirectory() as temporary:
        folder = Path(temporary)
        roots = {model: indexed(options.data, ("scifact",), options.chunks, model, folder) for model in MODELS}
        for own, other in (MODELS, MODELS[::-1]):
            encoder = Remembering(open_encoder(own, "documents"))
            trials = found["trials"].setdefault(f"{own} with rows of {other}", [])
            for share in SHARES:
                root = folder / f"{own}-{share}.index"
                trials.append(trial(roots[own], roots[other], share, encoder, options.draws, root))
                print(json.dumps(trials[-1]), file=sys.stderr, flush=True)
            found["honest"][f"scifact, {own}"] = alone(roots[own])
        for names in HONEST:
            for model in MODELS:
                root = indexed(options.data, names, options.chunks // 4, model, folder)
                found["honest"][f"{'+'.join(names)}, {model}"] = alone(root)
    found["versions"] = versions("numpy", "openvino")
    options.out.write_text(json.dumps(found, indent=1, ensure_ascii=False) + "\n", encoding="utf-8")
    print(json.dumps(found, ensure_ascii=False))


if __name__ == "__main__":
    main()
