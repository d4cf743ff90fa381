r"""A text that is no more than an answer: a number, a formula, or a choice.

Choices are "B", "(B)", "Option B", "B. Paris" and "**(D)** 12". The text of a choice has few words
and no second sentence, so that "A. Smith went home with 12 apples" is none.
"""

from __future__ import annotations

import re

from stepkit.text.answer_marks import tidy, without_emphasis

PLAIN = re.compile(
    r"(?:\(?[A-J]\)?|[-+]?[$\u20ac\u00a3]?[ ]?(?:\d[\d,.]*(?:[eE][-+]?\d+)?|\\d?frac\S*|\.\d+)"
    r"(?:[ ]?/[ ]?\d+)?(?:[ ]?\\?%|[ ][a-zA-Z]+)?|\$[^$\n]+\$|\\\([^\n]+\\\)|\\\[.+\\\])[.!]?",
    re.DOTALL,
)
LONGEST = 200  # characters
NOUN = r"(?i:option|choice)[ ]"
MARKED = r"(?:\([A-J]\)[.:]?|[A-J][.):])"
WORD = r"(?!\(?[A-J][.):])(?:\$[^$\n]+\$|\\\([^\n]+?\\\)|[^\s$]*[^\s$.?!;:])"
"""A word or a formula, but no letter of another choice and no end of a sentence."""

CHOICE = re.compile(
    rf"(?:{NOUN}(?P<letter>[A-J])"
    rf"|(?:{NOUN})?(?P<marked>{MARKED}(?:[ ]+{WORD}(?:[ ]{WORD}){{0,3}})?))[.!]?"
)
LONGEST_CHOICE = 80  # characters


def bare_answer(text: str) -> str | None:
    """The answer that ``text`` is, without the noun before a choice; None where it is more."""
    text = without_emphasis(text.strip())
    if len(text) <= LONGEST and PLAIN.fullmatch(text):
        return tidy(text) or None
    choice = CHOICE.fullmatch(text) if len(text) <= LONGEST_CHOICE else None
    return tidy(choice["letter"] or choice["marked"]) if choice else None
