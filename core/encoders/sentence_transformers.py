"""Any sentence-transformers model: the reference runtime (torch, float32). Described from its folder; torch on first use."""

from __future__ import annotations

import os
from collections.abc import Mapping, Sequence
from dataclasses import replace
from functools import cached_property
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from core.encoders import Model
from core.encoders.hub import locate
from core.encoders.model_folder import ModelFolder
from core.encoders.tokenizer import Tokenizer, open_tokenizer
from core.errors import CorruptError, MissingError, SpaceMismatchError, UsageError
from core.space.identity import METRICS, Space
from core.text import encodable
from core.types import Side


def _describe(folder: ModelFolder, prompts: Mapping[str, str]) -> Space:
    query, passage = folder.prompts
    return Space(
        weights=folder.weights,
        tokenizer=folder.tokenizer,
        pooling=folder.pooling,
        normalize=folder.normalize,
        max_tokens=folder.max_tokens,
        dimension=folder.dimension,
        query_prompt=prompts.get("query", query),
        passage_prompt=prompts.get("passage", passage),
    )


class SentenceTransformersEncoder:
    def __init__(self, model: Model):
        """Raises MissingError (no such model, pickled weights), BackendError (the hub does not answer), CorruptError."""
        path, revision = locate(model)
        folder = ModelFolder(path)
        self._path = path
        self._folder = folder
        self.model = replace(model, revision=revision)
        try:
            self.metric = {"dot_product": "dot"}.get(folder.metric, folder.metric)
            self.space = _describe(folder, model.options.get("prompts", {}))
            if self.metric not in METRICS:
                raise UsageError(
                    f"this model compares vectors by {self.metric!r}, which samespace does not",
                    path=path,
                    fix=f"choose a model that uses one of: {', '.join(METRICS)}",
                )
        except (ValueError, KeyError, TypeError, AttributeError) as error:
            raise CorruptError(
                f"the files that describe this model are damaged ({error!r})", path=path, fix="fetch the model again"
            ) from error

    @cached_property
    def _loaded(self) -> Any:
        """The SentenceTransformer; its own account of itself must be the one the folder gave."""
        os.environ.setdefault("TRANSFORMERS_VERBOSITY", "error")
        os.environ.setdefault("TOKENIZERS_PARALLELISM", "true")
        try:
            from sentence_transformers import SentenceTransformer
            from transformers.utils.logging import disable_progress_bar
        except ImportError as error:
            raise MissingError(
                f"embedding needs sentence-transformers and torch ({error})",
                fix="pip install sentence-transformers torch==2.13.0, or search with --mode lexical",
            ) from error
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
        loaded.max_seq_length = self.space.max_tokens
        dimension = loaded.get_embedding_dimension()
        if dimension != self.space.dimension:
            raise SpaceMismatchError(
                f"the loaded model has {dimension} dimensions, its files say {self.space.dimension}",
                path=self._path,
                fix="fetch the model again",
            )
        return loaded

    def runtime(self) -> dict[str, str]:
        from importlib.metadata import version

        names = ("sentence-transformers", "transformers", "torch", "tokenizers")
        versions = {name: version(name) for name in names}
        return {"engine": "sentence-transformers", "precision": "float32", "cpu": cpu_features(), **versions}

    def _prompt(self, side: Side) -> str | None:
        return (self.space.query_prompt if side == "query" else self.space.passage_prompt) or None

    def embed(self, texts: Sequence[str], side: Side) -> NDArray[np.float32]:
        if not texts:
            return np.zeros((0, self.space.dimension), dtype=np.float32)
        vectors = self._loaded.encode(
            list(map(encodable, texts)),
            prompt=self._prompt(side),
            batch_size=32,
            show_progress_bar=False,
            convert_to_numpy=True,
        )
        return np.ascontiguousarray(vectors, dtype=np.float32)

    def token_vectors(self, texts: Sequence[str], side: Side) -> list[NDArray[np.float32]]:
        prompt = self._prompt(side)
        texts = list(map(encodable, texts))
        outputs = self._loaded.encode(
            texts, prompt=prompt, batch_size=32, show_progress_bar=False, output_value="token_embeddings"
        )
        vectors = []
        for text, output in zip(texts, outputs, strict=True):
            tokens = output.cpu().numpy().astype(np.float32)
            specials = self._tokenizer.specials((prompt or "") + text)
            inner = ~specials[: len(tokens)]
            if len(inner) == len(tokens) and inner.any():
                # truncation keeps the closing special token, which the untruncated mask does not know of
                inner[-1] = inner[-1] and len(specials) <= self.space.max_tokens
                tokens = tokens[inner] if inner.any() else tokens
            vectors.append(tokens / np.maximum(np.linalg.norm(tokens, axis=1, keepdims=True), 1e-12))
        return vectors

    @cached_property
    def _tokenizer(self) -> Tokenizer:
        return open_tokenizer(self._folder.tokenizer_file)

    def token_starts(self, text: str) -> NDArray[np.int64]:
        return self._tokenizer.starts(encodable(text))

    def count_tokens(self, text: str, side: Side) -> int:
        return self._tokenizer.count((self._prompt(side) or "") + encodable(text))

    @property
    def folder(self) -> Path:
        return self._path


def cpu_features() -> str:
    """The processor features that choose other kernels, hence other last digits; empty where the system does not say."""
    try:
        flags = set(Path("/proc/cpuinfo").read_text(encoding="ascii", errors="replace").split())
    except OSError:
        return ""
    return " ".join(name for name in ("avx2", "avx512f", "avx512_bf16", "amx_bf16", "asimd", "sve") if name in flags)
