"""Parts of a response that steps respect: thinking between its tags, and blocks of code.

A reasoning model's response is thinking, then an answer: ``<think>...</think>...``. No step holds
text of both. The opening tag may be missing, since some chat templates put it into the prompt, and
so may the closing one, in a response that was cut off.

A block of code is fenced as in CommonMark: by a line that begins with at least three backticks or
tildes, up to a line of at least as many of the same alone, or to the end of its part.
"""

from __future__ import annotations

import re
from bisect import bisect_right

OPENING, CLOSING = "<think>", "</think>"
TAG = re.compile(r"</?think>")
FENCE = re.compile(r"^ {0,3}(?P<mark>`{3,}|~{3,})(?P<info>[^\n]*)$", re.MULTILINE)

Span = tuple[int, int]


def silent(text: str) -> bool:
    """Whether there is nothing in ``text`` but white space and tags."""
    return not text.strip() or ("think>" in text and not TAG.sub("", text).strip())


def thinking(text: str) -> Span | None:
    """Where the thinking is, tags and all; None without tags.

    Of repeated ones the first counts.
    """
    tag = TAG.search(text) if "think>" in text else None
    if tag is None:
        return None
    if tag[0] == CLOSING:
        return 0, tag.end()
    end = text.find(CLOSING, tag.end())
    return tag.start(), len(text) if end < 0 else end + len(CLOSING)


def parts(text: str) -> list[Span]:
    """The stretches before, in and after the thinking, none of them silent unless all is.

    White space after a part belongs to it; what is silent before the first one, too.
    """
    span = thinking(text)
    if span is None:
        return [(0, len(text))] if text else []
    begin, end = span
    if silent(text[begin:end]):  # thinking that was switched off
        return [(0, len(text))]
    end += len(text[end:]) - len(text[end:].lstrip())
    cuts = [cut for cut in (begin, end) if not silent(text[:cut]) and not silent(text[cut:])]
    return list(zip([0, *cuts], [*cuts, len(text)], strict=True))


def with_thinking(thought: str, text: str) -> str:
    """One response of a thinking and an answer that came apart; unchanged if they are together."""
    whole = f"{OPENING}\n{thought}\n{CLOSING}\n\n"
    return text if text.startswith(whole) else whole + text


def outside(cuts: list[int], spans: list[Span]) -> list[int]:
    """Those of ``cuts`` that fall inside none of ``spans`` (ascending and apart)."""
    if not spans:
        return cuts
    begins = [begin for begin, _ in spans]
    kept = []
    for cut in cuts:
        place = bisect_right(begins, cut) - 1
        if place < 0 or cut == begins[place] or cut >= spans[place][1]:
            kept.append(cut)
    return kept


def tags(text: str) -> list[Span]:
    """Where the tags are, ascending."""
    return [tag.span() for tag in TAG.finditer(text)] if "think>" in text else []


def fenced(text: str) -> list[Span]:
    """Blocks of code with their fences and the line break after them, ascending and apart."""
    if "```" not in text and "~~~" not in text:
        return []
    found: list[Span] = []
    opened: re.Match[str] | None = None
    for match in FENCE.finditer(text):
        mark, info = match["mark"], match["info"].strip()
        if opened is None:
            if mark[0] == "~" or "`" not in info:
                opened = match
        elif mark.startswith(opened["mark"]) and not info:
            found.append((opened.start(), min(match.end() + 1, len(text))))
            opened = None
    if opened is not None:
        found.append((opened.start(), len(text)))
    return found
