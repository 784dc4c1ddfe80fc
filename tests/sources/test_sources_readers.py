"""The contract, once for each reader, and the two readers of plain text."""

from __future__ import annotations

import subprocess
import sys

import pytest
from reader_contract import ReaderContract
from samples import CHINESE, pdf, read, word

from core.sources import READERS, SUFFIXES


class TestTxt(ReaderContract):
    format = "txt"

    @staticmethod
    def sample() -> bytes:
        return CHINESE.encode("gb18030")

    @pytest.mark.parametrize(
        ("text", "title"),
        [
            ("Jaguars\n\nThey swim.", "Jaguars"),
            ("\n\n  血压 \r\n\r\n正文", "血压"),
            ("Jaguars", "Jaguars"),
            ("Jaguars swim\nwell.\n", "notes"),
            ("long " * 20 + "\n\nrest", "notes"),
        ],
    )
    def test_the_first_line_is_the_title_when_it_stands_alone(self, text: str, title: str) -> None:
        assert read("txt", text.encode(), "notes.txt").title == title

    def test_the_encoding_is_told(self) -> None:
        assert read("txt", CHINESE.encode("gb18030")).meta == {"encoding": "gb18030"}


class TestMd(ReaderContract):
    format = "md"

    @staticmethod
    def sample() -> bytes:
        return "# 标题\n\n正文 with English.\n".encode()

    @pytest.mark.parametrize(
        ("text", "title"),
        [
            ("intro\n\n# The title #\n# Second", "The title"),
            ("---\ntags: x\ntitle: 'It''s front'\n---\n# Heading", "It''s front"),
            ("---\n# a comment\n---\n# Heading", "Heading"),
            ("```sh\n# a comment\n```\n# Heading", "Heading"),
            ("````\n```\n# inside\n````\n# Heading", "Heading"),
            ("## only the second level", "notes"),
            ("#hashtag", "notes"),
        ],
    )
    def test_title(self, text: str, title: str) -> None:
        assert read("md", text.encode(), "notes.md").title == title

    def test_the_text_is_the_file(self) -> None:
        text = "---\ntitle: x\n---\n\n# H\r\n| a |\n"
        assert read("md", text.encode()).text == text.replace("\r\n", "\n")


class TestHtml(ReaderContract):
    format = "html"

    @staticmethod
    def sample() -> bytes:
        return "<title>页</title><p>正文 &amp; <b>bold</b><table><tr><td>1<td>2</table>".encode()


class TestPdf(ReaderContract):
    format = "pdf"

    @staticmethod
    def sample() -> bytes:
        return pdf("First page", "第二页", title="两页")


class TestDocx(ReaderContract):
    format = "docx"

    @staticmethod
    def sample() -> bytes:
        return word()


def test_every_suffix_has_a_reader() -> None:
    assert set(SUFFIXES.values()) == set(READERS)


def test_scanning_imports_no_reader_before_it_is_needed() -> None:
    heavy = "{'bs4', 'pypdf', 'docx', 'lxml', 'charset_normalizer'}"
    code = f"import sys, core.sources.scan, core.sources.decode; print({heavy} & set(sys.modules))"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "set()"
