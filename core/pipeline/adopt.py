"""adopt: a model under another name, from another server or file, whose vectors are equal, is accepted for good."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

from core.encoders import Model
from core.errors import SpaceMismatchError, shell
from core.index.generation import Generation
from core.index.reader import open_index
from core.index.writer import now
from core.pipeline.compare import Comparison, compare_sample
from core.pipeline.evidence import publish_evidence
from core.pipeline.spaces import asked_encoder, read_space
from core.progress import SILENT, Progress
from core.space.evidence import Attestation
from core.space.verify import Verdict, guard
from core.version import VERSION

SAMPLE = 300  # chunks: all equal, they leave less than 1 % for a mixed share, at 95 %


@dataclass(frozen=True, slots=True)
class Adopted:
    """`generation` names the attestation; it is the one of before when the model was the index's already."""

    published: bool
    generation: Generation
    verdict: Verdict
    sample: Comparison
    attestation: Attestation


def adopt(
    root: Path,
    model: str | Model | None = None,
    base_url: str | None = None,
    *,
    sample: int = SAMPLE,
    seed: int = 0,
    wait: float = 0.0,
    progress: Progress = SILENT,
) -> Adopted:
    """Accept `model` (None: the index's own, behind the server `base_url`) in the place of the index's: all its canaries must
    agree, and a stratified sample of the stored chunks, embedded by it. What attests to that is published with a new
    generation, whose model it is from then on. Nothing is embedded anew.

    Raises SpaceMismatchError, and what opening the model and publishing raise.
    """
    index = open_index(root)
    record = read_space(index)
    encoder = asked_encoder(index, record.model, model, base_url, "documents")
    verdict = guard(record, encoder, path=str(root))
    found = compare_sample(index, record, encoder, max(sample, SAMPLE), seed, progress)  # fewer would prove little
    if found.foreign:
        raise SpaceMismatchError(
            f"the canaries agree, but of {found.compared} sampled chunks {len(found.foreign)} do not lie where "
            f"{encoder.model.name!r} puts them, the first in {found.foreign[0].document}: it is not adopted",
            path=root,
            fix=f"samespace verify-space {shell(root)} --all says which rows are not of the index's own space",
            details={"rows": found.to_json()},
        )
    attestation = Attestation(
        now(),
        VERSION,
        encoder.model,
        encoder.space.id,
        verdict.runtime,
        verdict.agreement.texts,
        found.compared,
        verdict.agreement.worst_distance,
        verdict.agreement.tolerance,
    )
    is_known = encoder.space.id == record.space.id or encoder.space.id in record.equal_spaces
    if is_known and record.model == encoder.model:
        return Adopted(False, index.generation, verdict, found, attestation)
    generation = publish_evidence(
        root,
        index.generation,
        "attestations",
        attestation.to_bytes(),
        model=encoder.model.to_json(),
        wait=wait,
        progress=progress,
    )
    return Adopted(True, generation, verdict, found, attestation)
