"""The analyzer's door: words cut one way at indexing and another way at the query would silently not meet."""

from __future__ import annotations

from core.errors import FormatError
from core.index.reader import Index
from core.lexical import Analyzer


def check_analyzer(analyzer: Analyzer, index: Index) -> None:
    """Raises FormatError unless `analyzer` cuts words as the published index has them."""
    if analyzer.identity != index.view.analyzer:
        raise FormatError(
            f"this index cut its words with another version of the analyzer ({index.view.analyzer}; "
            f"this samespace has {analyzer.identity})",
            path=index.root,
            fix="build another index with this version; until then `search --mode dense` works",
        )
