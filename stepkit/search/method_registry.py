"""The table of methods: what each is, which options it has and with which defaults.

A method is a row here and a module of its name in methods/, which is loaded when it is chosen. The
module has a function ``start(setup, record)`` that returns the strategy for one record. What the
strategy returns is, by the row's ``writes``, the fields to set in the record ("tree"), or a list of
the fields of new attempts, or None to leave the record as it is ("attempts").

An option that is not in a method's row has no effect on it and is refused.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from importlib import import_module
from typing import TYPE_CHECKING, Any, cast

if TYPE_CHECKING:
    from stepkit.schema import Json
    from stepkit.search.method_setup import MethodSetup
    from stepkit.search.scheduler import Strategy

DEFAULT = "chain"


@dataclass(frozen=True)
class SearchMethod:
    """A row.

    Attributes:
        about: what it does, in a line.
        options: the options that it uses, by the names in MethodSetup.options, and their defaults.
        writes: "tree" or "attempts".
        until: the questions of ``--until`` (until_rules.py) that it can answer.
        paper, example: where it is published, and a command that runs it, for its help.
    """

    about: str
    options: Mapping[str, Any]
    writes: str = "tree"
    until: tuple[str, ...] = ()
    paper: str = ""
    example: str = ""


AGGREGATES = ("last", "min", "mean", "product")
"""How a guided search makes one number of the scores of an attempt's steps."""

REQUIRED = object()
"""In place of a default: the method does not work without the option."""

LIMITS: Mapping[str, Any] = {
    "by": None,
    "max_steps": None,
    "most_draws": None,
    "most_tokens": None,
    "most_seconds": None,
}
GUIDED: Mapping[str, Any] = {"prm": REQUIRED, "aggregate": "last", "searches": 40, **LIMITS}
BEAMS: Mapping[str, Any] = {**GUIDED, "beams": 4, "width": (4,)}

METHODS: Mapping[str, SearchMethod] = {
    "chain": SearchMethod(
        "K continuations from every prefix of a trace (Math-Shepherd)",
        {"draws": 8, "until": None, "budget": None, "skip": None},
        until=("first-success", "hard", "wilson", "drop", "progress", "posterior"),
        paper="Wang et al., Math-Shepherd, arXiv 2312.08935",
        example="step-rollout traces.jsonl -m policy.gguf -k 8 -o evidence.jsonl",
    ),
    "bisect": SearchMethod(
        "first error of a wrong trace by halving, with at most K continuations from a prefix",
        {"draws": 8, "until": {"name": "first-success"}},
        until=("first-success", "hard", "drop", "posterior"),
        paper="Luo et al., OmegaPRM, arXiv 2406.06592, section 3.2",
        example="step-rollout wrong.jsonl -m policy.gguf --method bisect -k 8",
    ),
    "omega": SearchMethod(
        "first errors of many attempts at a problem, by halving and search (OmegaPRM)",
        {"draws": 8, "searches": 20, "exploration": 0.125, **LIMITS},
        paper="Luo et al., OmegaPRM, arXiv 2406.06592, section 3.3",
        example="step-rollout problems.jsonl -m policy.gguf --method omega --searches 20",
    ),
    "sample": SearchMethod(
        "K whole attempts at each problem",
        {
            "draws": 8,
            "at": None,
            "budget": None,
            "global": None,
            "critique": None,
            "refine": None,
        },
        "attempts",
        paper="Cobbe et al., arXiv 2110.14168; Wang et al., arXiv 2203.11171",
        example="step-rollout problems.jsonl -m policy.gguf --method sample -k 16 | step-split",
    ),
    "mcts": SearchMethod(
        "tree search over steps, by UCT or PUCT",
        {
            "searches": 32,
            "width": (3,),
            "exploration": 1.0,
            "select": "uct",
            "self_weight": 0.0,
            "prm": None,
            "score_weight": 1.0,
            "prior": "likelihood",
            "aggregate": "last",
            **LIMITS,
        },
        paper="Xie et al., arXiv 2405.00451; AlphaMath, arXiv 2405.03553",
        example="step-rollout problems.jsonl -m policy.gguf --method mcts --searches 32 --width 3",
    ),
    "best-first": SearchMethod(
        "expand the step whose K completions are right most often (Tree-PLV)",
        {"draws": 8, "width": (3,), "searches": 8, **LIMITS},
        paper="He et al., Tree-PLV, arXiv 2407.00390, section 3.1",
        example="step-rollout problems.jsonl -m policy.gguf --method best-first -k 8 --width 3",
    ),
    "branch": SearchMethod(
        "K attempts forked at their least probable tokens (TreeRL), or a fixed shape (SPO)",
        {"draws": 6, "width": (2,), "points": 2, "rounds": 1, "by": None, "max_steps": None},
        paper="TreeRL, arXiv 2506.11902, section 3.1; SPO, arXiv 2505.23564, section 4.2",
        example="step-rollout problems.jsonl -m policy.gguf --method branch -k 6 --points 2",
    ),
    "truncate": SearchMethod(
        "K next steps from every prefix of a trace (SLATE)",
        {"draws": 8, "at": None, "by": None, "max_steps": None},
        paper="Samarinas et al., SLATE, arXiv 2602.23440",
        example="step-rollout traces.jsonl -m policy.gguf --method truncate -k 8",
    ),
    "subthought": SearchMethod(
        "K endings from every turn of a thinking trace, and their most frequent answer",
        {"draws": 1},
        paper="Hammoud et al., Beyond the Last Answer, arXiv 2504.20708",
        example="step-split --by cue in.jsonl | step-rollout -m policy.gguf --method subthought",
    ),
    "beam": SearchMethod(
        "the best next steps by a PRM, again and again (AlphaMath)",
        BEAMS,
        paper="AlphaMath, arXiv 2405.03553, section 3.3; Snell et al., arXiv 2408.03314",
        example="step-rollout problems.jsonl -m policy.gguf --method beam --prm prm.gguf",
    ),
    "dvts": SearchMethod(
        "the same in subtrees that do not compete with each other",
        BEAMS,
        paper="Beeching et al. 2024, search-and-learn",
        example="step-rollout problems.jsonl -m policy.gguf --method dvts --prm prm.gguf",
    ),
    "lookahead": SearchMethod(
        "beam, by the PRM's score of where a step leads",
        {**BEAMS, "ahead": 1},
        paper="Snell et al., arXiv 2408.03314, section 5.2",
        example="step-rollout problems.jsonl -m policy.gguf --method lookahead --prm prm.gguf",
    ),
    "particle": SearchMethod(
        "K attempts that multiply where the PRM scores them high",
        {
            **GUIDED,
            "draws": 16,
            "ess": 1.0,
            "weight_temperature": 1.0,
            "resample": "systematic",
        },
        paper="Puri et al., arXiv 2502.01618, section 3",
        example="step-rollout problems.jsonl -m policy.gguf --method particle --prm prm.gguf -k 16",
    ),
    "speculate": SearchMethod(
        "K attempts by a draft model; the policy writes the steps that the PRM rejects",
        {**GUIDED, "draft": REQUIRED, "draws": 1, "accept": 0.7, "advantage": None},
        paper="Pan et al., SpecReason, arXiv 2504.07891; Liao et al., arXiv 2501.19324",
        example="step-rollout in.jsonl -m big.gguf --method speculate --draft d.gguf --prm r.gguf",
    ),
}


def load_method(name: str) -> Callable[[MethodSetup, Json], Strategy[Any]]:
    """The ``start`` of the method's module."""
    module = import_module(f"stepkit.search.methods.{name.replace('-', '_')}")
    return cast("Callable[[MethodSetup, Json], Strategy[Any]]", module.start)


def methods_with(option: str) -> list[str]:
    """The methods that use an option."""
    return [name for name, method in METHODS.items() if option in method.options]
