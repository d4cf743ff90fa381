"""What a trace, or a whole tree, has as evidence: the counts and the value at every state.

Of a trace, state 0 is the root (the empty prefix) and state t + 1 the prefix that ends with step t;
of a tree, states are its nodes. A state that ended has its verdict for a value, and no draws.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import Any, TypeVar

from stepkit.core import backups, pooling, stats
from stepkit.core.labels import stopping_bias
from stepkit.errors import DataError
from stepkit.schema import Json

T = TypeVar("T")

DRAWS = "draws"
COUNTED = (DRAWS, "pooled")
"""Values that are the share of right ones among independent draws, with k and n to show."""
SEARCH = "q"
"""The value that a search itself went by: a verdict does not take its place where one ended."""
BACKUPS = (DRAWS, *backups.NAMES, *pooling.NAMES)
UNDECIDED = ("apart", "wrong")


@dataclass(frozen=True)
class StateValues:
    """Counts and values at every state of a trace, under one sampler and one backup.

    Attributes:
        k, n, undecided: [n_states] sum of the outcomes, decided draws, draws without a verdict.
        carried: [n_states] the values of a backup that are no share of draws; else None.
        stopped: [n_states] the rule that looked at the draws and stopped them, "" for none.
        before: [n_states] the state that a state was reached from, -1 for the root.
        settled: [n_states] did the attempt end there?
        assistant: [n_steps] is the step to each state but the root the model's own?
        outcomes: state -> the decided outcomes drawn there, in file order (backup ``draws``).
        sampler: id of the sampler that was counted; "" when nothing was drawn.
        backup: one of BACKUPS.
        visits: [n_states] the simulations of a search through the state, where the backup is made
            of them (k and n count their distinct ends); else None.
        shared: [n_states] has the state no draws because the value of the state before stands for
            its own? Such a value is no evidence of its own, and has no interval.
    """

    k: list[float]
    n: list[int]
    undecided: list[int]
    carried: list[float | None] | None
    stopped: list[str]
    before: list[int]
    settled: list[bool]
    assistant: list[bool]
    outcomes: Callable[[int], list[float]]
    sampler: str
    backup: str = DRAWS
    visits: list[int] | None = None
    shared: Sequence[bool] = ()

    @property
    def kind(self) -> str:
        """What the value of a state is, one of schema.LABEL_KINDS."""
        return "value"

    @property
    def by(self) -> str:
        """Who made the values."""
        return "sampler"

    @property
    def origin(self) -> str:
        """What they are from: values of the same origin are the same estimates."""
        return self.sampler

    @property
    def unbounded(self) -> str:
        """Why they have no interval, or not all have, for a reason that draws cannot have."""
        return ""

    @property
    def ended(self) -> Sequence[bool]:
        """[n_states] Did an attempt end there?"""
        return self.settled

    @property
    def drawn(self) -> bool:
        """Are they shares of draws, with k and n, the attempt's end being its verdict?"""
        return True

    @property
    def counted(self) -> bool:
        """Are there counts behind the values?"""
        return True

    def moves(self, states: Sequence[T]) -> list[tuple[T, T]]:
        """For each step what ``states`` holds for the state before it and for the one after it."""
        moves = zip(self.before, states, strict=True)
        return [(states[before], after) for before, after in moves][1:]

    @cached_property
    def values(self) -> list[float | None]:
        """[n_states] the value, None where nothing is known.

        k / n, or its unbiased correction where a rule that looked at the draws stopped them (raises
        DataError where there is none); with a backup that is no share of draws what it carried.
        """
        if self.carried is not None:
            return self.carried
        own = [
            stopping_bias.unbiased_value(rule, k, n) if rule and n else share
            for rule, k, n, share in zip(self.stopped, self.k, self.n, self.shares, strict=True)
        ]
        return self._with_shared(own)

    @cached_property
    def shares(self) -> list[float | None]:
        """[n_states] k / n as drawn, whatever stopped the draws; of a backup what it carried.

        What a question about the draws themselves is asked of (did any come out right?).
        """
        if self.carried is not None:
            return self.carried
        return self._with_shared(
            [k / n if n else None for k, n in zip(self.k, self.n, strict=True)]
        )

    def _with_shared(self, own: list[float | None]) -> list[float | None]:
        """``own`` [n_states], with the value of the state before where that is shared."""
        for state, is_shared in enumerate(self.shared):
            if is_shared:  # a state comes after the one before it, which may share, too
                own[state] = own[self.before[state]]
        return own

    def whole_counts(self, state: int) -> tuple[int, int]:
        """(right, decided). Raises DataError where an outcome is neither right nor wrong."""
        k, n = self.k[state], self.n[state]
        if not (0 <= k <= n and k.is_integer()):
            raise DataError(
                "outcomes other than 0 and 1: this label needs right or wrong", "tree.outcome"
            )
        return int(k), n

    def is_share(self, state: int) -> bool:
        """Is the value k / n of independent draws, in a number that they did not decide?"""
        shared = bool(self.shared) and self.shared[state]
        return self.backup in COUNTED and not self.stopped[state] and not shared

    def interval(self, state: int, z: float) -> tuple[float | None, float | None]:
        """Wilson's interval; a state that ended has one without a width.

        (None, None) without evidence, for outcomes that are no rate (outside 0 .. 1), for backups
        that are no share of draws, and where a rule that looked at the draws stopped them. What a
        search went by has none even where the attempt ended: opinions are mixed in.
        """
        k, n = self.k[state], self.n[state]
        settled = self.settled[state] and self.backup != SEARCH
        if not n or not 0 <= k <= n or not (self.is_share(state) or settled):
            return None, None
        return (k / n, k / n) if self.settled[state] else stats.wilson(k, n, z)

    def masked(self, states: Sequence[Any]) -> list[Any]:
        """Per step, from per state: null at steps that are not the model's."""
        return [x if is_own else None for x, is_own in zip(states[1:], self.assistant, strict=True)]

    def entry(self, of: str, x: Sequence[float | None], **more: Sequence[Any]) -> Json:
        """The shape that labels of states share: numbers and counts per step, and at the root.

        Args:
            of: "value" and so on (schema.LABEL_KINDS).
            x: [n_states]; ``more`` are further columns.
        """
        columns = {"x": x, **self._counts(), **self._shared(), **more}
        of_steps = {name: self.masked(column) for name, column in columns.items()}
        of_root = {name: column[0] for name, column in columns.items()}
        return {"of": self._of(of), "by": self.by, **of_steps, "root": of_root}

    def steps(self, of: str, x: Sequence[float | None], **more: Sequence[Any]) -> Json:
        """The shape of labels of steps, which say nothing at the root: columns [n_steps]."""
        shared = {name: column[1:] for name, column in self._shared().items()}
        columns = {"x": x, **shared, **more}
        masked = {name: self.masked([None, *column]) for name, column in columns.items()}
        return {"of": self._of(of), "by": self.by, **masked}

    def own_numbers(self) -> list[float | None]:
        """The values after the steps that are the model's own."""
        after = zip(self.values[1:], self.assistant, strict=True)
        return [number for number, own in after if own]

    def own_steps(self, of: str, own: Sequence[float | None]) -> Json:
        """The shape of ``steps`` from one number for each of the model's own steps."""
        numbers = iter(own)
        return self.steps(of, [next(numbers) if is_own else None for is_own in self.assistant])

    def _counts(self) -> Mapping[str, Sequence[float | None]]:
        """The columns of counts that an entry shows."""
        return {
            "k": [int(k) if k.is_integer() else k for k in self.k],
            "n": self.n,
            "undecided": self.undecided,
            **({} if self.visits is None else {"visits": self.visits}),
        }

    def _shared(self) -> Mapping[str, Sequence[Any]]:
        """The column that says which values are those of the state before, where some are."""
        return {"shared": [int(one) for one in self.shared]} if any(self.shared) else {}

    def _of(self, of: str) -> str:
        """What a label of kind ``of`` is that is made of these values."""
        return of
