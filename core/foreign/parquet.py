"""A parquet file with a column of lists of floats; a column of texts in the same file serves as texts. Needs pyarrow."""

from __future__ import annotations

from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq

from core.foreign import Choice, Foreign, damaged
from core.foreign.arrow import foreign, pick


def read(path: Path, choice: Choice) -> Foreign:
    """Reads three columns at most. Raises UsageError, CorruptError."""
    try:
        with pq.ParquetFile(path) as file:
            columns = pick(file.schema_arrow, choice, path)
            table = file.read(columns=[name for name in columns if name])
    except (pa.ArrowException, OSError) as error:  # pyarrow raises an OSError for a file that is damaged
        if isinstance(error, OSError) and error.errno:
            raise
        raise damaged(path, error) from error
    return foreign("parquet", path, table, columns)
