"""The view for a terminal: a trace as lines of a given width, with or without colours.

A step has its number, a bar, k of n and the interval in front of it, as far as there is room and
the record has them. What a text could do to a terminal or a reader (control characters, changes of
direction) is spelled out.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator, Sequence
from typing import TypeAlias
from unicodedata import combining, east_asian_width

from stepkit.schema import Json
from stepkit.view import trace_measures

Part: TypeAlias = "Callable[[Json, float | None], tuple[str, str]]"
"""A state's numbers and its share of the bar -> text and colour of one column."""

RAMP = (166, 173, 245, 110, 32)
"""Of the 256 colours, from low to high: orange over grey to blue."""
RED, GREY, BOLD = "38;5;161", "38;5;244", "1"
VERDICTS = {
    1.0: ("✓ right", f"38;5;{RAMP[-1]}"),
    0.0: ("✗ wrong", f"38;5;{RAMP[0]}"),
    None: ("? undecided", GREY),
}
BAR = 8
LEAST = 30
"""Columns that a text keeps; the bar and the interval give way."""

HIDDEN = re.compile(
    "[\x00-\x08\x0b-\x1f\x7f-\x9f\xad\u061c\u180e\u200b\u200e\u200f\u2028-\u202e\u2060-\u206f"
    "\ufeff\ufff9-\ufffb]"
)

MEANING = {
    "value": "the chance that this sampler still gets there",
    "progress": "by how much the step changed the chance",
    "validity": "is the step itself right",
    "confidence": "how sure the model was",
    "raw": "a score without a fixed scale",
    "share": "of the attempts that ended here or below, how many are right",
}

SHOWN = 3
"""So many other candidates are shown at each step of a searched path."""

COUNTS, INTERVAL = 8, 11
"""Columns of ``6/8 +1?`` and of ``0.22-0.78``."""


class TerminalView:
    """What lays cases out.

    Args:
        columns: the width to fill; at least LEAST.
        coloured: may escape sequences be written?
    """

    def __init__(self, columns: int, coloured: bool) -> None:
        self.columns = max(LEAST + 10, columns)
        self.coloured = coloured

    def text(self, case: Json) -> str:
        """A trace, ended by an empty line."""
        return "".join(line + "\n" for line in (*self._head(case), *self._steps(case), ""))

    def _head(self, case: Json) -> Iterator[str]:
        verdict, colour = VERDICTS.get(case["correct"], VERDICTS[None])
        if "searched" in case:
            verdict = (
                f"best path {verdict}" if case["searched"] != "open" else "search, path is open"
            )
        elif not case["steps"]:
            verdict, colour = "no attempt", GREY
        answers = [
            f"{name} {spelled(case[key])}"
            for name, key in (("answer", "final"), ("reference", "answer"))
            if case[key] is not None
        ]
        rest = " · ".join([*answers, case["place"]])
        yield f"{self._in(spelled(case['id']), BOLD)}  {self._in(verdict, colour)}  {rest}"
        for line in wrapped(case["problem"], self.columns):
            yield self._in(line, GREY)
        if case["measure"]:
            name = case["measure"]
            of = case["measures"][name].get("of", "")
            meaning = f": {MEANING[of]}" if of in MEANING else ""
            title = f"{name}, {of}" if of and not name.endswith(f".{of}") else name
            yield self._in(f"{spelled(title)}{meaning}", GREY)

    def _steps(self, case: Json) -> Iterator[str]:
        measure = case["measures"].get(case["measure"], {})
        states = [_at(measure, state) for state in range(len(case["steps"]) + 1)]
        known = [numbers["x"] for numbers in states if numbers["x"] is not None]
        low, high = _domain(measure.get("of"), known)
        errors = _errors(case)
        parts = self._parts(states) if known else []
        for state, numbers in enumerate(states):
            if not state and numbers["x"] is None:
                continue
            x = numbers["x"]
            share = None if x is None else (x - low) / (high - low)
            front = [self._in(f"{state or '':>3}", GREY)]
            front += [self._in(*part(numbers, share)) for part in parts]
            yield from self._step(" ".join(front) + "  ", case, state, errors.get(state - 1, ()))

    def _step(self, front: str, case: Json, state: int, errors: Sequence[str]) -> Iterator[str]:
        mine = state > 0 and case["mine"][state - 1]
        text = case["steps"][state - 1].strip("\n") if state else "(before the first step)"
        indent = " " * width(front)
        for line in wrapped(text, self.columns - len(indent)):
            yield f"{front}{line if mine else self._in(line, GREY)}"
            front = indent
        for error in errors:
            yield f"{indent}{self._in(error, RED)}"
        if state and "searched" in case:
            yield from self._candidates(indent, case["siblings"][state - 1])

    def _candidates(self, indent: str, candidates: Sequence[Json]) -> Iterator[str]:
        """The first candidates next to the step of a search, a line each."""
        others = [candidate for candidate in candidates if not candidate.get("own")]
        for candidate in others[:SHOWN]:
            counts = _counts(candidate | {"settled": False})
            room = self.columns - len(indent) - 3 - COUNTS
            line = next(wrapped(candidate["text"].strip("\n"), room))
            yield self._in(f"{indent}| {counts:<{COUNTS}} {line}", GREY)
        if len(others) > SHOWN:
            yield self._in(f"{indent}| … {len(others) - SHOWN} more", GREY)

    def _parts(self, states: Sequence[Json]) -> list[Part]:
        """What stands before each text: as much of it as there is, and as there is room for."""
        parts: list[Part] = [lambda numbers, share: (f"{_number(numbers['x']):>6}", _ramp(share))]
        room = self.columns - LEAST - 12
        if room > BAR:
            parts.append(lambda numbers, share: (bar(share), _ramp(share)))
            room -= BAR + 1
        if room > COUNTS and any(map(_counts, states)):
            parts.append(lambda numbers, share: (f"{_counts(numbers):<{COUNTS}}", ""))
            room -= COUNTS + 1
        widest = max(INTERVAL, *(len(_interval(numbers)) for numbers in states))
        if room > widest and any(map(_interval, states)):
            parts.append(lambda numbers, share: (f"{_interval(numbers):<{widest}}", GREY))
        return parts

    def _in(self, text: str, colour: str) -> str:
        return f"\x1b[{colour}m{text}\x1b[0m" if self.coloured and colour else text


def spelled(text: str) -> str:
    """The text with its hidden characters as their numbers; tabs and line breaks as spaces."""
    return _visible(text).replace("\n", " ").replace("\t", " ")


def _visible(text: str) -> str:
    return HIDDEN.sub(lambda match: f"<U+{ord(match[0]):04X}>", text)


def width(text: str) -> int:
    """Columns of a line, without its colours."""
    return sum(map(_columns, re.sub(r"\x1b\[[\d;]*m", "", text)))


def _columns(letter: str) -> int:
    if letter.isascii():
        return 1
    return 0 if combining(letter) else 1 + (east_asian_width(letter) in "WF")


def wrapped(text: str, columns: int) -> Iterator[str]:
    """The lines of a text, broken at spaces where they are too long, and else anywhere."""
    for line in _visible(text).expandtabs(4).split("\n") or [""]:
        yield from _broken(line, columns)


def _broken(line: str, columns: int) -> Iterator[str]:
    start = taken = 0
    space = -1
    for index, letter in enumerate(line):
        taken += _columns(letter)
        if taken > columns and index > start:
            end = space if space > start else index
            yield line[start:end].rstrip()
            start = space + 1 if space > start else index
            taken = sum(map(_columns, line[start : index + 1]))
            space = -1
        if letter == " ":
            space = index
    yield line[start:].rstrip()


def bar(share: float | None) -> str:
    """A number between 0 and 1 as a bar of BAR columns, in eighths; dots where there is none."""
    if share is None:
        return "·" * BAR
    eighths = round(min(1.0, max(0.0, share)) * BAR * 8)
    full, rest = divmod(eighths, 8)
    return ("█" * full + " ▏▎▍▌▋▊▉"[rest].strip()).ljust(BAR, "░")


def _ramp(share: float | None) -> str:
    if share is None:
        return GREY
    last = len(RAMP) - 1
    return f"38;5;{RAMP[round(min(1.0, max(0.0, share)) * last)]}"


def _domain(of: str | None, known: list[float]) -> tuple[float, float]:
    """The numbers between which a bar is empty and full."""
    low, high = min(known, default=0.0), max(known, default=1.0)
    if of == "progress":
        most = max(1.0, -low, high)
        return -most, most
    if of != "raw" and low >= 0 and high <= 1:
        return 0.0, 1.0
    return low, high if high > low else low + 1


def _at(measure: Json, state: int) -> Json:
    """The numbers of a measure at a state: 0 is before the first step."""
    names = ("x", *trace_measures.COLUMNS)
    if not state:
        return {name: measure.get("root", {}).get(name) for name in names} | {"settled": False}
    found = {name: measure[name][state - 1] if name in measure else None for name in names}
    settled = measure.get("settled", False) and state == len(measure["x"])
    return found | {"settled": settled}


def _number(x: float | None) -> str:
    if x is None:
        return "-"
    return f"{x:.2f}" if abs(x) < 100 else f"{x:.3g}"


def _counts(numbers: Json) -> str:
    if numbers["settled"]:
        return "verdict"
    n, undecided = numbers["n"], numbers["undecided"]
    if not n and not undecided:
        return ""
    return f"{numbers['k']:g}/{n}" + (f" +{undecided}?" if undecided else "")


def _interval(numbers: Json) -> str:
    low, high = numbers["low"], numbers["high"]
    if low is None or high is None or numbers["settled"]:
        return ""
    return f"{low:.2f}{'..' if low < 0 else '-'}{high:.2f}"


def _errors(case: Json) -> dict[int, list[str]]:
    """By step, the lines on whose first error it is."""
    found: dict[int, list[str]] = {}
    for name, first in trace_measures.first_errors(case["measures"]).items():
        if first is not None and first >= 0:
            found.setdefault(first, []).append(spelled(name))
    return {step: [f"✗ first error ({', '.join(names)})"] for step, names in found.items()}
