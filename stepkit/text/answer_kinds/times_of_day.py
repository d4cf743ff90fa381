"""Times of day: 5 pm, 17:00, noon, 5 o'clock. Where the problem asks for a ratio, 3:4 is one."""

from __future__ import annotations

import re
from fractions import Fraction

from stepkit.text.answer_kinds.comparison import AnswerComparison, Read
from stepkit.text.answer_kinds.ratios import ASKS_RATIO, equal_ratios, equals_quotient
from stepkit.text.answer_kinds.values import PlainNumber, Ratio, TimeOfDay, Value
from stepkit.text.number_spelling import Number
from stepkit.text.verdicts import SAME, Verdict, different, open_question

TIME = re.compile(
    r"(\d{1,2})((?: ?: ?\d\d)*) ?"
    r"(?:(a|p)\. ?m\.?|(a|p)m\b|(noon|midnight)|(o'? ?clock)(?: ([ap])\.?m\.?)?)?"
    r"(?: in the (morning|afternoon|evening))?",
    re.IGNORECASE,
)


def read_time_of_day(form: str, read: Read) -> Value | None:
    match = TIME.fullmatch(form)
    if match is None or not (match[2] or form.strip()[-1:].isalpha() or form.endswith(".")):
        return None
    parts = tuple(map(int, [match[1], *re.findall(r"\d\d", match[2])]))
    if parts[0] > 24 or any(part > 59 for part in parts[1:]):
        return None
    letter = (match[3] or match[4] or match[7] or "").lower()
    day = (match[8] or "").lower()
    half = letter + "m" if letter else {"": "", "morning": "am"}.get(day, "pm")
    if match[5]:
        half = "pm" if match[5].lower() == "noon" else "am"
    return TimeOfDay(form, parts if len(parts) > 1 else (*parts, 0), half)


def compare(a: TimeOfDay, b: Value, comparison: AnswerComparison) -> Verdict | None:
    asks_ratio = ASKS_RATIO.search(comparison.problem)
    if isinstance(b, TimeOfDay):
        if asks_ratio and not (a.half or b.half):
            return equal_ratios(_as_ratio(a), _as_ratio(b))
        return _equal_times(a, b)
    if isinstance(b, Ratio):
        return equal_ratios(_as_ratio(a), b) if asks_ratio else different("a time and a ratio")
    if not isinstance(b, PlainNumber):
        return None
    hour = a.parts[1:] == (0,)
    if hour and ":" not in a.text:
        return SAME if b.number.value == a.parts[0] else different("another hour")
    if hour and b.number.value == a.parts[0]:
        return open_question("a time against a number")
    if asks_ratio:
        return equals_quotient(_as_ratio(a), b, comparison)
    return different("a time against a number")


def _equal_times(a: TimeOfDay, b: TimeOfDay) -> Verdict:
    x, y = (_without_zeros(one.parts) for one in (a, b))
    if bool(a.half) == bool(b.half):
        return SAME if (x, a.half) == (y, b.half) else different("another time")
    afternoon = [(one[0] % 12 + 12, *one[1:]) for one in (x, y)]
    if x == y or afternoon[0] == afternoon[1]:
        return open_question("am or pm on one side only")
    return different("another time")


def _as_ratio(time: TimeOfDay) -> Ratio:
    parts = (PlainNumber(str(part), Number(Fraction(part), 0)) for part in time.parts)
    return Ratio(time.text, tuple(parts))


def _without_zeros(parts: tuple[int, ...]) -> tuple[int, ...]:
    """Hours and minutes, with seconds where they are not 0."""
    kept = list(parts)
    while len(kept) > 2 and not kept[-1]:
        kept.pop()
    return tuple(kept)
