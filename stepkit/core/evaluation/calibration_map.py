"""A calibration map with its provenance: made from attempts, written as JSON, applied to records.

The map names the score it was fitted on and what had made that score, and has a hash of every
problem that it saw. It is applied only to scores of the same making, and never to a problem that it
saw: what is measured with it is measured on other data.
"""

from __future__ import annotations

from collections.abc import Sequence
from math import isfinite, isnan
from typing import Any, NamedTuple

import numpy as np

from stepkit import schema
from stepkit.core import calibration
from stepkit.core.columns import column_path, find_column
from stepkit.core.evaluation import step_metrics
from stepkit.core.evaluation.attempts import MeasuredAttempt, problem_of
from stepkit.core.evaluation.step_report import counted_steps
from stepkit.errors import DataError
from stepkit.schema import Json
from stepkit.seeds import digest

KEY = "map"
FORMAT = 1


class CalibrationMap(NamedTuple):
    """A fitted map, as it is read back.

    Attributes:
        id: hash of all of it.
        method, parameters: see core/calibration.py.
        score: the score that it maps.
        name: the score that it makes; equal to ``score`` when it only has a threshold.
        of: what the made score is of.
        threshold: below which a step is wrong; None when none could be fitted.
        scorer: what had made the score.
        seen: hashes of the problems it was fitted on.
    """

    id: str
    method: str
    parameters: Json
    score: str
    name: str
    of: str
    threshold: float | None
    scorer: Any
    seen: frozenset[str]

    def check(self, record: Json) -> None:
        """Raise DataError for a problem that the map was fitted on."""
        if problem_of(record) in self.seen:
            raise DataError(
                f'group "{schema.group_of(record)}": the map was fitted on this problem; measure '
                "it on others (--on-error skip leaves these out)"
            )

    def applied(self, record: Json) -> Json:
        """The entry of ``scores`` to write. Raises DataError."""
        self.check(record)
        steps = schema.steps(record)
        column = find_column(record, column_path(self.score, "scores"), "--score NAME")
        where = column.field
        if column.entry.get("meta") != self.scorer:
            raise DataError("read by another scorer than the one the map was fitted on", where)
        x = column.x(len(steps))
        known = [step for step, value in enumerate(x) if value is not None]
        scores = np.array([x[step] for step in known], dtype=float)
        try:
            made = calibration.apply(self.method, self.parameters, scores)
        except OverflowError as error:
            raise DataError(str(error), where) from None
        mapped: list[float | None] = [None] * len(x)
        for step, value in zip(known, made.tolist(), strict=True):
            mapped[step] = value
        meta = {KEY: self.id, "from": self.score, "method": self.method}
        return {"of": self.of, "by": "scorer", "x": mapped, "meta": meta}


def fit_map(attempts: Sequence[MeasuredAttempt], method: str, score: str, gold: str) -> Json:
    """Fit a map on attempts with gold labels.

    Returns its JSON. Raises DataError when nothing can be learned from them, or when the scores
    were made by several scorers.
    """
    known = [one for one in attempts if one.truth is not None and one.counted()]
    if not known:
        raise DataError(f"nothing to fit on: no attempt has {gold}; see --gold")
    metas = [one.scores[score].meta for one in known]
    path = known[0].scores[score].path
    other = next((i for i, meta in enumerate(metas) if meta != metas[0]), None)
    if other is not None:
        raise DataError("scores of another scorer than above", path, known[other].place)
    steps, probabilities = counted_steps([[one] for one in known], score)
    try:
        parameters = calibration.fit(method, steps.score, steps.right, probabilities)
    except ValueError as error:
        raise DataError(str(error), path) from None
    made = calibration.apply(method, parameters, steps.score)
    body: Json = {
        KEY: FORMAT,
        "method": method,
        "parameters": parameters,
        "score": path.removeprefix("scores."),
        "name": _name_made(path, method),
        "of": "validity",
        "gold": gold,
        **_threshold(known, method, parameters, score),
        "steps": len(steps.right),
        "right": int(steps.right.sum()),
        "attempts": len(known),
        "problems": len({one.problem for one in known}),
        "files": list(dict.fromkeys(one.file for one in known)),
        "fit": _errors(steps, made, probabilities),
        "scorer": metas[0],
        "seen": sorted({one.problem for one in known}),
        schema.VERSION_KEY: schema.VERSION,
    }
    return body


def _name_made(path: str, method: str) -> str:
    """The score that a map writes; a threshold writes none, and is one of the column itself."""
    if method == "threshold":
        return path.removeprefix("scores.")
    return f"{path.partition('.')[2]}-{method}"


def parse_map(data: Any) -> CalibrationMap:
    """A map from its JSON. Raises DataError."""
    if not isinstance(data, dict) or data.get(KEY) != FORMAT:
        raise DataError("not a calibration map as step-eval --fit writes it")
    method, parameters, seen = (data.get(key) for key in ("method", "parameters", "seen"))
    if method not in calibration.METHODS:
        raise DataError(f"expected one of {', '.join(calibration.METHODS)}", "method")
    if not isinstance(parameters, dict):
        raise DataError("expected an object", "parameters")
    if not isinstance(seen, list) or not all(isinstance(one, str) for one in seen):
        raise DataError("expected a list of strings", "seen")
    _check_parameters(method, parameters)
    threshold = data.get("threshold")
    if threshold is not None and not schema.is_number(threshold):
        raise DataError("expected a number", "threshold")
    texts = {key: schema.text(data, key) for key in ("score", "name", "of")}
    whole = digest("map", method, str(parameters), threshold, *texts.values(), seen)
    return CalibrationMap(
        id=whole,
        method=method,
        parameters=parameters,
        threshold=threshold,
        scorer=data.get("scorer"),
        seen=frozenset(seen),
        **texts,
    )


def _check_parameters(method: str, parameters: Json) -> None:
    for key in {"temperature": ("temperature",), "platt": ("slope", "offset")}.get(method, ()):
        if not schema.is_number(parameters.get(key)):
            raise DataError("expected a number", f"parameters.{key}")
    if method == "platt" and parameters.get("input") not in ("logit", "score"):
        raise DataError("expected logit or score", "parameters.input")
    if method == "temperature" and parameters["temperature"] <= 0:
        raise DataError("expected a number above 0", "parameters.temperature")
    if method == "isotonic":
        scores, values = parameters.get("scores"), parameters.get("values")
        if not (isinstance(scores, list) and isinstance(values, list)):
            raise DataError("expected two lists", "parameters.scores")
        if len(scores) != len(values) or not all(map(schema.is_number, scores + values)):
            raise DataError("expected as many numbers as values", "parameters.scores")


def _threshold(
    attempts: Sequence[MeasuredAttempt], method: str, parameters: Json, score: str
) -> Json:
    """Threshold and F1 of the first error, on the mapped scores; nothing without both kinds."""
    cases = []
    for one in attempts:
        assert one.truth is not None
        own = [step for step, is_own in enumerate(one.own) if is_own]
        x = np.array([one.scores[score].steps[step] for step in own])
        first = one.truth.first
        if first is None or (first >= 0 and first not in own):
            continue
        place = first if first < 0 else own.index(first)
        mapped = np.full(len(x), np.nan)
        mapped[~np.isnan(x)] = calibration.apply(method, parameters, x[~np.isnan(x)])
        cases.append(([None if isnan(value) else float(value) for value in mapped], place))
    try:
        found = calibration.best_threshold(cases)
    except ValueError as error:
        if method == "threshold":
            raise DataError(str(error)) from None
        return {}
    return {"threshold": found.value, "first_error_f1": found.f1}


def _errors(steps: step_metrics.CountedSteps, made: Any, probabilities: bool) -> Json:
    """Brier and skill on the data of the fit, which proves little: before and after."""
    found: Json = {}
    for when, scores in (("before", steps.score if probabilities else None), ("after", made)):
        if scores is None or scores.min() < 0 or scores.max() > 1:
            continue
        for name, measure in (("brier", step_metrics.brier), ("skill", step_metrics.skill)):
            value = measure(steps._replace(score=scores)).value
            if isfinite(value):
                found[f"{name}_{when}"] = value
    return found
