r"""Displayed formulas: the stretches of a text that no step may be cut in.

``\[...\]``, ``$$...$$``, ``\begin{x}...\end{x}`` of mathematical environments and tables, ``\(``
at the end of a line up to ``\)``, and ``[asy]...[/asy]``, the drawings of MATH. Blank lines may
stand inside.

One that is not closed within REACH characters, or before another of its kind is opened, reaches to
the end of its paragraph, as in a response that was cut off. Linear in the length of the text.
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from typing import NamedTuple

Span = tuple[int, int]

REACH = 8000
"""Characters within which a display must be closed. A model that forgets to close one must not
have all that follows for a formula, nor a draw wait for the end of it."""

DELIMITER = re.compile(
    r"""[\\$\[] (?:
        (?<!\\\\)(?<=\\) (?: [\[\]] | \((?=[ \t\r]*\n)
          | (?P<edge>begin|end)\{(?P<name>[A-Za-z]+\*?)\} )
      | (?<=\$) \$
      | (?<=\[) /?asy\] )""",
    re.VERBOSE,
)
CLOSES = {"\\]": "\\[", "[/asy]": "[asy]"}
TEXT_ENVIRONMENTS = frozenset(
    {"abstract", "center", "corollary", "definition", "description", "document", "enumerate"}
    | {"example", "figure", "flushleft", "flushright", "itemize", "lemma", "minipage", "proof"}
    | {"proposition", "quotation", "quote", "remark", "solution", "theorem"}
)
"""Environments of text: they hold steps, so they are no displays."""

PARAGRAPH_END = re.compile(r"\n[ \t\r]*\n")


class Displays(NamedTuple):
    """Attributes:
    spans: ``[begin, end)`` in characters, ascending; they may overlap.
    open: where the first one begins that more text could still close; None without one.
    """

    spans: list[Span]
    open: int | None


def displays(text: str, code: Sequence[Span] = ()) -> Displays:
    """The displays of ``text`` outside ``code`` (ascending and apart)."""
    found = _Displays(text)
    place = 0
    for match in DELIMITER.finditer(text):
        while place < len(code) and code[place][1] <= match.start():
            place += 1
        if place == len(code) or match.start() < code[place][0]:
            found.see(match)
    return found.done()


class _Displays:
    """What is open and what is found, from one delimiter to the next."""

    def __init__(self, text: str) -> None:
        self._text = text
        self._spans: list[Span] = []
        self._opened: dict[str, int] = {}
        self._inline = -1
        self._environments: list[tuple[str, int]] = []

    def see(self, match: re.Match[str]) -> None:
        mark, begin = match[0], match.start()
        if match["edge"]:
            self._environment(match)
        elif mark in CLOSES:
            self._close(self._opened.pop(CLOSES[mark], None), match.end())
        elif mark == "$$" and begin - self._opened.get(mark, -REACH) < REACH:
            self._close(self._opened.pop(mark), match.end())
        else:
            if mark in self._opened:
                self._give_up(self._opened[mark], begin)
            self._opened[mark] = begin
            if mark == "\\(" and (end := self._inline_end(begin)) <= begin + REACH:
                self._close(self._opened.pop(mark), end)

    def done(self) -> Displays:
        opened = [*self._opened.values(), *(begin for _, begin in self._environments)]
        for begin in opened:
            self._give_up(begin, len(self._text))
        may_close = (begin for begin in opened if len(self._text) - begin < REACH)
        return Displays(sorted(self._spans), min(may_close, default=None))

    def _inline_end(self, begin: int) -> int:
        """Where the next inline formula ends; beyond any reach without one."""
        if self._inline < begin:
            found = self._text.find("\\)", begin)
            self._inline = found + len("\\)") if found >= 0 else len(self._text) + REACH + 1
        return self._inline

    def _environment(self, match: re.Match[str]) -> None:
        name = match["name"]
        if name in TEXT_ENVIRONMENTS:
            return
        if match["edge"] == "begin":
            self._environments.append((name, match.start()))
            return
        names = [opened for opened, _ in self._environments[-DEPTH:]]
        if name not in names:
            return
        for _ in range(names[::-1].index(name)):
            self._give_up(self._environments.pop()[1], match.start())
        self._close(self._environments.pop()[1], match.end())

    def _close(self, begin: int | None, end: int) -> None:
        if begin is None:
            return
        if end - begin <= REACH:
            self._spans.append((begin, end))
        else:
            self._give_up(begin, end)

    def _give_up(self, begin: int, end: int) -> None:
        """The display at ``begin`` is never closed: up to its paragraph's end, ``end`` at most."""
        end = min(end, begin + REACH)
        paragraph = PARAGRAPH_END.search(self._text, begin, end)
        self._spans.append((begin, paragraph.start() if paragraph else end))


DEPTH = 16
"""Environments inside environments that are looked through for the one that ends."""
