"""Whole attempts from one prefix: what best-of-n and self-consistency choose among.

Cobbe et al. (arXiv 2110.14168) and Wang et al. (arXiv 2203.11171): k independent attempts at a
problem. From a later prefix (``step-rollout --at``) it is the redraw of refinement methods such as
StepCo and GLoRe: what stands before the flagged step is kept, the rest is drawn anew.
"""

from __future__ import annotations

from collections.abc import Generator, Sequence
from typing import Any

from stepkit import schema
from stepkit.errors import DataError
from stepkit.model.prefixes import Ids
from stepkit.model.sampler import Sampler
from stepkit.search.scheduler import Attempt, Attempted

DERIVED = ("steps", "split", "role", "sample", "final", "correct", "tree", "labels", "scores")
"""What belongs to a response and does not outlive it."""

Json = dict[str, Any]


def sample(
    sampler: Sampler, prefix: Ids, given: str, answer: str | None, k: int
) -> Generator[list[Attempt], Sequence[Attempted], Sequence[Attempted]]:
    """Draw ``k`` attempts that begin with ``given``; returns them in draw order."""
    return (yield [Attempt(sampler.draw(prefix, "attempt", n), given, answer) for n in range(k)])


def sample_trace(
    sampler: Sampler, data: Json, k: int, at: str | None
) -> Generator[list[Attempt], Sequence[Attempted], list[Json] | None]:
    """``sample`` on a record: from its problem, or before the first error of ``labels[at]``.

    Returns the fields of each attempt as a trace, or None where ``at`` flags no step. Raises
    DataError when the record lacks what is needed.
    """
    step = None if at is None else flagged_step(data, at)
    if at is not None and step is None:
        return None
    prompt = sampler.prefixes.prompt(data)
    prefix, given = prompt, ""
    if step:
        steps = schema.steps(data)
        prefix, given = sampler.prefixes.at_cuts(data, steps)[step], "".join(steps[:step])
    drawn = yield from sample(sampler, prefix, given, schema.answer_of(data), k)
    name = _name(data, step)
    return [
        {
            "id": f"{name}/{number}",
            "group": _group(data),
            "response": given + attempt.drawn.text,
            "sample": _about(sampler, number, attempt, prefix, prefix[len(prompt) :]),
            "final": attempt.final,
            "correct": None if attempt.outcome is None else attempt.outcome == 1,
            **({} if step is None else {"origin": {"id": schema.id_of(data), "step": step}}),
        }
        for number, attempt in enumerate(drawn)
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


def _about(sampler: Sampler, number: int, attempt: Attempted, prefix: Ids, given: Ids) -> Json:
    drawn = attempt.drawn
    about: Json = {
        "sampler": sampler.identity,
        "draw": number,
        "seed": sampler.draw(prefix, "attempt", number).seed,
        "finish": drawn.finish,
        "tokens": drawn.tokens,
        "logprob": drawn.logprob,
    }
    if drawn.ids is not None:
        about["ids"] = [*given, *drawn.ids]
    return about
