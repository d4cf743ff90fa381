"""The prompt of a refinement: the problem with an earlier attempt and a critique of it.

A redraw from the last good step (``step-rollout --at``) sees the prompt and the steps kept, nothing
else: its draws are those of the same sampler at that prefix. With a critique, or when the whole
attempt is redrawn (``--global``), the problem is laid out anew, by a format that the user can
replace. Then it is another sampler, whose identity includes the format: its draws are no evidence
of how the first sampler continues.

StepCo (Wu et al., arXiv:2410.12934) and GLoRe (Havrilla et al., arXiv:2402.10963) are loops of such
redraws; GLoRe trains models that refine, while here the prompt asks for it.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import Any, NamedTuple

from stepkit import schema
from stepkit.errors import DataError, UsageError
from stepkit.schema import Json
from stepkit.text.prompt_template import filled

PLACES = ("problem", "attempt", "kept", "step", "number", "critique")

LOCAL = """\
{problem}

An earlier attempt went wrong at this step:
{step}
What is wrong with it:
{critique}
Solve the problem without that mistake."""

GLOBAL = """\
{problem}

An earlier attempt:
{attempt}
{critique}
Solve the problem again, better."""


class Refinement(NamedTuple):
    """How attempts are refined.

    Attributes:
        whole: the whole attempt is drawn anew, not only what comes after the last good step.
        form: the format of the problem, with PLACES in braces; None leaves the problem as it is.
        critique: where in the record the critique is, keys joined by full stops; None without one.
    """

    whole: bool = False
    form: str | None = None
    critique: str | None = None


def refinement_of(options: Mapping[str, Any]) -> Refinement | None:
    """The refinement that the options of ``sample`` describe; None for attempts from the problem.

    Raises UsageError for options that do not go together.
    """
    at, whole = options.get("at"), bool(options.get("global"))
    form, critique = options.get("refine"), options.get("critique")
    if at is None and not whole:
        for option in ("critique", "refine"):
            if options.get(option) is not None:
                raise UsageError(f"--{option} goes with --at or --global")
        return None
    if form is None and (whole or critique is not None):
        form = GLOBAL if whole else LOCAL
        if critique is None:
            form = form.replace("{critique}\n", "")
    if form is not None:
        _check(form, at is not None, critique is not None)
    return Refinement(whole, form, critique)


def _check(form: str, flagged: bool, criticised: bool) -> None:
    used = set(re.findall(r"\{(" + "|".join(PLACES) + r")\}", form))
    if "problem" not in used:
        raise UsageError("--refine: the format needs {problem} in it")
    if criticised and "critique" not in used:
        raise UsageError("--critique has no effect: --refine has no {critique} in it")
    if "critique" in used and not criticised:
        raise UsageError("--refine: {critique} needs --critique, which says where it is")
    if not flagged and (of_step := sorted(used & {"kept", "step", "number"})):
        raise UsageError(f"--refine: {{{of_step[0]}}} needs --at, which says at which step")


def with_refinement_prompt(
    record: Json, refinement: Refinement, step: int | None
) -> tuple[Json, str | None]:
    """The record with the refinement's prompt as its problem, and the critique.

    Args:
        step: the step that went wrong, where one is known.

    Raises DataError when the record has no critique there.
    """
    critique = (
        None if refinement.critique is None else critique_of(record, refinement.critique, step)
    )
    if refinement.form is None:
        return record, critique
    steps = schema.steps(record)
    text = filled(
        refinement.form,
        problem=schema.problem_text(record),
        attempt=schema.text(record, "response").rstrip("\n"),
        kept="" if step is None else "".join(steps[:step]),
        step="" if step is None else steps[step].rstrip("\n"),
        number="" if step is None else str(step + 1),
        critique=critique or "",
    )
    return _with_problem(record, text), critique


def critique_of(record: Json, path: str, step: int | None) -> str:
    """The critique at ``path``: a text, or the ``why`` of a score or label; of a list of texts that
    of ``step``, or without a step all of them.

    Raises DataError naming what is missing.
    """
    value: Any = record
    for key in path.split("."):
        if not isinstance(value, dict) or key not in value:
            raise DataError("missing: there is no critique", path)
        value = value[key]
    if isinstance(value, dict):
        path = f"{path}.why"
        value = value.get("why")
    if isinstance(value, list) and step is None:
        value = "\n".join(text for text in value if isinstance(text, str))
    elif isinstance(value, list) and step is not None:
        path = f"{path}[{step}]"
        value = value[step] if step < len(value) else None
    if not isinstance(value, str) or not value.strip():
        got = "an empty text" if isinstance(value, str) else schema.name_of(value)
        raise DataError(f"expected a critique, got {got}", path)
    return value.strip()


def _with_problem(record: Json, text: str) -> Json:
    """The record with another text as its problem; of a chat the last user message."""
    prompt = record.get("prompt")
    if "problem" in record or not isinstance(prompt, list):
        return {**record, "problem": text}
    last = schema.last_user(prompt)
    messages = [*prompt[:last], {**prompt[last], "content": text}, *prompt[last + 1 :]]
    return {**record, "prompt": messages}
