"""Files beside the rows, for trainers that read the rows through them.

LLaMA-Factory finds a file of rows by its entry in dataset_info.json of the same directory; entries
of other files stay. verl reads Parquet: it is made of the finished rows, in bounded memory. Each
file gets its name when it is complete. Neither can be made beside standard output.
"""

from __future__ import annotations

import os
from collections.abc import Iterator

from stepkit.errors import UsageError, reason
from stepkit.io.sink import STDOUT, Sink, is_special, target_of
from stepkit.runner.settings import StreamOptions
from stepkit.schema import Json

INFO = "dataset_info.json"
WRITERS = {"llamafactory", "verl"}


def check(target: str, output: str) -> None:
    """Raise UsageError, before anything is read, when a file beside ``output`` cannot be made."""
    if target not in WRITERS:
        return
    if output == STDOUT or is_special(output):
        raise UsageError(f"--to {target} writes a second file beside the rows: name them with -o")
    stem, suffix = os.path.splitext(target_of(output))
    if target == "llamafactory":
        if suffix not in (".jsonl", ".json"):
            raise UsageError(f"{output}: LLaMA-Factory reads names that end in .jsonl")
        if os.path.basename(target_of(output)) == INFO:
            raise UsageError(f"{output}: is where LLaMA-Factory looks for its files; name another")
        _known(_info(output))
    else:
        from stepkit.formats import parquet

        parquet.need()
        if suffix == ".parquet":
            raise UsageError(f"{output}: name the rows {stem}.jsonl; {output} is made beside them")


def write(streams: StreamOptions, target: str, kind: str) -> None:
    """Write what ``target`` needs beside the rows, which are complete in ``streams.output``."""
    if target == "llamafactory":
        from stepkit.formats.llamafactory import dataset_info

        path = _info(streams.output)
        name = os.path.basename(target_of(streams.output))
        data = _encoded(dataset_info(name, kind, _known(path)))
        with Sink(path, ()) as sink:
            sink.write(data)
    elif target == "verl":
        from stepkit.formats import parquet

        if not os.path.getsize(target_of(streams.output)):
            return  # a Parquet file without a row has no columns either
        path = f"{os.path.splitext(target_of(streams.output))[0]}.parquet"
        with Sink(path, streams.files) as sink:
            parquet.write(_rows(streams.output), sink.write)


def _info(output: str) -> str:
    return os.path.join(os.path.dirname(target_of(output)), INFO)


def _known(path: str) -> Json:
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


def _encoded(value: Json) -> bytes:
    import json

    return (json.dumps(value, indent=2, ensure_ascii=False) + "\n").encode()


def _rows(path: str) -> Iterator[Json]:
    from stepkit.io.jsonl import decode
    from stepkit.io.lines import LineReader

    for block in LineReader((path,)):
        yield from (decode(line) for line in block.lines)
