"""Words without numbers: equal up to case, articles and punctuation; synonyms are left open."""

from __future__ import annotations

import re

from stepkit.text.answer_kinds.comparison import AnswerComparison, Read
from stepkit.text.answer_kinds.values import (
    Expression,
    Matrix,
    Percentage,
    PlainNumber,
    Quantity,
    Several,
    TimeOfDay,
    Value,
    Words,
)
from stepkit.text.verdicts import SAME, Verdict, different, open_question

WORDS = re.compile(r"[^\W\d_]+(?:[ '\u2019.,/-]+[^\W\d_]+)*[.!]?")
SHORT_WORDS = frozenset({"no", "yes", "up", "ok", "na", "n/a"})
ARTICLES = re.compile(r"\b(?:the|an?|is|it|are|of)\b|[.!,']", re.IGNORECASE)
NEGATIONS = re.compile(
    r"no (?:real |integer |valid |possible )?(?:solutions?|answers?|values?|roots?)|none|no|dne"
    r"|undefined|does not exist|impossible|empty set|not defined|infeasible|no such \w+|never"
    r"|zero|nothing",
    re.IGNORECASE,
)
SHORT = 4  # words


def read_words(form: str, read: Read) -> Value | None:
    if not WORDS.fullmatch(form):
        return None
    longest = max(map(len, re.split(r"[^\w]+", form)))
    known = form.lower().rstrip(".!") in SHORT_WORDS
    return Words(form) if known or longest >= (3 if form.isascii() else 2) else None


def compare(a: Words, b: Value, comparison: AnswerComparison) -> Verdict:
    if not isinstance(b, Words):
        return _against_formula(a, b)
    x, y = (
        set(re.split(r"[\s/-]+", ARTICLES.sub(" ", one.text).casefold().strip())) for one in (a, b)
    )
    if x == y:
        return SAME
    if NEGATIONS.fullmatch(a.text.strip(".!")) and NEGATIONS.fullmatch(b.text.strip(".!")):
        singular = {one.text.casefold().strip(".!").rstrip("s") for one in (a, b)}
        return SAME if len(singular) == 1 else open_question("words that may mean the same")
    if x <= y or y <= x:
        return open_question("words that say more than the other")
    return different("other words")


def _against_formula(a: Words, b: Value) -> Verdict:
    short = len(a.text.split()) <= SHORT
    if isinstance(b, PlainNumber):
        return different("words against a number") if short else open_question("a sentence")
    formula = isinstance(b, (Quantity, Percentage, TimeOfDay, Matrix, Several, Expression))
    if short and len(a.text) > 2 and formula and any(map(str.isdigit, b.text)):
        return different("words against a formula")
    return open_question("words against something else")
