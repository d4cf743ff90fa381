"""Whole attempts from one prefix: what best-of-n and self-consistency choose among.

Cobbe et al. (arXiv 2110.14168) and Wang et al. (arXiv 2203.11171): k independent attempts at a
problem. From a later prefix (``step-rollout --at``) it is the redraw of refinement methods such as
StepCo and GLoRe: what stands before the flagged step is kept, the rest is drawn anew; with
``--global`` nothing is kept (search/refinement_prompts.py says what the model is told).

With a budget for the whole run the problems that are right now and then, but rarely, get most
(search/budget_allocation.py).
"""

from __future__ import annotations

from collections.abc import Generator, Mapping, Sequence
from itertools import pairwise
from typing import Any, NamedTuple

from stepkit import schema
from stepkit.model.engine import Draw
from stepkit.model.prefixes import Ids
from stepkit.schema import Json
from stepkit.search.flagged_step import flagged_step
from stepkit.search.method_setup import MethodSetup
from stepkit.search.refinement_prompts import asked, refinement_of
from stepkit.search.scheduler import AttemptRequest, BudgetRequest, FinishedAttempt, Strategy
from stepkit.seeds import digest


def sample(
    requests: Sequence[Draw], given: str, answer: str | None
) -> Generator[list[AttemptRequest], Sequence[FinishedAttempt], Sequence[FinishedAttempt]]:
    """Draw attempts that begin with ``given``; returns them in the order of ``requests``."""
    return (yield [AttemptRequest(request, given, answer) for request in requests])


def sample_shared(
    requests: Sequence[Draw], given: str, answer: str | None, who: int
) -> Generator[list[AttemptRequest | BudgetRequest], Sequence[Any], list[FinishedAttempt]]:
    """As many of ``requests`` as the run's budget gives this problem (budget_allocation.py)."""
    found: list[FinishedAttempt] = []
    while True:
        outcomes = [attempt.outcome for attempt in found if attempt.outcome is not None]
        counts = (sum(outcome == 1 for outcome in outcomes), len(outcomes))
        spent = (len(found), sum(attempt.drawn.tokens for attempt in found))
        left = len(requests) - len(found)
        (more,) = yield [BudgetRequest(who, [counts], [len(found)], [left], spent)]
        if more is None:
            return found
        asked = requests[len(found) : len(found) + more[0]]
        if asked:
            found += yield [AttemptRequest(request, given, answer) for request in asked]


def start(setup: MethodSetup, data: Json) -> Strategy:
    """``sample`` on a record: from its problem, or to refine its attempt (refinement_prompts.py).

    A problem that comes again gets further draws, never the same ones under the same names.

    Returns the fields of each attempt as a trace, or None where ``at`` flags no step. Raises
    DataError when the record lacks what is needed.
    """
    sampler, drawn = setup.sampler, setup.draws_of
    k, at = setup.options["draws"], setup.options["at"]
    step = None if at is None else flagged_step(data, at)
    if at is not None and step is None:
        return None
    begun = _begun(setup, data, step)
    beginning = digest("beginning", begun.prefix, begun.origin)
    numbers = range(drawn[beginning], drawn[beginning] + k)
    drawn[beginning] += k
    requests = [sampler.draw(begun.prefix, "attempt", number, begun.origin) for number in numbers]
    answer = schema.answer_of(data)
    attempts: Sequence[FinishedAttempt]
    if setup.options["budget"] is None:
        attempts = yield from sample(requests, begun.given, answer)
    else:
        attempts = yield from sample_shared(requests, begun.given, answer, next(setup.order))
    return [
        {
            "id": f"{begun.name}/{number}",
            "group": _group(data),
            "response": begun.given + attempt.drawn.text,
            "sample": _about(setup, number, request, attempt, begun.kept),
            "final": attempt.final,
            "correct": None if attempt.outcome is None else attempt.outcome == 1,
            **begun.fields,
        }
        for number, request, attempt in zip(numbers, requests, attempts, strict=False)
    ]


class AttemptPrefix(NamedTuple):
    """What attempts begin with.

    Attributes:
        name: what their ids begin with.
        prefix: token ids that they are drawn from; the last of them are ``kept``.
        given: the text of ``kept``.
        origin: tells refinements of different texts apart; "" for attempts that refine nothing.
        fields: further fields of each.
    """

    name: str
    prefix: Ids
    kept: Ids = ()
    given: str = ""
    origin: str = ""
    fields: Mapping[str, Any] = {}


def _begun(setup: MethodSetup, data: Json, step: int | None) -> AttemptPrefix:
    """The beginning of attempts at the record's problem, or of refinements of its attempt."""
    prefixes, how = setup.sampler.prefixes, refinement_of(setup.options)
    if how is None:
        return AttemptPrefix(_group(data), prefixes.prompt(data))
    response, name = schema.text(data, "response"), schema.id_of(data)
    told, critique = asked(data, how, step)
    about: Json = {"id": name, "step": 0 if how.whole or step is None else step}
    about |= {"global": True} if how.whole else {}
    about |= {} if critique is None else {"critique": critique}
    if how.whole or step is None:
        origin = digest("origin", response, "global")
        prompt = prefixes.prompt(told)
        return AttemptPrefix(f"{name}@global", prompt, origin=origin, fields={"origin": about})
    steps = schema.steps(data)
    return AttemptPrefix(
        f"{name}@{step}",
        prefix := prefixes.at_cuts(told, steps)[step],
        prefix[len(prefixes.prompt(told)) :],
        "".join(steps[:step]),
        digest("origin", response, step),
        {"origin": about},
    )


def _group(data: Json) -> str:
    return schema.group_of(data) if "group" in data or "id" not in data else schema.id_of(data)


def _about(
    setup: MethodSetup, number: int, request: Draw, attempt: FinishedAttempt, kept: Ids
) -> Json:
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
        ids = (*kept, *drawn.ids)
        about["ids"] = list(ids)
        if setup.tokens:
            ends = setup.sampler.prefixes.ends(ids)
            about["token_bytes"] = [end - begin for begin, end in pairwise([0, *ends])]
            about["token_logprob"] = [*[None] * len(kept), *drawn.logprobs]
    return about
