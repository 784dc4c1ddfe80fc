"""info: what an index says of itself, without loading a model or a vector."""

from __future__ import annotations

from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from core.errors import CorruptError, NoIndexError, shell
from core.index import fs
from core.index.generation import FORMAT, Generation, check_magic, generation_name, read_current
from core.index.state import State, read_state
from core.language import not_known, shares
from core.space.identity import check_record

# An ingest that was cut off has not seen all documents, by which the model is chosen.
_NOT_CHOSEN: dict[str, Any] = {"name": "not chosen yet", "provider": "auto", "revision": None, "languages": []}


@dataclass(frozen=True, slots=True)
class Info:
    """`generation` is None when nothing is published; `space` is the identity; sizes in bytes."""

    root: Path
    generation: Generation | None
    staged: State | None
    space: dict[str, Any]
    size: int

    @property
    def languages(self) -> dict[str, float]:
        """Shares of the live documents; {} where the generation does not say."""
        return shares(self.generation.languages.get("thousandths", {})) if self.generation else {}

    @property
    def warnings(self) -> list[str]:
        """That the documents have drifted into languages which the model does not know."""
        model = self.space["model"]
        strange = not_known(self.languages, model["name"], model.get("languages", ()))
        others = f"`samespace models recommend {shell(self.root)}` says which others do"
        return [f"of the documents, {strange}; {others}"] if strange else []

    def to_json(self) -> dict[str, Any]:
        g, s = self.generation, self.staged
        return {
            "path": str(self.root),
            "format": FORMAT,
            "generation": g.generation if g else None,
            "created": g.created if g else None,
            "tool": g.tool if g else None,
            "documents": g.documents if g else 0,
            "chunks": sum(segment.chunks for segment in g.segments) if g else 0,
            "segments": len(g.segments) if g else 0,
            "dead_documents": sum(map(len, g.dead.values())) if g else 0,
            "size": self.size,
            "sources": [asdict(source) for source in (g or s).sources] if g or s else [],  # type: ignore[union-attr]
            "settings": dict(g.settings) if g else dict(s.settings) if s else {},
            "views": [asdict(view) for view in g.views] if g else [],
            "space": self.space,
            "languages": self.languages,
            "warnings": self.warnings,
            "self_contained": g is not None and g.primary.find_encoder(g.files) is not None,
            "staged": {"documents": s.documents, "dead": sum(map(len, s.dead.values()))} if s else None,
        }


def info(root: Path) -> Info:
    """What the index at `root` says of itself. Raises NoIndexError, CorruptError, FormatError."""
    import json

    check_magic(root)
    number = read_current(root)
    staged = read_state(root)
    if not number:
        if staged is None:
            raise NoIndexError(
                "this index is empty: nothing is published or staged",
                path=root,
                fix=f"samespace build FOLDER --to {shell(root)}",
            )
        model = dict(staged.model) or _NOT_CHOSEN
        return Info(root, None, staged, {"identity": dict(staged.space), "model": model}, 0)
    path = root / generation_name(number)
    generation = Generation.from_bytes(path.read_bytes(), path)
    name = f"spaces/{generation.primary.space}/space.json"
    path = root / name
    try:
        if fs.digest(path) != generation.files.get(name):
            raise ValueError("sha256 differs")
        value = json.loads(path.read_bytes())
        check_record(value)
        space = {name: value[name] for name in ("id", "identity", "metric", "storage", "model", "runtime", "tolerance")}
        space["canaries"] = len(value["canaries"])
        space |= {kind: _evidence(root, generation, kind) for kind in ("tolerances", "attestations")}
        if space["attestations"]:  # the last model that was adopted is the index's own
            space["model"] = dict(generation.model)
    except (OSError, ValueError, AttributeError, KeyError, TypeError, OverflowError, RecursionError) as error:
        raise CorruptError(
            "the record of the space is missing or damaged",
            path=path,
            fix=f"samespace check {shell(root)} lists all damage",
        ) from error
    return Info(root, generation, staged, space, sum(digest.size for digest in generation.files.values()))


def _evidence(root: Path, generation: Generation, kind: str) -> list[dict[str, Any]]:
    """What was learnt of the space later, as it was written, the oldest first. Raises CorruptError, ValueError, OSError."""
    folder = f"spaces/{generation.primary.space}/{kind}/"
    names = sorted(name for name in generation.files if name.startswith(folder))
    if not names:
        return []
    import json

    from core.space.evidence import read_attestation, read_tolerances

    found = []
    for name in names:
        if fs.digest(root / name) != generation.files[name]:
            raise ValueError("sha256 differs")
        data = (root / name).read_bytes()
        read_attestation(data, name) if kind == "attestations" else read_tolerances(data, name)
        found.append(dict(json.loads(data)))
    return found
