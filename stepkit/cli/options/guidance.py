"""The options of step-rollout that guide a search by a process reward model or a draft model."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import click

from stepkit.errors import UsageError
from stepkit.runner.options import OptionDeclaration, declared
from stepkit.search.method_registry import AGGREGATES

COUNT = click.IntRange(min=1)

OPTIONS: Mapping[str, OptionDeclaration] = {
    "prm": declared(
        "--prm",
        metavar="FILE",
        type=click.Path(),
        help="The process reward model that guides the search, a GGUF file or a name, as with -m.",
    ),
    "aggregate": declared(
        "--aggregate",
        type=click.Choice(AGGREGATES),
        help="The value of an attempt so far, from its steps' scores (default: last).",
    ),
    "beams": declared(
        "--beams",
        metavar="N",
        type=COUNT,
        help="Beams, or subtrees (default: 4).",
    ),
    "ahead": declared(
        "--ahead",
        metavar="N",
        type=COUNT,
        help="Steps to look ahead (default: 1).",
    ),
    "weight_temperature": declared(
        "--weight-temperature",
        metavar="X",
        type=click.FloatRange(min=0, min_open=True),
        help="What the logarithms of particles' weights are divided by (default: 1).",
    ),
    "ess": declared(
        "--ess",
        metavar="X",
        type=click.FloatRange(0, 1),
        help="Resample when the effective number of particles is below X of all (default: "
        "1, always).",
    ),
    "resample": declared(
        "--resample",
        type=click.Choice(["systematic", "multinomial"]),
        help="How particles are drawn again (default: systematic).",
    ),
    "draft": declared(
        "--draft",
        metavar="FILE",
        type=click.Path(),
        help="The small model that proposes steps, a GGUF file or a name, as with -m.",
    ),
    "accept": declared(
        "--accept",
        metavar="X",
        type=click.FLOAT,
        help="A proposed step stands when its score is at least X (default: 0.7).",
    ),
    "advantage": declared(
        "--advantage",
        metavar="X",
        type=click.FLOAT,
        help="Let both models write every step, and take the policy's where its score is "
        "more than X higher.",
    ),
    "score_weight": declared(
        "--score-weight",
        metavar="W",
        type=click.FloatRange(0, 1),
        help="Weight of the PRM's score of a step, in addition to outcomes (default: 1).",
    ),
    "prior": declared(
        "--prior",
        type=click.Choice(["likelihood", "score"]),
        help="What PUCT expects of a step: its probability, or the PRM's score "
        "(default: likelihood).",
    ),
}
"""The options that guide a search, by name, as in cli/options/methods.py."""

MODELS = ("prm", "draft")
"""Options that name a model file; a resume must agree on the model, not on its file."""


def check(given: Mapping[str, Any]) -> None:
    """Refuse options that contradict each other or have no effect. Raises UsageError.

    Args:
        given: the options on the command line, by name.
    """
    if "accept" in given and "advantage" in given:
        raise UsageError("--accept and --advantage exclude each other")
    if "self_weight" in given and "prm" in given:
        raise UsageError("--self-weight and --prm exclude each other")
    if "aggregate" in given and not {"prm", "self_weight"} & given.keys():
        raise UsageError("--aggregate has no effect without --prm or --self-weight")
    for name in ("score_weight", "prior"):
        if name in given and "prm" not in given:
            raise UsageError(f"--{name.replace('_', '-')} has no effect without --prm")
    if given.get("prior") == "score" and given.get("select") != "puct":
        raise UsageError("--prior score has no effect without --select puct")
    if given.get("score_weight") == 0 and given.get("prior") != "score":
        raise UsageError("--prm has no effect with --score-weight 0 and no --prior score")
