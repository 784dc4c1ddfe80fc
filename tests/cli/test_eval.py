"""eval's stages, gates, run files and pairs, and compare, from the command line; equal to trec_eval on the run file."""

from __future__ import annotations

import json
import re
from pathlib import Path
from typing import Any

import pytest
import pytrec_eval
from shell import SAMPLE, ok, put, samespace

Beir = tuple[Path, Path]
MEASURES = {"nDCG@10": "ndcg_cut_10", "R@100": "recall_100", "AP": "map", "P@5": "P_5", "RR": "recip_rank"}


@pytest.fixture(scope="module")
def sample_index(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The sample corpus by the hashing model."""
    index = tmp_path_factory.mktemp("sample") / "h.index"
    ok("build", SAMPLE, "--to", index, "--model", "hashing")
    return index


def judged_by_trec_eval(run: Path, qrels: Path) -> dict[str, float]:
    """What trec_eval itself says of the lines of both files; a query without a line counts as 0."""
    judgements: dict[str, dict[str, int]] = {}
    for line in qrels.read_text(encoding="utf-8").splitlines()[1:]:
        query, document, relevance = line.split("\t")
        judgements.setdefault(query, {})[document.replace(" ", "%20")] = int(relevance)
    scores: dict[str, dict[str, float]] = {}
    for line in run.read_text(encoding="utf-8").splitlines():
        query, _, document, _, score, _ = line.split()
        scores.setdefault(query, {})[document] = float(score)
    found = pytrec_eval.RelevanceEvaluator(judgements, set(MEASURES.values())).evaluate(scores)
    return {
        name: sum(found.get(query, {}).get(theirs, 0.0) for query in judgements) / len(judgements)
        for name, theirs in MEASURES.items()
    }


class TestTrecEval:
    @pytest.mark.parametrize("mode", ["lexical", "hybrid"])
    def test_it_says_the_same_of_the_run_file(self, sample_index: Path, tmp_path: Path, mode: str) -> None:
        run = tmp_path / "r.trec"
        words = [sample_index, SAMPLE, "--mode", mode, "--metrics", " ".join(MEASURES), "--run", run]
        measured = ok("eval", *words, "--json").json["metrics"]
        assert judged_by_trec_eval(run, SAMPLE / "qrels.tsv") == pytest.approx(measured, abs=1e-4)
        again = ok("eval", run, SAMPLE, "--metrics", " ".join(MEASURES), "--json").json
        assert again["metrics"] == measured
        assert (again["index"], again["generation"], again["mode"], again["run"]) == (None, None, None, str(run))


class TestStages:
    def test_every_stage_is_what_it_is_alone(self, sample_index: Path, tmp_path: Path) -> None:
        done = ok(
            "eval", sample_index, SAMPLE, "--stages", "--run", tmp_path / "r.trec", "--reranker", "none", "--json"
        )
        stages = done.json["stages"]
        assert list(stages) == ["lexical", "dense", "fused"]
        for stage, mode in (("lexical", "lexical"), ("dense", "dense"), ("fused", "hybrid")):
            alone = ok("eval", sample_index, SAMPLE, "--mode", mode, "--run", tmp_path / "alone.trec", "--json").json
            assert stages[stage]["metrics"] == alone["metrics"]
            with_tags = (tmp_path / f"r.{stage}.trec").read_text()
            assert with_tags.replace(f"samespace-{stage}", f"samespace-{mode}") == (tmp_path / "alone.trec").read_text()
        assert done.json["metrics"] == stages["fused"]["metrics"]
        assert all(0 < stage["latency_ms"]["p50"] <= stage["latency_ms"]["p95"] for stage in stages.values())

    def test_differences_are_to_the_best_single_stage(self, sample_index: Path) -> None:
        value = ok("eval", sample_index, SAMPLE, "--stages", "--reranker", "none", "--per-query", "--json").json
        stages = value["stages"]
        assert len(value["differences"]) == 2 * len(value["metrics"])
        for found in value["differences"]:
            metric, reference = found["metric"], found["reference"]
            means = {stage: stages[stage]["metrics"][metric] for stage in stages}
            assert means[reference] == max(means["lexical"], means["dense"])
            assert found["mean"] == pytest.approx(means[found["stage"]] - means[reference])
            assert found["low"] <= found["mean"] <= found["high"]
            assert 0 < found["p"] <= 1
        assert set(stages["dense"]["per_query"]["RR@10"]) == set(value["per_query"]["RR@10"])

    def test_reranked_puts_the_first_anew_and_leaves_the_rest_behind(self, beir: Beir, tmp_path: Path) -> None:
        folder, index = beir
        run = tmp_path / "r.trec"
        ok("eval", index, folder, "--stages", "--candidates", 2, "--run", run)
        fused, reranked = ((tmp_path / f"r.{stage}.trec").read_text() for stage in ("fused", "reranked"))
        ids = [[line.split()[2] for line in text.splitlines() if line[0] == "1"] for text in (fused, reranked)]
        assert len(ids[0]) > 2
        assert set(ids[0][:2]) == set(ids[1][:2])
        assert ids[0][2:] == ids[1][2:]
        scores = [float(line.split()[4]) for line in reranked.splitlines() if line[0] == "1"]
        assert scores == sorted(scores, reverse=True)

    def test_text(self, beir: Beir) -> None:
        out = ok("eval", beir[1], beir[0], "--stages", "--metrics", "RR@10").out
        assert len(re.findall(r"best alone$", out, re.M)) == 1
        assert (
            len(
                re.findall(
                    r"^RR@10 +\w+ +\d\.\d{4} +[+-]\d\.\d{4} +[+-]\d\.\d{4} … [+-]\d\.\d{4} +\d\.\d{4}$", out, re.M
                )
            )
            == 3
        )
        assert len(re.findall(r"^(lexical|dense|fused|reranked) +\d+\.\d ms +\d+\.\d ms$", out, re.M)) == 4


class TestGates:
    def test_at_least(self, beir: Beir) -> None:
        """The mean RR is 0.75; a gate's metric is measured though --metrics does not name it."""
        words = ["eval", beir[1], beir[0], "--mode", "lexical", "--metrics", "P@1"]
        done = ok(*words, "--at-least", "RR=0.75", "--at-least", "P@1=0.5", "--json")
        assert [(gate["metric"], gate["got"], gate["passed"]) for gate in done.json["gates"]] == [
            ("RR", 0.75, True), ("P@1", 0.5, True)
        ]  # fmt: skip
        done = samespace(*words, "--at-least", "RR=0.76", "--at-least", "P@1=0.5")
        assert done.code == 1
        assert "RR is 0.7500, wanted at least 0.7600 (--at-least)" in done.err
        assert "P@1 is" not in done.err
        ok(*words, "--at-least", "MRR@10=0.75")  # as ir-measures calls RR, too
        failed = samespace(*words, "--at-least", "RR=0.76", "--json")
        assert (failed.code, failed.json["gates"][0]["passed"]) == (1, False)

    def test_baseline(self, beir: Beir, tmp_path: Path) -> None:
        folder, index = beir
        words = ["eval", index, folder, "--mode", "lexical"]
        kept = put(tmp_path, {"b.json": ok(*words, "--json").out}) / "b.json"
        assert "3 of 3 gates passed" in ok(*words, "--not-below", kept).err
        value = json.loads(kept.read_text())
        assert value["index"] == str(index)
        assert value["generation"] == 1
        assert value["space"].startswith("s-")
        higher = json.dumps({**value, "metrics": {"RR@10": 0.76}})
        put(tmp_path, {"b.json": higher})
        done = samespace(*words, "--not-below", kept)
        assert done.code == 1
        assert f"RR@10 is 0.7500, wanted at least 0.7600 ({kept})" in done.err
        assert f"the baseline is of {index}, generation 1, space {value['space']}" in done.err
        ok(*words, "--not-below", kept, "--tolerance", 0.02)

    def test_a_baseline_of_another_collection_is_refused(self, beir: Beir, tmp_path: Path) -> None:
        folder, index = beir
        words = ["eval", index, folder, "--mode", "lexical"]
        kept = put(tmp_path, {"b.json": ok(*words, "--json").out}) / "b.json"
        with (folder / "qrels" / "test.tsv").open("a") as qrels:
            qrels.write("2\ta\t0\n")
        done = samespace(*words, "--not-below", kept, "--json")
        assert (done.code, done.json["error"]) == (2, "UsageError")
        assert "other judgements" in done.json["message"]

    def test_another_space_is_said(self, beir: Beir, tmp_path: Path) -> None:
        folder, index = beir
        words = [folder, "--metrics", "R@100"]
        kept = put(tmp_path, {"b.json": ok("eval", index, *words, "--json").out}) / "b.json"
        ok("build", folder / "corpus.jsonl", "--to", tmp_path / "2.index", "--model", "hashing-2", "--chunker", "none")
        done = ok("eval", tmp_path / "2.index", *words, "--not-below", kept)
        assert "this is another space" in done.err

    def test_gates_of_a_run_file(self, beir: Beir, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
        folder, index = beir
        kept = tmp_path / "b.json"
        kept.write_text(ok("eval", index, folder, "--mode", "lexical", "--run", tmp_path / "r.trec", "--json").out)
        ok("eval", tmp_path / "r.trec", folder, "--not-below", kept)
        ok("eval", tmp_path / "r.trec", "--qrels", folder / "qrels" / "test.tsv", "--not-below", kept)
        assert samespace("eval", tmp_path / "r.trec", folder, "--at-least", "RR=0.9").code == 1
        monkeypatch.chdir(folder)  # whose queries nobody named
        ok("eval", tmp_path / "r.trec", "--qrels", "qrels/test.tsv")


class TestPairs:
    PAIRS = "red apple\tred apple\t5\nred apple\tred car\t3\nred apple\tblue car\t0\n"

    def test_of_a_model_and_of_an_index(self, index: Path, tmp_path: Path) -> None:
        pairs = put(tmp_path, {"p.tsv": self.PAIRS}) / "p.tsv"
        alone = ok("eval", "--sts", pairs, "--model", "hashing", "--json").json
        assert alone["metrics"]["Spearman"] == pytest.approx(1.0)
        inside = ok("eval", index, "--sts", pairs, "--json").json
        assert inside["metrics"] == alone["metrics"]
        assert (inside["space"], inside["generation"], inside["pairs"]) == (alone["space"], 1, 3)
        text = ok("eval", "--sts", pairs, "--model", "hashing").out
        assert re.search(r"^Spearman +1\.0000$", text, re.M)

    def test_gates(self, tmp_path: Path) -> None:
        pairs = put(tmp_path, {"p.tsv": self.PAIRS}) / "p.tsv"
        words = ["eval", "--sts", pairs, "--model", "hashing"]
        kept = put(tmp_path, {"b.json": ok(*words, "--json").out}) / "b.json"
        ok(*words, "--at-least", "Spearman=0.9", "--not-below", kept)
        assert samespace(*words, "--at-least", "Pearson=1.01").code == 1
        assert samespace(*words, "--at-least", "RR=0.5").code == 2
        put(tmp_path, {"p.tsv": self.PAIRS.replace("\t3", "\t2")})
        assert "other pairs" in samespace(*words, "--not-below", kept).err

    def test_a_model_of_another_space_exits_13(self, index: Path, tmp_path: Path) -> None:
        pairs = put(tmp_path, {"p.tsv": self.PAIRS}) / "p.tsv"
        assert samespace("eval", index, "--sts", pairs, "--model", "hashing-2").code == 13


class TestCompare:
    def test_an_index_with_itself(self, beir: Beir) -> None:
        folder, index = beir
        value = ok("compare", index, index, "--queries", folder / "queries.jsonl", "--json").json
        assert (value["overlap"], value["rbo"], value["queries"]) == (1.0, pytest.approx(1.0), 3)
        assert value["a"] == value["b"]
        assert (value["a"]["generation"], value["judged"]) == (1, None)
        out = ok("compare", index, index, "--queries", folder / "queries.jsonl").out
        assert "0 queries are ranked differently" in out

    def test_an_index_with_a_run(self, beir: Beir, tmp_path: Path) -> None:
        """The run turns the ranking of "apple" round: a, b, c; now c is first."""
        folder, index = beir
        run = put(tmp_path, {"r.trec": "1 Q0 c 1 9 t\n1 Q0 b 2 8 t\n1 Q0 a 3 7 t\n2 Q0 d 1 9 t\n"}) / "r.trec"
        qrels = folder / "qrels" / "test.tsv"
        words = ["compare", index, run, "--queries", folder / "queries.jsonl", "--mode", "lexical", "--qrels", qrels]
        value = ok(*words, "--metric", "RR@10", "--json").json
        assert [(change["query"], change["a"], change["b"], change["tau"]) for change in value["changes"]] == [
            ("1", ["a", "b", "c"], ["c", "b", "a"], -1.0), ("2", ["d"], ["d"], None)
        ]  # fmt: skip
        judged: dict[str, Any] = value["judged"]
        assert (judged["a"], judged["b"], judged["b_wins"], judged["ties"], judged["a_wins"]) == (0.75, 1.0, 1, 1, 0)
        assert (value["only_a"], value["only_b"]) == (1, 0)
        done = ok(*words, "--metric", "RR@10")
        assert "1 won, 1 equal, 0 lost" in " ".join(done.out.split())
        assert "  A  a, b, c\n  B  c, b, a\n" in done.out
        assert "1 queries are only in A" in done.err

    def test_ids_of_a_run_are_those_of_the_index(self, sample_index: Path, tmp_path: Path) -> None:
        """Some have white space, which a run file encodes; neither judgements nor queries are needed to know them again."""
        run = tmp_path / "r.trec"
        asked = SAMPLE / "queries.jsonl"
        ok("search", sample_index, "--queries", asked, "-k", 100, "--run", run)
        assert "%20" in run.read_text()
        value = ok("compare", run, sample_index, "--queries", asked, "--json").json
        assert (value["overlap"], value["rbo"]) == (1.0, pytest.approx(1.0, abs=1e-3))
        assert ok("compare", run, run, "--json").json["tau"] == 1.0


LINE = "1 Q0 a 1 0.5 t\n"
QRELS = "1 0 a 1\n"


@pytest.mark.parametrize(
    ("words", "files", "code", "message"),
    [
        (["eval"], {}, 2, "nothing to measure"),
        (["eval", "{index}"], {}, 2, "no collection"),
        (["eval", "{index}", "--qrels", "{tmp}/q"], {"q": QRELS}, 2, "no collection"),
        (["eval", "{tmp}/none", "--qrels", "{tmp}/q", "--queries", "{tmp}/j"],
         {"q": QRELS, "j": '{"_id": "1", "text": "a"}'}, 10, "no index"),
        (["eval", "{tmp}/r", "--qrels", "{tmp}/q"], {"r": "", "q": QRELS}, 2, "holds no lines"),
        (["eval", "{tmp}/r", "--qrels", "{tmp}/q"], {"r": LINE, "q": ""}, 2, "holds no judgements"),
        (["eval", "{tmp}/r", "--qrels", "{tmp}/q"], {"r": LINE + LINE, "q": QRELS}, 2, "stands twice"),
        (["eval", "{tmp}/r", "--qrels", "{tmp}/q"], {"r": "1 Q0 a 1 nan t", "q": QRELS}, 2, "the score is no number"),
        (["eval", "{tmp}/r", "--qrels", "{tmp}/q"], {"r": LINE, "q": "9 0 a 1"}, 2, "no query of the run has a judgement"),
        (["eval", "{tmp}/r", "--qrels", "{tmp}/q"], {"r": LINE, "q": QRELS + "1 0 a 2"}, 2, "judges a document otherwise"),
        (["eval", "{tmp}/r", "--qrels", "{tmp}/q", "--stages"], {"r": LINE, "q": QRELS}, 2, "has one stage"),
        (["eval", "{tmp}/r", "--qrels", "{tmp}/q", "--at-least", "nDCG=high"], {"r": LINE, "q": QRELS}, 2, "is no gate"),
        (["eval", "{tmp}/r", "--qrels", "{tmp}/q", "--at-least", "good=1"], {"r": LINE, "q": QRELS}, 2, "no metric 'good'"),
        (["eval", "{tmp}/r", "--qrels", "{tmp}/q", "--not-below", "{tmp}/q"], {"r": LINE, "q": QRELS}, 2, "no baseline"),
        (["eval", "{tmp}/r", "--qrels", "{tmp}/q", "--not-below", "{tmp}/n"], {"r": LINE, "q": QRELS}, 2, "no such baseline"),
        (["eval", "{tmp}/r", "--qrels", "{tmp}/q", "--tolerance", "0.1"], {"r": LINE, "q": QRELS}, 2, "belongs to a baseline"),
        (["eval", "{index}", "{tmp}", "--stages", "--mode", "dense"], {}, 2, "--stages measures every mode"),
        (["eval", "{index}", "--sts", "{tmp}/p"], {"p": ""}, 2, "holds 0 pairs"),
        (["eval", "{index}", "{tmp}", "--sts", "{tmp}/p"], {"p": ""}, 2, "measures a model by pairs"),
        (["eval", "{index}", "--sts", "{tmp}/p"], {"p": "a\ta\t1\nb\tb\t2\n"}, 17, "the same similarity"),
        (["compare", "{index}", "{index}"], {}, 2, "needs queries"),
        (["compare", "{tmp}/none", "{index}", "--queries", "{tmp}/j"], {"j": '{"_id": "1", "text": "a"}'}, 10, "no index"),
        (["compare", "{tmp}/r", "{tmp}/s"], {"r": LINE, "s": ""}, 2, "holds no lines"),
        (["compare", "{tmp}/r", "{tmp}/s"], {"r": LINE, "s": LINE.replace("1 Q0", "2 Q0")}, 2, "share no query"),
        (["compare", "{tmp}/r", "{tmp}/r", "--qrels", "{tmp}/q"], {"r": LINE, "q": "9 0 a 1"}, 2, "is judged"),
        (["compare", "{tmp}/r", "{tmp}/r", "--metric", "nope"], {"r": LINE}, 2, "no metric 'nope'"),
        (["compare", "{tmp}/r", "{tmp}/r", "--queries", "{tmp}/j"],
         {"r": LINE, "j": '{"_id": "7", "text": "a"}'}, 2, "no query of the run"),
    ],
)  # fmt: skip
def test_what_is_wrong_is_said(
    built_index: Path, tmp_path: Path, words: list[str], files: dict[str, str | bytes], code: int, message: str
) -> None:
    put(tmp_path, files)
    done = samespace(*(word.format(index=built_index, tmp=tmp_path) for word in words), "--json")
    assert done.code == code, done.all
    assert message in done.json["message"]
    assert done.json["fix"]


def test_judged_queries_without_text_or_lines_are_counted(beir: Beir, tmp_path: Path) -> None:
    folder, index = beir
    put(folder, {"more.tsv": "1\tb\t1\n9\tb\t1\n"})
    done = ok("eval", index, folder, "--mode", "lexical", "--qrels", folder / "more.tsv", "--metrics", "RR")
    assert "1 judged queries have no text among the queries, e.g. 9; they count as 0" in done.err
    assert re.search(r"^RR +0\.2500$", done.out, re.M)
    put(tmp_path, {"r.trec": LINE})
    done = ok("eval", tmp_path / "r.trec", "--qrels", folder / "more.tsv")
    assert "1 judged queries are not in the run, e.g. 9; they count as 0" in done.err
