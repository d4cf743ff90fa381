"""Rows that trainers read: a table row and a function each.

Rows are stricter than traces: every key in every row, one type per key, floats with a point, no
null, flat. Keys that a trainer gives a meaning of its own (``margin``, ``label``, ``completion``,
...) are never used for what stands beside the texts.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, NamedTuple

from stepkit import schema
from stepkit.core.pairs import Pair
from stepkit.seeds import digest

Json = dict[str, Any]

PROBLEM = "{problem}"
DEFAULT_PROMPT = PROBLEM + "\n"


class Layout(NamedTuple):
    """How a pair becomes texts."""

    prompt: str = DEFAULT_PROMPT  # a text in which {problem} stands for the problem
    scope: str = "continuation"  # of core.pairs.SCOPES
    rule: str = "best-worst"  # as noted in the row


class Trainer(NamedTuple):
    """One target: what it reads, in a line, and the function that writes a row."""

    about: str
    row: Callable[[Pair, Json, Layout], Json]


def trl_dpo(pair: Pair, record: Json, layout: Layout) -> Json:
    """One row of TRL's standard preference format with an explicit prompt, counts beside it.

    TRL appends the end-of-text token to both completions, which is truthful in the scopes
    "continuation" and "full" only. A float ``score_*`` is k / n; ``id`` is a hash of the texts.
    """
    prompt, chosen, rejected = texts(pair, record, layout)
    return {
        "id": digest("pair", prompt, chosen, rejected, layout.scope),
        "group": schema.group_of(record),
        "prompt": prompt,
        "chosen": chosen,
        "rejected": rejected,
        "score_chosen": pair.chosen.value,
        "score_rejected": pair.rejected.value,
        "gap": pair.gap,
        "probability": pair.probability,
        "k_chosen": pair.chosen.k,
        "n_chosen": pair.chosen.n,
        "k_rejected": pair.rejected.k,
        "n_rejected": pair.rejected.n,
        "step": pair.step,
        "rule": layout.rule,
        "scope": layout.scope,
        "prefix_chars": len(_common(chosen, rejected)),
        "source": schema.id_of(record),
    }


def texts(pair: Pair, record: Json, layout: Layout) -> tuple[str, str, str]:
    """Prompt, chosen and rejected as ``layout`` has it; see ``boundary``."""
    prompt = layout.prompt.replace(PROBLEM, schema.problem_text(record))
    if layout.scope == "full":
        return boundary(prompt, pair.prefix + pair.chosen.text, pair.prefix + pair.rejected.text)
    return boundary(prompt + pair.prefix, pair.chosen.text, pair.rejected.text)


def boundary(prompt: str, chosen: str, rejected: str) -> tuple[str, str, str]:
    """Move white space across the cut to where tokenisers keep the prompt's tokens as they are.

    Newlines that both sides begin with go to the prompt, else they merge with its last
    punctuation; spaces at the prompt's end go to both sides, whose first word they belong to.
    """
    common = _common(chosen, rejected)
    newlines = len(common) - len(common.lstrip("\r\n"))
    if newlines:
        return prompt + common[:newlines], chosen[newlines:], rejected[newlines:]
    spaces = prompt[len(prompt.rstrip(" ")) :]
    return prompt[: len(prompt) - len(spaces)], spaces + chosen, spaces + rejected


def _common(one: str, other: str) -> str:
    """The longest text that both begin with."""
    for at, (a, b) in enumerate(zip(one, other, strict=False)):
        if a != b:
            return one[:at]
    return min(one, other, key=len)


TRAINERS = {"trl-dpo": Trainer("DPO, CPO, ORPO and reward training with TRL", trl_dpo)}
"""Targets by name, the default first."""
