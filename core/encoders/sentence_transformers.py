"""Any sentence-transformers model: a folder, described from its files, run by the best runtime for the work."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path

from core.encoders import Encoder, Model, Runtime, Work
from core.encoders.bert import Bert
from core.encoders.hub import locate
from core.encoders.model_folder import ModelFolder
from core.encoders.reference import Reference
from core.encoders.tokenizer import Tokenizer, open_tokenizer
from core.encoders.transformer import TransformerEncoder
from core.errors import CorruptError, UsageError
from core.space.identity import METRICS, Space


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


class SentenceTransformersEncoder(TransformerEncoder):
    def __init__(self, model: Model, work: Work = "queries"):
        """Raises MissingError (no such model, pickled weights), BackendError (the hub does not answer), CorruptError."""
        path, revision = locate(model)
        self.folder: Path = path
        self._files = ModelFolder(path)
        try:
            metric = {"dot_product": "dot"}.get(self._files.metric, self._files.metric)
            space = _describe(self._files, model.options.get("prompts", {}))
            if metric not in METRICS:
                raise UsageError(
                    f"this model compares vectors by {metric!r}, which samespace does not",
                    path=path,
                    fix=f"choose a model that uses one of: {', '.join(METRICS)}",
                )
        except (ValueError, KeyError, TypeError, AttributeError) as error:
            raise CorruptError(
                f"the files that describe this model are damaged ({error!r})", path=path, fix="fetch the model again"
            ) from error
        super().__init__(replace(model, revision=revision), space, metric, work)

    def runtime(self) -> dict[str, str]:
        return {**super().runtime(), "settings": self._files.settings[:16]}

    def reference(self) -> Encoder:
        return SentenceTransformersEncoder(self.model, "reference")

    def _open_tokenizer(self) -> Tokenizer:
        return open_tokenizer(self._files.tokenizer_file)

    def _bert(self) -> Bert:
        return self._files.bert()

    def _reference(self) -> Runtime:
        return Reference(self.folder, self.space)
