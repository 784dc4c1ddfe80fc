"""Late interaction: for each token of the query the nearest token of the passage, summed up and divided by the tokens.

The scoring of ColBERT (Khattab & Zaharia 2020) over the token vectors of the index's own encoder: no other model.
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from core.encoders import Encoder


class MaxSimReranker:
    name = "maxsim"

    def __init__(self, encoder: Encoder):
        self._encoder = encoder

    def score(self, query: str, passages: Sequence[str]) -> list[float]:
        wanted = self._encoder.token_vectors([query], "query")[0]
        if not len(wanted):
            return [0.0] * len(passages)
        return [
            float(np.mean((wanted @ tokens.T).max(axis=1))) if len(tokens) else 0.0
            for tokens in self._encoder.token_vectors(passages, "passage")
        ]
