r"""The number in the sentence that closes a text: "Therefore, he has 12 apples."

It is the only number there (or on the right of the last equals sign there), where the sentence
draws a conclusion; else the one of its numbers that the equation just before it comes to.
"""

from __future__ import annotations

import re

from stepkit.text.answer_marks import tidy, without_emphasis
from stepkit.text.sentences import sentence_ends

CONCLUSION = re.compile(
    r"[\s>*_\#-]*(?:\d+\.\s+)?(?:and[ ]|but[ ])?(?:so|therefore|thus|hence|consequently|finally"
    r"|overall|altogether|in[ ](?:total|conclusion|summary|all)|as[ ]a[ ]result|this[ ]means"
    r"|\u56e0\u6b64|\u6240\u4ee5)\b",
    re.IGNORECASE,
)
WHOLE = r"(?:\d{1,3}(?:(?:,|\{,\}|\\,)\d{3})+|\d+)"
FRACTION = r"\\[dt]?frac\{[^{}]*\d[^{}]*\}\{[^{}]*\d[^{}]*\}"
NUMBER = re.compile(
    r"(?:(?<![\w)\]}])[-+\u2212])?(?:\\?\$[ ]?|[\u20ac\u00a3\u00a5])?(?:[-+\u2212])?"
    rf"(?:{FRACTION}|{WHOLE}(?:\.\d+)?(?:\s?/\s?\d+)?|\.\d+)(?:\s?\\?%)?"
)
RESULT = re.compile(rf"=\s*(?:\\text\{{[^{{}}]*\}})?\s*({NUMBER.pattern})\D*\Z")
LAST_PART = 2000  # characters: longer sentences conclude nothing
TIME = re.compile(r"\d:\d")
AFTER_DISPLAY = re.compile(r"(?:\\\]|\$\$)\s+(?=[A-Z])")


def closing_number(text: str) -> str | None:
    """The number that the closing sentence of ``text`` comes to; None where that is not sure."""
    tail = text.rstrip()[-LAST_PART:]
    begin, end = _closing(tail)
    sentence = without_emphasis(tail[begin:end].strip())
    if TIME.search(sentence):
        return None
    concludes = CONCLUSION.match(sentence) is not None
    equals = sentence.rfind("=")
    numbers = {_value(one): one for one in _numbers(sentence[equals + 1 :])}
    if concludes and len(numbers) == 1:
        return next(iter(numbers.values()))
    result = RESULT.search(tail, 0, begin) if equals < 0 and end == len(tail) else None
    return numbers.get(_value(tidy(result[1]))) if result else None


def _numbers(sentence: str) -> list[str]:
    return [tidy(match[0].replace("\u2212", "-")) for match in NUMBER.finditer(sentence)]


def _value(number: str) -> str:
    """One spelling of a number, so that $6.00 is 6."""
    plain = re.sub(r"[\\$\u20ac\u00a3\u00a5, %]|\{,\}", "", number)
    return plain.rstrip("0").rstrip(".") if "." in plain else plain


def _closing(tail: str) -> tuple[int, int]:
    """Where the last sentence is that has a digit."""
    cuts = {*sentence_ends(tail), *(match.end() for match in AFTER_DISPLAY.finditer(tail))}
    begins = [0, *sorted(cut for cut in cuts if cut < len(tail))]
    sentences = list(zip(begins, [*begins[1:], len(tail)], strict=True))
    found = (span for span in reversed(sentences) if any(map(str.isdigit, tail[slice(*span)])))
    return next(found, (0, 0))
