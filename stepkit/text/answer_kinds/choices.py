"""Letters of a multiple choice: they stand for the options that the problem lists."""

from __future__ import annotations

import re

from stepkit.text.answer_kinds.comparison import AnswerComparison, Read
from stepkit.text.answer_kinds.listed_options import options_of
from stepkit.text.answer_kinds.values import Choice, Expression, Several, Value, Words
from stepkit.text.answer_spelling import normal_form
from stepkit.text.verdicts import NEEDS_ALGEBRA, SAME, Verdict, different, open_question

LETTER = re.compile(
    r"(?:(?P<noun>option|choice|answer|letter) ?)?"
    r"(?:\( ?(?P<round>[A-Za-z]) ?\)|(?P<bare>[A-J]))(?P<mark>[.):]*)(?P<text> ?.*)",
    re.IGNORECASE | re.DOTALL,
)
OPERATION = re.compile(r" ?(?:[+*/=^,<>_(\[]|\\[ct])|-| - ?(?![\d.$\\])")
"""What makes (a) a factor or a term; in "(D) -5" a number follows the letter."""


def read_choice(form: str, read: Read) -> Value | None:
    match = LETTER.fullmatch(form)
    if match is None:
        return None
    letter, text = match["round"] or match["bare"], match["text"].strip()
    if match["bare"] and not match["bare"].isupper() and not match["noun"]:
        return None
    marked = match["round"] or match["mark"] or match["noun"]
    if text and not (match["round"] or (match["mark"] and match["text"][:1] == " ")):
        return None
    if match["round"] and not match["noun"] and OPERATION.match(match["text"]):
        return None  # a formula that begins with (a)
    if re.match(r"(?:and|or)\b", text):
        return None  # several choices
    return Choice(form, letter.upper() if marked else letter, text)


def compare(a: Choice, b: Value, comparison: AnswerComparison) -> Verdict | None:
    if isinstance(b, Choice):
        return _equal_letters(a, b)
    if isinstance(b, Several) and all(isinstance(one, Choice) for one in b.items):
        return different("one choice against several")
    if a.words and comparison.equal(comparison.read(a.words), b).same:
        return SAME
    options = options_of(comparison.problem)
    if a.letter.upper() in options:
        return _against_options(a, b, options, comparison)
    if b.text.lower() == a.letter.lower():
        return open_question("letters that differ in case")
    if isinstance(b, Expression) or (isinstance(b, Words) and len(b.text) == 1):
        return comparison.equal_formulas(a, b) if not a.words and a.text.isalpha() else None
    return open_question("a letter of a choice, and the problem does not say what it stands for")


def _equal_letters(a: Choice, b: Choice) -> Verdict:
    if a.letter == b.letter:
        return SAME
    if a.letter.lower() == b.letter.lower():
        return open_question("letters that differ in case")
    return different("another choice")


def _against_options(
    a: Choice, b: Value, options: dict[str, str], comparison: AnswerComparison
) -> Verdict:
    """A letter against what may be the text of its option, or of another."""
    verdicts = {
        letter: comparison.equal(comparison.read(normal_form(text)), b)
        for letter, text in options.items()
    }
    own = verdicts[a.letter.upper()]
    if own.same:
        return SAME
    if any(verdict.same for verdict in verdicts.values()):
        return different("the text of another choice")
    return own if own == NEEDS_ALGEBRA else open_question("a choice against its text")
