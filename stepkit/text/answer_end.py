r"""Whether the answer of a text that is still being written is complete: further text of the usual
kind would not change what text/answers.py finds.

It is complete, after any thinking, where

* a box is closed and what follows can no longer join another box to it, or a percent sign: another
  word has begun, or the line has ended;
* the line of ``#### n``, of "Answer: n" or below a heading "Answer" has ended, n being a number;
* ``</answer>`` was written;
* what ends a turn, or another question, was written after an answer: the reading ends there.

A phrase in a sentence ("the answer is 5") is none of these, because the working may go on after it,
nor is a closing sentence. A text that boxes intermediate results ends at the first.
"""

from __future__ import annotations

import re

from stepkit.text.announcements import NUMBER_LINE, announced
from stepkit.text.answer_marks import END_MARK, before_end
from stepkit.text.answers import NEXT_QUESTION, TAGGED, find, without_next_question
from stepkit.text.boxes import FORMULA, LONGEST_GAP, boxes
from stepkit.text.protected_parts import after_thinking

MARK = re.compile(
    rf"\\(?:boxed|fbox|framebox)|####|\bAns(?:wer)?\b|\bANS|^[ \t]*A:|</answer|{END_MARK.pattern}"
    rf"|{NEXT_QUESTION.pattern}",
    re.MULTILINE | re.IGNORECASE,
)
LONGEST_MARK = 60  # characters
SIGNS = re.compile(FORMULA)
JOINS = re.compile(r"\Z|[,;&%\\]|(?:an?|o|and|or)(?!\w)")


class AnswerEnd:
    """Says of a growing text whether its answer is complete; called after each token.

    A call looks at what is new only, until there is a mark that an answer might have.

    Args:
        before: text of the attempt before what grows; an answer that was complete there does not
            count.
    """

    def __init__(self, before: str = "") -> None:
        self._before = before
        self._seen = 0
        self._marked = MARK.search(before) is not None
        self._marked_before = self._marked

    def __call__(self, text: str) -> bool:
        """Whether the answer of ``before`` and ``text`` is complete."""
        if len(text) < self._seen:  # another text, from its start
            self._seen, self._marked = 0, self._marked_before
        begin, self._seen = max(0, self._seen - LONGEST_MARK), len(text)
        self._marked = self._marked or MARK.search(text, begin) is not None
        return self._marked and answer_is_complete(self._before + text, len(self._before))


def answer_is_complete(text: str, start: int = 0) -> bool:
    """Whether the answer of ``text`` is complete, and became so after its first ``start``
    characters."""
    reply = after_thinking(text)
    if not reply:
        return False
    start = max(0, start - text.rfind(reply))
    complete = _box_is_closed(reply, start) or _line_has_ended(reply, start)
    return (complete or _reading_ends(reply, start)) and find(text).answer is not None


def _box_is_closed(reply: str, start: int) -> bool:
    """Whether the last box is closed and nothing can join it."""
    found, closed = boxes(reply)
    end = max((box.end for box in found), default=0)
    if not closed or end <= start:
        return False
    rest = reply[end:]
    signs = SIGNS.match(rest)
    assert signs is not None  # it matches nothing, too
    may_join = JOINS.match(rest, signs.end()) is not None
    return not may_join or "\n" in rest or len(rest) > LONGEST_GAP


def _line_has_ended(reply: str, start: int) -> bool:
    """Whether the last answer that is announced in a line of its own is a number on a whole
    line."""
    last = announced(reply)
    if last is None or last.kind == "phrase":
        return False
    end = reply.find("\n", last.end)
    return end >= start and NUMBER_LINE.fullmatch(reply[last.begin : end].strip(" *_")) is not None


def _reading_ends(reply: str, start: int) -> bool:
    """Whether the reading of answers goes no further than to a place after ``start``."""
    tags = list(TAGGED.finditer(reply)) if "</" in reply else []
    if tags and tags[-1][0].lower().endswith("</answer>") and tags[-1].end() > start:
        return True
    ended = before_end(reply)
    return start < len(without_next_question(ended)) < len(reply)
