"""An index whose model is behind a server, from the command line: one request a query, drift refused, nothing lost."""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path

import pytest
from shell import digest_of, ok, put, samespace
from stand_in import Answer, Item, StandIn, error, serving

from core.config import name_server
from core.space.canaries import SHORT

KEY = "sk-secret-0123456789"
NOTES: dict[str, str | bytes] = {f"{n:02}.txt": f"Keeper number {n} lights the lamp of tower {n}.\n" for n in range(12)}


@pytest.fixture
def server(monkeypatch: pytest.MonkeyPatch) -> Iterator[StandIn]:
    monkeypatch.setenv("OPENAI_API_KEY", KEY)
    with serving() as stand_in:
        yield stand_in


@pytest.fixture
def words(server: StandIn, tmp_path: Path) -> list[object]:
    """The command that makes the index."""
    source = put(tmp_path / "notes", NOTES)
    named = ["--provider", "openai", "--base-url", server.url, "--model", "hashed-words"]
    return ["build", source, "--to", tmp_path / "my.index", *named]


@pytest.fixture
def index(words: list[object], server: StandIn, tmp_path: Path) -> Path:
    done = ok(*words)
    assert "12 texts embedded by the server http://127.0.0.1" in done.out
    server.forget()
    return tmp_path / "my.index"


def without_canaries(server: StandIn) -> list[str]:
    return [text for text in server.texts if text.startswith("Keeper")]


class TestQueries:
    def test_a_query_is_one_request_with_its_canaries(self, index: Path, server: StandIn) -> None:
        found = ok("search", index, "keeper of tower 7", "--mode", "dense", "--json").json
        assert [request["input"] for request in server.requests] == [[*SHORT, "keeper of tower 7"]]
        assert found["hits"][0]["document"] == "notes/07.txt"
        assert found["space"]["canaries"]["texts"] == len(SHORT)
        assert "identity equal" in found["space"]["summary"]

    def test_hybrid_and_explained(self, index: Path, server: StandIn) -> None:
        done = ok("search", index, "keeper of tower 7", "--explain")
        assert len(server.requests) == 1
        assert f"the server {server.url}" in done.err

    def test_stages_ask_once_a_query_and_leave_out_what_needs_tokens(
        self, index: Path, server: StandIn, tmp_path: Path
    ) -> None:
        lines = [{"_id": f"{n}", "text": f"keeper of tower {n}"} for n in range(3)]
        put(
            tmp_path, {"queries.jsonl": "\n".join(map(json.dumps, lines)), "qrels.tsv": "0\tnotes/00.txt\t1\n1\tx\t1\n"}
        )
        done = ok("eval", index, tmp_path, "--stages", "--json")
        assert [request["input"] for request in server.requests] == [[*SHORT, line["text"]] for line in lines[:2]]
        assert list(done.json["stages"]) == ["lexical", "dense", "fused"]
        assert "reranked is left out" in done.err

    def test_each_query_of_a_file_has_its_canaries(self, index: Path, server: StandIn, tmp_path: Path) -> None:
        lines = [json.dumps({"_id": str(n), "text": f"tower {n}"}) for n in range(3)]
        file = put(tmp_path, {"queries.jsonl": "\n".join(lines)}) / "queries.jsonl"
        ok("search", index, "--queries", file)
        assert [request["input"] for request in server.requests] == [[*SHORT, f"tower {n}"] for n in range(3)]
        server.forget()
        server.twist = lambda items: items if len(server.requests) < 2 else items[1:] + items[:1]
        ok("search", index, "--queries", file)  # another order is none of drift
        server.twist = lambda items: [
            {**item, "embedding": item["embedding"] if len(server.requests) < 5 else items[0]["embedding"]}
            for item in items
        ]
        assert samespace("search", index, "--queries", file).code == 13  # in the middle of the file

    @pytest.mark.parametrize("mode", ["dense", "hybrid"])
    def test_drift_behind_an_unchanged_name_exits_13(self, index: Path, server: StandIn, mode: str) -> None:
        server.seed = 2
        done = samespace("search", index, "keeper", "--mode", mode)
        assert done.code == 13
        assert "the identity is equal but the behaviour is not" in done.err
        assert done.out == ""
        assert ok("search", index, "keeper", "--mode", "lexical").out

    def test_another_dimension_exits_13(self, index: Path, server: StandIn) -> None:
        server.twist = lambda items: [{**item, "embedding": item["embedding"][:64]} for item in items]
        assert samespace("search", index, "keeper").code == 13

    def test_a_renamed_model_that_does_the_same_is_accepted(self, index: Path, server: StandIn) -> None:
        server.model = "hashed-words-v2"
        assert "which calls the model hashed-words-v2" in ok("search", index, "keeper", "--explain").err

    def test_a_server_that_is_down_exits_16(self, index: Path, server: StandIn) -> None:
        server.always = error(503, "\x1b[2Jdown")
        done = samespace("search", index, "keeper")
        assert done.code == 16
        assert "answered 503" in done.err
        assert "\x1b" not in done.all
        assert ok("search", index, "keeper", "--mode", "lexical").out

    def test_another_server_with_the_same_model(self, index: Path, server: StandIn) -> None:
        with serving() as other:
            done = ok("search", index, "keeper of tower 7", "--base-url", other.url, "--json")
            assert done.json["hits"][0]["document"] == "notes/07.txt"
            assert len(other.requests) == 1
            ok("verify-space", index, "--base-url", other.url)
            other.seed = 2
            assert samespace("search", index, "keeper", "--base-url", other.url).code == 13
            assert samespace("verify-space", index, "--base-url", other.url).code == 13
        assert server.requests == []

    def test_another_name_of_the_model_is_a_note(self, index: Path, server: StandIn) -> None:
        config = ["--model", "text-embedding-3-small", "--base-url", server.url]
        assert samespace("search", index, "keeper", *config).code == 13  # the catalogue says 1536 dimensions

    def test_somebody_else_s_index_sends_nothing(
        self, index: Path, server: StandIn, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
    ) -> None:
        monkeypatch.setattr("core.encoders.server._named", set())
        monkeypatch.setenv("SAMESPACE_CACHE", str(tmp_path / "another user's"))
        done = samespace("search", index, "my secret question")
        assert done.code == 2
        assert f"--base-url {server.url}" in done.err
        assert server.requests == []

    def test_no_token_vectors_to_rerank_by(self, index: Path) -> None:
        done = samespace("rerank", index, "keeper")
        assert done.code == 2
        assert "none for each of its tokens" in done.err

    def test_it_cannot_be_carried(self, index: Path) -> None:
        done = samespace("index", index, "--self-contained")
        assert done.code == 2
        assert "behind a server" in done.err


class TestBuilds:
    def test_the_index_is_described_without_a_request(self, index: Path, server: StandIn) -> None:
        for words in (["info"], ["stats"], ["check"], ["history"]):
            ok(*words, index)
        ok("build", "--to", index)
        assert server.requests == []
        assert "12" in ok("check", index, "--deep").all
        assert server.requests

    def test_the_next_night_needs_no_option(self, index: Path, server: StandIn, tmp_path: Path) -> None:
        put(tmp_path / "notes", {"new.txt": "Keeper number 99 is new.\n"})
        done = ok("build", "--to", index, "--json").json
        assert (done["embedded"], done["reused"]) == (1, 0)
        assert len(without_canaries(server)) == 2
        assert len(server.requests) == 4  # both sides' canaries, the text, and the text again before it is sealed

    def test_the_same_command_again_asks_nothing(self, words: list[object], index: Path, server: StandIn) -> None:
        assert "nothing changed" in ok(*words).out
        assert server.requests == []

    def test_a_drifted_server_embeds_no_document(self, index: Path, server: StandIn, tmp_path: Path) -> None:
        before = ok("search", index, "keeper", "--json").json["hits"]
        put(tmp_path / "notes", {"new.txt": "Keeper number 99 is new.\n"})
        server.seed = 2
        assert samespace("build", "--to", index).code == 13
        server.seed = 1
        assert ok("search", index, "keeper", "--json").json["hits"] == before
        server.forget()
        ok("build", "--to", index)
        assert without_canaries(server)

    @pytest.mark.parametrize("drifted", [6, 7], ids=["all texts", "the last look"])
    def test_drift_in_the_middle_of_a_build_is_not_published(
        self, words: list[object], server: StandIn, drifted: int
    ) -> None:
        """Five requests are the probe's and the canaries', the sixth has all texts, the seventh a few of them again."""

        def twist(items: list[Item]) -> list[Item]:
            turned = len(server.requests) >= drifted
            return [{**item, "embedding": item["embedding"][:: -1 if turned else 1]} for item in items]

        server.twist = twist
        done = samespace(*words)
        assert len(server.requests) == drifted
        assert done.code == 13
        assert ("by another model" if drifted == 6 else "do not lie where the model puts them now") in done.err
        assert samespace("search", words[3], "keeper").code == 10

    def test_a_model_has_to_be_named(self, server: StandIn, tmp_path: Path) -> None:
        source = put(tmp_path / "notes", NOTES)
        for named in (["--provider", "openai"], ["--base-url", server.url], ["--dimensions", "64"],
                      ["--provider", "cohere", "--model", "x"], ["--base-url", server.url, "--model", "minilm"],
                      ["--provider", "openai", "--model", "x", "--base-url", f"http://me:{KEY}@localhost/v1"]):  # fmt: skip
            for command in ("build", "ingest"):
                done = samespace(command, source, "--to", tmp_path / "my.index", *named)
                assert (done.code, KEY in done.all) == (2, False), done.all
                assert not (tmp_path / "my.index").exists()
        assert server.requests == []

    def test_stage_by_stage_with_dimensions(self, words: list[object], server: StandIn, tmp_path: Path) -> None:
        root = words[3]
        ok("ingest", *words[1:], "--dimensions", "64")
        ok("chunk", root)
        assert samespace("embed", root, "--base-url", "http://127.0.0.1:9/v1").code == 16
        ok("embed", root)
        ok("index", root)
        assert ok("info", root, "--json").json["space"]["identity"]["dimension"] == 64
        assert all(request["dimensions"] == 64 for request in server.requests)
        assert samespace(*words, "--dimensions", "32").code == 13
        assert ok("search", root, "tower 7", "--json").json["hits"]

    def test_a_new_index_says_what_the_server_says(self, words: list[object], server: StandIn) -> None:
        server.always = error(401, f"the key {KEY} is none of ours")
        done = samespace(*words, "--json")
        assert done.code == 16
        assert done.json["exit_code"] == 16
        assert KEY not in done.all
        assert not Path(str(words[3])).exists()  # what came to nothing leaves nothing

    def test_the_key_is_nowhere(self, words: list[object], index: Path, server: StandIn, cache: Path) -> None:
        ok("search", index, "keeper", "--json")
        assert all(headers["Authorization"] == f"Bearer {KEY}" for headers in server.headers)
        files = [path for folder in (index, cache) for path in folder.rglob("*") if path.is_file()]
        assert len(files) > 10
        assert not [path for path in files if KEY.encode() in path.read_bytes()]


class TestFailures:
    @pytest.fixture(autouse=True)
    def small_batches(self, monkeypatch: pytest.MonkeyPatch) -> None:
        monkeypatch.setattr("core.encoders.openai.MOST_TEXTS", 4)
        monkeypatch.setattr("core.encoders.openai.AT_ONCE", 1)

    def test_a_text_that_is_refused_is_named_and_the_rest_kept(
        self, words: list[object], server: StandIn, tmp_path: Path
    ) -> None:
        server.refuses = lambda text: "number 7 " in text
        done = samespace(*words, "--json")
        assert done.code == 16
        assert "1 texts of 1 documents got no vector (notes/07.txt)" in done.err
        assert "11 texts that were embedded are kept" in done.err
        (failed,) = done.json["details"]["failed"]
        assert (failed["document"], failed["chunk"]) == ("notes/07.txt", 0)
        assert samespace("search", words[3], "keeper").code == 10  # nothing is published
        server.refuses = None
        server.forget()
        again = ok(*words, "--json").json
        assert (again["embedded"], again["documents"]) == (1, 12)
        sealed_again = 4  # rows that are embedded once more before they are sealed
        assert len(without_canaries(server)) == 1 + sealed_again
        hits = ok("search", words[3], "keeper number 7 tower 7", "--mode", "dense", "--json").json["hits"]
        assert hits[0]["document"] == "notes/07.txt"  # none is shifted
        (tmp_path / "notes/07.txt").write_text("Keeper is gone.\n")
        ok("build", "--to", words[3])

    def test_a_text_that_leaves_the_sources_is_in_the_way_no_more(
        self, words: list[object], server: StandIn, tmp_path: Path
    ) -> None:
        server.refuses = lambda text: "number 7 " in text
        assert samespace(*words).code == 16
        (tmp_path / "notes/07.txt").unlink()
        assert ok(*words, "--json").json["documents"] == 11

    def test_a_server_that_goes_away_keeps_what_it_gave(self, words: list[object], server: StandIn) -> None:
        real = server.answer
        gone = Answer(500, b"gone")
        server.answer = lambda request: (  # type: ignore[method-assign]
            gone if any("Keeper" in text for text in request["input"]) and len(without_canaries(server)) > 8
            else real(request)
        )  # fmt: skip
        done = samespace(*words, "--json")
        assert done.code == 16
        assert "4 texts of 4 documents got no vector" in done.err
        assert done.json["details"]["embedded"] == 8
        server.answer = real  # type: ignore[method-assign]
        server.forget()
        assert ok(*words, "--json").json["embedded"] == 4

    def test_a_refused_key_stops_everything_else(self, words: list[object], server: StandIn) -> None:
        real = server.answer
        server.answer = lambda request: (  # type: ignore[method-assign]
            error(401) if any("Keeper" in text for text in request["input"]) else real(request)
        )
        done = samespace(*words, "--json")
        assert done.code == 16
        assert "8 more were not sent" in done.err
        assert len(without_canaries(server)) == 4

    def test_the_same_text_in_two_documents_names_both(
        self, words: list[object], server: StandIn, tmp_path: Path
    ) -> None:
        put(tmp_path / "notes", {"copy.txt": NOTES["07.txt"]})
        server.refuses = lambda text: "number 7 " in text
        done = samespace(*words, "--json")
        assert {failed["document"] for failed in done.json["details"]["failed"]} == {"notes/07.txt", "notes/copy.txt"}


class TestDryRun:
    def test_a_new_index_asks_nothing(self, words: list[object], server: StandIn) -> None:
        done = ok(*words, "--dry-run", "--json").json
        assert done["to_embed"] == 12
        assert 12 * 20 <= done["tokens"] <= 12 * 30
        assert done["cost_usd"] is None
        assert server.requests == []

    def test_the_price_where_it_is_known(self, words: list[object], server: StandIn) -> None:
        named = [*words[:4], "--model", "text-embedding-3-small"]
        done = ok(*named, "--dry-run", "--json").json
        assert done["cost_usd"] == pytest.approx(done["tokens"] * 0.02e-6)
        assert "tokens to send for $0.0000" in ok(*named, "--dry-run").out
        assert ok(*named, "--base-url", server.url, "--dry-run", "--json").json["cost_usd"] is None
        assert server.requests == []

    def test_an_index_asks_nothing(self, index: Path, server: StandIn, tmp_path: Path) -> None:
        put(tmp_path / "notes", {"new.txt": "Keeper number 99 is new.\n"})
        before = digest_of(index)
        done = ok("build", "--to", index, "--dry-run", "--json").json
        assert (done["to_embed"], done["seconds"]) == (1, 0.0)
        assert done["tokens"] == 17
        assert server.requests == []
        assert digest_of(index) == before

    def test_no_vector_comes_from_a_cache(
        self, words: list[object], index: Path, server: StandIn, tmp_path: Path
    ) -> None:
        """A server's name does not say which model answered when another index was made."""
        (tmp_path / "my.index").rename(tmp_path / "other.index")
        ok("ingest", *words[1:])
        server.forget()
        assert ok("build", "--to", words[3], "--dry-run", "--json").json["cached"] == 0
        assert server.requests == []
        server.seed = 2
        done = ok(*words, "--json")
        assert (done.json["embedded"], done.json["cached"]) == (12, 0)


def test_a_named_server_is_remembered_as_its_address_alone(cache: Path) -> None:
    name_server("http://127.0.0.1:8000/v1/")
    (file,) = (cache / "servers").iterdir()
    assert file.read_bytes() == b"http://127.0.0.1:8000/v1\n"


class TestAfterTheDoor:
    """A server whose model is another one as soon as the canaries have passed."""

    def swap(self, server: StandIn, change: float | None = None) -> None:
        """From the first request on that holds documents: another model, or the vectors `change` times as long."""
        real = server.answer

        def answer(request: dict[str, object]) -> Answer:
            if any(str(text).startswith("Keeper") for text in request["input"]):  # type: ignore[attr-defined]
                if change is None:
                    server.seed = 2
                else:
                    server.twist = lambda items: [
                        {**item, "embedding": [change * value for value in item["embedding"]]} for item in items
                    ]
            return real(request)

        server.answer = answer  # type: ignore[method-assign]

    @pytest.mark.parametrize("options", [["--all", "--repair"], ["--all"], ["--sample", "12"]], ids=" ".join)
    def test_no_row_is_judged_or_mended_by_it(self, index: Path, server: StandIn, options: list[str]) -> None:
        before = digest_of(index)
        self.swap(server)
        done = samespace("verify-space", index, *options)
        assert done.code == 13
        assert "by another model than the one before" in done.err
        assert digest_of(index) == before

    def test_lengths_count(self, words: list[object], server: StandIn, tmp_path: Path) -> None:
        self.swap(server, 3.0)
        done = samespace(*words)
        assert done.code == 13
        assert not (tmp_path / "my.index/CURRENT").exists() or "000000" in (tmp_path / "my.index/CURRENT").read_text()


def test_a_renamed_model_is_adopted_and_nothing_is_embedded_again(index: Path, server: StandIn, tmp_path: Path) -> None:
    refused = samespace("build", "--to", index, "--provider", "openai", "--base-url", server.url, "--model", "new-name")
    assert refused.code == 13
    assert f"--model new-name --base-url {server.url} --adopt" in refused.err
    assert ok("verify-space", index, "--model", "hashed-words", "--json").json["accepted"]  # the index's own, by name
    adopted = ok("verify-space", index, "--model", "new-name", "--adopt", "--json").json
    assert adopted["adopted"] is True
    assert adopted["rows"]["compared"] == 12
    server.forget()
    put(tmp_path / "notes", {"new.txt": "Keeper number 99 sleeps."})
    done = ok("build", "--to", index, "--model", "new-name", "--base-url", server.url, "--json").json
    assert done["embedded"] == 1
    assert {request["model"] for request in server.requests} == {"new-name"}
    server.seed = 2
    assert samespace("verify-space", index, "--model", "third", "--adopt").code == 13


def test_a_server_that_takes_few_texts_at_once(words: list[object], server: StandIn, tmp_path: Path) -> None:
    real = server.answer
    server.answer = lambda request: (  # type: ignore[method-assign]
        error(400) if len(request["input"]) > 10 else real(request)
    )
    assert ok(*words, "--json").json["embedded"] == 12
    server.forget()
    ok("search", tmp_path / "my.index", "keeper of tower 7")
    assert [len(request["input"]) for request in server.requests] == [len(SHORT) + 1]
    ok("verify-space", tmp_path / "my.index", "--all")


def test_a_key_that_the_server_says_back(words: list[object], server: StandIn, tmp_path: Path) -> None:
    real = server.answer

    def answer(request: dict[str, object]) -> Answer:
        found = real(request)
        return Answer(found.status, json.dumps({**json.loads(found.body), "model": f"it is {KEY}"}).encode())

    server.answer = answer  # type: ignore[method-assign]
    done = ok(*words)
    assert KEY not in done.all
    assert "it is …" in done.all
    index = tmp_path / "my.index"
    assert KEY not in ok("verify-space", index, "--base-url", server.url, "--adopt").all
    assert not any(KEY.encode() in path.read_bytes() for path in index.rglob("*") if path.is_file())
