"""A sentence-transformers folder, described from its files alone: identity without importing torch.

Reads the layouts of sentence-transformers 2 to 6 (`modules.json`, `1_Pooling/config.json`) and plain transformers
folders, which sentence-transformers runs with mean pooling.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Mapping
from functools import cached_property
from pathlib import Path
from typing import Any

from core.canonical import digest
from core.encoders.bert import Bert, Unsupported, assemble, read_shape
from core.encoders.remembered import remembered
from core.encoders.weights import map_tensors, weight_files, weights_digest
from core.errors import CorruptError, MissingError

_OLD_POOLING = {
    "pooling_mode_cls_token": "cls",
    "pooling_mode_max_tokens": "max",
    "pooling_mode_mean_tokens": "mean",
    "pooling_mode_mean_sqrt_len_tokens": "mean_sqrt_len_tokens",
    "pooling_mode_weightedmean_tokens": "weightedmean",
    "pooling_mode_lasttoken": "lasttoken",
}
_TOKENIZER_FILES = (
    "vocab.txt",
    "vocab.json",
    "merges.txt",
    "sentencepiece.bpe.model",
    "spiece.model",
    "tokenizer.model",
)
# What the identity covers whole. Others (Router, CLIP, …) hold folders within folders, and weights that no digest sees.
_KINDS = ("Transformer", "Pooling", "Normalize", "Dense", "LayerNorm", "Dropout")
_TOKENIZER_KEYS = ("do_lower_case", "strip_accents", "tokenize_chinese_chars")


class ModelFolder:
    """Raises MissingError when the folder holds no model or only pickled weights, CorruptError when a file is damaged."""

    def __init__(self, path: Path):
        self.path = path
        if not (path / "config.json").is_file() and not (path / "modules.json").is_file():
            raise MissingError(
                "this folder holds no sentence-transformers model (no modules.json, no config.json)",
                path=path,
                fix="name the folder that save_pretrained wrote, or a model by its hub name",
            )

    def _json(self, name: str) -> Any:
        path = self.path / name
        try:
            return json.loads(path.read_bytes()) if path.is_file() else {}
        except (ValueError, RecursionError) as error:
            raise CorruptError("this file of the model is no JSON", path=path, fix="fetch the model again") from error

    @cached_property
    def _modules(self) -> list[Mapping[str, str]]:
        modules = self._json("modules.json")
        if not modules:  # a plain transformers folder
            return [{"type": "Transformer", "path": ""}, {"type": "Pooling", "path": ""}]
        for module in modules:
            if not module["type"].startswith("sentence_transformers."):
                raise MissingError(
                    f"this model needs code of its own ({module['type']}), which samespace does not run",
                    path=self.path,
                    fix="choose a model without remote code",
                )
            if module["type"].rpartition(".")[2] not in _KINDS:
                raise MissingError(
                    f"this model has a part that samespace cannot describe ({module['type']})",
                    path=self.path,
                    fix=f"choose a model made of {', '.join(_KINDS)}",
                )
            if Path(module["path"]).is_absolute() or ".." in Path(module["path"]).parts:
                raise CorruptError(
                    "a module lies outside the model's folder", path=self.path, fix="fetch the model again"
                )
        return list(modules)

    @cached_property
    def _transformer(self) -> Path:
        """The folder of the transformer: the root, or `0_Transformer` in old models."""
        return self.path / self._modules[0]["path"]

    def _kinds(self) -> list[str]:
        return [module["type"].rpartition(".")[2] for module in self._modules]

    @property
    def pooling(self) -> str:
        """How token vectors become one vector, with every module in between, e.g. `mean` or `cls+Dense`."""
        names = []
        for kind, module in zip(self._kinds()[1:], self._modules[1:], strict=True):
            if kind == "Pooling":
                config = self._json(f"{module['path']}/config.json") if module["path"] else {}
                old = "+".join(name for key, name in _OLD_POOLING.items() if config.get(key))
                names.append(config.get("pooling_mode") or old or "mean")
                if config.get("include_prompt") is False:
                    names.append("without-prompt")
            elif kind != "Normalize":
                config = self._json(f"{module['path']}/config.json")
                names.append(f"{kind}({digest(config)[:8]})")
        return "+".join("+".join(name) if isinstance(name, list) else name for name in names)

    @property
    def normalize(self) -> bool:
        return "Normalize" in self._kinds()

    @cached_property
    def _config(self) -> dict[str, Any]:
        name = self._modules[0]["path"]
        return dict(self._json(f"{name}/config.json" if name else "config.json"))

    @property
    def dimension(self) -> int:
        for kind, module in reversed(list(zip(self._kinds(), self._modules, strict=True))):
            if kind == "Dense":
                return int(self._json(f"{module['path']}/config.json")["out_features"])
        size = int(self._config.get("hidden_size") or self._config.get("dim") or self._config.get("d_model") or 0)
        if size < 1:
            raise CorruptError(
                "config.json does not say the dimension", path=self._transformer, fix="fetch the model again"
            )
        return size

    @property
    def max_tokens(self) -> int:
        """The least of what the folder's files allow."""
        bert = self._json_beside("sentence_bert_config.json")
        tokenizer = self._json_beside("tokenizer_config.json")
        positions = self._config.get("max_position_embeddings")
        if positions and self._config.get("model_type") in ("roberta", "xlm-roberta", "camembert", "mpnet"):
            positions -= 2  # these count positions from pad_token_id + 1
        limits = (bert.get("max_seq_length"), tokenizer.get("model_max_length"), positions)
        return min((int(limit) for limit in limits if limit and limit < 1e6), default=512)

    def _json_beside(self, name: str) -> dict[str, Any]:
        """A file of the transformer's folder."""
        return dict(self._json(str((self._transformer / name).relative_to(self.path))))

    @property
    def tokenizer_file(self) -> Path:
        return self._transformer / "tokenizer.json"

    @property
    def prompts(self) -> tuple[str, str]:
        """The folder's own prompts for a query and for a passage."""
        config = self._json("config_sentence_transformers.json")
        prompts = config.get("prompts") or {}
        default = prompts.get(config.get("default_prompt_name") or "", "")
        query = next((prompts[key] for key in ("query", "search_query") if prompts.get(key)), default)
        names = ("passage", "document", "search_document", "corpus")
        return query, next((prompts[key] for key in names if prompts.get(key)), default)

    @property
    def metric(self) -> str:
        return str(self._json("config_sentence_transformers.json").get("similarity_fn_name") or "cosine")

    @cached_property
    def tokenizer(self) -> str:
        """A digest of vocabulary, merges, normaliser and special tokens; padding and truncation are not decisive."""
        names = ("tokenizer.json", "tokenizer_config.json", "sentence_bert_config.json", *_TOKENIZER_FILES)
        files = [self._transformer / name for name in names]
        return remembered("tokenizer 1", [path for path in files if path.is_file()], self._tokenizer_digest)

    def _tokenizer_digest(self) -> str:
        path = self._transformer / "tokenizer.json"
        if path.is_file():
            value = self._json(str(path.relative_to(self.path)))
            content = {key: part for key, part in value.items() if key not in ("truncation", "padding")}
        else:
            names = [name for name in _TOKENIZER_FILES if (self._transformer / name).is_file()]
            if not names:
                raise MissingError("this model has no tokenizer files", path=self.path, fix="fetch the model again")
            content = {name: hashlib.sha256((self._transformer / name).read_bytes()).hexdigest() for name in names}
        config = self._json_beside("tokenizer_config.json")
        settings = {key: config[key] for key in _TOKENIZER_KEYS if config.get(key) is not None}
        # sentence_bert_config's own switch lower-cases before the tokenizer sees the text.
        return digest({"content": content, "settings": settings, **({"lower": True} if self.lower_case else {})})

    @cached_property
    def settings(self) -> str:
        """A digest of every JSON file that may decide how the model is run (heads, activation, …), the tokenizer's too."""
        paths = sorted(path for path in self.path.rglob("*.json") if path.is_file())

        def compute() -> str:
            return digest(
                {
                    path.relative_to(self.path).as_posix(): hashlib.sha256(path.read_bytes()).hexdigest()
                    for path in paths
                }
            )

        return remembered("settings 1", paths, compute)

    @property
    def lower_case(self) -> bool:
        return bool(self._json_beside("sentence_bert_config.json").get("do_lower_case"))

    @cached_property
    def weights(self) -> str:
        """The digest of every module's weights. Raises MissingError for pickled ones, CorruptError for damaged ones."""
        folders = [self.path / module["path"] for module in self._modules]
        files = [path for number, folder in enumerate(folders) for path in weight_files(folder, needed=number == 0)]
        return remembered("weights 1", files, lambda: weights_digest(folders))

    def bert(self) -> Bert:
        """The transformer, its weights mapped. Raises Unsupported for an architecture that is not run here, MissingError,
        CorruptError.
        """
        if self.lower_case:
            raise Unsupported("it lower-cases texts before its tokenizer sees them")
        shape = read_shape(self._config)
        return assemble(shape, map_tensors(self._transformer))
