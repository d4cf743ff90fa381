"""The protocols of three benchmarks of step judges, as counts of each attempt that sums decide.

* ProcessBench (Zheng et al., arXiv:2412.06559): the first wrong step, 0-based, -1 for none.
  ``acc_err`` is the share of attempts with an error whose first one is named exactly, ``acc_cor``
  that of attempts without one that are cleared, F1 their harmonic mean. Several subsets are
  averaged without weights.
* PRMBench (Song et al., arXiv:2501.03124): wrong steps, 1-based in its files. Each step is judged
  by itself. PRMScore is the mean of the F1 of the valid and that of the wrong steps;
  ``first_error_acc`` asks only whether the first wrong step was called wrong. Subsets are pooled.
* AgentProcessBench: labels -1, 0, 1 of each of the agent's steps. ``step_acc`` is the share of
  labels named, ``first_error_acc`` the share of attempts whose first -1 (or its absence) is named,
  ``exact_match`` the share without a wrong label. Subsets are pooled.

Missing judgements are wrong ones. Here this paper's code differs from its text: an attempt without
any judgement has no first -1, and its compare.py takes that as right where there was no error.

0/0: an F1 whose class occurs neither in truth nor in judgement is not defined, one without a hit
is 0; the published code has -1, NaN or an exception there.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np

from stepkit.core.evaluation.intervals import Estimate, average, combined, ratio

Array = np.ndarray[Any, Any]
Counts = dict[str, float]

NONE = -1
"""No error, as a first error."""

NAMES = ("processbench", "prmbench", "agentprocessbench")

FIELDS = {"processbench": ("label", 0), "prmbench": ("error_steps", 1)} | {
    "agentprocessbench": ("step_labels", 0)
}
"""Where the benchmarks' own files have their labels, and the index of the first step there."""


REDUNDANT = ("classification", ("redundency", "redundancy", "circular"))
"""PRMBench's field and its categories (the first as its files spell it) whose marked steps are
redundant and not wrong: a redundancy score of its own, where a model has one, judges them."""

REDUNDANCY = 0.15
"""Above it a step is redundant: PRMBench's threshold for ReasonEval."""


def first_wrong(verdicts: Sequence[float | None]) -> int:
    """The first step that is 0, NONE without one. Unknown steps are passed over."""
    bad = [step for step, verdict in enumerate(verdicts) if verdict is not None and verdict < 0.5]
    return bad[0] if bad else NONE


def processbench(gold: int, judged: int | None) -> Counts:
    """Counts of one attempt; ``judged`` None is a judgement that is missing."""
    hit = float(gold == judged)
    wrong = float(gold != NONE)
    return {"err": wrong, "err_hit": wrong * hit, "cor": 1 - wrong, "cor_hit": (1 - wrong) * hit}


def prmbench(gold: Sequence[float], judged: Sequence[float | None]) -> Counts:
    """Counts of one attempt.

    Args:
        gold: [T] 1 valid, 0 wrong.
        judged: [T] the same, None missing.
    """
    pairs = [(g, 1 - g if j is None else j) for g, j in zip(gold, judged, strict=True)]
    first = first_wrong(gold)
    return {
        "tp": sum(g == 1 and j == 1 for g, j in pairs),
        "fn": sum(g == 1 and j == 0 for g, j in pairs),
        "fp": sum(g == 0 and j == 1 for g, j in pairs),
        "tn": sum(g == 0 and j == 0 for g, j in pairs),
        "first": float(first != NONE),
        "first_hit": float(first != NONE and judged[first] == 0),
    }


def agentprocessbench(gold: Sequence[float | None], judged: Sequence[float | None]) -> Counts:
    """Counts of one attempt.

    Args:
        gold: [T] -1, 0 or 1; None: not labelled, and not counted.
        judged: [T] the same, None missing.
    """
    pairs = [(g, j) for g, j in zip(gold, judged, strict=True) if g is not None]
    hits = sum(g == j for g, j in pairs)
    first = next((i for i, (g, _) in enumerate(pairs) if g == -1), NONE)
    named = next((i for i, (_, j) in enumerate(pairs) if j == -1), NONE)
    decisive = pairs if first == NONE else pairs[: first + 1]
    return {
        "labels": len(pairs),
        "hits": hits,
        "attempts": 1.0,
        "exact": float(hits == len(pairs)),
        "first_hit": float(first == named and all(j is not None for _, j in decisive)),
    }


def measures(
    protocol: str, counts: Sequence[Counts], problems: Array, size: int
) -> dict[str, Estimate]:
    """The protocol's numbers, by name, the main one first.

    Args:
        counts: [A] of each attempt, at least one.
        problems: [A] index of each attempt's problem.
        size: how many problems there are.
    """
    of = {
        name: np.bincount(problems, weights=[one[name] for one in counts], minlength=size)
        for name in counts[0]
    }
    if protocol == "processbench":
        errors, correct = ratio(of["err_hit"], of["err"]), ratio(of["cor_hit"], of["cor"])
        return {"f1": _harmonic(errors, correct), "acc_err": errors, "acc_cor": correct}
    if protocol == "prmbench":
        valid = _f1(of["tp"], of["fp"], of["fn"])
        wrong = _f1(of["tn"], of["fn"], of["fp"])
        return {
            "prmscore": average([valid, wrong]),
            "f1": valid,
            "negative_f1": wrong,
            "first_error_acc": ratio(of["first_hit"], of["first"]),
        }
    return {
        "step_acc": ratio(of["hits"], of["labels"]),
        "first_error_acc": ratio(of["first_hit"], of["attempts"]),
        "exact_match": ratio(of["exact"], of["attempts"]),
    }


def _harmonic(a: Estimate, b: Estimate) -> Estimate:
    """2 a b / (a + b), whose derivative by a is 2 b^2 / (a + b)^2; 0 where both are."""
    total = a.value + b.value
    if total == 0:
        return combined(0.0, [(a, 1.0), (b, 1.0)])
    slopes = (2 * (b.value / total) ** 2, 2 * (a.value / total) ** 2)
    return combined(2 * a.value * b.value / total, [(a, slopes[0]), (b, slopes[1])])


def _f1(hit: Array, extra: Array, missed: Array) -> Estimate:
    return ratio(2 * hit, 2 * hit + extra + missed)
