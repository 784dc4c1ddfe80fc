"""What a server of embeddings answered: believed only when it is whole, in numbers, one vector a text."""

from __future__ import annotations

import json
import math
from typing import Any, Literal, NamedTuple

import numpy as np
from numpy.typing import NDArray

from core.errors import BackendError, SpaceMismatchError

# Whom a request that failed speaks against: these texts, the connection (it may work later), or every request to come.
Blame = Literal["texts", "server", "all"]


class RequestFailed(BackendError):
    """One request that came to nothing."""

    def __init__(self, message: str, blame: Blame, *, path: str, fix: str = ""):
        super().__init__(
            message,
            path=path,
            fix=fix or "check the server, how long texts may be, and --dimensions; then run it again",
        )
        self.blame = blame


class Reply(NamedTuple):
    """`vectors` float32, texts × dimension, in the order of the texts; `model` as the server calls it."""

    vectors: NDArray[np.float32]
    model: str


def read_reply(data: bytes, texts: int, dimension: int | None, url: str) -> Reply:
    """The vectors of the `texts` texts of a request, by the index that the server gave each.

    Raises RequestFailed for anything but one vector of numbers for every text, SpaceMismatchError where all of them have
    another dimension than `dimension`.
    """
    try:
        value = json.loads(data)
        items = value["data"]
        found = {_place(item): item["embedding"] for item in items}
        if len(items) != texts or sorted(found) != list(range(texts)):
            raise ValueError(f"it holds {len(items)} vectors for {texts} texts, or one of them twice")
        vectors = _numbers([found[n] for n in range(texts)])
    except (ValueError, KeyError, TypeError, AttributeError, RecursionError, OverflowError) as error:
        what = f"it has no {error.args[0]!r}" if isinstance(error, KeyError) else plain(error, 120)
        raise RequestFailed(f"the server's answer is none that can be used ({what})", "server", path=url) from error
    if dimension is not None and vectors.shape[1] != dimension:
        raise SpaceMismatchError(
            f"the server gives vectors of {vectors.shape[1]} dimensions now, not of {dimension}",
            path=url,
            fix="the model changed under its name, or the server does not keep to --dimensions: put back what the index "
            "was built with, or build another index beside this one",
            details={"dimension": {"expected": dimension, "given": vectors.shape[1]}},
        )
    model = value.get("model")
    return Reply(vectors, plain(model, 80) if isinstance(model, str) else "")


def _place(item: Any) -> int:
    place = item["index"]
    if type(place) is not int:
        raise TypeError("an index is no number")
    return place


def _numbers(rows: list[Any]) -> NDArray[np.float32]:
    """Raises TypeError or ValueError unless the rows are lists of finite numbers, all of one length and none of them zero."""
    if not all(type(row) is list and row for row in rows):
        raise TypeError("a vector is no list of numbers")
    if len({len(row) for row in rows}) != 1:
        raise ValueError("its vectors have different lengths")
    if not all(type(x) is float or type(x) is int for row in rows for x in row):
        raise TypeError("a vector holds what is no number")
    with np.errstate(over="ignore"):
        vectors = np.array(rows, dtype=np.float64).astype(np.float32)
    if not np.isfinite(vectors).all():
        raise ValueError("a vector holds NaN or an infinity")
    if not all(math.hypot(*row) > 0 for row in vectors):
        raise ValueError("a vector has no length")
    return vectors


def refused(status: int, data: bytes, url: str, key: str | None) -> RequestFailed:
    """What an answer with another status than 200 means."""
    code, said = _error(data, key)
    says = f": {said}" if said else ""
    if status in (401, 403):
        fix = "check the key in SAMESPACE_API_KEY or OPENAI_API_KEY"
        return RequestFailed(f"the server refuses the key (it answered {status}){says}", "all", path=url, fix=fix)
    if code == "insufficient_quota":
        return RequestFailed(f"the account's quota is used up{says}", "all", path=url, fix="see the account's billing")
    if status in (404, 405) or 300 <= status < 400:
        fix = "check --base-url (it ends before /embeddings) and the model's name; a redirect is not followed"
        return RequestFailed(f"the server knows no such address or model ({status}){says}", "all", path=url, fix=fix)
    if status in (400, 413, 422):
        return RequestFailed(f"the server refuses the request ({status}){says}", "texts", path=url)
    return RequestFailed(f"the server answered {status}{says}", "server", path=url)


def _error(data: bytes, key: str | None) -> tuple[str, str]:
    """The code and the message of an error, as OpenAI's format or a likely one has them; the key never among them."""
    try:
        value = json.loads(data)
        error = value.get("error", value)
        found = error if isinstance(error, str) else error.get("message") or error.get("detail") or ""
        code = error.get("code") if isinstance(error, dict) else None
    except (ValueError, AttributeError, RecursionError):
        return "", ""
    text = str(found)
    return str(code or ""), plain(text.replace(key, "…") if key else text)


def plain(text: object, most: int = 200) -> str:
    """Somebody else's words on one line: printable characters only, not too many."""
    line = " ".join(str(text).split())
    return "".join(c if c.isprintable() else "?" for c in line[:most])
