r"""The final answer in a text, as written; whether it is right is for stepkit.grade.

In this order:

1. What is thought is set apart (protected_parts.py): an unfinished thinking has no answer. The
   text ends at the first token that ends a turn, and where another question begins after an answer.
2. What the last ``<answer>...</answer>`` holds, read in the same way.
3. The last of these, wherever they stand: a box (several that "and", "or" or a comma joins are one
   answer), ``#### x``, a heading "Answer" with what follows it, and a phrase that announces: "the
   answer is x", "Answer: x", "A: x" at the end, and the Chinese forms. A phrase that announces
   nothing ("the answer is only valid for ...") is passed over; a box that the text breaks off in,
   or a sentence after which the working goes on, leaves the text without an answer.
4. The only number of the closing sentence, where that draws a conclusion ("Therefore, ...").
5. The whole text, where it is no more than an answer (bare_answer.py).

``last_number`` and ``by_pattern`` are other readings, which people ask for by name.
"""

from __future__ import annotations

import re
from collections.abc import Callable
from typing import NamedTuple

from stepkit.text.announcements import Announcement, announced, first_announcement, goes_on
from stepkit.text.answer_marks import before_end, tidy, without_emphasis
from stepkit.text.bare_answer import bare_answer
from stepkit.text.boxes import boxes, last_boxes
from stepkit.text.closing_sentence import closing_number
from stepkit.text.protected_parts import after_thinking

TAGGED = re.compile(r"<answer>(.*?)(?:</answer>|\Z)", re.DOTALL | re.IGNORECASE)
NEXT_QUESTION = re.compile(
    r"^[ \t]*(?:\#+[ ]*|\*\*)?(?:Q|Question|QUESTION|Problem|Human|User|Input|Instruction|Exercise)"
    r"[ ]*\d*[ ]*(?:\*\*)?[:.]",
    re.MULTILINE,
)
LAST_NUMBER = re.compile(r"-?[$0-9.,]{2,}|-?[0-9]+")

NOTHING = "no answer found"
THINKING = "the thinking never ends"
OPEN_BOX = "the text ends inside its last box"
GOES_ON = "the working goes on after the answer that is announced"


class FoundAnswer(NamedTuple):
    """An answer as written, or None, and where it was found or why there is none."""

    answer: str | None
    where: str


AnswerReader = Callable[[str], FoundAnswer]
"""Finds the answer in a text: ``find``, ``find_last_number`` or one of ``pattern_reader``."""


def extract(text: str) -> str | None:
    """The final answer of ``text``, without marks that wrap it; None where there is none."""
    return find(text).answer


def find(text: str) -> FoundAnswer:
    """The final answer of ``text`` in the order that the module states."""
    reply = after_thinking(text)
    if reply is None:
        return FoundAnswer(None, THINKING)
    reply = without_next_question(before_end(reply))
    tagged = TAGGED.findall(reply) if "<" in reply else []
    if tagged and tagged[-1].strip():
        inner = _marked(tagged[-1])
        whole = tidy(without_emphasis(tagged[-1]))
        return inner if inner and inner.answer else FoundAnswer(whole or None, "tags")
    marked = _marked(reply)
    if marked is not None:
        return marked
    number = closing_number(reply)
    if number is not None:
        return FoundAnswer(number, "closing sentence")
    bare = bare_answer(reply)
    return FoundAnswer(bare, NOTHING if bare is None else "whole text")


def reference(text: str) -> str:
    """The reference answer in ``text``: what is marked as one there, else the text itself, tidied.

    So a data set's whole worked solution serves as its answer.
    """
    marked = _marked(text)
    return (marked.answer if marked else None) or tidy(text)


def last_number(text: str) -> str | None:
    """The last number after the thinking, as lm-evaluation-harness's flexible extraction finds it
    for GSM8K; without dollar signs, commas and a closing full stop."""
    found = LAST_NUMBER.findall(before_end(after_thinking(text) or ""))
    return next(filter(None, (_plain(number) for number in reversed(found))), None)


def by_pattern(pattern: re.Pattern[str], text: str) -> str | None:
    """The last match of ``pattern`` after the thinking: its first group, or all of it."""
    reply = before_end(after_thinking(text) or "")
    group = min(pattern.groups, 1)
    found = [match[group] for match in pattern.finditer(reply)]
    return tidy(found[-1] or "") or None if found else None


def find_last_number(text: str) -> FoundAnswer:
    """``last_number`` as an AnswerReader."""
    number = last_number(text)
    return FoundAnswer(number, NOTHING if number is None else "last number")


def pattern_reader(pattern: re.Pattern[str]) -> AnswerReader:
    """``by_pattern`` as an AnswerReader."""

    def found(text: str) -> FoundAnswer:
        answer = by_pattern(pattern, text)
        return FoundAnswer(answer, NOTHING if answer is None else "pattern")

    return found


def _plain(number: str) -> str:
    plain = number.replace("$", "").replace(",", "").rstrip(".")
    return plain if any(map(str.isdigit, plain)) else ""


def _marked(text: str) -> FoundAnswer | None:
    """The last answer that a box, ``####``, a heading or a phrase marks; None without any."""
    found, closed = boxes(text)
    if not closed:
        return FoundAnswer(None, OPEN_BOX)
    row = last_boxes(text, found)
    last = announced(text)
    if row and (last is None or row[-1].end > last.begin or not _stands(last, text)):
        return FoundAnswer(", ".join(tidy(box.content) for box in row) or None, "box")
    if last is None:
        return None
    return (
        FoundAnswer(last.answer, last.kind) if _stands(last, text) else FoundAnswer(None, GOES_ON)
    )


def _stands(last: Announcement, text: str) -> bool:
    """Whether nothing is worked out after what was announced."""
    return last.kind != "phrase" or not goes_on(text[last.end :])


def without_next_question(text: str) -> str:
    """``text`` without the questions that a model went on to ask and answer."""
    if NEXT_QUESTION.search(text) is None:
        return text
    first = first_announcement(text)
    following = None if first is None else NEXT_QUESTION.search(text, first + 1)
    before = text[: following.start()] if following else ""
    return before if before and _marked(before) else text
