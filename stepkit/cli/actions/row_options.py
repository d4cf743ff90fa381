"""From the options of step-pairs to a rule with its settings and the layout of its rows."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

from stepkit.cli.actions.write_training_rows import RowMaker
from stepkit.core.pairs import step_values
from stepkit.core.pairs.evidence_reading import EvidenceReading
from stepkit.core.pairs.pair_filters import PairFilters
from stepkit.core.pairs.pair_registry import RULES, RowPlan, default_rule
from stepkit.core.pairs.rule_input import RowFormat
from stepkit.errors import UsageError
from stepkit.formats import trainer_registry
from stepkit.formats.row_layout import DEFAULT_PROMPT, PROBLEM, RowLayout
from stepkit.formats.trainer_registry import KINDS, TARGETS

DEFAULT_TARGETS = ("trl-dpo", "trl-kto", "plain")
Tokenizer = Callable[[str], Sequence[int]]


def target_of(to: str | None, rule: str | None) -> str:
    """The trainer: ``to``, or without it the first of DEFAULT_TARGETS that takes rows of the
    rule."""
    if to is not None:
        return to
    kind = KINDS[RULES[rule].kind] if rule else None
    takers = (one for one in DEFAULT_TARGETS if kind is None or kind in TARGETS[one].rows)
    return next(takers)


def maker_of(options: dict[str, Any], given: set[str], tokens: Tokenizer | None) -> RowMaker:
    """The maker of the rows.

    Args:
        options: the options of step-pairs that decide the rows, by name.
        given: the names of those on the command line.
        tokens: the token ids of texts in the vocabulary that will be trained.

    Raises UsageError for options that exclude each other, have no effect, or make rows that the
    trainer would spoil.
    """
    scope = options["scope"] or ("full" if _chat(options) else "continuation")
    options = {**options, "scope": scope}
    plan = _plan(options, given)
    layout = _layout(plan, options, tokens)
    return RowMaker(plan, options["to"], layout, options["prompt"])


def _plan(options: dict[str, Any], given: set[str]) -> RowPlan:
    """The rule with its settings. Raises UsageError for an option that it does not use."""
    name = options["rule"] or default_rule(trainer_registry.first_kind(options["to"]))
    rule = RULES[name]
    used_by_any = set().union(*(other.uses for other in RULES.values()))
    if useless := given & used_by_any - rule.uses:
        raise UsageError(f"{_option(useless)} has no effect with --rule {name}")
    if options["match_length"] and options["scope"] == "step":
        raise UsageError("--match-length has no effect with --scope step: it chooses attempts")
    if options["confidence"] and options["value"] not in step_values.COUNTED:
        raise UsageError(f"--confidence needs counts, and --value {options['value']} has none")
    if "rank" in given and options["value"] not in step_values.COUNTED:
        raise UsageError(
            f"--rank has no effect with --value {options['value']}: it has no counts to rank by"
        )
    choice = PairFilters(
        scope=options["scope"],
        min_gap=options["min_gap"],
        confidence=options["confidence"],
        min_chosen=options["min_chosen"],
        max_rejected=options["max_rejected"],
        min_distance=options["min_distance"] or 0,
        match_length=options["match_length"],
        per_set=options["max_per_set"],
        per_problem=options["max_per_problem"],
        weight=options["weight"],
    )
    if name == "outcome" and options["at"] is not None and options["to"] != "plain":
        raise UsageError("--at: rewards of steps inside of pairs are only in rows --to plain")
    reading = EvidenceReading(
        options["value"],
        options["sampler"],
        options["at"],
        options["top"],
        options["rank"],
        options["repeat_shared"],
        options["verdict"],
    )
    return RowPlan(name, reading, choice, RowFormat(options["after_error"], options["correction"]))


def _layout(plan: RowPlan, options: dict[str, Any], tokens: Tokenizer | None) -> RowLayout:
    """The layout that the target needs. Raises UsageError for rows that it would spoil."""
    to, prompt = options["to"], options["prompt"]
    if prompt is not None and PROBLEM not in prompt:
        raise UsageError(f"--prompt: no {PROBLEM} in it")
    scope = plan.filters.scope if "scope" in plan.rule.uses else "full"
    layout = trainer_registry.settle_layout(
        to, plan.rule.kind, RowLayout(prompt or DEFAULT_PROMPT, scope, options["conversational"])
    )
    if plan.rule.kind == "weighted" and scope == "step" and trainer_registry.TARGETS[to].ends:
        raise UsageError(
            f"--to {to} puts an end-of-text token after every text and would teach the model to "
            "stop after a step; use --scope continuation, or --to plain"
        )
    if layout.chat and plan.name == "fill-in":
        raise UsageError("--rule fill-in makes texts with marks, which no chat has: use --to plain")
    if layout.chat and tokens:
        raise UsageError("--tokenizer has no effect on chats: the template makes the boundary")
    return layout._replace(tokens=tokens)


def _chat(options: dict[str, Any]) -> bool:
    """Whether the rows will be messages."""
    return bool(options["conversational"]) or trainer_registry.TARGETS[options["to"]].chat is True


def _option(names: set[str]) -> str:
    return "--" + min(names).replace("_", "-")
