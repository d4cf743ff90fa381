r"""The boxes of a text: ``\boxed{x}``, ``\boxed x`` and ``\fbox{x}``."""

from __future__ import annotations

import re
from typing import NamedTuple

BOX = re.compile(
    r"\\(?:boxed|fbox|framebox)\s*\{"
    r"|\\(?:boxed|fbox)\s*"
    r"([-+]?\d[\d.]*|[A-Za-z]\b|\\(?:[dt]?frac|sqrt)(?:\d\d?|(?:\{[^{}]*\}){1,2}))"
    r"|\\.|[{}]",
    re.DOTALL,
)
PERCENT_AFTER = re.compile(r"\s*\\?%")
FORMULA = r"(?:[\s$]|\\[()\[\],; ]|\\q?quad)*"
BETWEEN = re.compile(
    rf"{FORMULA}(?:(?:,|;|&|\\text\{{\s*(?:and|or)\s*\}}|\b(?:and|or)\b){FORMULA})+"
    rf"(?:\\?[A-Za-z](?:_\{{?\w\}}?)?\s*(?:=|\\in|is)\s*)?{FORMULA}"
)


LONGEST_GAP = 80  # characters between two boxes of one answer


class Box(NamedTuple):
    """What a box holds, and where it stands: ``[begin, end)`` in characters."""

    content: str
    begin: int
    end: int


def boxes(text: str) -> tuple[list[Box], bool]:
    r"""The boxes that are not empty, in the order in which they begin, and whether the last one is
    closed. Braces are counted; ``\{`` and ``\}`` are not braces."""
    open_braces: list[tuple[int, int]] = []  # (begin of the box or -1, begin of what it holds)
    found: list[Box] = []
    last_open = -1
    for match in BOX.finditer(text) if "box" in text else ():
        mark = match[0]
        if match[1] is not None:
            found.append(Box(match[1], match.start(), match.end()))
        elif mark == "}":
            begin, inside = open_braces.pop() if open_braces else (-1, -1)
            content = text[inside : match.start()] if begin >= 0 else ""
            if content.strip():
                percent = PERCENT_AFTER.match(text, match.end())
                found.append(Box(content + ("\\%" if percent else ""), begin, match.end()))
        elif mark.endswith("{") and mark != "\\{":
            is_box = len(mark) > 1
            open_braces.append((match.start() if is_box else -1, match.end()))
            last_open = match.start() if is_box else last_open
    closed = last_open < 0 or all(begin != last_open for begin, _ in open_braces)
    return sorted(found, key=lambda box: box.begin), closed


def last_box(text: str) -> tuple[str | None, bool]:
    """What the last box holds that is not empty, and whether the last box is closed."""
    found, closed = boxes(text)
    return (found[-1].content if found else None), closed


def last_boxes(text: str, found: list[Box]) -> list[Box]:
    """The last box, and those before it that "and", "or" or a comma joins to it."""
    row = found[-1:]
    for box in reversed(found[:-1]):
        if box.end > row[0].begin:  # one in another
            continue
        near = row[0].begin - box.end <= LONGEST_GAP
        if not (near and BETWEEN.fullmatch(text, box.end, row[0].begin)):
            break
        row.insert(0, box)
    return row
