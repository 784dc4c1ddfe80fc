"""Texts to which a server gave no vector: of which documents they are, and the error that says so when all else is done."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

from core.encoders import Unembedded
from core.errors import BackendError
from core.types import Chunk, Json

_NAMED = 3  # documents in the message; `details` has them all


class Failures:
    """`is_over`: the server answers no more, so nothing else need be sent to it."""

    def __init__(self) -> None:
        self._found: list[Json] = []
        self._texts = self._unsent = 0
        self._last: Unembedded | None = None

    @property
    def is_over(self) -> bool:
        return self._last is not None and self._last.over

    def add(self, error: Unembedded, rows: Sequence[int], first: NDArray[np.int64], chunks: Sequence[Chunk]) -> None:
        """`rows` are those that were streamed, by which `error` speaks; `first` has for every row of the block the first one
        of the same text, `chunks` what they are chunks of."""
        reasons = {rows[n]: reason for n, reason in error.failed.items()}
        self._texts += len(reasons)
        self._unsent += len(error.unsent)
        self._last = error
        for row in np.flatnonzero(np.isin(first, list(reasons))):
            chunk = chunks[int(row)]
            reason = reasons[int(first[row])]
            self._found.append({"document": chunk.document_id, "chunk": chunk.ordinal, "reason": reason})

    def check(self, embedded: int) -> None:
        """Raises BackendError when there were any."""
        if self._last is None:
            return
        documents = list(dict.fromkeys(found["document"] for found in self._found))
        names = ", ".join(documents[:_NAMED]) + (" …" if len(documents) > _NAMED else "")
        unsent = f"; {self._unsent:,} more were not sent" if self._unsent else ""
        raise BackendError(
            f"{self._texts:,} texts of {len(documents):,} documents got no vector ({names}){unsent}: {self._last.message}",
            path=self._last.path,
            fix=f"{embedded:,} texts that were embedded are kept, and nothing was published: run the same command again and "
            "it goes on from there; what the server refuses for good has to leave the sources or be changed",
            details={"failed": self._found, "unsent": self._unsent, "embedded": embedded},
        )
