r"""Where a person would cut an attempt: after a line, but not inside what belongs together.

A step is a line, with the blank lines after it. Whole stay

* displays (displays.py), fenced code, tables, quoted lines;
* what introduces, with what it introduces: a heading (``## ...``, ``**...**``, ``Step 2:``), the
  number of a list item, a line that ends in a comma or a colon, a word or two such as "Then" or
  "We get"; of a colon before a list only where the line is short, since a plan is a step;
* fenced code with the line right before it, and with its output;
* a display with the line before it, but not with a sentence that ended before a blank line, nor
  with another display; and with the words in lower case after it ("where x is ...");
* a line that begins with "=", with the line before it; a line without any letter or digit, too.

Every decision looks at the line before a cut and at the start of the line after it, not
further, so that a text can be cut while it is written (``decided``). Linear in the text's length.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Sequence

from stepkit.text.displays import TEXT_ENVIRONMENTS

Span = tuple[int, int]

BREAK = re.compile(r"(?P<white>\n(?:[^\S\n]*\n)*)[^\S\n]*")
"""The end of a line, the blank lines after it, and the indentation of the next line."""

LOOK = 64
"""Characters of the next line that are looked at."""

SHORT = 20
"""Characters below which a line without a number introduces what follows."""

SENTENCE_END = (".", "!", "?", "\u3002", "\uff01", "\uff1f")
GOES_ON = (",", ":", "\uff0c", "\uff1a", ":**", ":__", ":*", ",**")
FENCE = ("```", "~~~")

BULLET = re.compile(r"[-*+\u2022]\s")
ITEM = re.compile(r"(?:[-*+\u2022]|\(?(?:\d{1,3}|[A-Za-z]|[ivx]{1,5})[.)])(?=\s|\Z)")
LABEL = re.compile(
    r"(?:step|case|part|phase|stage|method|approach|example|claim)[ \t]+"
    r"(?:\d+[a-z]?|[A-Z]|[IVX]+)\b(?P<rest>.*)",
    re.IGNORECASE | re.DOTALL,
)
HEADING = re.compile(r"#{1,3}(?!#)|#{4,6}(?!#)[ \t]*[^\s\d$\\+-]")  # "#### 18" is an answer
EMPHASISED = re.compile(r"(\*\*|__)(?P<inner>(?:(?!\1).)+)\1[:.]?\Z", re.DOTALL)
ANSWER = re.compile(r"answer\b[^\n]*?(?::|=|\bis\b)[\s*_]*[\w$\\(]", re.IGNORECASE)
RELATION = re.compile(r"[=<>\u2248\u2260\u2264\u2265]|\\(?:approx|neq?|leq?|geq?|equiv|boxed)\b")
WORD = re.compile(r"[^\W\d_]{2}")
WIDE = re.compile("[\u2e80-\uffdc]")
LATEX_BEGINS = re.compile(r"\\begin\{[^{}]*\}(?:\[[^\]]*\])?|\\item")
UNDERLINE = re.compile(r"=+|-+")

TEXT_ENVIRONMENT = "|".join(sorted(TEXT_ENVIRONMENTS))
DISPLAY_BEGINS = re.compile(
    rf"\\\[|\$\$|\[asy\]|\\\([ \t\r]*\n|\\begin\{{(?!(?:{TEXT_ENVIRONMENT})\*?\}})"
)
DISPLAY_ENDS = re.compile(r"(?:\\\]|\$\$|\\end\{[^{}\n]*\}|\\\)|\[/asy\])[.,;:]?\Z")
CONTINUES = re.compile(r"=(?!=)|\u2248|&|\\approx\b|\\end\{")
LOWER_WORD = re.compile(r"[a-z]{2,}(?![\w(\[]|[ \t]*[=^])")
ALNUM = re.compile(r"[^\W_]")
DELIMITER_ROW = re.compile(r"[-:|\s]*\Z")
OUTPUT = re.compile(r"(?:`{3,}|~{3,})[ \t]*output\b")


def block_ends(text: str, whole: Sequence[Span] = ()) -> Iterator[int]:
    """Characters at which a step ends and another begins, ascending.

    Args:
        whole: displays and code, ascending and apart, which no cut falls in.
    """
    place = 0
    begin = len(text) - len(text.lstrip())
    underlined = table = False
    for match in BREAK.finditer(text, begin):
        end, after = match.span()
        cut = match.end("white")
        while place < len(whole) and whole[place][1] < cut:
            place += 1
        if place < len(whole) and whole[place][0] < cut < whole[place][1]:
            continue
        if after == len(text):
            return
        line, head = text[begin:end].rstrip(), text[after : after + LOOK]
        adjoins = match["white"] == "\n"
        table = adjoins and "|" in line and _goes_on_as_table(line, head, table)
        if not table and not underlined and not belong_together(line, head, adjoins):
            yield cut
        underlined = adjoins and UNDERLINE.fullmatch(_first_line(head)) is not None
        begin = after


def decided(text: str, cut: int) -> bool:
    """Whether the first cut of ``text`` stays one, however the text goes on."""
    head = text[cut:].lstrip()
    if "\n" in head or len(head) >= LOOK:
        return True
    line = text[text.rfind("\n", 0, len(text[:cut].rstrip())) + 1 : cut].strip()
    sure = bool(head) and (head[0].isupper() or head[0].isdigit())
    return sure and "|" not in line and not line.endswith(GOES_ON) and not LABEL.match(line)


def belong_together(line: str, head: str, adjoins: bool) -> bool:
    """Whether no step ends between ``line`` and the one that begins with ``head``.

    Args:
        adjoins: no blank line is between them.
    """
    if introduces(line, head, adjoins):
        return True
    first = head[0]
    return not (first.isupper() or first.isdigit()) and continues(line, head, adjoins)


def introduces(line: str, head: str, adjoins: bool) -> bool:
    """Whether ``line`` belongs to what follows it and begins with ``head``."""
    first, last = line[0], line[-1]
    if first == "#" and HEADING.match(line):
        return True
    if line.startswith(FENCE) or DISPLAY_ENDS.search(line, max(0, len(line) - LOOK)):
        return line.endswith(GOES_ON)
    item = ITEM.match(line)
    content = line[item.end() :].strip() if item else line
    if not content or LATEX_BEGINS.fullmatch(content) or _is_title(content, head, adjoins):
        return True
    if last in SENTENCE_END:
        return False
    if line.endswith(GOES_ON):
        return len(line) < SHORT or not ITEM.match(head)
    if len(content) >= SHORT or RELATION.search(content):
        return False
    if item:
        return not first.isalnum() and adjoins and BULLET.match(head) is not None
    return (
        not any(map(str.isdigit, content))
        and not WIDE.search(content)
        and bool(WORD.search(content))
    )


def _is_title(content: str, head: str, adjoins: bool) -> bool:
    """Whether it is a title: "**Add them**", "Step 2 (the sum)", "Step 3: Add them." over text."""
    emphasised = EMPHASISED.match(content) if content[0] in "*_" else None
    inner = emphasised["inner"].strip() if emphasised else content
    if label := LABEL.match(inner):
        rest = label["rest"].rstrip()
        if LABEL.match(head) or RELATION.search(rest):
            return rest.endswith(":") and not LABEL.match(head)
        sentence = rest.endswith(SENTENCE_END) and rest not in SENTENCE_END
        titled = adjoins or emphasised is not None
        return not sentence or (titled and not any(map(str.isdigit, rest)))
    return (
        emphasised is not None
        and not inner.endswith(SENTENCE_END)
        and not RELATION.search(inner)
        and not ANSWER.search(inner)
        and WORD.search(inner) is not None
    )


def continues(line: str, head: str, adjoins: bool) -> bool:
    """Whether the line that begins with ``head`` belongs to ``line``, before it."""
    after_display = DISPLAY_ENDS.search(line, max(0, len(line) - LOOK)) is not None
    if display := DISPLAY_BEGINS.match(head):
        if after_display or (line.endswith(SENTENCE_END) and not adjoins):
            return CONTINUES.match(head[display.end() :].lstrip()) is not None
        return not line.startswith(FENCE)
    if head.startswith(FENCE):
        return OUTPUT.match(head) is not None if line.startswith(FENCE) else adjoins
    if CONTINUES.match(head) or not ALNUM.search(_first_line(head)):
        return True
    if adjoins and line[0] == ">" == head[0]:
        return True
    return after_display and LOWER_WORD.match(head) is not None


def _goes_on_as_table(line: str, head: str, table: bool) -> bool:
    row = _first_line(head)
    if line[0] == "|" and line[-1] == "|":
        return row[0] == "|"
    return "|" in row and (table or ("-" in row and DELIMITER_ROW.match(row) is not None))


def _first_line(text: str) -> str:
    return text.partition("\n")[0].rstrip()
