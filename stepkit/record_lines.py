"""Plain dicts as the records of the commands: copies, checked to be JSON, placed by their index."""

from __future__ import annotations

from collections.abc import Iterable
from typing import TYPE_CHECKING

from stepkit.errors import DataError
from stepkit.schema import Json

if TYPE_CHECKING:
    from stepkit.io.jsonl import Record


def lines_of(records: Iterable[Json]) -> list[Record]:
    """A record for each dict, whose place is ``records[INDEX]``.

    Raises DataError for one that is no JSON object.
    """
    from stepkit.io.jsonl import Record, decode, encode

    found = []
    for index, record in enumerate(records):
        place = f"records[{index}]"
        try:
            raw = encode(record)
            found.append(Record(raw, decode(raw), place, index=index))
        except DataError as error:
            raise error.at(place) from None
    return found
