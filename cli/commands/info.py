"""samespace info"""

from __future__ import annotations

from typing import Any

from cli.options import IndexPath, Json
from cli.render import emit_json, fields, note, typed


def info(index: IndexPath, json: Json = False) -> None:
    """Say what an index is: its documents, model, space and settings. Loads no model.

    Example: samespace info sample.index
    """
    from core.info import info as describe
    from core.language import in_words

    described = describe(index)
    value = described.to_json()
    if json:
        emit_json("info", value)
        return
    space, identity = described.space, described.space["identity"]
    rows: list[tuple[str, object]] = [("index", value["path"]), ("format", value["format"])]
    if described.generation:
        settings = value["settings"]
        rows += [
            ("generation", f"{value['generation']} of {value['created']} by samespace {value['tool']}"),
            (
                "documents",
                f"{value['documents']:,} in {value['chunks']:,} chunks, {value['segments']} segments, {value['size']:,} bytes",
            ),
            *([("languages", in_words(described.languages))] if described.languages else []),
            ("dead", f"{value['dead_documents']:,} documents replaced or removed since"),
            ("chunker", _settings(settings["chunker"])),
            ("analyzer", f"{settings['analyzer']['name']} ({described.generation.primary.analyzer})"),
            ("vectors", f"{settings['ann']['name']} search, {space['storage']['dtype']}, {space['metric']}"),
            ("space", space["id"]),
            ("canaries", _canaries(space)),
            *(("adopted", f"{one['model']['name']}, {one['created']}") for one in space["attestations"]),
            *([("encoder", "in the index: it answers without its model")] if value["self_contained"] else []),
        ]
    rows += [(f"source {source['name']}", source["root"]) for source in value["sources"]]
    model = space["model"]
    languages = f", knows {' '.join(model['languages'])}" if model["languages"] else ""
    rows.append(
        (
            "model",
            f"{model['name']} ({model['provider']}{', ' + model['revision'] if model['revision'] else ''}){languages}",
        )
    )
    rows += [("  why", model["why"])] if model.get("why") else []
    rows += [(f"  {name}", repr(part) if part == "" or "\n" in str(part) else part) for name, part in identity.items()]
    if value["staged"]:
        rows.append(("staged", f"{value['staged']['documents']:,} documents, {value['staged']['dead']:,} to go"))
    fields(rows)
    for warning in described.warnings:
        note(warning)
    if value["staged"]:
        note(f"staged work is not published yet: samespace build --to {typed(index)}")


def _canaries(space: dict[str, Any]) -> str:
    """How many, and how far a model's may lie from them: as measured, or as recorded."""
    text = f"{space['canaries']} texts, both as query and as passage"
    if not space["tolerances"]:
        return f"{text}; allowed {space['tolerance']:.2g}"
    measured = space["tolerances"][-1]["runtimes"]
    return f"{text}; allowed, as measured: " + ", ".join(
        f"{one['tolerance']:.2g} ({one['runtime']})" for one in measured
    )


def _settings(value: dict[str, object]) -> str:
    """The name, then what belongs to it: `recursive, overlap 0, size 200`."""
    rest = (f"{name} {part}" for name, part in value.items() if name not in ("name", "version"))
    return ", ".join([str(value["name"]), *rest])
