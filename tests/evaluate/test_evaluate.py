"""The metrics, against values by hand and trec_eval's own, and the two files of judgements that are read."""

from __future__ import annotations

import math
from pathlib import Path

import ir_measures
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from core.errors import UsageError
from core.evaluate import depth_of, evaluate, find_qrels, judged_queries, parse_metrics, read_qrels
from core.pipeline.evaluate import Ranking
from core.runs import read_run, run_lines
from core.types import Qrel, Query

QRELS = [Qrel("1", "a", 2), Qrel("1", "b", 1), Qrel("1", "c", 0), Qrel("2", "x", 1)]
NAMES = ("nDCG@10", "R@100", "RR@10")


class TestByHand:
    def test_values(self) -> None:
        """c is not relevant, b comes second, a third; the second query finds nothing."""
        result = evaluate({"1": {"c": 3.0, "b": 2.0, "a": 1.0}}, QRELS, NAMES)
        ndcg = (1 / math.log2(3) + 2 / math.log2(4)) / (2 + 1 / math.log2(3))
        assert result.per_query == {
            "nDCG@10": pytest.approx({"1": ndcg, "2": 0.0}),
            "R@100": {"1": 1.0, "2": 0.0},
            "RR@10": {"1": 0.5, "2": 0.0},
        }
        assert result.mean == pytest.approx({"nDCG@10": ndcg / 2, "R@100": 0.5, "RR@10": 0.25})
        assert result.queries == 2

    def test_cut_offs(self) -> None:
        run = {"1": {**{f"z{n}": 100.0 - n for n in range(10)}, "a": 1.0}}
        assert evaluate(run, QRELS[:3], ["RR@10", "RR@11"]).mean == pytest.approx({"RR@10": 0.0, "RR@11": 1 / 11})

    def test_queries_without_judgements_do_not_count(self) -> None:
        result = evaluate({"1": {"a": 1.0}, "9": {"a": 1.0}}, QRELS[:3], ["RR@10"])
        assert result.per_query == {"RR@10": {"1": 1.0}}

    def test_missing_documents_are_counted_once(self) -> None:
        assert evaluate({}, [*QRELS, Qrel("3", "a", 1)], NAMES, {"b", "c"}).missing == 2
        assert evaluate({}, QRELS, NAMES).missing == 0


RUNS = st.dictionaries(
    st.sampled_from(["1", "2", "3"]),
    st.dictionaries(st.sampled_from("abcdefgh"), st.integers(-50, 50).map(float)),
    max_size=3,
)
JUDGEMENTS = st.dictionaries(
    st.tuples(st.sampled_from(["1", "2", "4"]), st.sampled_from("abcdefgh")), st.integers(0, 3), min_size=1
)


@given(RUNS, JUDGEMENTS)
@settings(max_examples=50, deadline=None)
def test_means_are_those_of_ir_measures(run: dict[str, dict[str, float]], judged: dict[tuple[str, str], int]) -> None:
    qrels = [Qrel(query, document, value) for (query, document), value in judged.items()]
    mine = evaluate(run, qrels, NAMES).mean
    scored = [ir_measures.ScoredDoc(q, d, s) for q, hits in run.items() for d, s in hits.items()]
    measures = [ir_measures.parse_measure(name) for name in NAMES]
    theirs = ir_measures.calc_aggregate(
        measures, [ir_measures.Qrel(q.query_id, q.document_id, q.relevance) for q in qrels], scored
    )
    assert mine == pytest.approx({str(measure): value for measure, value in theirs.items()})


class TestMetrics:
    @pytest.mark.parametrize(
        "name", ["nDCG@10", "R@100", "RR@10", "RR", "AP", "P@5", "Success@1", "Judged@10", "AP(rel=2)@10"]
    )
    def test_known(self, name: str) -> None:
        assert [str(measure) for measure in parse_metrics([name])] == [name]

    @pytest.mark.parametrize(
        "name",
        ["nDCG@0", "nDCG@-1", "nDCG@ten", "nDCG@1.5", "nDCG@99999999999", "ndcg", "R", "P", "nDCG(foo=3)", "nDCG@10(", "AP(rel=0)",
         "__import__('os')", "1", "@10", "RBP(p=5)", "nDCG@True"],
    )  # fmt: skip
    def test_unknown(self, name: str) -> None:
        """Some of these end the process inside trec_eval when they are let through."""
        with pytest.raises(UsageError, match="metric"):
            parse_metrics([name])

    def test_none(self) -> None:
        with pytest.raises(UsageError, match="no metric is named"):
            parse_metrics([])

    @pytest.mark.parametrize(
        ("names", "depth"), [(["nDCG@10"], 100), (["R@100", "R@250"], 250), (["AP"], 1000), (["RR", "P@5"], 1000)]
    )
    def test_how_deep_a_ranking_must_be(self, names: list[str], depth: int) -> None:
        assert depth_of(parse_metrics(names)) == depth


def written(folder: Path, text: str | bytes) -> Path:
    path = folder / "qrels.tsv"
    path.write_bytes(text.encode() if isinstance(text, str) else text)
    return path


class TestQrels:
    @pytest.mark.parametrize(
        "text",
        [
            "query-id\tcorpus-id\tscore\nq 1\td 1\t2\n问\t文\t0\n",
            "q 1\td 1\t2\r\n问\t文\t0\r\n\r\n",
            "q 1\t0\td 1\t2\n问\t0\t文\t0",
        ],
        ids=["BEIR", "no header, CRLF", "TREC by tabs"],
    )
    def test_formats(self, tmp_path: Path, text: str) -> None:
        assert read_qrels(written(tmp_path, text)) == [Qrel("q 1", "d 1", 2), Qrel("问", "文", 0)]

    def test_trec_by_spaces(self, tmp_path: Path) -> None:
        assert read_qrels(written(tmp_path, "1 0 d1  -1\n1   0 d2 3\n")) == [Qrel("1", "d1", -1), Qrel("1", "d2", 3)]

    @pytest.mark.parametrize(
        ("text", "message"),
        [
            ("1\td\t1\n1\td\n", "line 2 is no judgement"),
            ("1\td\tgood\n", "line 1 is no judgement"),
            ("a b\n", "line 1 is no judgement"),
            ("1\td\t99999999999999999999\n", "line 1 is no judgement"),
            ("1\td\t0.5\n", "line 1 is no judgement"),
            (b"\xff\xfe\x00", "line 1 is no judgement"),
            ("", "holds no judgements"),
            ("query-id\tcorpus-id\tscore\n", "holds no judgements"),
        ],
    )
    def test_what_is_none(self, tmp_path: Path, text: str | bytes, message: str) -> None:
        with pytest.raises(UsageError, match=message) as caught:
            read_qrels(written(tmp_path, text))
        assert caught.value.path == str(tmp_path / "qrels.tsv")
        assert "query-id" in caught.value.fix

    def test_a_file_that_is_not_there(self, tmp_path: Path) -> None:
        with pytest.raises(UsageError, match="no such file"):
            read_qrels(tmp_path / "none")

    def test_where_they_lie(self, tmp_path: Path) -> None:
        with pytest.raises(UsageError, match="has no judgements"):
            find_qrels(tmp_path)
        plain = written(tmp_path, "1\td\t1")
        assert find_qrels(tmp_path) == plain
        (tmp_path / "qrels").mkdir()
        (tmp_path / "qrels" / "test.tsv").write_text("1\td\t1")
        assert find_qrels(tmp_path) == tmp_path / "qrels" / "test.tsv"

    def test_only_judged_queries_are_asked(self, tmp_path: Path) -> None:
        queries = [Query("1", "a"), Query("2", "b"), Query("3", "c")]
        assert judged_queries(queries, QRELS, tmp_path) == queries[:2]
        with pytest.raises(UsageError, match="no query has a judgement"):
            judged_queries(queries[2:], QRELS, tmp_path)
        assert judged_queries([*queries, Query("4", " ")], QRELS, tmp_path) == queries[:2]
        with pytest.raises(UsageError, match="the query '2' is empty"):
            judged_queries([queries[0], Query("2", " ")], QRELS, tmp_path)


def test_ids_that_c_would_cut_or_refuse() -> None:
    """trec_eval ends an id at a NUL, and lone surrogates cannot be handed to it at all."""
    qrels = [Qrel("q\ud800", "a\0b", 1), Qrel("q\ud800", "a\0c", 0)]
    found = evaluate({"q\ud800": {"a\0c": 2.0, "a\0b": 1.0}}, qrels, ["RR"])
    assert found.per_query == {"RR": {"q\ud800": 0.5}}


def test_a_judgement_may_stand_twice_but_not_be_two(tmp_path: Path) -> None:
    assert read_qrels(written(tmp_path, "1\ta\t1\n1\ta\t1\n")) == [Qrel("1", "a", 1)]
    with pytest.raises(UsageError, match="line 2 judges a document otherwise"):
        read_qrels(written(tmp_path, "1\ta\t1\n1\ta\t2\n"))


def test_what_is_measured_is_what_the_run_file_holds(tmp_path: Path) -> None:
    """Two scores that six decimals do not tell apart are equal in the file; trec_eval puts the later id first then."""
    ranked = {"a": 0.5000004, "b": 0.5000001}
    ranking = Ranking()
    ranking.add(Query("1", "q"), ranked, 0.1)
    (tmp_path / "r").write_text("\n".join(run_lines("1", ranked, "t")))
    for run in (ranking.run, read_run(tmp_path / "r")):
        assert evaluate(run, [Qrel("1", "a", 1)], ["RR"]).mean == {"RR": 0.5}
    assert evaluate({"1": ranked}, [Qrel("1", "a", 1)], ["RR"]).mean == {"RR": 1.0}


def test_latency() -> None:
    ranking = Ranking()
    assert ranking.latency() == {}
    for n in range(1, 101):
        ranking.add(Query(str(n), "q"), {}, n / 1000)
    assert ranking.latency() == {"p50": 50.5, "p95": 95.05}
