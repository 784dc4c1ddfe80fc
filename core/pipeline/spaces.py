"""The space of an index, from where it lies: its record, published or staged by a first run, and the encoder it carries."""

from __future__ import annotations

from dataclasses import replace

from core.config import at_server, catalogue, open_encoder
from core.encoders import REMOTE, Encoder, Model, Work
from core.errors import CorruptError
from core.index.columns import Table
from core.index.generation import Generation
from core.index.reader import Index
from core.index.staging import Staging
from core.index.state import State
from core.space.evidence import Attestation, Tolerances, find_evidence, read_attestation, read_tolerances
from core.space.record import SpaceRecord, read_record


def space_files(space: str) -> tuple[str, str]:
    return f"spaces/{space}/space.json", f"spaces/{space}/canaries"


def carried_size(generation: Generation) -> int:
    """The bytes of the encoder that the generation carries; 0 when it carries none."""
    name = generation.primary.find_encoder(generation.files)
    return generation.files[name].size if name else 0


def carried_is_whole(index: Index) -> bool:
    """Whether the encoder that the index carries is there and undamaged."""
    name = index.view.find_encoder(index.generation.files)
    try:
        return name is not None and index.verified(name).is_file()
    except CorruptError:
        return False


def index_encoder(index: Index | None, model: Model, work: Work) -> Encoder:
    """The encoder that the index carries, else the one of `model`, which it was made with. Raises what open_encoder does."""
    name = index.view.find_encoder(index.generation.files) if index else None
    if index is None or name is None:
        return open_encoder(model, work)
    from core.encoders.carried import CarriedEncoder

    record = read_space(index)
    return CarriedEncoder(index.table(name), record.model, record.space, record.metric, work)


def asked_encoder(
    index: Index | None, own: Model, model: str | Model | None, base_url: str | None, work: Work
) -> Encoder:
    """The encoder of the `model` that was named, else the index's `own`; where a server is named, the same model behind it.

    Where the one named is the index's own, behind a server, what the index knows of it need not be asked again. Raises what
    open_encoder does.
    """
    if isinstance(model, str) and own.provider in REMOTE and model not in catalogue():
        # another name for what the index's own server has
        model = own if model == own.name else Model(model, own.provider, options={"base_url": own.options["base_url"]})
    if isinstance(model, Model) and not is_another(own, model):
        base_url, model = base_url or model.options.get("base_url"), None
    if model is None and base_url is None:
        return index_encoder(index, own, work)
    chosen = own if model is None else model
    return open_encoder(chosen if base_url is None else at_server(chosen, base_url), work)


def is_another(own: Model, model: str | Model) -> bool:
    """Whether a name, or a model behind a server, is not that of `own`. Which space it makes is another question."""
    if isinstance(model, str):
        return model != own.name
    asked = [(one.name, one.provider, one.options.get("dimensions")) for one in (own, model)]
    return asked[0] != asked[1]


def read_space(index: Index) -> SpaceRecord:
    """The space of the primary view, with what was learnt of it later. Raises CorruptError."""
    name, canaries = space_files(index.view.space)
    path = index.verified(name)
    record = read_record(path.read_bytes(), index.table(canaries), str(path))
    if found := attestations(index):
        record = replace(record, model=found[-1].model, equal_spaces=frozenset(one.space for one in found))
    if (measured := tolerances(index)) is not None:
        record = replace(record, tolerances={one.runtime: one.tolerance for one in measured.runtimes})
    return record


def attestations(index: Index) -> list[Attestation]:
    """Which models' vectors were found to be equal to the index's, the oldest first. Raises CorruptError."""
    paths = [index.verified(name) for name in _evidence(index, "attestations")]
    return [read_attestation(path.read_bytes(), str(path)) for path in paths]


def tolerances(index: Index) -> Tolerances | None:
    """The newest measurement, if there is one. Raises CorruptError."""
    paths = [index.verified(name) for name in _evidence(index, "tolerances")[-1:]]
    return read_tolerances(paths[0].read_bytes(), str(paths[0])) if paths else None


def _evidence(index: Index, kind: str) -> list[str]:
    return find_evidence(index.view.space, kind, index.generation.files)


def staged_space(staging: Staging, state: State) -> SpaceRecord | None:
    """The space of an index that has published nothing yet, or None before its first `embed` or when damaged. Raises CorruptError."""
    if not staging.has(state, "space.json") or not staging.has(state, "canaries"):
        return None
    path, canaries = staging.path("space.json"), staging.path("canaries")
    return read_record(path.read_bytes(), Table(canaries), str(path))
