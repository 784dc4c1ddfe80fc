"""Run files in TREC's format: `query Q0 document rank score tag`, white space between. Ids that hold white space, a percent
sign or a character that does not show are percent-encoded, so that no two ids become one.
"""

from __future__ import annotations

import math
import re
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from urllib.parse import quote, unquote

from core.errors import UsageError

_PLAIN = re.compile(r"[^\s%]+")
DIGITS = 6  # of a score, behind the point
Run = dict[str, dict[str, float]]  # query id -> document id -> score


def run_lines(query_id: str, ranked: Mapping[str, float], tag: str) -> Iterable[str]:
    """The lines of one query, best first. `ranked` is in order already."""
    for rank, (document, score) in enumerate(ranked.items(), start=1):
        yield f"{encode_id(query_id)} Q0 {encode_id(document)} {rank} {score:.{DIGITS}f} {encode_id(tag)}"


def as_written(ranked: Mapping[str, float]) -> dict[str, float]:
    """`ranked` with the scores that its lines hold."""
    return {document: round(score, DIGITS) for document, score in ranked.items()}


def encode_id(value: str) -> str:
    """`value` as one word of a run; nothing else is written like it."""
    plain = value.isprintable() and _PLAIN.fullmatch(value)
    return value if plain else quote(value, safe="/:", errors="surrogatepass")


def read_run(path: Path) -> Run:
    """Raises UsageError naming the line that is none of a run, a document that stands twice, or a score that is no number."""
    if not path.is_file():
        raise UsageError("there is no such run file", path=path, fix="a line each: QUERY Q0 DOCUMENT RANK SCORE TAG")
    run: Run = {}
    for number, line in enumerate(path.read_text(encoding="utf-8", errors="replace").split("\n"), start=1):
        parts = line.split()
        if not parts:
            continue
        try:
            query, _, document, _, text, *_ = parts
            score = float(text)
            if document in run.setdefault(query, {}) or not math.isfinite(score):
                raise ValueError("the document stands twice" if document in run[query] else "the score is no number")
        except ValueError as error:
            raise UsageError(
                f"line {number} is no line of a run ({error})", path=path, fix="QUERY Q0 DOCUMENT RANK SCORE TAG"
            ) from error
        run[query][document] = score
    return run


def decode_id(value: str, known: Sequence[str] | set[str]) -> str:
    """The id that `value` stands for: percent-decoded where that is known, else (a run of another tool) itself."""
    try:
        decoded = unquote(value, errors="surrogatepass")
    except UnicodeDecodeError:
        return value
    return decoded if decoded in known else value
