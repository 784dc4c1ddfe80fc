"""Two identities side by side, and what the canaries say."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

from cli.render import say, table

if TYPE_CHECKING:
    from core.space.identity import Space
    from core.space.record import SpaceRecord
    from core.space.verify import Verdict


def show_fields(
    record: SpaceRecord,
    space: Space,
    metric: str,
    here: str,
    there: str,
    others: Mapping[str, tuple[Any, Any]] | None = None,
) -> None:
    theirs = space.to_json()
    pairs = {name: (mine, theirs[name]) for name, mine in record.space.to_json().items()}
    pairs |= {"metric": (record.metric, metric), **(others or {})}
    rows = [(name, "=" if a == b else "≠", _short(a), _short(b)) for name, (a, b) in pairs.items()]
    table(("field", "", here, there), rows)


def show_agreement(verdict: Verdict) -> None:
    say()
    agreement = verdict.agreement
    if "dimension" in verdict.differences:
        say(f"canaries: {agreement.texts} vectors, not to be compared: their lengths differ")
    else:
        figures = f"mean cosine {agreement.mean_cosine:.6f}, worst distance {agreement.worst_distance:.2e}"
        say(f"canaries: {agreement.texts} vectors, {figures} (allowed {agreement.tolerance:.2g})")


def _short(value: object) -> str:
    is_odd = isinstance(value, str) and (not value or value != value.strip() or "\n" in value)
    text = repr(value) if is_odd else str(value)
    return text if len(text) <= 40 else f"{text[:16]}…"
