"""What a search method is given to work with."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from itertools import count
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from stepkit.model.sampler import Sampler
    from stepkit.search.scorers import Scorer


@dataclass(frozen=True)
class PrmSource:
    """The PRM, or any other scorer, that guides a search.

    Attributes:
        name: name of its scores in the record.
    """

    scorer: Scorer
    name: str = "prm"


@dataclass(frozen=True)
class MethodSetup:
    """What every method is given.

    Attributes:
        options: those of the method's row in the table (method_registry.py), with the values that
            the user gave in place of the defaults. ``by`` is a rule of text/segment.py, or None for
            the record's own ``split``.
        tokens: keep the log-probability of every token drawn, and where tokens end.
        confidence: keep what every measure of confidence reads at each of them too.
        draws_of: how many attempts this run has requested so far, by the prefix that they start
            from (see search/methods/sample.py).
        order: numbers the records in the order in which their strategies start.
        guidance: the scorer that guides the search, if one does.
        draft: a smaller model that proposes steps.
        skipped: how many prefixes there were, and how many of them were skipped.
    """

    sampler: Sampler
    options: Mapping[str, Any]
    tokens: bool = False
    confidence: bool = False
    draws_of: Counter[str] = field(default_factory=Counter)
    order: Iterator[int] = field(default_factory=count)
    guidance: PrmSource | None = None
    draft: Sampler | None = None
    skipped: Counter[str] = field(default_factory=Counter)
