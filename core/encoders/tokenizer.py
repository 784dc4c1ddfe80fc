"""A model's tokenizer: the `tokenizers` library over its tokenizer.json, opened in milliseconds whatever its size.

A file with a large Unigram vocabulary is compacted on first use (unigram.py) and kept in the user's cache. Which file
the kept table belongs to is decided by the sha256 of the file itself, read anew each time: 14 ms for the 17 MB of XLM-R,
against no way of being wrong. Size and time of a file can stay the same when its content does not, and other tokens are
other vectors.
"""

from __future__ import annotations

import contextlib
import hashlib
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from core.cache import cache_folder, keep
from core.encoders import Token
from core.encoders.unigram import Renumber, Unigram, compact
from core.errors import CorruptError, MissingError, SamespaceError
from core.index.columns import Column, Table, write_columns

LAYOUT = 1  # of the kept table; a change of it makes every kept table a stranger
LARGE = 2 << 20  # bytes of a tokenizer.json: smaller ones are read whole in less time than a second way would save
FEW = 20_000  # characters: from there on the whole vocabulary is cheaper than selections of it

# Behaviour is the evidence: a future library may tokenise by rules that unigram.py does not know.
_AT_ONCE = 256  # texts: what the library keeps of one takes 25 kB until it is let go
_PROOF = (
    "The speed of light is 299,792,458 m/s.  光速是多少？《民法典》第１０条",
    "na\u00efve e\u0301 \ufb01ne \U0001f642\u200d\u2640 \u200b\u0085\x00 \ue000\u0378 \u2581\u2581 \t<0x41><unk>",
    "<s>a</s> <mask>b <pad>c[CLS]",
    "",
)


class Tokenizer:
    """Texts to ids, offsets and counts, as the `tokenizers` library gives them, without padding.

    Texts must be encodable (`core.text.encodable`). Every method raises CorruptError when the library fails on what the
    file says.
    """

    def __init__(
        self, path: str | Path, whole: Any = None, text: str = "", unigram: Unigram | None = None, key: str = ""
    ):
        """`whole`: the library's tokenizer; `text`: what it was made from; `unigram` stands in for both, made from the
        file at `path` that has this `key`, or from a table."""
        self.path = path
        self._whole = whole
        self._text = text
        self._unigram = unigram
        self._key = key
        self._asked = 0

    def _library(self, texts: Sequence[str], max_tokens: int | None = None) -> tuple[Any, Renumber]:
        """What encodes these texts, and what makes ids of its ids."""
        self._asked += sum(map(len, texts))
        if self._unigram and self._whole is None and self._asked > FEW:
            self._whole = self._from_file() or self._unigram.whole()
        few = self._unigram if self._whole is None else None
        library, renumber = few.pruned(texts) if few else (self._whole, list)
        if max_tokens is None:
            library.no_truncation()
        else:
            library.enable_truncation(max_tokens)
        return library, renumber

    def _from_file(self) -> Any:
        """The library's tokenizer from the file if that is still the same, which is twice as fast as from the table."""
        with contextlib.suppress(OSError):
            if self._key and _key(data := Path(self.path).read_bytes()) == self._key:
                return _read(self.path, data)._whole
        return None

    def ids(self, texts: Sequence[str], max_tokens: int | None = None) -> list[list[int]]:
        """The ids of each text, special tokens included, cut to `max_tokens` as the library's truncation does."""
        if not texts:
            return []
        with _guarded(self.path):
            library, renumber = self._library(texts, max_tokens)
            return [
                renumber(encoding.ids)
                for start in range(0, len(texts), _AT_ONCE)
                for encoding in library.encode_batch_fast(list(texts[start : start + _AT_ONCE]))
            ]

    def starts(self, text: str) -> NDArray[np.int64]:
        """int64, the offsets in `text` (characters) at which its tokens begin; special tokens left out."""
        with _guarded(self.path):
            offsets = self._library([text])[0].encode(text, add_special_tokens=False).offsets
        return np.array([start for start, _ in offsets], dtype=np.int64)

    def tokens(self, text: str) -> list[Token]:
        """The tokens of `text`, special ones included."""
        with _guarded(self.path):
            library, renumber = self._library([text])
            found = library.encode(text)
            parts = zip(renumber(found.ids), found.tokens, found.offsets, found.special_tokens_mask, strict=True)
            return [Token(number, piece, start, end, bool(special)) for number, piece, (start, end), special in parts]

    def count(self, text: str) -> int:
        """Tokens of `text`, special tokens included."""
        return len(self.ids([text])[0])

    def compacted(self) -> Unigram | None:
        """The compact form of the whole tokenizer, if it has one that was seen to give the same tokens."""
        with contextlib.suppress(CorruptError), _guarded(self.path):
            if self._unigram is None and (columns := compact(self._text, self._whole)):
                unigram = Unigram(columns, self.path)
                pruned = Tokenizer(self.path, unigram=unigram)
                if pruned.ids(_PROOF) == self.ids(_PROOF) and pruned.ids(_PROOF, 8) == self.ids(_PROOF, 8):
                    self._unigram = unigram
        return self._unigram

    def columns(self) -> Mapping[str, Column]:
        """Everything the tokenizer is, as columns for a table file; `from_table` reads them."""
        return self._unigram.columns if self._unigram else {"skeleton": [self._text]}


def open_tokenizer(path: Path) -> Tokenizer:
    """The tokenizer of a tokenizer.json. Raises MissingError when there is no such file, CorruptError when it is none."""
    try:
        data = path.read_bytes()
    except (FileNotFoundError, NotADirectoryError, IsADirectoryError) as error:
        raise MissingError(
            "this model has no tokenizer.json, which counting tokens needs",
            path=path.parent,
            fix="load and save it once with a recent sentence-transformers: "
            "SentenceTransformer(NAME).save_pretrained(FOLDER)",
        ) from error
    if len(data) < LARGE:
        return _read(path, data)
    key = _key(data)
    kept = cache_folder() / "tokenizers" / key
    if unigram := _kept(kept, key):
        return Tokenizer(path, unigram=unigram, key=key)
    tokenizer = _read(path, data)
    if unigram := tokenizer.compacted():
        keep(kept, write_columns(unigram.columns, {"sha256": _digest(key, unigram.columns)}))
    return tokenizer


def from_table(table: Table) -> Tokenizer:
    """The tokenizer whose `columns` a table holds. Raises CorruptError when they do not fit each other."""
    if "pieces.utf8" in table:
        return Tokenizer(table.path, unigram=Unigram.from_table(table))
    skeleton = table.strings("skeleton")
    if len(skeleton) != 1:
        raise CorruptError("no tokenizer's table", path=table.path)
    return _read(table.path, skeleton.raw(0))


def _read(path: str | Path, data: bytes) -> Tokenizer:
    from tokenizers import Tokenizer as Library

    with _guarded(path):
        text = data.decode()
        library = Library.from_str(text)
        library.no_padding()
        return Tokenizer(path, library, text)


@contextlib.contextmanager
def _guarded(path: str | Path) -> Iterator[None]:
    """What the library raises, as CorruptError: it has no classes of its own, and its panics are no Exceptions."""
    try:
        yield
    except (SamespaceError, KeyboardInterrupt, SystemExit, GeneratorExit, MemoryError):
        raise
    except BaseException as error:
        raise CorruptError(f"no tokenizer ({error})", path=path, fix="fetch the model again") from error


def _key(data: bytes) -> str:
    """The name of the table that belongs to a file. The library's version is in it because the scores are as it reads them."""
    from tokenizers import __version__

    return hashlib.sha256(f"{LAYOUT} {__version__} {len(data)} ".encode() + hashlib.sha256(data).digest()).hexdigest()


def _digest(key: str, columns: Mapping[str, Any]) -> str:
    """The sha256 of a table's columns and of the file they were made from."""
    total = hashlib.sha256(key.encode())
    for name, column in sorted(columns.items()):
        total.update(f"\0{name}\0{column.dtype}\0{len(column)}\0".encode())
        total.update(column.data)
    return total.hexdigest()


def _kept(path: Path, key: str) -> Unigram | None:
    """The table of the cache, if it is there and every byte of it as it was written."""
    with contextlib.suppress(OSError, CorruptError):
        table = Table(path)
        unigram = Unigram.from_table(table)
        if table.meta.get("sha256") == _digest(key, unigram.columns):
            return unigram
    return None
