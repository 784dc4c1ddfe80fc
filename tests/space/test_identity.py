from __future__ import annotations

from dataclasses import dataclass, fields, replace
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from core.canonical import canonical, make_id
from core.config import open_encoder
from core.encoders.hashing import HashingEncoder
from core.space.identity import DEFAULT_TEMPLATE, Space

SPACE = Space("ab" * 32, "cd" * 32, "mean", True, 256, 384)
OTHER: dict[str, Any] = {
    "weights": "ef" * 32, "tokenizer": "ef" * 32, "pooling": "cls", "normalize": False, "max_tokens": 512,
    "dimension": 768, "query_prompt": "query: ", "passage_prompt": "passage: ", "template": "{text}", "overflow": "window",
}  # fmt: skip


def test_the_id_is_pinned() -> None:
    """These stand in the names of folders of every index: a change here is a change of the format."""
    assert SPACE.id == "s-2772f0b544e8a7fb"
    assert replace(SPACE, query_prompt="查询：").id == "s-9c2fc9e7ac60e024"
    assert open_encoder("hashing").space.id == "s-a83ed90f5c07209b"


def test_the_canonical_form_is_pinned() -> None:
    assert canonical({"b": 1, "a": ["猫", None, True, 1.5]}) == '{"a":["猫",null,true,1.5],"b":1}'.encode()
    assert make_id("s", {}) == "s-44136fa355b3678a"
    for nan in (float("nan"), float("inf")):
        with pytest.raises(ValueError, match="JSON"):
            canonical({"x": nan})


def test_a_field_that_comes_later_changes_no_id() -> None:
    @dataclass(frozen=True)
    class Later(Space):
        suffix: str = ""

    later = Later(**SPACE.to_json())
    assert later.id == SPACE.id
    assert replace(later, suffix="!").id != SPACE.id


def test_every_field_is_decisive_and_named() -> None:
    assert OTHER.keys() == {field.name for field in fields(Space)}
    ids = {SPACE.id}
    for name, value in OTHER.items():
        other = replace(SPACE, **{name: value})
        ids.add(other.id)
        assert SPACE.differences(other) == {name: (getattr(SPACE, name), value)}
        assert other.differences(SPACE) == {name: (value, getattr(SPACE, name))}
    assert len(ids) == 1 + len(OTHER)
    assert SPACE.differences(replace(SPACE)) == {}


def test_json_and_back() -> None:
    for space in (SPACE, replace(SPACE, **OTHER)):
        assert Space.from_json(space.to_json()) == space
    with pytest.raises(TypeError):
        Space.from_json({**SPACE.to_json(), "unknown": 1})


def test_the_name_of_a_model_decides_nothing() -> None:
    one = open_encoder("hashing")
    other = HashingEncoder(replace(one.model, name="renamed", location="hashing"))
    assert one.space == other.space
    assert one.space.id != open_encoder("hashing-2").space.id


@given(st.text(), st.text())
def test_the_template_is_filled_literally(context: str, text: str) -> None:
    filled = SPACE.fill_template(context, text)
    assert filled == (f"{context}\n{text}" if context else text)


def test_other_templates() -> None:
    space = replace(SPACE, template="title: {context} | text: {text}")
    assert space.fill_template("{text}", "{context} {0}") == "title: {text} | text: {context} {0}"
    assert space.fill_template("", "alone") == "alone"
    assert DEFAULT_TEMPLATE == "{context}\n{text}"
