"""Small worlds in which the true value of every prefix is known by enumeration.

A world says which steps its policy may take after a text, and with which chances; from that the
value of every text follows by going through all of them. ``WorldEngine`` draws from the same
chances, so what a search estimates can be held against the truth. Tokens are bytes.
"""

from __future__ import annotations

import random
import sys
from collections import deque
from collections.abc import Callable, Iterator, Mapping, Sequence
from fractions import Fraction
from functools import cache
from itertools import accumulate, combinations, product
from math import log
from pathlib import Path
from types import SimpleNamespace
from typing import Any, NamedTuple, Protocol

from stepkit.core.tree import Tree
from stepkit.io.jsonl import decode, encode
from stepkit.model.engine import (
    Counters,
    Draw,
    FinishedDraw,
    FinishedRequest,
    Read,
    Readout,
    Request,
    Sampling,
)
from stepkit.model.recorded_engine import RecordedEngine
from stepkit.schema import Json
from stepkit.search.method_registry import METHODS, load_method
from stepkit.search.method_setup import MethodSetup, PrmSource
from stepkit.search.scheduler import Scheduler, Strategy
from stepkit.search.scorers import TraceScores
from stepkit.seeds import digest, draw_seed
from stepkit.text.answers import extract

sys.path.insert(0, str(Path(__file__).resolve().parents[2] / "samples"))
from world import problems


class Move(NamedTuple):
    """A step that the policy may take, and how likely it is; the last one of an attempt ends it."""

    step: str
    chance: Fraction
    ends: bool


class World(Protocol):
    """What is needed of one."""

    def record(self) -> Json:
        """The problem as step-rollout reads it."""
        ...

    def moves(self, given: str) -> list[Move]:
        """The steps after ``given``; their chances add up to 1."""
        ...


def value(world: World, given: str = "") -> Fraction:
    """The chance that the policy's attempt that begins with ``given`` ends in the right answer.

    By enumeration of all that may follow.
    """
    answer = world.record()["answer"]

    @cache
    def of(text: str) -> Fraction:
        if text and not text.endswith("\n"):
            return Fraction(extract(text) == answer)
        total = Fraction(0)
        for move in world.moves(text):
            after = text + move.step
            right = Fraction(extract(after) == answer) if move.ends else of(after)
            total += move.chance * right
        return total

    return of(given)


class Given:
    """A world written down: text -> {step: chance}; a step without a newline ends the attempt."""

    def __init__(self, tree: Mapping[str, Mapping[str, Fraction | str]], answer: str = "1") -> None:
        self.tree, self.answer = tree, answer

    def record(self) -> Json:
        return {"id": "given", "problem": "p", "answer": self.answer}

    def moves(self, given: str) -> list[Move]:
        return [
            Move(step, Fraction(chance), not step.endswith("\n"))
            for step, chance in self.tree[given].items()
        ]


DEPTH = 3
"""Turns of the maze."""


def maze(right: str) -> Given:
    """Left or right three times, each as likely; one way of eight is right."""
    tree: dict[str, dict[str, Fraction | str]] = {}
    for depth in range(DEPTH):
        for turns in product("lr", repeat=depth):
            tree["".join(f"{turn}\n" for turn in turns)] = {
                "l\n": Fraction(1, 2),
                "r\n": Fraction(1, 2),
            }
    for turns in product("lr", repeat=DEPTH):
        is_right = "".join(turns) == right
        tree["".join(f"{turn}\n" for turn in turns)] = {f"Answer: {int(is_right)}": Fraction(1)}
    return Given(tree)


class Game24:
    """Make 24 of four numbers. The policy takes any of the possible moves, each as likely.

    A step is "8 - 4 = 4, left 4 7 8", the last one "Answer: N". Many moves are right as arithmetic
    and lose the game: their value is 0.
    """

    def __init__(self, numbers: Sequence[int]) -> None:
        self.numbers = tuple(sorted(map(Fraction, numbers)))

    def record(self) -> Json:
        return {"id": "24", "problem": f"Make 24 of {_said(self.numbers)}.", "answer": "24"}

    def left(self, given: str) -> tuple[Fraction, ...]:
        """The numbers that are left after ``given``."""
        if not given:
            return self.numbers
        last = given.splitlines()[-1]
        return tuple(map(Fraction, last.partition("left ")[2].split()))

    def moves(self, given: str) -> list[Move]:
        left = self.left(given)
        if len(left) == 1:
            return [Move(f"Answer: {left[0]}", Fraction(1), True)]
        steps = sorted({step for pair in combinations(left, 2) for step in _combined(left, pair)})
        return [Move(step, Fraction(1, len(steps)), False) for step in steps]

    def solvable(self, given: str = "") -> bool:
        """Whether 24 can be reached at all, by another way than ``value``: the classic search."""
        return _reaches(self.left(given))


def _said(numbers: Sequence[Fraction]) -> str:
    return " ".join(map(str, numbers))


def _results(a: Fraction, b: Fraction) -> Iterator[tuple[str, Fraction]]:
    yield f"{a} + {b}", a + b
    yield f"{a} * {b}", a * b
    yield f"{a} - {b}", a - b
    yield f"{b} - {a}", b - a
    if b:
        yield f"{a} / ({b})", a / b
    if a:
        yield f"{b} / ({a})", b / a


def _combined(left: Sequence[Fraction], pair: tuple[Fraction, Fraction]) -> Iterator[str]:
    rest = list(left)
    for number in pair:
        rest.remove(number)
    for equation, result in _results(*pair):
        yield f"{equation} = {result}, left {_said(sorted([*rest, result]))}\n"


def _reaches(left: tuple[Fraction, ...]) -> bool:
    if len(left) == 1:
        return left[0] == 24
    for i in range(len(left)):
        for j in range(i + 1, len(left)):
            rest = left[:i] + left[i + 1 : j] + left[j + 1 :]
            for _, result in _results(left[i], left[j]):
                if _reaches((*rest, result)):
                    return True
    return False


class Sums:
    """A word problem of samples/world.py and a solver that errs at any step with one chance.

    A wrong step has its result off by one, and nothing repairs it: later steps are copied from the
    solution, the answer is then wrong.
    """

    def __init__(self, seed: int, error: Fraction | str) -> None:
        self.problem = next(problems("test", seed))
        self.error = Fraction(error)
        self.steps = self.problem.solution.splitlines(keepends=True)

    def record(self) -> Json:
        return {"id": "sum", "problem": self.problem.problem, "answer": self.problem.answer}

    def moves(self, given: str) -> list[Move]:
        done = given.splitlines(keepends=True)
        last = len(done) == len(self.steps) - 1
        wrong = given != "".join(self.steps[: len(done)])
        right = self.steps[len(done)]
        if last:
            shift = int(wrong)
            return [Move(f"Answer: {int(self.problem.answer) + shift}", Fraction(1), True)]
        return [Move(right, 1 - self.error, False), Move(_off(right), self.error, False)]


def _off(step: str) -> str:
    """The step with its result one too high."""
    head, _, tail = step.partition(" = ")
    number = next(iter(tail.replace(",", ".").split(".")))
    return f"{head} = {int(number) + 1}{tail[len(number) :]}"


# -- drawing from a world ---------------------------------------------------------------------


class ByteTokens:
    """Prefixes (model/prefixes.py) of a model whose tokens are bytes."""

    def prompt(self, data: Json) -> tuple[int, ...]:
        return (*data["problem"].encode(), 0)

    @property
    def prompter(self) -> SimpleNamespace:
        return SimpleNamespace(prompt=lambda text: self.exact(text))

    def exact(self, text: str) -> tuple[int, ...]:
        return tuple(text.encode())

    def known(self, ids: Sequence[int], text: str, sampler: object) -> tuple[int, ...] | None:
        return tuple(ids) if bytes(ids) == text.encode() else None

    def ends(self, ids: Sequence[int]) -> list[int]:
        return list(accumulate(1 for _ in ids))

    def at_cuts(self, data: Json, steps: Sequence[str]) -> list[tuple[int, ...]]:
        texts = accumulate(steps, initial="")
        return [self.prompt(data) + self.exact(text) for text in texts]


class ByteSampler:
    """A sampler (model/sampler.py) without a model."""

    def __init__(
        self, seed: int = 1, max_tokens: int = 4096, temperature: float = 1.0, alias: str = ""
    ) -> None:
        self.prefixes = ByteTokens()
        self.sampling = Sampling(max_tokens=max_tokens, temperature=temperature)
        usual = temperature == 1.0 and not alias
        self.id = digest("sampler", seed, max_tokens, *([] if usual else [temperature, alias]))
        self.identity = {"id": self.id, "seed": seed}
        self._made = (seed, max_tokens)
        self._alias = alias

    def entry(self, _record: Json) -> Json:
        return self.identity

    def greedy(self) -> ByteSampler:
        return ByteSampler(*self._made, temperature=0.0)

    def draw(
        self, prefix: tuple[int, ...], purpose: str, number: int, origin: str = "", **_: Any
    ) -> Draw:
        place = digest("prefix", prefix, origin)
        key = digest("draw", self.id, purpose, place, number)
        seed = draw_seed(self.id, purpose, place, number)
        return Draw(key, prefix, seed, self.sampling, model=self._alias)


class WorldEngine:
    """Draws from a world's chances, by the draw's seed; finishes requests in random order."""

    def __init__(self, world: World, order: int = 0) -> None:
        self.world = world
        self.counters = Counters()
        self.seen: list[str] = []
        self.asked: list[tuple[str, float]] = []
        self._waiting: list[Request] = []
        self._order = random.Random(order)

    @property
    def pending(self) -> int:
        return len(self._waiting)

    def submit(self, request: Request) -> None:
        self._waiting.append(request)

    def step(self) -> list[FinishedRequest]:
        if not self._waiting:
            return []
        request = self._waiting.pop(self._order.randrange(len(self._waiting)))
        if isinstance(request, Read):
            return [FinishedRequest(request, self._opinion(request))]
        self.seen.append(request.key)
        return [FinishedRequest(request, self._drawn(request))]

    def close(self) -> None:
        pass

    def _opinion(self, request: Read) -> Readout:
        """Yes and No with the odds of the true value of what is asked about (see
        self_evaluation.py), a little moved towards even."""
        given = bytes(request.ids).decode().partition("so far:\n\n")[2].rpartition("\n\nIs ")[0]
        chance = 0.01 + 0.98 * float(value(self.world, given))
        self.asked.append((given, chance))
        return Readout(((log(chance), log(1 - chance)),))

    def _drawn(self, request: Draw) -> FinishedDraw:
        given = bytes(request.prefix[request.prefix.index(0) + 1 :]).decode()
        greedy = request.sampling.temperature == 0
        text, logprobs, finish = self._attempt(given, random.Random(request.seed), greedy)
        raw = text.encode()
        if request.until is not None:
            for size in range(1, len(raw)):
                if request.until(raw[:size].decode("utf-8", "ignore")):
                    raw, finish = raw[:size], "until"
                    break
        if len(raw) > request.sampling.max_tokens:
            raw, finish = raw[: request.sampling.max_tokens], "length"
        own = tuple(logprobs[: len(raw)])
        text = raw.decode("utf-8", "ignore")
        ids = tuple(raw) if text.encode() == raw else None  # cut off inside a character
        return FinishedDraw(text, finish, len(raw), ids, sum(own), own)

    def _attempt(
        self, given: str, chance: random.Random, greedy: bool
    ) -> tuple[str, list[float], str]:
        """The text to the end, the log-probability of each byte (all of a step's at its first)."""
        text, logprobs = "", []
        partial = given[given.rfind("\n") + 1 :]  # a step that the prefix ends in the middle of
        given = given[: len(given) - len(partial)]
        while True:
            moves = [move for move in self.world.moves(given) if move.step.startswith(partial)]
            weights = [float(move.chance) for move in moves]
            (move,) = chance.choices(moves, weights)
            if greedy:
                move = max(moves, key=lambda one: one.chance)
            step, partial = move.step[len(partial) :], ""
            if step:
                logprobs += [log(move.chance / sum(one.chance for one in moves))]
                logprobs += [0.0] * (len(step.encode()) - 1)
            text += step
            given += move.step
            if move.ends:
                return text, logprobs, "stop"


class TextGrader:
    """Compares answers as texts."""

    def __init__(self) -> None:
        self._held: deque[tuple[Any, float | None]] = deque()

    @property
    def pending(self) -> int:
        return len(self._held)

    def submit(self, key: Any, reference: str, final: str | None, problem: str = "") -> None:
        self._held.append((key, float(reference == final)))

    def collect(self, wait: bool) -> list[tuple[Any, float | None]]:
        held, self._held = list(self._held), deque()
        return held


class _One:
    """Supplies one strategy."""

    def __init__(self, strategy: Strategy) -> None:
        self._strategy: Strategy | None = strategy

    @property
    def ended(self) -> bool:
        return self._strategy is None

    def take(self, wait: bool) -> tuple[str, Strategy] | None:
        strategy, self._strategy = self._strategy, None
        return None if strategy is None else ("one", strategy)


def run(strategy: Strategy, engine: Any) -> Any:
    """The strategy's result; raises the error that ended it."""
    scheduler: Scheduler[str] = Scheduler(engine, TextGrader())
    ((_, result),) = scheduler.run(_One(strategy))
    if isinstance(result, Exception):
        raise result
    return result


def search(
    world: World,
    method: str,
    *,
    seed: int = 1,
    engine: Any = None,
    record: Json | None = None,
    max_tokens: int = 4096,
    scorer: Any = None,
    **options: Any,
) -> Tree:
    """The tree that ``method`` grows on the world's problem, guided by ``scorer`` if it is."""
    setup = MethodSetup(
        ByteSampler(seed, max_tokens),  # type: ignore[arg-type]
        {**METHODS[method].options, **options},
        guidance=None if scorer is None else PrmSource(scorer),
        draft=ByteSampler(seed, max_tokens, alias="draft"),  # type: ignore[arg-type]
    )
    data = world.record() if record is None else record
    fields = run(load_method(method)(setup, data), engine or WorldEngine(world))
    tree: Tree = fields["tree"]
    return tree


class Known:
    """A scorer whose score of a step is a given number of the text up to it."""

    of = "value"

    def __init__(self, number: Callable[[str], float], name: str = "known") -> None:
        self.meta = {"name": name}
        self.scored: list[str] = []
        self._number = number

    def score(self, data: Json, steps: Sequence[str], first: int = 0) -> Strategy[TraceScores]:
        yield from ()
        texts = list(accumulate(steps))[first:]
        self.scored += texts
        return TraceScores([None] * first + [self._number(text) for text in texts])


def knowing(world: World) -> Known:
    """A scorer of the best quality there is: it knows the true value of every prefix."""
    return Known(lambda text: float(value(world, text)))


class Journal(SimpleNamespace):
    """A journal in memory that dies after so many entries."""

    def __init__(self, dies_after: int = sys.maxsize) -> None:
        super().__init__(entries={}, dies_after=dies_after)

    def get(self, key: str) -> Any | None:
        return self.entries.get(key)

    def put(self, key: str, value: Any) -> None:
        if len(self.entries) >= self.dies_after:
            raise KeyboardInterrupt
        self.entries[key] = decode(encode(value))

    def refuse(self, key: str) -> None:
        raise AssertionError(f"{key}: came back as it was not put")

    def report(self) -> None:
        """Nothing was refused."""


def recorded(world: World, journal: Journal) -> tuple[RecordedEngine, WorldEngine]:
    """An engine that remembers in ``journal``, and the one below it."""
    engine = WorldEngine(world)
    return RecordedEngine(engine, journal), engine


def path(tree: Tree, node: int) -> str:
    """The text of the attempt up to and with ``node``."""
    text = ""
    while node:
        text = tree["text"][node] + text
        node = tree["parent"][node]
    return text
