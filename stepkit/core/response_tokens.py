"""The tokens of a trace's response, as the record keeps them.

A trace that was drawn here with its tokens kept has them in ``sample``; a scorer that read every
token puts them into its entry of ``scores``. Both under the same two names, each [tokens]:
``token_bytes``, how many bytes of the response a token holds, and ``token_logprob``, its
log-probability in nats or null.
"""

from __future__ import annotations

from typing import Any

from stepkit import schema
from stepkit.core.columns import find_column
from stepkit.errors import DataError
from stepkit.schema import Json
from stepkit.text.token_cuts import TextTokens

SIZES, LOGPROBS = "token_bytes", "token_logprob"


def tokens_of(record: Json, score: str | None) -> TextTokens:
    """The tokens of the record's response.

    Args:
        score: which entry of ``scores`` has them; None takes those of ``sample``.

    Raises DataError when they are missing, malformed, or do not add up to the response.
    """
    if score is None:
        field, holder = "sample", record.get("sample")
        if not isinstance(holder, dict) or SIZES not in holder:
            raise DataError(
                "no tokens in it: draw with --keep-tokens, or take a score's with --score",
                f"{field}.{SIZES}",
            )
    else:
        column = find_column(record, score, "--score")
        field, holder = column.field, column.entry
        if SIZES not in holder:
            raise DataError("this score did not keep tokens", f"{field}.{SIZES}")
    sizes = _numbers(holder, SIZES, field)
    if any(type(size) is not int or size < 0 for size in sizes):
        raise DataError("expected numbers of bytes", f"{field}.{SIZES}")
    logprobs = _numbers(holder, LOGPROBS, field)
    if len(logprobs) != len(sizes):
        raise DataError(
            f"{len(logprobs)} entries, but {SIZES} has {len(sizes)}", f"{field}.{LOGPROBS}"
        )
    for index, value in enumerate(logprobs):
        if value is not None and (not schema.is_number(value) or value > 0):
            raise DataError(
                f"expected a log-probability or null, got {value!r}", f"{field}.{LOGPROBS}[{index}]"
            )
    length = len(schema.text(record, "response").encode("utf-8", "surrogatepass"))
    if sum(sizes) != length:
        raise DataError(f"{sum(sizes)} bytes, but the response has {length}", f"{field}.{SIZES}")
    return TextTokens(sizes, logprobs)


def _numbers(holder: Json, key: str, field: str) -> list[Any]:
    values = holder.get(key)
    if not isinstance(values, list):
        raise DataError(f"expected a list, got {schema.name_of(values)}", f"{field}.{key}")
    return values
