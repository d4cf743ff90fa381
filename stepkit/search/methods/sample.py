"""Whole attempts from one prefix, for best-of-n and self-consistency to choose among.

Cobbe et al. (arXiv 2110.14168) and Wang et al. (arXiv 2203.11171): k independent attempts at a
problem. From a later prefix (``step-rollout --at``) it is the redraw of refinement methods such as
StepCo (arXiv 2410.12934) and GLoRe (arXiv 2402.10963): the steps before the flagged one are kept,
and a continuation is drawn; with ``--global`` nothing is kept (search/refinement_prompts.py has the
prompts).

With a budget for the whole run, problems that are rarely right, but sometimes, get most draws
(search/budget_allocation.py).
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import replace
from itertools import pairwise
from typing import Any, NamedTuple

from stepkit import schema
from stepkit.model.engine import DistributionSummary, Draw
from stepkit.model.prefixes import Ids
from stepkit.model.sampler import attempt_text
from stepkit.schema import Json
from stepkit.search.flagged_step import flagged_step
from stepkit.search.method_setup import MethodSetup
from stepkit.search.refinement_prompts import refinement_of, with_refinement_prompt
from stepkit.search.scheduler import AttemptRequest, BudgetRequest, FinishedAttempt, Strategy
from stepkit.seeds import digest


def sample(
    requests: Sequence[Draw], prefix_text: str, answer: str | None
) -> Strategy[Sequence[FinishedAttempt]]:
    """Draw attempts from the prefix ``prefix_text``; returns them in the order of ``requests``."""
    return (yield [AttemptRequest(request, prefix_text, answer) for request in requests])


def sample_within_budget(
    requests: Sequence[Draw], prefix_text: str, answer: str | None, problem: int
) -> Strategy[Sequence[FinishedAttempt]]:
    """As many of ``requests`` as the run's budget gives this problem (budget_allocation.py)."""
    attempts: list[FinishedAttempt] = []
    while True:
        outcomes = [attempt.outcome for attempt in attempts if attempt.outcome is not None]
        counts = (sum(outcome == 1 for outcome in outcomes), len(outcomes))
        spent = (len(attempts), sum(attempt.draw.tokens for attempt in attempts))
        room = len(requests) - len(attempts)
        (share,) = yield [BudgetRequest(problem, [counts], [len(attempts)], [room], spent)]
        if share is None:
            return attempts
        chosen = requests[len(attempts) : len(attempts) + share[0]]
        if chosen:
            attempts += yield from sample(chosen, prefix_text, answer)


def start(setup: MethodSetup, record: Json) -> Strategy[list[Json] | None]:
    """``sample`` on a record: from its problem, or to refine its attempt (refinement_prompts.py).

    A problem that comes again gets further draws, never the same ones under the same names.

    Returns the fields of each attempt as a trace, or None where ``at`` flags no step. Raises
    DataError when the record lacks what is needed.
    """
    sampler, draws_of = setup.sampler, setup.draws_of
    k, at = setup.options["draws"], setup.options["at"]
    step = None if at is None else flagged_step(record, at)
    if at is not None and step is None:
        return None
    prefix = _attempt_prefix(setup, record, step)
    place = digest("prefix", prefix.ids, prefix.origin)
    numbers = range(draws_of[place], draws_of[place] + k)
    draws_of[place] += k
    answer, entry = schema.answer_of(record), sampler.entry(record)
    before = attempt_text(entry, prefix.text)
    requests = [
        sampler.draw(prefix.ids, "attempt", number, prefix.origin, before=before)
        for number in numbers
    ]
    if setup.confidence:
        requests = [replace(request, summaries=True) for request in requests]
    if setup.options["budget"] is None:
        strategy = sample(requests, prefix.text, answer)
    else:
        strategy = sample_within_budget(requests, prefix.text, answer, next(setup.order))
    attempts = yield from strategy
    return [
        {
            "id": f"{prefix.name}/{number}",
            "group": _group(record),
            "response": prefix.text + attempt.draw.text,
            "sample": _sample_field(setup, entry, number, request, attempt, prefix.kept),
            "final": attempt.final,
            "correct": None if attempt.outcome is None else attempt.outcome == 1,
            **prefix.fields,
        }
        for number, request, attempt in zip(numbers, requests, attempts, strict=False)
    ]


class AttemptPrefix(NamedTuple):
    """The prefix that attempts start from.

    Attributes:
        name: the start of their ids.
        ids: the token ids that they are drawn from; the last of them are ``kept``.
        kept: token ids of the steps that a refinement keeps.
        text: the text of ``kept``.
        origin: distinguishes refinements of different texts; "" for attempts that refine nothing.
        fields: further fields of each attempt.
    """

    name: str
    ids: Ids
    kept: Ids = ()
    text: str = ""
    origin: str = ""
    fields: Mapping[str, Any] = {}


def _attempt_prefix(setup: MethodSetup, record: Json, step: int | None) -> AttemptPrefix:
    """The prefix of attempts at the record's problem, or of refinements of its attempt."""
    prefixes, refinement = setup.sampler.prefixes, refinement_of(setup.options)
    if refinement is None:
        return AttemptPrefix(_group(record), prefixes.prompt(record))
    response, name = schema.text(record, "response"), schema.id_of(record)
    laid_out, critique = with_refinement_prompt(record, refinement, step)
    origin: Json = {"id": name, "step": 0 if refinement.whole or step is None else step}
    if refinement.whole:
        origin["global"] = True
    if critique is not None:
        origin["critique"] = critique
    prompt = prefixes.prompt(laid_out)
    if refinement.whole or step is None:
        key = digest("origin", response, "global")
        return AttemptPrefix(f"{name}@global", prompt, origin=key, fields={"origin": origin})
    steps = schema.steps(record)
    ids = prefixes.at_cuts(laid_out, steps)[step]
    return AttemptPrefix(
        f"{name}@{step}",
        ids,
        ids[len(prompt) :],
        "".join(steps[:step]),
        digest("origin", response, step),
        {"origin": origin},
    )


def _group(record: Json) -> str:
    return (
        schema.group_of(record) if "group" in record or "id" not in record else schema.id_of(record)
    )


def _sample_field(
    setup: MethodSetup,
    entry: Json,
    number: int,
    request: Draw,
    attempt: FinishedAttempt,
    kept: Ids,
) -> Json:
    draw = attempt.draw
    field: Json = {
        "sampler": entry,
        "draw": number,
        "seed": request.seed,
        "finish": draw.finish,
        "tokens": draw.tokens,
        "logprob": draw.logprob,
    }
    if draw.ids is not None:
        ids = (*kept, *draw.ids)
        field["ids"] = list(ids)
        if setup.tokens:
            ends = setup.sampler.prefixes.ends(ids)
            field["token_bytes"] = [end - start for start, end in pairwise([0, *ends])]
            field["token_logprob"] = [*[None] * len(kept), *draw.logprobs]
        if setup.confidence:
            for index, name in enumerate(DistributionSummary._fields[1:], 1):
                values = [row[index] for row in draw.summaries]
                field[f"token_{name}"] = [*[None] * len(kept), *values]
    return field
