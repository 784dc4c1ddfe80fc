"""What a typed query means, and that every hit is what its operators say: judged by looking at every chunk."""

from __future__ import annotations

import json
import re
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from fnmatch import fnmatch
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from handmade import built, for_small_segments, put, without_merges
from hypothesis import example, given, settings
from hypothesis import strategies as st

from core.errors import UsageError
from core.index.reader import Index, open_index
from core.lexical.mixed import MixedAnalyzer
from core.pipeline.arrange import ALIKE, fold, mmr, passages, unit_vectors
from core.pipeline.search import MODES, Mode, Search, SearchResult, SearchSettings
from core.query import FIELDS, Excluded, Filter, Parsed, parse
from core.types import Query

# What is typed


@pytest.mark.parametrize(
    ("typed", "parsed"),
    [
        ('"river bank" otters', Parsed("river bank otters", ("river bank",))),
        ("“河岸” 水獭", Parsed("河岸 水獭", ("河岸",))),
        ("「河岸」的水獭", Parsed("河岸 的水獭", ("河岸",))),
        ('"river bank", dry', Parsed("river bank, dry", ("river bank",))),
        ("bank -river", Parsed("bank", (), (Excluded("river"),))),
        ("bank -river, -河岸。", Parsed("bank", (), (Excluded("river"), Excluded("河岸")))),
        ('bank -"river bank"', Parsed("bank", (), (Excluded("river bank", quoted=True),))),
        ("bank type:md -path:sub/*", Parsed("bank", (), (), (Filter("type", "md"), Filter("path", "sub/*", True)))),
        ('x path:"with space"', Parsed("x", (), (), (Filter("path", "with space"),))),
        ("茶 language：zh", Parsed("茶", (), (), (Filter("language", "zh"),))),
        ("x date:>2025 x date:>2025", Parsed("x x", (), (), (Filter("date", ">2025"),))),
        ("type:md", Parsed("", (), (), (Filter("type", "md"),))),
    ],
)
def test_operators(typed: str, parsed: Parsed) -> None:
    assert parse(typed) == parsed


@pytest.mark.parametrize(
    "typed",
    [
        "e-mail at -5 degrees",
        "between - and — or –word",
        "--flag",
        "http://example.org:80/path:x C++: 12:30 title:x",
        "type: md",
        'a 5" disk and a 3" one',
        '""  two  spaces',
        "什么是“一带一路”",
        "",
        "-",
        "the pathtype:md",
    ],
)
def test_all_else_is_text(typed: str) -> None:
    assert parse(typed) == Parsed(typed)


@pytest.mark.parametrize("typed", ['"river bank', "“河岸", '-"river', 'river "bank'])
def test_an_unclosed_quotation_mark_is_text_and_said(typed: str) -> None:
    parsed = parse(typed)
    assert not parsed.phrases
    assert parsed.text == typed
    assert "not closed" in parsed.notes[0]


@given(st.text(alphabet=st.sampled_from('ab 银-"“”「」:：>* \npathtypelanguagedate.') | st.characters(), max_size=60))
@settings(max_examples=300)
def test_parsing_never_raises_and_loses_no_letter(typed: str) -> None:
    parsed = parse(typed)
    if not parsed.operators:
        assert parsed.text == typed
    kept = " ".join([parsed.text, *(e.text for e in parsed.excluded), *map(str, parsed.filters)])
    assert set(filter(str.isalnum, typed)) == set(filter(str.isalnum, kept))
    assert all(
        phrase.strip() and " ".join(phrase.split()) in " ".join(parsed.text.split()) for phrase in parsed.phrases
    )


@given(st.text(alphabet=st.characters(exclude_characters='"“「『-:：'), max_size=60))
def test_plain_text_comes_back(typed: str) -> None:
    assert parse(typed) == Parsed(typed)


@pytest.mark.parametrize("piece", ['"', "“", '"a ', "-a ", "type:a ", "-“a ", "“a 「b "])
def test_linear_time(piece: str) -> None:
    parse(piece * (100_000 // len(piece)))


# Phrases in texts

_PIECES = st.sampled_from(
    [
        "river",
        "Bank",
        "don't",
        "cat's",
        "max_retry",
        "v1.2",
        "iPhone15",
        "ＯＯＭ",
        "straße",
        "银行",
        "的利率",
        "。",
        "C++",
        "to",
        "'",
        "'s",
        "é",
        "e\u0301",
        "-",
        " ",
        "\n",
        "ガス",
        "한국",
    ]
)


@given(st.lists(_PIECES, max_size=12), st.integers(0, 30), st.integers(1, 12))
@example(["'s", "'s", "'s"], 0, 2)
@settings(max_examples=500)
def test_postings_never_hide_a_phrase(pieces: list[str], start: int, length: int) -> None:
    """Every text that holds a phrase has all the tokens by which it is looked up."""
    text, analyzer = "".join(pieces), MixedAnalyzer()
    phrase = text[start : start + length]
    if analyzer.holds(analyzer.fold(text), analyzer.fold(phrase)):
        assert set(analyzer.required(phrase)) <= set(analyzer.tokens(text))


@pytest.mark.parametrize(
    ("phrase", "text", "held"),
    [
        ("river bank", "The RIVER\n  Bank was", True),
        ("river ban", "the river bank", False),
        ("iver bank", "the river bank", False),
        ("利率上", "银行的利率上周又", True),
        ("oom", "出现OOM时", True),
        ("ＯＯＭ", "出现oom时", True),
        ("cat", "the cat's mat", True),
        ("don", "I don't", False),
        ("don’t", "I don't", True),
        ("retry", "max_retry_count", True),
        ("C++", "in C++ it", True),
        ("to be or not", "To be, or not", False),
        ("", "text", False),
    ],
)
def test_holds(phrase: str, text: str, held: bool) -> None:
    analyzer = MixedAnalyzer()
    assert analyzer.holds(analyzer.fold(text), analyzer.fold(phrase)) == held


# Hits

NOTES = {
    "river.md": "# The river bank\n\nOtters dig holes along the bank of the river.\n\nThe bank collapsed after the rain.\n",
    "money.txt": "A bank lends money. The interest rate went up, and rivers of money flow to the bank.\n",
    "银行.txt": "银行的利率上周又下调了。存款的人并不高兴，他们去了河边散步。\n",
    "sub/茶.md": "# 龙井茶\n\n龙井茶用八十度的水泡，三分钟就好。To be or not to be.\n",
    "sub/page.html": "<title>Bank holidays</title><p>The bank is closed. E-mail us about C++ or v1.2.3.</p>",
    "long.txt": "\n\n".join(
        f"Paragraph {n} tells of the bank and the keeper of {n} lamps by the river. " * 4 for n in range(30)
    ),
}
RECORDS = [
    {"_id": "r1", "title": "", "text": "The bank was robbed in spring.", "date": "2026-01-31"},
    {"_id": "r2", "title": "", "text": "A river bank broke.", "date": "2025-06"},
    {"_id": "r3", "title": "", "text": "The bank opened.", "date": 2024},
    {"_id": "r4", "title": "", "text": "A bank without a day."},
]


@pytest.fixture(scope="module")
def index(tmp_path_factory: pytest.TempPathFactory) -> Index:
    """Two segments, one of them with dead rows."""
    folder, root = tmp_path_factory.mktemp("box") / "notes", tmp_path_factory.mktemp("box") / "i"
    with pytest.MonkeyPatch.context() as patch:
        without_merges(patch)
        put(
            folder,
            {**NOTES, "river.md": "The river bank, an old page that goes.", "gone.txt": "The river bank of old."},
        )
        built(root, folder, size=60, overlap=0)
        put(folder, {"river.md": NOTES["river.md"], "gone.txt": None})
        put(folder, {"corpus.jsonl": "".join(json.dumps(record) + "\n" for record in RECORDS)})
        built(root, folder)
    opened = open_index(root)
    assert len(opened.segments) == 2
    assert any(segment.live is not None for segment in opened.segments)
    return opened


@dataclass(frozen=True)
class Row:
    name: tuple[str, int]
    text: str
    meta: dict[str, Any]


def rows(index: Index) -> list[Row]:
    """Every live chunk."""
    found = []
    for segment in index.segments:
        for row in range(segment.segment.chunks):
            if segment.live is None or segment.live[row]:
                document = segment.document(int(segment.chunk_documents[row]))
                chunk = segment.chunk(row, document)
                found.append(Row((document.id, chunk.ordinal), f"{chunk.context}\n{chunk.text}", dict(document.meta)))
    return found


@pytest.fixture(scope="module")
def searches(index: Index) -> dict[Mode, Search]:
    return {mode: Search(index, SearchSettings(mode=mode, k=1000, depth=1000)) for mode in MODES}


def asked(search: Search, typed: str) -> SearchResult:
    return search.search(Query("1", typed), parse(typed))


def names(result: SearchResult) -> list[tuple[str, int]]:
    return [(hit.chunk.document_id, hit.chunk.ordinal) for hit in result.hits]


def plain(text: str) -> str:
    return " ".join(text.casefold().split())


def has(phrase: str) -> Callable[[Row], bool]:
    pattern = re.compile(rf"(?<![a-z0-9]){re.escape(plain(phrase))}(?![a-z0-9])")
    return lambda row: pattern.search(plain(row.text)) is not None


def stem(token: str) -> Callable[[Row], bool]:
    return lambda row: token in MixedAnalyzer().tokens(row.text)


def date(row: Row) -> str:
    return str(row.meta.get("date", ""))


CASES: dict[str, Callable[[Row], bool]] = {
    'bank "river bank"': has("river bank"),
    "bank “the river”": has("the river"),
    'bank "keeper of 29 lamps"': has("keeper of 29 lamps"),
    'bank "利率上周"': lambda row: "利率上周" in row.text,
    'bank "to be or not to be"': has("to be or not to be"),
    "bank -river": lambda row: not stem("river")(row),
    "bank -rivers": lambda row: not stem("river")(row),
    'bank -"rivers"': lambda row: not has("rivers")(row),
    "bank -e-mail": lambda row: not has("e-mail")(row),
    "bank -利率上": lambda row: "利率上" not in row.text,
    'bank "the bank" -lamps -"was robbed"': lambda row: (
        has("the bank")(row) and not stem("lamp")(row) and not has("was robbed")(row)
    ),
    "bank type:md": lambda row: row.meta["format"] == "md",
    "bank type:md type:.HTML": lambda row: row.meta["format"] in ("md", "html"),
    "bank -type:txt": lambda row: row.meta["format"] != "txt",
    "bank path:sub": lambda row: "sub" in row.name[0],
    "bank path:*.md": lambda row: fnmatch(row.name[0], "*.md"),
    "bank path:sub/*.md": lambda row: row.name[0] == "notes/sub/茶.md",
    "bank path:corpus.jsonl": lambda row: row.meta["format"] == "jsonl",
    "bank language:zh": lambda row: row.name[0] in ("notes/银行.txt", "notes/sub/茶.md"),
    "bank language:Chinese -path:sub": lambda row: row.name[0] == "notes/银行.txt",
    "bank date:2026": lambda row: date(row).startswith("2026"),
    "bank date:2026-01": lambda row: date(row).startswith("2026-01"),
    "bank date:2024-01 date:2026": lambda row: date(row).startswith("2026"),
    "bank date:>=2024-01": lambda row: date(row) >= "2025",
    "bank date:>=2025": lambda row: date(row) >= "2025",
    "bank date:<2025-06": lambda row: date(row) == "2024",
    "bank date:2024..2025-06": lambda row: date(row) in ("2024", "2025-06"),
    "bank date:2025..": lambda row: date(row) >= "2025",
    "bank type:md -river": lambda row: row.meta["format"] == "md" and not stem("river")(row),
}


@pytest.mark.parametrize("typed", CASES)
def test_a_dense_search_gives_all_that_fit_and_nothing_else(
    typed: str, index: Index, searches: dict[Mode, Search]
) -> None:
    fitting = {row.name for row in rows(index) if CASES[typed](row)}
    assert fitting, "a case that shows nothing"
    result = asked(searches["dense"], typed)
    assert set(names(result)) == fitting
    assert result.scope
    assert (result.scope.left, result.scope.chunks) == (len(fitting), len(rows(index)))


@pytest.mark.parametrize("mode", ["dense", "lexical"])
@pytest.mark.parametrize("typed", CASES)
def test_the_ranking_is_the_whole_one_without_the_others(
    typed: str, mode: Mode, index: Index, searches: dict[Mode, Search]
) -> None:
    """Scores are those of the whole index, whatever the operators leave."""
    fitting = {row.name for row in rows(index) if CASES[typed](row)}
    mine = asked(searches[mode], typed)
    whole = searches[mode].search(Query("1", mine.parsed.text))
    left = [(name, hit.score) for name, hit in zip(names(whole), whole.hits, strict=True) if name in fitting]
    assert names(mine) == [name for name, _ in left]
    assert [hit.score for hit in mine.hits] == pytest.approx([score for _, score in left], abs=1e-6)


@pytest.mark.parametrize("typed", CASES)
def test_a_hybrid_search_ranks_what_fits(typed: str, index: Index, searches: dict[Mode, Search]) -> None:
    fitting = {row.name for row in rows(index) if CASES[typed](row)}
    result = asked(searches["hybrid"], typed)
    assert set(names(result)) == fitting
    dense = asked(searches["dense"], typed)
    scores = dict(zip(names(dense), (hit.score for hit in dense.hits), strict=True))
    for name, hit in zip(names(result), result.hits, strict=True):
        assert hit.trail["dense"].score == pytest.approx(scores[name], abs=1e-6)


def test_a_rare_phrase_is_found_beyond_the_depth(index: Index) -> None:
    """Of 30 paragraphs that are alike, the one that is meant is not among the best of a query about others."""
    for mode in MODES:
        shallow = Search(index, SearchSettings(mode=mode, k=1, depth=1))
        result = asked(shallow, 'the river bank collapsed after the rain "keeper of 29 lamps"')
        assert len(result.hits) == 1, mode
        assert "29 lamps" in result.hits[0].chunk.text


def test_a_phrase_of_stop_words_is_found_by_words_alone(searches: dict[Mode, Search]) -> None:
    result = asked(searches["lexical"], '"to be or not to be"')
    assert [document for document, _ in names(result)] == ["notes/sub/茶.md"]


@given(data=st.data())
@settings(max_examples=40)
def test_any_span_of_a_chunk_finds_it(data: st.DataObject, index: Index, searches: dict[Mode, Search]) -> None:
    """A phrase cut out of a text, from one white space or Chinese sign to another, finds that text."""
    row = data.draw(st.sampled_from(rows(index)))
    pieces = re.findall(r"[\u4e00-\u9fff，。]|[^\s\u4e00-\u9fff，。]+|\s+", row.text)
    start = data.draw(st.integers(0, len(pieces) - 1))
    phrase = "".join(pieces[start : start + data.draw(st.integers(1, 8))]).strip()
    if phrase:
        assert row.name in names(searches["dense"].search(Query("1", "bank"), Parsed("bank", (phrase,))))


@pytest.mark.parametrize("method", ["binary", "hnsw"])
def test_with_codes_or_a_graph(method: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Whatever finds the vectors of all, those of some are all found, and with the scores of an exact search."""
    if method == "hnsw":
        pytest.importorskip("hnswlib")
    for_small_segments(monkeypatch)
    folder = put(tmp_path / "n", {f"{n}.txt": f"Lamp {n} of the keeper." for n in range(100)} | {"a.md": "The keeper."})
    built(tmp_path / "i", folder, ann=method)
    search = Search(open_index(tmp_path / "i"), SearchSettings(mode="dense", k=100))
    assert f"{method} search" in asked(search, "lamp").plan or method == "hnsw"
    assert [name for name, _ in names(asked(search, "lamp type:md"))] == ["n/a.md"]
    assert set(names(asked(search, "lamp -type:md"))) == {(f"n/{n}.txt", 0) for n in range(100)}


# What cannot be


@pytest.mark.parametrize(
    ("typed", "said"),
    [
        ("type:md", "not what to look for"),
        ("-river", "not what to look for"),
        ("bank language:klingon", "language:klingon is none"),
        ("bank date:yesterday", "date:yesterday is no date"),
        ("bank date:2026-13", "is no date"),
        ("bank date:..", "is no date"),
        ("bank " + " ".join(f"-{'a' * n}" for n in range(1, 70)), "64 are the most"),
    ],
)
def test_refused(typed: str, said: str, searches: dict[Mode, Search]) -> None:
    with pytest.raises(UsageError, match=re.escape(said)) as error:
        asked(searches["lexical"], typed)
    assert error.value.fix


def test_a_date_where_there_are_none(tmp_path: Path) -> None:
    built(tmp_path / "i", put(tmp_path / "n", {"a.txt": "bank"}))
    with pytest.raises(UsageError, match="no document here has a date") as error:
        asked(Search(open_index(tmp_path / "i"), SearchSettings(mode="lexical")), "bank date:2026")
    assert all(field in error.value.fix for field in FIELDS)


@pytest.mark.parametrize("typed", ["bank type:pdf", 'bank "no such words here"', "bank path:nowhere"])
@pytest.mark.parametrize("mode", MODES)
def test_nothing_fits(typed: str, mode: Mode, searches: dict[Mode, Search]) -> None:
    result = asked(searches[mode], typed)
    assert not result.hits
    assert result.scope
    assert result.scope.left == 0
    if "type:" in typed:
        assert "type:pdf fits no document; there is " in result.notes[0]
        assert "html" in result.notes[0]


def test_a_query_of_the_library_is_literal(searches: dict[Mode, Search]) -> None:
    result = searches["lexical"].search(Query("1", '"river bank" -otters type:md'))
    assert result.scope is None
    assert any("Otters" in hit.chunk.text for hit in result.hits)
    assert any(hit.meta["format"] == "txt" for hit in result.hits)


# How hits are arranged


def arranged(index: Index, typed: str = "the bank of the river", **options: object) -> SearchResult:
    return asked(Search(index, SearchSettings(**{"mode": "dense", "k": 10, **options})), typed)  # type: ignore[arg-type]


def test_mmr_of_weight_1_is_the_plain_order(index: Index) -> None:
    assert names(arranged(index, mmr=1.0)) == names(arranged(index))


def test_mmr_spreads(index: Index) -> None:
    """With diversity, the mean cosine between hits is smaller; and its score is that of the hits, never rising."""

    def likeness(result: SearchResult) -> float:
        keys = {
            segment.name_of(row): (n, row)
            for n, segment in enumerate(index.segments)
            for row in range(len(segment.chunk_documents))
            if segment.live is None or segment.live[row]
        }
        units = unit_vectors(index, [keys[name] for name in names(result)])
        return float((units @ units.T).mean())

    for mode in MODES:
        diverse = arranged(index, mode=mode, mmr=0.3)
        assert likeness(diverse) < likeness(arranged(index, mode=mode)) - 0.05
        scores = [hit.score for hit in diverse.hits]
        assert scores == sorted(scores, reverse=True)
        assert [hit.trail["mmr"].score for hit in diverse.hits] == scores


@given(st.integers(1, 12), st.integers(1, 12), st.floats(0, 1), st.integers(0, 2**32 - 1))
def test_mmr_is_the_formula(count: int, most: int, weight: float, seed: int) -> None:
    random = np.random.default_rng(seed)
    units = random.normal(size=(count, 3)).astype(np.float32)
    units /= np.linalg.norm(units, axis=1, keepdims=True)
    relevance = random.random(count)
    scaled = (relevance - relevance.min()) / np.ptp(relevance) if count > 1 else np.ones(1)
    chosen: list[int] = []
    for place, worth in mmr(list(relevance), units, weight, most):
        value = {
            n: weight * scaled[n] - (1 - weight) * max([0.0, *(float(units[n] @ units[c]) for c in chosen)])
            for n in range(count)
            if n not in chosen
        }
        assert worth == pytest.approx(max(value.values()), abs=1e-5)
        assert value[place] == pytest.approx(max(value.values()), abs=1e-5)
        chosen.append(place)
    assert len(set(chosen)) == min(count, most)


def test_at_most_so_many_of_a_document(index: Index) -> None:
    whole = arranged(index, "the keeper and the bank", k=1000)
    for most in (1, 2):
        taken: dict[str, int] = {}
        wanted = []
        for document, ordinal in names(whole):
            taken[document] = taken.get(document, 0) + 1
            if taken[document] <= most:
                wanted.append((document, ordinal))
        assert names(arranged(index, "the keeper and the bank", max_per_document=most)) == wanted[:10]


def test_near_duplicates_are_folded_and_counted(tmp_path: Path) -> None:
    notes = {f"{n}/same.txt": "The very same text about otters." for n in range(5)}
    notes |= {"space.txt": "The very   same TEXT about otters.", "otter.txt": "The very same text about an otter."}
    notes |= {f"log{n}.txt": f"The lamp number {n} went out at night." for n in range(3)}
    built(tmp_path / "i", put(tmp_path / "n", notes))
    index = open_index(tmp_path / "i")
    for mode in MODES:
        folded = arranged(index, "text about otters", mode=mode, fold=True)
        plain = arranged(index, "text about otters", mode=mode, k=100)
        best = folded.hits[0]
        assert len(best.alike) == 5, mode
        assert {(best.chunk.document_id, 0), *best.alike} == {(f"n/{n}/same.txt", 0) for n in range(5)} | {
            ("n/space.txt", 0)
        }
        everything = [*names(folded), *(name for hit in folded.hits for name in hit.alike)]
        assert sorted(everything) == sorted(names(plain))
        assert not any(hit.alike for hit in plain.hits)
        one = arranged(index, "text about otters", mode=mode, fold=True, k=1)
        assert len(one.hits[0].alike) == 5  # also those beyond the last hit
    assert len(arranged(index, "lamp number", fold=True, k=3).hits) == 3


def test_close_vectors_fold_unless_numbers_differ() -> None:
    texts = {(0, 0): "Lamp 1 went out.", (0, 1): "Lamp 1 went out!", (0, 2): "Lamp 2 went out.", (0, 3): "other"}
    units = np.array([[1, 0], [ALIKE, (1 - ALIKE**2) ** 0.5 - 1e-3], [1, 0], [0, 1]], dtype=np.float32)
    keys: Sequence[tuple[int, int]] = list(texts)
    assert fold(keys, texts, units, 9) == {(0, 0): [(0, 1)], (0, 2): [], (0, 3): []}
    assert fold(keys, texts, None, 9) == {key: [] for key in keys}
    assert fold(keys, texts, units, 1) == {(0, 0): [(0, 1)]}


def test_passages_join_neighbours(index: Index) -> None:
    separate = arranged(index, "the keeper of lamps")
    joined = arranged(index, "the keeper of lamps", passages=True)
    assert len(joined.hits) < len(separate.hits)
    ordinals = {(h.chunk.document_id, n) for h in joined.hits for n in h.ordinals}
    assert ordinals == set(names(separate))
    assert joined.hits[0].score == separate.hits[0].score
    assert names(joined)[0] == names(separate)[0]
    texts = {document.id: document.text for s, r in index.live_documents() for document in [s.document(r)]}
    spans = {(h.chunk.document_id, h.chunk.ordinal): h.chunk for h in separate.hits}
    for hit in joined.hits:
        chunk, parts = hit.chunk, [spans[hit.chunk.document_id, n] for n in hit.ordinals]
        assert list(hit.ordinals) == list(range(hit.ordinals[0], hit.ordinals[-1] + 1))
        assert (chunk.start, chunk.end) == (min(p.start for p in parts), max(p.end for p in parts))
        assert texts[chunk.document_id][chunk.start : chunk.end] == chunk.text
        assert hit.score == max(h.score for h in separate.hits if h.chunk in parts)
    assert not [
        (h.chunk.document_id, n)
        for h in joined.hits
        for n in [h.ordinals[-1] + 1]
        if (h.chunk.document_id, n) in ordinals
    ]
    assert passages([], lambda hit: pytest.fail("nothing to join")) == []


@pytest.mark.parametrize(
    "options",
    [
        {"mmr": 1.5},
        {"max_per_document": 0},
        {"unit": "document", "max_per_document": 1},
        {"unit": "document", "passages": True},
    ],
)
def test_settings_that_do_not_fit(options: dict[str, object], index: Index) -> None:
    with pytest.raises(UsageError):
        Search(index, SearchSettings(mode="lexical", **options))  # type: ignore[arg-type]
