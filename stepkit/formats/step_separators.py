"""Where a trainer's own separator takes the place of what stands between two steps.

A trainer that puts a separator after each step shows its model the text of the attempt only where
the text has that separator between the steps: there it is taken out, once, from the end of the step
or else from the start of the next. A row that would read otherwise is refused: "12 + 20", cut
after its first digit, must not become "1", a new line, "2 + 20".
"""

from __future__ import annotations

from collections.abc import Sequence
from itertools import pairwise

from stepkit.errors import DataError

NEWLINE = "\n"


def without_separators(steps: Sequence[str], separator: str) -> list[str]:
    """The steps as the trainer wants them: each followed by ``separator`` they are the attempt.

    After the last one the trainer puts a separator that the attempt may lack.

    Raises DataError, naming the step, for one that is not followed by the separator or has nothing
    else in it.
    """
    pieces = list(steps)
    for index in range(len(pieces) - 1):
        if pieces[index].endswith(separator):
            pieces[index] = pieces[index].removesuffix(separator)
        elif pieces[index + 1].startswith(separator):
            pieces[index + 1] = pieces[index + 1].removeprefix(separator)
        else:
            raise DataError(_unseparated(separator), f"steps[{index}]")
    pieces[-1] = pieces[-1].removesuffix(separator)
    refuse_blank(pieces)
    return pieces


def refuse_blank(steps: Sequence[str]) -> None:
    """Raise DataError, naming it, for a step of white space, which has nothing to be judged."""
    for index, step in enumerate(steps):
        if not step.strip():
            raise DataError("a step of nothing but white space", f"steps[{index}]")


def refuse_within_line(steps: Sequence[str]) -> None:
    """Raise DataError, naming the step, where two steps share a line, for a format that has each on
    its own."""
    for index, (step, after) in enumerate(pairwise(steps)):
        if not step.endswith(NEWLINE) and not after.startswith(NEWLINE):
            raise DataError(
                "ends in the middle of a line, and this format puts every step on its own: "
                "cut the traces at lines (step-split --by lines), or use --to plain",
                f"steps[{index}]",
            )


def refuse_within_word(steps: Sequence[str]) -> None:
    """Raise DataError, naming the step, where two steps share a word, for a format that takes the
    white space between them away."""
    for index, (step, after) in enumerate(pairwise(steps)):
        if step and after and not step[-1].isspace() and not after[0].isspace():
            raise DataError(
                "ends in the middle of a word, and this format makes every step a turn of its own: "
                "cut the traces elsewhere (step-split --by lines), or use --to plain",
                f"steps[{index}]",
            )


def spelled(separator: str) -> str:
    """A separator in a message."""
    from json import dumps  # here: most rows need none

    return dumps(separator, ensure_ascii=False)


def _unseparated(separator: str) -> str:
    where = "in the middle of a line" if separator == NEWLINE else f"without {spelled(separator)}"
    puts = "a newline" if separator == NEWLINE else "one"
    return (
        f"ends {where}, and the trainer puts {puts} after each step: use --separator '' here and "
        "as the trainer's step_separator, or cut the traces at lines (step-split --by lines)"
    )
