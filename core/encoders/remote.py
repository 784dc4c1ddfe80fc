"""Requests to a server of embeddings: at a pace, with patience for what passes, each answer read whole or not at all."""

from __future__ import annotations

import os
import random
import threading
import time
from collections.abc import Callable, Sequence
from email.utils import parsedate_to_datetime
from functools import cached_property
from typing import Any

from core.encoders.replies import Reply, RequestFailed, read_reply, refused
from core.encoders.server import admit
from core.errors import UsageError
from core.version import VERSION

BACKOFF = 0.5  # seconds before the second attempt; each further one waits twice as long, with some chance in it
MOST_WAIT = 120.0  # seconds between two attempts, whatever the server asks for
_PASSING = (408, 409, 425, 429)  # and all from 500 on: worth another attempt
_UNREADABLE = 2  # attempts at an answer that cannot be used: each of them is paid for
_ERROR_BYTES = 1 << 16

Wait = Callable[[float], object]


def setting(name: str) -> float | None:
    """A number from the environment. Raises UsageError for one that is none, or not above 0."""
    text = os.environ.get(name, "").strip()
    if not text:
        return None
    try:
        number = float(text)
        if not 0 < number < float("inf"):
            raise ValueError
    except ValueError as error:
        raise UsageError(f"{name} is no number above 0", fix=f"export {name}=60, or unset it") from error
    return number


class Pace:
    """Keeps requests and tokens a minute within what is allowed, over all threads. None: no limit."""

    def __init__(self, requests: float | None, tokens: float | None, clock: Callable[[], float] = time.monotonic):
        self._requests, self._tokens, self._clock = requests, tokens, clock
        self._lock = threading.Lock()
        self._next = 0.0

    def reserve(self, tokens: int) -> float:
        """The seconds to wait before a request of so many tokens is sent. It is taken as sent then."""
        cost = max(60 / self._requests if self._requests else 0, 60 * tokens / self._tokens if self._tokens else 0)
        with self._lock:
            now = self._clock()
            start = max(now, self._next)
            self._next = start + cost
            return start - now

    def hold(self, seconds: float) -> None:
        """Nobody sends for so long: the server asked for it."""
        with self._lock:
            self._next = max(self._next, self._clock() + seconds)


class Client:
    """One server. Threads may share it. Nothing is sent, and no key is read, before the first request."""

    def __init__(self, url: str, attempts: int, timeout: float, pace: Pace | None = None):
        """`timeout`: seconds for one request, all of it; SAMESPACE_TIMEOUT in the environment counts for more."""
        self.url, self._attempts = url, attempts
        self._timeout = setting("SAMESPACE_TIMEOUT") or timeout
        limits = (setting("SAMESPACE_REQUESTS_PER_MINUTE"), setting("SAMESPACE_TOKENS_PER_MINUTE"))
        self._pace = pace or Pace(*limits)

    @cached_property
    def _key(self) -> str | None:
        return admit(self.url)

    @cached_property
    def _http(self) -> Any:
        import httpx2

        headers = {"User-Agent": f"samespace/{VERSION}"}
        if self._key:
            headers["Authorization"] = f"Bearer {self._key}"
        return httpx2.Client(headers=headers, timeout=self._timeout, follow_redirects=False)

    def open(self) -> None:
        """What the first request would do, so that threads find it done. Raises UsageError, MissingError."""
        _ = self._http

    def embed(
        self,
        texts: Sequence[str],
        fields: dict[str, Any],
        dimension: int | None,
        tokens: int = 0,
        wait: Wait = time.sleep,
    ) -> Reply:
        """One request with `texts`; `fields` are the request's others. `wait` true ends the attempts.

        Raises RequestFailed when the attempts are used up or would not help, SpaceMismatchError for another dimension,
        UsageError, MissingError (core/encoders/server.py).
        """
        most = (1 << 20) + len(texts) * 32 * (dimension or 1 << 14)  # bytes: no number needs 32
        unreadable = 0
        for attempt in range(1, self._attempts + 1):
            pause = self._pace.reserve(tokens)
            if pause > 0 and wait(pause):
                break
            try:
                reply = read_reply(self._post({**fields, "input": list(texts)}, most), len(texts), dimension, self.url)
                # What a server calls its model is shown and kept: never what it was told in confidence.
                return reply._replace(model=reply.model.replace(self._key, "…")) if self._key else reply
            except _Passing as passing:
                failure, asked = passing.failure, passing.wait
            except RequestFailed as error:
                unreadable += 1
                failure, asked = error, None
                if error.blame != "server" or unreadable >= _UNREADABLE:
                    raise
            if attempt == self._attempts or (asked or 0) > MOST_WAIT:
                raise failure
            pause = min(MOST_WAIT, BACKOFF * 2 ** (attempt - 1)) * random.uniform(0.5, 1.0)  # noqa: S311
            if asked is not None:
                pause = asked
                self._pace.hold(asked)
            if wait(pause):
                raise failure
        raise RequestFailed("the work was ended", "all", path=self.url)

    def _post(self, value: dict[str, Any], most: int) -> bytes:
        """The body of an answer with status 200. Raises _Passing where another attempt may help, else RequestFailed."""
        import httpx2

        end = time.monotonic() + self._timeout
        try:
            with self._http.stream("POST", f"{self.url}/embeddings", json=value) as response:
                status, headers = response.status_code, response.headers
                body = bytearray()
                for part in response.iter_bytes():
                    body += part
                    if len(body) > (most if status == 200 else _ERROR_BYTES):
                        break
                    if time.monotonic() > end:
                        raise httpx2.ReadTimeout("too slow")
        except httpx2.TimeoutException as error:
            what = f"the server did not answer within {self._timeout:g} seconds"
            raise _Passing(RequestFailed(what, "server", path=self.url)) from error
        except (httpx2.HTTPError, httpx2.InvalidURL) as error:
            what = f"the server does not answer ({type(error).__name__})"
            raise _Passing(RequestFailed(what, "server", path=self.url)) from error
        if status == 200 and len(body) <= most:
            return bytes(body)
        if status == 200:
            raise RequestFailed(f"the server's answer is longer than {most:,} bytes", "server", path=self.url)
        failure = refused(status, bytes(body[:_ERROR_BYTES]), self.url, self._key)
        if failure.blame == "server" and (status in _PASSING or status >= 500):
            raise _Passing(failure, _asked(headers.get("retry-after")))
        raise failure


class _Passing(Exception):
    """A request that failed for a reason that may pass; `wait` is how many seconds the server asked for."""

    def __init__(self, failure: RequestFailed, wait: float | None = None):
        super().__init__(failure.message)
        self.failure, self.wait = failure, wait


def _asked(value: str | None) -> float | None:
    """The seconds of a Retry-After header: a number, or a date."""
    if value is None:
        return None
    try:
        return max(0.0, float(value)) if float(value) < float("inf") else None
    except ValueError:
        pass
    try:
        return max(0.0, parsedate_to_datetime(value).timestamp() - time.time())
    except (ValueError, TypeError, OverflowError):
        return None
