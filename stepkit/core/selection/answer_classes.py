"""The answers of attempts, and which of them mean the same."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import NamedTuple

from stepkit import schema
from stepkit.schema import Json

Same = Callable[[str, str], bool]


class AnswerClass(NamedTuple):
    """Attempts whose answers mean the same; the first one's answer stands for it."""

    answer: str
    members: list[int]


def classes(finals: Sequence[str | None], same: Same) -> list[AnswerClass]:
    """Group equal answers, in order of first appearance.

    Being the same is tested pairwise and need not be transitive; so each answer is compared with
    the first of every class, in order, both ways round, and joins the first where both hold.
    Recorded representatives make this reproducible. No answer (None) is in no class.
    """
    found: list[AnswerClass] = []
    known: dict[str, AnswerClass] = {}
    for index, final in enumerate(finals):
        if final is None:
            continue
        home = known.get(final)
        if home is None:
            for one in found:
                if same(one.answer, final) and same(final, one.answer):
                    home = one
                    break
            else:
                home = AnswerClass(final, [])
                found.append(home)
            known[final] = home
        home.members.append(index)
    return found


def answer_of(record: Json) -> str | None:
    """The attempt's extracted answer, as step-split --grade would fill it in; None without one.

    An empty text has none, whatever stands in ``final``.
    """
    if record.get("response") == "":
        return None
    final = record.get("final")
    if type(final) is str:
        return final or None
    if "final" in record:
        return schema.optional_text(record, "final") or None
    from stepkit.text.answers import extract  # here: its patterns take a while to compile

    return extract(schema.text(record, "response"))
