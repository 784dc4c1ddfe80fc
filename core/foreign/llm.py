"""The embeddings of simonw/llm: a SQLite file with the tables `collections` and `embeddings`."""

from __future__ import annotations

from pathlib import Path

from core.errors import UsageError
from core.foreign import Choice, Foreign, choose
from core.foreign.database import read_only, stack


def read(path: Path, choice: Choice) -> Foreign:
    """One collection. Its texts are there only if they were stored (`llm embed-multi --store`).

    Raises UsageError (no such collection, several to choose from), CorruptError.
    """
    with read_only(path, ("collections", "embeddings"), "llm's embeddings") as connection:
        models = {
            str(name): (id, model) for id, name, model in connection.execute("SELECT id, name, model FROM collections")
        }
        name = choose(sorted(models), choice.collection, path, "collection", "--collection")
        number, model = models[name]
        rows = connection.execute(
            "SELECT id, embedding, content FROM embeddings WHERE collection_id = ? ORDER BY rowid", [number]
        ).fetchall()
    if not rows:
        raise UsageError(f"the collection {name!r} is empty", path=path, fix="choose another one with --collection")
    ids, blobs, texts = zip(*rows, strict=True)
    stored = list(texts) if all(isinstance(text, str) for text in texts) else None
    notes = (f"collection {name}, made by {model}",)
    return Foreign("llm", str(path), stack(blobs, path), texts=stored, ids=[str(id) for id in ids], notes=notes)
