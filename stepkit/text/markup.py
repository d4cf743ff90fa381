"""What a text says of how it wants to look: formulas, code, and light Markdown.

Bold and italic by asterisks, code in backticks and between fences, headings and list items, each
as models write them, and none over the end of a line but fences and formulas. It is no Markdown
parser: nothing is nested but formulas, code and emphasis in a heading or an item, and formulas and
code in emphasis. Where asterisks may be operators (``2 * 3 * 4``, ``2**3``) they stay. Underscores
do, always. ``#### 18`` is an answer, not a heading.

Marks say where; the text is never changed. A step is a piece of a text, and is marked as that
piece: what is opened in one step and closed in another stays text, but for code.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Sequence
from typing import NamedTuple

from stepkit.text.blocks import HEADING
from stepkit.text.formulas import Span, formulas
from stepkit.text.protected_parts import fenced

CODE = re.compile(r"(?<![`\\])`(?P<inner>[^`\n]+)`(?!`)")
DRAWING = re.compile(r"\[asy\].*?(?:\[/asy\]|\Z)", re.DOTALL)
EMPHASIS = re.compile(
    r"(?<![\w*\\])(?P<mark>\*{1,3})(?=[^\s*])(?P<inner>[^*\n]*[^\s*\\])(?P=mark)(?![\w*])"
)
KINDS = {1: "italic", 2: "bold", 3: "both"}
BLOCK = re.compile(
    r"^(?P<indent>[ \t]*)(?:(?P<heading>\#{1,6})[ \t]+(?=\S)"
    r"|(?P<bullet>[-*+])[ \t]+(?=[^\W\d_]{2}|\*\*\w|[`\"\u201c]|\\\()"  # else it may be a minus
    r"|(?P<number>\d{1,3}[.)])[ \t]+(?=\S))",
    re.MULTILINE,
)
BLANKS_AFTER = re.compile(r"[ \t\r]*\n")
CUT_OFF = ("fence", "drawing")
MASK = "\ufffc"


class Mark(NamedTuple):
    """A stretch ``[begin, end)`` of a text and how it is to look.

    Attributes:
        kind: ``formula``, ``display`` (a formula on lines of its own), ``code``, ``fence`` (lines
            of code), ``drawing`` (the source of one), ``bold``, ``italic``, ``both``, ``heading``,
            ``bullet`` or ``item``.
        inner: what of it is shown; the rest are marks.
        marks: those inside.
    """

    begin: int
    end: int
    kind: str
    inner: Span
    marks: tuple[Mark, ...] = ()


def marks(text: str) -> list[Mark]:
    """The marks of a text, ascending and apart; those inside others are theirs."""
    atoms = _atoms(text)
    blocks = [*_blocks(text, atoms)]
    return _nested(sorted([*atoms, *blocks, *_emphasis(text, atoms)], key=_outer_first))


def marks_by_part(parts: Sequence[str]) -> list[list[Mark]]:
    """The marks of a text that was cut into ``parts``, for each part, counted from its start."""
    found = marks("".join(parts))
    begin = place = 0
    by_part = []
    for part in parts:
        end = begin + len(part)
        while place < len(found) and found[place].end <= begin:
            place += 1
        last = place
        while last < len(found) and found[last].begin < end:
            last += 1
        by_part.append([*_within(found[place:last], begin, end)])
        begin = end
    return by_part


def _within(found: Sequence[Mark], begin: int, end: int) -> Iterator[Mark]:
    """The marks as they are in ``[begin, end)``."""
    for mark in found:
        if mark.end <= begin or mark.begin >= end:
            continue
        if begin <= mark.begin and mark.end <= end:
            yield _moved(mark, -begin)
        elif mark.kind in CUT_OFF:
            a, b = (min(max(place, begin), end) - begin for place in mark.inner)
            if a < b:
                yield Mark(max(mark.begin - begin, 0), min(mark.end, end) - begin, "fence", (a, b))
        else:
            yield from _within(mark.marks, begin, end)


def _moved(mark: Mark, by: int) -> Mark:
    begin, end = mark.inner
    inside = tuple(_moved(one, by) for one in mark.marks)
    return Mark(mark.begin + by, mark.end + by, mark.kind, (begin + by, end + by), inside)


def _outer_first(mark: Mark) -> tuple[int, int]:
    return mark.begin, -mark.end


def _nested(found: Sequence[Mark]) -> list[Mark]:
    """Those inside others as theirs; what reaches over the end of another is left out."""
    made: list[Mark] = []
    place = 0
    while place < len(found):
        mark, place = found[place], place + 1
        inside = []
        while place < len(found) and found[place].begin < mark.end:
            if mark.inner[0] <= found[place].begin and found[place].end <= mark.inner[1]:
                inside.append(found[place])
            place += 1
        made.append(mark._replace(marks=tuple(_nested(inside))))
    return made


def _atoms(text: str) -> list[Mark]:
    """What holds no marks: code, drawings and formulas."""
    found = [_fence(text, begin, end) for begin, end in fenced(text)]
    if "[asy]" in text:
        found += (
            Mark(match.start(), _line_end(text, match.end()), "drawing", match.span())
            for match in DRAWING.finditer(text)
        )
    if "`" in text:
        for match in CODE.finditer(text):
            found.append(Mark(*match.span(), "code", match.span("inner")))
    found = _nested(sorted(found, key=_outer_first))
    found = [mark._replace(marks=()) for mark in found]
    if "$" in text or "\\" in text:
        for one in formulas(text, [(mark.begin, mark.end) for mark in found]):
            begin, end = one.begin, one.end
            if one.display:
                end = _line_end(text, end)
                while begin and text[begin - 1] in " \t":
                    begin -= 1
            found.append(Mark(begin, end, "display" if one.display else "formula", one.inner))
        found.sort(key=_outer_first)
    return found


def _line_end(text: str, end: int) -> int:
    """After the line break at ``end``: what is shown as lines of its own has it already."""
    blanks = BLANKS_AFTER.match(text, end)
    return blanks.end() if blanks else end


def _fence(text: str, begin: int, end: int) -> Mark:
    first = text.find("\n", begin, end) + 1 or end
    last = end
    lines = text[begin:end].rstrip("\n").rsplit("\n", 1)
    if len(lines) == 2 and lines[1].strip()[:3] in ("```", "~~~"):
        last = begin + len(lines[0]) + 1
    return Mark(begin, end, "fence", (first, max(first, last)))


def _blocks(text: str, atoms: Sequence[Mark]) -> Iterator[Mark]:
    """Headings and list items, each up to the end of its line."""
    place = 0
    for match in BLOCK.finditer(text):
        begin, inside = match.start(), match.end()
        while place < len(atoms) and atoms[place].end <= begin:
            place += 1
        if place < len(atoms) and atoms[place].begin <= begin < atoms[place].inner[1]:
            continue  # within code or a formula
        end = text.find("\n", inside) + 1 or len(text)
        last = place
        while last < len(atoms) and atoms[last].begin < end:  # a formula goes on in the next line
            end = max(end, atoms[last].end)
            last += 1
        if match["heading"]:
            if HEADING.match(text, match.start("heading")):
                yield Mark(begin, end, "heading", (inside, end))
        elif match["bullet"]:
            yield Mark(begin, end, "bullet", (inside, end))
        else:
            yield Mark(begin, end, "item", (match.start("number"), end))


def _emphasis(text: str, atoms: Sequence[Mark]) -> Iterator[Mark]:
    if "*" not in text:
        return
    pieces, end = [], 0
    for atom in atoms:
        pieces += [text[end : atom.begin], MASK * (atom.end - atom.begin)]
        end = atom.end
    for match in EMPHASIS.finditer("".join([*pieces, text[end:]])):
        yield Mark(*match.span(), KINDS[len(match["mark"])], match.span("inner"))
