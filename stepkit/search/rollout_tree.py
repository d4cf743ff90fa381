"""A tree that draws are added to: what every method that writes one shares.

A place is a node, a number and whether a whole remainder or one step is drawn there. A draw that
the tree already holds is not made again, so every method tops up and a search repeats itself up to
where it left off. A draw continues from the very tokens that its prefix was drawn with, where they
are known.

A step is drawn by drawing on until its end stands, whatever may follow (text/segment.py), and what
is beyond the cut is left out. So a step has the chance that it has as the first step of a whole
remainder, whatever the rule.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Generator, Sequence
from dataclasses import replace
from typing import Any, NamedTuple

from stepkit.core import tree as trees
from stepkit.core.tree import Tree, sampler_index
from stepkit.model.engine import Draw, FinishedDraw
from stepkit.model.prefixes import Ids
from stepkit.model.sampler import Sampler
from stepkit.schema import ROOT, UNDRAWN
from stepkit.search.record_budget import RecordSpending
from stepkit.search.scheduler import Ask, AttemptRequest, FinishedAttempt
from stepkit.seeds import digest
from stepkit.text.segment import SegmentRule, TextTokens, first_step, first_step_stands, split
from stepkit.text.segment_rules import DEFAULT_RULE, continued

Asking = Generator[Sequence[Ask], Sequence[Any], Any]

NO_LIMIT = 2**62
"""More tokens than there are."""


class DrawPlace(NamedTuple):
    """One draw: its node, its number, and what is drawn (a whole remainder, or one step)."""

    node: int
    number: int
    whole: bool = True


class RolloutTree:
    """A record's tree with what is needed to draw from its nodes.

    Attributes:
        tree: as in core/tree.py.
        by: index of the sampler in ``tree["samplers"]``.
        rule: how steps are cut.
        spent: what was drawn in this run, by all that draw from this tree.
    """

    def __init__(
        self,
        sampler: Sampler,
        tree: Tree,
        prefixes: Sequence[Ids],
        answer: str | None,
        rule: SegmentRule | None = None,
    ) -> None:
        self.tree = tree
        self.by = sampler_index(tree, sampler.identity)
        self.answer = answer
        self.rule: SegmentRule = rule or DEFAULT_RULE
        self.spent = RecordSpending()
        self._sampler = sampler
        self._prefixes = dict(zip([ROOT, *tree["spine"]], prefixes, strict=True))
        self._given = {ROOT: ""}
        self._ids = trees.kept(tree, "ids")
        self._held: dict[DrawPlace, int] = {}
        self._cuts: dict[tuple[int, int], int] = {}
        self._asked: set[DrawPlace] = set()
        self._numbers: Counter[tuple[Ids, bool]] = Counter()
        for node in range(1, len(tree["parent"])):
            self._note(node)

    def beside(self, sampler: Sampler, prefixes: Sequence[Ids] | None = None) -> RolloutTree:
        """The same tree, drawn from by another sampler beside this one.

        Args:
            prefixes: the empty prefix and those of the spine as its model has them; None for
                another sampler of the same model.
        """
        spine = [ROOT, *self.tree["spine"]]
        own = [self.prefix(node) for node in spine] if prefixes is None else prefixes
        other = RolloutTree(sampler, self.tree, own, self.answer, self.rule)
        other.spent, other._ids = self.spent, self._ids
        if prefixes is None:
            other._prefixes = self._prefixes
        return other

    def _note(self, node: int) -> None:
        tree = self.tree
        origin = tree["cut"][node] if "cut" in tree else UNDRAWN
        parent, number = tree["parent"][node], tree["draw"][node]
        if tree["by"][node] != self.by or number == UNDRAWN or tree["finish"][node] == "error":
            return
        if origin != UNDRAWN:
            self._cuts[origin, parent] = node
        else:
            self._held[DrawPlace(parent, number, tree["whole"][node])] = node

    # -- places -----------------------------------------------------------------------------

    def given(self, node: int) -> str:
        """The text of the attempt up to and with ``node``."""
        if node not in self._given:
            above, parts = node, []
            while above not in self._given:
                parts.append(self.tree["text"][above])
                above = self.tree["parent"][above]
            self._given[node] = self._given[above] + "".join(reversed(parts))
        return self._given[node]

    def depth(self, node: int) -> int:
        """How many steps lead to ``node``."""
        above, count = node, 0
        while above != ROOT:
            above, count = self.tree["parent"][above], count + 1
        return count

    def prefix(self, node: int) -> Ids:
        """The token ids up to and with ``node``, the prompt's first."""
        if node not in self._prefixes:
            self._prefixes[node] = self._after(node, self._tokens_of(node))
        return self._prefixes[node]

    def _after(self, node: int, ids: Ids | None) -> Ids:
        if ids is not None:
            return self.prefix(self.tree["parent"][node]) + ids
        return self._prefixes[ROOT] + self._sampler.prefixes.exact(self.given(node))

    def _tokens_of(self, node: int) -> Ids | None:
        if self._ids is None:
            return None
        by = self.tree["by"][node]
        if by == UNDRAWN or trees.UNKNOWN["ids"] in self._ids[node]:
            return None
        drew = self.tree["samplers"][by]
        return self._sampler.prefixes.known(self._ids[node], self.tree["text"][node], drew)

    def ended(self, node: int) -> bool:
        """Whether the attempt ended at ``node``: nothing can be drawn there."""
        return bool(self.tree["finish"][node])

    def fresh(self, node: int, count: int, *, whole: bool) -> list[DrawPlace]:
        """The next ``count`` places at ``node``.

        Draws are numbered by prefix, not by node: of two nodes with the same tokens before them
        the second gets the numbers after those of the first.
        """
        key = (self.prefix(node), whole)
        first = self._numbers[key]
        self._numbers[key] += count
        return [DrawPlace(node, number, whole) for number in range(first, first + count)]

    # -- draws ------------------------------------------------------------------------------

    def drawn(
        self, places: Sequence[DrawPlace]
    ) -> Generator[Sequence[Ask], Sequence[Any], list[int]]:
        """The nodes drawn at ``places``, in their order; asks for those that are missing."""
        missing = [place for place in dict.fromkeys(places) if place not in self._held]
        if missing:
            answers = yield [self._ask(place) for place in missing]
            for place, answer in zip(missing, answers, strict=True):
                self._keep(place, answer)
        nodes = [self._held[place] for place in places]
        for place, node in zip(places, nodes, strict=True):
            if place not in self._asked:
                self._asked.add(place)
                self.spent.draws += 1
                self.spent.tokens += self.tree["tokens"][node] if "tokens" in self.tree else 0
        return nodes

    def at(self, place: DrawPlace) -> int | None:
        """The node drawn at ``place``, or None when the tree does not have it."""
        return self._held.get(place)

    def counted(self, node: int) -> tuple[int, int]:
        """Right of decided whole remainders drawn at ``node``."""
        draws = trees.draws_at(self.tree, node, self.by)
        found = [self.tree["outcome"][draw] for draw in draws if self.tree["whole"][draw]]
        decided = [outcome for outcome in found if outcome is not None]
        return sum(outcome == 1 for outcome in decided), len(decided)

    def note(self, node: int, rule: str) -> None:
        """Note why drawing stopped at ``node`` (see trees.set_rule)."""
        trees.set_rule(self.tree, node, self.by, rule)

    def noted(self, node: int) -> str:
        """The rule that drawing at ``node`` followed, or ""."""
        return trees.rule_at(self.tree, node, self.by)

    def _ask(self, place: DrawPlace) -> AttemptRequest:
        return AttemptRequest(self._request(place), self.given(place.node), self.answer)

    def _request(self, place: DrawPlace) -> Draw:
        prefix = self.prefix(place.node)
        if place.whole:
            return self._sampler.draw(prefix, "value", place.number)
        rule = self._rule(place.node)
        origin = digest("rule", sorted(rule.items()))
        request = self._sampler.draw(prefix, "step", place.number, origin)
        if rule.get("max_steps") == 1 or rule["by"] == "confidence":
            return request
        if rule["by"] == "tokens":
            most = min(rule["size"], request.sampling.max_tokens)
            return replace(request, sampling=replace(request.sampling, max_tokens=most))
        return replace(request, until=lambda text: first_step_stands(text, rule))

    def _rule(self, node: int) -> SegmentRule:
        """The rule by which one step is cut at ``node``; beyond the last step it cuts nothing."""
        most = self.rule.get("max_steps")
        rule = {name: value for name, value in self.rule.items() if name != "max_steps"}
        return rule if most is None or self.depth(node) < most - 1 else {**rule, "max_steps": 1}

    def _keep(self, place: DrawPlace, answer: FinishedAttempt) -> int:
        drawn, outcome, final = answer.drawn, answer.outcome, answer.final
        finish = drawn.finish
        if not place.whole:
            rule = self._rule(place.node)
            step = self._first_step(drawn, rule)
            if finish == "length" and drawn.tokens >= self._size(rule):
                finish = ""  # as many tokens as a step has
            if step != drawn.text:
                drawn, finish, outcome, final = self._cut_off(drawn, step), "", None, None
        if finish == "until":
            finish = ""  # nothing but white space came after the step
        node = self._add(
            place.node,
            drawn.text,
            whole=place.whole,
            finish=finish,
            outcome=outcome if finish else None,
            final=final if finish else None,
            by=self.by,
            draw=place.number,
            tokens=drawn.tokens,
            logprob=drawn.logprob,
            ids=drawn.ids,
            token_logprob=drawn.logprobs,
        )
        if drawn.ids is not None:
            self._prefixes[node] = self.prefix(place.node) + drawn.ids
        self._held[place] = node
        self.spent.new += 1
        return node

    def _add(self, parent: int, text: str, **about: Any) -> int:
        node = trees.add(self.tree, parent, text, **about)
        if self._ids is not None:
            own, tokens = about["ids"], about["tokens"]
            known = own is not None and len(own) == tokens
            self._ids.append(list(own) if known else [trees.UNKNOWN["ids"]] * tokens)
        return node

    @staticmethod
    def _size(rule: SegmentRule) -> int:
        """How many tokens end a step, where the rule says so and cuts at all."""
        by_size = rule["by"] == "tokens" and rule.get("max_steps") != 1
        return rule["size"] if by_size else NO_LIMIT

    def _first_step(self, drawn: FinishedDraw, rule: SegmentRule) -> str:
        """The step that a draw begins with; by tokens the draw itself has the length of one."""
        if rule["by"] not in ("tokens", "confidence"):
            return first_step(drawn.text, rule)
        if rule["by"] == "tokens" or drawn.ids is None:
            return drawn.text
        ends = self._sampler.prefixes.ends(drawn.ids)
        sizes = [end - begin for begin, end in zip([0, *ends], ends, strict=False)]
        return first_step(drawn.text, rule, tokens=TextTokens(sizes, drawn.logprobs))

    def _cut_off(self, drawn: FinishedDraw, text: str) -> FinishedDraw:
        """``drawn`` as if it had ended after ``text``, its beginning."""
        size = len(text.encode("utf-8", "surrogatepass"))
        if drawn.ids is None:
            return replace(drawn, text=text)
        ends = [0, *self._sampler.prefixes.ends(drawn.ids)]
        count = next(index for index, end in enumerate(ends) if end >= size)
        logprobs = drawn.logprobs[:count]
        logprob = sum(logprobs) if len(logprobs) == count else drawn.logprob
        ids = drawn.ids[:count] if ends[count] == size else None
        return FinishedDraw(text, drawn.finish, count, ids, logprob, logprobs)

    # -- steps cut from draws ---------------------------------------------------------------

    def steps_of(self, node: int) -> list[str]:
        """The steps of the text of ``node``, a whole remainder; by a rule that goes by tokens, one
        step where they are not known."""
        rule = continued(self.rule, self.depth(self.tree["parent"][node]))
        if rule["by"] not in ("tokens", "confidence"):
            return split(self.tree["text"][node], rule)
        ends = self.token_ends(node)
        if not ends:
            return [self.tree["text"][node]]
        known = trees.kept(self.tree, "token_logprob")
        sizes = [end - begin for begin, end in zip([0, *ends], ends, strict=False)]
        tokens = TextTokens(sizes, known[node] if known else [None] * len(sizes))
        return split(self.tree["text"][node], rule, tokens)

    def cut(self, node: int, steps: Sequence[str]) -> list[int]:
        """Nodes for the first ``steps`` of the text of ``node``, a whole remainder, one below the
        other.

        They are views of that draw, marked by ``cut``, without an outcome of their own.
        """
        tree, parent = self.tree, self.tree["parent"][node]
        ids = self._drawn_ids(node)
        places = {0: 0}  # bytes of the text -> tokens that end just there
        for index, end in enumerate(self._sampler.prefixes.ends(ids or ()), 1):
            places.setdefault(end, index)
        nodes: list[int] = []
        done = 0
        for step in steps:
            above = nodes[-1] if nodes else parent
            begin, done = done, done + len(step.encode("utf-8", "surrogatepass"))
            count = None if ids is None else places.get(done)
            own = ids[places[begin] : count] if ids and count and begin in places else None
            held = self._cuts.get((node, above))
            if held is None:
                held = self._add(
                    above, step, whole=False, finish="",
                    by=tree["by"][node], draw=tree["draw"][node], cut=node,
                    tokens=len(own or ()), ids=own,
                )  # fmt: skip
                self._cuts[node, above] = held
            if ids and count and held not in self._prefixes:
                self._prefixes[held] = self.prefix(parent) + ids[:count]
            nodes.append(held)
        return nodes

    def token_ends(self, node: int) -> list[int]:
        """Bytes of the text of ``node`` at which its tokens end; [] where they are not known."""
        return self._sampler.prefixes.ends(self._drawn_ids(node) or ())

    def _drawn_ids(self, node: int) -> Ids | None:
        parent = self.tree["parent"][node]
        if node in self._prefixes:
            return self._prefixes[node][len(self.prefix(parent)) :]
        return self._tokens_of(node)
