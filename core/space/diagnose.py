"""What became of a space? Hypotheses are tried on the canaries, and what gives the vectors that were there is the cause.

A hypothesis is tried in both directions: something done to today's model gives the recorded vectors, or something done to
the model as it is on record gives today's. Whether the stamps tell of the change or not does not matter: only vectors are
compared. The simplest hypothesis that holds is the diagnosis; where none does, likeness decides between another revision
of the model and another model.
"""

from __future__ import annotations

import math
import time
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
from numpy.typing import NDArray

from core.encoders import Encoder
from core.encoders.altered import Altered, Reworded, alter
from core.space.canaries import SHORT, SIDES, Agreement, Canaries, compare
from core.space.identity import Space
from core.space.record import SpaceRecord
from core.space.transformed import transformations
from core.types import Side

Floats = NDArray[np.float32]
Vectors = Mapping[Side, Floats]
POOLINGS = ("mean", "cls", "max", "weightedmean", "mean_sqrt_len_tokens", "lasttoken")
_SETTINGS = ("pooling", "normalize", "query_prompt", "passage_prompt", "max_tokens", "template")
_RELATED = 0.5  # mean cosine, less that of unrelated texts, from which two models are taken for revisions of one
_PROMPTS = (  # that widely used models are trained with
    "query: ",
    "passage: ",
    "search_query: ",
    "search_document: ",
    "Represent this sentence for searching relevant passages: ",
    "为这个句子生成表示以用于检索相关文章：",
)
_IN_WORDS = {
    "pooling": "the pooling",
    "normalize": "the normalisation",
    "query_prompt": "the query prompt",
    "passage_prompt": "the passage prompt",
    "max_tokens": "the maximum length",
    "template": "the text template",
}
_WHERE = {
    "pooling": "pooling_mode in the model's pooling config.json",
    "normalize": "the Normalize module in the model's modules.json",
    "query_prompt": "prompts in the model's config_sentence_transformers.json",
    "passage_prompt": "prompts in the model's config_sentence_transformers.json",
    "max_tokens": "max_seq_length in the model's sentence_bert_config.json",
    "template": "the text template",
}


@dataclass(frozen=True, slots=True)
class Diagnosis:
    """`cause`: one word for it (a field of the space, or `components`, `rotation`, `precision`, `revision`, `model`,
    `runtime`); `summary` says what happened, `fix` what undoes it. `evidence` are the figures, `tried` what was compared.
    """

    cause: str
    summary: str
    fix: str
    evidence: Mapping[str, Any]
    tried: tuple[tuple[str, float], ...] = ()

    def to_json(self) -> dict[str, Any]:
        tried = [{"hypothesis": name, "worst_distance": distance} for name, distance in self.tried]
        return {
            "cause": self.cause,
            "summary": self.summary,
            "fix": self.fix,
            "evidence": dict(self.evidence),
            "tried": tried,
        }


def diagnose(record: SpaceRecord, encoder: Encoder, seconds: float = math.inf) -> Diagnosis:
    """The best explanation of why `encoder` does not give the vectors on record. Embeds every canary on both sides, more
    than once; after so many `seconds` no further setting is tried. Raises what `encoder.embed` does.
    """
    return _Trial(record, encoder, seconds).diagnosis()


class _Trial:
    def __init__(self, record: SpaceRecord, encoder: Encoder, seconds: float):
        self.end = time.monotonic() + seconds
        self.record, self.encoder = record, encoder
        self.canaries: Canaries = record.canaries
        self.stored: Vectors = {side: self.canaries.vectors(side) for side in SIDES}
        self.now: Vectors = {side: encoder.embed(self.canaries.inputs(encoder.space, side), side) for side in SIDES}
        self.tried: list[tuple[str, float]] = []

    def diagnosis(self) -> Diagnosis:
        for way in (self._metric, self._settings, self._vectors, self._tokens, self._precision):
            for found in way():
                return replace(found, tried=tuple(self.tried))
        return replace(self._likeness(), tried=tuple(self.tried))

    # comparing

    def _agreement(self, wanted: Vectors, found: Vectors) -> Agreement:
        return compare(wanted, found, self.record.tolerance)

    def _holds(self, name: str, wanted: Vectors, model: Altered | Reworded | None, space: Space) -> bool:
        """Whether `model` gives the `wanted` vectors: on the first canary, on the short ones, then on all."""
        if model is None:
            return False
        for count in (1, len(SHORT), len(self.canaries.texts)):
            found = {side: model.embed(self.canaries.inputs(space, side)[:count], side) for side in SIDES}
            agreement = self._agreement({side: wanted[side][:count] for side in SIDES}, found)
            if not agreement.agrees:
                break
        self.tried.append((name, agreement.worst_distance))
        return agreement.agrees

    # the ways

    def _metric(self) -> Iterator[Diagnosis]:
        mine, theirs = self.record.metric, self.encoder.metric
        if mine != theirs and self._agreement(self.stored, self.now).agrees:
            yield Diagnosis(
                "metric",
                f"the vectors are equal, but the model now compares them by {theirs} and the index by {mine}: of vectors "
                "that are not of unit length these are other rankings",
                f"put similarity_fn_name back to {mine} in the model's config_sentence_transformers.json, or build another index",
                {"index": mine, "model": theirs},
            )

    def _settings(self) -> Iterator[Diagnosis]:
        """One setting, or those that the identities tell of."""
        recorded, here = self.record.space, self.encoder.space
        as_recorded = _with_settings(here, recorded)
        told = [name for name in _SETTINGS if getattr(recorded, name) != getattr(here, name)]
        gives = self._holds("the settings on record", self.stored, alter(self.encoder, as_recorded), as_recorded)
        if gives and told:
            changes = {name: (getattr(recorded, name), getattr(here, name)) for name in told}
            yield _of_settings(changes, self._figures())
            return
        for name, space in _single_changes(as_recorded, here):
            before, after = getattr(as_recorded, name), getattr(space, name)
            if time.monotonic() > self.end:
                self.tried.append(("no more settings: time was up", 2.0))
                break
            if gives and self._holds(f"{name} {after!r} now", self.now, alter(self.encoder, space), space):
                yield _of_settings({name: (before, after)}, self._figures())
                return
            if not gives and self._holds(f"{name} {after!r} then", self.stored, alter(self.encoder, space), space):
                yield _of_settings({name: (after, getattr(here, name))}, self._figures())
                return
        if gives:
            yield Diagnosis(
                "runtime",
                "these weights, run anew with the settings on record, give the index's vectors; what runs the model does not",
                "update or reinstall what runs it (samespace info names the versions that the index was made with)",
                self._figures(),
            )

    def _vectors(self) -> Iterator[Diagnosis]:
        """Something done to the finished vectors."""
        for found in transformations(self.stored, self.now, self.record.tolerance):
            self.tried.append((found.name, found.worst_distance))
            if found.holds:
                yield Diagnosis(found.cause, found.summary, found.fix, {**self._figures(), **found.evidence})

    def _tokens(self) -> Iterator[Diagnosis]:
        """The same weights, given the tokens on record, give the vectors on record."""
        recorded = self.canaries.tokens
        ids = {side: self.encoder.token_ids(self.canaries.inputs(self.encoder.space, side), side) for side in recorded}
        if not recorded or not all(ids.values()):
            return
        share = equal_share([one for side in ids for one in recorded[side]], [one for side in ids for one in ids[side]])
        if share == 1:
            return
        model = alter(self.encoder, _with_settings(self.encoder.space, self.record.space))
        found = {side: model.embed_ids(recorded[side]) for side in recorded} if isinstance(model, Altered) else {}
        given = {side: vectors for side, vectors in found.items() if vectors is not None}
        if len(given) == len(recorded) and given:
            agreement = self._agreement({side: self.stored[side] for side in given}, given)
            self.tried.append(("the tokens on record", agreement.worst_distance))
            if agreement.agrees:
                spelling = self._spelling(model)
                yield Diagnosis(
                    "tokenizer",
                    f"the weights are the same, but the tokenizer is another: {share:.0%} of the canaries' tokens are equal, "
                    f"and given the tokens on record the model gives the index's vectors{spelling}",
                    "put the tokenizer back that the index was made with; samespace tokens shows how a model cuts a text",
                    {**self._figures(), "equal_tokens": round(share, 4)},
                )

    def _spelling(self, model: Altered | Reworded | None) -> str:
        space = _with_settings(self.encoder.space, self.record.space)
        lower = alter(self.encoder, space, text=str.lower)
        if lower is not None and model is not None and self._holds("lower case now", self.now, lower, space):
            texts = [text for text in self.canaries.texts if text != text.lower()]
            tokens = [self.encoder.token_ids([form], "query") for text in texts for form in (text, text.lower())]
            if tokens[::2] == tokens[1::2]:
                return "; it lower-cases now"
        return ""

    def _precision(self) -> Iterator[Diagnosis]:
        """The same weights, rounded: those of the index's model, or today's."""
        plain = self._agreement(self.stored, self.now)
        if plain.mean_cosine < 0.9 or time.monotonic() > self.end:
            return
        space = _with_settings(self.encoder.space, self.record.space)
        for name, rounding in ROUNDINGS.items():
            model = alter(self.encoder, space, weights=rounding)
            if not isinstance(model, Altered):
                return
            found = {side: model.embed(self.canaries.inputs(space, side), side) for side in SIDES}
            agreement = self._agreement(self.stored, found)
            self.tried.append((f"weights in {name} then", agreement.worst_distance))
            if agreement.agrees or agreement.worst_distance < plain.worst_distance / 2:
                yield _of_precision(f"the index's vectors were made with the weights in {name}", self._figures())
            elif model.is_like_original() and plain.mean_cosine > 0.97:
                yield _of_precision(f"the model's weights are in {name} now", self._figures())

    def _likeness(self) -> Diagnosis:
        figures = self._figures()
        if self.stored["query"].shape != self.now["query"].shape:
            mine, theirs = self.stored["query"].shape[1], self.now["query"].shape[1]
            summary = f"another model: its vectors have {theirs} dimensions, the index's {mine}"
            return Diagnosis("model", summary, _OTHER, figures)
        if figures["likeness"] >= _RELATED:
            return Diagnosis(
                "revision",
                "another revision of the same model, or one trained further: the canaries lie near the ones on record "
                f"(mean cosine {figures['mean_cosine']:.3f}, unrelated texts {figures['unrelated']:.3f}), but not where they lay",
                "use the revision that the index was made with (samespace info names it), or build another index",
                figures,
            )
        return Diagnosis(
            "model",
            f"another model: the canaries lie nowhere near the ones on record (mean cosine {figures['mean_cosine']:.3f}, "
            f"{figures['negative']:.0%} of the cosines negative; chance gives a half in many dimensions)",
            _OTHER,
            figures,
        )

    def _figures(self) -> dict[str, Any]:
        """Mean cosine to the vectors on record, of unrelated texts among themselves, and what is left between the two."""
        stored, now = (np.concatenate([vectors[side] for side in SIDES]) for vectors in (self.stored, self.now))
        if stored.shape != now.shape:
            return {"index_dimension": stored.shape[1], "model_dimension": now.shape[1]}
        a, b = (each / np.maximum(np.linalg.norm(each, axis=1, keepdims=True), 1e-30) for each in (stored, now))
        cosine = (a * b).sum(axis=1)
        texts = len(self.canaries.texts)
        apart = ~(
            np.eye(2 * texts, dtype=bool)
            | np.eye(2 * texts, k=texts, dtype=bool)
            | np.eye(2 * texts, k=-texts, dtype=bool)
        )
        unrelated = float((a @ a.T)[apart].mean())
        return {
            "mean_cosine": round(float(cosine.mean()), 6),
            "worst_distance": float((1 - cosine).max()),
            "unrelated": round(unrelated, 4),
            "likeness": round((float(cosine.mean()) - unrelated) / max(1e-6, 1 - unrelated), 4),
            "negative": round(float((cosine < 0).mean()), 4),
        }


_OTHER = "use the model that the index was made with (samespace info names it), or build another index with this one"


def _of_settings(changes: Mapping[str, tuple[Any, Any]], figures: Mapping[str, Any]) -> Diagnosis:
    what = "; ".join(_change(name, *pair) for name, pair in changes.items())
    fix = "; ".join(f"{_WHERE[name]} should say {pair[0]!r}" for name, pair in changes.items())
    return Diagnosis(
        "+".join(changes),
        f"{what}; with the former the model gives the index's vectors",
        f"{fix}; or build another index with the model as it is",
        {**figures, "settings": {name: list(pair) for name, pair in changes.items()}},
    )


def _change(name: str, before: Any, after: Any) -> str:
    word = _IN_WORDS[name]
    if name == "normalize":
        return f"{word} was {'lost' if before else 'added'}"
    if name.endswith("_prompt"):
        if not after:
            return f"{word} {before!r} was dropped"
        return f"{word} {after!r} was added" if not before else f"{word} was {before!r} and is {after!r}"
    return f"{word} was {before} and is {after}"


def _of_precision(what: str, figures: Mapping[str, Any]) -> Diagnosis:
    fix = "use the weights in the precision that the index was made with, or build another index with these"
    return Diagnosis("precision", f"the same model in another precision: {what}", fix, figures)


def _with_settings(here: Space, recorded: Space) -> Space:
    """The model that is here, with the settings on record."""
    return replace(here, **{name: getattr(recorded, name) for name in _SETTINGS})


def _single_changes(space: Space, here: Space) -> Iterator[tuple[str, Space]]:
    """`space` with one setting changed: name, and the space."""
    for pooling in POOLINGS:
        yield "pooling", replace(space, pooling=pooling)
    yield "normalize", replace(space, normalize=not space.normalize)
    for name, other in (("query_prompt", "passage_prompt"), ("passage_prompt", "query_prompt")):
        for prompt in ("", getattr(space, other), getattr(here, name), *_PROMPTS):
            changes: dict[str, Any] = {name: prompt}
            yield name, replace(space, **changes)
    halves = (space.max_tokens // 2, space.max_tokens // 4, space.max_tokens * 2)
    for limit in dict.fromkeys((*halves, 64, 128, 256, 384, 512)):
        yield "max_tokens", replace(space, max_tokens=max(1, limit))


def equal_share(recorded: list[NDArray[np.int32]], ids: list[list[int]]) -> float:
    """The share of tokens that are the same at the same place, over the longer of each pair."""
    places = sum(max(len(a), len(b)) for a, b in zip(recorded, ids, strict=True))
    equal = sum(sum(x == y for x, y in zip(a.tolist(), b, strict=False)) for a, b in zip(recorded, ids, strict=True))
    return equal / places if places else 1.0


def _to_bfloat16(tensor: Floats) -> Floats:
    bits = np.ascontiguousarray(tensor, dtype="<f4").view("<u4")
    rounded: Floats = (((bits + np.uint32(0x8000)) >> np.uint32(16)) << np.uint32(16)).view("<f4")
    return rounded


def _to_int8(tensor: Floats) -> Floats:
    """Symmetric, a scale for each row."""
    scale = np.maximum(abs(tensor).max(axis=1, keepdims=True) / 127, 1e-30)
    rounded: Floats = (np.round(tensor / scale) * scale).astype(np.float32)
    return rounded


def _of_layers(rounding: Callable[[Floats], Floats]) -> Callable[[str, Floats], Floats]:
    """The matrices of the layers are rounded: what dynamic quantisation and mixed precision do."""
    return lambda name, tensor: rounding(tensor) if tensor.ndim == 2 and name.startswith("encoder.") else tensor


ROUNDINGS: Mapping[str, Callable[[str, Floats], Floats]] = {
    "int8": _of_layers(_to_int8),
    "bfloat16": _of_layers(_to_bfloat16),
}
