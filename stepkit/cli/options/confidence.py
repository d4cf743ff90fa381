"""step-score --by: how sure a model is, by which measure, and where the numbers come from."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import click

from stepkit.cli.options.shared import SAMPLER
from stepkit.core.confidence import GROUP, MEASURES
from stepkit.errors import UsageError
from stepkit.runner import options

CONSISTENCY = "consistency"
DEFAULT = "logprob"


def confidence_options(function: options.F) -> options.F:
    """--by and what goes with it."""
    return options.stack(
        function,
        click.option(
            "--by",
            type=click.Choice([*MEASURES, CONSISTENCY]),
            help="With -m: how to measure how sure it is (default: logprob; a server gives only "
            "logprob and perplexity). consistency needs no model: it reads the draws in a tree.",
        ),
        click.option(
            "--group",
            metavar="N",
            type=click.IntRange(min=1),
            help=f"Tokens of a group, for lowest-group, bottom-group and tail (default: {GROUP}).",
        ),
        click.option(
            "--kept",
            is_flag=True,
            help="Take what step-rollout --keep-tokens or --keep-confidence kept; no model.",
        ),
        SAMPLER(help="With --by consistency: whose draws count, where several samplers drew."),
        group="Confidence",
    )


@dataclass(frozen=True)
class ConfidenceOptions:
    """Which measure, and from which log-probabilities or draws.

    Attributes:
        by: a measure of core/confidence.py, or CONSISTENCY.
        group: tokens of a group.
        kept: the log-probabilities are those that the record kept.
        sampler: whose draws count.
        given: --by or --group was given.
    """

    by: str
    group: int
    kept: bool
    sampler: str | None
    given: bool

    @property
    def model_free(self) -> str:
        """The option with which no model is needed, or ""."""
        return "--kept" if self.kept else "--by consistency" if self.by == CONSISTENCY else ""

    def meta(self) -> dict[str, Any]:
        """The measure and its unit, for the record."""
        if self.by == CONSISTENCY:
            return {"measure": self.by, "unit": "share of the most frequent answer"}
        measure = MEASURES[self.by]
        group = {"group": self.group} if measure.worst else {}
        return {"measure": self.by, "unit": measure.unit, "better": "higher", **group}


def parse_confidence_options(given: dict[str, Any]) -> ConfidenceOptions:
    """Take the options of this module out of ``given``.

    Raises UsageError for an option without effect.
    """
    by, group, kept = given.pop("by"), given.pop("group"), given.pop("kept")
    sampler = given.pop("sampler")
    name = by or DEFAULT
    if group is not None and (name == CONSISTENCY or MEASURES[name].worst is None):
        raise UsageError("--group goes with --by lowest-group, bottom-group or tail")
    if sampler is not None and name != CONSISTENCY:
        raise UsageError("--sampler goes with --by consistency")
    if kept and name == CONSISTENCY:
        raise UsageError(f"--kept has no effect with --by {name}: it reads the draws in a tree")
    is_given = by is not None or group is not None
    return ConfidenceOptions(name, group or GROUP, kept, sampler, is_given)
