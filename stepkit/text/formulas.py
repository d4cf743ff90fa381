r"""Formulas in a text, for who looks at it: ``\(x\)``, ``\[x\]``, ``$x$``, ``$$x$$``, the
mathematical environments, and a ``\boxed{x}`` that stands by itself.

Unlike the spans that no step is cut in (displays.py, sentences.py), a formula here is closed, and
where it is uncertain there is none: what is wrongly shown as a formula cannot be read. A dollar
sign is most often money: ``$5 and $6`` is no formula, nor is ``$5 a day$``, whose words give it
away. Linear in the length of the text, but for environments inside environments.
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from typing import NamedTuple

Span = tuple[int, int]

REACH = 8000
"""Characters within which a formula must be closed."""

DEEPEST = 20
"""Braces within braces in a box."""

ENVIRONMENTS = (
    "align|aligned|alignat|alignedat|array|cases|eqnarray|equation|gather|gathered|multline|split"
    "|[pbBvV]?matrix|smallmatrix"
)
OPEN = re.compile(
    rf"\\\\|\\\$|(?P<mark>\\\[|\\\(|\$\$|\$|\\boxed[ ]*(?=\{{)"
    rf"|\\begin\{{(?P<name>(?:{ENVIRONMENTS})\*?)\}})"
)
AGAIN = {mark: re.compile(rf"(?<!\\){re.escape(mark)}") for mark in ("\\[", "\\(", "$$")}
CLOSING = {"\\[": "\\]", "\\(": "\\)", "$$": "$$", "$": "$"}
BRACE = re.compile(r"\\.|[{}]", re.DOTALL)
UP_TO_DOLLAR = re.compile(r"(?:[^\\$\n]|\\.|\n(?![ \t\r]*\n))*", re.DOTALL)
PARAGRAPH_END = re.compile(r"\n[ \t\r]*\n")

NOT_WORDS = re.compile(
    r"\\(?:text|textbf|textit|textrm|mbox|mathrm|operatorname)\*?[ ]*\{[^{}]*\}|\\[A-Za-z]+"
    r"|\b(?:sin|cos|tan|cot|sec|csc|log|ln|exp|lim|max|min|gcd|lcm|mod|det|dim|deg|arg)\b"
)
WORD = re.compile(r"[^\W\d_]{2,}")
PROSE = re.compile(r"[^\W\d_]{2,}[,;:.]?\s+(?:[^\W\d_]{2,}|a)\b")
MONEY = re.compile(r"[\d.,]*\d")


class Formula(NamedTuple):
    """A formula with its marks, ``[begin, end)``, what is inside them, and whether it stands on a
    line of its own."""

    begin: int
    end: int
    inner: Span
    display: bool


def formulas(text: str, code: Sequence[Span] = ()) -> list[Formula]:
    """The formulas of ``text`` outside ``code`` (ascending and apart), ascending and apart."""
    found: list[Formula] = []
    missing: set[str] = set()
    begin = place = 0
    while match := OPEN.search(text, begin):
        begin = match.end()
        while place < len(code) and code[place][1] <= match.start():
            place += 1
        if place < len(code) and code[place][0] <= match.start():
            begin = code[place][1]
            continue
        formula = _formula(text, match, missing) if match["mark"] else None
        limit = code[place][0] if place < len(code) else len(text)
        if formula and formula.end <= limit:
            found.append(formula)
            begin = formula.end
    return found


def _formula(text: str, opened: re.Match[str], missing: set[str]) -> Formula | None:
    """The formula that ``opened`` begins; None when it begins none.

    ``missing`` collects closing marks that do not occur any more: they are searched for once only.
    """
    mark, begin, inside = opened["mark"], opened.start(), opened.end()
    if mark == "$":
        return _in_dollars(text, begin)
    if mark.startswith("\\boxed"):
        end = _brace_end(text, inside)
        return Formula(begin, end, (begin, end), False) if end else None
    closing = CLOSING.get(mark) or f"\\end{{{opened['name']}}}"
    close = -1 if closing in missing else text.find(closing, inside)
    if close < 0:
        missing.add(closing)
        return None
    end, body = close + len(closing), text[inside:close]
    inline = mark == "\\("
    if end - begin > REACH or not body.strip():
        return None
    if mark in AGAIN and AGAIN[mark].search(body):
        return None
    if inline and PARAGRAPH_END.search(body):
        return None
    inner = (begin, end) if opened["name"] else (inside, close)
    return Formula(begin, end, inner, not inline)


def _in_dollars(text: str, begin: int) -> Formula | None:
    """``$x$`` as in pandoc: no blank inside the marks, no digit after them, or blanks inside both;
    and no prose in it."""
    inside = begin + 1
    close = UP_TO_DOLLAR.match(text, inside, inside + REACH).end()  # type: ignore[union-attr]
    body, after = text[inside:close], text[close + 1 : close + 2]
    if text[close : close + 1] != "$" or not body.strip() or after.isdigit() or after == "$":
        return None
    spaced = body[0].isspace()
    if spaced != body[-1].isspace() or (spaced and "\n" in body):
        return None
    words = NOT_WORDS.sub(" ", body)
    before = text[begin - 1 : begin].isalnum()
    money = (spaced or before or MONEY.match(body)) and WORD.search(words)
    if money or PROSE.search(words) or (before and MONEY.match(body)):
        return None
    return Formula(begin, close + 1, (inside, close), False)


def _brace_end(text: str, begin: int) -> int:
    """After the brace that closes the one at ``begin``; 0 where none does."""
    depth = 0
    for match in BRACE.finditer(text, begin, begin + REACH):
        depth += {"{": 1, "}": -1}.get(match[0], 0)
        if not depth:
            return match.end()
        if depth > DEEPEST:
            return 0
    return 0
