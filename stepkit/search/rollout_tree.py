"""A tree that draws are added to: what every method that writes one shares.

A draw has a place: its node, its number there, and whether a whole continuation or one step is
drawn. A draw that the tree already holds is not made again, so every method tops up, and a search
repeats itself up to where it left off. A draw continues from the very tokens that its prefix was
drawn with, where they are known.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from typing import Any, NamedTuple

from stepkit.core import tree as trees
from stepkit.core.tree import Tree, sampler_index
from stepkit.model.engine import Draw
from stepkit.model.prefixes import Ids
from stepkit.model.sampler import Sampler, attempt_text
from stepkit.schema import ROOT, UNDRAWN, Json
from stepkit.search.record_budget import RecordSpending
from stepkit.search.scheduler import AttemptRequest, FinishedAttempt, Strategy
from stepkit.search.step_draws import GOES_ON, cut_to_step, rule_at, step_request
from stepkit.seeds import digest
from stepkit.text.segment import SegmentRule, TextTokens, split, split_continuation
from stepkit.text.segment_rules import DEFAULT_RULE, NEED_TOKENS, continued


class DrawPlace(NamedTuple):
    """Where a draw belongs.

    Attributes:
        node: the node that ends its prefix.
        number: of the draw among those of its prefix.
        whole: a whole continuation is drawn, else one step.
    """

    node: int
    number: int
    whole: bool = True


class RolloutTree:
    """A record's tree with what is needed to draw from its nodes.

    Attributes:
        tree: as in core/tree.py.
        by: index of the sampler in ``tree["samplers"]``.
        rule: how steps are cut.
        spent: what was drawn in this run, by all samplers of this tree.

    Args:
        entry: the sampler's for ``tree["samplers"]`` (Sampler.entry).
        prefixes: token ids of the empty prefix (the prompt) and of the trace's other prefixes.
        answer: the reference answer, or None when there is none to compare with.
    """

    def __init__(
        self,
        sampler: Sampler,
        entry: Json,
        tree: Tree,
        prefixes: Sequence[Ids],
        answer: str | None,
        rule: SegmentRule | None = None,
    ) -> None:
        self.tree = tree
        self.by = sampler_index(tree, entry)
        if "rendered" in entry:  # which a tree of an older version lacks
            tree["samplers"][self.by] = {**tree["samplers"][self.by], "rendered": entry["rendered"]}
        self.answer = answer
        self.rule: SegmentRule = rule or DEFAULT_RULE
        self.spent = RecordSpending()
        self._sampler = sampler
        self._prefixes = dict(zip([ROOT, *tree["spine"]], prefixes, strict=True))
        self._longest = max(map(len, prefixes[:-1] or prefixes))  # that a trace is drawn from
        self._texts = {ROOT: ""}
        self._ids = trees.kept_tokens(tree, "ids")
        self._nodes: dict[DrawPlace, int] = {}
        self._cuts: dict[tuple[int, int], int] = {}
        self._counted: set[DrawPlace] = set()  # in ``spent``
        self._next_number: Counter[tuple[Ids, bool]] = Counter()
        for node in range(1, len(tree["parent"])):
            self._index(node)

    def with_sampler(
        self, sampler: Sampler, entry: Json, prefixes: Sequence[Ids] | None = None
    ) -> RolloutTree:
        """The same tree, drawn from by another sampler in addition to this one.

        Args:
            entry: the sampler's for ``tree["samplers"]``.
            prefixes: the empty prefix and those of the spine as its model has them; None for
                another sampler of the same model.
        """
        spine = [ROOT, *self.tree["spine"]]
        own = [self.prefix_ids(node) for node in spine] if prefixes is None else prefixes
        other = RolloutTree(sampler, entry, self.tree, own, self.answer, self.rule)
        other.spent, other._ids = self.spent, self._ids
        if prefixes is None:
            other._prefixes = self._prefixes
        return other

    def _index(self, node: int) -> None:
        tree = self.tree
        origin = tree["cut"][node] if "cut" in tree else UNDRAWN
        parent, number = tree["parent"][node], tree["draw"][node]
        if tree["by"][node] != self.by or number == UNDRAWN or tree["finish"][node] == "error":
            return
        if origin != UNDRAWN:
            self._cuts[origin, parent] = node
        else:
            self._nodes[DrawPlace(parent, number, tree["whole"][node])] = node

    # -- places -----------------------------------------------------------------------------

    def prefix_text(self, node: int) -> str:
        """The text of the attempt up to and with ``node``."""
        if node not in self._texts:
            above, parts = node, []
            while above not in self._texts:
                parts.append(self.tree["text"][above])
                above = self.tree["parent"][above]
            self._texts[node] = self._texts[above] + "".join(reversed(parts))
        return self._texts[node]

    def depth(self, node: int) -> int:
        """How many steps lead to ``node``."""
        above, count = node, 0
        while above != ROOT:
            above, count = self.tree["parent"][above], count + 1
        return count

    def prefix_ids(self, node: int) -> Ids:
        """The token ids up to and with ``node``, the prompt's first."""
        if node not in self._prefixes:
            self._prefixes[node] = self._extended(node, self._tokens_of(node))
        return self._prefixes[node]

    def _extended(self, node: int, ids: Ids | None) -> Ids:
        """The prefix of ``node`` with the node's own tokens, or tokenised anew without them."""
        if ids is not None:
            return self.prefix_ids(self.tree["parent"][node]) + ids
        return self._prefixes[ROOT] + self._sampler.prefixes.exact(self.prefix_text(node))

    def _tokens_of(self, node: int) -> Ids | None:
        """The tokens that were drawn as the text of ``node``, where they are known."""
        if self._ids is None:
            return None
        by = self.tree["by"][node]
        if by == UNDRAWN or trees.UNKNOWN["ids"] in self._ids[node]:
            return None
        sampler = self.tree["samplers"][by]
        return self._sampler.prefixes.known(self._ids[node], self.tree["text"][node], sampler)

    def is_terminal(self, node: int) -> bool:
        """Whether the attempt ended at ``node``: nothing can be drawn there."""
        return bool(self.tree["finish"][node])

    def spine_prefixes(self) -> list[int]:
        """The nodes that a trace is drawn from: the root and its steps but the last."""
        return [ROOT, *self.tree["spine"][:-1]]

    def next_places(self, node: int, count: int, *, whole: bool) -> list[DrawPlace]:
        """The next ``count`` places at ``node``.

        Draws are numbered by prefix, not by node: of two nodes with the same tokens before them
        the second gets the numbers after those of the first.
        """
        key = (self.prefix_ids(node), whole)
        first = self._next_number[key]
        self._next_number[key] += count
        return [DrawPlace(node, number, whole) for number in range(first, first + count)]

    # -- draws ------------------------------------------------------------------------------

    def draw(self, places: Sequence[DrawPlace]) -> Strategy[list[int]]:
        """Draw what is missing at ``places``; returns the nodes drawn there, in their order."""
        missing = [place for place in dict.fromkeys(places) if place not in self._nodes]
        if missing:
            attempts = yield [self._attempt_request(place) for place in missing]
            for place, attempt in zip(missing, attempts, strict=True):
                self._store(place, attempt)
        nodes = [self._nodes[place] for place in places]
        for place, node in zip(places, nodes, strict=True):
            if place not in self._counted:
                self._counted.add(place)
                self.spent.draws += 1
                self.spent.tokens += self.tree["tokens"][node] if "tokens" in self.tree else 0
        return nodes

    def node_at(self, place: DrawPlace) -> int | None:
        """The node drawn at ``place``, or None when the tree does not have it."""
        return self._nodes.get(place)

    def counts_at(self, node: int) -> tuple[int, int]:
        """(right, decided) of the whole continuations drawn at ``node``."""
        draws = trees.draws_at(self.tree, node, self.by)
        outcomes = [self.tree["outcome"][draw] for draw in draws if self.tree["whole"][draw]]
        decided = [outcome for outcome in outcomes if outcome is not None]
        return sum(outcome == 1 for outcome in decided), len(decided)

    def set_rule(self, node: int, rule: str) -> None:
        """Store why drawing stopped at ``node`` (see trees.set_rule)."""
        trees.set_rule(self.tree, node, self.by, rule)

    def rule_at(self, node: int) -> str:
        """The rule that drawing at ``node`` followed, or ""."""
        return trees.rule_at(self.tree, node, self.by)

    def _attempt_request(self, place: DrawPlace) -> AttemptRequest:
        return AttemptRequest(self._draw_request(place), self.prefix_text(place.node), self.answer)

    def _draw_request(self, place: DrawPlace) -> Draw:
        prefix, sampler = self.prefix_ids(place.node), self._sampler
        before = attempt_text(self.tree["samplers"][self.by], self.prefix_text(place.node))
        if place.whole:
            longest = self._longest
            return sampler.draw(prefix, "value", place.number, before=before, reach=longest)
        rule = self._rule(place.node)
        origin = digest("rule", sorted(rule.items()))
        # an attempt that is drawn step by step gets about as long as one that is drawn at once
        reach = max(self._longest, len(self._prefixes[ROOT]) + sampler.sampling.max_tokens)
        draw = sampler.draw(prefix, "step", place.number, origin, before=before, reach=reach)
        return step_request(draw, rule)

    def _rule(self, node: int) -> SegmentRule:
        """The rule by which one step is cut at ``node``."""
        return rule_at(self.rule, self.depth(node))

    def _store(self, place: DrawPlace, attempt: FinishedAttempt) -> None:
        draw = attempt.draw
        if not place.whole:
            draw = cut_to_step(draw, self._rule(place.node), self._sampler.prefixes)
        ended = draw.finish != GOES_ON
        node = self._add(
            place.node,
            draw.text,
            whole=place.whole,
            finish=draw.finish,
            outcome=attempt.outcome if ended else None,
            final=attempt.final if ended else None,
            by=self.by,
            draw=place.number,
            tokens=draw.tokens,
            logprob=draw.logprob,
            ids=draw.ids,
            token_logprob=draw.logprobs,
        )
        if draw.ids is not None:
            self._prefixes[node] = self.prefix_ids(place.node) + draw.ids
        self._nodes[place] = node
        self.spent.new += 1

    def _add(self, parent: int, text: str, **columns: Any) -> int:
        node = trees.add(self.tree, parent, text, **columns)
        if self._ids is not None:
            ids, tokens = columns["ids"], columns["tokens"]
            known = ids is not None and len(ids) == tokens
            self._ids.append(list(ids) if known else [trees.UNKNOWN["ids"]] * tokens)
        return node

    # -- steps cut from draws ---------------------------------------------------------------

    def steps_of(self, node: int) -> list[str]:
        """The steps of the text of ``node``, a whole continuation; one step where the rule goes by
        tokens and these are not known."""
        text, before = self.tree["text"][node], self.depth(self.tree["parent"][node])
        ends = self.token_ends(node) if self.rule["by"] in NEED_TOKENS else []
        if not ends:
            return split_continuation(text, self.rule, before)
        known = trees.kept_tokens(self.tree, "token_logprob")
        sizes = [end - start for start, end in zip([0, *ends], ends, strict=False)]
        tokens = TextTokens(sizes, known[node] if known else [None] * len(sizes))
        return split(text, continued(self.rule, before), tokens)

    def cut(self, node: int, steps: Sequence[str]) -> list[int]:
        """Nodes for ``steps``, with which the text of ``node``, a whole continuation, starts: one
        below the other.

        They are views of that draw, marked by ``cut``, without an outcome of their own.
        """
        parent, ids = self.tree["parent"][node], self._ids_of_draw(node)
        count_at = {0: 0}  # bytes of the text -> tokens that end just there
        for index, offset in enumerate(self._sampler.prefixes.ends(ids or ()), 1):
            count_at.setdefault(offset, index)
        nodes: list[int] = []
        end = 0
        for step in steps:
            start, end = end, end + len(step.encode("utf-8", "surrogatepass"))
            before, count = count_at.get(start), count_at.get(end) if ids else None
            own = ids[before:count] if ids and count and before is not None else None
            cut = self._cut(node, nodes[-1] if nodes else parent, step, own)
            if ids and count and cut not in self._prefixes:
                self._prefixes[cut] = self.prefix_ids(parent) + ids[:count]
            nodes.append(cut)
        return nodes

    def _cut(self, node: int, parent: int, step: str, ids: Ids | None) -> int:
        """The node of a step cut from ``node``, which is added where the tree does not have it."""
        if (node, parent) not in self._cuts:
            self._cuts[node, parent] = self._add(
                parent,
                step,
                whole=False,
                finish=GOES_ON,
                by=self.tree["by"][node],
                draw=self.tree["draw"][node],
                cut=node,
                tokens=len(ids or ()),
                ids=ids,
            )
        return self._cuts[node, parent]

    def token_ends(self, node: int) -> list[int]:
        """Bytes of the text of ``node`` at which its tokens end; [] where they are not known."""
        return self._sampler.prefixes.ends(self._ids_of_draw(node) or ())

    def _ids_of_draw(self, node: int) -> Ids | None:
        parent = self.tree["parent"][node]
        if node in self._prefixes:
            return self._prefixes[node][len(self.prefix_ids(parent)) :]
        return self._tokens_of(node)
