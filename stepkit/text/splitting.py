r"""Parts of a formula, cut at signs that stand outside all brackets."""

from __future__ import annotations

import re
from collections.abc import Sequence

BRACKET = re.compile(r"\\[{}]|\\[lr]angle(?![A-Za-z])|\\begin\{|\\end\{|[()\[\]{}]")
OPENING = frozenset({"\\{", "\\langle", "\\begin{", "(", "[", "{"})
PAIRS = {"(": ")", "[": "]", "\\{": "\\}", "\\langle": "\\rangle"}


def split_top(form: str, separators: Sequence[str]) -> list[str]:
    """``form`` cut at the separators outside brackets; an "and" after a comma cuts once.

    Half-open intervals make any bracket close any other.
    """
    if not any(sign in form for sign in separators):
        return [form]
    signs = re.compile("|".join([BRACKET.pattern, *map(_pattern, separators)]))
    parts, begin, depth = [], 0, 0
    for match in signs.finditer(form):
        mark = match[0]
        if BRACKET.fullmatch(mark):
            # \begin{x} opens a brace that closes again: count the environment only
            depth += 1 if mark in OPENING else -1
            depth += {"\\begin{": 1, "\\end{": 1}.get(mark, 0)
        elif depth <= 0:
            parts.append(form[begin : match.start()])
            begin = match.end()
    parts.append(form[begin:])
    return [part for at, part in enumerate(parts) if part.strip() or not 0 < at < len(parts) - 1]


def wrapped(form: str) -> str:
    """The opening bracket, where one pair of brackets holds all of ``form``; else ""."""
    opening = next((mark for mark in PAIRS if form.startswith(mark)), "")
    if not opening or not form.endswith(PAIRS[opening]):
        return ""
    depth = 0
    for match in BRACKET.finditer(form):
        depth += 1 if match[0] in OPENING else -1
        if depth == 0 and match.end() < len(form):
            return ""
    return opening if depth == 0 else ""


def _pattern(sign: str) -> str:
    words = sign.strip()
    return rf"(?<![A-Za-z\\]){words}(?![A-Za-z])" if words.isalpha() else re.escape(sign)
