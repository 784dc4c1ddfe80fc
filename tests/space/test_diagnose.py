"""What was done to a model is found, whether its stamps tell of it or not."""

from __future__ import annotations

import json
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from numpy.typing import NDArray
from tiny_models import CHARACTERS, WORDS, rewrite, save_model, vocabulary

from core.config import open_encoder
from core.encoders import Encoder
from core.encoders.transformer import TransformerEncoder
from core.space.diagnose import ROUNDINGS, diagnose, equal_share
from core.space.record import SpaceRecord, record_space
from core.space.verify import verify_space

Floats = NDArray[np.float32]


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = save_model(tmp_path_factory.mktemp("tiny") / "model")
    (folder / "config_sentence_transformers.json").write_text(
        json.dumps({"prompts": {"query": "lamp: ", "passage": "river: "}})
    )
    return folder


@pytest.fixture(scope="module")
def record(folder: Path) -> SpaceRecord:
    return record_space(open_encoder(str(folder)))


def copied(folder: Path, out: Path) -> Path:
    for path in folder.rglob("*"):
        if path.is_file():
            target = out / path.relative_to(folder)
            target.parent.mkdir(parents=True, exist_ok=True)
            target.write_bytes(path.read_bytes())
    return out


def set_json(folder: Path, name: str, **values: Any) -> None:
    path = folder / name
    path.write_text(json.dumps({**(json.loads(path.read_text()) if path.is_file() else {}), **values}))


def cls(folder: Path) -> None:
    set_json(folder, "1_Pooling/config.json", pooling_mode_mean_tokens=False, pooling_mode_cls_token=True)


def maximum(folder: Path) -> None:
    set_json(folder, "1_Pooling/config.json", pooling_mode_mean_tokens=False, pooling_mode_max_tokens=True)


def not_normalised(folder: Path) -> None:
    modules = json.loads((folder / "modules.json").read_text())
    (folder / "modules.json").write_text(json.dumps(modules[:2]))


def without_query_prompt(folder: Path) -> None:
    set_json(folder, "config_sentence_transformers.json", prompts={"passage": "river: "})


def prompts_swapped(folder: Path) -> None:
    set_json(folder, "config_sentence_transformers.json", prompts={"query": "river: ", "passage": "lamp: "})


def passage_prompt_added(folder: Path) -> None:
    set_json(folder, "config_sentence_transformers.json", prompts={"query": "lamp: ", "passage": "passage: "})


def shorter(folder: Path) -> None:
    set_json(folder, "sentence_bert_config.json", max_seq_length=32)


def other_vocabulary(folder: Path) -> None:
    """The same words, in another order."""
    value = json.loads((folder / "tokenizer.json").read_text())
    words = vocabulary()
    moved = [*words[:5], *reversed(words[5:])]
    value["model"]["vocab"] = {word: number for number, word in enumerate(moved)}
    (folder / "tokenizer.json").write_text(json.dumps(value))


def noise(folder: Path) -> None:
    rng = np.random.default_rng(1)
    rewrite(folder, lambda name, t: (name, (t + rng.normal(scale=0.03 * t.std(), size=t.shape)).astype(np.float32)))


def other_weights(folder: Path) -> None:
    rng = np.random.default_rng(2)
    rewrite(folder, lambda name, t: (name, (t + rng.normal(scale=t.std() + 0.2, size=t.shape)).astype(np.float32)))


def int8(folder: Path) -> None:
    rewrite(folder, lambda name, t: (name, ROUNDINGS["int8"](name, t)))


CHANGES: dict[Callable[[Path], None], str] = {
    cls: "pooling", maximum: "pooling", not_normalised: "normalize", without_query_prompt: "query_prompt",
    passage_prompt_added: "passage_prompt", shorter: "max_tokens", other_vocabulary: "tokenizer", noise: "revision",
    other_weights: "model",
}  # fmt: skip


def changed(folder: Path, tmp_path: Path, change: Callable[[Path], None]) -> TransformerEncoder:
    copy = copied(folder, tmp_path / "changed")
    change(copy)
    encoder = open_encoder(str(copy))
    assert isinstance(encoder, TransformerEncoder)
    return encoder


def lying(encoder: TransformerEncoder, record: SpaceRecord) -> Encoder:
    """It goes on as it is and says that it is what was recorded."""
    space, real = encoder.space, encoder.embed
    _ = encoder._runtime  # made for its own space

    def embed(texts: Any, side: Any) -> Floats:
        encoder.space = space
        try:
            return real(texts, side)
        finally:
            encoder.space = record.space

    encoder.embed = embed  # type: ignore[method-assign]
    encoder.space = record.space
    return encoder


@pytest.mark.parametrize("stamps", ["honest", "lying"])
@pytest.mark.parametrize("change", CHANGES, ids=lambda change: change.__name__)
def test_the_change_is_named(
    folder: Path, record: SpaceRecord, tmp_path: Path, change: Callable[[Path], None], stamps: str
) -> None:
    encoder: Encoder = changed(folder, tmp_path, change)
    if stamps == "lying":
        encoder = lying(encoder, record)  # type: ignore[arg-type]
    verdict = verify_space(record, encoder)
    assert not verdict.accepted
    assert bool(verdict.differences) == (stamps == "honest")
    found = diagnose(record, encoder)
    assert found.cause == CHANGES[change], found
    assert found.summary
    assert found.fix
    assert json.dumps(found.to_json())


def test_swapped_prompts_are_two_changes(folder: Path, record: SpaceRecord, tmp_path: Path) -> None:
    found = diagnose(record, changed(folder, tmp_path, prompts_swapped))
    assert found.cause == "query_prompt+passage_prompt"
    assert found.evidence["settings"]["query_prompt"] == ["lamp: ", "river: "]


def test_quantised_weights(folder: Path, tmp_path: Path) -> None:
    def coarse(folder: Path) -> None:
        """A large value in every row makes the steps of int8 large."""
        rewrite(folder, lambda name, t: (name, np.where(np.arange(t.shape[-1]) == 3, t * 20, t) if t.ndim == 2 else t))

    plain = changed(folder, tmp_path / "plain", coarse)
    encoder = changed(plain.folder, tmp_path / "int8", int8)  # type: ignore[attr-defined]
    found = diagnose(record_space(plain), encoder)
    assert found.cause == "precision"
    assert "int8 now" in found.summary
    other = diagnose(record_space(encoder), plain)
    assert other.cause == "precision"
    assert "int8" in other.summary


def test_the_fix_names_the_setting_and_its_value(folder: Path, record: SpaceRecord, tmp_path: Path) -> None:
    found = diagnose(record, changed(folder, tmp_path, shorter))
    assert "max_seq_length" in found.fix
    assert "64" in found.fix


def test_another_template(folder: Path, record: SpaceRecord) -> None:
    encoder = open_encoder(str(folder))
    encoder.space = replace(encoder.space, template="{text} ({context})")
    assert not verify_space(record, encoder).accepted
    assert diagnose(record, encoder).cause == "template"


def test_an_index_with_wrong_stamps(folder: Path, tmp_path: Path, record: SpaceRecord) -> None:
    """Made with cls pooling, its record says mean: the vectors tell."""
    made = record_space(changed(folder, tmp_path, cls))
    wrong = replace(made, space=record.space)
    found = diagnose(wrong, open_encoder(str(folder)))
    assert found.cause == "pooling"
    assert "was cls and is mean" in found.summary


# Vectors that something was done to


class Through:
    """An encoder whose vectors go through something."""

    def __init__(self, encoder: Encoder, change: Callable[[Floats], Floats]):
        self._encoder, self._change = encoder, change

    def __getattr__(self, name: str) -> Any:
        return getattr(self._encoder, name)

    def embed(self, texts: list[str], side: Any) -> Floats:
        return self._change(self._encoder.embed(texts, side))


def unit(vectors: Floats) -> Floats:
    return np.asarray(vectors / np.linalg.norm(vectors, axis=1, keepdims=True), dtype=np.float32)


rng = np.random.default_rng(3)
ROTATION = np.linalg.qr(rng.normal(size=(32, 32)))[0].astype(np.float32)
ORDER = rng.permutation(32)
SIGNS = np.sign(rng.normal(size=32)).astype(np.float32)


@pytest.mark.parametrize(
    ("change", "cause", "words"),
    [
        (lambda v: v[:, ORDER], "components", "changed places"),
        (lambda v: v * SIGNS, "components", "changed sign"),
        (lambda v: v @ ROTATION, "rotation", "rotated"),
        (lambda v: v * np.float32(3), "normalize", "normalisation was lost"),
        (lambda v: np.concatenate([v[:, :16], 0 * v[:, 16:]], axis=1), "dimension", "first 16 of 32 dimensions"),
        (lambda v: unit(v[:, :16]), "dimension", "first 16 of 32 dimensions"),
        (lambda v: np.concatenate([v, v], axis=1), "dimension", "first 32 of 64 dimensions"),
        (lambda v: unit(rng.normal(size=(len(v), 64))), "model", "64 dimensions"),
        (lambda v: v * np.float32("nan"), "numbers", "no numbers"),
        (lambda v: unit(rng.normal(size=v.shape)), "model", "another model"),
    ],
    ids=["order", "signs", "rotation", "scaled", "zeros", "cut", "more", "wider", "nan", "noise"],
)  # fmt: skip
def test_finished_vectors(
    folder: Path, record: SpaceRecord, change: Callable[[Floats], Floats], cause: str, words: str
) -> None:
    found = diagnose(record, Through(open_encoder(str(folder)), change))  # type: ignore[arg-type]
    assert (found.cause, words in found.summary) == (cause, True), found


def test_a_metric_that_ranks_otherwise(folder: Path, tmp_path: Path) -> None:
    def dot(folder: Path) -> None:
        not_normalised(folder)
        set_json(folder, "config_sentence_transformers.json", similarity_fn_name="dot")

    plain = record_space(changed(folder, tmp_path / "a", not_normalised))
    encoder = changed(folder, tmp_path / "b", dot)
    verdict = verify_space(plain, encoder)
    assert verdict.agreement.agrees
    assert not verdict.accepted
    assert diagnose(plain, encoder).cause == "metric"


def test_a_metric_that_ranks_alike_is_accepted(folder: Path, record: SpaceRecord, tmp_path: Path) -> None:
    """Of vectors of unit length."""
    encoder = changed(
        folder, tmp_path, lambda copy: set_json(copy, "config_sentence_transformers.json", similarity_fn_name="dot")
    )
    assert encoder.metric == "dot"
    assert verify_space(record, encoder).accepted


def test_the_share_of_equal_tokens() -> None:
    recorded = [np.array([1, 2, 3], dtype=np.int32), np.array([4], dtype=np.int32)]
    assert equal_share(recorded, [[1, 2, 3], [4]]) == 1
    assert equal_share(recorded, [[1, 9, 3, 4], [4]]) == 0.6
    assert equal_share([], []) == 1


def test_the_vocabulary_of_the_tiny_model_knows_both_languages() -> None:
    """Else all canaries would be unknown words, and nothing above would show."""
    assert set(WORDS) | set(CHARACTERS) <= set(vocabulary())
