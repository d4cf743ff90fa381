"""Monte Carlo evidence at every prefix of a trace, as in Math-Shepherd.

Wang et al., "Math-Shepherd" (arXiv 2312.08935), section 3.3: from the prefix that ends with step t
a completer draws k whole remainders; how many reach the reference answer tells the step's quality
(hard estimate: any of them, formula 3; soft estimate: their share, formula 4).

Where this differs: the empty prefix is drawn from too (progress and relative first errors need its
value); the last step is not (nothing is left to draw: its value is the trace's own verdict);
undecided draws (cut off, no answer) are kept apart instead of counting as wrong; and nothing is
summed over later prefixes, so every count belongs to its own prefix.
"""

from __future__ import annotations

from collections.abc import Generator, Sequence
from typing import Any

from stepkit import schema
from stepkit.core.tree import Tree, add, copied, draws_at, from_steps, sampler_index
from stepkit.errors import DataError
from stepkit.model.prefixes import Ids
from stepkit.model.sampler import Sampler
from stepkit.schema import ROOT
from stepkit.search.scheduler import Attempt, Attempted, Judge


def chain(
    sampler: Sampler,
    tree: Tree,
    prefixes: Sequence[Ids],
    steps: Sequence[str],
    answer: str,
    k: int,
    finish: str = "stop",
) -> Generator[list[Attempt | Judge], Sequence[Any], Tree]:
    """Complete ``tree`` to ``k`` draws from every prefix of its trace.

    Draws that the tree already holds are kept and not drawn again (top-up), those that ended in an
    error are.

    Args:
        prefixes: token ids before step 0, 1, ..., and after the last step.
        steps: the trace's steps; a trace without steps is drawn from at the root only.
        finish: how the trace itself ended; one that was cut off has no verdict.
    """
    by = sampler_index(tree, sampler.identity)
    places: list[tuple[int, int]] = []
    asks: list[Attempt | Judge] = []
    for place, node in enumerate([ROOT, *tree["spine"][:-1]]):
        held = _numbers(tree, node, by)
        given = "".join(steps[:place])
        for number in range(k):
            if number not in held:
                places.append((node, number))
                request = sampler.draw(prefixes[place], "value", number)
                asks.append(Attempt(request, given, answer))
    last = tree["spine"][-1] if steps else ROOT
    if steps and not tree["finish"][last]:
        tree["finish"][last] = finish
        if finish == "stop":
            asks.append(Judge("".join(steps), answer))
    if asks:
        answers = list((yield asks))
        if len(answers) > len(places):
            own = answers.pop()
            tree["outcome"][last], tree["final"][last] = own.outcome, own.final
        for (node, number), attempt in zip(places, answers, strict=True):
            _keep(tree, node, by, number, attempt)
    return tree


def _numbers(tree: Tree, node: int, by: int) -> set[int]:
    drawn = draws_at(tree, node, by)
    return {tree["draw"][child] for child in drawn if tree["finish"][child] != "error"}


def _keep(tree: Tree, node: int, by: int, number: int, attempt: Attempted) -> None:
    add(
        tree,
        node,
        attempt.drawn.text,
        whole=True,
        finish=attempt.drawn.finish,
        outcome=attempt.outcome,
        final=attempt.final,
        by=by,
        draw=number,
        tokens=attempt.drawn.tokens,
        logprob=attempt.drawn.logprob,
    )


def chain_trace(
    sampler: Sampler, data: dict[str, Any], k: int
) -> Generator[list[Attempt | Judge], Sequence[Any], dict[str, Any]]:
    """``chain`` on a record; returns the fields to set: its tree, its verdict if it had none, and
    its labels without those that new draws put out of date.

    Raises DataError when the record lacks what is needed.
    """
    steps = schema.steps(data)
    answer = schema.answer_of(data)
    if answer is None:
        raise DataError("missing: draws are graded against it", "answer")
    given = schema.check_tree(data)
    tree = from_steps(steps) if given is None else copied(given)
    tree.setdefault("final", [None] * len(tree["parent"]))
    if [tree["text"][node] for node in tree.get("spine", [])] != steps:
        raise DataError("its spine is not the trace's steps", "tree.spine")
    if steps and "correct" in data:
        last = tree["spine"][-1]
        tree["finish"][last] = _finish(data)
        tree["outcome"][last] = schema.correct_of(data)
        tree["final"][last] = schema.optional_text(data, "final")
    prefixes = sampler.prefixes.at_cuts(data, steps)
    size = len(tree["parent"])
    tree = yield from chain(sampler, tree, prefixes, steps, answer, k, _finish(data))
    fields: dict[str, Any] = {"tree": tree}
    if steps and "correct" not in data:
        last = tree["spine"][-1]
        outcome = tree["outcome"][last]
        fields["final"] = tree["final"][last]
        fields["correct"] = None if outcome is None else outcome == 1
    labels = data.get("labels")
    if len(tree["parent"]) > size and isinstance(labels, dict):
        kept = {name: label for name, label in labels.items() if not _from_draws(label)}
        if len(kept) < len(labels):
            fields["labels"] = kept
    return fields


def _from_draws(label: Any) -> bool:
    """Whether a label was derived from draws, and so is out of date when there are more."""
    return isinstance(label, dict) and label.get("by") == "sampler"


def _finish(data: dict[str, Any]) -> str:
    sample = data.get("sample")
    finish = sample.get("finish") if isinstance(sample, dict) else None
    return finish if finish in ("stop", "length") else "stop"
