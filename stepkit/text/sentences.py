"""Where the sentences of a mathematical text end.

A sentence ends after ``.``, ``!`` or ``?``, the quotes and brackets that close with it, and the
line breaks that follow. Blanks that follow begin the next sentence, because tokenizers fuse a blank
with the word after it and a line break with what stands before. It also ends at a blank line, and
before a line that is a list item, a heading or the start of a numbered step.

Nothing is cut inside mathematics and code (see ``spans``), in 3.14, after e.g., Fig. and other
abbreviations, after initials, after the number of a list item, between the dots of an ellipsis, or
before a word in lower case. Where it is uncertain this splitter does not cut: two sentences in one
step do less harm than half a formula. English and, by its full stops, Chinese and Japanese; no
model, no dictionary. Linear in the length of the text.
"""

from __future__ import annotations

import re
from unicodedata import category

Span = tuple[int, int]

CLOSERS = "[\"')\\]}*_\u00bb\u2019\u201d\u300d\u300f\uff09]*"
END = re.compile(
    rf"""(?P<blank> \n(?:[ \t\r]*\n)+ )
       | (?P<item> \n (?= [ \t]* (?: (?: [-*\u2022] | \d+[.)] | \#+ ) [ \t] | [Ss]tep[ ]\d ) ) )
       | (?P<stop> [.!?\u2026]+ ) {CLOSERS} (?= (?P<gap> \s+ | \Z ) )
       | (?P<wide> [\u3002\uff01\uff1f]+ ) {CLOSERS} (?= (?P<room> \s* ) )""",
    re.VERBOSE,
)
LATIN_WORD = re.compile(r"[^\W\d_]+(?:\.[^\W\d_]+)*")  # "e.g", "Fig", "U.S"
LIST_NUMBER = re.compile(
    r"[ \t]*(?:[-*+>\u2022][ \t]+|\#{1,6}[ \t]*)?(?:\*\*|__|\()?"
    r"(?:(?:step|case|part|exercise|problem|example)[ \t]+)?(?:\d{1,3}|[A-Za-z]|[ivxIVX]{1,5})\Z",
    re.IGNORECASE,
)
TAIL = 40  # characters looked back at; more than any abbreviation or list number needs


def _words(text: str) -> frozenset[str]:
    return frozenset(text.split())


NEVER_LAST = _words(
    "e.g i.e eg ie vs cf viz approx resp ca mr mrs ms dr prof st fig figs eq eqs eqn eqns thm lem "
    "prop def cor sec tab vol nr al w.r.t s.t i.i.d"
)
NOT_BEFORE_NUMBER = _words("no nos p pp ch ex art ref refs")
OFTEN_LAST = _words("etc a.m p.m inc ltd co jr sr ph.d")
OPENERS = _words(
    "a all also an and any as assume at because but by check compute consider define each finally "
    "find first for from given hence here how however i if in it its let next no note now of on "
    "once one otherwise our recall second similarly since so solve step still subtract suppose "
    "substitute substituting that the their then there therefore these they this those thus to "
    "together using wait we what when where which while with without yes you"
)
EMPHASIS = re.compile(r"(?:[*_]{1,3}(?=[^\s*_]))?")
INITIALS = re.compile(r"(?:[A-Z]\.)*[A-Z]")
FACTORIAL = re.compile(r"(?:[\d)\]}]|(?:^|\W)\w)\Z")


def sentence_ends(text: str) -> list[int]:
    """Offsets (characters) after which a new sentence begins, ascending."""
    ends: list[int] = []
    covered = spans(text)
    place = 0
    for match in END.finditer(text):
        while place < len(covered) and covered[place][1] <= match.start():
            place += 1
        inside = place < len(covered) and covered[place][0] <= match.start()
        if not inside and _ends(text, match):
            ends.append(_after(match))
    ends += (end for end in (_after_formula(text, span) for span in covered) if end)
    return sorted(set(ends))


def _ends(text: str, match: re.Match[str]) -> bool:
    """Whether the candidate is the end of a sentence, by what stands before and after it."""
    stop, begin, next_begin = match["stop"], match.start(), match.end("gap")
    if stop is None or next_begin == len(text):
        return True
    if stop == "." and not _may_be_last(text, begin, next_begin):
        return False
    if "\n" in match["gap"]:
        return True
    if len(stop) > 1 or stop == "\u2026":
        return text[next_begin].isupper()
    if stop == "!" and FACTORIAL.search(text[max(0, begin - 2) : begin]):
        return text[next_begin].isupper()
    return _may_be_first(text, next_begin)


def _may_be_last(text: str, stop: int, after: int) -> bool:
    """Whether the word before the full stop at ``stop`` can end a sentence."""
    tail = text[max(0, stop - TAIL) : stop]
    line = tail.rpartition("\n")[2]
    if (len(line) < len(tail) or stop <= TAIL) and LIST_NUMBER.match(line):
        return False
    words = LATIN_WORD.findall(tail)
    if not words or not tail.endswith(words[-1]):
        return True
    word, lower = words[-1], words[-1].lower()
    following = LATIN_WORD.match(text, after)
    if lower in NEVER_LAST:
        return False
    if lower in NOT_BEFORE_NUMBER:
        return not re.match(r"[\d$(\\]", text[after : after + 1])
    if lower in OFTEN_LAST:
        return following is not None and following[0][0].isupper()
    if INITIALS.fullmatch(word):  # "J. Smith", but "at point P. Then"
        return following is not None and following[0].lower() in OPENERS
    return True


def _may_be_first(text: str, begin: int) -> bool:
    """Whether a sentence can begin at ``begin``: anything but a longer word in lower case, or a
    sign that goes on with a formula or a list."""
    begin = EMPHASIS.match(text, begin).end()  # type: ignore[union-attr]  # matches always
    word = LATIN_WORD.match(text, begin)
    if word:
        return not (len(word[0]) > 1 and word[0][0].islower())
    return text[begin] not in "+-*/=<>,;:.!?)]}&|^%" and category(text[begin]) != "Sm"


def _after(match: re.Match[str]) -> int:
    """Where the next sentence begins: after the last line break, else before the blanks."""
    gap = "gap" if match["stop"] else "room" if match["wide"] else None
    return _past_line_breaks(match[gap], match.start(gap)) if gap else match.end()


def _past_line_breaks(gap: str, begin: int) -> int:
    return begin + gap.rfind("\n") + 1


def _after_formula(text: str, span: Span) -> int:
    """The end of a sentence whose full stop stands inside its formula: "$x = 5.$ Then"; else 0."""
    begin, end = span
    inner = text[begin:end].rstrip("$)]}\\ \n\t")
    gap = re.compile(r"\s+").match(text, end)
    if gap is None or not inner.endswith(".") or inner.endswith("..") or gap.end() == len(text):
        return 0
    if not text[gap.end()].isupper():
        return 0
    return _past_line_breaks(gap[0], end)


OPEN = re.compile(
    r"```|`|\\\(|\\\[|\\begin\{(?P<env>[A-Za-z]+\*?)\}|\\[A-Za-z]+\*?[ \t]*\{|\\.|\$\$|\$",
    re.DOTALL,
)
CLOSING = {"```": "```", "$$": "$$", "\\(": "\\)", "\\[": "\\]"}
BRACE = re.compile(r"\\.|[{}]|\n[ \t\r]*\n", re.DOTALL)
UP_TO_DOLLAR = re.compile(r"(?:[^\\$]|\\.)*", re.DOTALL)
INLINE_CODE = re.compile(r"[^`\n]+`")
PARAGRAPH_END = re.compile(r"\n[ \t\r]*\n")


def spans(text: str) -> list[Span]:
    r"""Stretches of formulas and code, ascending and apart: ``[begin, end)`` in characters.

    ``$...$``, ``$$...$$``, ``\(...\)``, ``\[...\]``, ``\begin{x}...\end{x}``, ``\name{...}`` with
    nested braces, `` `...` `` and fenced code. One that is never closed reaches to the end of its
    paragraph, as in a response that was cut off; but a lone dollar sign is money.
    """
    found: list[Span] = []
    missing: set[str] = set()
    begin = 0
    while match := OPEN.search(text, begin):
        end = _close(text, match, missing)
        if end:
            found.append((match.start(), end))
        begin = end or match.end()
    return found


def _close(text: str, opened: re.Match[str], missing: set[str]) -> int:
    """Where the span that ``opened`` begins ends; 0 when it begins none.

    ``missing`` collects closing marks that do not occur any more: they are searched for once only.
    """
    mark, inside = opened[0], opened.end()
    if mark == "$":
        return _close_dollar(text, inside)
    if opened["env"]:
        return _find(text, f"\\end{{{opened['env']}}}", inside, missing)
    if mark in CLOSING:
        return _find(text, CLOSING[mark], inside, missing)
    if mark == "`":
        code = INLINE_CODE.match(text, inside)
        return code.end() if code else 0
    return _close_braces(text, inside) if mark.endswith("{") else 0


def _find(text: str, mark: str, begin: int, missing: set[str]) -> int:
    end = -1 if mark in missing else text.find(mark, begin)
    if end >= 0:
        return end + len(mark)
    missing.add(mark)
    return _paragraph_end(text, begin)


def _close_dollar(text: str, inside: int) -> int:
    """The end of ``$...$``; 0 for money.

    As in pandoc: no blank inside the marks, no digit after them, no blank line between; or else
    blanks inside both marks, on one line. Only the next dollar sign can close.
    """
    end = UP_TO_DOLLAR.match(text, inside).end()  # type: ignore[union-attr]  # matches always
    body = text[inside:end]
    if text[end : end + 1] != "$" or not body.strip() or text[end + 1 : end + 2].isdigit():
        return 0
    first, last = body[0].isspace(), body[-1].isspace()
    one_line = "\n" not in body or not (first or PARAGRAPH_END.search(body))
    return end + 1 if first == last and one_line else 0


def _close_braces(text: str, inside: int) -> int:
    """The end of ``{...}`` and of the ``{...}`` that follow it at once, as in a fraction."""
    depth = 1
    for match in BRACE.finditer(text, inside):
        if match[0][0] == "\n":
            return match.start()
        if match[0] in "{}":
            depth += 1 if match[0] == "{" else -1
        if not depth and text[match.end() : match.end() + 1] != "{":
            return match.end()
    return len(text)


def _paragraph_end(text: str, begin: int) -> int:
    match = PARAGRAPH_END.search(text, begin)
    return match.start() if match else len(text)
