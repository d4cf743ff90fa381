"""What a method says of its draws is what it makes: held against runs on the sample policy."""

from __future__ import annotations

import json
from typing import Any

import pytest
from rollouts import BASE, records
from work import Workdir

from stepkit.errors import DataError
from stepkit.schema import Json
from stepkit.search.expected_draws import PLACES, expected_draws

QUICK = (*BASE[:-1], "8", "-k", "3")


THOUGHTS = (
    "The sum of 3 and 4 is 7.\n",
    "Wait, 3 + 4 is 8.\n",
    "Wait, no, it is 7.\n",
    "But so is 7 again.\nAnswer: 7",
)


@pytest.fixture
def traces(work: Workdir) -> list[Json]:
    """Three traces, of which the second has no first error."""
    given = [
        {"problem": "3 + 4?", "answer": "7", "response": "".join(THOUGHTS[:n])} for n in (4, 3)
    ]
    given.append({**given[0], "problem": "4 + 3?"})
    text = "".join(json.dumps(record) + "\n" for record in given)
    cut = records(work.run("step-split", "--by", "cue", input=text))
    assert [len(record["steps"]) for record in cut] == [3, 3, 3]
    for number, record in enumerate(cut):
        record["labels"] = {"gold": {"of": "validity", "first": -1 if number == 1 else 0}}
    return cut


def made(method: str, out: list[Json]) -> int:
    if method == "sample":
        return sum("sample" in record for record in out)
    return sum(draw >= 0 for record in out for draw in record["tree"]["draw"])


RUNS = [*((method, None) for method in PLACES), ("sample", "gold"), ("truncate", "gold")]


@pytest.mark.parametrize(("method", "at"), RUNS)
def test_expected_is_made(work: Workdir, traces: list[Json], method: str, at: str | None) -> None:
    more: tuple[str, ...] = () if at is None else ("--at", at)
    options: dict[str, Any] = {"draws": 3, "at": at}
    text = "".join(json.dumps(record) + "\n" for record in traces)
    out = records(work.run("step-rollout", *QUICK, "--method", method, *more, input=text))
    expected = [expected_draws(method, options, record) or 0 for record in traces]
    assert sum(expected) == made(method, out)
    assert (0 in expected) == (at is not None)


def test_what_depends_on_the_draws_is_not_known() -> None:
    record: Json = {"problem": "p"}
    assert expected_draws("mcts", {"searches": 4}, record) is None
    assert expected_draws("chain", {"draws": 4, "until": {"name": "hard"}}, record) is None
    assert expected_draws("sample", {"draws": 4, "budget": {"draws": 9}}, record) is None


def test_a_wrong_record_is_an_error() -> None:
    with pytest.raises(DataError):
        expected_draws("chain", {"draws": 4}, {"problem": "p", "response": "r", "steps": [1]})
