"""python benchmarks/space_mutations/foreign.py STORES_PYTHON [OUT]: are vectors that other tools wrote known again?

The sample corpus is cut into texts and embedded by minilm. STORES_PYTHON, the Python of an environment with
requirements.txt, writes them into Chroma, LanceDB, FAISS, llm and parquet by their own code. Then `samespace verify-space
--vectors` is asked with the model, with another one of the same dimension, and by --identify; no byte of a store may
change. Packages that ours has not (lancedb, pyarrow) are taken from STORES_PYTHON.
"""

from __future__ import annotations

import hashlib
import json
import os
import subprocess
import sys
import tempfile
import time
from pathlib import Path

ROOT = Path(__file__).parents[2]
sys.path[:0] = [str(ROOT), str(ROOT / "benchmarks")]

from measure import environment, printed, report, versions  # noqa: E402

MODEL, OTHER = "minilm", "multilingual-e5-small-q4"
ASK = "import sys; sys.path.append(sys.argv.pop(1)); from cli.main import main; main()"  # packages that ours has not


def texts() -> list[dict[str, str]]:
    """English paragraphs of the sample corpus, each once."""
    paths = sorted(path for path in (ROOT / "sample_corpus" / "en").rglob("*") if path.suffix in (".md", ".txt"))
    parts = (part.strip() for path in paths for part in path.read_text(encoding="utf-8").split("\n\n"))
    kept = dict.fromkeys(part for part in parts if len(part) > 60)
    return [{"_id": f"p{n}", "text": text} for n, text in enumerate(kept)]


def digest(path: Path) -> str:
    files = sorted(one for one in path.rglob("*") if one.is_file()) if path.is_dir() else [path]
    return hashlib.sha256(b"".join(f"{one.name}\0".encode() + one.read_bytes() for one in files)).hexdigest()


def ask(packages: str, *words: object) -> dict[str, object]:
    start = time.perf_counter()
    command = [sys.executable, "-c", ASK, packages, "verify-space", *map(str, words), "--json"]
    done = subprocess.run(command, capture_output=True, env=environment({"PYTHONPATH": str(ROOT)}), check=False)
    said = json.loads(done.stdout) if done.stdout else {"message": done.stderr.decode()[-500:]}
    said = {**said, **said.get("details", {})}
    kept = (
        "accepted",
        "identified",
        "sampled",
        "agreeing",
        "others_at_most",
        "mean_cosine",
        "negative",
        "worst_distance",
    )
    figures = {name: said[name] for name in kept if name in said}
    if done.returncode not in (0, 1, 13):
        figures["message"] = said.get("message")
    return {"exit": done.returncode, **figures, "seconds": round(time.perf_counter() - start, 1)}


def main() -> None:
    python = Path(sys.argv[1])
    with tempfile.TemporaryDirectory() as temporary:
        folder = Path(sys.argv[2] if len(sys.argv) > 2 else temporary)
        folder.mkdir(parents=True, exist_ok=True)
        import numpy as np

        from core.config import open_encoder

        records = texts()
        (folder / "texts.jsonl").write_text("".join(json.dumps(one) + "\n" for one in records), encoding="utf-8")
        np.save(folder / "vectors.npy", open_encoder(MODEL).embed([one["text"] for one in records], "passage"))
        stores = printed([python, Path(__file__).with_name("stores.py"), folder])
        packages = subprocess.run(
            [python, "-c", "import sysconfig; print(sysconfig.get_path('purelib'))"], capture_output=True, check=True
        ).stdout.decode().strip()  # fmt: skip
        found: dict[str, object] = {}
        own_texts = ("chroma", "chroma-graph", "lancedb", "vectors.parquet", "embeddings.db")
        for name in ("vectors.npy", *own_texts, "flat.faiss", "map.faiss", "graph.faiss"):
            what = ["--vectors", folder / name] + ([] if name in own_texts else ["--texts", folder / "texts.jsonl"])
            before = digest(folder / name)
            answers = {
                "the model": ask(packages, *what, "--model", MODEL),
                "another": ask(packages, *what, "--model", OTHER),
                "identify": ask(packages, *what, "--identify"),
            }
            right = [answers[how]["exit"] for how in answers] == [0, 13, 0] and answers["identify"][
                "identified"
            ] == MODEL
            found[name] = {**answers, "right": right, "unchanged": digest(folder / name) == before}
            print(name, right, found[name]["unchanged"], file=sys.stderr)  # type: ignore[index]
        right = sum(one["right"] and one["unchanged"] for one in found.values())  # type: ignore[index]
        summary = {"texts": len(records), "stores": len(found), "right and unchanged": right}
        report("foreign", {**summary, "versions": {**versions("numpy", "tokenizers"), **stores}, "answers": found})
        sys.exit(0 if right == len(found) else 1)


if __name__ == "__main__":
    os.environ.setdefault("TOKENIZERS_PARALLELISM", "true")
    main()
