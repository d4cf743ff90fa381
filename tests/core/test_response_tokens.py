"""The tokens that a record keeps of its response, and what is wrong with those that are none."""

from __future__ import annotations

from typing import Any

import pytest

from stepkit.core.response_tokens import measured_tokens, tokens_of
from stepkit.errors import DataError

KEPT = {"token_bytes": [1, 2], "token_logprob": [None, -0.5]}


def test_they_are_those_of_the_draw_or_of_a_score() -> None:
    record = {"response": "a\u00e4", "sample": KEPT, "scores": {"prm": {**KEPT, "x": [0.5]}}}
    drawn = tokens_of(record, None)
    assert (drawn.size, drawn.logprob) == ([1, 2], [None, -0.5])
    assert tokens_of(record, "prm") == drawn


@pytest.mark.parametrize(
    ("change", "field", "message"),
    [
        ({"sample": None}, "sample.token_bytes", "--keep-tokens"),
        ({"sample": {}}, "sample.token_bytes", "--keep-tokens"),
        ({"sample": {**KEPT, "token_bytes": 3}}, "sample.token_bytes", "expected a list"),
        ({"sample": {**KEPT, "token_bytes": [1, -2]}}, "sample.token_bytes", "numbers of bytes"),
        ({"sample": {**KEPT, "token_bytes": [1, True]}}, "sample.token_bytes", "numbers of bytes"),
        ({"sample": {**KEPT, "token_logprob": None}}, "sample.token_logprob", "got null"),
        ({"sample": {**KEPT, "token_logprob": [-0.5]}}, "sample.token_logprob", "1 entries"),
        (
            {"sample": {**KEPT, "token_logprob": [-0.5, 0.5]}},
            "sample.token_logprob[1]",
            "got 0.5",
        ),
        ({"response": "a\u00e4\u00e4"}, "sample.token_bytes", "3 bytes, but the response has 5"),
    ],
)
def test_what_is_wrong_has_a_place(change: dict[str, Any], field: str, message: str) -> None:
    with pytest.raises(DataError, match=message) as refused:
        tokens_of({"response": "a\u00e4", "sample": KEPT} | change, None)
    assert refused.value.field == field


def test_what_a_measure_reads_has_a_field_of_its_own() -> None:
    record = {"response": "a\u00e4", "sample": {**KEPT, "token_entropy": [None, 1.25]}}
    assert measured_tokens(record, "entropy").logprob == [None, 1.25]
    assert measured_tokens(record, "logprob").logprob == [None, -0.5]
    with pytest.raises(DataError, match="--keep-confidence") as refused:
        measured_tokens(record, "top")
    assert refused.value.field == "sample.token_top"


def test_a_score_without_tokens_is_named() -> None:
    record = {"response": "a", "scores": {"prm": {"x": [0.5]}}}
    with pytest.raises(DataError, match="did not keep tokens") as refused:
        tokens_of(record, "prm")
    assert refused.value.field == "scores.prm.token_bytes"
