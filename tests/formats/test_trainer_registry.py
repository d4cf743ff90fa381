"""The rows that step-pairs writes for each trainer, read back as the trainer reads them."""

from __future__ import annotations

import io
import json
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from stepkit.core.training_rows import (
    AdvantageRow,
    PairRow,
    PairSide,
    RankedRow,
    RowOrigin,
    StepwiseRow,
    TextRow,
    UnpairedRow,
    WeightedRow,
)
from stepkit.errors import DataError, UsageError
from stepkit.formats import llamafactory, trainer_registry
from stepkit.formats.column_types import ColumnTypes
from stepkit.formats.row_checker import RowChecker
from stepkit.formats.row_layout import RowLayout, boundary, common
from stepkit.formats.row_views import TrainerView
from stepkit.formats.trainer_registry import KINDS, TARGETS, Row
from stepkit.schema import Json

RECORD: Json = {"id": "t/0", "group": "t", "problem": "2 + 2?"}
ORIGIN = RowOrigin("best-worst", 1, 1, ("t/0",), ("a", "b"))
STEPS = ("2 + 2 = 5.\n", "So 5.")
GOOD = PairSide("2 + 2 = 4.\nSo 4.", 3, 4, 0.75, True)
POOR = PairSide("2 + 2 = 5.\nSo 5.", 0, 4, 0.0, True)

ROWS: dict[str, Row] = {
    "pair": PairRow("I add.\n", GOOD, POOR, 0.9, 1.0, ORIGIN),
    "ranked": RankedRow("I add.\n", (GOOD, POOR), ORIGIN),
    "unpaired": UnpairedRow("I add.\n", GOOD, True, ORIGIN),
    "stepwise": StepwiseRow(STEPS, (False, None), ORIGIN),
    "weighted": WeightedRow(STEPS, (0.5, 0.0), True, ORIGIN),
    "text": TextRow("", GOOD, ORIGIN),
    "advantage": AdvantageRow(STEPS, (0.5, 0.0), (-0.25, -0.5), (2, 0), (4, 4), ORIGIN),
}
TAKEN = [
    (name, kind)
    for name, target in TARGETS.items()
    for kind, cls in KINDS.items()
    if cls in target.rows
]
LIVE = {
    *("margin", "messages", "prompts", "completions", "images", "tools", "input_ids", "label"),
    *("prompt_ids", "chosen_ids", "rejected_ids", "chat_template_kwargs", "system", "channel"),
    *("ref_chosen_logps", "ref_rejected_logps", "reference", "answers", "objects", "history"),
}
"""Names that one trainer or another gives a meaning to (research of their loading code)."""


def written(name: str, row: Row, record: Json = RECORD, **layout: Any) -> Json:
    kind = next(kind for kind, cls in KINDS.items() if cls is type(row))
    settled = trainer_registry.settle_layout(name, kind, RowLayout(**{"scope": "full", **layout}))
    return trainer_registry.write_row(name, row, record, settled)


def seen(name: str, row: Json) -> TrainerView:
    """The row as its trainer reads it."""
    shape = next(shape for shape in TARGETS[name].shapes if all(c in row for c in shape.columns))
    return shape.read(row)


@pytest.mark.parametrize("name, kind", TAKEN)
def test_every_row_is_clean_for_its_trainer(name: str, kind: str) -> None:
    row = written(name, ROWS[kind])
    assert list(RowChecker(name).row(row)) == []
    columns = ColumnTypes()
    assert [*columns.complaints(row), *columns.complaints(json.loads(json.dumps(row)))] == []


@pytest.mark.parametrize("name, kind", TAKEN)
def test_what_stands_beside_the_texts_has_no_name_that_is_live(name: str, kind: str) -> None:
    metadata = {"id", "group", "source", "draws", "step", "rule", "rule_version", "scope"}
    row = written(name, ROWS[kind])
    assert metadata <= row.keys()
    texts = set(row) & LIVE
    shape = {c for shape in TARGETS[name].shapes for c in shape.columns}
    assert texts <= shape or name == "plain"


@pytest.mark.parametrize("name, kind", TAKEN)
def test_equal_rows_have_equal_ids_and_others_do_not(name: str, kind: str) -> None:
    row = ROWS[kind]
    assert written(name, row)["id"] == written(name, row)["id"]
    assert written(name, row)["id"] != written(name, row, RECORD | {"problem": "3?"})["id"]


PAIRS = [name for name, kind in TAKEN if kind == "pair"]
STRINGS = [name for name in PAIRS if TARGETS[name].chat is not True]
CHATS = [name for name in PAIRS if TARGETS[name].chat is not False]

words = st.text(st.sampled_from("ab .\n+4?"), min_size=1, max_size=12).filter(str.strip)


@given(words, words, words, words)
@pytest.mark.parametrize("name", STRINGS)
@pytest.mark.parametrize("scope", ["full", "continuation"])
def test_prompt_and_side_join_to_the_very_text(
    name: str, scope: str, problem: str, prefix: str, one: str, other: str
) -> None:
    pair = PairRow(prefix, GOOD._replace(text=one), POOR._replace(text=other), 0.9, 1.0, ORIGIN)
    view = seen(name, written(name, pair, RECORD | {"problem": problem}, scope=scope))
    joined = [view.prompt + text for _, text in view.sides]
    assert joined == [f"{problem}\n{prefix}{one}", f"{problem}\n{prefix}{other}"]
    assert not view.prompt.endswith(" ")


@given(words, words, words)
@pytest.mark.parametrize("name", CHATS)
def test_a_chat_holds_the_whole_answer_after_the_users_turn(
    name: str, prefix: str, one: str, other: str
) -> None:
    pair = PairRow(prefix, GOOD._replace(text=one), POOR._replace(text=other), 0.9, 1.0, ORIGIN)
    view = seen(name, written(name, pair, chat=True))
    assert view.chat and view.prompt in ("user: 2 + 2?", "human: 2 + 2?")
    assert [text for _, text in view.sides] == [(prefix + one).strip(), (prefix + other).strip()]


@pytest.mark.parametrize("name", [name for name, kind in TAKEN if kind == "text"])
def test_a_chat_that_is_imitated_is_asked_and_answered_once(name: str) -> None:
    only = TextRow in TARGETS[name].only_chats or TARGETS[name].chat is True
    view = seen(name, written(name, ROWS["text"], chat=not only))
    assert trainer_registry.settle_layout(name, "text", RowLayout(scope="full", chat=not only)).chat
    assert view.chat and view.prompt in ("user: 2 + 2?", "human: 2 + 2?")
    assert [text for _, text in view.sides] == [GOOD.text]


@pytest.mark.parametrize("name", CHATS)
def test_the_messages_of_the_record_come_before_the_answer(name: str) -> None:
    turns = [{"role": "system", "content": "Add."}, {"role": "user", "content": "2 + 2?"}]
    view = seen(name, written(name, ROWS["pair"], {"id": "t", "prompt": turns}, chat=True))
    assert view.prompt in ("system: Add.\nuser: 2 + 2?", "system: Add.\nhuman: 2 + 2?")
    turns.append({"role": "assistant", "content": "Well,"})
    with pytest.raises(DataError, match="ends with the assistant's turn"):
        written(name, ROWS["pair"], {"id": "t", "prompt": turns}, chat=True)


@pytest.mark.parametrize("name", [name for name in TARGETS if TARGETS[name].ends])
@pytest.mark.parametrize("kind", ["pair", "unpaired"])
def test_end_of_text_after_a_single_step_is_refused(name: str, kind: str) -> None:
    if KINDS[kind] in TARGETS[name].rows:
        with pytest.raises(UsageError, match="teach the model to stop after a step"):
            trainer_registry.settle_layout(name, kind, RowLayout(scope="step", chat=False))


@pytest.mark.parametrize("name", CHATS)
def test_second_assistant_header_is_refused(name: str) -> None:
    with pytest.raises(UsageError, match="use --scope full"):
        trainer_registry.settle_layout(name, "pair", RowLayout(scope="continuation", chat=True))


@pytest.mark.parametrize("name, kind", TAKEN)
def test_an_attempt_that_was_cut_off_is_refused(name: str, kind: str) -> None:
    row = ROWS[kind]
    cut = POOR._replace(ended=False)
    if isinstance(row, PairRow):
        row = row._replace(rejected=cut)
    elif isinstance(row, RankedRow):
        row = row._replace(sides=(GOOD, cut))
    elif isinstance(row, (UnpairedRow, TextRow)):
        row = row._replace(side=cut)
    elif isinstance(row, WeightedRow):
        row = row._replace(ended=False)
    else:
        return
    if TARGETS[name].ends:
        with pytest.raises(DataError, match="the attempt was cut off"):
            written(name, row)
    else:
        assert written(name, row)


@pytest.mark.parametrize(
    "name, kind, layout, part",
    [
        ("trl-dpo", "stepwise", {}, "takes no stepwise rows; those that do: trl-prm, axolotl"),
        ("nemo-rl", "ranked", {}, "takes no ranked rows; those that do: plain"),
        ("trl-prm", "stepwise", {"chat": True}, "has no chats of stepwise rows"),
        ("axolotl", "stepwise", {"chat": True}, "has no chats of stepwise rows"),
        ("plain", "weighted", {"chat": True}, "has no chats of weighted rows"),
        ("verl", "pair", {"chat": True}, "has no chats"),
        ("trl-prm", "stepwise", {"prompt": "{problem}"}, "end --prompt with"),
        ("axolotl", "stepwise", {"prompt": "{problem}"}, "end --prompt with"),
    ],
)
def test_what_a_target_refuses(name: str, kind: str, layout: Json, part: str) -> None:
    with pytest.raises(UsageError, match=part):
        trainer_registry.settle_layout(name, kind, RowLayout(**layout))


def test_process_rewards_are_whole_numbers_without_the_trainers_newline() -> None:
    row = written("trl-prm", ROWS["stepwise"])
    assert row["completions"] == ["2 + 2 = 5.", "So 5."]
    assert row["labels"] == [0, -100] and all(type(label) is int for label in row["labels"])
    for bad in (0.7, -100):
        with pytest.raises(DataError, match="knows nothing between"):
            written("trl-prm", StepwiseRow(STEPS, (bad, None), ORIGIN))
    with pytest.raises(DataError, match="nothing but white space"):
        written("trl-prm", StepwiseRow(("a\n", "\n"), (True, True), ORIGIN))


def test_soft_labels_and_masks_stay_in_plain_rows() -> None:
    row = written("plain", StepwiseRow(STEPS, (0.7, None), ORIGIN))
    assert (row["labels"], row["masked"]) == ([0.7, 0.0], [False, True])
    assert "".join(row["steps"]) == "".join(STEPS)


def test_math_shepherd_marks() -> None:
    row = written(
        "math-shepherd", StepwiseRow(("Step 1: a\n", "b\n", "c"), (True, False, None), ORIGIN)
    )
    assert row["input"] == "2 + 2? Step 1: a ки\nb ки"
    assert row["label"] == "2 + 2? Step 1: a +\nb -"
    with pytest.raises(DataError, match="where it is the mark of a step"):
        written("math-shepherd", StepwiseRow(("a ки\n",), (True,), ORIGIN))


def test_rlhflow_turns() -> None:
    row = written("rlhflow", StepwiseRow(("a\n", "b\n"), (True, False), ORIGIN))
    turns = [(turn["role"], turn["content"]) for turn in row["conversations"]]
    assert turns == [("user", "2 + 2? a"), ("assistant", "+"), ("user", "b"), ("assistant", "-")]


@pytest.mark.parametrize("name", ["math-shepherd", "rlhflow"])
@pytest.mark.parametrize("labels", [(None, True), (None, None)])
def test_a_mask_that_a_format_cannot_write(name: str, labels: tuple[None, Any]) -> None:
    with pytest.raises(DataError, match="this format has no mask"):
        written(name, StepwiseRow(STEPS, labels, ORIGIN))


def test_weights_of_steps_join_to_the_response() -> None:
    messages = written("ms-swift", ROWS["weighted"])["messages"]
    assert [one["loss_scale"] for one in messages] == [0.0, 0.5, 0.0]
    assert "".join(one["content"] for one in messages[1:]) == "".join(STEPS)
    with pytest.raises(DataError, match="clip it at 0"):
        written("ms-swift", WeightedRow(STEPS, (0.5, -0.1), True, ORIGIN))


def test_llamafactory_finds_its_rows() -> None:
    known = {"other": {"file_name": "other.json"}}
    info = llamafactory.dataset_info("dpo.jsonl", "pair", known)
    assert info["other"] == known["other"]
    assert info["dpo"]["file_name"] == "dpo.jsonl" and info["dpo"]["ranking"] is True
    assert info["dpo"]["columns"] == {
        "messages": "conversations",
        "chosen": "chosen",
        "rejected": "rejected",
    }
    kto = llamafactory.dataset_info("k.jsonl", "unpaired", {})["k"]
    assert (kto["ranking"], kto["columns"]["kto_tag"]) == (False, "kto_tag")
    with pytest.raises(DataError, match="no such role"):
        turns = [{"role": "critic", "content": "Add."}, {"role": "user", "content": "2?"}]
        written("llamafactory", ROWS["pair"], {"id": "t", "prompt": turns})


def test_parquet_in_small_row_groups(monkeypatch: pytest.MonkeyPatch) -> None:
    parquet = pytest.importorskip("pyarrow.parquet")
    from stepkit.formats import parquet as ours

    monkeypatch.setattr(ours, "GROUP", 3)
    rows = [written("verl", ROWS["pair"], RECORD | {"problem": str(n)}) for n in range(8)]
    data = io.BytesIO()
    assert ours.write(iter(rows), data.write) == 8
    file = parquet.ParquetFile(io.BytesIO(data.getvalue()))
    assert file.num_row_groups == 3
    assert file.read().to_pylist() == rows


@given(st.text(), st.lists(st.text(), min_size=1, max_size=4))
def test_boundary_keeps_the_text(prompt: str, sides: list[str]) -> None:
    before, after = boundary(prompt, sides)
    assert [before + side for side in after] == [prompt + side for side in sides]


@given(st.lists(st.text(st.sampled_from("ab")), min_size=1, max_size=4))
def test_common_is_the_longest_shared_beginning(texts: list[str]) -> None:
    shared = common(texts)
    assert all(text.startswith(shared) for text in texts)
    longer = {text[: len(shared) + 1] for text in texts}
    assert len(longer) > 1 or shared in texts
