"""Sequences with dots, as 1, 3, 5, ...: equal in what both say before the dots and after."""

from __future__ import annotations

from stepkit.text.answer_kinds.comparison import AnswerComparison, Read
from stepkit.text.answer_kinds.values import SequenceWithDots, Value
from stepkit.text.splitting import split_top, wrapped
from stepkit.text.verdicts import Verdict, all_of, open_question


def read_sequence(form: str, read: Read) -> Value | None:
    if form.count("\\dots") != 1:
        return None
    bracket = wrapped(form)
    inner = form[len(bracket) : -len(bracket)] if bracket else form
    parts = split_top(inner, (",",))
    places = [at for at, part in enumerate(parts) if part.strip() == "\\dots"]
    if len(places) != 1:
        return None
    values = [read(part) for part in parts if part.strip()]
    return SequenceWithDots(form, tuple(values[: places[0]]), tuple(values[places[0] + 1 :]))


def compare(a: SequenceWithDots, b: Value, comparison: AnswerComparison) -> Verdict:
    if not isinstance(b, SequenceWithDots):
        return open_question("a sequence with dots against one without")
    first = zip(a.before, b.before, strict=False)
    last = zip(a.after[::-1], b.after[::-1], strict=False)
    verdict = all_of(*(comparison.equal(x, y) for x, y in (*first, *last)))
    if verdict.same and (len(a.before), len(a.after)) != (len(b.before), len(b.after)):
        return open_question("sequences that are cut at other places")
    return verdict
