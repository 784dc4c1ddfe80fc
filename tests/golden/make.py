"""Makes tests/golden/format-0/, an index of today's format, and answers.json, what it answers: python tests/golden/make.py

Run it when format 0 changes (it may, before 1.0), and commit what it wrote. From the first format that is promised,
each keeps its folder for good. Time, version and the place of the source are fixed, so the same code gives the same bits.
"""

from __future__ import annotations

import json
import shutil
import sys
import tempfile
from dataclasses import replace
from pathlib import Path
from typing import Any
from unittest.mock import patch

HERE = Path(__file__).parent
sys.path.insert(0, str(HERE.parent.parent))

from core.index import writer  # noqa: E402
from core.index.generation import Generation  # noqa: E402
from core.index.reader import open_index  # noqa: E402
from core.index.writer import NewFile  # noqa: E402
from core.pipeline.build import build  # noqa: E402
from core.pipeline.search import MODES, Search, SearchSettings  # noqa: E402
from core.types import Query, Source  # noqa: E402

INDEX, ANSWERS = HERE / "format-0", HERE / "answers.json"
FIRST = {
    "apple.md": "# Apple orchard\n\nPrune the apple trees in winter. Pick the fruit in autumn.\n",
    "python.txt": "用 venv 建立 Python 虚拟环境，再安装依赖 v1.2.3。\n",
    "bank.txt": "银行的利率上周又下调了。存款的人并不高兴。\n\n他们去了河边散步。\n",
    "river.md": "# 河岸 River bank\n\nThe river bank was muddy after the rain.\n",
    "corpus.jsonl": '{"_id": "q-1", "title": "Error E-1047", "text": "The printer reports E-1047 when it has no paper."}\n'
    '{"_id": "q-2", "title": "", "text": "打印机缺纸时报告错误 E-1047。", "lang": "zh"}\n',
}
SECOND = {
    "apple.md": "# Apple company\n\nThe company sells telephones, not fruit.\n",
    "bank.txt": None,
    "thunder.txt": "First the lightning, then the thunder.\n先看到闪电，然后听到雷声。\n",
}
QUERIES = ("apple fruit", "银行 利率", "E-1047", "river bank 河岸", "venv 虚拟环境", "thunder")


def _publish(root: Path, generation: Generation, new_files: list[NewFile]) -> Generation:
    sources = tuple(Source(source.name, f"/golden/{source.name}") for source in generation.sources)
    return writer.publish(root, replace(generation, sources=sources), new_files)


def make(root: Path) -> None:
    """Two generations: the second changes, removes and adds a document."""
    with (
        tempfile.TemporaryDirectory() as folder,
        patch("core.pipeline.draft.now", lambda: "2026-01-31T02:00:05Z"),
        patch("core.pipeline.draft.VERSION", "golden"),
        patch("core.pipeline.index.publish", _publish),
    ):
        for files in (FIRST, SECOND):
            for name, text in files.items():
                path = Path(folder) / name
                path.unlink() if text is None else path.write_bytes(text.encode())
            build(root, [folder], model="hashing", name="corpus", size=16, overlap=4)
    (root / "LOCK").unlink()


def answers(root: Path) -> dict[str, Any]:
    """Mode, then query: the hits, as lists of document id, ordinal, place, text and score."""
    found: dict[str, Any] = {}
    for mode in MODES:
        search = Search(open_index(root), SearchSettings(mode=mode, k=5))
        found[mode] = {
            query: [
                [hit.chunk.document_id, hit.chunk.ordinal, hit.place, hit.chunk.text, round(hit.score, 6)]
                for hit in search.search(Query("q", query)).hits
            ]
            for query in QUERIES
        }
    return found


if __name__ == "__main__":
    shutil.rmtree(INDEX, ignore_errors=True)
    make(INDEX)
    ANSWERS.write_text(json.dumps(answers(INDEX), ensure_ascii=False, indent=1) + "\n", encoding="utf-8")
