"""Cold queries: a whole process from its start to the answer, beside what a user would write by hand.

    python benchmarks/cold.py semantic CORPUS.jsonl --model minilm [--chunks 10000]
    python benchmarks/cold.py lexical CORPUS.jsonl --peers .venv-peers

`semantic` builds an index of the first passages (work lies in .bench, and is used again), and asks it by meaning; beside
it runs peers/six_lines.py: sentence-transformers and NumPy over the same vectors. `lexical` asks for words; from both
sides the time of a bare process is taken off. Each answers from what its own users have on their disk.
"""

from __future__ import annotations

import argparse
import json
import subprocess
import sys
from itertools import islice
from pathlib import Path

import numpy as np
from measure import SAMESPACE, in_turns, process, records, report, versions

WORK = Path(".bench")
QUERIES = ["how does a server close an idle connection", "which header names the next hop"]
HERE = Path(__file__).parent


def corpus_of(source: Path, count: int, folder: Path, characters: int) -> Path:
    """The first `count` passages of `source` (BEIR's corpus.jsonl), cut to `characters`, as a corpus of their own."""
    path = folder / "corpus.jsonl"
    if not path.exists():
        folder.mkdir(parents=True, exist_ok=True)
        rows = islice(records(source), count)
        lines = [json.dumps({**row, "text": row["text"][:characters]}, ensure_ascii=False) for row in rows]
        path.write_text("\n".join(lines) + "\n", encoding="utf-8")
    return path


def build(corpus: Path, index: Path, model: str) -> None:
    if not (index / "samespace.json").exists():
        words = [*SAMESPACE, "build", str(corpus), "--to", str(index), "--model", model, "--chunker", "none"]
        subprocess.run(words, check=True, stdout=subprocess.DEVNULL)


def semantic(options: argparse.Namespace) -> None:
    from core.config import open_encoder
    from core.index.reader import open_index

    folder = WORK / f"semantic-{options.model}-{options.chunks}"
    index = folder / "index"
    build(corpus_of(options.corpus, options.chunks, folder, 400), index, options.model)
    segments = open_index(index).segments
    vectors = np.concatenate([segment.vectors.array("vectors", "<f4", 2) for segment in segments])
    np.save(folder / "vectors.npy", vectors)
    encoder = open_encoder(options.model)
    by_hand = [sys.executable, HERE / "peers/six_lines.py", encoder.folder, folder / "vectors.npy", QUERIES[0]]  # type: ignore[attr-defined]
    by_hand += [encoder.space.query_prompt] if encoder.space.query_prompt else []
    found = in_turns(
        {
            "samespace dense": process([*SAMESPACE, "search", index, QUERIES[0], "--mode", "dense"]),
            "samespace hybrid": process([*SAMESPACE, "search", index, QUERIES[0]]),
            "six lines": process(by_hand),
        }
    )
    ratio = found["six lines"]["median"] / found["samespace dense"]["median"]
    packages = versions("sentence-transformers", "torch", "numpy", "tokenizers")
    report(
        f"cold-{options.model}",
        {"chunks": len(vectors), "seconds": found, "ratio": round(ratio, 1), "versions": packages},
    )


def lexical(options: argparse.Namespace) -> None:
    folder = WORK / f"lexical-{options.chunks}"
    corpus, index, python = corpus_of(options.corpus, options.chunks, folder, 10_000), folder / "index", options.peers
    build(corpus, index, "hashing")
    peers = {name: folder / name for name in ("bm25s", "tantivy")}
    for name, place in peers.items():
        if not place.exists():
            subprocess.run([python, HERE / f"peers/{name}_query.py", "build", corpus, place], check=True)
    found = in_turns(
        {
            "samespace": process([*SAMESPACE, "search", index, QUERIES[0], "--mode", "lexical"]),
            "bare typer and numpy": process([sys.executable, "-c", "import typer, numpy"]),
            "bm25s": process([python, HERE / "peers/bm25s_query.py", peers["bm25s"], QUERIES[0]]),
            "tantivy": process([python, HERE / "peers/tantivy_query.py", peers["tantivy"], QUERIES[0]]),
            "bare numpy": process([python, "-c", "import numpy"]),
            "bare python": process([python, "-c", "pass"]),
        },
        repeats=11,
    )
    ours = found["samespace"]["median"] - found["bare typer and numpy"]["median"]
    theirs = found["bm25s"]["median"] - found["bare numpy"]["median"]
    other = found["tantivy"]["median"] - found["bare python"]["median"]
    above = {"samespace": ours, "bm25s": theirs, "tantivy": other}
    report(
        "cold-lexical",
        {"passages": options.chunks, "seconds": found, "above a bare process": above, "ratio": round(theirs / ours, 1)},
    )


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("what", choices=["semantic", "lexical"])
    parser.add_argument("corpus", type=Path)
    parser.add_argument("--model", default="minilm")
    parser.add_argument("--chunks", type=int, default=10_000)
    parser.add_argument("--peers", default=".venv-peers/bin/python", help="the Python of the peers' environment")
    options = parser.parse_args()
    (semantic if options.what == "semantic" else lexical)(options)


if __name__ == "__main__":
    main()
