"""Reports and calibration maps from records: by hand, and what is refused."""

from __future__ import annotations

from math import exp
from typing import Any

import pytest

from stepkit.core.evaluation import calibration_map
from stepkit.core.evaluation.attempts import (
    AttemptFields,
    GoldLabels,
    GoldSource,
    MeasuredAttempt,
    read_attempt,
    tokens_of,
)
from stepkit.core.evaluation.measure_types import ReportOptions
from stepkit.core.evaluation.report import report
from stepkit.errors import DataError, UsageError
from stepkit.schema import Json


def attempt(group: str, x: list[float | None], **more: Any) -> Json:
    steps = [f"{i}\n" for i in range(len(x))]
    score = {"of": "validity", "by": "scorer", "x": x}
    record = {"group": group, "problem": group, "response": "".join(steps), "steps": steps}
    return {**record, "scores": {"prm": score}, **more}


def gold(first: int | None, **more: Any) -> Json:
    return {"labels": {"gold": {"first": first, **more}}}


def read_all(records: list[Json], **wanted: Any) -> list[MeasuredAttempt]:
    fields = AttemptFields(scores={"prm": "prm"}, **wanted)
    return [read_attempt(record, fields, place=f"line {i}") for i, record in enumerate(records)]


def rows(records: list[Json], wanted: Json | None = None, **options: Any) -> dict[str, Json]:
    """Rows by measure and k."""
    found = report(read_all(records, **wanted or {}), ReportOptions(**options), str.__eq__)
    return {f"{row['measure']}{row.get('k', '')}": row for row in found if "against" not in row}


JUDGED = [
    attempt("p", [0.9, 0.8], correct=True, final="4"),
    attempt("p", [0.9, 0.1], correct=False, final="5"),
    attempt("q", [0.2, 0.3], correct=False, final="7"),
    attempt("q", [0.6, 0.7], correct=True, final="8"),
]


def test_curves_by_hand() -> None:
    found = rows(JUDGED)
    assert found["data"]["problems"] == 2 and found["data"]["attempts"] == 4
    assert found["pass1"]["value"] == 0.5 and found["pass2"]["value"] == 1.0
    assert found["best2"]["value"] == 1.0  # by min: 0.8 > 0.1 and 0.6 > 0.2
    assert found["majority2"]["value"] == 0.5  # one vote each: either, with equal chance
    assert found["auc_attempts"]["value"] == 1.0


def test_a_difference_is_paired_by_problem() -> None:
    options = ReportOptions(against=("single",), curves=("best",), ks=(2,))
    found = report(read_all(JUDGED), options, str.__eq__)
    (gap,) = [row for row in found if "against" in row]
    assert gap["value"] == 0.5 and gap["problems"] == 2


def test_what_cannot_be_compared_or_measured_is_refused() -> None:
    with pytest.raises(UsageError, match="--against nonsense: there is"):
        report(read_all(JUDGED), ReportOptions(against=("nonsense",)), str.__eq__)
    with pytest.raises(DataError, match="--k 3: no problem has more than 2"):
        report(read_all(JUDGED), ReportOptions(ks=(3,)), str.__eq__)
    bare = read_all([attempt("p", [0.5])])
    with pytest.raises(DataError, match="neither verdicts"):
        report(bare, ReportOptions(), str.__eq__)
    with pytest.raises(DataError, match="need verdicts"):
        report(bare, ReportOptions(curves=("best",)), str.__eq__)
    with pytest.raises(DataError, match=r"no labels\.gold and no .label. "):
        report(bare, ReportOptions(protocol="processbench"), str.__eq__)


def test_step_measures_by_hand() -> None:
    found = rows([attempt("p", [0.9, 0.4], **gold(1)), attempt("q", [0.8, 0.6], **gold(-1))])
    assert found["auc_steps"]["value"] == 1.0 and found["auc_steps"]["steps"] == 4
    assert found["base_rate"]["value"] == 0.75
    errors = [0.1**2, 0.4**2, 0.2**2, 0.4**2]
    assert found["brier"]["value"] == pytest.approx(sum(errors) / 4)


def test_processbench_judges_by_a_threshold_or_by_a_label() -> None:
    records = [
        attempt("p", [0.9, 0.4], **gold(1)),  # found
        attempt("q", [0.9, 0.9], **gold(0)),  # missed
        attempt("r", [0.9, 0.6], **gold(-1)),  # right
        attempt("s", [0.1, 0.6], **gold(-1)),  # accused
    ]
    found = rows(records, {"protocol": "processbench"}, protocol="processbench")
    values = {name: row["value"] for name, row in found.items() if "value" in row}
    assert values["acc_err"] == 0.5 and values["acc_cor"] == 0.5
    assert values["f1"] == 0.5 and found["f1"]["threshold"] == 0.5
    for record, first in zip(records, (1, 0, -1, -1), strict=True):
        record["labels"]["judge"] = {"first": first}
    wanted = {"protocol": "processbench", "judge": "judge"}
    assert rows(records, wanted, protocol="processbench")["f1"]["value"] == 1.0


def test_scores_that_are_no_probabilities_need_a_threshold() -> None:
    raw = attempt("p", [3.0, -1.0], **gold(1))
    with pytest.raises(DataError, match="give --threshold"):
        rows([raw], {"protocol": "processbench"}, protocol="processbench")


def test_processbench_is_the_mean_of_its_parts() -> None:
    records = [
        attempt("p", [0.9, 0.4], **gold(1), level="easy"),
        attempt("q", [0.9, 0.9], **gold(-1), level="easy"),
        attempt("r", [0.9, 0.9], **gold(0), level="hard"),
        attempt("s", [0.9, 0.4], **gold(-1), level="hard"),
        attempt("t", [0.9, 0.4], **gold(-1), level="hard"),
    ]
    wanted = {"protocol": "processbench", "part": "level"}
    found = report(read_all(records, **wanted), ReportOptions(protocol="processbench"), str.__eq__)
    f1 = {row.get("part", ""): row for row in found if row["measure"] == "f1"}
    assert {part: row["value"] for part, row in f1.items()} == {"easy": 1.0, "hard": 0.0, "": 0.5}
    assert f1[""]["mean_of_parts"] == 2


def test_prmbench_counts_steps_and_judges_redundant_ones_by_another_score() -> None:
    wrong = attempt("p", [0.9, 0.2, 0.9], error_steps=[2])
    wanted: Json = {"protocol": "prmbench"}
    assert rows([wrong], wanted, protocol="prmbench")["prmscore"]["value"] == 1.0
    redundant = {**wrong, "classification": "redundency"}
    redundant["scores"] = {**wrong["scores"], "double": {"of": "raw", "x": [0.0, 0.9, 0.0]}}
    wanted |= {"redundancy": "double"}
    found = rows([redundant], wanted, protocol="prmbench", redundancy=0.5)
    assert found["prmscore"]["value"] == 1.0 and found["prmscore"]["redundancy"] == 0.5
    found = rows([redundant], wanted, protocol="prmbench", redundancy=1.0)
    assert found["negative_f1"]["value"] == 0.0


def test_a_protocol_takes_its_own_labels_only() -> None:
    half = attempt("p", [0.5, 0.5], **gold(None, x=[1, 0.5]))
    with pytest.raises(DataError, match="prmbench has labels 0, 1 only"):
        rows([half], {"protocol": "prmbench"}, protocol="prmbench")
    good = attempt("p", [0.5, 0.5], **gold(1))
    with pytest.raises(DataError, match=r"no attempt has labels\.judge"):
        rows([good], {"protocol": "processbench", "judge": "judge"}, protocol="processbench")
    with pytest.raises(DataError, match="no scores to judge by"):
        report(
            [read_attempt(good, AttemptFields(protocol="processbench"))],
            ReportOptions(protocol="processbench"),
            str.__eq__,
        )


@pytest.mark.parametrize(
    ("value", "base", "first", "steps"),
    [
        (1, 0, 1, None),
        (2, 1, 1, None),
        (-1, 1, -1, None),
        ([2], 1, 1, (1.0, 0.0, 1.0)),
        ([1, 0, 1], 0, 1, (1, 0, 1)),
        ({"1": 1, "2": 0, "3": 1}, 1, 1, (1, 0, 1)),
        ({"1": 1}, 1, None, (1, None, None)),
    ],
)
def test_gold_of_a_field(
    value: Any, base: int, first: int | None, steps: tuple[float | None, ...] | None
) -> None:
    record = attempt("p", [0.5, 0.5, 0.5], truth=value)
    read = read_attempt(record, AttemptFields(gold=GoldSource("truth", base)))
    assert read.truth == GoldLabels(first, steps)


@pytest.mark.parametrize(
    ("value", "base", "complaint"),
    [
        (3, 0, "expected a step, -1 .. 2, got 3"),
        (True, 0, "got True"),
        ([0], 1, "expected a list of steps, 1 .. 3"),
        ({"a": 1}, 0, "expected numbers of steps as keys"),
        ([1, 0], 0, "2 entries, but there are 3 steps"),
    ],
)
def test_gold_that_is_none_is_refused(value: Any, base: int, complaint: str) -> None:
    record = attempt("p", [0.5, 0.5, 0.5], truth=value)
    with pytest.raises(DataError, match=complaint):
        read_attempt(record, AttemptFields(gold=GoldSource("truth", base)))


def test_gold_labels_count_up_to_the_first_error() -> None:
    assert GoldLabels(1).counted([True, True, True]) == [(0, 1.0), (1, 0.0)]
    assert GoldLabels(None).counted([True]) == []
    assert GoldLabels(1, (1, 0, None)).counted([True, False, True]) == [(0, 1.0)]
    read = read_attempt(attempt("p", [0.1], **gold(None, x=[0.5])), AttemptFields(), place="a:7")
    with pytest.raises(DataError, match=r"a:7.*neither 0 nor 1"):
        read.counted()


def test_tokens_are_those_of_the_attempt_and_of_its_draws() -> None:
    assert tokens_of(attempt("p", [0.5])) is None
    assert tokens_of(attempt("p", [0.5], sample={"tokens": 7})) == 7


def test_an_attempt_without_a_response_or_part_is_refused() -> None:
    with pytest.raises(DataError, match="no attempt to measure"):
        read_attempt({"problem": "p"}, AttemptFields())
    with pytest.raises(DataError, match="expected a string, got an object"):
        read_attempt(attempt("p", [0.5], level={}), AttemptFields(part="level"))


# ---- calibration maps -----------------------------------------------------------------------


def fitted(method: str = "platt") -> Json:
    records = [
        attempt(f"p{i}", [x, y], **gold(1 if y < 0.5 else -1))
        for i, (x, y) in enumerate([(0.9, 0.2), (0.8, 0.7), (0.7, 0.4), (0.6, 0.9), (0.9, 0.6)])
    ]
    records.append(attempt("odd", [0.9, 0.8], **gold(1)))
    return calibration_map.fit_map(read_all(records), method, "prm", "labels.gold")


def test_a_fitted_map_maps_scores_of_other_problems_only() -> None:
    data = fitted()
    assert (data["steps"], data["attempts"], data["problems"]) == (12, 6, 6)
    read = calibration_map.parse_map(data)
    entry = read.applied(attempt("new", [0.9, None]))
    slope, offset = data["parameters"]["slope"], data["parameters"]["offset"]
    logit = 2.1972245773362196  # log(0.9 / 0.1)
    assert entry["x"] == [pytest.approx(1 / (1 + exp(-slope * logit - offset))), None]
    assert entry["meta"] == {"map": read.id, "from": "prm", "method": "platt"}
    with pytest.raises(DataError, match="fitted on this problem"):
        read.applied(attempt("p1", [0.5, 0.5]))
    other = attempt("new", [0.5])
    other["scores"]["prm"]["meta"] = {"model": "another"}
    with pytest.raises(DataError, match="another scorer"):
        read.applied(other)


def test_a_map_needs_gold_of_one_scorer() -> None:
    with pytest.raises(DataError, match="nothing to fit on"):
        calibration_map.fit_map(read_all([attempt("p", [0.5])]), "platt", "prm", "labels.gold")
    one, other = attempt("p", [0.5], **gold(0)), attempt("q", [0.9], **gold(-1))
    other["scores"]["prm"]["meta"] = {"model": "another"}
    with pytest.raises(DataError, match="another scorer"):
        calibration_map.fit_map(read_all([one, other]), "platt", "prm", "labels.gold")


@pytest.mark.parametrize(
    ("changes", "complaint"),
    [
        ({"map": 2}, "not a calibration map"),
        ({"method": "spline"}, "method"),
        ({"parameters": []}, "parameters"),
        ({"parameters": {"slope": "1"}}, "parameters.slope"),
        ({"parameters": {"slope": 1, "offset": 0, "input": "odds"}}, "parameters.input"),
        ({"method": "temperature", "parameters": {"temperature": 0}}, "above 0"),
        ({"method": "isotonic", "parameters": {"scores": 1}}, "two lists"),
        ({"method": "isotonic", "parameters": {"scores": [1], "values": []}}, "as many numbers"),
        ({"seen": [1]}, "seen"),
        ({"threshold": "low"}, "threshold"),
    ],
)
def test_a_map_that_is_none_is_refused(changes: Json, complaint: str) -> None:
    with pytest.raises(DataError, match=complaint):
        calibration_map.parse_map(fitted() | changes)
