"""Small files of every format, made on the spot."""

from __future__ import annotations

import io
from pathlib import Path

import docx
import pypdf
from reportlab.lib.pagesizes import A4
from reportlab.pdfbase import pdfmetrics
from reportlab.pdfbase.cidfonts import UnicodeCIDFont
from reportlab.pdfgen.canvas import Canvas

from core.sources import READERS, Text
from core.sources.scan import scan
from core.types import Document, Outcome, Source

CHINESE = "家里备一台上臂式电子血压计，比偶尔去一次医院更能看清自己平时的血压水平。\n测量前半小时不要喝咖啡。\n"
TRADITIONAL = "家裡備一台上臂式電子血壓計，比偶爾去一次醫院更能看清自己平時的血壓水平。\n測量前半小時不要喝咖啡。\n"


def read(format: str, data: bytes, name: str = "a file") -> Text:
    text = READERS.load(format)().read(data, name)
    assert isinstance(text, Text)
    return text


def pdf(*pages: str, title: str = "") -> bytes:
    """A PDF with these pages, line by line."""
    pdfmetrics.registerFont(UnicodeCIDFont("STSong-Light"))
    out = io.BytesIO()
    canvas = Canvas(out, pagesize=A4, invariant=True)
    canvas.setTitle(title)
    for page in pages:
        canvas.setFont("STSong-Light", 11)
        for row, line in enumerate(page.split("\n")):
            canvas.drawString(60, 780 - 16 * row, line)
        canvas.showPage()
    canvas.save()
    return out.getvalue()


def encrypted(data: bytes, password: str) -> bytes:
    writer = pypdf.PdfWriter(clone_from=io.BytesIO(data))
    writer.encrypt(password, "owner", algorithm="RC4-128")
    out = io.BytesIO()
    writer.write(out)
    return out.getvalue()


def word() -> bytes:
    """A Word document: a heading, a paragraph, a table with a table in it, a paragraph."""
    document = docx.Document()
    document.add_heading("周会纪要", 1)
    document.add_paragraph("参加人：检索组全体。")
    table = document.add_table(2, 2)
    for row, cells in enumerate((("Key", "Default"), ("retry", "10"))):
        for column, text in enumerate(cells):
            table.cell(row, column).text = text
    table.cell(1, 1).add_table(1, 1).cell(0, 0).text = "inner"
    document.add_heading("Next steps", 2)
    document.add_paragraph("Nothing else.")
    out = io.BytesIO()
    document.save(out)
    return out.getvalue()


def items(root: Path, known: dict[str, str] | None = None, limit: int = 2**20) -> list[Document | Outcome]:
    return list(scan(Source(root.name, str(root)), (known or {}).get, limit))


def documents(root: Path) -> dict[str, Document]:
    return {item.id: item for item in items(root) if isinstance(item, Document)}


def outcomes(root: Path, known: dict[str, str] | None = None, limit: int = 2**20) -> dict[str, tuple[str, str]]:
    found = items(root, known, limit)
    return {item.path: (item.status, item.reason) for item in found if isinstance(item, Outcome)}
