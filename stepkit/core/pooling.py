"""Draws counted at every prefix that they pass through, not only at the one they were made from.

A continuation of the empty prefix that happens to have the trace's first step as its own is a
draw of the value after that step, too: it was not chosen for its outcome. So

* ``pooled``  counts at each prefix the draws made there and those from earlier prefixes that pass
  through it, of all traces handed over together: identical prefixes of one problem are one state
  (as agent_prm does with whole trajectories, arXiv:2502.10325). A draw is known by its prefix and
  number and counts once, however many files hold it.
* ``later``   improves on that with what is known further on: a draw that passes through a later
  prefix counts with the value there instead of its own outcome. Given how many draws pass, those
  and the ones made at the later prefix are equally distributed, so the mean stays unbiased, and
  its variance falls (Rao-Blackwell). ComMCS has the same aim with a weighted sum over steps; its
  weights are fixed, these follow from the counts.

A draw passes through a prefix when, cut by the record's own ``split``, one of its step boundaries
is there: equal characters alone (3 of 35) are not enough. The traces' own outcomes are not counted,
here as elsewhere: an attempt is no witness for itself. Both hold for one sampler at a time.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import NamedTuple

from stepkit.errors import DataError
from stepkit.text.segment_rules import SegmentRule, continued

NAMES = ("pooled", "later")


class PooledDraw(NamedTuple):
    """A continuation: where it was made, which one it is, and how it ended."""

    prefix: str
    number: int
    text: str
    outcome: float | None


@dataclass
class PooledPrefix:
    """A prefix and the draws that pass through it (or were made there), each once.

    Attributes:
        draws: in order of arrival.
        onward: for each draw the next state that it passes through, or None.
        value: the estimate ``later``; None without a decided draw.
    """

    draws: list[PooledDraw] = field(default_factory=list)
    onward: list[PooledPrefix | None] = field(default_factory=list)
    value: float | None = None

    @property
    def decided(self) -> list[float]:
        return [draw.outcome for draw in self.draws if draw.outcome is not None]


class PooledTrace(NamedTuple):
    """What pooling needs of a trace: its steps, the draws at its prefixes, and how it is cut."""

    steps: Sequence[str]
    draws: Sequence[PooledDraw]
    rule: SegmentRule | None  # the record's ``split``


def prefixes(steps: Sequence[str]) -> list[str]:
    """The prefix at every state that goes on: the empty one first, without the whole response."""
    found = [""]
    for step in steps[:-1]:
        found.append(found[-1] + step)
    return found


def pool(traces: Sequence[PooledTrace]) -> dict[str, PooledPrefix]:
    """The states of all traces by prefix, with every draw that passes through.

    Raises DataError when there are draws to cut and a trace does not say how.
    """
    states = {prefix: PooledPrefix() for trace in traces for prefix in prefixes(trace.steps)}
    known: set[tuple[str, int]] = set()
    for trace in traces:
        depth = {prefix: t for t, prefix in enumerate(prefixes(trace.steps))}
        for draw in trace.draws:
            if (draw.prefix, draw.number) in known:
                continue
            known.add((draw.prefix, draw.number))
            passed = [states[draw.prefix]]
            for place in _boundaries(draw, trace.rule, depth[draw.prefix]):
                if place in states:
                    passed.append(states[place])
            for state, following in zip(passed, [*passed[1:], None], strict=True):
                state.draws.append(draw)
                state.onward.append(following)
    for prefix in sorted(states, key=len, reverse=True):
        states[prefix].value = _later_value(states[prefix])
    return states


def _boundaries(draw: PooledDraw, rule: SegmentRule | None, before: int) -> list[str]:
    """The prefixes between two steps of the draw."""
    from stepkit.text.segment import split  # here: its patterns take a while to compile

    if rule is None:
        raise DataError("needed to cut the draws: pass the traces through step-split", "split")
    places, place = [], draw.prefix
    for step in split(draw.text, continued(rule, before))[:-1]:
        place += step
        places.append(place)
    return places


def _later_value(state: PooledPrefix) -> float | None:
    values = [
        draw.outcome if onward is None or onward.value is None else onward.value
        for draw, onward in zip(state.draws, state.onward, strict=True)
        if draw.outcome is not None
    ]
    return sum(values) / len(values) if values else None
