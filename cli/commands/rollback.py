"""samespace rollback"""

from __future__ import annotations

from cli.options import GenerationWord, IndexPath, Json, Quiet, Wait
from cli.progress import progress
from cli.render import emit_json, fields, note, typed


def rollback(
    index: IndexPath, generation: GenerationWord, wait: Wait = 0.0, quiet: Quiet = False, json: Json = False
) -> None:
    """Go back: publish the content of an older generation as a new one, every file of it checked before.

    Example: samespace rollback sample.index 1
    """
    from core.index.kept import number_of
    from core.rollback import rollback as roll_back

    number = number_of(index, generation)
    with progress() as bar:
        done = roll_back(index, number, wait=wait, progress=bar)
    published, notes = done.generation, []
    if done.published:
        notes.append(f"the next `samespace build --to {typed(index)}` brings the index up to its sources again")
    if done.dropped:
        notes.append("what was staged was made for the generation before and is dropped")
    if json:
        emit_json(
            "rollback",
            {
                "index": str(index),
                "published": done.published,
                "generation": published.generation,
                "content_of": number,
                "documents": published.documents,
                "notes": notes,
            },
        )
        return
    if done.published:
        text = f"published generation {published.generation} with the content of {number}"
    else:
        text = f"nothing to do: generation {published.generation} has the content of {number}"
    fields([("rollback", f"{text}, {published.documents:,} documents")])
    for line in notes:
        note(line)
