"""models: what one model is, made ready ahead of its first use."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from core.config import BILINGUAL, available, catalogue, find_model, open_encoder, refusal
from core.encoders import REMOTE, Encoder, Model
from core.errors import SamespaceError

_FIXES = {
    "download": "it is downloaded on first use, or now: samespace models prepare {name}",
    "first use": "it is unpacked on first use, or now: samespace models prepare {name}",
}


@dataclass(frozen=True, slots=True)
class Description:
    """One model. `entry` is the catalogue's, empty for others; `here` is what `available` says; `encoder` is None where the
    model is not on this machine or refused, and `missing` and `fix` say why.
    """

    model: Model
    entry: Mapping[str, Any]
    here: str
    encoder: Encoder | None
    missing: str = ""
    fix: str = ""

    def to_json(self) -> dict[str, Any]:
        encoder = self.encoder
        return {
            "model": encoder.model.to_json() if encoder else self.model.to_json(),
            "catalogue": dict(self.entry),
            "here": self.here,
            "missing": self.missing,
            "fix": self.fix,
            "space": encoder.space.id if encoder else None,
            "identity": encoder.space.to_json() if encoder else None,
            "metric": encoder.metric if encoder else None,
        }


def describe(name: str) -> Description:
    """What is known of a model without fetching or converting anything.

    Raises UsageError for a name that can be no model's, and for one that is not in the catalogue what open_encoder does.
    """
    model = find_model(name)
    entry, here = catalogue().get(model.name, {}), available(model)
    if refused := refusal(model):
        return Description(model, entry, here, None, refused.message, refused.fix)
    if here != "yes" and model.provider not in REMOTE:
        fix = _FIXES.get(here, here).format(name=model.name)
        return Description(model, entry, here, None, "the model is not on this machine yet", fix)
    try:
        return Description(model, entry, here, open_encoder(model))
    except SamespaceError as error:
        if not entry:
            raise
        return Description(model, entry, here, None, error.message, error.fix)


@dataclass(frozen=True, slots=True)
class Prepared:
    """`folder` is None for a model without files; `runtimes` embed queries and documents from now on."""

    model: Model
    folder: Path | None
    space: str
    dimension: int
    runtimes: Mapping[str, str]


def prepare(name: str | None = None) -> Prepared:
    """Do ahead what a first use would do: find, download or convert the model, embed the canaries by the reference, start
    both runtimes and let them prove themselves. Done already, it changes nothing. None is the bilingual preset.

    Raises what open_encoder and core.space.verify.prove do.
    """
    from core.space.verify import prove

    documents = open_encoder(name or BILINGUAL, "documents")
    queries = open_encoder(documents.model)
    for encoder in (documents, queries):
        prove(encoder)
    runtimes = {"queries": queries.runtime_name, "documents": documents.runtime_name}
    folder = getattr(documents, "folder", None)
    return Prepared(documents.model, folder, documents.space.id, documents.space.dimension, runtimes)
