"""Files next to the rows, for trainers that read the rows through them.

Which trainer needs which is in its row of the registry. A dataset_info.json names the files of its
directory; entries of other files stay. A Parquet file is made of the finished rows, in bounded
memory. Each file gets its name when it is complete. None can be made next to standard output.
"""

from __future__ import annotations

import os
from collections.abc import Iterator, Mapping
from typing import Protocol

from stepkit.errors import UsageError, reason
from stepkit.formats.trainer_registry import DATASET_INFO, PARQUET, TARGETS
from stepkit.io.sink import STDOUT, Sink, is_special, target_of
from stepkit.runner.settings import StreamOptions
from stepkit.schema import Json


def check(target: str, output: str) -> None:
    """Raise UsageError, before anything is read, when a file next to ``output`` cannot be made."""
    kind = TARGETS[target].side_file
    if kind is None:
        return
    if output == STDOUT or is_special(output):
        raise UsageError(f"--to {target} writes a second file next to the rows: name them with -o")
    SIDE_FILES[kind].check(target, output)


def write(streams: StreamOptions, target: str, rows: str) -> None:
    """Write the file that ``target`` needs next to the rows.

    Args:
        streams: the rows are complete in ``streams.output``.
        rows: their kind, a name of trainer_registry.KINDS.
    """
    kind = TARGETS[target].side_file
    if kind is not None:
        SIDE_FILES[kind].write(streams, rows)


class SideFile(Protocol):
    """A file next to the rows."""

    def check(self, target: str, output: str) -> None:
        """Raise UsageError when it cannot be made for rows in ``output``."""

    def write(self, streams: StreamOptions, rows: str) -> None:
        """Make it of the rows, of kind ``rows``, in ``streams.output``."""


class DatasetInfo:
    """The list of the files of a directory, in which the rows get an entry."""

    def check(self, target: str, output: str) -> None:
        if os.path.splitext(target_of(output))[1] not in (".jsonl", ".json"):
            raise UsageError(f"{output}: {target} reads names that end in .jsonl")
        if os.path.basename(target_of(output)) == DATASET_INFO:
            raise UsageError(f"{output}: is where {target} looks for its files; name another")
        _known_entries(_info_path(output))

    def write(self, streams: StreamOptions, rows: str) -> None:
        import json

        from stepkit.formats.llamafactory import dataset_info

        path = _info_path(streams.output)
        name = os.path.basename(target_of(streams.output))
        info = dataset_info(name, rows, _known_entries(path))
        with Sink(path, ()) as sink:
            sink.write((json.dumps(info, indent=2, ensure_ascii=False) + "\n").encode())


class ParquetFile:
    """The rows once more, as Parquet."""

    def check(self, target: str, output: str) -> None:
        from stepkit.formats import parquet

        parquet.need(target)
        stem, suffix = os.path.splitext(target_of(output))
        if suffix == ".parquet":
            raise UsageError(f"{output}: name the rows {stem}.jsonl; {output} is made next to them")

    def write(self, streams: StreamOptions, rows: str) -> None:
        from stepkit.formats import parquet

        if not os.path.getsize(target_of(streams.output)):
            return  # a Parquet file without a row has no columns either
        path = f"{os.path.splitext(target_of(streams.output))[0]}.parquet"
        with Sink(path, streams.files) as sink:
            parquet.write(_rows(streams.output), sink.write)


SIDE_FILES: Mapping[str, SideFile] = {DATASET_INFO: DatasetInfo(), PARQUET: ParquetFile()}


def _info_path(output: str) -> str:
    return os.path.join(os.path.dirname(target_of(output)), DATASET_INFO)


def _known_entries(path: str) -> Json:
    """The entries of a dataset_info.json; none when there is no such file."""
    import json

    try:
        with open(path, encoding="utf-8") as file:
            known = json.load(file)
    except FileNotFoundError:
        return {}
    except OSError as error:
        raise UsageError(f"{path}: {reason(error)}") from None
    except ValueError as error:
        raise UsageError(f"{path}: not JSON: {error}") from None
    if not isinstance(known, dict):
        raise UsageError(f"{path}: expected an object")
    return known


def _rows(path: str) -> Iterator[Json]:
    from stepkit.io.jsonl import decode
    from stepkit.io.lines import LineReader

    for block in LineReader((path,)):
        yield from (decode(line) for line in block.lines)
