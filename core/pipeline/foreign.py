"""Foreign vectors and the models of this machine: did this one make them, or which one did?"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
from numpy.typing import NDArray

from core.config import available, catalogue, find_model, open_encoder
from core.encoders import Encoder
from core.errors import AnswerIsNo, BackendError, SamespaceError, SpaceMismatchError
from core.foreign import Foreign
from core.foreign.verify import SAMPLE, SEED, ForeignVerdict, Way, check_dimension, verify_vectors
from core.types import Side

ASKED = 16  # rows that every model is asked about when one is looked for
_JOINTS = (" ", "\n", ". ")  # between title and text


@dataclass(frozen=True, slots=True)
class Identification:
    """`ranking`: what every model said, the nearest first; `ruled_out`: why others were not asked, by name. `verdict`: of the
    model that made the vectors, on the whole sample; None when it was none of them.
    """

    ranking: tuple[ForeignVerdict, ...]
    ruled_out: dict[str, str]
    verdict: ForeignVerdict | None

    def to_json(self) -> dict[str, Any]:
        return {
            "identified": self.verdict.model if self.verdict else None,
            "ranking": [one.to_json() for one in self.ranking],
            "ruled_out": self.ruled_out,
        }


def verify_foreign(foreign: Foreign, model: str, *, sample: int = SAMPLE, seed: int = SEED) -> ForeignVerdict:
    """The verdict on `model`; another runtime is asked where the first comes near and does not agree.

    Raises SpaceMismatchError for another dimension, and what open_encoder does.
    """
    encoder = open_encoder(model, "documents")
    check_dimension(foreign, encoder.model.name, encoder.space.dimension)
    bare = _without_prompts(encoder)
    ways = _ways(encoder, bare, foreign.titles is not None)
    while True:
        try:
            verdict = verify_vectors(foreign, ways, encoder.model.name, encoder.runtime_name, sample=sample, seed=seed)
            if not verdict.nearly:
                return verdict
        except BackendError:
            if not encoder.fall_back():
                raise
            bare.fall_back()
            continue
        if not encoder.fall_back():
            return verdict
        if bare is not encoder:
            bare.fall_back()


def mismatch(foreign: Foreign, verdict: ForeignVerdict) -> SpaceMismatchError:
    fix = f"embed the texts again with {verdict.model}, or ask every model of this machine: --identify"
    if verdict.elsewhere:
        fix = "put the texts into the order of the vectors, or give both the same ids"
    elif any("pickle" in note for note in foreign.notes):
        fix += "; the pairing of ids was deduced, so export vectors and ids with the store's own package to be sure"
    return SpaceMismatchError(verdict.summary, path=foreign.path, fix=fix, details=verdict.to_json())


def identify(foreign: Foreign, others: Sequence[str] = (), *, sample: int = SAMPLE, seed: int = SEED) -> Identification:
    """Ask every model of the catalogue that is on this machine, and `others` (any model's name), about a few rows; the best
    is then held against the whole sample if most of the few agree.
    """
    verdicts, ruled_out = [], {}
    for name in dict.fromkeys([*others, *catalogue()]):
        try:
            if name not in others and (why := _why_not(foreign, name)):
                ruled_out[name] = why
                continue
            verdicts.append(verify_foreign(foreign, name, sample=min(ASKED, sample), seed=seed))
        except SpaceMismatchError:
            ruled_out[name] = "other dimension"
        except SamespaceError as error:  # a model that is damaged here says nothing of the others
            ruled_out[name] = error.message
    verdicts.sort(key=lambda one: (-one.agreeing, -one.mean_cosine))
    best = verdicts[0] if verdicts else None
    if best is None or not (2 * best.agreeing > best.sampled or best.elsewhere):
        return Identification(tuple(verdicts), ruled_out, None)
    whole = best if sample <= ASKED else verify_foreign(foreign, best.model, sample=sample, seed=seed)
    return Identification(tuple(verdicts), ruled_out, whole)


def none_of_them(foreign: Foreign, found: Identification) -> AnswerIsNo:
    """What to raise when no model was identified."""
    absent = [name for name, why in found.ruled_out.items() if why != "other dimension"]
    asked = ", ".join(one.model for one in found.ranking) or "none has their dimension"
    return AnswerIsNo(
        f"none of the models of this machine made these vectors (asked: {asked})",
        path=foreign.path,
        fix=f"others of this dimension are not here: {', '.join(absent)}; fetch one with samespace models prepare NAME"
        if absent
        else "name another model: --model owner/name or FOLDER",
        details=found.to_json(),
    )


def _why_not(foreign: Foreign, name: str) -> str:
    """Why a model of the catalogue is not asked; nothing when it is."""
    dimension = catalogue()[name].get("dimension")
    if dimension is not None and dimension != foreign.vectors.shape[1]:
        return "other dimension"
    here = available(find_model(name))
    return "" if here in ("yes", "first use") else f"not here: {here}"


def _without_prompts(encoder: Encoder) -> Encoder:
    """The same model with no prompts, however it was trained; itself when one of its sides has none."""
    if not encoder.space.passage_prompt or not encoder.space.query_prompt:
        return encoder
    return open_encoder(replace(encoder.model, options={"prompts": {"query": "", "passage": ""}}), "documents")


def _ways(encoder: Encoder, bare: Encoder, titled: bool) -> list[Way]:
    """One way for each prompt and, where there are titles, each form of text."""
    sides: tuple[tuple[Encoder, Side], ...] = ((encoder, "passage"), (encoder, "query"), (bare, "passage"))
    prompts: dict[str, tuple[Encoder, Side]] = {}
    for asked, side in sides:
        prompt = asked.space.passage_prompt if side == "passage" else asked.space.query_prompt
        prompts.setdefault(prompt, (asked, side))

    def way(prompt: str, joint: str | None) -> Way:
        asked, side = prompts[prompt]

        def embed(texts: Sequence[str]) -> NDArray[np.float32]:
            return asked.embed(texts, side)

        return Way(prompt, embed, joint)

    joints = (None, *_JOINTS) if titled else (None,)
    return [way(prompt, joint) for prompt in prompts for joint in joints]
