"""The labels that can be asked for: name, meaning, source, parameters.

A label is asked for as ``NAME`` or ``NAME:PARAMETER=VALUE,...``. Adding one is adding a function of
StateValues and a row. Parameters of all labels: ``as`` (the name to write under), ``sampler``
(whose draws count) and, where its row allows it, ``backup`` (which value of a state is taken), or
in place of both ``from`` (a label or score whose numbers are taken for the values) with ``root``
(the number at the root where it has none).
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from math import inf
from typing import Any, NamedTuple

from stepkit.core import pooling
from stepkit.core.labels import min_form, normalisation, progress, value
from stepkit.core.labels.column_states import COUNTS, INTERVAL, NUMBERS, ColumnSource
from stepkit.core.labels.consensus import consensus
from stepkit.core.labels.label_input import LabelInput
from stepkit.core.labels.rest_mcts_quality import weighted
from stepkit.core.labels.state_values import BACKUPS, COUNTED, DRAWS, SEARCH
from stepkit.core.stats import Z_95
from stepkit.errors import UsageError
from stepkit.schema import Json

Value = float | int | str | None


class LabelParameter(NamedTuple):
    """A parameter of a label: a number within bounds, or one of some words, or any text.

    A number without a default may be left out (None); a text that ``must`` be given has "".
    """

    name: str
    default: Value
    about: str
    low: float = -inf
    high: float = inf
    words: tuple[str, ...] = ()
    must: bool = False

    def read(self, text: str) -> Value:
        """The value that ``text`` stands for. Raises UsageError."""
        if isinstance(self.default, str):
            if not text or (self.words and text not in self.words):
                expected = f"one of {', '.join(self.words)}" if self.words else "a text"
                raise UsageError(f"{self.name}={text}: expected {expected}")
            return text
        kind = int if type(self.default) is int else float
        try:
            number = kind(text)
        except ValueError:
            number = None
        if number is None or not self.low <= number <= self.high:
            whole = "a whole number" if kind is int else "a number"
            bounds = f" from {self.low:g}" if self.low > -inf else ""
            bounds += f" to {self.high:g}" if self.high < inf else ""
            raise UsageError(f"{self.name}={text}: expected {whole}{bounds}")
        return number


class LabelDefinition(NamedTuple):
    """A label: its name, its meaning, its source, and how its entry (without meta) is made.

    ``make`` gets the record's LabelInput and the parameters by name. ``backups`` are the values of
    a state that it can be made of; ``column`` is what a label or score must have to take their
    place: NUMBERS, COUNTS, INTERVAL, or "" where none can. ``needs`` is what else than the draws
    must be there, for people. ``no_interval`` is why it never has bounds, for ``meta.interval``;
    other labels say there what theirs are (label_intervals.py).
    """

    name: str
    about: str
    source: str
    make: Callable[..., Json]
    parameters: tuple[LabelParameter, ...] = ()
    backups: tuple[str, ...] = BACKUPS
    needs: str = ""
    column: str = NUMBERS
    no_interval: str = ""


class LabelRequest(NamedTuple):
    """A label as it was asked for."""

    name: str  # to write under
    definition: LabelDefinition
    parameters: dict[str, Value]
    sampler: str | None = None  # None: the one for all labels
    backup: str = DRAWS
    source: ColumnSource | None = None  # None: draws

    @property
    def pools(self) -> bool:
        """Does it take draws of other prefixes, and so of other traces of a group?"""
        return self.backup in pooling.NAMES

    @property
    def of_group(self) -> bool:
        """Is it made of the whole group, so that all its records must be there?"""
        return self.parameters.get("over") == GROUP

    @property
    def for_nodes(self) -> bool:
        """Can it be written for every node of a tree?"""
        return self.definition.name in OF_NODES and not self.pools

    @property
    def meta(self) -> Json:
        """What of this decides the numbers, for the entry's ``meta``."""
        label = {} if self.name == self.definition.name else {"label": self.definition.name}
        backup = {} if self.backup == DRAWS else {"backup": self.backup}
        given = {name: x for name, x in self.parameters.items() if x not in ("", None)}
        reason = self.definition.no_interval
        interval = {"interval": f"none: {reason}"} if reason else {}
        return {**label, **backup, **given, **interval}


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
COMMON = ("as", "sampler", "backup", "from", "root")


def parse(text: str) -> LabelRequest:
    """Read ``NAME`` or ``NAME:PARAMETER=VALUE,...``. Raises UsageError."""
    name, _, rest = text.partition(":")
    definition = next((definition for definition in LABELS if definition.name == name), None)
    if definition is None:
        names = ", ".join(definition.name for definition in LABELS)
        raise UsageError(f'--label {text}: no label "{name}"; labels are {names} (see --list)')
    given: dict[str, str] = {}
    for part in rest.split(",") if rest else []:
        key, equals, value = part.partition("=")
        if not equals or not value:
            raise UsageError(f'--label {text}: expected PARAMETER=VALUE, got "{part}"')
        if key in given:
            raise UsageError(f"--label {text}: {key} is given twice")
        given[key] = value
    try:
        return _request(definition, given)
    except UsageError as error:
        raise UsageError(f"--label {text}: {error}") from None


def _request(definition: LabelDefinition, given: dict[str, str]) -> LabelRequest:
    common = {key: given.pop(key) for key in COMMON if key in given}
    known = {parameter.name: parameter for parameter in definition.parameters}
    if unknown := sorted(given.keys() - known.keys()):
        have = ", ".join([*known, *COMMON])
        raise UsageError(f"no parameter {unknown[0]}; {definition.name} has {have}")
    for name, parameter in known.items():
        if parameter.must and name not in given:
            raise UsageError(f"{name}= must be given: {parameter.about}")
    parameters = {
        name: one.read(given[name]) if name in given else one.default for name, one in known.items()
    }
    _check_order(parameters)
    source = _source(definition, parameters, common, "above" in given)
    backup = common.get("backup", DRAWS)
    if backup not in BACKUPS:
        raise UsageError(f"backup={backup}: expected one of {', '.join(BACKUPS)}")
    counts = _needs_counts(definition, parameters)
    allowed = [name for name in definition.backups if not counts or name in COUNTED]
    if backup not in allowed:
        raise UsageError(f"backup={backup}: here it can only be {', '.join(allowed)}")
    name = common.get("as", definition.name)
    if name == "gold":
        raise UsageError("labels.gold is for imported truth")
    return LabelRequest(name, definition, parameters, common.get("sampler"), backup, source)


def _check_order(parameters: dict[str, Value]) -> None:
    """Raises UsageError for a lower line that is over the upper one."""
    above, below = parameters.get("above"), parameters.get("below")
    if isinstance(above, float) and isinstance(below, float) and below > above:
        raise UsageError(f"below={below:g} is over above={above:g}")


def _needs_counts(definition: LabelDefinition, parameters: dict[str, Value]) -> bool:
    """An interval and the best of k are made of counts, not of a value alone."""
    with_interval = definition.name == "threshold" and parameters["z"] != 0
    return with_interval or parameters.get("k", 1) != 1


def _source(
    definition: LabelDefinition,
    parameters: dict[str, Value],
    common: dict[str, str],
    line_given: bool,
) -> ColumnSource | None:
    """The column in place of draws, None for draws. Raises UsageError for what has no effect."""
    name = common.get("from")
    if name is None:
        if "root" in common:
            raise UsageError("root has no effect without from")
        if definition.name == "hard" and parameters["above"] is not None:
            raise UsageError("above has no effect without from: hard is 1 if any draw was right")
        return None
    if not definition.column:
        raise UsageError(f"from has no effect: {_NO_COLUMN[definition.name]}")
    for other in ("sampler", "backup"):
        if other in common:
            raise UsageError(f"{other} has no effect with from, which takes the place of draws")
    counts, interval = "", definition.column == INTERVAL or _needs_counts(definition, parameters)
    if definition.column != NUMBERS:
        counts = f"{definition.name} is made of independent draws that are counted"
    elif definition.name == "ternary":
        interval = parameters["z"] != 0
        # One line leaves nothing between, unless an interval does.
        if interval and parameters["below"] is None:
            counts = "its classes go by an interval, or by two lines: give below=T"
    elif interval:
        counts = f"for this there must be some: give {'z=0' if 'z' in parameters else 'k=1'}"
    line = not line_given and "above" in parameters
    root = _ROOT.read(common["root"]) if "root" in common else None
    assert not isinstance(root, str)
    return ColumnSource(name, root, counts, interval, line)


_ROOT = LabelParameter("root", None, "the number at the root where the column has none")
_NO_COLUMN = {
    "weighted": "it is made of the texts of the draws",
    "outcome": "it is the verdict on the attempt",
    "consensus": "its sources are those of=",
}


def parse_all(texts: Sequence[str]) -> tuple[LabelRequest, ...]:
    """Read several; the same text twice counts once. Raises UsageError for one name twice."""
    requests = [parse(text) for text in dict.fromkeys(texts)]
    names = [one.name for one in requests]
    for name in names:
        if names.count(name) > 1:
            raise UsageError(f"labels.{name} is asked for twice; name one with as=NAME")
    return tuple(requests)


def listing() -> str:
    """The table for people: a label a line, its parameters below it."""
    lines = []
    for label in LABELS:
        needs = f"; needs {label.needs}" if label.needs else ""
        lines.append(f"{label.name:<11}{label.about} ({label.source}){needs}")
        for parameter in label.parameters:
            words = f" ({' or '.join(parameter.words)})" if parameter.words else ""
            default = "" if parameter.default in ("", None) else f", default {parameter.default}"
            lines.append(f"{'':<13}{parameter.name:<8} {parameter.about}{words}{default}")
    counted = ", ".join(label.name for label in LABELS if label.column in (COUNTS, INTERVAL))
    never = ", ".join(label.name for label in LABELS if not label.column)
    lines.append("")
    lines.append("of every label:")
    lines.append(f"{'':<13}{'as':<9}the name to write under, default the label's")
    lines.append(f"{'':<13}{'sampler':<9}whose draws count, by id or index")
    lines.append(f"{'':<13}{'backup':<9}which value of a state: {', '.join(BACKUPS)}")
    lines.append(f"{'':<13}{'from':<9}a label or score in place of draws; not of {never};")
    lines.append(f"{'':<22}with k and n of {counted}")
    lines.append(f"{'':<13}{_ROOT.name:<9}{_ROOT.about}")
    return "\n".join(lines)
