"""Temporary: replaced by the tokenizer room."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from core.errors import CorruptError, MissingError


class Tokenizer:
    def __init__(self, path: Path):
        from tokenizers import Tokenizer as Library

        if not path.is_file():
            raise MissingError(
                "this model has no tokenizer.json, which counting tokens needs",
                path=path.parent,
                fix="load and save it once with a recent sentence-transformers: "
                "SentenceTransformer(NAME).save_pretrained(FOLDER)",
            )
        try:
            self._library = Library.from_file(str(path))
        except Exception as error:  # the library raises nothing narrower
            raise CorruptError(f"no tokenizer ({error})", path=path, fix="fetch the model again") from error
        self._path = path
        self._library.no_padding()
        self._library.no_truncation()

    def columns(self) -> dict[str, NDArray[np.uint8]]:
        return {"tokenizer.json": np.frombuffer(self._path.read_bytes(), dtype=np.uint8)}

    def ids(self, texts: Sequence[str], max_tokens: int | None = None) -> list[list[int]]:
        if max_tokens:
            self._library.enable_truncation(max_tokens)
        try:
            return [e.ids for e in self._library.encode_batch(list(texts))]
        finally:
            self._library.no_truncation()

    def starts(self, text: str) -> NDArray[np.int64]:
        offsets = self._library.encode(text, add_special_tokens=False).offsets
        return np.array([start for start, _ in offsets], dtype=np.int64)

    def count(self, text: str) -> int:
        return len(self._library.encode(text))


def open_tokenizer(path: Path) -> Tokenizer:
    return Tokenizer(path)


def tokenizer_from_table(table: Any) -> Tokenizer:
    import tempfile

    path = Path(tempfile.mkdtemp()) / "tokenizer.json"
    path.write_bytes(table.array("tokenizer.json", "|u1").tobytes())
    return Tokenizer(path)
