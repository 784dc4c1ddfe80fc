"""The reference runtime: sentence-transformers with torch in float32. Slow to start; what every faster engine is held to."""

from __future__ import annotations

import os
from collections.abc import Iterator, Sequence
from functools import cached_property
from importlib.util import find_spec
from pathlib import Path
from typing import Any

import numpy as np

from core.encoders.bert import Floats
from core.errors import CorruptError, MissingError, SpaceMismatchError
from core.space.identity import Space

_BATCH = 32


def _not_installed(error: ImportError) -> MissingError:
    return MissingError(
        f"running this model needs sentence-transformers and torch ({error})",
        fix="pip install sentence-transformers torch==2.13.0, or search with --mode lexical",
    )


class Reference:
    """Runs the model of a folder. Takes whole texts, prompts included, and cuts them into tokens by its own means."""

    name = "sentence-transformers"
    precision = "float32"

    def __init__(self, path: Path, space: Space):
        """Loads nothing yet. Raises MissingError when its packages are not installed."""
        try:
            found = all(find_spec(name) for name in ("sentence_transformers", "torch"))
        except ImportError:
            found = False
        if not found:
            raise _not_installed(ImportError("not installed"))
        self._path, self._space = path, space

    @cached_property
    def _model(self) -> Any:
        """The SentenceTransformer; its own account of itself must be the one its files gave."""
        os.environ.setdefault("TRANSFORMERS_VERBOSITY", "error")
        os.environ.setdefault("TOKENIZERS_PARALLELISM", "true")
        try:
            from sentence_transformers import SentenceTransformer
            from transformers.utils.logging import disable_progress_bar
        except ImportError as error:
            raise _not_installed(error) from error
        disable_progress_bar()  # type: ignore[no-untyped-call]
        try:
            loaded = SentenceTransformer(
                str(self._path), device="cpu", local_files_only=True, model_kwargs={"use_safetensors": True}
            )
        except Exception as error:  # weights that do not fit the configuration raise whatever the library raises
            raise CorruptError(
                f"sentence-transformers cannot load this model ({type(error).__name__}: {error})",
                path=self._path,
                fix="fetch the model again; a model that needs code of its own (trust_remote_code) is not run",
            ) from error
        loaded.default_prompt_name = None
        loaded.max_seq_length = self._space.max_tokens
        dimension = loaded.get_embedding_dimension()
        if dimension != self._space.dimension:
            raise SpaceMismatchError(
                f"the loaded model has {dimension} dimensions, its files say {self._space.dimension}",
                path=self._path,
                fix="fetch the model again",
            )
        return loaded

    def versions(self) -> dict[str, str]:
        from importlib.metadata import PackageNotFoundError, version

        try:
            return {name: version(name) for name in ("sentence-transformers", "transformers", "torch", "tokenizers")}
        except PackageNotFoundError as error:
            raise _not_installed(error) from error

    def embed(self, texts: Sequence[str], prompt: str) -> Iterator[tuple[list[int], Floats]]:
        """Rows and their vectors, float32 rows × dimension, batch by batch in the order of `texts`."""
        for start in range(0, len(texts), _BATCH):
            rows = list(range(start, min(start + _BATCH, len(texts))))
            vectors = self._model.encode(
                [texts[row] for row in rows], prompt=prompt or None, show_progress_bar=False, convert_to_numpy=True
            )
            yield rows, np.ascontiguousarray(vectors, dtype=np.float32)

    def token_vectors(self, texts: Sequence[str], prompt: str) -> list[Floats]:
        """One array a text, tokens × dimension, special tokens among them."""
        outputs = self._model.encode(
            list(texts), prompt=prompt or None, show_progress_bar=False, output_value="token_embeddings"
        )
        return [output.cpu().numpy().astype(np.float32) for output in outputs]
