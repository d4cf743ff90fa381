r"""LaTeX as MathML, for browsers draw that by themselves: no script, no font, no picture.

The conversion is latex2mathml's (MIT, pure Python). Of two libraries that were tried on the 6,202
formulas of MATH-500, ProcessBench and attempts by small models it failed at six (``\cline``,
``\multicolumn``, ``\cancelto``); math-core, which is compiled and sixty times as fast, at 31.

What latex2mathml does not know it leaves as text with a backslash, by which we know it; and what it
writes is not safe (``\text{<b>}`` and ``\href`` go through), so nothing of it is used but the
elements, and of these what ELEMENTS and ATTRIBUTES name. Anything else makes the formula none: it
is shown as it was written.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from functools import lru_cache
from html import unescape
from typing import TYPE_CHECKING, TypeAlias

from stepkit.view.terminal import HIDDEN

if TYPE_CHECKING:
    from xml.etree.ElementTree import Element

Tree: TypeAlias = "list[str | dict[str, str] | Tree]"
"""An element: its name, its attributes if it has any, and what it holds, a text or elements."""

LONGEST, DEEPEST = 8000, 40
"""Characters of a formula, and elements within elements; beyond them it stays text."""

ELEMENTS = {
    *("math", "mrow", "mi", "mn", "mo", "mtext", "mspace", "msup", "msub", "msubsup", "mfrac"),
    *("msqrt", "mroot", "mover", "munder", "munderover", "mtable", "mtr", "mtd", "mstyle"),
    *("menclose", "mpadded", "mphantom"),
}
LENGTH = re.compile(r"-?(?:[0-4](?:\.\d{1,4})?|\.\d{1,4})(?:em|ex)|0")
FLAG = re.compile(r"true|false")
ATTRIBUTES = {
    "display": re.compile(r"block|inline"),
    "displaystyle": FLAG,
    "scriptlevel": re.compile(r"[+-]?[0-3]"),
    "stretchy": FLAG,
    "fence": FLAG,
    "accent": FLAG,
    "largeop": FLAG,
    "movablelimits": FLAG,
    "form": re.compile(r"prefix|infix|postfix"),
    "width": LENGTH,
    "height": LENGTH,
    "depth": LENGTH,
    "minsize": LENGTH,
    "maxsize": LENGTH,
    "linethickness": re.compile(r"0"),
    "columnalign": re.compile(r"left|center|right"),
    "columnlines": re.compile(r"(?:solid|none|dashed)(?: (?:solid|none|dashed)){0,30}"),
    "rowlines": re.compile(r"(?:solid|none|dashed)(?: (?:solid|none|dashed)){0,30}"),
    "columnspacing": re.compile(r"0em(?: 2em)?"),
    "mathvariant": re.compile(r"normal|bold|italic|bold-italic|monospace|sans-serif"),
    "notation": re.compile(r"box|updiagonalstrike|downdiagonalstrike|horizontalstrike"),
}
COLUMN = {"begin": "{c}", "end": ""}
UNSEEN = frozenset(("xmlns", "linebreak", "rowspacing", "mathcolor", "lspace", "rspace", "side"))
"""Attributes that are left out: without them a formula says the same."""

SIMILAR = "\u223c"
NAMED_LENGTHS = {"negativethinmathspace": "-0.167em"}
UNSEEN_SIGNS = "\u2061\u2062\u2063\u2064"
"""Operators such as the one between a function and its argument."""
ESCAPED = re.compile(r"\\([_%$&#{} ])")
NEW_ROW = re.compile(r"\\cr(?![A-Za-z])")
NUMBERING = re.compile(r"\\(?:tag\*?|label)\{[^{}]*\}|\\(?:nonumber|notag)(?![A-Za-z])")
DEFINING = re.compile(r"\\(?:[egx]?def|let|(?:re)?newcommand|providecommand)(?![A-Za-z])")
"""A formula of some letters could define, and then be, one of millions."""
EQUATION = re.compile(r"\\(?:begin|end)\{equation\*?\}")
ALIGNED = re.compile(
    r"\\(begin|end)\{(?:align(?:ed)?|eqnarray|(?P<count>align(?:ed)?at))\*?\}(?:\[[tcb]\])?"
    r"(?(count)(?:\{\d+\})?)"
)
CENTRED = re.compile(r"\\(begin|end)\{(?:gather(?:ed)?|multline)\*?\}")
AS_OPERATOR = frozenset("\u27f9\u27fa\u27f8\u27f7\u27f6\xb1\u2213\u27c2\u2248~")
AS_NUMBER = frozenset("\u221e")
"""What latex2mathml takes for a letter, and for an operator, though spaces are set otherwise."""
BREAKS_AT = frozenset("=<>\u2264\u2265\u2248\u2260\u2261\u2192\u21d2\u27f9\u21d4")
SHORT = 24
"""Characters of LaTeX up to which a formula within a line is not broken."""


@lru_cache(20_000)
def formula(latex: str, display: bool) -> tuple[Tree, ...] | None:
    """The elements of a formula, in the order of its line; None for what cannot be converted.

    A formula on lines of its own is one. One within a line is as many as may stand on different
    lines: it may be broken after a relation, as TeX does.
    """
    if len(latex) > LONGEST or DEFINING.search(latex) or HIDDEN.search(latex):
        return None
    element = _converted(_prepared(latex, display), display)
    made = None if element is None else _tree(element, DEEPEST)
    if made is None or not any(_texts(made)) or ("\\&" not in latex and "&" in _texts(made)):
        return None
    return (made,) if display or len(latex) <= SHORT else tuple(_broken(made))


def _prepared(latex: str, display: bool) -> str:
    """Rows and spellings that latex2mathml does not know as those that it does."""
    latex = EQUATION.sub("", NUMBERING.sub("", NEW_ROW.sub(r"\\\\", latex)))
    if display and "\\\\" in latex and "\\begin" not in latex:
        latex = rf"\begin{{gathered}}{latex}\end{{gathered}}"
    latex = ALIGNED.sub(lambda match: rf"\{match[1]}{{split}}", latex)
    return CENTRED.sub(lambda match: rf"\{match[1]}{{array}}" + COLUMN[match[1]], latex)


def _converted(latex: str, display: bool) -> Element | None:
    from latex2mathml.converter import Converter

    try:
        return Converter(display="block" if display else "inline").convert_to_element(latex)
    except Exception:  # whatever it stumbles over (IndexError, RecursionError, ...) stays text
        return None


def _tree(element: Element, depth: int) -> Tree | None:
    """An element as a list, checked; None where there is something that is not allowed."""
    if element.tag not in ELEMENTS or element.tail or not depth:
        return None
    made: Tree = [_name(element)]
    attributes = _attributes(element)
    if attributes is None:
        return None
    if attributes:
        made.append(attributes)
    if element.text:
        text = ESCAPED.sub(r"\1", unescape(element.text))
        if ("\\" in text and text != "\\") or HIDDEN.search(text.strip(UNSEEN_SIGNS)):
            return None
        made.append(SIMILAR if text == "~" else text)
    for child in element:
        part = _tree(child, depth - 1)
        if part is None:
            return None
        made.append(part)
    return _without_row(made)


def _name(element: Element) -> str:
    text = unescape(element.text or "")
    if text in AS_OPERATOR or text in AS_NUMBER:
        return "mi" if text in AS_NUMBER else "mo"
    return element.tag


def _without_row(made: Tree) -> Tree:
    """A row of one element as that element."""
    if made[0] == "mrow" and len(made) == 2 and isinstance(made[1], list):
        return made[1]
    return made


def _attributes(element: Element) -> dict[str, str] | None:
    found = {}
    for name, value in element.attrib.items():
        value = NAMED_LENGTHS.get(value, value)
        allowed = ATTRIBUTES.get(name)
        if allowed and allowed.fullmatch(value):
            found[name] = value
        elif name not in UNSEEN:
            return None
    if found.get("display") == "inline":
        del found["display"]
    return found


def _texts(made: Tree) -> Iterator[str]:
    for part in made[1:]:
        if isinstance(part, str):
            yield part.strip()
        elif isinstance(part, list):
            yield from _texts(part)


def _broken(made: Tree) -> Iterator[Tree]:
    """``math`` as several, each but the last ended by a relation."""
    row = made[1] if len(made) == 2 else None
    if not isinstance(row, list) or row[0] != "mrow" or isinstance(row[1], dict):
        yield made
        return
    piece: Tree = []
    for part in row[1:]:
        if isinstance(part, list) and part[0] == "mo" and str(part[-1]) in BREAKS_AT and piece:
            yield ["math", *piece, ["mo", {"form": "infix"}, part[-1]]]
            piece = []
        else:
            piece.append(part)
    if piece:
        yield ["math", *piece]
