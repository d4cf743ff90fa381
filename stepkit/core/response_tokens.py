"""The tokens of a trace's response, as the record keeps them.

A trace that was drawn here with its tokens kept has them in ``sample``; a scorer that read every
token puts them into its entry of ``scores``. Both under the same two names, each [tokens]:
``token_bytes``, how many bytes of the response a token holds, and ``token_logprob``, its
log-probability in nats or null. In ``sample`` there may also be ``token_entropy``,
``token_certainty`` and ``token_top``, what else the measures of core/confidence.py read at a token.
"""

from __future__ import annotations

from math import inf
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
        field, holder = "sample", _sample(record, "--keep-tokens, or take a score's with --score")
    else:
        column = find_column(record, score, "--score")
        field, holder = column.field, column.entry
        if SIZES not in holder:
            raise DataError("this score did not keep tokens", f"{field}.{SIZES}")
    return _checked(record, holder, field, LOGPROBS)


def measured_tokens(record: Json, reads: str) -> TextTokens:
    """The tokens in ``sample`` with what a measure reads at them in place of the log-probability.

    Args:
        reads: see core/confidence.ConfidenceMeasure.

    Raises DataError when they are missing, malformed, or do not add up to the response.
    """
    name = f"token_{reads}"
    sample = _sample(record, "--keep-tokens")
    if name != LOGPROBS and name not in sample:
        raise DataError("not kept: draw with --keep-confidence", f"sample.{name}")
    return _checked(record, sample, "sample", name)


def _sample(record: Json, how: str) -> Json:
    sample = record.get("sample")
    if not isinstance(sample, dict) or SIZES not in sample:
        raise DataError(f"no tokens in it: draw with {how}", f"sample.{SIZES}")
    return sample


def _checked(record: Json, holder: Json, field: str, name: str) -> TextTokens:
    sizes = _numbers(holder, SIZES, field)
    if any(type(size) is not int or size < 0 for size in sizes):
        raise DataError("expected numbers of bytes", f"{field}.{SIZES}")
    values = _numbers(holder, name, field)
    if len(values) != len(sizes):
        raise DataError(f"{len(values)} entries, but {SIZES} has {len(sizes)}", f"{field}.{name}")
    highest = 0.0 if name == LOGPROBS else inf
    kind = "a log-probability" if name == LOGPROBS else "a number"
    for index, value in enumerate(values):
        if value is not None and (not schema.is_number(value) or value > highest):
            raise DataError(f"expected {kind} or null, got {value!r}", f"{field}.{name}[{index}]")
    length = len(schema.text(record, "response").encode("utf-8", "surrogatepass"))
    if sum(sizes) != length:
        raise DataError(f"{sum(sizes)} bytes, but the response has {length}", f"{field}.{SIZES}")
    return TextTokens(sizes, values)


def _numbers(holder: Json, key: str, field: str) -> list[Any]:
    values = holder.get(key)
    if not isinstance(values, list):
        raise DataError(f"expected a list, got {schema.name_of(values)}", f"{field}.{key}")
    return values
