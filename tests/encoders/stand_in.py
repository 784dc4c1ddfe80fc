"""A server of embeddings for tests: in a thread, by hashed words, well-behaved until told otherwise. It remembers all it saw."""

from __future__ import annotations

import contextlib
import gzip
import json
import threading
from collections import deque
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any

import numpy as np

from core.encoders import Model
from core.encoders.hashing import HashingEncoder

Json = dict[str, Any]
Item = dict[str, Any]


@dataclass(frozen=True)
class Answer:
    """An answer as it stands, instead of vectors. `missing` bytes of the body are promised and never sent."""

    status: int = 200
    body: bytes = b""
    headers: Mapping[str, str] = field(default_factory=dict)
    missing: int = 0


def error(
    status: int, message: str = "no", headers: Mapping[str, str] | None = None, code: str | None = None
) -> Answer:
    body = {"error": {"message": message, "type": "stand_in", "code": code}}
    return Answer(status, json.dumps(body).encode(), headers or {})


@dataclass
class StandIn:
    """`seed`: another one is another model. `twist` changes the vectors of an answer, `refuses` says for which texts a
    request is refused with 400, `answers` are given first, one a request; `hang` lets every request wait for ever."""

    url: str = ""
    seed: int = 1
    model: str | None = None
    twist: Callable[[list[Item]], list[Item]] | None = None
    refuses: Callable[[str], bool] | None = None
    answers: deque[Answer] = field(default_factory=deque)
    always: Answer | None = None
    compressed: bool = False
    requests: list[Json] = field(default_factory=list)
    headers: list[Mapping[str, str]] = field(default_factory=list)
    paths: list[str] = field(default_factory=list)
    released: threading.Event = field(default_factory=threading.Event)
    hangs: Callable[[int], bool] | None = None
    lock: threading.Lock = field(default_factory=threading.Lock)

    @property
    def texts(self) -> list[str]:
        """Every text of every request, in the order they came."""
        return [text for request in self.requests for text in request["input"]]

    def forget(self) -> None:
        self.requests.clear()
        self.headers.clear()
        self.paths.clear()

    def answer(self, request: Json) -> Answer:
        if self.always is not None:
            return self.always
        if self.answers:
            return self.answers.popleft()
        if self.refuses and any(map(self.refuses, request["input"])):
            return error(400, "a text of the request is not to its liking")
        items = vectors(self.seed, request["input"], request.get("dimensions"))
        items = self.twist(items) if self.twist else items
        value = {"object": "list", "data": items, "model": self.model or request["model"], "usage": {"total_tokens": 1}}
        body = json.dumps(value).encode()
        if self.compressed:
            return Answer(200, gzip.compress(body), {"Content-Encoding": "gzip"})
        return Answer(200, body)


def vectors(seed: int, texts: Sequence[str], dimensions: int | None = None) -> list[Item]:
    encoder = HashingEncoder(Model(f"hashing-{seed}", "hashing"))
    found = encoder.embed(texts, "passage").astype(np.float64)
    found = found.reshape(len(texts), -1, dimensions or found.shape[1]).sum(axis=1)
    found /= np.maximum(np.linalg.norm(found, axis=1, keepdims=True), 1e-12)
    return [{"object": "embedding", "index": n, "embedding": row.tolist()} for n, row in enumerate(found)]


class _Handler(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"
    stand_in: StandIn

    def log_message(self, *words: object) -> None: ...

    def do_GET(self) -> None:
        self.do_POST()

    def do_POST(self) -> None:
        data = self.rfile.read(int(self.headers.get("Content-Length") or 0))
        me = self.stand_in
        with me.lock:
            request = json.loads(data or b"{}")
            me.requests.append(request)
            me.headers.append(dict(self.headers))
            me.paths.append(self.path)
            hangs = me.hangs is not None and me.hangs(len(me.requests))
            answer = me.answer(request)
        if hangs:
            me.released.wait(30)
            self.close_connection = True
            return
        self.send_response(answer.status)
        self.send_header("Content-Type", "application/json")
        self.send_header("Content-Length", str(len(answer.body) + answer.missing))
        for name, value in answer.headers.items():
            self.send_header(name, value)
        self.end_headers()
        with contextlib.suppress(OSError):
            self.wfile.write(answer.body)
        if answer.missing:
            self.close_connection = True


@contextlib.contextmanager
def serving(**options: Any) -> Iterator[StandIn]:
    stand_in = StandIn(**options)
    handler = type("Handler", (_Handler,), {"stand_in": stand_in})
    server = ThreadingHTTPServer(("127.0.0.1", 0), handler)
    server.daemon_threads = True
    stand_in.url = f"http://127.0.0.1:{server.server_address[1]}/v1"
    thread = threading.Thread(target=server.serve_forever, args=(0.01,), daemon=True)
    thread.start()
    try:
        yield stand_in
    finally:
        stand_in.released.set()
        server.shutdown()
        server.server_close()
        thread.join()
