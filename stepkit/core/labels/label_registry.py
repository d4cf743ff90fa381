"""The labels that there are, a row each: name, meaning, source, function, parameters.

Adding one is adding a function of StateValues and a row.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from stepkit.core.labels import judged_credit, min_form, normalisation, progress, value
from stepkit.core.labels.column_states import COUNTS, INTERVAL
from stepkit.core.labels.consensus import consensus
from stepkit.core.labels.label_definition import LabelDefinition, LabelParameter
from stepkit.core.labels.label_input import LabelInput
from stepkit.core.labels.rest_mcts_quality import weighted
from stepkit.core.labels.state_values import BACKUPS, COUNTED, DRAWS, SEARCH
from stepkit.core.stats import Z_95
from stepkit.schema import Json


def _of_values(function: Callable[..., Json]) -> Callable[..., Json]:
    """Make a function of StateValues alone a function of the LabelInput."""

    def make(given: LabelInput, **parameters: Any) -> Json:
        return function(given.evidence(), **parameters)

    return make


def _hard(given: LabelInput, above: float | None) -> Json:
    evidence = given.evidence()
    if evidence.drawn and above is None:
        return value.hard(evidence)
    line = 0.5 if above is None else above
    return {**value.hard_up_to_error(evidence, line), "meta": {"above": line}}


def _effective(given: LabelInput, alpha: float, k: int, prover: str) -> Json:
    policy = given.evidence(plain=bool(prover))
    return progress.effective(policy, given.evidence(prover or None), alpha, k)


def _weighted(given: LabelInput, reward: str) -> Json:
    return weighted(given.evidence(), given.lengths, reward)


def _gae(given: LabelInput, **parameters: Any) -> Json:
    # Python cannot have lambda as a name.
    return progress.gae(given.rewarded(), parameters["gamma"], parameters["lambda"])


def _returns(given: LabelInput, **parameters: Any) -> Json:
    gamma, lam = parameters["gamma"], parameters["lambda"]
    alone = given.source is None and given.traces is None and lam == 1
    return progress.returns(given.graded() if alone else given.rewarded(), gamma, lam)


def _outcome(given: LabelInput) -> Json:
    return value.outcome(given.graded(), given.verdict())


def _credit(given: LabelInput, reward: float, penalty: float, below: float) -> Json:
    evidence, verdict = given.evidence(), given.verdict()
    given.meta.setdefault("undecided", given.undecided)
    return judged_credit.credit(evidence, verdict, reward, penalty, below)


def _normalised(given: LabelInput, scale: str, over: str, credit: str) -> Json:
    return normalisation.normalised(
        given.evidence(), given.others() if over == GROUP else (), scale, credit
    )


def _consensus(given: LabelInput, of: str, below: float) -> Json:
    return consensus(given.record, given.new, of, below)


_OF_OUTCOMES = tuple(name for name in BACKUPS if name != SEARCH)
"""For labels that ask whether any draw came out right: an opinion is none."""

ATTEMPT, GROUP = "attempt", "group"
_GAMMA = LabelParameter("gamma", 1.0, "discount per step", 0, 1)
_LAMBDA = LabelParameter("lambda", 0.95, "0: the next value alone, 1: the verdict alone", 0, 1)
_TARGET = "a training target"
_CLASS = "a class"
_LEAST = "made of the least of several numbers"
_K = LabelParameter("k", 1, "the prover is the best of k draws", 1)

LABELS = (
    LabelDefinition(
        "value",
        "share of right draws, with Wilson's interval",
        "Wilson 1927",
        _of_values(value.value),
        (LabelParameter("z", Z_95, "width of the interval in standard deviations", 0, 100),),
        column=INTERVAL,
    ),
    LabelDefinition(
        "soft",
        "the same as a training target",
        "Math-Shepherd, 2312.08935",
        _of_values(value.soft),
        no_interval=_TARGET,
    ),
    LabelDefinition(
        "hard",
        "1 if any draw came out right, and the first 0",
        "Math-Shepherd, 2312.08935",
        _hard,
        (LabelParameter("above", None, "of a column without draws: the line, 0.5 by default"),),
        backups=_OF_OUTCOMES,
        no_interval=_CLASS,
    ),
    LabelDefinition(
        "threshold",
        "1 if the value is above a threshold",
        "OpenR, 2410.09671; VisualPRM, 2503.10291",
        _of_values(value.threshold),
        (
            LabelParameter("above", 0.5, "the threshold"),
            LabelParameter(
                "z", 0.0, "null unless an interval of this width lies on one side", 0, 100
            ),
        ),
        no_interval=_CLASS,
    ),
    LabelDefinition(
        "ternary",
        "1, 0, -1: the interval lies above, around, below",
        "PRM800K, 2305.20050",
        _of_values(value.ternary),
        (
            LabelParameter("above", 0.5, "the line between"),
            LabelParameter("below", None, "a second line: -1 is below it, 0 between them"),
            LabelParameter("z", Z_95, "width of the interval", 0, 100),
        ),
        COUNTED,
        no_interval=_CLASS,
    ),
    LabelDefinition(
        "best-of",
        "chance that the best of k is right, without bias",
        "PAV, 2410.08146; Codex, 2107.03374",
        _of_values(value.best_of),
        (LabelParameter("k", 4, "of how many", 1),),
        COUNTED,
        needs="k decided draws",
        column=INTERVAL,
    ),
    LabelDefinition(
        "entropy",
        "log-mean-exp of the outcomes",
        "ER-PRM, 2412.11006",
        _of_values(value.entropy_regularised),
        (LabelParameter("eta", 1.0, "above 0 leans to the best, below 0 to the worst", -100, 100),),
        (DRAWS,),
        column=COUNTS,
    ),
    LabelDefinition(
        "sorm",
        "hard, a success carried back to earlier steps",
        "GLoRe, 2402.10963",
        _of_values(value.sorm),
        backups=_OF_OUTCOMES,
        column=COUNTS,
        no_interval=_CLASS,
    ),
    LabelDefinition(
        "scan",
        "soft just before the first error, 1 before that",
        "SCAN, 2509.16548",
        _of_values(value.scan),
        (
            LabelParameter("window", 2, "steps before the error that are soft", 0),
            LabelParameter("least", 0.75, "null where the root's value is lower", 0, 1),
        ),
        _OF_OUTCOMES,
        needs="the root",
        column=COUNTS,
        no_interval="which steps are soft depends on the error that was found",
    ),
    LabelDefinition(
        "weighted",
        "quality value by the distance to an answer",
        "ReST-MCTS*, 2406.03816",
        _weighted,
        (LabelParameter("reward", "hard", "r of a step", words=("hard", "soft")),),
        (DRAWS,),
        needs="split",
        column="",
        no_interval="made of distances and maxima, not of rates alone",
    ),
    LabelDefinition(
        "progress",
        "value after less value before, under a prover",
        "PAV, 2410.08146; VinePPO, 2410.01679",
        _of_values(progress.progress),
        (_K,),
    ),
    LabelDefinition(
        "potential",
        "gamma times the value after, less the value before",
        "Ng, Harada and Russell 1999",
        _of_values(progress.potential),
        (
            _GAMMA,
            LabelParameter(
                "end", "own", "the last state: its number, or 0 as in theory", words=("own", "zero")
            ),
        ),
    ),
    LabelDefinition(
        "effective",
        "value plus alpha times a prover's progress",
        "PAV, 2410.08146",
        _effective,
        (
            LabelParameter("alpha", 1.0, "weight of the progress"),
            _K._replace(default=4),
            LabelParameter("prover", "", "a sampler, or a column; default: the same"),
        ),
    ),
    LabelDefinition(
        "relative",
        "1 if value after / value before is not below a ratio",
        "GenPRM, 2504.00891",
        _of_values(progress.relative),
        (LabelParameter("least", 0.8, "the ratio", 0),),
    ),
    LabelDefinition(
        "lookahead",
        "progress, or a later step's that was prepared",
        "VSRM, 2508.10293",
        _of_values(progress.look_ahead),
        (
            LabelParameter("gamma", 0.7, "discount per step", 0, 1),
            LabelParameter("window", 4, "steps to look ahead", 0),
        ),
    ),
    LabelDefinition(
        "pivotal",
        "-1, 0, 1: the value fell, neither shows, it rose",
        "cliff tokens, 2606.25524",
        _of_values(progress.pivotal),
        (
            LabelParameter("margin", 0.1, "a smaller change does not count", 0, 1),
            LabelParameter("z", 1.645, "standard errors beyond it", 0, 100),
        ),
        COUNTED,
        column=INTERVAL,
    ),
    LabelDefinition(
        "gae",
        "generalised advantage of the step",
        "1506.02438; by a critic DAPO, 2412.18279",
        _gae,
        (_GAMMA, _LAMBDA),
    ),
    LabelDefinition(
        "return",
        "lambda-return: the target of a value model",
        "TS-LLM, 2309.17179; Fetch, 2502.11183",
        _returns,
        (_GAMMA, _LAMBDA),
    ),
    LabelDefinition(
        "outcome",
        "the verdict on the attempt at every step, without draws",
        "OVM, 2311.09724",
        _outcome,
        backups=(DRAWS,),
        needs="correct",
        column="",
        no_interval="the verdict itself",
    ),
    LabelDefinition(
        "min-return",
        "the least number from the step on",
        "PURE, 2504.15275",
        _of_values(min_form.min_return),
        (
            LabelParameter(
                "temperature", 0.0, "0: the least; above: the sum of the min-rewards", 0, 1e6
            ),
        ),
        no_interval=_LEAST,
    ),
    LabelDefinition(
        "min-reward",
        "the number, weighted so that the sum is nearly the least",
        "PURE, 2504.15275",
        _of_values(min_form.min_reward),
        (LabelParameter("temperature", 0.1, "towards 0 only the least counts", 0, 1e6),),
        no_interval=_LEAST,
    ),
    LabelDefinition(
        "credit",
        "the verdict's reward, less where a judge calls the step wrong",
        "CAPO, 2508.02298",
        _credit,
        (
            LabelParameter("reward", 1.0, "of a right attempt, at each step"),
            LabelParameter("penalty", 1.0, "what a wrong step loses"),
            LabelParameter("below", 0.5, "a step with less is wrong"),
        ),
        (DRAWS,),
        needs="a verdict",
        no_interval="made of a verdict and an opinion",
    ),
    LabelDefinition(
        "normalised",
        "the number relative to others",
        "GRPO, 2402.03300; PRIME, 2502.01456",
        _normalised,
        (
            LabelParameter("scale", "z-score", "the scale", words=normalisation.SCALES),
            LabelParameter("over", ATTEMPT, "the numbers of its", words=(ATTEMPT, GROUP)),
            LabelParameter(
                "credit",
                "step",
                "its own number, or the sum from it on",
                words=normalisation.CREDITS,
            ),
        ),
        no_interval="made relative to other numbers",
    ),
    LabelDefinition(
        "consensus",
        "1 up to the first error that the sources agree on",
        "Qwen, 2501.07301",
        _consensus,
        (
            LabelParameter("of", "", "labels and scores, joined by +", must=True),
            LabelParameter("below", 0.5, "a step with less is an error, of a source without first"),
        ),
        (DRAWS,),
        needs="the sources",
        column="",
        no_interval="a comparison, not a rate",
    ),
)

DEFAULT = ("value", "hard", "progress")
OF_NODES = (
    "value",
    "soft",
    "hard",
    "threshold",
    "ternary",
    "best-of",
    "entropy",
    "progress",
    "potential",
    "effective",
    "relative",
    "pivotal",
)
"""Labels that look at a state, or at it and the one before: every node of a tree has them."""
