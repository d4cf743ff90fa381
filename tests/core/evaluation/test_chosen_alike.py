"""At k = n there is one subset: what step-eval measures there is what step-rerank chooses.

step-rerank takes the first of those tied, step-eval the mean over all orders. So for every way to
choose that both know, step-eval's number is the share right of step-rerank's choices over all
orders of the attempts: with null scores and answers, undecided verdicts, empty texts, several
verdicts on one answer, and sums that only floats tell apart.
"""

from __future__ import annotations

from itertools import permutations
from statistics import mean
from typing import Any

import pytest
from hypothesis import example, given
from hypothesis import strategies as st
from properties import examples

from stepkit import api
from stepkit.core import selection
from stepkit.core.evaluation.selection_curves import CURVES
from stepkit.core.selection import SelectionSettings
from stepkit.schema import Json

SCORES = st.sampled_from([None, 0.0, 0.1, 0.2, 0.3, 0.5, 0.9, 1.0])
AGGREGATES = [*selection.AGGREGATES, "soft-min:t=0.5", "window:size=2,of=min"]
WAYS = [
    ("majority", "min"),
    *(
        (by, how)
        for by in CURVES
        if by not in ("pass", "majority")
        for how in AGGREGATES
        if by == "best" or selection.summable(how, by)
    ),
]


def attempt(
    number: int, final: str | None, right: bool | None, x: list[float | None], **more: Any
) -> Json:
    """Attempt ``number`` at a problem, of as many steps as it has scores."""
    steps = [f"step {i}.\n" for i in range(len(x))]
    known = [value for value in x if value is not None]
    entry = {"of": "validity", "by": "scorer", "x": x, "total": known[0] if known else None}
    entry["consecutive"] = x[1:]
    record: Json = {"id": f"p/{number}", "group": "p", "problem": "p"}
    record |= {"response": "".join(steps), "steps": steps, "final": final, "correct": right}
    return {**record, **({"scores": {"prm": entry}} if x else {}), **more}


@st.composite
def groups(
    draw: st.DrawFn, scores: st.SearchStrategy[float | None] = SCORES, of: str = "validity"
) -> list[Json]:
    """One to four attempts at a problem, the first of them with a text and a verdict."""
    found = []
    for number in range(draw(st.integers(1, 4))):
        final = draw(st.sampled_from(["1", "2", None]))
        right = draw(st.sampled_from([True, False, None] if number else [True, False]))
        x = draw(st.lists(scores, min_size=0 if number else 1, max_size=3))
        found.append(attempt(number, final, right, x))
        if x:
            found[-1]["scores"]["prm"]["of"] = of
    return found


def measured(records: list[Json], by: str, how: str, *maps: str) -> float:
    """What step-eval says of a choice among all of them."""
    asked: Json = {"aggregate": [how], "map": maps, "intervals": False}
    rows = api.evaluate(records, curves=[by], k=[len(records)], **asked)
    (row,) = [row for row in rows if row["measure"] == by]
    assert row["exact"] is True
    return float(row["value"])


def chosen(records: list[Json], by: str, how: str, *maps: str) -> float:
    """How often what step-rerank chooses is right, over all orders of the attempts."""
    mapped = selection.parse_map(*maps) if maps else None
    settings = SelectionSettings(by, how, "prm", map=mapped)
    candidates = [selection.read_candidate(record, settings) for record in records]
    found = []
    for order in permutations(range(len(records))):
        notes = selection.choose([candidates[i] for i in order], settings, str.__eq__, 1)
        (first,) = (i for i, note in zip(order, notes, strict=True) if note is not None)
        found.append(float(records[first]["correct"] or False))
    return mean(found)


RAW = st.sampled_from([None, -800.0, -2.0, -0.1, 0.0, 0.2, 1.5, 3.0, 800.0])
MAPS = ["sigmoid", "softmax", "softmax:t=0.2", "rank", "rank:p=0", "rank:p=1.2", "rank:p=900"]
MAPPED = [
    *(("best", how, "sigmoid") for how in AGGREGATES),
    *(
        ("weighted", how, mapped)
        for how in AGGREGATES
        for mapped in MAPS
        if not (mapped == "sigmoid" and how in ("sum", "logits"))
        and not (mapped != "sigmoid" and how in ("product", "logits"))
    ),
    *(("log-weighted", how, "sigmoid") for how in ("min", "product", "mean", "logits")),
]


RIGHT_WITHOUT_AN_ANSWER = [
    attempt(0, None, True, [0.9]),
    attempt(1, None, False, [0.3]),
    attempt(2, None, None, [None]),
]
MIXED_VERDICTS = [
    attempt(0, "1", True, [0.2]),
    attempt(1, "1", False, [0.9]),
    attempt(2, "2", True, [1.0]),
]
A_TIE_THAT_FLOATS_MISS = [
    attempt(0, "1", True, [0.1]),
    attempt(1, "1", False, [0.2]),
    attempt(2, "2", True, [0.3]),
]
ALL_VOTES_FAR_BELOW_ONE_WITHOUT_AN_ANSWER = [
    attempt(0, "1", True, [None]),
    attempt(1, "2", False, [-800.0]),
    attempt(2, None, True, [-2.0]),
]
"""No float holds what the second weighs next to the third, which does not vote."""
for _one in ALL_VOTES_FAR_BELOW_ONE_WITHOUT_AN_ANSWER:
    _one["scores"]["prm"]["of"] = "raw"
AN_EMPTY_TEXT_WITH_AN_ANSWER = [
    attempt(0, "1", False, [0.1]),
    attempt(1, "2", True, []),
    attempt(2, "2", True, []),
]


@pytest.mark.parametrize(("by", "how"), WAYS)
@examples(25)
@example(RIGHT_WITHOUT_AN_ANSWER)
@example(MIXED_VERDICTS)
@example(A_TIE_THAT_FLOATS_MISS)
@example(AN_EMPTY_TEXT_WITH_AN_ANSWER)
@given(groups())
def test_what_is_measured_is_what_is_chosen(by: str, how: str, records: list[Json]) -> None:
    assert measured(records, by, how) == pytest.approx(chosen(records, by, how), abs=1e-9)


@pytest.mark.parametrize(("by", "how", "mapped"), MAPPED)
@examples(25)
@example(ALL_VOTES_FAR_BELOW_ONE_WITHOUT_AN_ANSWER)
@given(groups(RAW, "raw"))
def test_what_is_measured_of_mapped_scores_is_what_is_chosen(
    by: str, how: str, mapped: str, records: list[Json]
) -> None:
    found = measured(records, by, how, mapped)
    assert found == pytest.approx(chosen(records, by, how, mapped), abs=1e-9)


def test_by_hand() -> None:
    """Without an answer the best score decides, or nothing; of one answer its best attempt; a sum
    of .1 and .2 is one of .3, and the answer with two attempts is twice as often first."""
    for by, value in (("best", 1), ("majority", 1 / 3), ("weighted", 1)):
        assert measured(RIGHT_WITHOUT_AN_ANSWER, by, "min") == pytest.approx(value)
    for by, value in (("best", 1), ("majority", 1 / 2), ("weighted", 0)):
        assert measured(MIXED_VERDICTS, by, "min") == pytest.approx(value)
    assert measured(A_TIE_THAT_FLOATS_MISS, "weighted", "min") == pytest.approx(1 / 3)
    for by in ("best", "majority", "weighted"):
        assert measured(AN_EMPTY_TEXT_WITH_AN_ANSWER, by, "min") == 0
