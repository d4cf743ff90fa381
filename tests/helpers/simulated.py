"""Engines that draw from a law that is known, so that what a search does can be held against truth.

``Curve``: a trace whose prefix t is right with a given chance. ``World``: steps follow each other
with given chances; the value of every prefix is had by enumeration. A token is a step in both. A
draw depends on its own seed only, and results come in random order.
"""

from __future__ import annotations

import random
from collections import deque
from collections.abc import Callable, Iterable, Sequence
from functools import cached_property
from itertools import accumulate
from types import SimpleNamespace
from typing import Any

from stepkit.errors import StepkitError
from stepkit.model.engine import (
    Counters,
    Draw,
    FinishedDraw,
    FinishedRequest,
    Readout,
    Request,
    Sampling,
)
from stepkit.search.method_registry import METHODS, load_method
from stepkit.search.method_setup import MethodSetup
from stepkit.search.scheduler import Scheduler, Strategy

Rule = Callable[[Request], FinishedDraw | Readout | StepkitError]
RIGHT, WRONG, NONE = "Answer: 42", "Answer: 7", "no idea"


class RuleEngine:
    """Answers requests by a rule, in random order."""

    def __init__(self, rule: Rule, seed: int = 0) -> None:
        self.rule = rule
        self.counters = Counters()
        self.waiting: list[Request] = []
        self.seen: list[Request] = []
        self._random = random.Random(seed)

    @property
    def pending(self) -> int:
        return len(self.waiting)

    def submit(self, request: Request) -> None:
        self.waiting.append(request)
        self.seen.append(request)

    def step(self) -> list[FinishedRequest]:
        if not self.waiting:
            return []
        request = self.waiting.pop(self._random.randrange(len(self.waiting)))
        return [FinishedRequest(request, self.rule(request))]

    def close(self) -> None:
        pass


class ExactGrader:
    """Compares as text; its verdicts come one collect late, out of order."""

    def __init__(self) -> None:
        self._held: list[tuple[Any, float | None]] = []

    @property
    def pending(self) -> int:
        return len(self._held)

    def submit(self, key: Any, reference: str, final: str | None, problem: str = "") -> None:
        self._held.append((key, None if final == "?" else float(reference == final)))

    def collect(self, wait: bool) -> list[tuple[Any, float | None]]:
        if not wait and len(self._held) < 3:
            return []
        given, self._held = self._held[::-1], []
        return given


class Listed:
    """A supply of strategies, of which only every second take finds one without waiting."""

    def __init__(self, strategies: Iterable[Strategy]) -> None:
        self._left = deque(enumerate(strategies))
        self._shy = True

    @property
    def ended(self) -> bool:
        return not self._left

    def take(self, wait: bool) -> tuple[int, Strategy] | None:
        self._shy = not self._shy
        if not self._left or (self._shy and not wait):
            return None
        return self._left.popleft()


def run(engine: Any, strategies: Sequence[Strategy]) -> list[Any]:
    """Results in the order of the strategies."""
    scheduler: Scheduler[int] = Scheduler(engine, ExactGrader())
    results = dict(scheduler.run(Listed(strategies)))
    return [results[number] for number in range(len(strategies))]


class Sampler:
    """A sampler on ``prefixes``; keys say what is drawn, seeds are made of them and ``seed``."""

    def __init__(self, prefixes: Any, seed: int = 0, name: str = "s") -> None:
        self.prefixes = prefixes
        self.id = name
        self.identity = {"id": name, "name": "test", "vocabulary": "v", "prompt": "{problem}"}
        self._seed = seed

    def entry(self, _record: dict[str, Any]) -> dict[str, Any]:
        return self.identity

    def draw(
        self, prefix: Sequence[int], purpose: str, number: int, origin: str = "", **_: Any
    ) -> Draw:
        key = f"{self.id} {purpose} {tuple(prefix)} {number}" + (f" {origin}" if origin else "")
        seed = random.Random(f"{self._seed} {key}").getrandbits(62)
        return Draw(key, tuple(prefix), seed, Sampling())


class Curve:
    """A trace of ``len(chances)`` steps whose prefix t is right with ``chances[t]``.

    Args:
        undecided: the chance that a draw comes to no answer.
        right: whether the trace itself ends well.
    """

    def __init__(
        self, chances: Sequence[float], undecided: float = 0.0, right: bool = False
    ) -> None:
        self.chances = chances
        self.undecided = undecided
        self.steps = [f"s{t}\n" for t in range(len(chances) - 1)] + [RIGHT if right else WRONG]
        self.prefixes: Any = SimpleNamespace(
            at_cuts=lambda data, steps: [(t,) for t in range(len(steps) + 1)],
            ends=lambda ids: list(range(1, len(ids) + 1)),
        )

    def record(self, tree: Any = None) -> dict[str, Any]:
        data: dict[str, Any] = {"problem": "p", "answer": "42", "steps": self.steps}
        data["response"] = "".join(self.steps)
        return data if tree is None else data | {"tree": tree}

    def rule(self, request: Request) -> FinishedDraw:
        assert isinstance(request, Draw)
        lucky = random.Random(request.seed)
        known = lucky.random() >= self.undecided
        right = lucky.random() < self.chances[request.prefix[0]]
        text = NONE if not known else RIGHT if right else WRONG
        return FinishedDraw(text, "stop", 10, None, -1.0)

    def engine(self, seed: int = 0) -> RuleEngine:
        return RuleEngine(self.rule, seed)

    def searched(
        self, method: str, seed: int = 0, tree: Any = None, **options: Any
    ) -> tuple[dict[str, Any], RuleEngine]:
        """The fields that a method sets for the trace, and the engine that drew."""
        return searched(self, method, self.record(tree), seed, options)


Law = Callable[[tuple[str, ...]], Sequence[tuple[str, float]]]
"""What may follow steps, with its chances; nothing: the attempt has ended."""


class World:
    """Steps that follow each other by ``law``; the last one of an attempt holds its answer."""

    def __init__(self, law: Law, alphabet: Sequence[str]) -> None:
        self.law = law
        self.pieces = list(alphabet)
        self._values: dict[tuple[str, ...], float] = {}

    def value(self, steps: tuple[str, ...]) -> float:
        """The chance that an attempt with this prefix ends right, by enumeration."""
        if steps not in self._values:
            following = self.law(steps)
            self._values[steps] = (
                sum(p * self.value((*steps, step)) for step, p in following)
                if following
                else float(bool(steps) and steps[-1] == RIGHT)
            )
        return self._values[steps]

    def ids(self, steps: Iterable[str]) -> tuple[int, ...]:
        return tuple(self.pieces.index(step) for step in steps)

    def parsed(self, text: str) -> tuple[str, ...]:
        """The steps of a text: lines, of which the last has no end."""
        return tuple(text.splitlines(keepends=True))

    @cached_property
    def prefixes(self) -> Any:
        prompt = (-1,)

        def at_cuts(data: Any, steps: Sequence[str]) -> list[tuple[int, ...]]:
            ids = self.ids(steps)
            return [prompt + ids[:count] for count in range(len(steps) + 1)]

        def known(ids: Sequence[int], text: str, sampler: Any) -> tuple[int, ...] | None:
            same = all(i >= 0 for i in ids) and "".join(self.pieces[i] for i in ids) == text
            return tuple(ids) if same else None

        return SimpleNamespace(
            at_cuts=at_cuts,
            exact=lambda text: self.ids(self.parsed(text)),
            known=known,
            ends=lambda ids: list(accumulate(len(self.pieces[i].encode()) for i in ids)),
        )

    def rule(self, request: Request) -> FinishedDraw:
        assert isinstance(request, Draw)
        lucky = random.Random(request.seed)
        steps = tuple(self.pieces[i] for i in request.prefix[1:])
        begin, finish = len(steps), "stop"
        while following := self.law(steps):
            names, weights = zip(*following, strict=True)
            steps = (*steps, *lucky.choices(names, weights))
            text = "".join(steps[begin:])
            if request.until is not None and request.until(text):
                finish = "until"
                break
        drawn = steps[begin:]
        count = len(drawn)
        return FinishedDraw("".join(drawn), finish, count, self.ids(drawn), -count, (-1.0,) * count)

    def engine(self, seed: int = 0) -> RuleEngine:
        return RuleEngine(self.rule, seed)

    def searched(
        self, method: str, data: dict[str, Any] | None = None, seed: int = 0, **options: Any
    ) -> tuple[dict[str, Any], RuleEngine]:
        """The fields that a method sets for a record, or a bare problem, and the engine."""
        return searched(
            self, method, {"problem": "p", "answer": "42"} | (data or {}), seed, options
        )


def searched(
    world: Curve | World, method: str, data: dict[str, Any], seed: int, options: dict[str, Any]
) -> tuple[dict[str, Any], RuleEngine]:
    """Run a method on one record of a world, with its table's defaults."""
    setup = MethodSetup(
        Sampler(world.prefixes, seed),  # type: ignore[arg-type]
        {**METHODS[method].options, **options},
    )
    engine = world.engine(seed)
    (fields,) = run(engine, [load_method(method)(setup, data)])
    if isinstance(fields, Exception):
        raise fields
    return fields, engine


def outcomes_at(tree: dict[str, Any], node: int) -> list[Any]:
    """Outcomes of the whole remainders drawn at a node, in draw order."""
    rows = zip(
        tree["parent"], tree["whole"], tree["draw"], tree["outcome"], tree["cut"], strict=True
    )
    found = [(draw, o) for p, whole, draw, o, cut in rows if p == node and whole and cut < 0]
    return [outcome for _, outcome in sorted(found, key=lambda pair: pair[0])]
