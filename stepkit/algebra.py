r"""Whether two formulas are equal, decided exactly: parsed by math-verify, compared with SymPy.

math-verify's own comparison is not asked, since it compares with an absolute tolerance (numbers
below some 1e-15 are all equal), rounds decimals to six places, transposes and reorders. Instead the
difference is evaluated: numbers to DIGITS digits, relative to their size; formulas with variables
at several points (as in Schwartz's and Zippel's test of identities, 1979-80). Equations are equal
where one is a multiple of the other. Whatever is none of these is undecided.

This module is slow and may run for ever: it is for processes that can be killed (stepkit.grade).
"""

from __future__ import annotations

import re
from typing import Any

from stepkit.text.verdicts import DIFFERENT, SAME, Verdict, different, open_question

DIGITS = 60
EQUAL, UNEQUAL = -45, -25
"""Powers of ten of the relative difference: at most EQUAL it is none, above UNEQUAL it is one."""

DECIMAL_UNEQUAL = -9
"""The same where a decimal is in a formula, which may be rounded."""

POINTS = ((7, 11, 5), (-13, 9, 4), (17, -6, 8), (3, 5, 2), (-19, 14, 23), (29, -3, 10))
NEEDED = 3  # points at which both have a value
LETTER = re.compile(r"(?<!\\)(?<![A-Za-z])[A-Za-z](?![A-Za-z])")  # a variable by itself
UNREADABLE = open_question("a formula that cannot be read")


def prove(a: str, b: str) -> Verdict:
    """Whether the formulas ``a`` and ``b`` (LaTeX) are equal. A long computation is not stopped."""
    x, y = map(_parsed, _case_kept(a, b))
    if x is None or y is None:
        return UNREADABLE
    try:
        return _same(x, y)
    except MemoryError:
        raise
    except Exception:  # of SymPy, on what it cannot compute
        return open_question("formulas that cannot be compared")


def _case_kept(a: str, b: str) -> tuple[str, str]:
    """The formulas with R as r_9 where r is in them, too: the parser makes one of both."""
    letters = set(LETTER.findall(a + " " + b))
    twice = {one for one in letters if one.isupper() and one.lower() in letters}

    def renamed(match: re.Match[str]) -> str:
        return f"{match[0].lower()}_{{9}}" if match[0] in twice else match[0]

    return LETTER.sub(renamed, a), LETTER.sub(renamed, b)


def _parsed(formula: str) -> Any:
    """A SymPy object; None where the formula cannot be read as a whole."""
    import math_verify

    config = math_verify.LatexExtractionConfig(boxed_match_priority=0)
    found = math_verify.parse(f"\\boxed{{{formula}}}", [config], parsing_timeout=None)
    return next((one for one in found if not isinstance(one, str)), None)


def _same(x: Any, y: Any) -> Verdict:
    import sympy

    if isinstance(x, sympy.MatrixBase) or isinstance(y, sympy.MatrixBase):
        return _matrices(x, y)
    if isinstance(x, sympy.Eq) and isinstance(y, sympy.Eq):
        return _equations(x, y)
    expressions = isinstance(x, sympy.Expr) and isinstance(y, sympy.Expr)
    if not expressions:
        return SAME if x == y else open_question("formulas of kinds that are not compared")
    if x.atoms(sympy.core.function.AppliedUndef) | y.atoms(sympy.core.function.AppliedUndef):
        return SAME if x == y else open_question("functions that are not known")
    decimals = bool(x.atoms(sympy.Float) | y.atoms(sympy.Float))
    return _expressions(_exact(x), _exact(y), decimals)


def _exact(x: Any) -> Any:
    """``x`` with its decimals as fractions, and computed as far as it is written as to be done."""
    import sympy

    fractions = {one: sympy.Rational(str(one)) for one in x.atoms(sympy.Float)}
    x = x.xreplace(fractions)
    return x.xreplace({one: one.args[0] for one in x.atoms(sympy.UnevaluatedExpr)}).doit()


def _matrices(x: Any, y: Any) -> Verdict:
    import sympy

    from stepkit.text.verdicts import all_of

    x, y = (one.doit() if isinstance(one, sympy.Basic) else one for one in (x, y))
    if not (isinstance(x, sympy.MatrixBase) and isinstance(y, sympy.MatrixBase)):
        return open_question("a matrix against something else")
    if x.shape != y.shape:
        return different("matrices of other shapes")
    return all_of(*(_same(a, b) for a, b in zip(x.flat(), y.flat(), strict=True)))


def _equations(x: Any, y: Any) -> Verdict:
    """Equal where one side minus the other is the same but for a factor."""
    f, g = (_exact(one.lhs - one.rhs) for one in (x, y))
    names = sorted(f.free_symbols | g.free_symbols, key=str)
    ratios = []
    for point in POINTS:
        p, q = (_value(one, names, point) for one in (f, g))
        if p is None or q is None:
            continue
        if not p or not q:
            if bool(p) != bool(q):
                return _other_equations(f, g, names)
            continue
        ratios.append(p / q)
    if len(ratios) < NEEDED:
        return open_question("equations without values")
    if all(_exponent(ratio, ratios[0]) <= EQUAL for ratio in ratios):
        return SAME
    return _other_equations(f, g, names)


def _other_equations(f: Any, g: Any, names: list[Any]) -> Verdict:
    """Lines that are no multiples of each other differ; of other curves that is not sure."""
    linear = all(
        one.is_polynomial(*names) and one.as_poly(*names).total_degree() <= 1 for one in (f, g)
    )
    return different("other equations") if linear else open_question("equations")


def _expressions(x: Any, y: Any, decimals: bool) -> Verdict:
    if x == y:
        return SAME
    names = sorted(x.free_symbols | y.free_symbols, key=str)
    if x.is_Rational and y.is_Rational and not decimals:
        return SAME if x == y else DIFFERENT
    if not names:
        return _values(_value(x, [], ()), _value(y, [], ()), decimals, x - y)
    compared = 0
    for point in POINTS:
        p, q = (_value(one, names, point) for one in (x, y))
        if p is None or q is None:
            continue
        verdict = _values(p, q, decimals, None)
        if verdict.same is not True:
            return verdict
        compared += 1
    return SAME if compared >= NEEDED else open_question("formulas without values")


def _values(p: Any, q: Any, decimals: bool, difference: Any) -> Verdict:
    if p is None or q is None:
        return open_question("a formula without a value")
    exponent = _exponent(p, q)
    if exponent <= EQUAL:
        return SAME
    if exponent > (DECIMAL_UNEQUAL if decimals else UNEQUAL):
        near = decimals and exponent < -2
        return open_question("one may be rounded") if near else DIFFERENT
    if difference is not None and difference.equals(0):
        return SAME
    return open_question("formulas that are too near each other")


def _exponent(p: Any, q: Any) -> float:
    """The power of ten of the difference of two numbers, relative to the larger one."""
    import sympy

    size = max(abs(p), abs(q))
    gap = abs(p - q)
    if not gap:
        return float("-inf")
    return float(sympy.log(gap / size, 10).evalf(5)) if size else 0.0


def _value(x: Any, names: list[Any], point: tuple[int, ...]) -> Any:
    """The value of ``x`` at a point, to DIGITS digits; None where it has none."""
    import sympy

    at = {
        name: sympy.Rational(point[index % len(point)] + 2 * index, 5 + index)
        for index, name in enumerate(names)
    }
    found = sympy.N(x.subs(at), DIGITS)
    finite = (
        found.is_number and found.is_finite is not False and not found.has(sympy.nan, sympy.zoo)
    )
    return found if finite else None
