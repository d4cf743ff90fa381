"""What a rule of segmentation may say; segment.py says what each does."""

from __future__ import annotations

import re
from typing import Any

from stepkit.errors import DataError
from stepkit.schema import is_number

SegmentRule = dict[str, Any]

RULES = ("block", "lines", "blank", "sentence", "marker", "regex", "cue", "tokens", "confidence")

DEFAULT_RULE: SegmentRule = {"by": "block"}
"""The rule where none is named."""

OWN_KEYS = {
    "regex": {"pattern", "start"},
    "tokens": {"size"},
    "confidence": {"below", "top", "quantile"},
}
"""Keys that one rule alone has."""

KEYS = {"by", "min_chars", "max_steps", "code"} | set().union(*OWN_KEYS.values())


def check(rule: SegmentRule) -> None:
    """Raise DataError naming the part of ``rule`` that is wrong."""
    if not isinstance(rule, dict):
        raise DataError("expected an object with the rule", "split")
    if unknown := sorted(rule.keys() - KEYS):
        raise DataError("this stepkit does not know it; upgrade stepkit", f"split.{unknown[0]}")
    by = rule.get("by")
    if by not in RULES:
        raise DataError(f"expected one of {', '.join(RULES)}, got {by!r}", "split.by")
    for owner, keys in OWN_KEYS.items():
        if owner != by and (found := sorted(keys & rule.keys())):
            raise DataError(f'only "{owner}" has it, and this is "{by}"', f"split.{found[0]}")
    _check_counts(rule)
    if not isinstance(rule.get("code", False), bool):
        raise DataError("expected true or false", "split.code")
    if by == "regex":
        pattern(rule)
    if by == "confidence":
        _check_confidence(rule)


NEED_TOKENS = ("tokens", "confidence")
"""Rules that cut between tokens, and so need them."""


def continued(rule: SegmentRule, before: int) -> SegmentRule:
    """The rule for a text that goes on after ``before`` steps: so many fewer may follow.

    The last step allowed is the whole rest. Raises DataError for what is no rule.
    """
    check(rule)
    most = rule.get("max_steps")
    return rule if most is None else {**rule, "max_steps": max(1, most - before)}


def _check_counts(rule: SegmentRule) -> None:
    least = {"min_chars": 0, "max_steps": 1, "top": 1, "size": 1}
    asked = [name for name in least if name in rule]
    if rule["by"] == "tokens" and "size" not in rule:
        asked.append("size")
    for name in asked:
        value = rule.get(name)
        if type(value) is not int or value < least[name]:
            raise DataError(
                f"expected a number from {least[name]} up, got {value!r}", f"split.{name}"
            )


def _check_confidence(rule: SegmentRule) -> None:
    if ("below" in rule) == ("top" in rule):
        raise DataError('"confidence" needs either "below" or "top"', "split")
    for name in ("below", "quantile"):
        value = rule.get(name, 0)
        if not is_number(value) or not 0 <= value <= 1:
            raise DataError(f"expected a number from 0 to 1, got {value!r}", f"split.{name}")


def pattern(rule: SegmentRule) -> re.Pattern[str]:
    """The compiled pattern of a regex rule; "^" and "$" match at every line. Raises DataError."""
    text = rule.get("pattern")
    if not isinstance(text, str) or not text:
        raise DataError("expected a regular expression", "split.pattern")
    if not isinstance(rule.get("start", False), bool):
        raise DataError("expected true or false", "split.start")
    try:
        return re.compile(text, re.MULTILINE)
    except (re.error, RecursionError, OverflowError) as error:
        raise DataError(f"no regular expression: {error}: {text!r}", "split.pattern") from None
