"""Filters on what is known of documents: which rows of each segment they leave."""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass, field
from fnmatch import translate
from itertools import groupby

import numpy as np
from numpy.typing import NDArray

from core.errors import UsageError
from core.index.reader import Index, SegmentReader
from core.language import NAMES
from core.pipeline.languages import of_document
from core.query import FIELDS, Filter
from core.text import folded

Mask = NDArray[np.bool_]
_DATE = re.compile(r"(\d{4})(?:-(0[1-9]|1[0-2])(?:-(0[1-9]|[12]\d|3[01]))?)?")
_ASKED_DATE = re.compile(rf"(>=|<=|>|<)?({_DATE.pattern})")
_SHOWN = 8  # values named when a filter matches nothing


@dataclass(slots=True)
class Kind:
    """One field: whether a document fits any of the values; `seen` counts what the documents have, for when none does."""

    name: str
    fits: Callable[[SegmentReader, int], bool]
    seen: Counter[str] = field(default_factory=Counter)


def filter_documents(index: Index, filters: Sequence[Filter], masks: list[Mask]) -> list[str]:
    """Clear in `masks` (bool, one a document row of each segment) the documents that do not fit all filters; of filters on
    the same field one is enough. Notes say what a filter that leaves nothing could have asked for.

    Raises UsageError for a language or a date that is none, and for a date where no document has one.
    """
    notes = []
    order = sorted(
        filters, key=lambda one: (FIELDS.index(one.field) == FIELDS.index("language"), one.excluded, one.field)
    )
    for (name, excluded), same in groupby(order, key=lambda one: (one.field, one.excluded)):
        values = [one.value for one in same]
        kind = _KINDS[name](values)
        found = before = 0
        for segment, mask in zip(index.segments, masks, strict=True):
            for row in map(int, np.flatnonzero(mask)):
                before += 1
                fits = kind.fits(segment, row)
                found += fits
                mask[row] = fits != excluded
        if before and not found and not excluded:
            notes.append(_nothing(kind, values))
    return notes


def _nothing(kind: Kind, values: Iterable[str]) -> str:
    """What to say of a filter that no document fits."""
    if kind.name == "date" and not kind.seen:
        raise UsageError(
            "no document here has a date to filter by",
            fix="only records of a corpus.jsonl with a field `date` (2026-01-31) have one; "
            f"{', '.join(name for name in FIELDS if name != 'date')} are known of all, --literal takes all as text",
        )
    seen = [value for value, _ in kind.seen.most_common(_SHOWN)]
    asked = " or ".join(f"{kind.name}:{value}" for value in values)
    return f"{asked} fits no document" + (f"; there is {', '.join(seen)}" if seen else "")


def _path(values: Sequence[str]) -> Kind:
    """The document's id, and the file that a record stands in: a part of them, or all by * and ?, from the beginning of any
    folder's name."""
    tests = [_path_test(folded(value)) for value in values]

    def fits(segment: SegmentReader, row: int) -> bool:
        names = [segment.document_ids()[row]]
        if isinstance(path := segment.meta(row).get("path"), str):
            names.append(path)
        return any(test(folded(name)) for name in names for test in tests)

    return Kind("path", fits)


def _path_test(value: str) -> Callable[[str], bool]:
    if "*" not in value and "?" not in value:
        return lambda name: value in name
    pattern = re.compile("(?:.*/)?" + translate(value.replace("[", "[[]")), re.DOTALL)
    return lambda name: pattern.match(name) is not None


def _type(values: Sequence[str]) -> Kind:
    wanted = {folded(value).removeprefix(".") for value in values}

    def fits(segment: SegmentReader, row: int) -> bool:
        format = str(segment.meta(row).get("format", ""))
        kind.seen[format] += 1
        return format in wanted

    kind = Kind("type", fits)
    return kind


def _language(values: Sequence[str]) -> Kind:
    """By the rules that choose the model of a new index: a tenth of the document is enough."""
    codes = {folded(name): code for code, name in NAMES.items()} | {code: code for code in NAMES}
    wanted = set()
    for value in values:
        if (code := codes.get(folded(value))) is None:
            raise UsageError(
                f"language:{value} is none that is told apart here",
                fix=f"one of {', '.join(NAMES)}; --literal takes it as text",
            )
        wanted.add(code)

    def fits(segment: SegmentReader, row: int) -> bool:
        languages = of_document(segment.document(row))
        kind.seen.update(languages.keys())
        return not wanted.isdisjoint(languages)

    kind = Kind("language", fits)
    return kind


def _date(values: Sequence[str]) -> Kind:
    tests = [_date_test(value) for value in values]

    def fits(segment: SegmentReader, row: int) -> bool:
        date = _DATE.match(str(segment.meta(row).get("date", "")))
        if date is None:
            return False
        kind.seen[date[1]] += 1
        return any(test(date[0]) for test in tests)

    kind = Kind("date", fits)
    return kind


def _date_test(value: str) -> Callable[[str], bool]:
    """Dates are compared as far as both are known: of 2026-01 and 2026, neither is before the other."""
    first, between, last = value.partition("..")
    if between and (first or last):
        ends = [f"{sign}{end}" for sign, end in ((">=", first), ("<=", last)) if end]
        tests = [_date_test(end) for end in ends]
        return lambda date: all(test(date) for test in tests)
    asked = _ASKED_DATE.fullmatch(value)
    if asked is None:
        raise UsageError(
            f"date:{value} is no date",
            fix="date:2026, date:2026-01, date:>2025-06-30, date:2025-01..2025-06; --literal takes it as text",
        )
    sign, limit = asked[1] or "", asked[2]

    def fits(date: str) -> bool:
        length = min(len(date), len(limit))
        one, other = date[:length], limit[:length]
        if one != other:
            return (one > other) if ">" in sign else (one < other) if "<" in sign else False
        return sign in ("", ">=", "<=") and len(date) >= len(limit)

    return fits


_KINDS: dict[str, Callable[[Sequence[str]], Kind]] = {
    "path": _path,
    "type": _type,
    "language": _language,
    "date": _date,
}
