"""The label ``first``: the first wrong step by a rule, from values, counts or a score."""

from __future__ import annotations

from stepkit import schema
from stepkit.core import changepoint, trace
from stepkit.core.labels import stopping_bias
from stepkit.core.labels.first_error_rules import FirstRule, first_error, first_tested
from stepkit.core.labels.state_values import StateValues
from stepkit.errors import DataError
from stepkit.schema import Json


def of_draws(rule: FirstRule, evidence: StateValues) -> Json:
    """The first error by ``rule`` over the states of a trace.

    Raises DataError for ``drop`` and ``below`` where draws were stopped by a rule that looked at
    them: they compare values, and an unbiased value from such draws is right on average only.
    ``zero``, ``tested`` and ``posterior`` are as good as ever.
    """
    if rule.kind == "posterior":
        return _posterior(rule, evidence)
    if rule.kind == "tested":
        return _tested(rule, evidence)
    values = evidence.shares
    if rule.kind != "zero" and any(evidence.stopped):
        by = next(filter(None, evidence.stopped))
        raise DataError(
            f"draws stopped by {by} are no ground for {rule.text}: use tested, zero or posterior",
            "tree.rule",
        )
    return {
        "of": "value",
        "by": "sampler",
        "first": first_error(rule, values, evidence.assistant),
        "meta": {"rule": rule.text},
    }


def _tested(rule: FirstRule, evidence: StateValues) -> Json:
    """What the tests decided that stopped the draws; ``untested`` states are taken to be alive."""
    columns = zip(evidence.stopped, evidence.k, evidence.n, strict=True)
    lost = [stopping_bias.lost(*column) for column in columns]
    if lost[0] is None and (evidence.shares[0] or 0) > 0:
        lost[0] = False  # a search for a drop measures against the root, and does not test it
    right = _right(evidence)
    first = first_tested(lost, right, evidence.assistant)
    before = lost[: len(lost) - 1 if first in (-1, None) else first + 1]
    return {
        "of": "value",
        "by": "sampler",
        "first": first,
        "meta": {"rule": rule.text, "untested": before.count(None)},
    }


def _right(evidence: StateValues) -> bool | None:
    """How the attempt ended; None when undecided, and for a bare problem."""
    verdict = evidence.shares[-1] if evidence.settled[-1] else None
    return None if verdict is None else verdict > 0


def _posterior(rule: FirstRule, evidence: StateValues) -> Json:
    """The most probable first error, with the probability of every step (core/changepoint.py)."""
    counts = [evidence.whole_counts(state) for state in range(len(evidence.n))]
    if evidence.settled[-1]:
        counts.pop()
    found = changepoint.posterior(counts, evidence.assistant, _right(evidence))
    mode = found.mode
    chance = found.of(mode)
    known = any(n for _, n in counts)
    return {
        "of": "value",
        "by": "sampler",
        "x": [p if mine else None for p, mine in zip(found.steps, evidence.assistant, strict=True)],
        "first": mode if known and chance >= rule.threshold else None,
        "total": chance,
        "meta": {
            "rule": rule.text,
            "none": found.none,
            "rho": changepoint.RHO,
            "concentration": changepoint.CONCENTRATION,
        },
    }


def of_score(rule: FirstRule, record: Json, score: str | None) -> Json:
    """The first step whose score is below the rule's threshold.

    Args:
        score: the name of the score; None is the only one.
    """
    count = len(schema.steps(record))
    name, entry = trace.named(record, "scores", score, "--from NAME")
    scores = trace.step_numbers(entry, count, f"scores.{name}")
    first = first_error(rule, [None, *scores], trace.assistant_steps(record, count))
    return {
        "of": entry.get("of", "raw"),
        "by": entry.get("by", "scorer"),
        "first": first,
        "meta": {"rule": rule.text, "score": name},
    }
