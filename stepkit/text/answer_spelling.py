r"""One spelling of an answer: of spaces, signs, fractions, roots, dots, units and words in LaTeX.

Its meaning is kept. A row break of a matrix (``\\``, ``\\[8pt]``) becomes ROW, so that it is never
taken for white space. Words in ``\text{...}`` become plain words; a single letter there stays
marked, because ``\text{m}`` is a unit and ``m`` a variable.
"""

from __future__ import annotations

import re
from functools import lru_cache

from stepkit.text.answer_marks import tidy

ROW = "\u23ce"
LONGEST = 2000  # characters; a longer answer is only compared as it is written

SIGNS = str.maketrans(
    {
        "\u2212": "-", "\u2013": "-", "\u2010": "-", "\u00d7": r"\times ", "\u00b7": r"\cdot ",
        "\u22c5": r"\cdot ", "\u00f7": "/", "\u03c0": r"\pi ", "\u221e": r"\infty ",
        "\u222a": r"\cup ", "\u2229": r"\cap ", "\u2264": r"\le ", "\u2265": r"\ge ",
        "\u2260": r"\ne ", "\u2208": r"\in ", "\u2248": r"\approx ", "\u00b1": r"\pm ",
        "\u2026": r"\dots ", "\u2205": r"\emptyset ", "\u27e8": r"\langle ", "\u27e9": r"\rangle ",
        "\u00bd": r"\frac{1}{2}", "\u00bc": r"\frac{1}{4}", "\u00be": r"\frac{3}{4}",
        "\u2153": r"\frac{1}{3}", "\u2154": r"\frac{2}{3}", "\u00b2": "^2", "\u00b3": "^3",
        "\u221a": r"\sqrt ", "\u211d": r"\mathbb{R}", "\uff0c": ",", "\uff08": "(", "\uff09": ")",
        "\uff1a": ":", "\uff1b": ";", "\u3002": ".", "\u2032": "'",
    }
)  # fmt: skip
ROW_BREAK = re.compile(r"\\\\\*?(?:\s*\[[^\]]*\])?|\\(?:cr|newline|tabularnewline)(?![A-Za-z])")
TEXT = re.compile(
    r"\\(?P<kind>text(?:bf|it|rm|sf|tt|normal|up)?|math(?:rm|bf|it|sf|tt|normal)|mbox|hbox|emph"
    r"|operatorname\*?|boldsymbol|bm|underline)\s*\{(?P<words>[^{}]*)\}"
)
UPRIGHT = frozenset({"text", "textrm", "mathrm", "mbox", "hbox"})
REWRITES = [
    (re.compile(pattern), to)
    for pattern, to in (
        (r"\\(?:left|right)\s*\.", ""),
        (r"\\(?:left|right|[bB]igg?[lrm]?|displaystyle|textstyle|limits)(?![A-Za-z])", ""),
        (r"\\(?:[hv]space|phantom)\*?\{[^{}]*\}", " "),
        (r"\\!\s*", ""),
        (r"\\[,;:> ]|\\q?quad(?![A-Za-z])|~|[\s\u00a0\u2000-\u200b\u202f\u3000]+", " "),
        (r"(?<![\\$])\$(?![\s$])([^$]+?)(?<![\s\\])\$(?!\d)", r" \1 "),
        (r"\\[()\[\]]", " "),
        (r"\\[dtc]frac(?![A-Za-z])", r"\\frac"),
        (r"\{,\}", ","),
        (r"\\([$#&_]|\d)", r"\1"),
        (r"\\(?:lbrace|rbrace)(?![A-Za-z])\s*", lambda m: "\\{" if "lb" in m[0] else "\\}"),
        (r"\\(leq|geq)(?:slant)?(?![A-Za-z])", lambda m: "\\" + m[1][:2] + " "),
        (r"\\lt(?![A-Za-z])", "<"),
        (r"\\gt(?![A-Za-z])", ">"),
        (r"<=", r"\\le "),
        (r">=", r"\\ge "),
        (r"!=|\\neq(?![A-Za-z])", r"\\ne "),
        (r"\\(?:ldots|cdots|dotsc|dotsb|dots)(?![A-Za-z])|\.\.\.+", r"\\dots "),
        (r"\\div(?![A-Za-z])", "/"),
        (r"\\(?:ast|cdotp)(?![A-Za-z])", r"\\cdot "),
        (r"\\(?:varnothing)(?![A-Za-z])", r"\\emptyset "),
        (r"\*\*", "^"),
        (r"(?:\^\s*\{?\s*\\circ\s*\}?|\\degree(?![A-Za-z])|\u00b0)\s*([CF])\b", r" degree\1 "),
        (r"\^\s*\{?\s*\\circ\s*\}?|\\degree(?![A-Za-z])|\u00b0|\bdegrees?\b", " degree "),
        (r"\s*(?:\\?%|\bper\s?cent\b|\bpercentage points?\b|\bpct\b)", "% "),
        (r"(?<![\\A-Za-z])(pi|infinity|infty|sqrt)(?![A-Za-z])",
         lambda m: {"infinity": r"\infty "}.get(m[1], "\\" + m[1] + " ")),
        (r"\\sqrt\s*\(([^()]*)\)", r"\\sqrt{\1}"),
        (r"([\^_])\s*\{\s*(\w)\s*\}", r"\1\2"),
        (r"\\overline\s*(\d)", r"\\overline{\1}"),
        (r" +", " "),
    )
]  # fmt: skip
ARGUMENTS = re.compile(r"\\(frac|sqrt)(?![A-Za-z])\s*")
ARGUMENT = re.compile(r"\s*(?:(\d|[A-Za-z])|(\\[A-Za-z]+))")
THOUSANDS = re.compile(r"(?<![\d,.])\d{1,3}(?:,\d{3})+(?![\d,])")
LISTED = re.compile(r"[(\[]|\\\{")  # (1,200) is a pair
NO_SPACE = re.compile(r" (?=[^\w\\])|(?<=[^\w]) |(?<=\d) (?=[A-Za-z\\])")


@lru_cache(8192)
def normal_form(answer: str) -> str:
    """``answer`` in one spelling."""
    if answer.isalnum() and answer.isascii():
        return answer
    answer = tidy(answer)
    if len(answer) > LONGEST:
        return answer
    answer = ROW_BREAK.sub(ROW, answer)
    for _ in range(2):  # one in another
        answer = TEXT.sub(_words, answer)
    answer = answer.translate(SIGNS)
    for pattern, to in REWRITES:
        answer = pattern.sub(to, answer)
    answer = tidy(_braced(answer).strip())
    return (
        answer if LISTED.search(answer) else THOUSANDS.sub(lambda m: m[0].replace(",", ""), answer)
    )


def key(form: str) -> str:
    """A normal form without the spaces that mean nothing there."""
    return NO_SPACE.sub("", form)


def latex(form: str) -> str:
    """A normal form as LaTeX again."""
    return form.replace(ROW, r"\\ ")


def _words(match: re.Match[str]) -> str:
    words = match["words"].strip()
    if len(words) == 1 and words.isalpha():
        return rf"\text{{{words}}}" if match["kind"] in UPRIGHT else words
    return f" {match['words']} "


def _braced(text: str) -> str:
    r"""``\frac12`` as ``\frac{1}{2}``, ``\sqrt2`` as ``\sqrt{2}``."""
    parts: list[str] = []
    at = 0
    for command in ARGUMENTS.finditer(text):
        if command.start() < at:
            continue
        parts.append(text[at : command.start()] + "\\" + command[1])
        at = command.end()
        for _ in range(2 if command[1] == "frac" else 1):
            bare = ARGUMENT.match(text, at)
            if bare is None:
                group = _group_end(text, at)
                parts.append(_braced(text[at:group]) if group > at + 1 else text[at:group])
                at = group
            else:
                parts.append(f"{{{bare[1] or bare[2]}}}")
                at = bare.end()
    return "".join(parts) + text[at:]


def _group_end(text: str, at: int) -> int:
    """Where the group in braces ends that begins at ``at``; ``at`` where there is none."""
    if text[at : at + 1] != "{":
        return at
    depth = 0
    for place in range(at, len(text)):
        depth += (text[place] == "{") - (text[place] == "}")
        if not depth:
            return place + 1
    return at
