"""Math-Shepherd's rows (Wang et al., arXiv:2312.08935): a mark after every step.

``input`` is the problem and its steps, each followed by the mark; ``label`` is the same text with +
or - in place of each mark. A text that has the mark in it already cannot be written.
"""

from __future__ import annotations

from stepkit import schema
from stepkit.errors import DataError
from stepkit.formats.views import Json, View

MARK = "ки"


def marked(row: Json) -> View:
    """input, and label with + or - in the places of the marks."""
    texts = schema.text(row, "input").split(MARK)
    label = schema.text(row, "label")
    if len(texts) == 1:
        raise DataError(f'no "{MARK}" after a step', "input")
    labels, at = [], 0
    for index, text in enumerate(texts):
        if label[at : at + len(text)] != text:
            raise DataError(f"differs from input before mark {index + 1}", "label")
        at += len(text)
        if index < len(texts) - 1:
            if label[at : at + 1] not in ("+", "-"):
                raise DataError(f"expected + or - for mark {index + 1}", "label")
            labels.append(label[at] == "+")
            at += 1
    if label[at:] or texts[-1].strip():
        raise DataError("text after the last mark", "input")
    sides = tuple((f"step {index}", text) for index, text in enumerate(texts[:-1]))
    return View("stepwise", "", sides, tuple(labels))
