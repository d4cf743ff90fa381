r"""Sets of real numbers: intervals and their unions, and inequalities that say the same.

(-\infty, 2) \cup (3, \infty); x < 2 or x > 3; -2 \le x \le 7; all real numbers. A pair in round
brackets without infinity may be a point and is left to the reader.
"""

from __future__ import annotations

import re
from typing import NamedTuple

from stepkit.text.splitting import split_top

INFINITY = "\\infty"
RELATION = re.compile(r"\\(?:le|ge)(?![A-Za-z])|[<>]")
VARIABLE = re.compile(r"\\?[A-Za-z]+(?:_\w)?(?:\([A-Za-z]\))?")
ALL = frozenset({"\\mathbb{R}", "all real numbers", "all reals", "r", "\\mathbf{R}",
                 "the set of all real numbers", "all real values"})  # fmt: skip


class NumberInterval(NamedTuple):
    """Ends in normal form; ``closed`` says of each whether it belongs to the interval."""

    low: str
    high: str
    closed: tuple[bool, bool]


class NumberSet(NamedTuple):
    """A union, in ascending order as written."""

    parts: tuple[NumberInterval, ...]


REALS = NumberSet((NumberInterval("-" + INFINITY, INFINITY, (False, False)),))


def intervals_of(form: str) -> NumberSet | None:
    """The intervals that ``form`` writes; None where it writes none, or may be a point."""
    if form.lower() in {one.lower() for one in ALL}:
        return REALS
    both = split_top(form, (" and ",))
    if len(both) == 2:
        return _overlap(*(_interval(part.strip(), False) for part in both))
    parts = split_top(form, ("\\cup ", "\\cup", " or "))
    found = [_interval(part.strip(), len(parts) > 1) for part in parts]
    whole = [one for one in found if one is not None]
    return NumberSet(tuple(whole)) if len(whole) == len(found) else None


def _overlap(a: NumberInterval | None, b: NumberInterval | None) -> NumberSet | None:
    """x > 2 and x < 5, where one has no lower end and the other no upper one."""
    if a is None or b is None:
        return None
    if a.low == "-" + INFINITY:
        a, b = b, a
    if a.high != INFINITY or b.low != "-" + INFINITY:
        return None
    return NumberSet((NumberInterval(a.low, b.high, (a.closed[0], b.closed[1])),))


def open_interval(low: str, high: str) -> NumberSet:
    """(low, high), where a pair in round brackets is an interval after all."""
    return NumberSet((NumberInterval(low.strip(), high.strip(), (False, False)),))


def _interval(part: str, of_union: bool) -> NumberInterval | None:
    inequality = _inequality(part)
    if inequality is not None:
        return inequality
    if len(part) < 5 or part[0] not in "([" or part[-1] not in ")]":
        return None
    ends = split_top(part[1:-1], (",",))
    if len(ends) != 2 or not all(end.strip() for end in ends):
        return None
    low, high = (_end(end) for end in ends)
    round_pair = part[0] == "(" and part[-1] == ")"
    if round_pair and not of_union and INFINITY not in part:
        return None
    return NumberInterval(low, high, (part[0] == "[", part[-1] == "]"))


def _end(text: str) -> str:
    text = text.strip()
    return (
        INFINITY if text in ("+" + INFINITY, "+ " + INFINITY) else text.replace("- \\inf", "-\\inf")
    )


def _inequality(part: str) -> NumberInterval | None:
    signs = RELATION.findall(part)
    if len(signs) not in (1, 2) or "=" in part:
        return None
    sides = [side.strip() for side in RELATION.split(part)]
    if not all(sides):
        return None
    up = [sign in ("<", "\\le") for sign in signs]
    strict = [sign in "<>" for sign in signs]
    if len(signs) == 2:
        if up[0] != up[1] or not VARIABLE.fullmatch(sides[1]):
            return None
        low, high, closed = sides[0], sides[2], (not strict[0], not strict[1])
        return (
            NumberInterval(low, high, closed)
            if up[0]
            else NumberInterval(high, low, (closed[1], closed[0]))
        )
    left, right = sides
    if VARIABLE.fullmatch(left) and not VARIABLE.fullmatch(right):
        end, below = right, up[0]
    elif VARIABLE.fullmatch(right) and not VARIABLE.fullmatch(left):
        end, below = left, not up[0]
    else:
        return None
    if below:
        return NumberInterval("-" + INFINITY, end, (False, not strict[0]))
    return NumberInterval(end, INFINITY, (not strict[0], False))
