r"""Whether two final answers are the same: true and false only where that is sure.

Both are read (answer_values.py) and compared by their kinds; whatever is doubtful is undecided,
with a reason. In this order: the same spelling; letters of a choice, with the problem's own
options; names ("x = 5" against 5); percentages, which equal a bare number only where the problem
asks for a percentage; quantities, whose unit may be missing on one side and is converted where both
have one; then two of one kind, part by part: numbers exactly (a rounded one is left open), times,
numerals with bases, ratios, intervals and inequalities, matrices, sequences with dots, lists, sets
and tuples, words. Formulas are left to algebra (stepkit.algebra), which ``prove`` asks.

The order of the two does not matter. ``problem`` is the text of the problem, where it is known.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Sequence
from fractions import Fraction

from stepkit.text.answer_spelling import key, latex, normal_form
from stepkit.text.answer_values import (
    Based,
    Choice,
    Clock,
    Elided,
    Expression,
    Matrix,
    Named,
    Percentage,
    Plain,
    Quantity,
    Ratio,
    Region,
    Sentence,
    Several,
    Value,
    Words,
    read,
    value_of,
)
from stepkit.text.choices import options_of
from stepkit.text.number_sets import NumberSet, open_interval
from stepkit.text.number_spelling import Number, terminates
from stepkit.text.unit_conversion import Unit, may_convert
from stepkit.text.verdicts import (
    DIFFERENT,
    NEEDS_ALGEBRA,
    SAME,
    Verdict,
    all_of,
    different,
    matched,
    open_question,
)

Prove = Callable[[str, str], Verdict]
"""Decides whether two formulas in LaTeX are equal."""

DECIMAL_COMMA = re.compile(r"-?\d+,\d+")
ASKS_PERCENT = re.compile(r"percent|per cent|\\?%[^.?!]*\?", re.IGNORECASE)
ASKS_RATIO = re.compile(r"\bratio\b|\bodds\b", re.IGNORECASE)
ASKS_ORDER = re.compile(
    r"\b(?:in|from) (?:increasing|ascending|decreasing|descending|order|least|smallest|greatest"
    r"|largest|alphabetical)|\border(?:ed)?\b|respectively",
    re.IGNORECASE,
)
ASKS_POINT = re.compile(
    r"coordinate|ordered|\bpoint|\bvert|\(\s*[a-z]\s*,\s*[a-z]\s*[,)]", re.IGNORECASE
)
CONDITION = re.compile(r"[=<>]|\\(?:ne|le|ge|in|pm|mp|cup|cap|setminus|mathbb|dots)\b")
ASKS_ROUND = re.compile(r"\bround|nearest|approximat|decimal place|significant", re.IGNORECASE)
NEGATIONS = re.compile(
    r"no (?:real |integer |valid |possible )?(?:solutions?|answers?|values?|roots?)|none|no|dne"
    r"|undefined|does not exist|impossible|empty set|not defined|infeasible|no such \w+|never"
    r"|zero|nothing",
    re.IGNORECASE,
)
BOUND = re.compile(
    r"\b(?:at (?:least|most)|(?:less|more|greater|fewer|other|larger|smaller) than|up to|over|under"
    r"|below|above|between|not|no|minimum|maximum|times)\b",
    re.IGNORECASE,
)
ARTICLES = re.compile(r"\b(?:the|an?|is|it|are|of)\b|[.!,']", re.IGNORECASE)
SHORT = 4  # words
MOST_ITEMS = 40  # of answers in any order


def no_algebra(a: str, b: str) -> Verdict:
    """A ``prove`` that leaves every formula open."""
    return NEEDS_ALGEBRA


def compare(
    reference: str, final: str | None, problem: str = "", prove: Prove = no_algebra
) -> Verdict:
    """Whether two answers are the same. No answer (None) is undecided.

    With the default ``prove`` the verdict may be NEEDS_ALGEBRA.
    """
    if final is None or not final.strip():
        return open_question("no answer")
    if reference.isdecimal() and final.isdecimal() and max(len(reference), len(final)) < 18:
        return SAME if int(reference) == int(final) else DIFFERENT  # most questions by far
    if reference == final and reference.strip():
        return SAME
    a, b = value_of(reference), value_of(final)
    if not a.text:
        return open_question("the reference is empty")
    return _Comparison(problem, prove).values(a, b)


def quick(reference: str, final: str | None) -> bool | None:
    """True or False where that is sure without algebra, else None."""
    return compare(reference, final).same


def canonical(answer: str) -> str:
    """``answer`` in one spelling; its meaning is kept."""
    return normal_form(answer)


class _Comparison:
    """Compares values under what one problem asks for."""

    def __init__(self, problem: str, prove: Prove) -> None:
        self.problem, self.prove = problem, prove

    def values(self, a: Value, b: Value) -> Verdict:
        if key(a.text) == key(b.text):
            return SAME
        if key(a.text).rstrip("!") == key(b.text).rstrip("!"):
            return open_question("a factorial or an exclamation")
        if max(len(a.text), len(b.text)) > 1000:
            return open_question("too long to compare")
        for rule in (
            self._choices,
            self._names,
            self._percentages,
            self._regions,
            self._sequences,
            self._several,
            self._matrices,
            self._clocks,
            self._ratios,
            self._based,
            self._quantities,
            self._numbers,
            self._words,
        ):
            for x, y in ((a, b), (b, a)):
                verdict = rule(x, y)
                if verdict is not None:
                    return verdict
        return self._formulas(a, b)

    def _choices(self, a: Value, b: Value) -> Verdict | None:
        if not isinstance(a, Choice):
            return None
        if isinstance(b, Choice):
            if a.letter != b.letter:
                if a.letter.lower() == b.letter.lower():
                    return open_question("letters that differ in case")
                return different("another choice")
            return SAME
        if isinstance(b, Several) and all(isinstance(one, Choice) for one in b.items):
            return different("one choice against several")
        if a.words and self.values(read(a.words), b).same:
            return SAME
        options = options_of(self.problem)
        if a.letter.upper() in options:
            verdicts = {letter: self.values(value_of(text), b) for letter, text in options.items()}
            own = verdicts[a.letter.upper()]
            if own.same:
                return SAME
            if any(verdict.same for verdict in verdicts.values()):
                return different("the text of another choice")
            return own if own == NEEDS_ALGEBRA else open_question("a choice against its text")
        if b.text.lower() == a.letter.lower():
            return open_question("letters that differ in case")
        if isinstance(b, Expression) or (isinstance(b, Words) and len(b.text) == 1):
            return self._formulas(a, b) if not a.words and a.text.isalpha() else None
        return open_question(
            "a letter of a choice, and the problem does not say what it stands for"
        )

    def _names(self, a: Value, b: Value) -> Verdict | None:
        if not isinstance(a, Named):
            return None
        if isinstance(b, Named):
            if a.name == b.name or _is_label(a.name) or _is_label(b.name):
                return self.values(a.value, b.value)
            whole = self._formulas(a, b)
            return open_question("other names") if whole.same is False else whole
        if isinstance(b, Expression) and "=" in b.text:
            return self._formulas(a, b)
        if isinstance(b, Several) and any(isinstance(one, Named) for one in b.items):
            return None
        return self.values(a.value, b)

    def _percentages(self, a: Value, b: Value) -> Verdict | None:
        if not isinstance(a, Percentage):
            return None
        if isinstance(b, Percentage):
            return self.values(a.value, b.value)
        if isinstance(b, Quantity):
            return different("a percentage against a quantity")
        if not isinstance(b, (Plain, Expression)):
            return None
        bare = self.values(a.value, b)
        if bare.same and ASKS_PERCENT.search(self.problem):
            return SAME
        if bare.same:
            return open_question(
                "a percent sign on one side, and the problem asks for no percentage"
            )
        if isinstance(a.value, Plain) and isinstance(b, Plain):
            if a.value.number.value == 100 * b.number.value:
                return open_question("a percentage against a share")
            return bare
        return open_question("a percentage against a formula") if bare.same is False else bare

    def _regions(self, a: Value, b: Value) -> Verdict | None:
        if not isinstance(a, Region):
            return None
        other = _intervals(b)
        if other is not None:
            return self._intervals(a.intervals, other)
        if isinstance(b, (Several, Sentence, Words)) or _is_condition(b.text):
            return open_question("an interval against something else")
        return different("an interval against a single answer")

    def _intervals(self, a: NumberSet, b: NumberSet) -> Verdict:
        if len(a.parts) != len(b.parts):
            return open_question("unions of other numbers of intervals")
        verdicts = [
            all_of(
                DIFFERENT if x.closed != y.closed else SAME,
                self._ends(x.low, y.low),
                self._ends(x.high, y.high),
            )
            for x in a.parts
            for y in b.parts
        ]
        return matched(len(a.parts), verdicts)

    def _ends(self, a: str, b: str) -> Verdict:
        if key(a) == key(b):
            return SAME
        return DIFFERENT if "\\infty" in a + b else self.values(read(a), read(b))

    def _sequences(self, a: Value, b: Value) -> Verdict | None:
        if not isinstance(a, Elided):
            return None
        if not isinstance(b, Elided):
            return open_question("a sequence with dots against one without")
        heads = [self.values(x, y) for x, y in zip(a.before, b.before, strict=False)]
        tails = [self.values(x, y) for x, y in zip(a.after[::-1], b.after[::-1], strict=False)]
        verdict = all_of(*heads, *tails)
        if verdict.same and (len(a.before), len(a.after)) != (len(b.before), len(b.after)):
            return open_question("sequences that are cut at other places")
        return verdict

    def _several(self, a: Value, b: Value) -> Verdict | None:
        if not isinstance(a, Several):
            return None
        if isinstance(b, Matrix):
            return self._vector(a, b)
        if not isinstance(b, Several):
            return self._one_of_several(a, b)
        if {a.kind, b.kind} == {"set", "tuple"}:
            found = self._members(a, b)
            if not found.same:
                return found
            in_order = self._in_order(a.items, b.items)
            return (
                open_question("a set against a tuple")
                if in_order.same
                else different("a set against a tuple in another order")
            )
        named = [_by_name(one) for one in (a, b)]
        if named[0] is not None and named[1] is not None:
            if named[0].keys() != named[1].keys():
                return open_question("other names")
            return all_of(*(self.values(x, named[1][name]) for name, x in named[0].items()))
        if named[0] or named[1]:
            return self._in_order(_unnamed(a), _unnamed(b))
        if a.kind == b.kind == "tuple":
            return self._in_order(a.items, b.items)
        if "tuple" in (a.kind, b.kind):
            return self._tuple_and_list(a, b)
        found = self._members(a, b)
        if found.same and ASKS_ORDER.search(self.problem):
            in_order = self._in_order(a.items, b.items)
            return in_order if in_order.same else open_question("the problem asks for an order")
        return found

    def _tuple_and_list(self, a: Several, b: Several) -> Verdict:
        """(1, 2, 3) against 1, 2, 3; but (1, 2) may be an interval."""
        in_order = self._in_order(a.items, b.items)
        if in_order.same is None or (in_order.same and len(a.items) > 2):
            return in_order
        if in_order.same and ASKS_POINT.search(self.problem):
            return SAME
        found = self._members(a, b)
        return found if found.same is False else open_question("a tuple against a list")

    def _in_order(self, a: Sequence[Value], b: Sequence[Value]) -> Verdict:
        if len(a) != len(b):
            return different("another number of answers")
        return all_of(*(self.values(x, y) for x, y in zip(a, b, strict=True)))

    def _members(self, a: Several, b: Several) -> Verdict:
        if max(len(a.items), len(b.items)) > MOST_ITEMS:
            in_order = self._in_order(a.items, b.items)
            return in_order if in_order.same else open_question("too many answers to compare")
        x, y = self._distinct(a), self._distinct(b)
        if len(x) != len(y):
            if any(isinstance(one, Expression) for one in (*x, *y)):  # two may be the same
                return open_question("other numbers of answers")
            return different("another number of answers")
        return matched(len(x), [self.values(one, other) for one in x for other in y])

    def _distinct(self, several: Several) -> list[Value]:
        found: list[Value] = []
        for one in several.items:
            if not any(self.values(one, other).same for other in found):
                found.append(one)
        return found

    def _one_of_several(self, a: Several, b: Value) -> Verdict | None:
        distinct = self._distinct(a)
        if len(distinct) == 1 and a.kind != "tuple":
            return self.values(distinct[0], b)
        if isinstance(b, Region):
            return None
        if isinstance(b, (Words, Sentence)) or (
            isinstance(b, Expression) and _is_condition(b.text)
        ):
            return open_question("several answers against one")
        if all(isinstance(one, Quantity) for one in distinct):
            return open_question("several quantities against one number")
        if DECIMAL_COMMA.fullmatch(a.text):
            return open_question("its comma may be a decimal one")
        return different("several answers against one")

    def _vector(self, a: Several, b: Matrix) -> Verdict:
        cells = [cell for row in b.rows for cell in row]
        line = len(b.rows) == 1 or all(len(row) == 1 for row in b.rows)
        if not line or a.kind == "set":
            return different("a matrix against several answers")
        found = self._in_order(a.items, cells)
        return open_question("a matrix against a tuple") if found.same else found

    def _matrices(self, a: Value, b: Value) -> Verdict | None:
        if not isinstance(a, Matrix):
            return None
        if not isinstance(b, Matrix):
            if isinstance(b, (Expression, Named, Sentence)):
                return self._formulas(a, b)
            return different("a matrix against a single answer")
        if [len(row) for row in a.rows] != [len(row) for row in b.rows]:
            return different("matrices of other shapes")
        cells = zip(
            (cell for row in a.rows for cell in row), (cell for row in b.rows for cell in row),
            strict=True,
        )  # fmt: skip
        return all_of(*(self.values(x, y) for x, y in cells))

    def _clocks(self, a: Value, b: Value) -> Verdict | None:
        if not isinstance(a, Clock):
            return None
        if isinstance(b, Clock):
            return self._times(a, b)
        if isinstance(b, Ratio):
            proportion = self._proportion(_ratio_of(a), b)
            return (
                proportion if ASKS_RATIO.search(self.problem) else different("a time and a ratio")
            )
        if isinstance(b, Plain):
            if a.parts[1:] == (0,) and ":" not in a.text:
                bare = b.number.value == a.parts[0]
                return SAME if bare else different("another hour")
            if a.parts[1:] == (0,) and b.number.value == a.parts[0]:
                return open_question("a time against a number")
            if ASKS_RATIO.search(self.problem):
                return self._proportion(_ratio_of(a), b)
            return different("a time against a number")
        return None

    def _times(self, a: Clock, b: Clock) -> Verdict:
        if not (a.half or b.half) and ASKS_RATIO.search(self.problem):
            return self._proportion(_ratio_of(a), _ratio_of(b))
        x, y = (_trimmed(one.parts) for one in (a, b))
        if bool(a.half) != bool(b.half):
            if x == y:
                return open_question("am or pm on one side only")
            later = [(one[0] % 12 + 12, *one[1:]) for one in (x, y)]
            return (
                open_question("am or pm on one side only")
                if later[0] == later[1]
                else different("another time")
            )
        return SAME if (x, a.half) == (y, b.half) else different("another time")

    def _ratios(self, a: Value, b: Value) -> Verdict | None:
        if not isinstance(a, Ratio):
            return None
        if isinstance(b, (Ratio, Plain)):
            return self._proportion(a, b)
        return open_question("a ratio against something else")

    def _proportion(self, a: Ratio, b: Value) -> Verdict:
        if isinstance(b, Ratio):
            x, y = (
                [part.number.value for part in one.parts if isinstance(part, Plain)]
                for one in (a, b)
            )
            if len(x) != len(y):
                return different("ratios of other lengths")
            same = all(x[0] * d == c * y[0] for c, d in zip(x, y, strict=True))
            return SAME if same else different("another ratio")
        assert isinstance(b, Plain)
        parts = [part.number.value for part in a.parts if isinstance(part, Plain)]
        if len(parts) == 2 and parts[1] and parts[0] == parts[1] * b.number.value:
            asked = ASKS_RATIO.search(self.problem)
            return SAME if asked else open_question("a ratio against a number")
        return different("another ratio")

    def _based(self, a: Value, b: Value) -> Verdict | None:
        if not isinstance(a, Based):
            return None
        if isinstance(b, Based):
            if a.digits == b.digits:
                return SAME if a.base == b.base else different("another base")
            return different("other digits") if a.base == b.base else open_question("other bases")
        if not isinstance(b, Plain):
            return None
        if a.base == "10":
            return self.values(read(a.digits), b)
        if key(b.text).lower() != a.digits:
            return different("other digits")
        asked = re.search(
            rf"base[ -]*\$?{re.escape(a.base)}\b|_\{{?{re.escape(a.base)}\b", self.problem
        )
        return SAME if asked else open_question("the base is left out")

    def _quantities(self, a: Value, b: Value) -> Verdict | None:
        if not isinstance(a, Quantity):
            return None
        if isinstance(b, Quantity):
            return self._two_quantities(a, b)
        if isinstance(b, (Plain, Expression)):
            verdict = self.values(a.value, b)
            if verdict.same and not a.sure:
                return open_question("a letter that may be a unit or a variable")
            if verdict.same is False:
                return self._in_another_unit(a, b) or verdict
            return verdict
        if isinstance(b, Sentence):
            return self.values(a.value, b)
        return None

    def _in_another_unit(self, a: Quantity, b: Value) -> Verdict | None:
        """Whether the bare side may be the same in another unit: 120 for 2 hours."""
        if isinstance(a.value, Plain) and isinstance(b, Plain):
            if may_convert(a.unit, b.number.value, a.value.number.value):
                return open_question("it may be in another unit")
        elif dict(a.unit.powers).get("angle") and "\\pi" in b.text:
            return open_question("degrees against what may be radians")
        return None

    def _two_quantities(self, a: Quantity, b: Quantity) -> Verdict:
        x, y = a.unit, b.unit
        if x.powers == y.powers:
            counted = x.counted == y.counted or x.counted <= y.counted or y.counted <= x.counted
            if x.size == y.size:
                verdict = self.values(a.value, b.value)
            elif isinstance(a.value, Plain) and isinstance(b.value, Plain):
                verdict = self._plain(_sized(a.value.number, x), _sized(b.value.number, y))
            else:
                verdict = open_question("formulas in two units")
            doubt = "two things are counted"
            return open_question(doubt) if verdict.same and not counted else verdict
        values = self.values(a.value, b.value)
        if values.same is not True:
            return different("two units") if values.same is False else values
        known = x.powers and y.powers
        part = set(x.powers) < set(y.powers) or set(y.powers) < set(x.powers)
        return different("two units") if known and not part else open_question("two units")

    def _numbers(self, a: Value, b: Value) -> Verdict | None:
        if isinstance(a, Plain) and isinstance(b, Plain):
            return self._plain(a.number, b.number)
        if isinstance(a, (Plain, Quantity)) and isinstance(b, Sentence):
            number = a if isinstance(a, Plain) else a.value
            if len(b.numbers) != 1 or not isinstance(number, Plain) or BOUND.search(b.text):
                return open_question("a sentence with other numbers than one")
            same = self._plain(number.number, b.numbers[0]).same
            return SAME if same else open_question("a sentence with another number")
        if isinstance(a, Plain) and isinstance(b, Words):
            short = len(b.text.split()) <= SHORT
            return different("words against a number") if short else open_question("a sentence")
        return None

    def _plain(self, a: Number, b: Number) -> Verdict:
        """Equal exactly. A decimal that may be the rounded form of the other is left open."""
        if a.value == b.value:
            return SAME
        places = [one.places for one in (a, b) if one.places is not None]
        if not places or (a.places is not None and a.places == b.places):
            return different("another number")
        coarse = min(places)
        rounded = a if a.places == coarse else b
        other = b if rounded is a else a
        if other.places is None and terminates(other.value) and not ASKS_ROUND.search(self.problem):
            return different("another number")
        if coarse == 0 and not ASKS_ROUND.search(self.problem):
            return different("another number")
        near = abs(a.value - b.value) < Fraction(10) ** -coarse
        return open_question("one may be rounded") if near else different("another number")

    def _words(self, a: Value, b: Value) -> Verdict | None:
        if not isinstance(a, Words):
            return None
        if not isinstance(b, Words):
            short = len(a.text.split()) <= SHORT and len(a.text) > 2
            formula = isinstance(b, (Quantity, Percentage, Clock, Matrix, Several, Expression))
            if short and formula and any(map(str.isdigit, b.text)):
                return different("words against a formula")
            return open_question("words against something else")
        x, y = (
            set(re.split(r"[\s/-]+", ARTICLES.sub(" ", one.text).casefold().strip()))
            for one in (a, b)
        )
        if x == y:
            return SAME
        if NEGATIONS.fullmatch(a.text.strip(".!")) and NEGATIONS.fullmatch(b.text.strip(".!")):
            plural = {one.text.casefold().strip(".!").rstrip("s") for one in (a, b)}
            return SAME if len(plural) == 1 else open_question("words that may mean the same")
        if x <= y or y <= x:
            return open_question("words that say more than the other")
        return different("other words")

    def _formulas(self, a: Value, b: Value) -> Verdict:
        if isinstance(a, (Sentence, Words)) or isinstance(b, (Sentence, Words)):
            return open_question("words that are not understood")
        return self.prove(*sorted((latex(a.text), latex(b.text))))


def _is_label(name: str) -> bool:
    """Whether it names what is asked for in words (Total = 5) rather than a variable."""
    return len(name) > 3 and name.isalpha()


def _intervals(value: Value) -> NumberSet | None:
    if isinstance(value, Region):
        return value.intervals
    pair = isinstance(value, Several) and value.kind == "tuple" and len(value.items) == 2
    if pair and value.text.startswith("("):
        return open_interval(value.items[0].text, value.items[1].text)  # type: ignore[attr-defined]
    return None


def _by_name(several: Several) -> dict[str, Value] | None:
    named = [one for one in several.items if isinstance(one, Named)]
    if len(named) != len(several.items) or not named:
        return None
    return {one.name: one.value for one in named}


def _unnamed(several: Several) -> list[Value]:
    return [one.value if isinstance(one, Named) else one for one in several.items]


def _is_condition(formula: str) -> bool:
    """Whether a formula may stand for more than one value."""
    return CONDITION.search(formula) is not None


def _ratio_of(clock: Clock) -> Ratio:
    return Ratio(clock.text, tuple(read(str(part)) for part in clock.parts))


def _trimmed(parts: tuple[int, ...]) -> tuple[int, ...]:
    kept = list(parts)
    while len(kept) > 2 and not kept[-1]:
        kept.pop()
    return tuple(kept)


def _sized(number: Number, unit: Unit) -> Number:
    return Number(number.value * unit.size, None)
