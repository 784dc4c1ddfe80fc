from __future__ import annotations

import json
from pathlib import Path

import pytest
from samples import documents, items, outcomes

from core.types import Document


@pytest.fixture
def corpus(tmp_path: Path) -> Path:
    folder = tmp_path / "beir"
    folder.mkdir()
    return folder / "corpus.jsonl"


def _lines(*records: object) -> bytes:
    return b"".join(json.dumps(record, ensure_ascii=False).encode() + b"\n" for record in records)


def test_records_are_documents_with_their_own_ids(corpus: Path) -> None:
    corpus.write_bytes(
        _lines(
            {"_id": "d1", "title": "T", "text": "one\u2028two\x85three", "url": "u", "n": 1, "list": [1], "none": None},
            {"_id": 2, "text": "untitled"},
        )
    )
    first, second = documents(corpus.parent).values()
    assert (first.id, first.title, first.text, first.source) == ("d1", "T", "one\u2028two\x85three", "beir")
    assert first.meta == {"format": "jsonl", "path": "corpus.jsonl", "line": 1, "url": "u", "n": 1, "none": None}
    assert (second.id, second.title, second.text, second.meta["line"]) == ("2", "", "untitled", 2)


def test_any_jsonl_is_read_when_it_is_the_source(corpus: Path) -> None:
    file = corpus.with_name("passages.jsonl")
    file.write_bytes(_lines({"_id": "a", "text": "x"}))
    assert documents(file)["a"].meta["path"] == "passages.jsonl"


def test_the_other_files_of_a_beir_folder_are_skipped(corpus: Path) -> None:
    corpus.write_bytes(_lines({"_id": "a", "text": "x"}))
    corpus.with_name("queries.jsonl").write_bytes(_lines({"_id": "q", "text": "x"}))
    (corpus.parent / "qrels").mkdir()
    (corpus.parent / "qrels" / "test.tsv").write_text("q\ta\t1\n")
    assert list(documents(corpus.parent)) == ["a"]
    assert {path: status for path, (status, _) in outcomes(corpus.parent).items()} == {
        "beir/qrels/test.tsv": "skipped",
        "beir/queries.jsonl": "skipped",
    }


@pytest.mark.parametrize(
    ("line", "status", "reason"),
    [
        (b"no json", "failed", "not JSON"),
        (b"[1]", "failed", "not a JSON object"),
        (b'{"_id": "x", "text": "' + b"\xff" + b'"}', "failed", "not UTF-8"),
        (b'{"text": "x"}', "failed", "no _id"),
        (b'{"_id": "", "text": "x"}', "failed", "no _id"),
        (b'{"_id": 1.5, "text": "x"}', "failed", "neither a string nor a whole number"),
        (b'{"_id": true, "text": "x"}', "failed", "neither a string nor a whole number"),
        (b'{"_id": "\\ud800", "text": "x"}', "failed", "half a character"),
        (b'{"_id": "x"}', "failed", "no text"),
        (b'{"_id": "x", "text": ["x"]}', "failed", "the text is not a string"),
        (b'{"_id": "x", "text": "x", "title": 1}', "failed", "the title is not a string"),
        (b'{"_id": "x", "text": " ", "title": ""}', "skipped", "empty"),
        (b'{"_id": "first", "text": "again"}', "failed", "the same id as one before it in beir/corpus.jsonl: first"),
        (b"[" * 100_000, "failed", "not JSON"),
        (b'{"_id": "x", "text": "x", "n": ' + b"9" * 5000 + b"}", "failed", "not JSON"),
        (b'{"_id": "x", "text": "' + b"x" * 2**20 + b'"}', "failed", "longer than the limit"),
    ],
)
def test_a_bad_line_is_an_outcome_and_the_rest_goes_on(corpus: Path, line: bytes, status: str, reason: str) -> None:
    around = _lines({"_id": "first", "text": "a"}), _lines({"_id": "last", "text": "b"})
    corpus.write_bytes(around[0] + b"\n" + line + b"\n" + around[1])
    assert list(documents(corpus.parent)) == ["first", "last"]
    ((path, outcome),) = outcomes(corpus.parent).items()
    assert (path, outcome[0]) == ("beir/corpus.jsonl:3", status)
    assert reason in outcome[1]


def test_what_is_no_character_never_gets_in(corpus: Path) -> None:
    corpus.write_bytes(b'\xef\xbb\xbf{"_id": "a", "title": "t\\u0000", "text": "x\\ud800y\\r\\nz", "m": "\\udfff"}')
    (document,) = documents(corpus.parent).values()
    assert (document.title, document.text, document.meta["m"]) == ("t", "xy\nz", "")


def test_numbers_that_json_does_not_have_are_not_kept(corpus: Path) -> None:
    corpus.write_bytes(b'{"_id": "a", "text": "x", "a": NaN, "b": 1e999, "c": 1.5}')
    (document,) = documents(corpus.parent).values()
    assert {"a", "b", "c"} & set(document.meta) == {"c"}


def test_a_record_that_only_moved_is_unchanged(corpus: Path) -> None:
    one, two = {"_id": "1", "text": "a", "url": "u"}, {"_id": "2", "text": "b"}
    corpus.write_bytes(_lines(one, two))
    known = {name: document.sha256 for name, document in documents(corpus.parent).items()}
    corpus.write_bytes(_lines(two, one | {"url": "changed"}))
    assert outcomes(corpus.parent, known) == {"2": ("unchanged", "")}
    assert [item.id for item in items(corpus.parent, known) if isinstance(item, Document)] == ["1"]


def test_the_size_limit_is_for_lines_not_for_the_file(corpus: Path) -> None:
    corpus.write_bytes(_lines(*({"_id": n, "text": "x" * 80} for n in range(50))))
    assert len(items(corpus.parent, limit=200)) == 50
    assert not outcomes(corpus.parent, limit=200)
