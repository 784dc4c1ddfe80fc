"""A model behind a server that speaks OpenAI's embeddings: POST BASE/embeddings (platform.openai.com/docs/api-reference/embeddings).

Its weights cannot be looked at, so its identity is little more than its name, and behaviour on the canaries is what counts.
What only the server knows (dimension, whether vectors have unit length, how long a text may be) is asked once, when an index
is made, and kept in the model's options: an index describes its model without a request.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import replace
from typing import Any

import numpy as np
from numpy.typing import NDArray

from core.canonical import digest
from core.encoders import Encoder, Model, Token, Work, estimate
from core.encoders.batches import Run, in_batches
from core.encoders.remote import Client
from core.encoders.replies import Reply, RequestFailed
from core.encoders.server import check_url, default_url
from core.errors import CorruptError, SpaceMismatchError, UsageError
from core.space.canaries import SHORT, TOLERANCE, compare
from core.space.identity import Space
from core.text import encodable
from core.types import Side

MOST_TEXTS = 256  # in a request; OpenAI's server takes 2048
MOST_TOKENS = 100_000  # in a request, as estimated; OpenAI's server takes 300,000
MAX_TOKENS = 8192  # of a text, where the catalogue does not say
_LEAST = 256  # tokens that every server takes, or it is not for documents
AT_ONCE = 4  # requests
PILOT = SHORT[0]  # rides with every batch of documents, so that each is known to be of the model that passed the door
_DRIFT = (
    2 * TOLERANCE
)  # of a pilot, in direction and length: two answers, each as far from the recorded one as is allowed
_PATIENCE: dict[Work, dict[str, Any]] = {  # somebody waits for the answer to a query
    "queries": {"attempts": 3, "timeout": 20.0},
    "documents": {"attempts": 6, "timeout": 60.0},
    "reference": {"attempts": 6, "timeout": 60.0},
}
_UNIT = 1e-3  # a length nearer to 1 than that is meant to be 1


class OpenAIEncoder:
    """Space: named, not looked at. `remote`: a text is sent over a network, a request for a batch."""

    metric = "cosine"
    remote = True
    padding = 0.0
    passed_over: Sequence[str] = ()

    def __init__(self, model: Model, work: Work = "queries"):
        """Asks the server what `model` does not say. Raises UsageError, MissingError, BackendError, CorruptError."""
        options = _checked(model)
        self._url: str = options.get("base_url") or default_url()
        self._client = Client(self._url, **_PATIENCE[work])
        self._answered = ""
        self._most: int | None = None  # texts in a request, once the server has refused more
        self._pilot: NDArray[np.float32] | None = None  # its vector, as the door saw it
        self._prompts: Mapping[str, str] = options.get("prompts", {})
        self.model = replace(model, options={**options, "base_url": self._url})
        if not {"dimension", "normalize", "max_tokens"} <= options.keys():
            self.model = replace(self.model, options={**self.model.options, **self._ask()})
        self.space = self._describe()

    def _describe(self) -> Space:
        options = self.model.options
        named = {"provider": self.model.provider, "model": self.model.name}
        return Space(
            weights=digest({**named, "revision": self.model.revision} if self.model.revision else named),
            tokenizer=estimate.IDENTITY,
            pooling="remote",
            normalize=options["normalize"],
            max_tokens=options["max_tokens"],
            dimension=options["dimension"],
            query_prompt=self._prompts.get("query", ""),
            passage_prompt=self._prompts.get("passage", ""),
        )

    def _ask(self) -> dict[str, Any]:
        """What only the server can say, from one request; more where it refuses texts as long as that."""
        limit, options = int(self.model.options.get("max_tokens", MAX_TOKENS)), self.model.options
        while True:
            texts = [PILOT, estimate.cut(f"{PILOT} " * limit, limit)]
            try:
                vectors = self._request(texts, options.get("dimensions") or options.get("dimension")).vectors
            except RequestFailed as error:
                if error.blame != "texts" or limit // 2 < _LEAST:
                    raise
                limit //= 2
                continue
            lengths = np.linalg.norm(vectors.astype(np.float64), axis=1)
            unit = bool(np.abs(lengths - 1).max() < _UNIT)
            return {"dimension": vectors.shape[1], "normalize": unit, "max_tokens": limit}

    # what it is

    def runtime(self) -> dict[str, str]:
        return {"engine": "openai", "precision": "remote", "server": self._url}

    @property
    def runtime_name(self) -> str:
        other = f", which calls the model {self._answered}" if self._answered not in ("", self.model.name) else ""
        return f"the server {self._url}{other}"

    def reference(self) -> Encoder:
        return self

    def fall_back(self) -> bool:
        return False

    # vectors

    def embed(self, texts: Sequence[str], side: Side) -> NDArray[np.float32]:
        """One request, where the server takes so many texts at once; passages travel with the pilot. Raises BackendError,
        SpaceMismatchError (another dimension, or another model than the canaries were by when they were embedded last)."""
        inputs = [self._input(text, side) for text in texts]
        vectors = np.zeros((len(texts), self.space.dimension), dtype=np.float32)
        pilot = self._input(PILOT, "passage")
        is_door = side == "passage" and pilot in inputs  # the canaries themselves, which are compared as a whole
        extra = [pilot] if side == "passage" and not is_door and self._pilot is not None else []
        for rows in in_batches([estimate.count_tokens(text) for text in inputs], self._most or MOST_TEXTS, MOST_TOKENS):
            found = self._request_some([*(inputs[row] for row in rows), *extra])
            if extra:
                self._check_pilot(found[-1])
            vectors[rows] = found[: len(rows)]
        if is_door:
            self._pilot = vectors[inputs.index(pilot)]
        return vectors

    def _request_some(self, texts: list[str]) -> NDArray[np.float32]:
        """In as few requests as the server takes: where it refuses so many at once, in halves, from then on."""
        try:
            return self._request(texts, self.space.dimension).vectors
        except RequestFailed as error:
            if error.blame != "texts" or len(texts) < 2:
                raise
            half = len(texts) // 2
            found = np.concatenate([self._request_some(part) for part in (texts[:half], texts[half:])])
            self._most = max(1, min(self._most or MOST_TEXTS, len(texts) - half))
            return found

    def stream(self, texts: Sequence[str], side: Side) -> Iterator[tuple[list[int], NDArray[np.float32]]]:
        """Batches as they are done, several requests at once. Raises Unembedded at the end for texts that got no vector,
        SpaceMismatchError at once for a batch of another model than the canaries were by when they were embedded last."""
        if not texts:
            return
        pilot = self._input(PILOT, "passage")
        if self._pilot is None:
            self.embed([PILOT], "passage")
        self._client.open()
        most = MOST_TEXTS if self._most is None else max(1, self._most - 1)  # the pilot wants room as well
        inputs = [self._input(text, side) for text in texts]
        batches = in_batches([estimate.count_tokens(text) for text in inputs], most, MOST_TOKENS)

        def send(rows: list[int], wait: Any) -> NDArray[np.float32]:
            found = self._request([*(inputs[row] for row in rows), pilot], self.space.dimension, wait=wait).vectors
            self._check_pilot(found[-1])
            return found[:-1]

        yield from Run(batches, send, AT_ONCE).results()

    def _check_pilot(self, found: NDArray[np.float32]) -> None:
        assert self._pilot is not None
        if not compare({"passage": self._pilot[None]}, {"passage": found[None]}, _DRIFT).agrees:
            raise SpaceMismatchError(
                f"the server answered one request of {self.model.name!r} by another model than the one before",
                path=self._url,
                fix="ask who runs the server; with the model of before the same command goes on, and what that gave is kept",
            )

    def _request(self, texts: Sequence[str], dimension: int | None, **options: Any) -> Reply:
        fields: dict[str, Any] = {"model": self.model.name, "encoding_format": "float"}
        if asked := self.model.options.get("dimensions"):
            fields["dimensions"] = asked
        tokens = sum(map(estimate.count_tokens, texts))
        reply = self._client.embed(texts, fields, dimension, tokens, **options)
        self._answered = reply.model
        return reply

    def _input(self, text: str, side: Side) -> str:
        """What is sent for a text: the prompt before it, no longer than the model takes, and never empty."""
        prompt = self.space.query_prompt if side == "query" else self.space.passage_prompt
        return estimate.cut(prompt + encodable(text), self.space.max_tokens) or " "

    def token_vectors(self, texts: Sequence[str], side: Side) -> list[NDArray[np.float32]]:
        if not texts:
            return []
        raise UsageError(
            f"the server of {self.model.name!r} gives a vector a text, none for each of its tokens",
            fix="rerank with a cross-encoder: --reranker NAME",
        )

    # tokens

    def token_starts(self, text: str) -> NDArray[np.int64]:
        return estimate.token_starts(text)

    def tokens(self, text: str, side: Side) -> list[Token]:
        raise UsageError(
            f"the tokenizer of {self.model.name!r} is on its server",
            fix="name a model of this machine: samespace models",
        )

    def token_ids(self, texts: Sequence[str], side: Side) -> list[list[int]]:
        return []

    def count_tokens(self, text: str, side: Side) -> int:
        prompt = self.space.query_prompt if side == "query" else self.space.passage_prompt
        return estimate.count_tokens(prompt + text)


def _checked(model: Model) -> dict[str, Any]:
    """The options of `model`, which may come from anywhere. Raises CorruptError for those that cannot be, UsageError for an
    impossible base URL."""
    options = dict(model.options)
    numbers = [options[name] for name in ("dimension", "dimensions", "max_tokens") if name in options]
    prompts = options.get("prompts", {})
    fits = (
        all(type(number) is int and 0 < number <= 1 << 16 for number in numbers)
        and type(options.get("normalize", True)) is bool
        and isinstance(options.get("base_url", ""), str)
        and isinstance(prompts, dict)
        and all(isinstance(text, str) for text in prompts.values())
    )
    if not fits or not model.name:
        raise CorruptError("the record of a model behind a server is damaged", fix="restore the index from a copy")
    if "base_url" in options:
        options["base_url"] = check_url(options["base_url"])
    return options
