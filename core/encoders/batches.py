"""Texts in batches, several at once: results as they come, and in the end whatever got none, with the reason."""

from __future__ import annotations

import queue
import threading
from collections.abc import Callable, Iterator, Sequence

import numpy as np
from numpy.typing import NDArray

from core.encoders import Unembedded
from core.encoders.remote import Wait
from core.encoders.replies import RequestFailed

MOST_IN_A_ROW = 8  # requests that fail for good without one that succeeds: then the server is left alone

Send = Callable[[list[int], Wait], NDArray[np.float32]]
Done = tuple[list[int], NDArray[np.float32]]


def in_batches(tokens: Sequence[int], most_texts: int, most_tokens: int) -> list[list[int]]:
    """The rows in order, cut into batches of so many texts and tokens at most; a text above that goes alone."""
    batches: list[list[int]] = []
    room = 0
    for row, count in enumerate(tokens):
        if not batches or len(batches[-1]) == most_texts or count > room:
            batches.append([])
            room = most_tokens
        batches[-1].append(row)
        room -= count
    return batches


class Run:
    """One stream of batches through `send`, by some threads.

    A batch that the server refuses for its texts is halved until the text at fault is alone; a batch that fails otherwise
    fails whole. Other batches go on, until a failure speaks against all of them, or too many fail one after another.
    """

    def __init__(self, batches: Sequence[list[int]], send: Send, threads: int):
        self._send = send
        self._rows = [row for batch in batches for row in batch]
        self._todo: queue.SimpleQueue[list[int]] = queue.SimpleQueue()
        for batch in batches:
            self._todo.put(batch)
        self._events: queue.SimpleQueue[tuple[list[int], NDArray[np.float32] | BaseException] | None] = (
            queue.SimpleQueue()
        )
        self._threads = max(1, min(threads, len(batches)))
        self._stop = threading.Event()
        self._in_a_row = 0

    def results(self) -> Iterator[Done]:
        """Rows and their vectors, as they are done. Raises Unembedded at the end for those that got none, and at once what
        `send` raises beside RequestFailed."""
        failed: dict[int, str] = {}
        open_rows = dict.fromkeys(self._rows)
        last: RequestFailed | None = None
        # Daemons: whoever ends the program need not wait for a server.
        for _ in range(self._threads):
            threading.Thread(target=self._work, daemon=True).start()
        left = self._threads
        try:
            while left:
                event = self._events.get()
                if event is None:
                    left -= 1
                    continue
                rows, result = event
                if isinstance(result, RequestFailed):
                    last = result
                    failed.update(dict.fromkeys(rows, result.message))
                elif isinstance(result, BaseException):
                    raise result
                else:
                    yield rows, result
                for row in rows:
                    del open_rows[row]
            over = self._stop.is_set()
        finally:
            self._stop.set()
        if last is not None:
            unsent = tuple(open_rows)
            raise Unembedded(last.message, path=last.path, fix=last.fix, failed=failed, unsent=unsent, over=over)

    def _work(self) -> None:
        while not self._stop.is_set():
            try:
                rows = self._todo.get_nowait()
            except queue.Empty:
                break
            self._try(rows)
        self._events.put(None)

    def _try(self, rows: list[int]) -> None:
        if self._stop.is_set():
            return
        try:
            vectors = self._send(rows, self._stop.wait)
        except RequestFailed as error:
            if error.blame == "texts" and len(rows) > 1:
                self._try(rows[: len(rows) // 2])
                self._try(rows[len(rows) // 2 :])
                return
            if self._stop.is_set():
                return  # it was given up for another's reason
            self._in_a_row += 1
            if error.blame == "all" or self._in_a_row >= MOST_IN_A_ROW:
                self._stop.set()
            self._events.put((rows, error))
        except BaseException as error:
            self._stop.set()
            self._events.put((rows, error))
        else:
            self._in_a_row = 0
            self._events.put((rows, vectors))
