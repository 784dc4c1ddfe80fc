from __future__ import annotations

import subprocess
import sys
import time

import pytest
from hypothesis import given
from hypothesis import strategies as st

from core.lexical import ANALYZERS, identify, mixed
from core.lexical.mixed import MixedAnalyzer

ANALYZER = MixedAnalyzer()


def tokens(text: str) -> list[str]:
    return ANALYZER.tokens(text)


def test_registered_under_the_name_in_its_settings() -> None:
    analyzer = ANALYZERS.load("mixed")()
    assert analyzer.settings["name"] == "mixed"
    assert analyzer.identity == identify(analyzer.settings)


def test_identity_is_pinned() -> None:
    """It names folders of existing indexes: when tokens change, so must `version`, and only then this line."""
    assert ANALYZER.identity == "a-d6c5b51852e63d36"


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("The running dogs", ["run", "dog"]),
        ("don't Crohn’s it's", ["don't", "crohn"]),
        ("naïve CAFÉ Cafe\u0301 Straße", ["naïv", "café", "café", "strass"]),
        ("Привет мир", ["привет", "мир"]),
        ("हिन्दी", ["हिन्दी"]),
    ],
)
def test_words(text: str, expected: list[str]) -> None:
    assert tokens(text) == expected


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("猫", ["猫"]),
        ("黑豹队", ["黑", "豹", "队", "黑豹", "豹队"]),
        ("猫，狗。", ["猫", "狗"]),
        ("𠮷野", ["𠮷", "野", "𠮷野"]),
        ("カンマ・ｱ", ["カ", "ン", "マ", "カン", "ンマ", "ア"]),
        ("한국 말", ["한", "국", "한국", "말"]),
    ],
)
def test_dense_scripts_give_characters_and_pairs(text: str, expected: list[str]) -> None:
    assert tokens(text) == expected


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("2024年", ["2024", "年"]),
        ("用useState钩子", ["用", "usest", "us", "state", "钩", "子", "钩子"]),
        ("ＧＰＵ显存", ["gpu", "显", "存", "显存"]),
    ],
)
def test_mixed_text_is_cut_where_the_script_changes(text: str, expected: list[str]) -> None:
    assert tokens(text) == expected


@pytest.mark.parametrize(
    ("text", "whole", "parts"),
    [
        ("v1.2.3", "v1.2.3", ["v1", "2", "3"]),
        ("ERR_CONN_4032", "err_conn_4032", ["err", "conn", "4032"]),
        ("max_retry_count", "max_retry_count", ["max", "retri", "count"]),
        ("foo@example.com", "foo@example.com", ["foo", "exampl", "com"]),
        ("E-1047", "e-1047", ["e", "1047"]),
        ("https://example.com/a?x=1", "https://example.com/a?x=1", ["http", "exampl", "x", "1"]),
        ("iPhone15", "iphone15", ["phone", "15"]),
        ("iPhone 15", "iphon", ["phone", "15"]),
        ("HTTPServer", "httpserver", ["http", "server"]),
        ("C++", "c++", ["c"]),
        ("C#", "c#", ["c"]),
    ],
)
@pytest.mark.parametrize("around", ["{}", "see {}.", "参见{}。", "（{}）", "{}, and"])
def test_identifiers_are_kept_whole_and_in_parts(text: str, whole: str, parts: list[str], around: str) -> None:
    found = tokens(around.format(text))
    assert whole in found
    assert set(parts) <= set(found)


@pytest.mark.parametrize(
    ("text", "name"),
    [
        ("error=ERR_CONN_4032", "err_conn_4032"),
        ("code：E-1047", "e-1047"),
        ("src/path/setup.py", "setup.py"),
        ("max_retry_count's", "max_retry_count"),
    ],
)
def test_a_name_within_a_longer_run_is_kept_whole_too(text: str, name: str) -> None:
    assert name in tokens(text)


def test_a_checksum_has_no_parts() -> None:
    checksum = "d41d8cd98f00b204e9800998ecf8427e"
    assert tokens(checksum) == [checksum]


@pytest.mark.parametrize("text", ["", " \n\t", "😀👍🏽", "!?……——", "__ -- ''", "\u0301\u200b\ud800"])
def test_text_without_words_has_no_tokens(text: str) -> None:
    assert tokens(text) == []


def test_full_width_is_the_same_as_half_width() -> None:
    assert tokens("ｖ１．２．３　ＡＢＣ＿ｘ") == tokens("v1.2.3 ABC_x")


@given(st.text(alphabet=st.one_of(st.characters(), st.sampled_from("aZé9_-.'’@#+中猫カ한\u0301\u0345 \n"))))
def test_any_text_gives_well_formed_tokens(text: str) -> None:
    found = tokens(text)
    assert all(found)
    assert not any(character.isspace() for token in found for character in token)
    assert found == MixedAnalyzer().tokens(text), "what was met before must not matter"
    "".join(found).encode()  # raises on a lone surrogate


@pytest.mark.parametrize("unit", ["中", "a", "a-", "a'", "aA1", "e\u0301\u0316", "_", "😀", "中a "])
def test_long_text_takes_linear_time(unit: str) -> None:
    started = time.perf_counter()
    found = tokens(unit * (500_000 // len(unit)))
    assert time.perf_counter() - started < 5, "half a million characters take well under a second"
    assert max(map(len, found), default=0) <= 255


def test_lexical_search_imports_nothing_heavy() -> None:
    code = (
        "import sys, core.lexical.mixed, core.lexical.bm25;"
        "heavy = {'torch', 'transformers', 'sentence_transformers', 'scipy', 'typer', 'rich'};"
        "sys.exit(bool(heavy & set(sys.modules)))"
    )
    assert subprocess.run([sys.executable, "-c", code], check=False).returncode == 0


@given(st.text(st.characters(max_codepoint=127), max_size=60))
def test_ascii_text_is_cut_alike_by_the_patterns_that_compile_faster(text: str) -> None:
    quick, whole = mixed._patterns(True), mixed._patterns(False)
    for pattern in ("runs", "names", "words"):
        assert getattr(quick, pattern).findall(text) == getattr(whole, pattern).findall(text)
