"""step-pairs: evidence in, rows for a trainer out, or a check of such rows. Needs no model."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

import click

from stepkit.cli.options.escapes import TEXT
from stepkit.cli.options.shared import SAMPLER
from stepkit.core.pairs import pair_filters, rule_input, sibling_ranks
from stepkit.core.pairs.pair_registry import RULES
from stepkit.errors import UsageError
from stepkit.formats import trainer_registry
from stepkit.formats.step_separators import NEWLINE
from stepkit.runner.options import (
    command,
    input_options,
    model_file,
    on_command_line,
    output_options,
    refuse_idle_options,
    regroup_option,
)
from stepkit.runner.run import StreamOptions

SHARE = click.FloatRange(0, 1)
COUNT = click.IntRange(min=1)
CHECKS = {"check", "max_length", "separator", "tokenizer"}


@command("step-pairs", own="Rows")
@click.option(
    "--to",
    type=click.Choice(list(trainer_registry.TARGETS)),
    help="The trainer that reads the rows (default: trl-dpo, or by --rule trl-kto or plain).",
)
@click.option(
    "--rule",
    metavar="RULE",
    type=click.Choice(list(RULES)),
    help=f"What rows to make, and of what: {', '.join(RULES)} (default: by --to).",
)
@click.option(
    "--scope",
    type=click.Choice(pair_filters.SCOPES),
    help="The step and the rest of an attempt (default), the step alone, or the whole attempt "
    "(default for chats).",
)
@click.option(
    "--prompt",
    metavar="TEXT",
    type=TEXT,
    help="What stands before the first step; {problem} is the problem, \\n a new line "
    "(default: what the draws were made with, else {problem}\\n).",
)
@click.option("--conversational", is_flag=True, help="Messages for the trainer's own template.")
@click.option(
    "--value",
    metavar="NAME",
    default="draws",
    show_default=True,
    help="The value of a step: draws, leaves, visits, q, or a score or label of the tree.",
)
@click.option(
    "--rank",
    type=click.Choice(list(sibling_ranks.RANKINGS)),
    default=sibling_ranks.DEFAULT,
    show_default=True,
    help="What orders siblings: bounds of the value, its posterior mean, or the value itself.",
)
@SAMPLER()
@click.option("--at", metavar="NAME", help="The label or score that the rule goes by.")
@click.option(
    "--verdict",
    metavar="NAME",
    help="The label or score that says whether an attempt is right (default: its own verdict).",
)
@click.option(
    "--repeat-shared",
    is_flag=True,
    help="Of a tree: train on a step in every attempt through it, not once.",
)
@click.option(
    "--top", metavar="N", type=COUNT, default=2, show_default=True, help="N best, N worst."
)
@click.option(
    "--min-gap",
    metavar="G",
    type=click.FloatRange(min=0),
    default=0.0,
    show_default=True,
    help="Least difference of the two values (ties are never a pair).",
)
@click.option(
    "--confidence",
    metavar="P",
    type=SHARE,
    default=0.0,
    show_default=True,
    help="Least chance, by the counts, that chosen is really better.",
)
@click.option("--min-chosen", metavar="V", type=float, help="Least value of what is chosen.")
@click.option("--max-rejected", metavar="V", type=float, help="Highest value of what is not.")
@click.option(
    "--min-distance",
    metavar="N",
    type=COUNT,
    default=None,
    help="Least edit distance of the two, in characters.",
)
@click.option(
    "--match-length", is_flag=True, help="Of several attempts take the most equal in length."
)
@click.option("--max-per-set", metavar="N", type=COUNT, help="Most pairs of steps at one prefix.")
@click.option("--max-per-problem", metavar="N", type=COUNT, help="Most pairs of a problem.")
@click.option(
    "--weight",
    type=click.Choice(pair_filters.WEIGHTS),
    default="set",
    show_default=True,
    help="Weight of a pair: one over those of its set or problem, the gap, or by visits.",
)
@click.option(
    "--after-error",
    type=click.Choice(rule_input.AFTER_ERROR),
    default="keep",
    show_default=True,
    help="What becomes of labels after the first wrong step.",
)
@click.option(
    "--correction",
    metavar="TEXT",
    type=TEXT,
    default=rule_input.CORRECTION.replace("\n", "\\n"),
    show_default=True,
    help="What stands between a wrong step and the one that corrects it.",
)
@click.option(
    "--separator",
    metavar="TEXT",
    type=TEXT,
    default=NEWLINE.replace("\n", "\\n"),
    show_default=True,
    help="What the trainer puts after each step of process reward rows: its step_separator.",
)
@model_file("--tokenizer", help="A GGUF whose vocabulary the cut after the prompt must respect.")
@click.option(
    "--check",
    metavar="TARGET",
    type=click.Choice(list(trainer_registry.TARGETS)),
    help="Make nothing: list what this trainer would spoil in the rows of FILE.",
)
@click.option(
    "--max-length",
    metavar="N",
    type=COUNT,
    help="With --check: where the trainer cuts rows off (characters; tokens with --tokenizer).",
)
@regroup_option
@input_options
@output_options
def main(streams: StreamOptions, check: str | None, tokenizer: str | None, **given: Any) -> None:
    """Make rows for a trainer from traces with evidence or labels, or check such rows.

    \b
      step-pairs evidence.jsonl -o dpo.jsonl
      step-label evidence.jsonl | step-pairs --rule first-error --confidence 0.9
      step-label evidence.jsonl | step-pairs --to trl-prm -o prm.jsonl
      step-score --check arithmetic t.jsonl | step-pairs --rule prm --at arithmetic
      step-pairs --check trl-dpo dpo.jsonl
    """
    if check is not None:
        refuse_idle_options(CHECKS, "with --check")
        from stepkit.cli.actions.check_rows import check as check_rows

        separator = None if "separator" not in on_command_line() else given["separator"]
        check_rows(streams, check, given["max_length"], _tokens(streams, tokenizer), separator)
        return
    if given["max_length"]:
        raise UsageError("--max-length has no effect without --check")
    from stepkit.cli.actions import side_files
    from stepkit.cli.actions.row_options import maker_of, target_of
    from stepkit.cli.actions.write_training_rows import write_rows

    given["to"] = target_of(given["to"], given["rule"])
    maker = maker_of(given, {*on_command_line()}, _tokens(streams, tokenizer))
    if streams.regroup and not maker.plan.of_groups:
        raise UsageError("--regroup has no effect: this looks at each trace by itself")
    side_files.check(given["to"], streams.output)
    write_rows(streams, maker)
    side_files.write(streams, given["to"], maker.plan.rule.kind)


def _tokens(streams: StreamOptions, path: str | None) -> Callable[[str], Sequence[int]] | None:
    """The token ids of texts in a model's vocabulary, as trainers read them."""
    if path is None:
        return None
    from stepkit.cli.backends.fetch_models import fetch_missing
    from stepkit.model.backend import trainer_tokens

    fetch_missing(streams, {"--tokenizer": path})
    return trainer_tokens(path, "--tokenizer")
