"""What decides where a vector lies, as one frozen value with an id. Compared field by field."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import asdict, dataclass, fields
from typing import Any

from core.canonical import make_id

MOST_TOLERANCE = 1e-3  # what no index may allow more of: noise that costs a twentieth of the top ten lies just beyond
METRICS = ("cosine", "dot", "euclidean")
DEFAULT_TEMPLATE = "{context}\n{text}"


@dataclass(frozen=True, slots=True)
class Space:
    """The identity of a vector space.

    `weights` and `tokenizer` are digests of content, so a renamed model has the same space. The fields that have a
    default here are left out of the id while they have it: adding a field later changes no id.
    """

    weights: str
    tokenizer: str
    pooling: str
    normalize: bool
    max_tokens: int
    dimension: int
    query_prompt: str = ""
    passage_prompt: str = ""
    template: str = DEFAULT_TEMPLATE
    overflow: str = "truncate"

    @property
    def id(self) -> str:
        """`s-` and 16 hex digits, version 1 of the canonical form (pinned by a test)."""
        defaults = {field.name: field.default for field in fields(self)}
        decisive = {name: value for name, value in asdict(self).items() if value != defaults[name]}
        return make_id("s", {"version": 1, **decisive})

    def to_json(self) -> dict[str, Any]:
        return asdict(self)

    @classmethod
    def from_json(cls, value: Mapping[str, Any]) -> Space:
        """Raises TypeError for a field this version does not know."""
        return cls(**value)

    def differences(self, other: Space) -> dict[str, tuple[Any, Any]]:
        """The fields in which `other` is not this space: name -> (here, there)."""
        mine, theirs = asdict(self), asdict(other)
        return {name: (mine[name], theirs[name]) for name in mine if mine[name] != theirs[name]}

    def fill_template(self, context: str, text: str) -> str:
        """What is embedded for a chunk: the template filled in, or the text alone when there is no context."""
        if not context:
            return text
        # str.format would read braces in the texts' own template; replace is literal and runs once over each.
        before, _, rest = self.template.partition("{context}")
        between, _, after = rest.partition("{text}")
        return f"{before}{context}{between}{text}{after}"


def check_record(value: Mapping[str, Any]) -> None:
    """Raises TypeError or KeyError unless the fields of a space.json have their types: it may come from anywhere."""
    model, storage = value["model"], value["storage"]
    texts = (value["metric"], model["name"], model["provider"], model.get("location", ""), model.get("why", ""))
    texts = (*texts, storage["dtype"], *value["canaries"], *value.get("contexts", ()), *model.get("languages", ()))
    if not all(isinstance(text, str) for text in texts) or not isinstance(model.get("revision"), str | None):
        raise TypeError("a field is not of its type")
    if value["metric"] not in METRICS or not 0 < float(value["tolerance"]) <= MOST_TOLERANCE:
        raise ValueError("its metric or tolerance cannot be")
    kinds: dict[str, type] = {"normalize": bool, "max_tokens": int, "dimension": int}
    for name, field in value["identity"].items():
        if type(field) is not kinds.get(name, str) or (type(field) is int and not 0 < field <= 1 << 24):
            raise TypeError(f"its {name} is not of its type")
