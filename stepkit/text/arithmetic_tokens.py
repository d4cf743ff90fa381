r"""The tokens of arithmetic as people write it: numbers, signs, words, and what ends a clause.

Numbers have decimals, thousands separators, vulgar and mixed fractions. Signs have their spellings
in Unicode and LaTeX. Dates, times, ratios, versions and code are one token each: OTHER. A line that
says nothing equal is one, too: LINE.
"""

from __future__ import annotations

import re
from fractions import Fraction
from typing import NamedTuple

LONGEST_NUMBER = 60  # characters
DEGREE = "\u00b0"

NUMBER, OPERATOR, OPEN, CLOSE, EQUALS, ABOUT = "number", "operator", "(", ")", "=", "≈"
ROOT, FRACTION = "root", "fraction"
WORD, PERCENT, POWER, BREAK, LINE, OTHER = "word", "%", "power", "break", "line", "other"


VULGAR = {
    "\u00bd": "1/2", "\u2153": "1/3", "\u2154": "2/3", "\u00bc": "1/4", "\u00be": "3/4",
    "\u2155": "1/5", "\u2156": "2/5", "\u2157": "3/5", "\u2158": "4/5", "\u2159": "1/6",
    "\u215a": "5/6", "\u215b": "1/8", "\u215c": "3/8", "\u215d": "5/8", "\u215e": "7/8",
}  # fmt: skip
SUPERSCRIPT = str.maketrans(
    "\u2070\u00b9\u00b2\u00b3\u2074\u2075\u2076\u2077\u2078\u2079\u207b", "0123456789-"
)
SIGNS = {
    "\u2212": "-", "\u2013": "-", "\u00d7": "*", "\u00b7": "*", "\u22c5": "*", "\u2219": "*",
    "\u2217": "*", "\u00f7": "/", "\u2215": "/", r"\times": "*", r"\cdot": "*", r"\div": "/",
    "**": "^", "x": "*", "X": "*", "\u221a": ROOT, r"\sqrt": ROOT,
    r"\frac": FRACTION, r"\dfrac": FRACTION, r"\tfrac": FRACTION,
}  # fmt: skip
"""How a sign may be written -> the sign itself."""

DIGITS = r"(?:[0-9]{1,3}(?:(?:,|\{,\}|[\u00a0\u2009\u202f])[0-9]{3})+(?![0-9])|[0-9]+)"
LEXEMES = re.compile(
    rf"""
    (?P<prose>(?<![^\n])[^\n=`\\\u2248\u2243\u2245]*(?:\n(?![ \t]*&?[=\u2248\u2243\u2245\\])|\Z))
  | (?P<code>```.*?(?:```|\Z)|`[^`\n]*`|https?://\S+)
  | (?P<about>[\u2248\u2243\u2245]|\\approx\b|\\simeq\b)
  | (?P<line>\n|\\\\)
  | (?P<arrow>=+>|[-\u2013\u2014]+>|[\u2192\u21d2\u27f9\u21a6]
      |\\(?:to|rightarrow|Rightarrow|implies)\b)
  | (?P<comparison>[<>]=?|[\u2264\u2265\u2260]|\\(?:leq?|geq?|neq?|lt|gt)\b)
  | (?P<assigned>[!:+*/%^|~-]=|==+)
  | (?P<equals>&?=&?)
  | (?P<text>\\(?:text|textbf|mathrm|mathbf|mbox|textit)\{{(?P<inner>[^{{}}\n]*)\}})
  | (?P<space>[^\S\n]+|\\[ ,;:!]|\\(?:left|right|big|Big|displaystyle|quad|qquad|boxed)(?![A-Za-z])
      |\\[()\[\]]|&|\$\$|(?<![\d)])\*\*|\*\*(?![\d(])|[\u201c\u201d"])
  | (?P<short>\\[dt]?frac\ ?(?P<top>[1-9])\ ?(?P<bottom>[1-9])(?!\d))
  | (?P<unit>\u00b0[CF]?\b|\u00b0|\^\\circ\b|\^\{{\\circ\}})
  | (?P<sign>\\(?:times|cdot|div|sqrt|[dt]?frac)(?![A-Za-z])|\*\*
      |(?<=[0-9])(?<!\b0)[xX](?=[0-9])
      |[-+*/^\u2212\u2013\u00d7\u00b7\u22c5\u2219\u2217\u00f7\u2215\u221a])
  | (?P<date>[0-9]{{4}}-[0-9]{{1,2}}-[0-9]{{1,2}}(?!\d)
      |[0-9]{{1,2}}/[0-9]{{1,2}}/(?:[0-9]{{4}}|[0-9]{{2}})(?![\d/]))
  | (?P<mixed>[0-9]{{1,6}}\ [0-9]{{1,4}}/[0-9]{{1,4}}(?![\d/]|[.,]\d))
  | (?P<vulgar>[0-9]{{0,9}}[\u00bc-\u00be\u2153-\u215e])
  | (?P<number>(?:{DIGITS}(?:\.[0-9]+)?|(?<!\w)\.[0-9]+)(?:[eE][-+]?[0-9]{{1,3}}(?!\w))?)
  | (?P<power>\u207b?[\u2070\u00b9\u00b2\u00b3\u2074-\u2079]{{1,9}})
  | (?P<percent>\\?%)
  | (?P<word>\\?[A-Za-z_\u0370-\u03ff][\w']*(?:\.\d[\w.]*)?|[^\W\d_]+)
  | (?P<money>\\?[$\u20ac\u00a3\u00a5\u20b9])
  | (?P<open>[({{])
  | (?P<close>[)}}])
  | (?P<dots>\.\.+|\u2026|\\[lc]?dots\b)
  | (?P<break>[.,;?:|\u2022\u2014])
  | (?P<other>.)
    """,
    re.X | re.S,
)
_KINDS = {
    "equals": EQUALS, "about": ABOUT, "line": LINE, "prose": LINE, "arrow": BREAK, "break": BREAK,
    "comparison": BREAK, "word": WORD, "open": OPEN, "close": CLOSE,
}  # fmt: skip
GLUED = re.compile(r"[.,:']\d|['\"\u2032\u2033_]")
"""After a number: it is part of a version, a time, a ratio, a list, a measure in feet."""


class ArithmeticToken(NamedTuple):
    """A token and where it stands.

    Attributes:
        kind: NUMBER, OPERATOR and so on.
        start, end: characters in the text.
        text: as written; of an operator its plain sign.
        value: of a number or a power.
        places: decimals of a number; None when it was written as a fraction.
        money: a currency sign stands before the number.
    """

    kind: str
    start: int
    end: int
    text: str
    value: Fraction = Fraction(0)
    places: int | None = None
    money: bool = False


def tokens(text: str, start: int = 0, end: int | None = None) -> list[ArithmeticToken]:
    """The tokens of ``text[start:end]``. Spaces, quotes and marks of emphasis are none."""
    found: list[ArithmeticToken] = []
    money = False
    at, end = start, len(text) if end is None else end
    while at < end:
        match = LEXEMES.match(text, at, end)
        assert match is not None  # the last alternative takes any character
        at = match.end()
        kind = match.lastgroup or "other"
        if kind == "money":
            money = True
        elif kind not in ("space", "inner"):
            token = _token(kind, match, text, money)
            if token.kind == OTHER:
                at = token.end
            found.append(token)
            money = False
    return found


def _token(kind: str, match: re.Match[str], text: str, money: bool) -> ArithmeticToken:
    start, end, written = match.start(), match.end(), match[0]
    if kind == "number":
        if len(written) > LONGEST_NUMBER:
            return ArithmeticToken(OTHER, start, end, written)
        if GLUED.match(text, end):
            while end < len(text) and (text[end].isdigit() or text[end] in ".,:'\"\u2032\u2033_"):
                end += 1
            return ArithmeticToken(OTHER, start, end, text[start:end])
        return ArithmeticToken(NUMBER, start, end, written, *_decimal(written), money)
    if kind == "mixed":
        whole, _, rest = written.partition(" ")
        top, _, bottom = rest.partition("/")
        if int(top) < int(bottom):
            return ArithmeticToken(
                NUMBER, start, end, written, int(whole) + Fraction(rest), None, money
            )
        end = start + len(whole)
        return ArithmeticToken(NUMBER, start, end, whole, Fraction(whole), 0, money)
    if kind == "vulgar":
        value = Fraction(VULGAR[written[-1]]) + int(written[:-1] or 0)
        return ArithmeticToken(NUMBER, start, end, written, value, None, money)
    if kind == "short":
        value = Fraction(int(match["top"]), int(match["bottom"]))
        return ArithmeticToken(NUMBER, start, end, written, value, None, money)
    if kind == "unit":
        return ArithmeticToken(WORD, start, end, written if written[0] == DEGREE else DEGREE)
    if kind == "power":
        return ArithmeticToken(POWER, start, end, written, Fraction(written.translate(SUPERSCRIPT)))
    if kind == "sign":
        return ArithmeticToken(OPERATOR, start, end, SIGNS.get(written, written))
    if kind == "text":
        words = match["inner"].split()
        return ArithmeticToken(WORD, start, end, words[0] if words else "unit")
    if kind == "percent":
        modulo = re.match(r"\s*\d", text[end : end + 4])
        return ArithmeticToken(OTHER if modulo else PERCENT, start, end, written)
    if written == ":" and text[start - 1 : start].isspace():
        return ArithmeticToken(OTHER, start, end, written)  # a ratio: 2 : 3
    return ArithmeticToken(_KINDS.get(kind, OTHER), start, end, written)


def _decimal(written: str) -> tuple[Fraction, int]:
    if written.isdigit():
        return Fraction(int(written)), 0
    plain = re.sub(r"[,{}\u00a0\u2009\u202f]", "", written)
    digits, _, power = plain.lower().partition("e")
    places = len(digits.partition(".")[2])
    return Fraction(digits) * Fraction(10) ** int(power or 0), max(0, places - int(power or 0))
