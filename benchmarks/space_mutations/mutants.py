"""Models to which one thing was done: folders copied and changed, with stamps that tell of it or that lie."""

from __future__ import annotations

import json
import shutil
from collections.abc import Callable
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np
from safetensors.numpy import load_file, save_file

from core.config import open_encoder
from core.encoders import Encoder
from core.encoders.transformer import TransformerEncoder

OTHER = {"minilm": "multilingual-e5-small-q4", "multilingual-e5-small-q4": "minilm"}


@dataclass(frozen=True)
class Mutation:
    """`cause`: what a right diagnosis may say. `query`: it shows on a query; else only on passages, or long texts."""

    name: str
    cause: tuple[str, ...]
    change: Callable[[Path, str], None] | None = None
    query: bool = True
    harmless: bool = False


def set_json(path: Path, **values: Any) -> None:
    before = json.loads(path.read_text()) if path.is_file() else {}
    path.write_text(json.dumps({**before, **values}))


def revision(folder: Path, model: str) -> None:
    rng = np.random.default_rng(1)
    path = folder / "model.safetensors"
    tensors = {}
    for name, tensor in load_file(path).items():
        noise = rng.standard_normal(tensor.shape, dtype=np.float32) if tensor.dtype.kind == "f" else 0
        tensors[name] = (
            (tensor + noise * np.float32(0.05 * tensor.std())).astype(tensor.dtype)
            if tensor.dtype.kind == "f"
            else tensor
        )
    replaced(path, tensors)


def replaced(path: Path, tensors: dict[str, Any]) -> None:
    path.unlink()
    save_file(tensors, path, metadata={"format": "pt"})


def cls(folder: Path, model: str) -> None:
    path = folder / "1_Pooling" / "config.json"
    value = json.loads(path.read_text())
    modes = {name: False for name in value if name.startswith("pooling_mode_")}
    value = {name: part for name, part in value.items() if name != "pooling_mode"}
    path.write_text(json.dumps({**value, **modes, "pooling_mode_cls_token": True}))


def not_normalised(folder: Path, model: str) -> None:
    path = folder / "modules.json"
    path.write_text(json.dumps([m for m in json.loads(path.read_text()) if not m["type"].endswith("Normalize")]))


def prompts(folder: Path, query: str, passage: str) -> None:
    set_json(
        folder / "config_sentence_transformers.json",
        prompts={"query": query, "passage": passage},
        default_prompt_name=None,
    )


def query_prompt(folder: Path, model: str) -> None:
    """Dropped where there is one, added where there is none."""
    prompts(folder, *(("query: ", "") if model == "minilm" else ("", "passage: ")))


def passage_prompt(folder: Path, model: str) -> None:
    prompts(folder, *(("", "passage: ") if model == "minilm" else ("query: ", "")))


def half_length(folder: Path, model: str) -> None:
    set_json(folder / "sentence_bert_config.json", max_seq_length=128 if model == "minilm" else 256)


def tokenizer(folder: Path, model: str) -> None:
    """minilm, which lower-cases already, gets another vocabulary; the other one lower-cases."""
    path = folder / "tokenizer.json"
    value = json.loads(path.read_text())
    path.unlink()
    if model == "minilm":
        words = sorted(value["model"]["vocab"], key=value["model"]["vocab"].get)
        moved = [*words[:1000], *reversed(words[1000:])]
        value["model"]["vocab"] = {word: number for number, word in enumerate(moved)}
    else:
        before = value.get("normalizer")
        inner = before["normalizers"] if before and before["type"] == "Sequence" else [before] if before else []
        value["normalizer"] = {"type": "Sequence", "normalizers": [{"type": "Lowercase"}, *inner]}
    path.write_text(json.dumps(value, ensure_ascii=False))


def dot(folder: Path, model: str) -> None:
    not_normalised(folder, model)
    set_json(folder / "config_sentence_transformers.json", similarity_fn_name="dot")


def renamed(folder: Path, model: str) -> None:
    """The same tensors under other names, in a file of other bytes."""
    path = folder / "model.safetensors"
    replaced(path, {f"bert.{name.removeprefix('bert.')}": tensor for name, tensor in load_file(path).items()})


MUTATIONS = (
    Mutation("another model of the same dimension", ("model",)),
    Mutation("another revision of the weights", ("revision",), revision),
    Mutation("mean to cls pooling", ("pooling",), cls),
    Mutation("normalisation off", ("normalize",), not_normalised),
    Mutation("query prompt dropped or added", ("query_prompt",), query_prompt),
    Mutation("passage prompt dropped or added", ("passage_prompt",), passage_prompt, query=False),
    Mutation("dimension cut", ("dimension",)),
    Mutation("cosine to dot, not normalised", ("metric",), dot),
    Mutation("tokenizer lower-cases, or another vocabulary", ("tokenizer",), tokenizer),
    Mutation("maximum length halved", ("max_tokens",), half_length, query=False),
    Mutation("renamed, equal vectors", (), renamed, harmless=True),
    Mutation("another runtime and precision", (), harmless=True),
)


def folder_of(model: str) -> Path:
    encoder = open_encoder(model)
    return Path(encoder.folder)  # type: ignore[attr-defined]


def copied(model: str, out: Path) -> Path:
    """The model's folder with its catalogue prompts written into it; weights are linked until somebody changes them."""
    shutil.rmtree(out, ignore_errors=True)
    for path in folder_of(model).rglob("*"):
        target = out / path.relative_to(folder_of(model))
        if path.is_file():
            target.parent.mkdir(parents=True, exist_ok=True)
            if path.stat().st_size > 1 << 20:
                target.symlink_to(path.resolve())
            else:
                shutil.copy(path, target)
                target.chmod(0o644)
    space = open_encoder(model).space
    if space.query_prompt or space.passage_prompt:
        prompts(out, space.query_prompt, space.passage_prompt)
    return out


class Cut:
    """The first half of the dimensions: declared so, or filled up with zeros."""

    def __init__(self, encoder: Encoder, honest: bool):
        self._encoder, self._honest = encoder, honest
        self.space = replace(encoder.space, dimension=encoder.space.dimension // 2) if honest else encoder.space

    def __getattr__(self, name: str) -> Any:
        return getattr(self._encoder, name)

    def embed(self, texts: Any, side: Any) -> Any:
        vectors = self._encoder.embed(texts, side)
        half = vectors.shape[1] // 2
        kept = vectors[:, :half] / np.maximum(np.linalg.norm(vectors[:, :half], axis=1, keepdims=True), 1e-12)
        return kept if self._honest else np.concatenate([kept, np.zeros_like(vectors[:, half:])], axis=1)

    def stream(self, texts: Any, side: Any) -> Any:
        if len(texts):
            yield list(range(len(texts))), self.embed(texts, side)


def lying(encoder: Encoder, claimed: Encoder) -> Encoder:
    """It works as it is, and says that it is `claimed`."""
    if not isinstance(encoder, TransformerEncoder):
        return encoder
    real, said = encoder.space, claimed.space
    _ = encoder._runtime
    stream, fall_back = encoder.stream, encoder.fall_back

    def as_it_is(texts: Any, side: Any) -> Any:
        encoder.space = real
        try:
            found = list(stream(texts, side))
        finally:
            encoder.space = said
        yield from found

    def slower() -> bool:
        encoder.space = real
        try:
            return fall_back()
        finally:
            encoder.space = said

    encoder.stream, encoder.fall_back = as_it_is, slower  # type: ignore[method-assign]
    encoder.space, encoder.metric, encoder.model = said, claimed.metric, claimed.model
    return encoder


def mutant(mutation: Mutation, model: str, work: Path, honest: bool, base: Path) -> Encoder:
    """`base`: the folder of the model that the index was made with."""
    claimed = open_encoder(str(base))
    if mutation.name.startswith("another model"):
        encoder = open_encoder(OTHER[model])
    elif mutation.name.startswith("dimension"):
        return Cut(claimed, honest)  # type: ignore[return-value]
    elif mutation.name.startswith("another runtime"):
        encoder = open_encoder(str(base), "documents")
    else:
        assert mutation.change is not None
        folder = copied(model, work / "mutant")
        mutation.change(folder, model)
        encoder = open_encoder(str(folder))
    return encoder if honest else lying(encoder, claimed)
