"""Gates: what is one, what passes, which baseline may be compared."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from core.errors import UsageError
from core.evaluate.gates import Gate, baseline_gates, check_gates, parse_gate, read_baseline

VALUE = {
    "schema": "samespace/eval/1",
    "index": "x.index",
    "generation": 3,
    "space": "s-1",
    "metrics": {"nDCG@10": 0.61, "RR": 0.5},
    "collection": {"judgements": "j", "queries": "q"},
}


def test_a_gate() -> None:
    assert parse_gate("nDCG@10=0.60") == Gate("nDCG@10", 0.6, "--at-least")
    assert parse_gate(" AP(rel=2)@10 = 1e-1") == Gate("AP(rel=2)@10", 0.1, "--at-least")


@pytest.mark.parametrize(
    "text", ["", "nDCG@10", "=0.5", " =1", "nDCG@10=", "nDCG@10=nan", "nDCG@10=inf", "nDCG@10=high"]
)
def test_what_is_no_gate(text: str) -> None:
    with pytest.raises(UsageError, match="no gate"):
        parse_gate(text)


def test_what_passes() -> None:
    gates = [Gate("a", 0.5, ""), Gate("a", 0.5 + 1e-12, ""), Gate("a", 0.500001, ""), Gate("b", -1.0, "")]
    assert [result.passed for result in check_gates(gates, {"a": 0.5, "b": 0.0})] == [True, True, False, True]
    with pytest.raises(UsageError, match="c is not measured here"):
        check_gates([Gate("c", 0.1, "")], {"a": 0.5})


def written(folder: Path, value: Any) -> Path:
    path = folder / "baseline.json"
    path.write_text(value if isinstance(value, str) else json.dumps(value))
    return path


def test_a_baseline(tmp_path: Path) -> None:
    path = written(tmp_path, VALUE)
    found = read_baseline(path)
    assert (found.index, found.generation, found.space) == ("x.index", 3, "s-1")
    gates = baseline_gates(found, path, VALUE["collection"], 0.01)
    assert [(gate.metric, gate.wanted) for gate in gates] == [("nDCG@10", pytest.approx(0.6)), ("RR", 0.49)]
    assert {gate.source for gate in gates} == {str(path)}
    assert baseline_gates(found, path, {"judgements": "j"}, 0.0)  # a run file: measured without the queries' texts


@pytest.mark.parametrize(
    ("collection", "part"),
    [({"judgements": "J", "queries": "q"}, "judgements"), ({"judgements": "j", "queries": "Q"}, "queries")],
)
def test_a_baseline_of_another_collection(tmp_path: Path, collection: dict[str, str], part: str) -> None:
    path = written(tmp_path, VALUE)
    with pytest.raises(UsageError, match=f"other {part}"):
        baseline_gates(read_baseline(path), path, collection, 0.0)


def test_a_baseline_of_pairs_is_none_for_queries(tmp_path: Path) -> None:
    path = written(tmp_path, {**VALUE, "collection": {"pairs": "p"}})
    with pytest.raises(UsageError, match="another kind"):
        baseline_gates(read_baseline(path), path, {"judgements": "j"}, 0.0)


@pytest.mark.parametrize(
    "value",
    [
        "", "[]", "{", "null", "[" * 100_000,
        {}, {**VALUE, "schema": "samespace/search/1"}, {**VALUE, "metrics": {}}, {**VALUE, "metrics": {"a": "x"}},
        {**VALUE, "metrics": {"a": None}}, {**VALUE, "metrics": [1]}, {**VALUE, "metrics": {"a": float("nan")}},
        {**VALUE, "metrics": {"a": 10**400}}, {**VALUE, "collection": None}, {**VALUE, "collection": 3},
    ],
)  # fmt: skip
def test_what_is_no_baseline(tmp_path: Path, value: Any) -> None:
    with pytest.raises(UsageError, match="no baseline"):
        read_baseline(written(tmp_path, value))


def test_a_baseline_that_is_not_there(tmp_path: Path) -> None:
    with pytest.raises(UsageError, match="no such baseline"):
        read_baseline(tmp_path / "none")
