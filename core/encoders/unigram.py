"""A large Unigram vocabulary (XLM-R has 250,002 pieces) as columns that are used as they lie: a short text needs a few
hundred of its pieces, and the library's own Unigram made of those alone gives the same tokens in a hundredth of the time.

Why they are the same (tokenizers/src/models/unigram/model.rs, `encode_optimized`, after Kudo 2018, arXiv:1804.10959): a
piece takes part in the lattice of a word only where it is a part of that word; ties go to the earlier start and the
lower end, never to an id; and the penalty of an unknown character is the least score of the vocabulary minus ten. So
any selection that holds every piece which is a part of the words, and the piece of the least score, decides alike.
Pieces too many change nothing, which is why the hashes here need no second look at the text.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator, Mapping, Sequence
from functools import cached_property
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from core.errors import CorruptError
from core.index.columns import Strings, Table

Renumber = Callable[[list[int]], list[int]]

_FACTOR = np.uint64(0x9E3779B97F4A7C15)  # odd; 2^64 divided by the golden ratio
_MODEL_KEYS = {"type", "unk_id", "vocab", "byte_fallback"}  # a model that has more may tokenize in more ways than one
_BYTES = "".join(f"<0x{byte:02X}>" for byte in range(256))


def _codes(text: str) -> NDArray[np.uint64]:
    """The code points of `text`, each plus one: a NUL counts too."""
    return np.frombuffer(text.encode("utf-32-le"), dtype="<u4").astype(np.uint64) + np.uint64(1)


def _hashes(pieces: Sequence[str], lengths: NDArray[np.int64]) -> NDArray[np.uint64]:
    """One hash a piece: the polynomial of its code points modulo 2^64 (Rabin and Karp 1987)."""
    codes = _codes("".join(pieces))
    starts = np.cumsum(lengths) - lengths
    hashes = np.zeros(len(pieces), dtype=np.uint64)
    for place in range(int(lengths.max(initial=0))):
        long = np.flatnonzero(lengths > place)
        hashes[long] = hashes[long] * _FACTOR + codes[starts[long] + place]
    return hashes


def _substrings(text: str, lengths: Sequence[int]) -> Iterator[NDArray[np.uint64]]:
    """The hashes of all substrings of each of these lengths (rising)."""
    codes = _codes(text)
    hashes = np.zeros(len(codes), dtype=np.uint64)
    wanted = set(lengths)
    for length in range(1, min(lengths[-1] if lengths else 0, len(codes)) + 1):
        hashes = hashes[: len(codes) - length + 1] * _FACTOR + codes[length - 1 :]
        if length in wanted:
            yield hashes


def _processor(part: Any, number: Callable[[int], int]) -> Any:
    """A post-processor with each id in it renumbered. Raises ValueError for a kind that is not known here."""
    kind = None if part is None else part["type"]
    if kind in (None, "ByteLevel"):
        return part
    if kind == "Sequence":
        return {**part, "processors": [_processor(inner, number) for inner in part["processors"]]}
    if kind in ("RobertaProcessing", "BertProcessing"):
        return {**part, **{name: [part[name][0], number(part[name][1])] for name in ("sep", "cls")}}
    if kind == "TemplateProcessing":
        tokens = part["special_tokens"].items()
        specials = {name: {**token, "ids": [number(i) for i in token["ids"]]} for name, token in tokens}
        return {**part, "special_tokens": specials}
    raise ValueError(f"the post-processor {kind!r} is not known")


def _ids(processor: Any) -> NDArray[np.int64]:
    """The ids that a post-processor puts in. Raises ValueError for a kind that is not known here."""
    found: list[int] = []

    def note(number: int) -> int:
        found.append(number)
        return number

    _processor(processor, note)
    return np.array(found, dtype=np.int64)


def compact(text: str, library: Any) -> dict[str, NDArray[Any]] | None:
    """The columns of a tokenizer.json, or None for one that is no Unigram or has what this module does not know.

    `text`: the file; `library`: the `tokenizers.Tokenizer` made from it. `pieces` and `skeleton` (the JSON without the
    vocabulary) are string columns, `scores` float64 by row; `hashes` uint64, rising, with the `rows` int32 they belong
    to; `lengths` int32, rising: the lengths of pieces in characters.
    """
    if type(library.model).__name__ != "Unigram":
        return None
    # The library's scores, not the file's: its JSON reader misses the nearest float64 by a digit for a quarter of them.
    model = json.loads(library.to_str())["model"]
    skeleton = json.loads(text)
    contents = [token["content"] for token in skeleton.get("added_tokens") or ()]
    try:
        _ids(skeleton.get("post_processor"))
    except ValueError:
        return None
    pieces = [piece for piece, _ in model["vocab"]]
    lengths = np.array([len(piece) for piece in pieces], dtype=np.int64)
    hashes = _hashes(pieces, lengths)
    order = np.argsort(hashes, kind="stable")
    distinct = (hashes[order][1:] != hashes[order][:-1]).all()
    if model["unk_id"] is None or set(model) != _MODEL_KEYS or len(set(contents)) != len(contents) or not distinct:
        return None
    skeleton |= {"truncation": None, "padding": None, "model": {**model, "vocab": []}}
    return {
        **_string_column("pieces", pieces),
        **_string_column("skeleton", [json.dumps(skeleton, ensure_ascii=False, separators=(",", ":"))]),
        "scores": np.array([score for _, score in model["vocab"]], dtype=np.float64),
        "hashes": hashes[order],
        "rows": order.astype(np.int32),
        "lengths": np.unique(lengths[lengths > 0]).astype(np.int32),
    }


def _string_column(name: str, values: Sequence[str]) -> dict[str, NDArray[Any]]:
    """A string column as the two arrays of which a table file holds it."""
    encoded = [value.encode() for value in values]
    ends = np.cumsum([len(value) for value in encoded], dtype=np.int64)
    return {f"{name}.utf8": np.frombuffer(b"".join(encoded), dtype=np.uint8), f"{name}.ends": ends}


_DTYPES = {
    "pieces.utf8": "|u1",
    "pieces.ends": "<i8",
    "skeleton.utf8": "|u1",
    "skeleton.ends": "<i8",
    "scores": "<f8",
    "hashes": "<u8",
    "rows": "<i4",
    "lengths": "<i4",
}


class Unigram:
    """The columns that `compact` made, checked, and what can be made of them."""

    def __init__(self, columns: Mapping[str, NDArray[Any]], path: str | Path):
        """Raises CorruptError (about `path`) when the columns do not fit each other; that no byte of them was changed
        is the caller's to check."""
        try:
            self.columns = {name: columns[name] for name in _DTYPES}
            self._size = len(self._strings("pieces"))
            self._scores = self.columns["scores"]
            self._skeleton = json.loads(self._strings("skeleton")[0])
            self._model = self._skeleton["model"]
            self._added = [token["content"] for token in self._skeleton.get("added_tokens") or ()]
            self._ids = _ids(self._skeleton.get("post_processor"))
            self._check()
        except (ValueError, LookupError, TypeError, AttributeError, ArithmeticError, RecursionError) as error:
            raise CorruptError(f"no tokenizer's table ({error})", path=path, fix="fetch the model again") from error

    @classmethod
    def from_table(cls, table: Table) -> Unigram:
        """Raises CorruptError as the constructor does."""
        return cls({name: table.array(name, dtype) for name, dtype in _DTYPES.items()}, table.path)

    def _strings(self, name: str) -> Strings:
        utf8, ends = self.columns[f"{name}.utf8"], self.columns[f"{name}.ends"]
        if not len(ends) or ends[0] < 0 or ends[-1] != len(utf8) or (ends[1:] < ends[:-1]).any():
            raise ValueError(f"the ends of {name} do not rise")
        return Strings(utf8, ends)

    def _check(self) -> None:
        """Raises ValueError, or what reading a value of another shape raises."""
        if any(array.dtype != _DTYPES[name] or array.ndim != 1 for name, array in self.columns.items()):
            raise ValueError("columns of other types")
        rows, hashes, lengths = (self.columns[name] for name in ("rows", "hashes", "lengths"))
        if not len(self) == len(self._scores) == len(rows) == len(hashes):
            raise ValueError("columns of different lengths")
        if rows.min() < 0 or rows.max() >= len(rows) or (hashes[1:] <= hashes[:-1]).any():
            raise ValueError("hashes that do not rise, or rows out of range")
        if (lengths[:1] < 1).any() or (lengths[1:] <= lengths[:-1]).any():
            raise ValueError("lengths that do not rise")
        if not np.isfinite(self._scores).all():
            raise ValueError("a score that is no number")
        if set(self._model) != _MODEL_KEYS or self._model["type"] != "Unigram":
            raise ValueError("the model is no Unigram")
        if type(self._model["unk_id"]) is not int or not 0 <= self._model["unk_id"] < len(rows):
            raise ValueError("the id of the unknown piece is out of range")
        if type(self._model["byte_fallback"]) is not bool or self._ids.ndim != 1 or self._ids.min(initial=0) < 0:
            raise ValueError("settings of other types")

    def __len__(self) -> int:
        return self._size

    def _find(self, text: str) -> NDArray[np.int64]:
        """The rows of every piece that occurs in `text`, and perhaps (hashes that agree by chance) of others."""
        known = self.columns["hashes"]
        found = []
        for hashes in _substrings(text, self.columns["lengths"].tolist()):
            places = np.minimum(np.searchsorted(known, hashes), len(known) - 1)
            found.append(np.unique(places[known[places] == hashes]))
        return self.columns["rows"][np.concatenate(found)].astype(np.int64) if found else np.zeros(0, dtype=np.int64)

    @cached_property
    def _always(self) -> NDArray[np.int64]:
        """The rows that every selection holds: what has an id of its own or decides the penalty of the unknown."""
        named = self._find("".join(self._added) + (_BYTES if self._model["byte_fallback"] else ""))
        deciding = [self._model["unk_id"], int(self._scores.argmin())]
        return np.concatenate((named, self._ids[self._ids < len(self)], deciding))

    @cached_property
    def _splitter(self) -> Any:
        """A tokenizer that knows no piece: its tokens are the words as the model is given them, and the added tokens."""
        return self._library(np.array([self._model["unk_id"]], dtype=np.int64), byte_fallback=False)

    def _library(self, rows: NDArray[np.int64], byte_fallback: bool) -> Any:
        """The library's tokenizer with the pieces of these rows (rising) alone."""
        import tokenizers

        size, left_out = len(rows), len(self) - len(rows)
        place = {row: number for number, row in enumerate(rows.tolist())}
        pieces, unk = self._texts(rows), place[self._model["unk_id"]]
        # Only added tokens look for their ids in this vocabulary: other pieces can do without their names. They get them
        # below, with scores as floats; through JSON the library would read those a digit off.
        named = set(self._always.tolist())
        vocab = [[piece if row in named else "", 0.0] for row, piece in zip(place, pieces, strict=True)]
        model = {"type": "Unigram", "unk_id": unk, "vocab": vocab}
        # An added token that is no piece has an id above all pieces. Only the splitter lacks an id, and uses none.
        processor = _processor(self._skeleton.get("post_processor"), lambda i: place.get(i, max(i - left_out, size)))
        parts = {**self._skeleton, "post_processor": processor, "model": model}
        library = tokenizers.Tokenizer.from_str(json.dumps(parts, ensure_ascii=False))
        scores = self._scores[rows].tolist()
        library.model = tokenizers.models.Unigram(list(zip(pieces, scores, strict=True)), unk, byte_fallback)
        return library

    def _texts(self, rows: NDArray[np.int64]) -> list[str]:
        """The pieces of these rows."""
        ends = self.columns["pieces.ends"]
        starts = np.where(rows > 0, ends[rows - 1], 0)
        utf8 = memoryview(self.columns["pieces.utf8"])  # type: ignore[arg-type]
        return [str(utf8[a:b], "utf-8", "replace") for a, b in zip(starts.tolist(), ends[rows].tolist(), strict=True)]

    def pruned(self, texts: Sequence[str]) -> tuple[Any, Renumber]:
        """A `tokenizers.Tokenizer` that gives these texts the tokens and offsets of the whole one, and what makes the
        whole one's ids of its ids."""
        encodings = self._splitter.encode_batch(texts, add_special_tokens=False)
        words = "".join(token for encoding in encodings for token in encoding.tokens)
        rows = np.union1d(self._always, self._find(words))
        size, left_out = len(rows), len(self) - len(rows)
        known = rows.tolist()
        library = self._library(rows, self._model["byte_fallback"])
        return library, lambda ids: [known[i] if i < size else i + left_out for i in ids]

    def whole(self) -> Any:
        """The `tokenizers.Tokenizer` with the whole vocabulary."""
        return self._library(np.arange(len(self)), self._model["byte_fallback"])
