"""What step-rollout draws, and how: the values of its options, put together."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

from stepkit.cli.options.answer_reading import AnswerOptions
from stepkit.cli.options.prm import PrmOptions
from stepkit.cli.options.prompt import PromptOptions

if TYPE_CHECKING:
    from stepkit.search.refinement_prompts import Refinement


@dataclass(frozen=True)
class DrawPlan:
    """What is drawn, and how.

    Attributes:
        method: a name of METHODS.
        settings: its options.
        sampling: the options of cli/options/sampling.py, by name.
        seed: seed of the whole run.
        prompt: how a problem becomes a prompt.
        refinement: the prompt that asks for another attempt; None: there is none.
        prm: how the PRM is read that the settings may name.
        emit_traces: write a trace for each attempt in a tree, not the tree.
        keep_tokens: keep the log-probability of every token drawn.
        keep_confidence: keep what every measure of confidence reads at each of them too.
        jobs: processes that compare answers.
        answers: how they are found.
    """

    method: str
    settings: dict[str, Any]
    sampling: dict[str, Any]
    seed: int
    prompt: PromptOptions
    refinement: Refinement | None
    prm: PrmOptions
    emit_traces: bool
    keep_tokens: bool
    jobs: int
    keep_confidence: bool = False
    answers: AnswerOptions = field(default_factory=AnswerOptions)
