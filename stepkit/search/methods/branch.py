"""Trees of attempts that branch: by a fixed shape, or where the model was least sure.

By shape, where the width is several numbers: SPO-tree (arXiv 2505.23564, section 4.2). From the
root and from every step that is not the last level's, so many next steps; from the last level, so
many remainders: 6,6,6 is 6 steps, 6 steps after each, 6 endings after each of those. SPO's steps
have a fixed number of tokens (``--by tokens:size=600``); any rule will do here. An attempt that
ends early is a leaf where it ends.

Else by forks: EPTree (TreeRL, arXiv 2506.11902, section 3.1). First ``chains`` attempts; then,
``rounds`` times, in the tree of each of them, a fork before each of the ``points`` tokens of lowest
probability: ``width`` new remainders. 6 chains, 2 points, 2 wide, one round: 30 leaves. The first
token of a draw is never such a point, nor is anything from the words "answer" or "conclusion" on.
With a rule, only tokens that begin a step are: forks at steps, as in PORTool (arXiv 2510.26020).

Where this differs: a token that was certain, or that begins inside a character, is no point, and a
draw that was cut in an earlier round is cut again only behind that cut. Draws stay whole where they
were drawn, and what is cut from them for a fork is marked; so the attempt that is forked is no draw
of the fork, and the value there is that of the new remainders alone.
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from typing import NamedTuple

from stepkit.core.tree import keep_tokens, kept_tokens
from stepkit.errors import DataError
from stepkit.schema import ROOT, Json
from stepkit.search.method_setup import MethodSetup
from stepkit.search.record_tree import close_tree_with_rule, open_tree
from stepkit.search.rollout_tree import Asking, RolloutTree
from stepkit.search.scheduler import Strategy
from stepkit.text.token_cuts import token_starts

CONCLUDING = re.compile("answer|conclusion", re.IGNORECASE)


def shaped(growth: RolloutTree, shape: Sequence[int]) -> Asking:
    """Grow a tree with ``shape[d]`` children at every node of depth d that goes on."""
    level = [ROOT]
    for depth, width in enumerate(shape):
        whole = depth == len(shape) - 1
        places = [place for node in level for place in growth.fresh(node, width, whole=whole)]
        nodes = yield from growth.drawn(places)
        level = [node for node in nodes if not growth.ended(node)]


class ForkPoint(NamedTuple):
    """Where a draw can be forked, the least probable token first."""

    logprob: float
    draw: int
    cut: int  # characters of the draw before the token


def fork(
    growth: RolloutTree, chains: int, points: int, width: int, rounds: int, steps: bool
) -> Asking:
    """Grow ``chains`` trees, each from one attempt, by forks at its least probable tokens.

    Args:
        steps: fork only where a step begins.
    """
    first = yield from growth.drawn(growth.fresh(ROOT, chains, whole=True))
    trees = [[draw] for draw in first]
    cuts: dict[int, list[int]] = {}
    for _ in range(rounds):
        chosen = [sorted(_points(growth, draws, cuts, steps))[:points] for draws in trees]
        for point in [one for of_tree in chosen for one in of_tree]:
            cuts.setdefault(point.draw, []).append(point.cut)
        forks = [[_node(growth, point, cuts[point.draw]) for point in some] for some in chosen]
        places = [
            [place for node in some for place in growth.fresh(node, width, whole=True)]
            for some in forks
        ]
        drawn = yield from growth.drawn([place for some in places for place in some])
        following = iter(drawn)
        for draws, some in zip(trees, places, strict=True):
            draws += [next(following) for _ in some]


def _points(
    growth: RolloutTree, draws: Sequence[int], cuts: dict[int, list[int]], steps: bool
) -> list[ForkPoint]:
    """The tokens of ``draws`` at which a fork may be."""
    logprobs = kept_tokens(growth.tree, "token_logprob")
    if logprobs is None:
        raise DataError("the tree does not keep log-probabilities", "tree.token_logprob")
    found = []
    for draw in draws:
        text = growth.tree["text"][draw]
        end = match.start() if (match := CONCLUDING.search(text)) else len(text)
        behind = max(cuts.get(draw, [0]))
        begins = _step_starts(growth, draw) if steps else None
        for cut, logprob in zip(_cuts(text, growth.token_ends(draw)), logprobs[draw], strict=False):
            certain_or_unknown = not logprob
            if cut is None or certain_or_unknown or not behind < cut < end:
                continue
            if begins is None or cut in begins:
                found.append(ForkPoint(logprob, draw, cut))
    return found


def _cuts(text: str, ends: Sequence[int]) -> list[int | None]:
    """Characters before each token; None where it begins inside one."""
    raw = text.encode("utf-8", "surrogatepass")
    sizes = [end - begin for begin, end in zip([0, *ends], ends, strict=False)]
    inside = [b"\x80" <= raw[begin : begin + 1] < b"\xc0" for begin in [0, *ends]]
    starts = token_starts(text, sizes) if ends else []
    return [None if split else start for start, split in zip(starts, inside, strict=False)]


def _step_starts(growth: RolloutTree, draw: int) -> set[int]:
    starts, begin = set(), 0
    for step in growth.steps_of(draw):
        starts.add(begin)
        begin += len(step)
    return starts


def _node(growth: RolloutTree, point: ForkPoint, cuts: Sequence[int]) -> int:
    """The node that ends at a fork, below those of the earlier cuts of the same draw."""
    ends = sorted(cut for cut in cuts if cut <= point.cut)
    text = growth.tree["text"][point.draw]
    return growth.cut(point.draw, [text[a:b] for a, b in zip([0, *ends], ends, strict=False)])[-1]


def start(setup: MethodSetup, data: Json) -> Strategy:
    """The strategy for one record (see search/method_registry.py)."""
    growth = open_tree(setup, data, ids=True)
    options = setup.options
    width = options["width"]
    if len(width) > 1:
        yield from shaped(growth, width)
    else:
        keep_tokens(growth.tree, "token_logprob")
        yield from fork(
            growth,
            options["draws"],
            options["points"],
            width[0],
            options["rounds"],
            options["by"] is not None,
        )
    return close_tree_with_rule(growth, data)
