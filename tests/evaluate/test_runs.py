"""Run files: whatever the ids are, what is written is read again, and no two ids become one."""

from __future__ import annotations

from pathlib import Path

import ir_measures
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from core.errors import UsageError
from core.runs import decode_id, encode_id, read_run, run_lines

IDS = st.text(st.characters(exclude_categories=[]), min_size=1, max_size=12) | st.sampled_from(
    ["a b", "a%20b", "a%2520b", "%", "%%", "100%", "%zz", "\u2028", "\x85", "\x00", "\udcff", "\u202e", "Q0", "文 档"]
)
RANKED = st.lists(IDS, unique=True, max_size=8)


@given(st.dictionaries(IDS, RANKED, max_size=4))
@settings(deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
def test_round_trip(tmp_path: Path, run: dict[str, list[str]]) -> None:
    path = tmp_path / "r.trec"
    wanted = {
        query: {document: 100.0 - n for n, document in enumerate(ranked)} for query, ranked in run.items() if ranked
    }
    lines = [line for query, ranked in wanted.items() for line in run_lines(query, ranked, "a tag")]
    assert all(len(line.split()) == 6 and line.isprintable() for line in lines)
    path.write_text("".join(f"{line}\n" for line in lines), encoding="utf-8")
    documents = {document for ranked in run.values() for document in ranked}
    read = {
        decode_id(query, set(run)): {decode_id(document, documents): score for document, score in ranked.items()}
        for query, ranked in read_run(path).items()
    }
    assert read == wanted


@given(IDS, IDS)
def test_no_two_ids_are_written_alike(one: str, other: str) -> None:
    assert (encode_id(one) == encode_id(other)) == (one == other)


@pytest.mark.parametrize("value", ["d1", "notes/银行.txt", "a-b_c.d:e/f", "Müller", "v1.2.3"])
def test_what_is_plain_stays(value: str) -> None:
    assert encode_id(value) == value


def test_a_run_of_another_tool_keeps_its_percent_signs() -> None:
    assert decode_id("100%25", {"100%25"}) == "100%25"
    assert decode_id("a%20b", {"a b"}) == "a b"
    assert decode_id("%ff", {"%ff"}) == "%ff"
    assert decode_id("unknown%20one", set()) == "unknown%20one"


def test_the_lines(tmp_path: Path) -> None:
    lines = list(run_lines("q 1", {"a b": 0.5, "c": 0.25}, "samespace-hybrid"))
    assert lines == ["q%201 Q0 a%20b 1 0.500000 samespace-hybrid", "q%201 Q0 c 2 0.250000 samespace-hybrid"]
    (tmp_path / "r").write_text("\n".join(lines))
    assert [scored.doc_id for scored in ir_measures.read_trec_run(str(tmp_path / "r"))] == ["a%20b", "c"]


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("q Q0 d 1 0.5 t\nq Q0 d", "line 2 is no line of a run"),
        ("q Q0 d 1 high t", "line 1"),
        ("q Q0 d 1 nan t", "the score is no number"),
        ("q Q0 d 1 inf t", "the score is no number"),
        ("q Q0 d 1 0.5 t\nq Q0 d 2 0.4 t", "stands twice"),
        ("{}", "line 1"),
    ],
)
def test_what_is_no_run(tmp_path: Path, text: str, message: str) -> None:
    (tmp_path / "r").write_text(text)
    with pytest.raises(UsageError, match=message) as caught:
        read_run(tmp_path / "r")
    assert caught.value.path == str(tmp_path / "r")


def test_blank_lines_and_many_columns_are_fine(tmp_path: Path) -> None:
    (tmp_path / "r").write_bytes(b"\r\n q\tQ0\td\t1\t0.5\ttag with spaces\r\n\n")
    assert read_run(tmp_path / "r") == {"q": {"d": 0.5}}


def test_a_file_that_is_not_there(tmp_path: Path) -> None:
    with pytest.raises(UsageError, match="no such run file"):
        read_run(tmp_path / "none")
