"""The rows of a file that a trainer would silently spoil, found row by row in bounded memory.

A finding is a DataError: the field and what is wrong with it; the caller knows the line. The checks
are those of the trainer (trainer_registry.py: columns, labels, turns), types that differ between
rows (column_types.py), and those of the texts: empty or equal sides, sides that differ only where
the trainer has cut them off, tokens that merge across the boundary, templates applied twice,
duplicates, and for KTO the balance and the order of the rows. Memory: one 8-byte digest a row, some
hundred bytes in Python.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Iterator, Sequence
from typing import Any

from stepkit.core.common_prefix import common_length
from stepkit.errors import DataError
from stepkit.formats.column_types import ColumnTypes
from stepkit.formats.row_views import TrainerView
from stepkit.formats.step_separators import NEWLINE, spelled
from stepkit.formats.trainer_registry import TARGETS
from stepkit.schema import Json
from stepkit.seeds import seed

Tokenizer = Callable[[str], Sequence[int]]

TEMPLATE_MARKS = (
    "<|im_start|>",
    "<|im_end|>",
    "<|start_header_id|>",
    "<|eot_id|>",
    "<start_of_turn>",
    "<end_of_turn>",
    "[INST]",
    "[/INST]",
)
"""What templates write between turns; in a text it means that one was applied already."""

END_MARKS = (
    "</s>",
    "<|im_end|>",
    "<|endoftext|>",
    "<|end_of_text|>",
    "<|eot_id|>",
    "<|end|>",
    "<|return|>",
    "<end_of_turn>",
    "<eos>",
    "<\uff5cend▁of▁sentence\uff5c>",
)
"""How the end of a text is spelled by the tokenizers of Llama, Mistral, Qwen, Phi, gpt-oss, Gemma
and DeepSeek."""

START_MARKS = (
    "<s>",
    "<|begin_of_text|>",
    "<|startoftext|>",
    "<bos>",
    "<\uff5cbegin▁of▁sentence\uff5c>",
)
"""The same for the start of a text."""

TOLERANCE = 1.33
"""KTO wants the weighted count of desirable rows within 1 to 4/3 of the other (Ethayarajh et al.,
arXiv:2402.01306, equation 8, with TRL's 1.33)."""


class RowChecker:
    """Checks the rows of one file, or of several that are trained on together.

    Args:
        target: a name of TARGETS.
        max_length: where the trainer cuts a row off; None looks at no length.
        tokens: text to token ids; None counts characters.
        separator: what the trainer puts after each step, where its user chooses that.
    """

    def __init__(
        self,
        target: str,
        max_length: int | None = None,
        tokens: Tokenizer | None = None,
        separator: str = NEWLINE,
    ) -> None:
        self._name = target
        self._target = TARGETS[target]
        self._max_length = max_length
        self._tokens = tokens
        self._separator = separator
        self._columns = ColumnTypes()
        self._seen: set[int] = set()
        self._labels: Counter[bool] = Counter()
        self._prompt = ""

    def row(self, row: Json) -> Iterator[DataError]:
        """The findings in one row, in the order of its columns first."""
        yield from self._columns.complaints(row)
        for column, why in self._target.reserved.items():
            if column in row:
                yield DataError(f"{self._name} {why}: rename the column", column)
        shape = next((s for s in self._target.shapes if all(c in row for c in s.columns)), None)
        if shape is None:
            known = " or ".join(", ".join(shape.columns) for shape in self._target.shapes)
            yield DataError(f"not a row that {self._name} reads: it needs {known}")
            return
        try:
            view = shape.read(row)
        except DataError as error:
            yield error
            return
        if row.get("scope") == "step" and self._target.ends and view.kind in ("pair", "unpaired"):
            yield DataError(
                f"a single step, and {self._name} puts an end-of-text token after it: "
                "make whole continuations",
                view.sides[0][0],
            )
        yield from self._texts(view)
        if view.kind == "stepwise" and self._target.separates:
            yield from separated(view, row.get("separator"), self._separator)
        yield from self._neighbours(view)

    def end(self) -> Iterator[DataError]:
        """The findings that only the whole file shows."""
        if self._labels:
            yield from balance(self._labels[True], self._labels[False])

    def _texts(self, view: TrainerView) -> Iterator[DataError]:
        yield from empty_sides(view)
        if view.kind == "pair":
            yield from indistinct_sides(view)
        if view.kind == "stepwise":
            yield from stepwise(view)
        if view.chat:
            yield from chat(view)
        else:
            yield from self._marks(view)
            yield from repeated_prompt(view)
            if view.kind not in ("stepwise", "steps") and view.prompt:
                yield from boundary(view, self._tokens)
        if self._max_length is not None:
            yield from lengths(view, self._max_length, self._tokens or _characters)

    def _marks(self, view: TrainerView) -> Iterator[DataError]:
        """Special tokens spelled out where the trainer or its tokenizer puts its own."""
        mark = next((mark for mark in START_MARKS if view.prompt.startswith(mark)), None)
        if mark is not None:
            yield DataError(f'starts with "{mark}", and the tokenizer puts one there', "prompt")
        for field, text in view.sides if self._target.ends else ():
            mark = next((mark for mark in END_MARKS if text.rstrip().endswith(mark)), None)
            if mark is not None:
                yield DataError(
                    f'ends with "{mark}", and {self._name} puts an end-of-text token of its own '
                    "after it: leave the mark out",
                    field,
                )

    def _neighbours(self, view: TrainerView) -> Iterator[DataError]:
        texts = [text for _, text in view.sides]
        # The same text may be trained on with several weights, but not with several labels.
        here = seed(view.prompt, *texts, *(view.labels if view.kind == "text" else ()))
        if here in self._seen:
            yield DataError("the same texts as an earlier row")
        elif view.kind == "pair" and seed(view.prompt, *reversed(texts)) in self._seen:
            yield DataError("the two sides of an earlier row, the other way round")
        self._seen.add(here)
        if view.kind == "unpaired" and self._target.ends:
            self._labels[view.labels[0]] += 1
            if view.prompt == self._prompt:
                yield DataError(
                    "the same prompt as the row before: the KL term of KTO pairs each prompt with "
                    "its neighbour's completion; shuffle the file"
                )
            self._prompt = view.prompt


def balance(desirable: int, undesirable: int) -> Iterator[DataError]:
    """Whether KTO's two losses weigh alike at its default weights, and which weights do."""
    if not desirable or not undesirable:
        yield DataError("all labels are one: KTO needs rows of both")
    elif not undesirable <= desirable <= TOLERANCE * undesirable:
        least = undesirable / desirable
        yield DataError(
            f"{desirable} desirable and {undesirable} undesirable rows: set desirable_weight to "
            f"{least:.3g} .. {TOLERANCE * least:.3g}, or leave rows out"
        )


def empty_sides(view: TrainerView) -> Iterator[DataError]:
    """Sides without text."""
    for field, text in view.sides:
        if not text.strip():
            yield DataError("empty", field)


def indistinct_sides(view: TrainerView) -> Iterator[DataError]:
    """Two sides that are equal for the trainer, or of which one is a prefix of the other."""
    (field, text), (other_field, other) = view.sides
    if text == other:
        yield DataError(f"the same text as {other_field}", field)
    elif text.strip() == other.strip():
        yield DataError(f"the same text as {other_field} but for white space", field)
    elif other.startswith(text) and text:
        yield DataError(f"only a prefix of {other_field}", field)
    elif text.startswith(other) and other:
        yield DataError(f"only a prefix of {field}", other_field)


def stepwise(view: TrainerView) -> Iterator[DataError]:
    """Steps and labels that do not fit, and separators that come twice or not at all."""
    if len(view.labels) != len(view.sides):
        yield DataError(f"{len(view.labels)} labels of {len(view.sides)} steps")
    elif all(label == -100 and type(label) is int for label in view.labels):
        yield DataError("every step is masked: there is nothing to learn from")
    if view.chat or not view.prompt:
        return
    if not view.prompt[-1].isspace() and not view.sides[0][1][:1].isspace():
        yield DataError(
            "ends without white space, and the trainer puts none before the first step", "prompt"
        )


def separated(view: TrainerView, made_for: Any, separator: str) -> Iterator[DataError]:
    """Steps between which the trainer's separator makes another text of the attempt.

    Args:
        made_for: the separator that the row says it was made for: then the rest is known to be
            right. Of other rows is found what shows: separators that come twice, and the single
            space that a cut within a line leaves at a step's end or start.
    """
    if isinstance(made_for, str):
        if made_for != separator:
            yield DataError(
                f"made for a trainer that puts {spelled(made_for)} after each step, not "
                f"{spelled(separator)}: set its step_separator, and check with --separator",
                "separator",
            )
        return
    for index, (field, text) in enumerate(view.sides):
        if separator and text.endswith(separator):
            what = "a newline" if separator == NEWLINE else spelled(separator)
            yield DataError(f"ends with {what}, and the trainer puts one after each step", field)
        elif NEWLINE in separator:
            inner = text.endswith(" ") and index < len(view.sides) - 1
            if inner or (index and text[:1] == " " and text[1:2].strip()):
                where = "ends" if inner else "begins"
                yield DataError(
                    f"{where} with a space, as a step does that was cut within a line, and the "
                    "trainer puts a newline there",
                    field,
                )


def chat(view: TrainerView) -> Iterator[DataError]:
    """Texts that the trainer's template changes or that have been through one."""
    for field, text in (("prompt", view.prompt), *view.sides):
        mark = next((mark for mark in TEMPLATE_MARKS if mark in text), None)
        if mark is not None:
            yield DataError(f'"{mark}" in a text that the trainer puts into its template', field)
        if text != text.strip() and field != "prompt" and view.kind != "text":
            yield DataError("white space around a text, which many templates strip", field)


def repeated_prompt(view: TrainerView) -> Iterator[DataError]:
    """Sides that hold the prompt again, which the trainer puts before them."""
    prompt = view.prompt.strip()
    for field, text in view.sides if prompt else ():
        if text.lstrip().startswith(prompt):
            yield DataError("begins with the prompt, which the trainer puts before it", field)


def boundary(view: TrainerView, tokens: Tokenizer | None) -> Iterator[DataError]:
    """Sides that begin within a token of prompt and side read together.

    Without a tokenizer by the habits of byte-pair encodings: a space belongs to the word after it,
    a newline to the punctuation before it.
    """
    if tokens is not None:
        before = list(tokens(view.prompt))
        for field, text in view.sides:
            if list(tokens(view.prompt + text)[: len(before)]) != before:
                yield DataError("its first characters and the prompt's last are one token", field)
        return
    if view.prompt.endswith(" "):
        yield DataError("ends with the space that the text after it should begin with", "prompt")
    for field, text in view.sides:
        if text.startswith("\n") and not view.prompt.endswith("\n"):
            yield DataError("begins with the newline that the prompt should end with", field)


def lengths(view: TrainerView, most: int, tokens: Tokenizer) -> Iterator[DataError]:
    """What the trainer cuts off, where that leaves nothing to learn from."""
    prompt = len(tokens(view.prompt))
    if prompt >= most:
        yield DataError(f"the prompt alone is {prompt} long: the row is dropped or cut to nothing")
    elif view.kind == "pair":
        first, second = (tokens(view.prompt + text) for _, text in view.sides)
        shared = common_length(first, second)
        if shared >= most:
            yield DataError(f"the sides part at {shared}, beyond where the trainer cuts them off")
    elif view.kind == "stepwise":
        at = prompt
        for field, text in view.sides:
            at += len(tokens(text))
            if at >= most:
                yield DataError(f"ends at {at}: its label and all later ones are cut off", field)
                return


def _characters(text: str) -> Any:
    return text
