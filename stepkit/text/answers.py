r"""The final answer in a text, as written; whether it is right is for stepkit.grade.

In this order: what the last ``\boxed{...}`` or ``\fbox{...}`` holds; else the last one of
``#### x`` and ``the answer is x`` / ``Answer: x`` / ``Final answer: x``. A ``####`` line counts
when it is a number or the last line, since it may also be a heading.
"""

from __future__ import annotations

import re

from stepkit.text.sentences import sentence_ends

BOX = re.compile(r"\\(?:boxed|fbox)\s*\{|\\.|[{}]", re.DOTALL)
HASHES = re.compile(r"^[ \t]*\#{4}(?!\#)[ \t]*(\S[^\n]*)", re.MULTILINE)
NUMBER_LINE = re.compile(r"[-+$\u2212]*[\d.][\d.,/% ]*")
PHRASE = re.compile(
    r"""\b (?:final[ ]+)? answer (?:\*\*|__)?
        (?: [ ]+ (?:is|are) \b (?:[ ]+(?:therefore|thus|then|hence|simply|just)\b)? [ ]* :?
          | [ ]* [:=] )
        (?:\*\*|__)? \s*""",
    re.VERBOSE | re.IGNORECASE,
)
DISPLAY = re.compile(r"\\\[.*?\\\]|\$\$.*?\$\$", re.DOTALL)
WRAPPERS = (("$$", "$$"), ("$", "$"), ("\\(", "\\)"), ("\\[", "\\]"), ("**", "**"), ("__", "__"),
            ("`", "`"), ('"', '"'), ("*", "*"))  # fmt: skip
FIRST_MARKS = frozenset(opening[0] for opening, _ in WRAPPERS)
LAYERS = 8  # marks inside marks that are taken off, as in **$5.$**


def extract(text: str) -> str | None:
    """The final answer of ``text``, without closing full stop, dollar signs and emphasis; or None.

    A text that ends in the middle of its last box has none, whatever it said before. Boxes that
    are empty do not count.
    """
    box, closed = last_box(text)
    if not closed:
        return None
    if box is not None:
        return tidy(box) or None
    found = sorted([*_hash_lines(text), *(match.end() for match in PHRASE.finditer(text))])
    answers = (tidy(_said_at(text, begin)) for begin in reversed(found))
    return next((answer for answer in answers if answer), None)


def reference(text: str) -> str:
    """The reference answer in ``text``: what ``extract`` finds, else the text itself, tidied.

    So a data set's whole worked solution serves as its answer.
    """
    return extract(text) or tidy(text)


def last_box(text: str) -> tuple[str | None, bool]:
    r"""The content of the last box that is not empty, and whether the last box is closed.

    Boxes are ordered by where they begin; braces are counted, ``\{`` and ``\}`` are not braces.
    """
    open_braces: list[int] = []  # where a box's content begins, or -1 for an ordinary brace
    last, begin_of_last, begin_of_open = None, -1, -1
    for match in BOX.finditer(text):
        mark = match[0]
        if mark == "}":
            begin = open_braces.pop() if open_braces else -1
            content = text[begin : match.start()] if begin >= 0 else ""
            if begin > begin_of_last and content.strip():
                last, begin_of_last = content, begin
        elif mark.endswith("{") and mark != "\\{":
            is_box = len(mark) > 1
            open_braces.append(match.end() if is_box else -1)
            begin_of_open = match.end() if is_box else begin_of_open
    return last, begin_of_open not in open_braces


def _hash_lines(text: str) -> list[int]:
    """Where the answers after ``####`` begin."""
    end = len(text.rstrip())
    return [
        match.start(1)
        for match in HASHES.finditer(text)
        if match.end() >= end or NUMBER_LINE.fullmatch(match[1].rstrip())
    ]


def _said_at(text: str, begin: int) -> str:
    """The answer that begins there: a displayed formula, else a sentence of at most one line."""
    display = DISPLAY.match(text, begin)
    if display:
        return display[0]
    end = text.find("\n", begin)
    line = text[begin : len(text) if end < 0 else end]
    lead = "= "  # so that "42. Let me check" does not look like item 42 of a list
    ends = sentence_ends(lead + line)
    return line[: ends[0] - len(lead)] if ends else line


def tidy(answer: str) -> str:
    """``answer`` without white space, closing full stop and marks that wrap it as a whole, and
    without a closing bracket or quote that opened before it."""
    before = ""
    for _ in range(LAYERS):
        if answer == before:
            break
        before = answer
        answer = answer.strip()
        if answer.endswith(".") and not answer.endswith(".."):
            answer = answer[:-1]
        if answer.endswith((")", "]")) and _more_closed(answer):
            answer = answer[:-1]
        if answer.endswith('"') and answer.count('"') % 2:
            answer = answer[:-1]
        answer = _unwrap(answer)
    return answer


def _more_closed(answer: str) -> bool:
    return sum(map(answer.count, "([")) < sum(map(answer.count, ")]"))


def _unwrap(answer: str) -> str:
    if answer[:1] not in FIRST_MARKS:
        return answer
    for opening, closing in WRAPPERS:
        inner = answer[len(opening) : -len(closing)]
        wrapped = answer.startswith(opening) and answer.endswith(closing)
        if wrapped and len(answer) > len(opening + closing) and closing not in inner:
            return inner
    return answer
