"""What a rule that stopped the draws does to k / n, and what can be done about it.

``tree.rule`` is, at a node drawn from, why a sampler stopped: ``NAME[:PARAMETER=VALUE,...]``. A
rule that looked at the draws (stopping.py) makes k / n biased. What that means for a label:

* labels of the value: the unbiased rate for that very rule (stats.unbiased_rate); refused for a
  rule that is no function of the counts, and for counts that the rule cannot have left;
* ``hard``, ``sorm`` and the first error by ``zero`` ask whether any draw came out right: exact
  under a stop at the first success, which changes nothing but the cost;
* the posterior over the first error sees the draws through their likelihood, to which no rule
  matters;
* a budget of the run that granted the draws (``budget=1`` in the rule, or ``allocated``) takes the
  correction away, also where the rule came to its end: the budget was the more likely to last where
  it ended early, as it does after a success, and a limit in tokens or seconds the more likely where
  draws were short, which goes with their outcomes, too. Decisions of tests stay: that the budget
  ends some tests before they decide makes none of the others wrong. Where nothing but a fixed
  number of draws ended it (``budget:draws``), nothing looked;
* intervals, tests, ``best-of``, pooling and the first error by ``drop`` and ``below`` have no such
  correction: null or refused.
"""

from __future__ import annotations

from functools import lru_cache

from stepkit.core import stats, stopping
from stepkit.core.tree import SHARED_RULE
from stepkit.errors import DataError

UNBIASED_RULES = ("", "fixed", "budget:draws", SHARED_RULE)
"""Rules that did not look at outcomes, without their parameters."""

REMEDY = "use --label hard, alone or with --first posterior"
"""What can be had of draws whose share is of no use."""


def biasing_rule(rule: str) -> str:
    """``rule`` (tree.rule_at) if it looked at the draws, else ""."""
    name = rule.partition(":")[0]
    return "" if name in UNBIASED_RULES or rule.partition("=")[0] in UNBIASED_RULES else rule


def unbiased_value(rule: str, k: float, n: int) -> float:
    """The value of a state whose draws ``rule`` stopped at k right of n. Raises DataError."""
    if stopping.has_budget(rule):
        raise DataError(
            f'a budget granted the draws under "{rule}", so their share cannot be corrected; '
            + REMEDY,
            "tree.rule",
        )
    rate = _rate(rule, int(k), n) if k.is_integer() else None
    if rate is None:
        raise DataError(
            f'{k:g} of {n} draws is not where "{rule}" stops, so their share cannot be corrected; '
            + REMEDY,
            "tree.rule",
        )
    return rate


@lru_cache(maxsize=4096)
def _rate(rule: str, k: int, n: int) -> float | None:
    try:
        return stats.unbiased_rate(k, n, stopping.stop_condition(rule))
    except ValueError:
        raise DataError(
            f'what "{rule}" does to a value cannot be corrected; {REMEDY}',
            "tree.rule",
        ) from None


def is_lost(rule: str, k: float, n: int) -> bool | None:
    """The result of the test ``rule``, which stopped at k right of n: is the state lost?

    None where nothing was tested, or the test did not come to an end.
    """
    try:
        return stopping.is_lost(rule, int(k), n) if rule and n else None
    except ValueError:
        return None
