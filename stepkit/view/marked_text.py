"""How a case's texts look, for the page: where formulas, code and Markdown are (text/markup.py).

A text stays a text. Next to it goes where its marks are, ``[begin, end, kind, inner begin, inner
end, marks inside]``, or ``[begin, end, kind, number]`` of one of the case's ``formulas``, each of
which is there once; counted in UTF-16 units, as the page's script counts. Texts without marks have
none.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Sequence
from itertools import accumulate
from typing import Any

from stepkit.schema import Json
from stepkit.text import markup
from stepkit.text.markup import Mark
from stepkit.view import mathml

FORMULAS = ("formula", "display")
LATEX = re.compile(r"\\[A-Za-z]|\^|_\{")
"""An answer that is LaTeX without the marks of a formula, as in MATH."""
MOST = 200_000
"""Characters of a text beyond which it is shown as it is."""


def add_marks(case: Json) -> None:
    """Give a case the marks of its texts: ``marks`` of its own, and of each draw and sibling."""
    looks = _Looks()
    found = {name: looks.of_text(case[name]) for name in ("problem", "solution")}
    found |= {name: looks.of_answer(case[name]) for name in ("answer", "final")}
    found["steps"] = looks.of_steps(case["steps"])
    case["marks"] = {name: marks for name, marks in found.items() if any(marks)}
    drawn = [one for state in case.get("states", ()) for one in state["draws"]]
    others = [one for siblings in case.get("siblings", ()) for one in siblings]
    for one in (*drawn, *others):
        if marks := looks.of_text(one["text"]):
            one["marks"] = marks
        if marks := looks.of_answer(one.get("final")):
            one["answer"] = marks
    if looks.formulas:
        case["formulas"] = looks.formulas


class _Looks:
    """Marks as JSON, and the formulas that they number."""

    def __init__(self) -> None:
        self.formulas: list[tuple[mathml.Tree, ...]] = []
        self._numbers: dict[tuple[str, bool], int | None] = {}

    def of_text(self, text: str | None) -> list[Any]:
        if not text or len(text) > MOST:
            return []
        return self._json(text, markup.marks(text))

    def of_steps(self, steps: Sequence[str]) -> list[list[Any]]:
        if sum(map(len, steps)) > MOST:
            return []
        parts = zip(steps, markup.marks_by_part(steps), strict=True)
        return [self._json(text, marks) for text, marks in parts]

    def of_answer(self, text: str | None) -> list[Any]:
        """An answer is a formula as a whole, or a text like any other."""
        if text and LATEX.search(text) and not markup.marks(text):
            number = self._number(text, False)
            return [] if number is None else [[0, _units(text)(len(text)), "formula", number]]
        return self.of_text(text)

    def _json(self, text: str, marks: Sequence[Mark]) -> list[Any]:
        return self._marks(text, marks, _units(text)) if marks else []

    def _marks(self, text: str, marks: Sequence[Mark], at: Callable[[int], int]) -> list[Any]:
        made: list[Any] = []
        for mark in marks:
            where = [at(mark.begin), at(mark.end), mark.kind]
            inner = mark.inner
            if mark.kind not in FORMULAS:
                inside = self._marks(text, mark.marks, at)
                made.append([*where, at(inner[0]), at(inner[1]), *([inside] if inside else [])])
                continue
            number = self._number(text[slice(*inner)], mark.kind == "display")
            if number is not None:
                made.append([*where, number])
        return made

    def _number(self, latex: str, display: bool) -> int | None:
        key = latex.strip(), display
        if key not in self._numbers:
            made = mathml.formula(*key)
            self._numbers[key] = None if made is None else len(self.formulas)
            if made is not None:
                self.formulas.append(made)
        return self._numbers[key]


def _units(text: str) -> Callable[[int], int]:
    """Where a character is, in UTF-16 units."""
    if text.isascii() or max(text) <= "\uffff":
        return lambda place: place
    places = [0, *accumulate(1 + (letter > "\uffff") for letter in text)]
    return places.__getitem__
