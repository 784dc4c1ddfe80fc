from __future__ import annotations

import io
import zipfile

import docx
import pytest
from docx.oxml import parse_xml
from samples import read, word

from core.sources import Unreadable

_W = 'xmlns:w="http://schemas.openxmlformats.org/wordprocessingml/2006/main"'


def _with_paragraph(inner: str) -> bytes:
    document = docx.Document()
    document.element.body.insert(0, parse_xml(f"<w:p {_W}>{inner}</w:p>"))
    out = io.BytesIO()
    document.save(out)
    return out.getvalue()


def test_blocks_stand_in_the_order_of_the_document() -> None:
    assert read("docx", word()).text.split("\n\n") == [
        "# 周会纪要",
        "参加人：检索组全体。",
        "Key | Default\nretry | 10\ninner",
        "## Next steps",
        "Nothing else.",
    ]


def test_the_title_is_the_first_heading_unless_the_properties_have_one() -> None:
    assert read("docx", word()).title == "周会纪要"
    document = docx.Document(io.BytesIO(word()))
    document.core_properties.title = "From the properties"
    out = io.BytesIO()
    document.save(out)
    assert read("docx", out.getvalue()).title == "From the properties"


def test_tracked_changes_are_read_as_accepted() -> None:
    kept = "<w:r><w:t>kept</w:t></w:r><w:ins><w:r><w:t> new</w:t></w:r></w:ins>"
    gone = "<w:del><w:r><w:delText> old</w:delText></w:r></w:del><w:moveFrom><w:r><w:t> moved</w:t></w:r></w:moveFrom>"
    assert read("docx", _with_paragraph(kept + gone)).text == "kept new"


def test_a_content_control_is_part_of_the_text() -> None:
    document = docx.Document()
    control = f"<w:sdt {_W}><w:sdtContent><w:p><w:r><w:t>wrapped</w:t></w:r></w:p></w:sdtContent></w:sdt>"
    document.element.body.insert(0, parse_xml(control))
    out = io.BytesIO()
    document.save(out)
    assert read("docx", out.getvalue()).text == "wrapped"


def test_breaks_and_tabs() -> None:
    assert (
        read("docx", _with_paragraph("<w:r><w:t>a</w:t><w:tab/><w:t>b</w:t><w:br/><w:t>c</w:t></w:r>")).text
        == "a\tb\nc"
    )


def test_an_encrypted_file_says_so() -> None:
    with pytest.raises(Unreadable, match="encrypted"):
        read("docx", b"\xd0\xcf\x11\xe0" + b"\0" * 600)


def test_other_archives_are_damaged_word_files() -> None:
    out = io.BytesIO()
    with zipfile.ZipFile(out, "w") as archive:
        archive.writestr("a.txt", "x")
    with pytest.raises(Unreadable, match="damaged Word file"):
        read("docx", out.getvalue())


def test_a_zip_bomb_is_refused_before_it_is_unpacked() -> None:
    out = io.BytesIO()
    with zipfile.ZipFile(out, "w", zipfile.ZIP_DEFLATED) as archive:
        archive.writestr("word/document.xml", b" " * (30 * 10**6))
    with pytest.raises(Unreadable, match="zip bomb"):
        read("docx", out.getvalue())
