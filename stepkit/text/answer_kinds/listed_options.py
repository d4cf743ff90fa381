r"""The options of a multiple choice, where the problem lists them: (A) 12 (B) 15; A. Paris."""

from __future__ import annotations

import re
from functools import lru_cache

from stepkit.text.answer_marks import tidy
from stepkit.text.answer_spelling import LONGEST, TEXT

OPTION = re.compile(r"(?:^|(?<=[\s,;.?:$}]))(?:\(([A-J])\)|([A-J])[.):](?=\s|\\|\$))\s*")
LEAST = 2


@lru_cache(256)
def options_of(problem: str) -> dict[str, str]:
    """Letter -> text of the option; {} where the problem lists none from A on, in order."""
    text = TEXT.sub(lambda match: match["words"], TEXT.sub(lambda match: match["words"], problem))
    marks = list(OPTION.finditer(text))
    while marks:
        letters = "".join(mark[1] or mark[2] for mark in marks)
        if len(letters) >= LEAST and "ABCDEFGHIJ".startswith(letters):
            ends = [*(mark.start() for mark in marks[1:]), len(text)]
            parts = (text[mark.end() : end] for mark, end in zip(marks, ends, strict=True))
            return dict(zip(letters, map(_text, parts), strict=True))
        marks = marks[1:]
    return {}


def _text(part: str) -> str:
    part = part.strip().split("\n")[0][:LONGEST]
    return tidy(re.sub(r"(?:\\q?quad|\\\\|\$|\\ |\\,|,|;)\s*\Z", "", part.strip()).strip(" $\\,;"))
