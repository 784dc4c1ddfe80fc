"""What every chunker promises, and what the recursive one does besides."""

from __future__ import annotations

import re
from collections.abc import Iterator
from itertools import pairwise

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from core.chunkers import CHUNKERS, Chunker, ChunkSettings, trim
from core.chunkers.recursive import _BOUNDARIES
from core.config import open_encoder
from core.errors import UsageError
from core.types import Chunk, Document

ENCODER = open_encoder("hashing")
LIMIT = ENCODER.space.max_tokens

english = st.sampled_from(
    ["The cat sat.", "A bank, by the river;", "v1.2.3", "e.g. this", "Mr. Li", "“Quoted!”", "word"]
)
chinese = st.sampled_from(
    ["银行的利率下调了。", "“你好！”", "他问：", "猫，狗、鸟", "（完）", "虚拟环境", "真的吗？！"]
)
odd = st.sampled_from(
    ["\n", "\n\n", " ", "\t", "\u3000", "\u2028", "# Title\n", "x" * 300, "🐈‍⬛", "a@b.cn", "...", "\u00a0"]
)
texts = st.lists(english | chinese | odd | st.text(max_size=10), max_size=60).map(" ".join) | st.lists(
    english | chinese | odd, max_size=60
).map("".join)
titles = st.sampled_from(["", "Title", "题目", "A very long title of many words " * 40])


def document(text: str, title: str = "") -> Document:
    return Document("notes/x.txt", title, text, "notes", "0" * 64)


def cut(name: str, text: str, title: str = "", **sizes: int) -> list[Chunk]:
    chosen = ChunkSettings(name, **sizes)
    chosen.check(LIMIT)
    chunker: Chunker = CHUNKERS.load(name)(chosen, ENCODER)
    return list(chunker.chunk(document(text, title)))


def pieces(text: str, title: str = "", **sizes: int) -> list[str]:
    return [chunk.text for chunk in cut("recursive", text, title, **sizes)]


class ChunkerContract:
    name: str
    sizes: tuple[dict[str, int], ...] = ({},)

    def all(self, text: str, title: str) -> Iterator[list[Chunk]]:
        for sizes in self.sizes:
            yield cut(self.name, text, title, **sizes)

    @given(texts, titles)
    @settings(max_examples=150)
    def test_spans_are_exact_and_in_order(self, text: str, title: str) -> None:
        for chunks in self.all(text, title):
            assert [chunk.ordinal for chunk in chunks] == list(range(len(chunks)))
            for chunk in chunks:
                assert text[chunk.start : chunk.end] == chunk.text
                assert trim(text, chunk.start, chunk.end) == (chunk.start, chunk.end)
                assert chunk.text or (chunk.context and len(chunks) == 1)
            assert [chunk.start for chunk in chunks] == sorted({chunk.start for chunk in chunks})
            assert [chunk.end for chunk in chunks] == sorted({chunk.end for chunk in chunks})

    @given(texts, titles)
    @settings(max_examples=150)
    def test_all_but_white_space_is_covered(self, text: str, title: str) -> None:
        for chunks in self.all(text, title):
            covered = {position for chunk in chunks for position in range(chunk.start, chunk.end)}
            assert all(character.isspace() for i, character in enumerate(text) if i not in covered)

    @given(texts, titles)
    @settings(max_examples=50)
    def test_the_same_twice(self, text: str, title: str) -> None:
        for first, second in zip(self.all(text, title), self.all(text, title), strict=True):
            assert first == second

    @pytest.mark.parametrize("text", ["", " ", "\n\n\t\u3000"])
    def test_an_empty_document(self, text: str) -> None:
        assert not any(self.all(text, ""))
        for chunks in self.all(text, "Only a title"):
            assert [(chunk.text, chunk.context) for chunk in chunks] == [("", "Only a title")]

    def test_the_title_is_the_context(self) -> None:
        for chunks in self.all("猫坐在垫子上。The cat sat.", "题目"):
            assert {(chunk.context, chunk.document_id) for chunk in chunks} == {("题目", "notes/x.txt")}


class TestNone(ChunkerContract):
    name = "none"

    @given(texts, titles)
    def test_one_chunk_a_document(self, text: str, title: str) -> None:
        assert len(cut("none", text, title)) == (1 if text.strip() or title else 0)


class TestRecursive(ChunkerContract):
    name = "recursive"
    sizes = ({}, {"size": 8}, {"size": 20, "overlap": 10}, {"size": LIMIT, "overlap": 30})

    @given(texts, titles)
    @settings(max_examples=150)
    def test_none_is_longer_than_the_limits(self, text: str, title: str) -> None:
        for sizes, chunks in zip(self.sizes, self.all(text, title), strict=True):
            for chunk in chunks:
                assert ENCODER.count_tokens(chunk.text, "passage") <= sizes.get("size", 200)
                whole = ENCODER.space.fill_template(chunk.context, chunk.text)
                assert ENCODER.count_tokens(whole, "passage") <= LIMIT


def test_every_chunker_has_its_contract() -> None:
    assert {contract.name for contract in ChunkerContract.__subclasses__()} == set(CHUNKERS)


# The recursive chunker's boundaries


@pytest.mark.parametrize("end", ["。", "！", "？", "……", "？！", "。”", "！』", "。」）", "；", "？”）"])
def test_chinese_sentences_end_with_their_closing_marks(end: str) -> None:
    sentence = "他说今天的天气很好" + end
    assert set(pieces(sentence * 12, size=30)) <= {sentence, sentence * 2, sentence * 3}
    assert "".join(pieces(sentence * 12, size=30)) == sentence * 12


@pytest.mark.parametrize("end", [".", "!", "?", ".”", '."', ".)", "?!", "..."])
def test_english_sentences_end_with_their_closing_marks(end: str) -> None:
    sentence = "He said that the weather was rather fine today" + end
    found = pieces(" ".join([sentence] * 12), size=30)
    assert all(piece.endswith(sentence) and piece.startswith("He") for piece in found)


@pytest.mark.parametrize(
    "whole",
    ["ana.li@example.com", "https://example.com/a.b?c=d&e=f", "3.14159", "v1.2.3", "1,234,567.89", "192.168.0.1",
     "README.md", "e.g.", "Dr. Li", "E-1047", "12:30", "192.168.0.1:8080"],
)  # fmt: skip
def test_what_belongs_together_is_not_cut(whole: str) -> None:
    """Between sentences and words there is always a better place, whatever the size."""
    text = f"Please write down {whole} for the record now. " * 30
    for size in range(34, 70, 5):  # twice what any of these takes: cuts are sought in the second half of what fits
        found = pieces(text, size=size)
        assert sum(piece.count(whole) for piece in found) == 30, (size, found[:3])


@pytest.mark.parametrize("whole", ["3.14159", "v1.2.3", "API"])
def test_nor_in_chinese(whole: str) -> None:
    text = f"请在文件里写明{whole}这个值，然后再保存。" * 30
    for size in range(30, 60, 5):
        assert sum(piece.count(whole) for piece in pieces(text, size=size)) == 30


def test_a_better_boundary_goes_before_a_later_one() -> None:
    paragraph = "One sentence here. And another one here."
    text = "\n\n".join([paragraph] * 6)
    assert pieces(text, size=14) == [paragraph] * 6
    heading = "\n".join([f"# Part {n}\nSome words of this part are here." for n in range(6)])
    assert all(piece.startswith("# Part") for piece in pieces(heading, size=18))


def test_one_giant_line() -> None:
    for text in ("x" * 5000, "猫" * 5000, "ab " * 3000, "。" * 3000, "=" * 5000, "https://" + "a/" * 3000):
        found = pieces(text, size=50)
        assert "".join(found) == re.sub(r"\s+$", "", text) or re.sub(r"\s", "", "".join(found)) == re.sub(
            r"\s", "", text
        )
        assert all(ENCODER.count_tokens(piece, "passage") <= 50 for piece in found)


def test_runs_of_marks_are_read_once() -> None:
    """Quadratic time on a table of contents' dots would not end at this length (minutes, not milliseconds)."""
    for mark in (".", "!", "?", "…", ")", ".)", "，", "\n"):
        assert all(len(list(boundary.finditer(mark * 200_000))) <= 200_000 for boundary in _BOUNDARIES), mark


def test_overlap_repeats_whole_sentences_where_they_fit() -> None:
    text = " ".join(f"Sentence number {n} is here." for n in range(40))
    chunks = cut("recursive", text, size=40, overlap=15)
    for before, after in pairwise(chunks):
        shared = text[after.start : before.end]
        assert shared
        assert shared.startswith("Sentence")
        assert ENCODER.count_tokens(shared, "passage") <= 15
    without = cut("recursive", text, size=40)
    assert all(b.start >= a.end for a, b in pairwise(without))


def test_a_long_title_never_crowds_out_the_text() -> None:
    chunks = cut("recursive", "The cat sat on the mat. " * 100, "word " * 1000, size=LIMIT)
    assert all(ENCODER.count_tokens(chunk.context, "passage") <= LIMIT // 4 for chunk in chunks)
    assert all(ENCODER.count_tokens(chunk.text, "passage") > LIMIT // 4 for chunk in chunks[:-1])


# Settings


def test_the_chunking_id_is_pinned() -> None:
    assert ChunkSettings().id("t") == "c-9817ccfb47b4a23e"
    assert ChunkSettings("none").id("t") == ChunkSettings("none", 99, 9).id("other") == "c-e9f9d52657e7806f"
    ids = {ChunkSettings(size=size, overlap=o).id(t) for size in (50, 60) for o in (0, 5) for t in ("t", "u")}
    assert len(ids) == 8


@pytest.mark.parametrize("chosen", [ChunkSettings(), ChunkSettings(size=50, overlap=10), ChunkSettings("none")])
def test_settings_to_json_and_back(chosen: ChunkSettings) -> None:
    assert ChunkSettings.from_json(chosen.to_json()).to_json() == chosen.to_json()


@pytest.mark.parametrize(
    "chosen",
    [ChunkSettings("words"), ChunkSettings(size=7), ChunkSettings(size=LIMIT + 1), ChunkSettings(overlap=-1),
     ChunkSettings(size=20, overlap=11)],
)  # fmt: skip
def test_settings_that_do_not_fit(chosen: ChunkSettings) -> None:
    with pytest.raises(UsageError) as caught:
        chosen.check(LIMIT)
    assert caught.value.fix.startswith("choose ")
