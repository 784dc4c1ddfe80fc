"""A LanceDB folder: each `NAME.lance` in it is a table. Needs the package lancedb."""

from __future__ import annotations

from pathlib import Path

import lancedb
import pyarrow as pa

from core.foreign import Choice, Foreign, choose, damaged
from core.foreign.arrow import foreign, pick


def read(path: Path, choice: Choice) -> Foreign:
    """The table `choice.collection`, else the only one; a path to NAME.lance itself means that table.

    Raises UsageError, CorruptError.
    """
    folder, wanted = (path.parent, path.stem) if path.suffix == ".lance" else (path, choice.collection)
    names = sorted(one.stem for one in folder.glob("*.lance") if one.is_dir())
    name = choose(names, wanted, path, "table", "--collection")
    try:
        opened = lancedb.connect(str(folder)).open_table(name)
        columns = pick(opened.schema, choice, path)
        table = opened.search().select([column for column in columns if column]).limit(opened.count_rows()).to_arrow()
    except (pa.ArrowException, OSError, RuntimeError, ValueError) as error:  # its Rust part raises any of these
        raise damaged(path, error) from error
    return foreign("lancedb", path, table, columns, (f"table {name}",))
