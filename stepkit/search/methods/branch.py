"""Trees of attempts that branch: by a fixed shape, or where the model was least certain.

By shape, where the width is several numbers: SPO-tree (arXiv 2505.23564, section 4.2). From the
root and from every step above the last level, so many next steps; from the last level, so many
whole continuations: 6,6,6 is 6 steps, 6 steps after each, 6 endings after each of those. SPO's
steps have a fixed number of tokens (``--by tokens:size=600``); here any rule can cut them. An
attempt that ends early is a leaf where it ends.

Else by forks: EPTree (TreeRL, arXiv 2506.11902, section 3.1). First ``chains`` attempts; then,
``rounds`` times, in the tree of each of them, a fork before each of the ``points`` tokens of lowest
probability: ``width`` new continuations. 6 chains, 2 points, 2 wide, one round: 30 leaves. The
first token of a draw is never such a point, nor is any from the words "answer" or "conclusion" on.
With a rule, only tokens that start a step are: forks at steps, as in PORTool (arXiv 2510.26020).

Where this differs: a token that was certain, or that starts inside a character, is no point, and a
draw that was cut in an earlier round is cut again only after that cut. Draws stay whole where they
were drawn, and steps cut from them for a fork are marked; so the attempt that is forked is no draw
of the fork, and the value there is that of the new continuations alone.
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from itertools import accumulate, chain, islice
from typing import NamedTuple

from stepkit.core.tree import keep_tokens, kept_tokens
from stepkit.errors import DataError
from stepkit.schema import ROOT, Json
from stepkit.search.method_setup import MethodSetup
from stepkit.search.record_tree import close_tree_with_rule, open_tree
from stepkit.search.rollout_tree import RolloutTree
from stepkit.search.scheduler import Strategy
from stepkit.text.token_cuts import token_starts

CONCLUDING = re.compile("answer|conclusion", re.IGNORECASE)


def grow_by_shape(rollouts: RolloutTree, shape: Sequence[int]) -> Strategy[None]:
    """Draw ``shape[d]`` children at every node of depth d at which the attempt goes on."""
    level = [ROOT]
    for depth, width in enumerate(shape):
        whole = depth == len(shape) - 1
        places = [
            place for node in level for place in rollouts.next_places(node, width, whole=whole)
        ]
        nodes = yield from rollouts.draw(places)
        level = [node for node in nodes if not rollouts.is_terminal(node)]


class ForkPoint(NamedTuple):
    """Where a draw can be forked, the least probable token first."""

    logprob: float
    draw: int
    cut: int  # characters of the draw before the token


def grow_by_forks(
    rollouts: RolloutTree, chains: int, points: int, width: int, rounds: int, steps: bool
) -> Strategy[None]:
    """Draw ``chains`` attempts, and fork each at its least probable tokens.

    Args:
        steps: fork only where a step starts.
    """
    first = yield from rollouts.draw(rollouts.next_places(ROOT, chains, whole=True))
    trees = [[draw] for draw in first]
    cuts: dict[int, list[int]] = {}
    for _ in range(rounds):
        chosen = [sorted(_fork_points(rollouts, draws, cuts, steps))[:points] for draws in trees]
        for point in chain.from_iterable(chosen):
            cuts.setdefault(point.draw, []).append(point.cut)
        places = [
            [
                place
                for point in of_tree
                for place in rollouts.next_places(
                    _node(rollouts, point, cuts[point.draw]), width, whole=True
                )
            ]
            for of_tree in chosen
        ]
        new = iter((yield from rollouts.draw([*chain.from_iterable(places)])))
        for draws, of_tree in zip(trees, places, strict=True):
            draws += islice(new, len(of_tree))


def _fork_points(
    rollouts: RolloutTree, draws: Sequence[int], cuts: dict[int, list[int]], steps: bool
) -> list[ForkPoint]:
    """The tokens of ``draws`` before which a fork may be."""
    logprobs = kept_tokens(rollouts.tree, "token_logprob")
    if logprobs is None:
        raise DataError("the tree does not keep log-probabilities", "tree.token_logprob")
    found = []
    for draw in draws:
        text = rollouts.tree["text"][draw]
        conclusion = CONCLUDING.search(text)
        end = conclusion.start() if conclusion else len(text)
        last_cut = max(cuts.get(draw, [0]))
        starts = _step_starts(rollouts, draw) if steps else None
        for cut, logprob in zip(
            _cuts(text, rollouts.token_ends(draw)), logprobs[draw], strict=False
        ):
            certain_or_unknown = not logprob
            if cut is None or certain_or_unknown or not last_cut < cut < end:
                continue
            if starts is None or cut in starts:
                found.append(ForkPoint(logprob, draw, cut))
    return found


def _cuts(text: str, ends: Sequence[int]) -> list[int | None]:
    """Characters before each token; None where it starts inside one."""
    raw = text.encode("utf-8", "surrogatepass")
    sizes = [end - start for start, end in zip([0, *ends], ends, strict=False)]
    inside = [b"\x80" <= raw[start : start + 1] < b"\xc0" for start in [0, *ends]]
    starts = token_starts(text, sizes) if ends else []
    return [None if split else start for start, split in zip(starts, inside, strict=False)]


def _step_starts(rollouts: RolloutTree, draw: int) -> set[int]:
    """Characters of the draw before each of its steps."""
    return {0, *accumulate(map(len, rollouts.steps_of(draw)[:-1]))}


def _node(rollouts: RolloutTree, point: ForkPoint, cuts: Sequence[int]) -> int:
    """The node that ends at a fork, below those of the earlier cuts of the same draw."""
    ends = sorted(cut for cut in cuts if cut <= point.cut)
    text = rollouts.tree["text"][point.draw]
    return rollouts.cut(point.draw, [text[a:b] for a, b in zip([0, *ends], ends, strict=False)])[-1]


def start(setup: MethodSetup, record: Json) -> Strategy[Json]:
    """The strategy for one record (see search/method_registry.py)."""
    rollouts = open_tree(setup, record, ids=True)
    options = setup.options
    width = options["width"]
    if len(width) > 1:
        yield from grow_by_shape(rollouts, width)
    else:
        keep_tokens(rollouts.tree, "token_logprob")
        yield from grow_by_forks(
            rollouts,
            options["draws"],
            options["points"],
            width[0],
            options["rounds"],
            options["by"] is not None,
        )
    return close_tree_with_rule(rollouts, record)
