r"""Whether two final answers are the same: true and false only where that is sure.

Both are read (answer_values.py). The same spelling is the same answer; others are compared by their
kinds (answer_kinds/), in the order of COMPARISONS. Whatever is doubtful is undecided, with a
reason. Formulas are left to algebra (stepkit.algebra), which ``prove`` asks.

The order of the two does not matter. ``problem`` is the text of the problem, where it is known.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from stepkit.text.answer_kinds import (
    answer_sentences,
    assignments,
    based_numerals,
    choices,
    matrices,
    number_intervals,
    numbers,
    percentages,
    quantities,
    ratios,
    sequences,
    several,
    times_of_day,
    words,
)
from stepkit.text.answer_kinds.comparison import AnswerComparison
from stepkit.text.answer_kinds.values import (
    Assignment,
    BasedNumeral,
    Choice,
    Intervals,
    Matrix,
    Percentage,
    PlainNumber,
    Quantity,
    Ratio,
    Sentence,
    SequenceWithDots,
    Several,
    TimeOfDay,
    Value,
    Words,
)
from stepkit.text.answer_spelling import key, latex, normal_form
from stepkit.text.answer_values import read, value_of
from stepkit.text.verdicts import DIFFERENT, NEEDS_ALGEBRA, SAME, Verdict, open_question

Prove = Callable[[str, str], Verdict]
"""Decides whether two formulas in LaTeX are equal."""

COMPARISONS: tuple[
    tuple[type[Value], Callable[[Any, Value, AnswerComparison], Verdict | None]], ...
] = (
    (Choice, choices.compare),
    (Assignment, assignments.compare),
    (Percentage, percentages.compare),
    (Intervals, number_intervals.compare),
    (SequenceWithDots, sequences.compare),
    (Several, several.compare),
    (Matrix, matrices.compare),
    (TimeOfDay, times_of_day.compare),
    (Ratio, ratios.compare),
    (BasedNumeral, based_numerals.compare),
    (Quantity, quantities.compare),
    (PlainNumber, numbers.compare),
    (Sentence, answer_sentences.compare),
    (Words, words.compare),
)
"""The kinds in the order in which they decide, and how each compares with any other."""

LONGEST = 1000  # characters that are compared by their kinds


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
    return _ByKind(problem, prove).equal(a, b)


def quick(reference: str, final: str | None) -> bool | None:
    """True or False where that is sure without algebra, else None."""
    return compare(reference, final).same


def canonical(answer: str) -> str:
    """``answer`` in one spelling; its meaning is kept."""
    return normal_form(answer)


class _ByKind:
    """The Comparison of two answers to one problem."""

    def __init__(self, problem: str, prove: Prove) -> None:
        self.problem, self.prove = problem, prove

    def read(self, form: str) -> Value:
        return read(form)

    def equal(self, a: Value, b: Value) -> Verdict:
        if key(a.text) == key(b.text):
            return SAME
        if key(a.text).rstrip("!") == key(b.text).rstrip("!"):
            return open_question("a factorial or an exclamation")
        if max(len(a.text), len(b.text)) > LONGEST:
            return open_question("too long to compare")
        for kind, compare_kind in COMPARISONS:
            for x, y in ((a, b), (b, a)):
                verdict = compare_kind(x, y, self) if isinstance(x, kind) else None
                if verdict is not None:
                    return verdict
        return self.equal_formulas(a, b)

    def equal_formulas(self, a: Value, b: Value) -> Verdict:
        if isinstance(a, (Sentence, Words)) or isinstance(b, (Sentence, Words)):
            return open_question("words that are not understood")
        return self.prove(*sorted((latex(a.text), latex(b.text))))
