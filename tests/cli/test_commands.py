"""Every command does its job: its result on stdout, all else on stderr, and one JSON object with --json."""

from __future__ import annotations

import json
import math
import os
import re
from pathlib import Path

import pytest
from shell import Done, digest_of, ok, put, samespace

QUERIES = '{"_id": "q1", "text": "otters on the bank"}\n{"_id": "问 2", "text": "snow on the mountain"}\n'


def ids(done: Done) -> list[str]:
    return [hit["document"] for hit in done.json["hits"]]


@pytest.fixture
def queries(tmp_path: Path) -> Path:
    return put(tmp_path, {"queries.jsonl": QUERIES}) / "queries.jsonl"


class TestBuild:
    def test_reports_on_stdout_and_hints_on_stderr(self, notes: Path, tmp_path: Path) -> None:
        done = ok("build", notes, "--to", tmp_path / "my index", "--model", "hashing")
        assert re.search(r"^ingest +6 new$", done.out, re.M)
        assert re.search(r"^index +published generation 1, 6 documents$", done.out, re.M)
        assert done.err == f"next: samespace search '{tmp_path / 'my index'}' 'what you look for'\n"

    def test_json(self, notes: Path, tmp_path: Path) -> None:
        value = ok("build", notes, "--to", tmp_path / "i", "--model", "hashing", "--json").json
        assert value["schema"] == "samespace/build/1"
        assert value["counts"]["new"] == value["documents"] == len(value["files"]) == 6
        assert value["chunks"] == value["embedded"] > 6
        assert (value["published"], value["generation"], value["model"]) == (True, 1, "hashing")

    def test_again_changes_nothing(self, notes: Path, index: Path) -> None:
        before = digest_of(index)
        value = ok("build", "--to", index, "--json").json
        assert (value["published"], value["generation"], value["counts"]["unchanged"]) == (False, 1, 6)
        assert digest_of(index) == before

    def test_only_what_changed(self, tmp_path: Path) -> None:
        folder, index = put(tmp_path / "n", {"a.txt": "first", "b.txt": "second", "c.txt": "third"}), tmp_path / "i"
        ok("build", folder, "--to", index, "--model", "hashing")
        put(folder, {"a.txt": "first, changed", "new.txt": "fourth"})
        (folder / "c.txt").unlink()
        value = ok("build", folder, "--to", index, "--json").json
        assert {s: n for s, n in value["counts"].items() if n} == {"new": 1, "changed": 1, "unchanged": 1, "removed": 1}
        assert (value["embedded"], value["documents"], value["generation"]) == (2, 3, 2)

    def test_chunker_none_makes_a_chunk_of_a_document(self, notes: Path, tmp_path: Path) -> None:
        value = ok("build", notes, "--to", tmp_path / "i", "--model", "hashing", "--chunker", "none", "--json").json
        assert value["chunks"] == value["documents"] == 6
        assert value["truncated"] == 1  # long.txt is longer than the model takes

    def test_strict_says_no_when_a_file_failed(self, tmp_path: Path) -> None:
        folder = put(tmp_path / "n", {"a.txt": "text", "b.pdf": b"no pdf at all"})
        done = samespace("build", folder, "--to", tmp_path / "i", "--model", "hashing", "--strict")
        assert done.code == 1
        assert "failed: n/b.pdf" in done.err
        assert "published generation 1, 1 documents" in done.out


class TestStages:
    def test_the_four_stages_one_by_one(self, notes: Path, tmp_path: Path) -> None:
        index = tmp_path / "staged.index"
        ingested = ok("ingest", notes, "--to", index, "--model", "hashing")
        assert "6 new" in ingested.out
        assert ingested.err == f"next: samespace chunk {index}\n"
        chunked = ok("chunk", index, "--size", 100, "--overlap", 10)
        assert re.match(r"chunk +\d+ chunks of 6 documents", chunked.out)
        assert chunked.err == f"next: samespace embed {index}\n"
        embedded = ok("embed", index)
        assert re.search(r"^space +s-[0-9a-f]{16}$", embedded.out, re.M)
        assert embedded.err == f"next: samespace index {index}\n"
        assert "published generation 1, 6 documents" in ok("index", index).out
        assert ids(ok("search", index, "otters", "--json"))[0] == "notes/river.md"

    def test_json_of_each(self, notes: Path, tmp_path: Path) -> None:
        index = tmp_path / "staged.index"
        value = ok("ingest", notes, "--to", index, "--model", "hashing", "--json").json
        assert (value["schema"], value["counts"]["new"]) == ("samespace/ingest/1", 6)
        assert {file["status"] for file in value["files"]} == {"new"}
        value = ok("chunk", index, "--size", 100, "--json").json
        assert (value["schema"], value["documents"], value["settings"]["size"]) == ("samespace/chunk/1", 6, 100)
        chunks = value["chunks"]
        value = ok("embed", index, "--json").json
        assert (value["schema"], value["chunks"], value["embedded"]) == ("samespace/embed/1", chunks, chunks)
        value = ok("embed", index, "--json").json
        assert (value["embedded"], value["reused"]) == (0, chunks)
        value = ok("index", index, "--json").json
        assert (value["schema"], value["published"], value["chunks"]) == ("samespace/index/1", True, chunks)
        value = ok("index", index, "--json").json
        assert (value["published"], value["generation"]) == (False, 1)

    @pytest.mark.parametrize("stage", ["embed", "index"])
    def test_out_of_order_names_the_stage_before(self, stage: str, notes: Path, tmp_path: Path) -> None:
        index = tmp_path / "i"
        ok("ingest", notes, "--to", index, "--model", "hashing")
        done = samespace(stage, index)
        assert done.code == 2
        assert f"samespace chunk {index}" in done.err


class TestSearch:
    def test_a_hit_names_file_place_and_score(self, index: Path) -> None:
        done = ok("search", index, "otters")
        first, text = done.out.splitlines()[:2]
        assert re.fullmatch(r" 1\. notes/river\.md  line \d+  \[\d\.\d{4}\]", first)
        assert text.startswith("    │ # The river bank")  # a title that the text begins with is not said twice
        assert done.err == ""

    @pytest.mark.parametrize("mode", ["hybrid", "dense", "lexical"])
    @pytest.mark.parametrize(
        ("query", "document"),
        [("otters", "notes/river.md"), ("银行利率", "notes/银行.txt"), ("龙井茶", "notes/sub/茶.md")],
    )
    def test_modes_find_english_and_chinese(self, index: Path, mode: str, query: str, document: str) -> None:
        done = ok("search", index, query, "--mode", mode, "--json")
        assert (done.json["schema"], done.json["mode"]) == ("samespace/search/1", mode)
        assert ids(done)[0] == document
        trail = done.json["hits"][0]["trail"]
        assert set(trail) == ({"dense", "lexical", "fused"} if mode == "hybrid" else {mode})
        assert (done.json["space"] is None) == (mode == "lexical")

    def test_json_of_a_hit_points_into_the_document(self, index: Path, notes: Path) -> None:
        for hit in ok("search", index, "lighthouse keeper", "--json").json["hits"]:
            text = (notes.parent / hit["document"]).read_text()
            assert hit["text"] in text
            assert hit["end"] - hit["start"] == len(hit["text"])
        assert [hit["rank"] for hit in ok("search", index, "lamps", "--json").json["hits"]] == list(range(1, 11))

    def test_scores_fall(self, index: Path) -> None:
        scores = [hit["score"] for hit in ok("search", index, "the bank", "--json").json["hits"]]
        assert scores == sorted(scores, reverse=True)

    def test_k(self, index: Path) -> None:
        all_of_them = ids(ok("search", index, "lighthouse", "-k", 8, "--json"))
        assert len(all_of_them) == 8
        assert ids(ok("search", index, "lighthouse", "-k", 3, "--json")) == all_of_them[:3]

    def test_unit_document_names_each_once(self, index: Path) -> None:
        chunks = ids(ok("search", index, "lighthouse bank", "--json"))
        documents = ids(ok("search", index, "lighthouse bank", "--unit", "document", "--json"))
        assert len(set(chunks)) < len(chunks)
        assert len(set(documents)) == len(documents) == 6
        assert documents[0] == chunks[0]

    def test_explain_shows_every_stage(self, index: Path) -> None:
        done = ok("search", index, "otters", "--explain", "-k", 1)
        assert re.search(r"dense -?\d\.\d{4} \(rank 1, weight 0\.70\) · lexical .* · fused 1\.0000 \(rank 1", done.out)
        assert "plan: hybrid" in done.err
        assert "space: the same space" in done.err

    def test_full_shows_the_whole_chunk(self, index: Path) -> None:
        hit = ok("search", index, "lighthouse", "-k", 1, "--json").json["hits"][0]
        short, full = ok("search", index, "lighthouse", "-k", 1), ok("search", index, "lighthouse", "-k", 1, "--full")
        assert [line[6:] for line in full.out.splitlines() if line.startswith("    │ ")] == hit["text"].split("\n")
        assert len(short.out) < len(full.out)
        assert "…" in short.out

    def test_nothing_found_is_said_on_stderr(self, index: Path) -> None:
        done = ok("search", index, "zzzz", "--mode", "lexical")
        assert done.out == ""
        assert done.err == "nothing found; --mode hybrid also finds by meaning\n"
        assert ids(ok("search", index, "zzzz", "--mode", "lexical", "--json")) == []

    def test_alpha_means_weighted(self, index: Path) -> None:
        done = ok("search", index, "otters", "--alpha", 0.25, "--json")
        assert done.json["plan"].startswith("hybrid, weighted: dense 0.25, lexical 0.75")
        done = ok("search", index, "otters", "--fusion", "rrf", "--json")
        assert done.json["hits"][0]["score"] == pytest.approx(2 / 61)


class TestRuns:
    def test_a_run_in_trec_format(self, index: Path, queries: Path) -> None:
        done = ok("search", index, "--queries", queries, "-k", 3)
        rows = [line.split() for line in done.out.splitlines()]
        assert len(rows) == 6
        assert {tuple(row[:2]) for row in rows} == {("q1", "Q0"), ("%E9%97%AE%202", "Q0")}
        assert [row[3] for row in rows] == ["1", "2", "3"] * 2
        assert {row[5] for row in rows} == {"samespace-hybrid"}
        assert rows[0][2] == "notes/river.md"
        assert rows[3][2] == "notes/with%20space.txt"

    def test_a_run_goes_to_a_file_and_through_rerank(self, index: Path, queries: Path, tmp_path: Path) -> None:
        done = ok("search", index, "--queries", queries, "--run", tmp_path / "in.trec", "--json")
        assert done.json["schema"] == "samespace/search/1"
        assert [query["id"] for query in done.json["queries"]] == ["q1", "问 2"]
        assert "2 queries, 12 lines →" in done.err
        out = tmp_path / "out.trec"
        done = ok("rerank", index, "--run", tmp_path / "in.trec", "--queries", queries, "--out", out, "-k", 4)
        assert done.out == ""
        rows = [line.split() for line in out.read_text().splitlines()]
        assert [row[0] for row in rows] == ["q1"] * 4 + ["%E9%97%AE%202"] * 4
        assert rows[4][2] == "notes/with%20space.txt"
        assert {row[5] for row in rows} == {"samespace-maxsim"}
        assert ok("rerank", index, "--run", tmp_path / "in.trec", "--queries", queries, "-k", 4).out == out.read_text()

    def test_a_reranked_run_as_json(self, index: Path, queries: Path, tmp_path: Path) -> None:
        ok("search", index, "--queries", queries, "--run", tmp_path / "in.trec")
        done = ok("rerank", index, "--run", tmp_path / "in.trec", "--queries", queries, "-k", 2, "--json")
        assert done.json["schema"] == "samespace/rerank/1"
        assert [(query["id"], len(query["hits"])) for query in done.json["queries"]] == [("q1", 2), ("问 2", 2)]
        assert done.json["queries"][0]["hits"][0]["document"] == "notes/river.md"

    def test_a_run_of_another_tool_may_hold_percent_signs(self, tmp_path: Path) -> None:
        folder = put(tmp_path / "n", {"100%25.txt": "snow in the hills", "a.txt": "sand"})
        ok("build", folder, "--to", tmp_path / "i", "--model", "hashing")
        put(tmp_path, {"q.jsonl": '{"_id": "q%41", "text": "snow"}', "r.trec": "q%41 Q0 n/100%25.txt 1 1.0 other\n"})
        done = ok("rerank", tmp_path / "i", "--run", tmp_path / "r.trec", "--queries", tmp_path / "q.jsonl")
        assert done.out.split()[:4] == ["q%2541", "Q0", "n/100%2525.txt", "1"]


class TestRerank:
    def test_own_search(self, index: Path) -> None:
        done = ok("rerank", index, "otters dig holes", "-k", 2, "--json")
        assert (done.json["schema"], done.json["reranker"]) == ("samespace/rerank/1", "maxsim")
        assert ids(done)[0] == "notes/river.md"
        assert len(ids(done)) == 2
        assert set(done.json["hits"][0]["trail"]) == {"dense", "lexical", "fused", "rerank"}

    def test_hits_from_standard_input(self, index: Path) -> None:
        found = ok("search", index, "the bank that lends money", "--json", "-k", 5)
        done = ok("rerank", index, "--hits", "-", "--json", input=found.out)
        assert done.json["query"] == "the bank that lends money"
        assert sorted(ids(done)) == sorted(ids(found))
        assert ids(done)[0] == "notes/money.txt"
        for hit in done.json["hits"]:
            assert list(hit["trail"]) == ["input", "rerank"]
            assert hit["score"] == hit["trail"]["rerank"]["score"]

    def test_another_question_for_the_hits_of_a_file(self, index: Path, tmp_path: Path) -> None:
        (tmp_path / "hits.json").write_text(ok("search", index, "bank", "-k", 100, "--json").out)
        assert ids(ok("rerank", index, "银行的利率", "--hits", tmp_path / "hits.json", "--json"))[0] == "notes/银行.txt"

    def test_text(self, index: Path) -> None:
        done = ok("rerank", index, "otters", "-k", 1, "--explain")
        assert done.out.startswith(" 1. notes/river.md  line ")
        assert re.search(r"rerank \d\.\d{4} \(rank 1, weight 1\.00\)", done.out)


class TestEval:
    def test_by_hand(self, beir: tuple[Path, Path]) -> None:
        """Query 1 ranks a, b, c and misses d; query 2 finds its only document first."""
        folder, index = beir
        value = ok("eval", index, folder, "--mode", "lexical", "--per-query", "--json").json
        assert (value["schema"], value["queries"], value["missing_documents"]) == ("samespace/eval/1", 2, 0)
        gain = 2 / math.log2(3) + 1 / math.log2(4)
        ideal = 2 / math.log2(2) + 1 / math.log2(3) + 1 / math.log2(4)
        assert value["per_query"]["nDCG@10"] == pytest.approx({"1": gain / ideal, "2": 1.0})
        assert value["per_query"]["R@100"] == pytest.approx({"1": 2 / 3, "2": 1.0})
        assert value["per_query"]["RR@10"] == pytest.approx({"1": 1 / 2, "2": 1.0})
        assert value["metrics"]["RR@10"] == pytest.approx(0.75)

    def test_text_and_run(self, beir: tuple[Path, Path], tmp_path: Path) -> None:
        folder, index = beir
        done = ok("eval", index, folder, "--mode", "lexical", "--metrics", "P@1,RR@10", "--run", tmp_path / "r.trec")
        assert done.out.split()[:7] == ["queries", "2", "P@1", "0.5000", "RR@10", "0.7500", "latency"]
        assert [line.split()[2] for line in (tmp_path / "r.trec").read_text().splitlines()] == ["a", "b", "c", "d"]

    def test_a_deep_metric_gets_a_deep_ranking(self, tmp_path: Path) -> None:
        """150 documents match; the judged one is last, past the 100 that the usual metrics need."""
        lines = [{"_id": f"{n:03}", "text": "apple " + "pear " * n} for n in range(150)]
        put(tmp_path, {"corpus.jsonl": "\n".join(map(json.dumps, lines)), "qrels.tsv": "1\t149\t1\n"})
        put(tmp_path, {"queries.jsonl": '{"_id": "1", "text": "apple"}'})
        ok("build", tmp_path / "corpus.jsonl", "--to", tmp_path / "i", "--model", "hashing")
        done = ok("eval", tmp_path / "i", tmp_path, "--mode", "lexical", "--metrics", "R@100 R@200", "--json")
        assert done.json["metrics"] == {"R@100": 0.0, "R@200": 1.0}

    def test_judged_documents_that_are_not_there_are_named(self, beir: tuple[Path, Path]) -> None:
        folder, index = beir
        put(folder, {"other.tsv": "1\tnotes/b\t1\n"})
        done = ok("eval", index, folder, "--qrels", folder / "other.tsv", "--mode", "lexical")
        assert "1 judged documents are not in the index; they count as not found" in done.err
        assert "one is notes/b; the index calls its documents e.g. a" in done.err


class TestSimilar:
    def test_matrices(self) -> None:
        value = ok("similar", "the river bank", "the bank", "龙井茶", "--model", "hashing", "--json").json
        assert value["schema"] == "samespace/similar/1"
        cosine, dot, euclidean = value["cosine"], value["dot"], value["euclidean"]
        assert len(value["vectors"]) == 3
        for i in range(3):
            assert cosine[i][i] == pytest.approx(1, abs=1e-5)
            assert euclidean[i][i] == pytest.approx(0, abs=1e-5)
            for j in range(3):
                by_hand = sum(a * b for a, b in zip(value["vectors"][i], value["vectors"][j], strict=True))
                assert dot[i][j] == pytest.approx(by_hand, abs=1e-5)
                assert cosine[i][j] == pytest.approx(cosine[j][i], abs=1e-6)
                assert euclidean[i][j] == pytest.approx(math.sqrt(max(0, 2 - 2 * by_hand)), abs=1e-3)
        assert cosine[0][1] > cosine[0][2]

    def test_text(self, index: Path) -> None:
        done = ok("similar", "one", "two", "--index", index)
        assert done.out.splitlines()[:2] == ["1. one", "2. two"]
        assert re.findall(r"^(cosine|dot|euclidean) +1 +2$", done.out, re.M) == ["cosine", "dot", "euclidean"]
        assert re.search(r"^1 +1\.0000 ", done.out, re.M)

    def test_vectors(self) -> None:
        done = ok("similar", "one", "--model", "hashing", "--vectors")
        assert len(done.out.splitlines()[-1].split()) == 1 + 128


class TestVerifySpace:
    def test_the_same(self, index: Path) -> None:
        done = ok("verify-space", index)
        assert re.search(r"^weights +=", done.out, re.M)
        assert "≠" not in done.out
        assert done.err.startswith("accepted: the same space: identity equal")
        value = ok("verify-space", index, "--json").json
        assert (value["schema"], value["accepted"], value["differences"]) == ("samespace/verify-space/1", True, {})

    def test_another_of_the_same_dimension(self, index: Path) -> None:
        done = samespace("verify-space", index, "--model", "hashing-2")
        assert done.code == 13
        assert re.search(r"^weights +≠", done.out, re.M)
        assert re.search(r"^dimension +=", done.out, re.M)
        assert "another space: weights" in done.err
        assert "--to NEW.index --model hashing-2" in done.err
        value = samespace("verify-space", index, "--model", "hashing-2", "--json").json
        assert (value["schema"], value["exit_code"]) == ("samespace/error/1", 13)
        assert list(value["details"]["differences"]) == ["weights"]

    def test_another_dimension_has_no_figures(self, index: Path) -> None:
        done = samespace("verify-space", index, "--model", "minilm")
        assert done.code == 13
        assert re.search(r"^dimension +≠ +128 +384$", done.out, re.M)
        assert "not to be compared" in done.out


def test_numbers_that_say_little_come_with_a_warning(notes: Path, sample: Path) -> None:
    for words in (
        ["similar", "龙井茶", "银行", "--model", "minilm"],
        ["rerank", sample / "sample.index", "龙井茶用多少度的水泡"],
    ):
        assert "the model minilm does not know Chinese" in ok(*words).err
    for words in (["similar", "tea", "--model", "minilm"], ["similar", "龙井茶", "--model", "hashing"]):
        assert ok(*words).err == ""


class TestInfoCheckModels:
    def test_info(self, index: Path, notes: Path) -> None:
        value = ok("info", index, "--json").json
        assert (value["schema"], value["generation"], value["documents"]) == ("samespace/info/1", 1, 6)
        assert value["sources"] == [{"name": "notes", "root": str(notes)}]
        done = ok("info", index)
        assert re.search(r"^model +hashing \(hashing\)$", done.out, re.M)
        assert re.search(rf"^space +{value['space']['id']}$", done.out, re.M)
        assert done.err == ""

    def test_info_tells_of_staged_work(self, index: Path, tmp_path: Path) -> None:
        ok("ingest", put(tmp_path / "more", {"a.txt": "more"}), "--to", index)
        done = ok("info", index)
        assert re.search(r"^staged +1 documents, 0 to go$", done.out, re.M)
        assert done.err == f"staged work is not published yet: samespace build --to {index}\n"

    def test_check(self, index: Path) -> None:
        done = ok("check", index)
        assert re.match(r"ok +generation 1: \d+ files whole, 6 documents\n", done.out)
        value = ok("check", index, "--json").json
        assert (value["schema"], value["ok"]) == ("samespace/check/1", True)

    def test_check_of_a_damaged_file(self, index: Path) -> None:
        path = index / "documents" / "000001"
        data = bytearray(path.read_bytes())
        data[len(data) // 2] ^= 1
        path.write_bytes(data)
        done = samespace("check", index, "--json")
        assert done.code == 12
        assert done.json["ok"] is False
        assert "documents/000001 changed" in done.json["findings"][0]["message"]
        assert "restore the file" in samespace("check", index).out

    def test_models(self) -> None:
        value = ok("models", "--json").json
        assert value["schema"] == "samespace/models/1"
        assert {model["name"]: model["available"] for model in value["models"]}["hashing"] == "yes"
        done = ok("models")
        assert re.search(r"^minilm +384 +256 +en ", done.out, re.M)
        assert "any other" in done.err
        assert re.search(r"^ +dimension +128$", ok("models", "show", "hashing").out, re.M)

    def test_version(self) -> None:
        assert re.fullmatch(r"samespace \d+\.\d+\.\d+\n", ok("--version").out)


def test_a_moved_index_still_answers(index: Path, tmp_path: Path) -> None:
    before = ids(ok("search", index, "otters", "--json"))
    os.rename(index, tmp_path / "elsewhere")
    assert ids(ok("search", tmp_path / "elsewhere", "otters", "--json")) == before
