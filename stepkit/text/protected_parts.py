"""Parts of a response that steps respect: thinking between its tags, and blocks of code.

A reasoning model's response is thinking, then an answer: ``<think>...</think>...``. No step holds
text of both. The opening tag may be missing, since some chat templates put it into the prompt, and
so may the closing one, in a response that was cut off. Each family of models has tags of its own
(TAG); they may stand anywhere in a line.

A block of code is fenced as in CommonMark: by a line that begins with at least three backticks or
tildes, up to a line of at least as many of the same alone, or to the end of its part. It may be
indented by any number of blanks, since models indent it below the item of a list.
"""

from __future__ import annotations

import re
from bisect import bisect_right
from collections.abc import Iterable

OPENING, CLOSING = "<think>", "</think>"
TAG = re.compile(
    r"""[<\[\u25c1] (?:           # each begins with one of these: so the search is quick
        (?P<opening> (?<=<) (?:think|thinking|thought|reasoning|seed:think)>  # R1, Qwen3, ...
          | (?<=<) \|begin_of_thought\|>                            # Sky-T1, OpenThinker
          | (?<=<) \|START_THINKING\|>                              # Command A Reasoning
          | (?<=\[) (?-i:THINK)\]                                   # Magistral
          | (?<=\u25c1) think\u25b7                                  # Kimi
          | (?<=<) (?:\|start\|>assistant<)? \|channel\|>analysis<\|message\|>    # gpt-oss
        )
      | (?P<closing> (?<=<) /(?:think|thinking|thought|reasoning|seed:think)>
          | (?<=<) \|end_of_thought\|> (?:\s*<\|begin_of_solution\|>)?
          | (?<=<) \|begin_of_solution\|>
          | (?<=<) \|END_THINKING\|> (?:\s*<\|START_RESPONSE\|>)?
          | (?<=\[) /(?-i:THINK)\]
          | (?<=\u25c1) /think\u25b7
          | (?<=<) (?:\|end\|>(?:<\|start\|>assistant)?<)? \|channel\|>final<\|message\|>
        )
      | (?P<end> (?<=<) (?:\|end_of_solution\|>|\|END_RESPONSE\|>) )
    )""",
    re.VERBOSE | re.IGNORECASE,
)
FIRST_OF_TAG = ("<", "[", "\u25c1")
WHITE = re.compile(r"\s*")
FENCE = re.compile(r"^[ \t]*(?P<mark>`{3,}|~{3,})(?P<info>[^\n]*)$", re.MULTILINE)

Span = tuple[int, int]


def after_thinking(text: str) -> str | None:
    """What a response says after its thinking: where its answer is to be looked for.

    Returns:
        ``text`` itself where there are no tags; else what comes after the last closing tag,
        without the tags around it, which may be "" or white space. None where the thinking is
        never closed: the response was cut off in it and has no answer yet, whatever it drafted.
    """
    last = None
    for tag in TAG.finditer(text):
        if tag["end"] is None:
            last = tag
    if last is None:
        return _without_end(text, 0)
    return None if last["opening"] else _without_end(text, last.end())


def _without_end(text: str, begin: int) -> str:
    end = next((tag.start() for tag in TAG.finditer(text, begin) if tag["end"]), len(text))
    return text[begin:end]


def opens_thinking(prompt: str) -> bool:
    """Whether a prompt ends with the tag that opens the thinking."""
    last = list(TAG.finditer(prompt))[-1:]
    return bool(last and last[0]["opening"]) and last[0].end() == len(prompt.rstrip())


def silent(text: str) -> bool:
    """Whether there is nothing in ``text`` but white space and tags."""
    content = text.lstrip()
    return not content or (content.startswith(FIRST_OF_TAG) and not TAG.sub("", content).strip())


def thinking(text: str) -> list[Span]:
    """Where the thinking is, tags and all; ascending and apart, [] without tags.

    A closing tag without an opening one closes what began at the text's start, or after the
    closing tag before it.
    """
    found: list[Span] = []
    begin: int | None = None
    for tag in TAG.finditer(text):
        if tag["opening"]:
            begin = tag.start() if begin is None else begin
        elif tag["closing"]:
            found.append((found[-1][1] if begin is None and found else begin or 0, tag.end()))
            begin = None
    if begin is not None:
        found.append((begin, len(text)))
    return found


def parts(text: str) -> list[Span]:
    """The stretches before, in and after the thinking, none of them silent unless all is.

    White space after a part belongs to it; what is silent before the first one, too. Thinking that
    was switched off, tags with nothing between them, belongs to what comes after it.
    """
    found: list[Span] = []
    begin = seen = 0
    for edge in (place for span in thinking(text) for place in span):
        edge = WHITE.match(text, edge).end()  # type: ignore[union-attr]  # matches always
        if not silent(text[seen:edge]):
            found.append((begin, edge))
            begin = edge
        seen = edge
    if begin < len(text):
        if found and silent(text[begin:]):
            begin = found.pop()[0]
        found.append((begin, len(text)))
    return found


def with_thinking(thought: str, text: str) -> str:
    """One response of a thinking and an answer that came apart; unchanged if they are together."""
    whole = f"{OPENING}\n{thought}\n{CLOSING}\n\n"
    return text if text.startswith(whole) else whole + text


def apart(spans: Iterable[Span]) -> list[Span]:
    """Ascending ``spans`` with those that overlap made one."""
    found: list[Span] = []
    for begin, end in spans:
        if found and begin < found[-1][1]:
            found[-1] = found[-1][0], max(end, found[-1][1])
        else:
            found.append((begin, end))
    return found


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
    return [tag.span() for tag in TAG.finditer(text)]


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
