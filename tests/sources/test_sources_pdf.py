from __future__ import annotations

import logging
import warnings

import pytest
from samples import encrypted, pdf, read

from core.sources import Unreadable
from core.sources.paragraphs import rejoin

LONG = "the quick brown fox jumps over the lazy dog and"


def test_pages_say_where_they_begin() -> None:
    result = read("pdf", pdf("First page", "", "第三页"), "x.pdf")
    starts = result.meta["pages"]
    assert [result.text[start:].split("\n")[0] for start in starts] == ["First page", "", "第三页"]
    assert starts == sorted(starts)


def test_title() -> None:
    assert read("pdf", pdf("text", title="The title")).title == "The title"


def test_a_password_is_asked_for_only_when_there_is_one() -> None:
    assert read("pdf", encrypted(pdf("open to all"), "")).text == "open to all"
    with pytest.raises(Unreadable, match="encrypted; a password is needed"):
        read("pdf", encrypted(pdf("closed"), "secret"))


def test_pages_without_text_are_told_from_damage() -> None:
    with pytest.raises(Unreadable, match="no text layer"):
        read("pdf", pdf("", ""))
    with pytest.raises(Unreadable, match="damaged PDF: "):
        read("pdf", b"%PDF-1.7\n%garbage")


def test_nothing_reaches_the_terminal(capfd: pytest.CaptureFixture[str], caplog: pytest.LogCaptureFixture) -> None:
    sound = pdf("text")
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        read("pdf", sound.replace(b"startxref\n", b"startxref\n9"))  # the table of objects is rebuilt, with remarks
    assert capfd.readouterr() == ("", "")
    assert not caplog.records
    assert logging.getLogger("pypdf").level == logging.NOTSET


@pytest.mark.parametrize(
    ("lines", "paragraphs"),
    [
        ([LONG, LONG, "short end.", LONG, "end."], [f"{LONG} {LONG} short end.", f"{LONG} end."]),
        ([f"{LONG} infor-", "mation. " + LONG], [f"{LONG} information. {LONG}"]),
        ([f"{LONG} A-", "Z" + LONG], [f"{LONG} A- Z{LONG}"]),
        ([LONG, "", LONG], [LONG, "", LONG]),
        (["测" * 30, "量" * 30, "完。", "另一段"], ["测" * 30 + "量" * 30 + "完。", "另一段"]),
        (["测" * 30 + "用", "Python" + "写" * 25], ["测" * 30 + "用Python" + "写" * 25]),
        (["Name", "Value", "10"], ["Name", "Value", "10"]),
        (
            [LONG, "• " + LONG, "2. " + LONG, "第三条" + "规" * 22],
            [LONG, "• " + LONG, "2. " + LONG, "第三条" + "规" * 22],
        ),
        ([f"{LONG} costs", "3.50 " + LONG], [f"{LONG} costs 3.50 {LONG}"]),
    ],
)
def test_lines_become_paragraphs(lines: list[str], paragraphs: list[str]) -> None:
    assert rejoin("\n".join(lines)) == "\n".join(paragraphs)


def test_rejoining_nothing() -> None:
    assert rejoin("") == rejoin("\n \n") == ""
