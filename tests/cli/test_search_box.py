"""What users expect of a search box, on the command line: operators, folding, and words for queries that ask for nothing."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
from shell import Done, ok, put, samespace

MODES = ("hybrid", "dense", "lexical")
SAME = "The ferry leaves at noon from the old harbour.\n"


@pytest.fixture(scope="module")
def box(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """An index with doubles, a record with a date, and a long document."""
    folder = tmp_path_factory.mktemp("box")
    put(
        folder / "n",
        {
            "river.md": "# The river bank\n\nOtters dig along the bank of the river.\n",
            "money.txt": "A bank lends money and pays interest.\n",
            "银行.txt": "银行的利率上周又下调了。存款的人并不高兴。\n",
            "ferry.txt": SAME,
            "copy/ferry.txt": SAME,
            "long.txt": "\n\n".join(
                f"Paragraph {n} tells of the lighthouse and its {n} lamps. " * 4 for n in range(40)
            ),
            "corpus.jsonl": json.dumps({"_id": "r1", "text": "The bank was robbed.", "date": "2026-01-31"}) + "\n",
        },
    )
    ok("build", folder / "n", "--to", folder / "i", "--model", "hashing")
    return folder / "i"


def found(done: Done) -> list[str]:
    return [hit["document"] for hit in done.json["hits"]]


@pytest.mark.parametrize("mode", MODES)
@pytest.mark.parametrize(
    ("query", "documents"),
    [
        ('otters "river bank"', {"n/river.md"}),
        ("银行 “利率上周”", {"n/银行.txt"}),
        ("bank type:jsonl", {"r1"}),
        ("bank date:>2025", {"r1"}),
        ("bank path:money", {"n/money.txt"}),
        ("银行 language:zh", {"n/银行.txt"}),
    ],
)
def test_operators(mode: str, query: str, documents: set[str], box: Path) -> None:
    done = ok("search", box, query, "--mode", mode, "--json")
    assert set(found(done)) == documents
    assert done.json["query"] == query
    assert done.json["fitting"]["chunks"] == 1
    assert done.json["fitting"]["steps"][0]["left"] == 1


def test_exclusion_and_what_explain_says(box: Path) -> None:
    done = ok("search", box, "bank -river -type:txt", "--explain")
    assert done.out.startswith(" 1. r1 ")
    assert "river.md" not in done.out
    assert "looked for: bank\n" in done.err
    assert "-type:txt: 2 chunks left\n-river: 1 chunks left\n" in done.err
    assert "1 of " in done.err


def test_literal(box: Path) -> None:
    value = ok("search", box, '"river bank" -otters type:md', "--literal", "--mode", "lexical", "--json").json
    assert value["fitting"] is None
    assert value["understood"]["text"] == value["query"]
    assert {"n/river.md", "n/money.txt"} <= {hit["document"] for hit in value["hits"]}


def test_queries_of_a_file_are_literal(box: Path, tmp_path: Path) -> None:
    """And one that is typed is not, also for a run."""
    query = "bank -river type:md"
    put(tmp_path, {"q.jsonl": json.dumps({"_id": "1", "text": query})})
    lines = ok("search", box, "--queries", tmp_path / "q.jsonl", "--mode", "lexical").out.splitlines()
    assert {line.split()[2] for line in lines} == {"n/river.md", "n/money.txt", "r1"}
    typed = ok("search", box, "bank -river", "--run", "-", "--mode", "lexical").out.splitlines()
    assert {line.split()[2] for line in typed} == {"n/money.txt", "r1"}


def test_doubles_are_folded_where_people_read(box: Path) -> None:
    query = "the ferry from the harbour"
    shown = ok("search", box, query, "-k", "2").out
    assert "+ 1 alike: n/" in shown
    assert shown.count("ferry leaves") == 1
    assert "alike" not in ok("search", box, query, "-k", "2", "--no-fold").out
    assert found(ok("search", box, query, "-k", "2", "--json")) == ["n/copy/ferry.txt", "n/ferry.txt"]
    value = ok("search", box, query, "-k", "2", "--json", "--fold").json
    assert value["hits"][0]["alike"] == [{"document": "n/ferry.txt", "ordinal": 0}]
    assert value["hits"][1]["document"] != "n/ferry.txt"


def test_a_cap_diversity_and_passages(box: Path) -> None:
    plain = found(ok("search", box, "lighthouse lamps", "--json"))
    assert plain.count("n/long.txt") > 2
    capped = found(ok("search", box, "lighthouse lamps", "--max-per-document", 2, "--json"))
    assert capped.count("n/long.txt") == 2
    joined = ok("search", box, "lighthouse lamps", "--passages", "--json").json["hits"]
    assert any(len(hit["ordinals"]) > 1 for hit in joined)
    assert sum(len(hit["ordinals"]) for hit in joined) == len(plain)
    diverse = ok("search", box, "lighthouse lamps", "--mmr", 0.2, "--json").json["hits"]
    assert [hit["trail"]["mmr"]["rank"] for hit in diverse] == list(range(1, len(diverse) + 1))
    assert len({hit["document"] for hit in diverse}) > len(set(plain[:5]))


def test_a_run_with_diversity_is_in_its_order(box: Path) -> None:
    scores = [float(line.split()[4]) for line in ok("search", box, "bank", "--run", "-", "--mmr", 0.3).out.splitlines()]
    assert scores == sorted(scores, reverse=True)
    assert len(scores) > 3


def test_rerank_takes_what_was_understood(box: Path) -> None:
    hits = ok("search", box, 'otters "river bank"', "--json").out
    assert ok("rerank", box, "--hits", "-", "--json", input=hits).json["query"] == "otters river bank"


# Queries that ask for little or nothing


@pytest.mark.parametrize("mode", MODES)
@pytest.mark.parametrize(
    "query",
    [
        *(
            "a",
            "银",
            "🦦",
            "🦦🏔️ 🎉",
            "to be or not to be",
            "the",
            '"unbalanced',
            "“不对",
            '"',
            "-",
            '""',
            "()[]{}*?\\",
            "'",
        ),
        *("\u202e", "type:", "-🦦", "a:b", "\ud800", "AND OR NOT", '-"', "%s {0} $HOME", "\x00", "\n\t."),
    ],
)
def test_odd_queries_are_answered(query: str, mode: str, box: Path) -> None:
    done = ok("search", "--mode", mode, "--", box, query)
    assert done.out.startswith(" 1. ") or "nothing found" in done.err


@pytest.mark.parametrize("query", ["the", "🦦", "to be or not to be"])
def test_a_query_without_words_is_told_so(query: str, box: Path) -> None:
    lexical = ok("search", box, query, "--mode", "lexical")
    assert "holds no word to look up" in lexical.err
    assert "nothing found" in lexical.err
    assert "by meaning alone" in ok("search", box, query).err
    assert ok("search", box, query, "--mode", "dense").err == ""


@pytest.mark.parametrize("query", ['bank "river', "“river bank", '-"bank river'])
def test_unbalanced_quotes_are_told(query: str, box: Path) -> None:
    done = ok("search", "--", box, query)
    assert "a quotation mark is not closed, so it was taken as text\n" in done.err
    assert done.out.startswith(" 1. ")


@pytest.mark.parametrize("piece", ["-a ", '"a ', "“a ", "type:md ", "🦦", "the ", "-", '"', '""', "a", "银"])
def test_100_000_characters_end_in_words(piece: str, box: Path) -> None:
    done = samespace("search", "--mode", "lexical", "--", box, "bank " + piece * (100_000 // len(piece)))
    assert done.code in (0, 2)
    assert done.code == 0 or "are the most" in done.err or "not what to look for" in done.err


@pytest.mark.parametrize("mode", MODES)
@pytest.mark.parametrize(
    ("query", "said"),
    [
        ("bank type:pdf", "type:pdf fits no document; there is "),
        ("bank path:nowhere", "path:nowhere fits no document"),
        ("bank language:ko", "language:ko fits no document; there is en"),
        ("bank date:1999", "date:1999 fits no document; there is 2026"),
        ('bank "river money"', 'no chunk fits "river money"'),
        ("bank -bank path:money", "no chunk fits path:money, -bank"),
    ],
)
def test_a_filter_that_fits_nothing(query: str, said: str, mode: str, box: Path) -> None:
    done = ok("search", box, query, "--mode", mode)
    assert done.out == ""
    assert said in done.err
    assert "nothing found" in done.err
    assert ok("search", box, query, "--mode", mode, "--json").json["hits"] == []


@pytest.mark.parametrize(
    ("words", "said"),
    [
        (["type:md"], "not what to look for"),
        (["bank language:xx"], "language:xx is none"),
        (["bank date:soon"], "date:soon is no date"),
        (["bank", "--mmr", "2"], "--mmr"),
        (["bank", "--max-per-document", "0"], "--max-per-document"),
        (["bank", "--unit", "document", "--passages"], "--passages is about chunks"),
        (["bank", "--run", "-", "--max-per-document", "1"], "--max-per-document is about chunks"),
    ],
)
def test_refused_with_a_way_out(words: list[str], said: str, box: Path) -> None:
    done = samespace("search", box, *words)
    assert done.code == 2
    assert said in done.err
    assert "→" in done.err
    assert done.out == ""


def test_control_characters_of_a_query_reach_no_terminal(box: Path) -> None:
    done = ok("search", box, 'bank "a\x1b[31mb"', "--explain")
    assert "\x1b" not in done.all
    assert "\\x1b[31m" in done.err
