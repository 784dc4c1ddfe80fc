from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from core.config import open_encoder
from core.tokens import differing, tokens

SMALL, LARGE = open_encoder("minilm"), open_encoder("multilingual-e5-small-q4")


def test_pieces_ids_and_special_tokens() -> None:
    cut = tokens("iPhone 15 的价格", SMALL)
    assert [token.piece for token in cut.tokens][:5] == ["[CLS]", "iphone", "15", "的", "[UNK]"]
    assert [token.special for token in cut.tokens] == [True, *[False] * 5, True]
    assert (cut.tokens[0].id, cut.cut_off, cut.prompt) == (101, 0, 0)
    assert cut.to_json()["count"] == 7


def test_the_prompt_is_shown() -> None:
    assert "query" not in "".join(token.piece for token in tokens("bank", SMALL).tokens)
    pieces = "".join(token.piece for token in tokens("bank", LARGE).tokens)
    assert "query" in pieces.replace("▁", "")
    assert "pass" in "".join(token.piece for token in tokens("bank", LARGE, "passage").tokens)


def test_what_a_model_does_not_see() -> None:
    cut = tokens("otters " * 400, SMALL)
    assert cut.cut_off == len(cut.tokens) - 256 > 100


@given(st.text(max_size=60))
def test_all_of_the_text_is_told_apart(text: str) -> None:
    """The ids are those that the model is given, and the stretches are the text, in order."""
    here, there = tokens(text, SMALL), tokens(text, LARGE)
    assert [token.id for token in here.tokens] == SMALL.token_ids([text], "query")[0]
    stretches = differing(text, here, there)
    assert "".join(stretch.text for stretch in stretches).strip() in text
    shown = [token for stretch in stretches for token in stretch.here]
    assert len(shown) == len(set(shown))
    assert all(stretch.here or stretch.there for stretch in stretches)


def test_where_two_differ() -> None:
    found = differing("bank 的价格", tokens("bank 的价格", SMALL), tokens("bank 的价格", LARGE))
    assert [(stretch.text.strip(), stretch.equal) for stretch in found] == [("bank", True), ("的价格", False)]
