"""Several answers: tuples in their order; lists and sets in any, unless the problem asks."""

from __future__ import annotations

import re
from collections.abc import Sequence

from stepkit.text.answer_kinds.comparison import AnswerComparison
from stepkit.text.answer_kinds.matrices import cells
from stepkit.text.answer_kinds.number_intervals import is_condition
from stepkit.text.answer_kinds.values import (
    Assignment,
    Expression,
    Intervals,
    Matrix,
    Quantity,
    Sentence,
    Several,
    Value,
    Words,
)
from stepkit.text.verdicts import (
    NEEDS_ALGEBRA,
    SAME,
    Verdict,
    all_of,
    different,
    matched,
    open_question,
)

ASKS_ORDER = re.compile(
    r"\b(?:in|from) (?:increasing|ascending|decreasing|descending|order|least|smallest|greatest"
    r"|largest|alphabetical)|\border(?:ed)?\b|respectively",
    re.IGNORECASE,
)
ASKS_POINT = re.compile(
    r"coordinate|ordered|\bpoint|\bvert|\(\s*[a-z]\s*,\s*[a-z]\s*[,)]", re.IGNORECASE
)
DECIMAL_COMMA = re.compile(r"-?\d+,\d+")
MOST_ITEMS = 40  # of answers in any order


def compare(a: Several, b: Value, comparison: AnswerComparison) -> Verdict | None:
    if isinstance(b, Matrix):
        return _tuple_and_matrix(a, b, comparison)
    if not isinstance(b, Several):
        return _one_of_several(a, b, comparison)
    if {a.kind, b.kind} == {"set", "tuple"}:
        return _set_and_tuple(a, b, comparison)
    x, y = _by_name(a), _by_name(b)
    if x is not None and y is not None:
        if x.keys() != y.keys():
            return open_question("other names")
        return all_of(*(comparison.equal(value, y[name]) for name, value in x.items()))
    if x or y:
        return _in_order(_without_names(a), _without_names(b), comparison)
    if a.kind == b.kind == "tuple":
        return _in_order(a.items, b.items, comparison)
    if "tuple" in (a.kind, b.kind):
        return _tuple_and_list(a, b, comparison)
    found = _in_any_order(a, b, comparison)
    if found.same and ASKS_ORDER.search(comparison.problem):
        in_order = _in_order(a.items, b.items, comparison)
        return in_order if in_order.same else open_question("the problem asks for an order")
    return found


def _in_order(a: Sequence[Value], b: Sequence[Value], comparison: AnswerComparison) -> Verdict:
    if len(a) != len(b):
        return different("another number of answers")
    return all_of(*(comparison.equal(x, y) for x, y in zip(a, b, strict=True)))


def _in_any_order(a: Several, b: Several, comparison: AnswerComparison) -> Verdict:
    if max(len(a.items), len(b.items)) > MOST_ITEMS:
        in_order = _in_order(a.items, b.items, comparison)
        return in_order if in_order.same else open_question("too many answers to compare")
    x, y = _distinct(a, comparison), _distinct(b, comparison)
    if len(x) != len(y):
        if any(isinstance(one, Expression) for one in (*x, *y)):  # two may be the same
            return open_question("other numbers of answers")
        return different("another number of answers")
    return matched(len(x), [comparison.equal(one, other) for one in x for other in y])


def _distinct(several: Several, comparison: AnswerComparison) -> list[Value]:
    found: list[Value] = []
    for one in several.items:
        if not any(comparison.equal(one, other).same for other in found):
            found.append(one)
    return found


def _set_and_tuple(a: Several, b: Several, comparison: AnswerComparison) -> Verdict:
    found = _in_any_order(a, b, comparison)
    if not found.same:
        return found
    in_order = _in_order(a.items, b.items, comparison)
    if in_order.same:
        return open_question("a set against a tuple")
    return different("a set against a tuple in another order")


def _tuple_and_list(a: Several, b: Several, comparison: AnswerComparison) -> Verdict:
    """(1, 2, 3) against 1, 2, 3; but (1, 2) may be an interval."""
    in_order = _in_order(a.items, b.items, comparison)
    if in_order.same is None or (in_order.same and len(a.items) > 2):
        return in_order
    if in_order.same and ASKS_POINT.search(comparison.problem):
        return SAME
    found = _in_any_order(a, b, comparison)
    return found if found.same is False else open_question("a tuple against a list")


def _tuple_and_matrix(a: Several, b: Matrix, comparison: AnswerComparison) -> Verdict:
    vector = len(b.rows) == 1 or all(len(row) == 1 for row in b.rows)
    if not vector or a.kind == "set":
        return different("a matrix against several answers")
    found = _in_order(a.items, cells(b), comparison)
    return open_question("a matrix against a tuple") if found.same else found


def _one_of_several(a: Several, b: Value, comparison: AnswerComparison) -> Verdict | None:
    distinct = _distinct(a, comparison)
    if len(distinct) == 1 and a.kind != "tuple":
        return comparison.equal(distinct[0], b)
    if isinstance(b, Intervals):
        return None
    if isinstance(b, (Words, Sentence)) or (isinstance(b, Expression) and is_condition(b.text)):
        return open_question("several answers against one")
    if all(isinstance(one, Quantity) for one in distinct):
        return open_question("several quantities against one number")
    if DECIMAL_COMMA.fullmatch(a.text):
        decimal = comparison.equal(comparison.read(a.text.replace(",", ".")), b)
        if decimal == NEEDS_ALGEBRA:
            return decimal
        if decimal.same is not False:
            return open_question("its comma may be a decimal one")
    return different("several answers against one")


def _by_name(several: Several) -> dict[str, Value] | None:
    """Name -> value, where every item has a name."""
    named = [one for one in several.items if isinstance(one, Assignment)]
    if len(named) != len(several.items) or not named:
        return None
    return {one.name: one.value for one in named}


def _without_names(several: Several) -> list[Value]:
    return [one.value if isinstance(one, Assignment) else one for one in several.items]
