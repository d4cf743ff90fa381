r"""What a final answer is, read from its normal form (answer_spelling.py): a value of one kind
(answer_kinds/), the first in the order of READERS; what is left is an expression, for algebra."""

from __future__ import annotations

import re
from functools import lru_cache, partial

from stepkit.text.answer_kinds.answer_sentences import read_sentence
from stepkit.text.answer_kinds.assignments import read_assignment
from stepkit.text.answer_kinds.based_numerals import read_based_numeral
from stepkit.text.answer_kinds.choices import read_choice
from stepkit.text.answer_kinds.lists import read_bracketed, read_list
from stepkit.text.answer_kinds.matrices import read_matrix
from stepkit.text.answer_kinds.number_intervals import read_intervals
from stepkit.text.answer_kinds.numbers import read_number
from stepkit.text.answer_kinds.percentages import read_percentage
from stepkit.text.answer_kinds.quantities import read_counted, read_money, read_quantity
from stepkit.text.answer_kinds.ratios import read_ratio
from stepkit.text.answer_kinds.sequences import read_sequence
from stepkit.text.answer_kinds.times_of_day import read_time_of_day
from stepkit.text.answer_kinds.values import Expression, PlainNumber, Value
from stepkit.text.answer_kinds.words import read_words
from stepkit.text.answer_spelling import normal_form
from stepkit.text.number_spelling import number

READERS = (
    read_number,
    read_percentage,
    read_choice,
    read_based_numeral,
    read_time_of_day,
    read_ratio,
    read_matrix,
    read_sequence,
    read_money,
    read_intervals,
    read_list,
    read_assignment,
    read_bracketed,
    read_quantity,
    read_counted,
    read_words,
    read_sentence,
)
BEFORE = re.compile(
    r"(?:either|both|exactly|approximately|about|approx\.?|roughly|only|just|equal to"
    r"|a total of|\\approx|\\sim|=|:)(?=[\s\d$\\(]) ?",
    re.IGNORECASE,
)
"""Words before an answer that are no part of it."""

IN_WORDS = re.compile(r" ?\((?:[A-Za-z]+[ -]?)+\)$")
"""A number in words after it: 12 (twelve)."""

DEEPEST = 6  # values within values
LONGEST = 1000  # characters of what is looked at part by part


@lru_cache(8192)
def value_of(answer: str) -> Value:
    """The answer, read."""
    return read(normal_form(answer))


def read(form: str, depth: int = 0) -> Value:
    """The value of a normal form that stands ``depth`` values deep in an answer."""
    form = form.strip()
    if len(form) > LONGEST or depth > DEEPEST:
        return Expression(form)
    plain = number(form)
    if plain is not None:
        return PlainNumber(form, plain)
    while (before := BEFORE.match(form)) and before.end() < len(form):
        form = form[before.end() :]
    form = IN_WORDS.sub("", form) if form[:1].isdigit() or form[:1] in "$\\" else form
    read_part = partial(read, depth=depth + 1)
    for reader in READERS:
        value = reader(form, read_part)
        if value is not None:
            return value
    return Expression(form)
