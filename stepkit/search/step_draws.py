"""One step as a draw: the request that stops where the next step starts, and what is kept of it.

A step is drawn until the rule of text/segment.py cuts it off, whatever may follow, and what comes
after the cut is left out. So a step has the probability that it has as the first step of a
whole continuation, whatever the rule.
"""

from __future__ import annotations

from dataclasses import replace

from stepkit.model.engine import Draw, FinishedDraw
from stepkit.model.prefixes import Prefixes
from stepkit.text.segment import SegmentRule, TextTokens, first_step, first_step_stands
from stepkit.text.segment_rules import NEED_TOKENS

GOES_ON = ""
"""How a draw ended that the attempt goes on after; else "stop" or "length"."""


def rule_at(rule: SegmentRule, depth: int) -> SegmentRule:
    """The rule by which a step is cut after ``depth`` others; the last step that ``max_steps``
    allows is not cut."""
    most = rule.get("max_steps")
    without = {name: value for name, value in rule.items() if name != "max_steps"}
    return without if most is None or depth < most - 1 else {**without, "max_steps": 1}


def step_request(request: Draw, rule: SegmentRule) -> Draw:
    """``request`` for no more than one step by ``rule``."""
    if rule.get("max_steps") == 1 or rule["by"] == "confidence":
        return request
    if rule["by"] == "tokens":
        most = min(rule["size"], request.sampling.max_tokens)
        return replace(request, sampling=replace(request.sampling, max_tokens=most))
    return replace(request, until=lambda text: first_step_stands(text, rule))


def cut_to_step(draw: FinishedDraw, rule: SegmentRule, prefixes: Prefixes) -> FinishedDraw:
    """The first step of ``draw``; its ``finish`` is GOES_ON unless the attempt ended with it."""
    finish = draw.finish
    step = _first_step(draw, rule, prefixes)
    counts_tokens = rule["by"] == "tokens" and rule.get("max_steps") != 1
    if finish == "length" and counts_tokens and draw.tokens >= rule["size"]:
        finish = GOES_ON
    if step != draw.text:
        draw, finish = _shortened(draw, step, prefixes), GOES_ON
    # after "until" without a cut, nothing but white space came after the step
    return replace(draw, finish=GOES_ON if finish == "until" else finish)


def _first_step(draw: FinishedDraw, rule: SegmentRule, prefixes: Prefixes) -> str:
    """The first step of a draw; by tokens the draw itself has the length of one."""
    if rule["by"] not in NEED_TOKENS:
        return first_step(draw.text, rule)
    if rule["by"] == "tokens" or draw.ids is None:
        return draw.text
    ends = prefixes.ends(draw.ids)
    sizes = [end - start for start, end in zip([0, *ends], ends, strict=False)]
    return first_step(draw.text, rule, tokens=TextTokens(sizes, draw.logprobs))


def _shortened(draw: FinishedDraw, text: str, prefixes: Prefixes) -> FinishedDraw:
    """``draw`` as if it had ended after ``text``, with which it starts."""
    size = len(text.encode("utf-8", "surrogatepass"))
    if draw.ids is None:
        return replace(draw, text=text)
    ends = [0, *prefixes.ends(draw.ids)]
    count = next(index for index, end in enumerate(ends) if end >= size)
    logprobs = draw.logprobs[:count]
    logprob = sum(logprobs) if len(logprobs) == count else draw.logprob
    ids = draw.ids[:count] if ends[count] == size else None
    return FinishedDraw(text, draw.finish, count, ids, logprob, logprobs)
