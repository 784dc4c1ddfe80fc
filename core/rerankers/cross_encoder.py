"""A sentence-transformers CrossEncoder, by hub name or folder. Only safetensors, no remote code."""

from __future__ import annotations

import json
import os
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np

from core.encoders import Model
from core.encoders.hub import locate
from core.errors import MissingError
from core.text import encodable


def _has_head(path: Path) -> bool:
    """Whether the folder says that its model scores pairs. On any other a head of random weights would be put."""
    try:
        modules = path / "modules.json"
        if modules.is_file():
            return not any(str(module["type"]).endswith(".Pooling") for module in json.loads(modules.read_bytes()))
        architectures = json.loads((path / "config.json").read_bytes()).get("architectures") or ()
        return any(str(name).endswith("ForSequenceClassification") for name in architectures)
    except (OSError, ValueError, KeyError, TypeError, AttributeError):
        return False


class CrossEncoderReranker:
    def __init__(self, model: Model):
        """Raises MissingError (not a cross-encoder, pickled weights), BackendError."""
        os.environ.setdefault("TRANSFORMERS_VERBOSITY", "error")
        path, _ = locate(model)
        if not any(path.glob("*.safetensors")):
            raise MissingError(
                "this model has no .safetensors weights", path=path, fix="name a cross-encoder saved by save_pretrained"
            )
        if not _has_head(path):
            raise MissingError(
                "this is no cross-encoder: it has no trained head that scores a pair of texts, and would rank at random",
                path=path,
                fix="name a cross-encoder, or use maxsim, which needs no other model than the index's own",
            )
        from sentence_transformers import CrossEncoder
        from transformers.utils.logging import disable_progress_bar

        disable_progress_bar()  # type: ignore[no-untyped-call]
        self.name = model.name
        try:
            self._model: Any = CrossEncoder(
                str(path), device="cpu", local_files_only=True, model_kwargs={"use_safetensors": True}
            )
        except Exception as error:  # a damaged folder raises whatever the library that reads the part raises
            raise MissingError(
                f"this is no cross-encoder that sentence-transformers can load ({error})", path=path, fix="name another"
            ) from error
        if self._model.num_labels != 1:
            raise MissingError(
                f"this cross-encoder gives {self._model.num_labels} values a pair; reranking needs one",
                path=path,
                fix="name a model for ranking",
            )

    def score(self, query: str, passages: Sequence[str]) -> list[float]:
        pairs = [(encodable(query), encodable(passage)) for passage in passages]
        scores = self._model.predict(pairs, show_progress_bar=False, convert_to_numpy=True)
        return [float(value) for value in np.asarray(scores, dtype=np.float64).reshape(-1)]
