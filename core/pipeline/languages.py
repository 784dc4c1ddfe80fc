"""The languages of an index's live documents, kept exact over updates: what goes is subtracted, what comes is added."""

from __future__ import annotations

from collections import Counter
from collections.abc import Collection, Iterable, Mapping
from typing import Any

from core.index.reader import Index
from core.language import VERSION, languages, total
from core.types import Document


def of_document(document: Document) -> dict[str, int]:
    """Thousandths of a document's title and text, as core.language.languages gives them."""
    return languages(f"{document.title}\n{document.text}")


def count_languages(
    base: Index | None, dead: Mapping[str, Collection[int]], staged: Iterable[Document]
) -> dict[str, Any]:
    """What a generation records: sums over its live documents, those of `base` that are not `dead` and the `staged` ones.

    Only what changed is looked at. Where the base was counted by other rules or not at all, everything is, once.
    """
    counted = Counter(total(map(of_document, staged)))
    if base is not None and base.generation.languages.get("rules") == VERSION:
        counted.update(base.generation.languages["thousandths"])
        counted.subtract(total(map(of_document, _newly_dead(base, dead))))
    elif base is not None:
        rows = (
            (segment, row) for segment, row in base.live_documents() if row not in dead.get(segment.segment.name, ())
        )
        counted.update(total(of_document(segment.document(row)) for segment, row in rows))
    return {"rules": VERSION, "thousandths": {language: part for language, part in sorted(counted.items()) if part > 0}}


def _newly_dead(base: Index, dead: Mapping[str, Collection[int]]) -> Iterable[Document]:
    for segment in base.segments:
        name = segment.segment.name
        for row in sorted(set(dead.get(name, ())) - set(base.generation.dead.get(name, ()))):
            yield segment.document(row)
