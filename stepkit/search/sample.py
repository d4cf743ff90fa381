"""Whole attempts from one prefix: what best-of-n and self-consistency choose among.

Cobbe et al. (arXiv 2110.14168) and Wang et al. (arXiv 2203.11171): k independent attempts at a
problem. From a later prefix (``step-rollout --at``) it is the redraw of refinement methods such as
StepCo and GLoRe: what stands before the flagged step is kept, the rest is drawn anew.

With a budget for the whole run the problems that are right now and then, but rarely, get most
(allocation.py).
"""

from __future__ import annotations

from collections.abc import Generator, Sequence
from itertools import pairwise
from typing import Any

from stepkit import schema
from stepkit.errors import DataError
from stepkit.model.engine import Draw
from stepkit.model.prefixes import Ids
from stepkit.search.methods import Setup
from stepkit.search.scheduler import Attempt, Attempted, Strategy, Turn
from stepkit.seeds import digest

DERIVED = (
    *("steps", "split", "role", "sample", "final", "correct"),
    *("tree", "labels", "scores", "choice", "origin"),
)
"""What belongs to a response and does not outlive it."""

Json = dict[str, Any]


def sample(
    requests: Sequence[Draw], given: str, answer: str | None
) -> Generator[list[Attempt], Sequence[Attempted], Sequence[Attempted]]:
    """Draw attempts that begin with ``given``; returns them in the order of ``requests``."""
    return (yield [Attempt(request, given, answer) for request in requests])


def sample_shared(
    requests: Sequence[Draw], given: str, answer: str | None, who: int
) -> Generator[list[Attempt | Turn], Sequence[Any], list[Attempted]]:
    """As many of ``requests`` as the run's budget allots to this problem (allocation.py)."""
    found: list[Attempted] = []
    while True:
        outcomes = [attempt.outcome for attempt in found if attempt.outcome is not None]
        counts = (sum(outcome == 1 for outcome in outcomes), len(outcomes))
        spent = (len(found), sum(attempt.drawn.tokens for attempt in found))
        left = len(requests) - len(found)
        (more,) = yield [Turn(who, [counts], [len(found)], [left], spent)]
        if more is None:
            return found
        asked = requests[len(found) : len(found) + more[0]]
        if asked:
            found += yield [Attempt(request, given, answer) for request in asked]


def start(setup: Setup, data: Json) -> Strategy:
    """``sample`` on a record: from its problem, or before the first error of ``labels[at]``.

    A problem that comes again gets further draws, never the same ones under the same names.

    Returns the fields of each attempt as a trace, or None where ``at`` flags no step. Raises
    DataError when the record lacks what is needed.
    """
    sampler, drawn = setup.sampler, setup.asked
    k, at = setup.options["draws"], setup.options["at"]
    step = None if at is None else flagged_step(data, at)
    if at is not None and step is None:
        return None
    prompt = sampler.prefixes.prompt(data)
    prefix, given, origin = prompt, "", ""
    if step is not None:
        steps = schema.steps(data)
        origin = digest("origin", data["response"], step)
        prefix, given = sampler.prefixes.at_cuts(data, steps)[step], "".join(steps[:step])
    beginning = digest("beginning", prefix, origin)
    numbers = range(drawn[beginning], drawn[beginning] + k)
    drawn[beginning] += k
    requests = [sampler.draw(prefix, "attempt", number, origin) for number in numbers]
    answer = schema.answer_of(data)
    attempts: Sequence[Attempted]
    if setup.options["budget"] is None:
        attempts = yield from sample(requests, given, answer)
    else:
        attempts = yield from sample_shared(requests, given, answer, next(setup.order))
    name = _name(data, step)
    return [
        {
            "id": f"{name}/{number}",
            "group": _group(data),
            "response": given + attempt.drawn.text,
            "sample": _about(setup, number, request, attempt, prefix[len(prompt) :]),
            "final": attempt.final,
            "correct": None if attempt.outcome is None else attempt.outcome == 1,
            **({} if step is None else {"origin": {"id": schema.id_of(data), "step": step}}),
        }
        for number, request, attempt in zip(numbers, requests, attempts, strict=False)
    ]


def flagged_step(data: Json, at: str) -> int | None:
    """The first error of ``labels[at]``, or None where it has none or it is unknown."""
    labels = data.get("labels")
    label = labels.get(at) if isinstance(labels, dict) else None
    if not isinstance(label, dict) or "first" not in label:
        raise DataError("no such label with a first error: run step-label first", f"labels.{at}")
    first, count = label["first"], len(schema.steps(data))
    if first is None or first == -1:
        return None
    if type(first) is not int or not 0 <= first < count:
        raise DataError(f"expected a step (0 .. {count - 1})", f"labels.{at}.first")
    return first


def _group(data: Json) -> str:
    return schema.group_of(data) if "group" in data or "id" not in data else schema.id_of(data)


def _name(data: Json, step: int | None) -> str:
    return _group(data) if step is None else f"{schema.id_of(data)}@{step}"


def _about(setup: Setup, number: int, request: Draw, attempt: Attempted, given: Ids) -> Json:
    drawn = attempt.drawn
    about: Json = {
        "sampler": setup.sampler.identity,
        "draw": number,
        "seed": request.seed,
        "finish": drawn.finish,
        "tokens": drawn.tokens,
        "logprob": drawn.logprob,
    }
    if drawn.ids is not None:
        ids = (*given, *drawn.ids)
        about["ids"] = list(ids)
        if setup.tokens:
            ends = setup.sampler.prefixes.ends(ids)
            about["token_bytes"] = [end - begin for begin, end in pairwise([0, *ends])]
            about["token_logprob"] = [*[None] * len(given), *drawn.logprobs]
    return about
