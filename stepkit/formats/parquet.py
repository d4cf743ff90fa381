"""Rows as Parquet, for trainers that read nothing else.

Needs pyarrow: pip install 'stepkit[parquet]'. Opens no file: the bytes go to a function.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable
from typing import Any

from stepkit.errors import UsageError
from stepkit.schema import Json

GROUP = 10_000
"""Rows of one row group, which is what is held in memory."""


def need(trainer: str) -> None:
    """Raise UsageError when pyarrow, which ``trainer`` needs for its rows, is not installed."""
    try:
        import pyarrow.parquet  # noqa: F401
    except ImportError:
        raise UsageError(f"{trainer} reads Parquet: pip install 'stepkit[parquet]'") from None


def write(rows: Iterable[Json], put: Callable[[bytes], object]) -> int:
    """Write ``rows`` as one Parquet file to ``put``, and return their number.

    The columns and their types are those of the first row group; every row must have them.
    """
    from itertools import islice

    import pyarrow
    import pyarrow.parquet

    waiting = iter(rows)
    first = list(islice(waiting, GROUP))
    schema = pyarrow.Table.from_pylist(first).schema
    count, batch = 0, first
    with (
        pyarrow.PythonFile(_Bytes(put), mode="w") as file,
        pyarrow.parquet.ParquetWriter(file, schema) as writer,
    ):
        while batch:
            writer.write_table(pyarrow.Table.from_pylist(batch, schema))
            count += len(batch)
            batch = list(islice(waiting, GROUP))
    return count


class _Bytes:
    """The file object that pyarrow writes to: it can only be appended to."""

    closed = False

    def __init__(self, put: Callable[[bytes], object]) -> None:
        self._put = put
        self._at = 0

    def write(self, data: Any) -> int:
        raw = bytes(data)
        self._put(raw)
        self._at += len(raw)
        return len(raw)

    def tell(self) -> int:
        return self._at

    def flush(self) -> None:
        """Nothing is buffered here."""

    def close(self) -> None:
        """The file belongs to the owner of ``put``."""

    def readable(self) -> bool:
        return False

    def writable(self) -> bool:
        return True

    def seekable(self) -> bool:
        return False
