from __future__ import annotations

import codecs

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from samples import CHINESE, TRADITIONAL

from core.sources import Empty, Unreadable
from core.sources.decode import decode

ENGLISH = "Jaguars swim well.\nThey hunt at night.\n"
JAPANESE = "吾輩は猫である。名前はまだ無い。どこで生れたかとんと見当がつかぬ。\n"
KOREAN = "모든 인간은 태어날 때부터 자유로우며 그 존엄과 권리에 있어 동등하다.\n"


@pytest.mark.parametrize("text", [ENGLISH, CHINESE, TRADITIONAL, JAPANESE, KOREAN, CHINESE + ENGLISH])
@pytest.mark.parametrize("encoding", ["utf-8", "utf-8-sig", "utf-16", "utf-16-le", "utf-16-be", "utf-32", "utf-32-be"])
def test_unicode_with_and_without_a_mark(text: str, encoding: str) -> None:
    assert decode(text.encode(encoding))[0] == text


@pytest.mark.parametrize(
    ("text", "encoding"),
    [
        (CHINESE, "gb18030"),
        (CHINESE, "gb2312"),
        ("龙腾虎跃", "gb18030"),
        ("The word 血压 and the word 心脏\n" * 3, "gb18030"),
        (TRADITIONAL, "big5"),
        (JAPANESE, "shift_jis"),
        (JAPANESE, "euc_jp"),
        (JAPANESE, "iso2022_jp"),
        (KOREAN, "euc_kr"),
        ("Le cœur a ses raisons que la raison ne connaît point; à la fenêtre, déjà l'été.\n" * 3, "cp1252"),
        ("He said “yes” — it’s a naïve café.\n", "cp1252"),
        ("Все счастливые семьи похожи друг на друга, каждая несчастливая несчастлива.\n" * 3, "koi8-r"),
    ],
)
def test_encodings_of_before_unicode(text: str, encoding: str) -> None:
    assert decode(text.encode(encoding))[0] == text


def test_utf16_without_a_mark_when_one_of_its_characters_looks_like_the_other_byte_order() -> None:
    text = "一个一个的人，一天一天地过。\n"  # U+4E00 has its zero byte where "N" has it the other way round
    assert decode(text.encode("utf-16-le")) == (text, "utf-16-le")
    assert decode(text.encode("utf-16-be")) == (text, "utf-16-be")


@pytest.mark.parametrize(
    "data",
    [
        b"\x89PNG\r\n\x1a\n\0\0\0\rIHDR\0\0\0\x01",
        b"\x7fELF\x02\x01\x01" + b"\0" * 60,
        bytes(range(256)) * 4,
        b"text\0with one NUL",
        b"\x01\x02\x03\x04 text",
    ],
)
def test_binary_data_is_no_text(data: bytes) -> None:
    with pytest.raises(Unreadable, match="binary"):
        decode(data)


def test_a_broken_byte_is_told_and_never_replaced() -> None:
    with pytest.raises(Unreadable, match="the first at 6"):
        decode("中文".encode() + b"\xff" + "中文字很多的文本在这里".encode())


@pytest.mark.parametrize(
    "mark", [codecs.BOM_UTF8 + b"\xff", codecs.BOM_UTF16_LE + b"abc", codecs.BOM_UTF32_BE + b"abc"]
)
def test_a_mark_that_does_not_hold_is_damage(mark: bytes) -> None:
    with pytest.raises(Unreadable, match="damaged"):
        decode(mark)


def test_line_ends_are_one_character() -> None:
    assert decode(b"a\r\nb\rc\n\r\n")[0] == "a\nb\nc\n\n"


def test_what_the_file_declares_comes_before_guessing_but_after_its_mark() -> None:
    assert decode("é".encode("cp1252"), "cp1252") == ("é", "cp1252")
    assert decode("é".encode("utf-8-sig"), "cp1252") == ("é", "utf-8")
    assert decode(CHINESE.encode("gb18030"), "utf-8")[0] == CHINESE


def test_empty() -> None:
    with pytest.raises(Empty):
        decode(b" \n")


@settings(deadline=None, max_examples=300)
@given(st.binary(max_size=200), st.sampled_from(["", "utf-8", "cp1252", "gb18030", "no such encoding"]))
def test_any_bytes_decode_soundly_or_are_unreadable(data: bytes, declared: str) -> None:
    try:
        text, _ = decode(data, declared)
    except Unreadable:
        return
    assert not set(text) & {"\0", "\r"}
    text.encode("utf-8")


@settings(deadline=None, max_examples=200)
@given(st.text(st.characters(exclude_categories=["Cs", "Cc"]), min_size=1))
def test_utf8_is_always_understood(text: str) -> None:
    data = text.encode()
    if data.strip() and not data.startswith((codecs.BOM_UTF8, codecs.BOM_UTF16_LE, codecs.BOM_UTF16_BE)):
        assert decode(data) == (text, "utf-8")
