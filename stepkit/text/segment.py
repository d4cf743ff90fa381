"""Cut a response into steps; joined, the steps are the response again.

A rule is a dict that travels in the record's ``split``, so that a continuation can be cut as the
trace was:

    {"by": "lines"}                         a step ends after a newline
    {"by": "blank"}                         a step ends after blank lines
    {"by": "marker"}                        a step begins at a line such as "Step 2:", "**Step 2.**"
    {"by": "sentence"}                      a step is a sentence; mathematics is never cut
    {"by": "regex", "pattern": "..."}       a match ends a step, or begins one with "start": true

each with ``"min_chars": N`` (a shorter step is joined to the next one, a short last one to the
previous one) and ``"max_steps": N`` (what comes after is part of the last step) where wanted.

White space never forms a step: it belongs to the step before it, at the beginning of the response
to the step after it. Text before the first marker belongs to the first step. Only a response of
white space alone is one step of white space, since it must join to itself.

Only a newline (U+000A) ends a line; a carriage return, U+2028 and their like are ordinary text.
This module does not look at tokens, roles or models.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from typing import Any

from stepkit.errors import DataError
from stepkit.text.sentences import sentence_ends

Rule = dict[str, Any]

RULES = ("lines", "blank", "sentence", "marker", "regex")
KEYS = {"by", "pattern", "start", "min_chars", "max_steps"}

BLANK_LINES = re.compile(r"\n(?:[ \t\r]*\n)+")
MARKER = re.compile(
    r"""^[ \t]* (?:
        \#{1,6} [ \t]* (?:\*\*|__)? step [ \t]* \d+[a-z]? \b      # "### Step 2"
      | (?:[-*+>][ \t]+)? (?P<mark>\*\*|__|\*|_)? step [ \t]* \d+[a-z]?
        (?: [ \t]* (?:\*\*|__|\*|_)? [ \t]* (?::|[.)](?!\d)|[-\u2013\u2014](?=\s))  # "Step 2:"
          | (?P=mark) [ \t\r]* $ )                              # "**Step 2**" alone on a line
    )""",
    re.VERBOSE | re.MULTILINE | re.IGNORECASE,
)


def split(response: str, rule: Rule) -> list[str]:
    """Cut ``response`` into steps by ``rule``.

    Returns steps whose concatenation is ``response``; [] for the empty one.
    Raises DataError naming the field of ``split`` that is no rule.
    """
    check(rule)
    pieces = _pieces(response, _cuts(response, rule))
    steps = _no_white(pieces)
    if "min_chars" in rule:
        steps = _at_least(steps, rule["min_chars"])
    if "max_steps" in rule:
        steps = _at_most(steps, rule["max_steps"])
    assert "".join(steps) == response, "the steps must join to the response"
    return steps


def first_step(text: str, rule: Rule, before: int = 0) -> str:
    """The first step of ``text``, a whole response or the continuation of a prefix.

    Args:
        before: the number of steps in the prefix that ``text`` continues; it matters to
            ``max_steps`` alone (the last step allowed is the whole remainder).

    With ``before=0`` this is ``split(text, rule)[0]``, and "" for the empty text. For a prefix that
    ends where a step of the whole would, cutting the continuation by itself differs from cutting
    the whole in these cases: white space at its beginning goes to its own first step, not to the
    last step of the prefix; text before its first marker goes to that marker's step, likewise; its
    beginning counts as the beginning of a line (markers, list numbers, "^"); a pattern or a formula
    that began in the prefix is not seen; and a remainder shorter than ``min_chars`` stands alone.
    """
    check(rule)
    most = rule.get("max_steps")
    alone = rule if most is None else {**rule, "max_steps": max(1, most - before)}
    return next(iter(split(text, alone)), "")


def check(rule: Rule) -> None:
    """Raise DataError naming the part of ``rule`` that is wrong."""
    if not isinstance(rule, dict):
        raise DataError("expected an object with the rule", "split")
    if unknown := sorted(rule.keys() - KEYS):
        raise DataError("this stepkit does not know it; upgrade stepkit", f"split.{unknown[0]}")
    by = rule.get("by")
    if by not in RULES:
        raise DataError(f"expected one of {', '.join(RULES)}, got {by!r}", "split.by")
    for name, least in (("min_chars", 0), ("max_steps", 1)):
        value = rule.get(name, least)
        if type(value) is not int or value < least:
            raise DataError(f"expected a number from {least} up, got {value!r}", f"split.{name}")
    if by == "regex":
        _pattern(rule)
    elif "pattern" in rule or "start" in rule:
        raise DataError(f'only "regex" has a pattern, and this is "{by}"', "split")


def _pattern(rule: Rule) -> re.Pattern[str]:
    """The compiled pattern; "^" and "$" match at every line."""
    pattern = rule.get("pattern")
    if not isinstance(pattern, str) or not pattern:
        raise DataError("expected a regular expression", "split.pattern")
    if not isinstance(rule.get("start", False), bool):
        raise DataError("expected true or false", "split.start")
    try:
        return re.compile(pattern, re.MULTILINE)
    except (re.error, RecursionError, OverflowError) as error:
        raise DataError(f"no regular expression: {error}: {pattern!r}", "split.pattern") from None


def _cuts(response: str, rule: Rule) -> Iterator[int]:
    """Where a piece ends and the next begins, ascending; ends of the text may be among them."""
    by = rule["by"]
    if by == "lines":
        return (match.end() for match in re.finditer("\n", response))
    if by == "blank":
        return (match.end() for match in BLANK_LINES.finditer(response))
    if by == "sentence":
        return iter(sentence_ends(response))
    if by == "marker":
        begins = (match.start() for match in MARKER.finditer(response))
        next(begins, None)  # what stands before the first marker belongs to the first step
        return begins
    matches = _pattern(rule).finditer(response)
    return (match.start() if rule.get("start") else match.end() for match in matches)


def _pieces(response: str, cuts: Iterator[int]) -> Iterator[str]:
    begin = 0
    for cut in cuts:
        if begin < cut < len(response):
            yield response[begin:cut]
            begin = cut
    if begin < len(response):
        yield response[begin:]


def _no_white(pieces: Iterator[str]) -> list[str]:
    """Join white pieces to the one before, leading ones to the one after."""
    kept: list[list[str]] = []
    leading: list[str] = []
    for piece in pieces:
        if piece.strip():
            kept.append([*leading, piece])
            leading = []
        elif kept:
            kept[-1].append(piece)
        else:
            leading.append(piece)
    if leading:
        kept.append(leading)
    return ["".join(parts) for parts in kept]


def _at_least(steps: list[str], min_chars: int) -> list[str]:
    """Join steps of fewer than ``min_chars`` characters (white space around not counted) forward.

    Forward, so that the first steps of a text do not depend on how it goes on.
    """
    kept: list[str] = []
    short: list[str] = []
    length = 0
    for step in steps:
        short.append(step)
        length += len(step)
        if length >= min_chars and len("".join(short).strip()) >= min_chars:
            kept.append("".join(short))
            short, length = [], 0
    rest = "".join(short)
    if kept:
        kept[-1] += rest
    elif rest:
        kept.append(rest)
    return kept


def _at_most(steps: list[str], max_steps: int) -> list[str]:
    if len(steps) <= max_steps:
        return steps
    return [*steps[: max_steps - 1], "".join(steps[max_steps - 1 :])]
