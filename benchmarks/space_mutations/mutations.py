"""python benchmarks/space_mutations/mutations.py DATA [--out FILE]: twelve things done to a model, at all three doors.

Each mutation, in English (SciFact) and Chinese (xquad-zh), for both offline models, with honest stamps (the change is
declared) and lying ones (files change, stamps do not): is it refused by `search`, `verify-space` and `embed`, is it named
rightly, and are the harmless ones accepted?
"""

from __future__ import annotations

import argparse
import contextlib
import json
import shutil
import sys
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any
from unittest.mock import patch

sys.path.insert(0, str(Path(__file__).parents[2]))

from benchmarks.space_mutations.mutants import MUTATIONS, Mutation, copied, mutant, not_normalised
from core.encoders import Encoder
from core.errors import SpaceMismatchError
from core.index.reader import open_index
from core.pipeline.build import build
from core.pipeline.chunk import chunk
from core.pipeline.embed import embed
from core.pipeline.ingest import ingest
from core.pipeline.search import Search, SearchSettings
from core.pipeline.spaces import read_space
from core.space.diagnose import diagnose
from core.space.verify import judge
from core.types import Query

CORPORA = {"en": "scifact", "zh": "xquad-zh"}
DOCUMENTS = 40


def written(data: Path, corpus: str, out: Path) -> tuple[Path, str]:
    """A folder of some documents, the first three longer than any model takes, and a query."""
    folder = out / corpus
    shutil.rmtree(folder, ignore_errors=True)
    folder.mkdir(parents=True)
    lines = (data / "retrieval" / corpus / "corpus.jsonl").read_text().splitlines()
    texts = [json.loads(line)["text"] for line in lines[: DOCUMENTS + 30]]
    for number in range(DOCUMENTS):
        text = " ".join(texts[number : number + 10]) if number < 3 else texts[number][:600]
        (folder / f"{number}.txt").write_text(text)
    query = json.loads((data / "retrieval" / corpus / "queries.jsonl").read_text().splitlines()[0])["text"]
    return folder, query


@contextlib.contextmanager
def answering(encoder: Encoder) -> Iterator[None]:
    """Every door is given this encoder."""
    with (
        patch("core.pipeline.spaces.asked_encoder", lambda *a, **k: encoder),
        patch("core.pipeline.embed.asked_encoder", lambda *a, **k: encoder),
    ):
        yield


def refused(call: Any) -> tuple[bool, str]:
    """Whether it was refused for its space, and the cause that was named."""
    try:
        call()
    except SpaceMismatchError as error:
        diagnosis = error.details.get("diagnosis") or {}
        return True, str(diagnosis.get("cause", ""))
    return False, ""


def at_the_doors(
    mutation: Mutation, index: Path, corpus: Path, query: str, encoder: Encoder, named: str
) -> dict[str, Any]:
    """`named`: the cause as it was found for the same encoder and canaries before; "" where it is to be found."""
    start = time.perf_counter()
    with contextlib.ExitStack() as stack:
        stack.enter_context(answering(encoder))
        if named:
            stack.enter_context(patch("core.space.verify.explained", lambda verdict, *a: verdict))
        searched, cause = refused(
            lambda: Search(open_index(index), SearchSettings(mode="dense")).search(Query("1", query))
        )
    record = read_space(open_index(index))
    verified = not judge(record, encoder).accepted
    cause = cause or named
    if verified and not cause:
        cause = diagnose(record, encoder).cause
    copy = index.with_name("copy.index")
    shutil.rmtree(copy, ignore_errors=True)
    shutil.copytree(index, copy)
    new = corpus / "new.txt"
    new.write_text("A page that was written after the model changed. 模型变了以后才写的一页。")
    try:
        ingest(copy, [str(corpus)])
        chunk(copy)
        with answering(encoder), patch("core.space.verify.explained", lambda verdict, *a: verdict):
            embedded, _ = refused(lambda: embed(copy))
    finally:
        new.unlink()
    if mutation.harmless:
        right = not (searched or verified or embedded)
    else:
        right = verified and embedded and (searched or not mutation.query) and cause in mutation.cause
    return {
        "search": "refused" if searched else "accepted",
        "verify-space": "refused" if verified else "accepted",
        "embed": "refused" if embedded else "accepted",
        "named": cause,
        "right": right,
        "seconds": round(time.perf_counter() - start, 1),
    }


def indexes(
    model: str, folders: dict[str, Path], data: Path, work: Path
) -> dict[str, tuple[dict[str, Path], Path, str]]:
    """By language: an index by each of the folders, the documents, and a query."""
    found = {}
    for language, name in CORPORA.items():
        corpus, query = written(data, name, work)
        made = {}
        for kind, folder in folders.items():
            made[kind] = work / model / language / f"{kind}.index"
            shutil.rmtree(made[kind], ignore_errors=True)
            build(made[kind], [str(corpus)], model=str(folder))
        found[language] = (made, corpus, query)
    return found


def cells_of(model: str, data: Path, work: Path, only: str = "") -> Iterator[dict[str, Any]]:
    folders = {"base": copied(model, work / model / "base"), "plain": copied(model, work / model / "plain")}
    not_normalised(folders["plain"], model)
    made = indexes(model, folders, data, work)
    for mutation in (one for one in MUTATIONS if only in one.name):
        is_dot = mutation.cause == ("metric",)
        kind = "plain" if is_dot else "base"
        for stamps in ("honest", "lying"):
            named = ""
            encoder = mutant(mutation, model, work / model, stamps == "honest", folders[kind])
            for language, (index, corpus, query) in made.items():
                if is_dot and stamps == "lying":
                    note = "cannot be: how vectors are compared is on the index's record"
                    cell: dict[str, Any] = {"right": True, "note": note}
                else:
                    cell = at_the_doors(mutation, index[kind], corpus, query, encoder, named)
                    named = cell["named"]
                yield {"model": model, "language": language, "mutation": mutation.name, "stamps": stamps, **cell}


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("data", type=Path)
    parser.add_argument("--work", type=Path, default=Path(".bench/mutations"))
    parser.add_argument("--models", nargs="*", default=["minilm", "multilingual-e5-small-q4"])
    parser.add_argument("--only", default="", help="mutations whose name holds this")
    parser.add_argument("--out", type=Path)
    options = parser.parse_args()
    cells = []
    for model in options.models:
        for cell in cells_of(model, options.data, options.work, options.only):
            cells.append(cell)
            print(json.dumps(cell, ensure_ascii=False), flush=True)
    wrong = [cell for cell in cells if not cell["right"]]
    print(f"{len(cells) - len(wrong)} of {len(cells)} cells are right")
    if options.out:
        options.out.write_text(json.dumps({"cells": cells, "wrong": len(wrong)}, ensure_ascii=False, indent=1) + "\n")


if __name__ == "__main__":
    main()
