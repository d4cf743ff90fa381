"""The data code of the other trainers on our rows: what they keep, and what they train on."""

from __future__ import annotations

import importlib.machinery
import json
import sys
from collections.abc import Sequence
from pathlib import Path
from types import ModuleType, SimpleNamespace
from typing import Any

import pytest
from harness import Rows, load

CHAT = ("--scope", "full", "--conversational")
MASK = -100


@pytest.fixture(autouse=True)
def without_audio(monkeypatch: pytest.MonkeyPatch) -> None:
    """LLaMA-Factory imports torchaudio, which text never reaches and not every torch has."""
    stand_in = ModuleType("torchaudio")
    stand_in.__spec__ = importlib.machinery.ModuleSpec("torchaudio", None)
    monkeypatch.setitem(sys.modules, "torchaudio", stand_in)


def trained(tokenizer: Any, labels: Sequence[int]) -> str:
    """The text that a loss looks at."""
    return str(tokenizer.decode([label for label in labels if label != MASK]))


def lines(path: Path) -> list[dict[str, Any]]:
    return [json.loads(line) for line in path.read_text().splitlines()]


def llamafactory(path: Path) -> Any:
    """The rows as LLaMA-Factory has them, found through the dataset_info.json next to them."""
    from llamafactory.data.converter import get_dataset_converter
    from llamafactory.data.parser import get_dataset_list

    (attributes,) = get_dataset_list([path.stem], str(path.parent))
    rows = load(path.parent / attributes.dataset_name)
    convert = get_dataset_converter(
        attributes.formatting, attributes, SimpleNamespace(media_dir="")
    )
    return rows.map(convert, remove_columns=rows.column_names)


def processed(kind: str, rows: Any, tokenizer: Any) -> dict[str, list[Any]]:
    """The rows as LLaMA-Factory's own template lays them out."""
    from llamafactory.data import processor
    from llamafactory.data.template import TEMPLATES

    process = getattr(processor, f"{kind}DatasetProcessor")(
        template=TEMPLATES["qwen"],
        tokenizer=tokenizer,
        processor=None,
        data_args=SimpleNamespace(cutoff_len=1024, train_on_prompt=False, mask_history=False),
    )
    found: dict[str, list[Any]] = process.preprocess_dataset(rows[:])
    return found


def test_llamafactory_keeps_every_pair(rows: Rows, tokenizer: Any) -> None:
    path = rows("llamafactory", "--scope", "full")
    found = processed("Pairwise", llamafactory(path), tokenizer)
    for row, chosen, rejected in zip(
        lines(path), found["chosen_labels"], found["rejected_labels"], strict=True
    ):
        assert trained(tokenizer, chosen) == row["chosen"]["value"] + "<|im_end|>\n"
        assert trained(tokenizer, rejected) == row["rejected"]["value"] + "<|im_end|>\n"


def test_llamafactory_reads_the_tag_of_every_unpaired_row(rows: Rows, tokenizer: Any) -> None:
    path = rows("llamafactory", "--rule", "kto")
    found = processed("Feedback", llamafactory(path), tokenizer)
    assert found["kto_tags"] == [row["kto_tag"] for row in lines(path)]
    for row, labels in zip(lines(path), found["labels"], strict=True):
        assert trained(tokenizer, labels) == row["conversations"][-1]["value"] + "<|im_end|>\n"


def test_llamafactory_trains_on_the_answer_alone(rows: Rows, tokenizer: Any) -> None:
    path = rows("llamafactory", "--rule", "filter")
    found = processed("Supervised", llamafactory(path), tokenizer)
    for row, labels in zip(lines(path), found["labels"], strict=True):
        assert trained(tokenizer, labels) == row["conversations"][-1]["value"] + "<|im_end|>\n"


@pytest.mark.parametrize("options", [(), CHAT])
def test_openrlhf_ends_every_side_once(
    options: tuple[str, ...], rows: Rows, tokenizer: Any
) -> None:
    from openrlhf.datasets.reward_dataset import RewardDataset

    path = rows("openrlhf", *options)
    keys = {key: key.partition("_")[0] for key in ("prompt_key", "chosen_key", "rejected_key")}
    data = SimpleNamespace(**keys, apply_chat_template=bool(options))
    strategy = SimpleNamespace(args=SimpleNamespace(data=data))
    prepared = RewardDataset(load(path), tokenizer, 1024, strategy, is_dpo=True, num_processors=1)
    assert len(prepared) == len(lines(path))
    for row, one in zip(lines(path), (prepared[i] for i in range(len(prepared))), strict=True):
        chosen, _, rejected, _, start = one
        for ids, side in ((chosen[0], "chosen"), (rejected[0], "rejected")):
            text = tokenizer.decode(ids[start:])
            if options:
                assert text == row[side][0]["content"] + "<|im_end|>"
            else:
                assert text == row[side].rstrip("\n") + " <|im_end|>"


def test_verl_reads_the_parquet_beside_the_rows(rows: Rows, tokenizer: Any, tmp_path: Path) -> None:
    from verl.utils.dataset.rm_dataset import RMDataset

    path = rows("verl")
    file = str(path.with_suffix(".parquet"))
    prepared = RMDataset(file, tokenizer, max_length=1024, cache_dir=str(tmp_path))
    for index, row in enumerate(lines(path)):
        one = prepared[index]
        for side, ids, mask in zip(
            ("chosen", "rejected"), one["input_ids"], one["attention_mask"], strict=True
        ):
            assert tokenizer.decode(ids[mask.bool()]) == row["prompt"] + row[side] + "<|im_end|>"


def test_axolotl_finds_the_sides_in_its_template(rows: Rows, tokenizer: Any) -> None:
    from axolotl.prompt_strategies.dpo.chat_template import default
    from axolotl.utils.dict import DictDefault

    kind = {"type": "chat_template.default"}
    transform, _ = default(DictDefault({"chat_template": "tokenizer_default", "datasets": [kind]}))
    for row in lines(rows("axolotl", *CHAT)):
        made = transform(row, tokenizer=tokenizer)
        assert made["prompt"].count("<|im_start|>assistant") == 1
        assert made["chosen"] == row["chosen"]["content"] + "<|im_end|>"
        assert made["rejected"] == row["rejected"]["content"] + "<|im_end|>"


def test_axolotl_labels_every_step(rows: Rows, tokenizer: Any) -> None:
    from axolotl.prompt_strategies.stepwise_supervised import (
        StepwiseSupervisedPromptTokenizingStrategy,
    )

    strategy = StepwiseSupervisedPromptTokenizingStrategy(tokenizer)
    for row in lines(rows("axolotl", "--rule", "prm")):
        made = strategy.tokenize_prompt(row)
        text = row["prompt"] + "".join(step + "\n" for step in row["completions"])
        assert tokenizer.decode(made["input_ids"]) == text
        kept = [label for label in made["labels"] if label != MASK]
        assert kept == [label for label in row["labels"] if label != MASK]


def swift(tokenizer: Any, mode: str) -> Any:
    """ms-swift's template for Qwen, with weights that are not only 0 and 1."""
    from swift.template import TEMPLATE_MAPPING
    from swift.template.base import Template
    from transformers import AutoConfig

    tokenizer.model_info = SimpleNamespace(
        task_type="causal_lm",
        max_model_len=1024,
        config=AutoConfig.from_pretrained(tokenizer.name_or_path),
    )
    tokenizer.model_meta = SimpleNamespace(template="qwen2_5", is_multimodal=False)
    meta = TEMPLATE_MAPPING["qwen2_5"]
    template = (meta.template_cls or Template)(tokenizer, meta, is_binary_loss_scale=False)
    template.set_mode(mode)
    return template


def test_swift_compares_the_two_answers(rows: Rows, tokenizer: Any) -> None:
    from swift.dataset.preprocessor.core import AutoPreprocessor

    path = rows("ms-swift", "--scope", "full")
    kept = AutoPreprocessor()(load(path), load_from_cache_file=False)
    template = swift(tokenizer, "rlhf")
    for row, one in zip(lines(path), kept, strict=True):
        texts = {key: one[key] for key in ("messages", "rejected_response")}
        made = template.encode(texts)
        chosen = row["messages"][-1]["content"]
        assert trained(tokenizer, made["chosen_labels"]) == chosen + "<|im_end|>\n"
        rejected = row["rejected_response"]
        assert trained(tokenizer, made["rejected_labels"]) == rejected + "<|im_end|>\n"
        assert "margin" not in made


def test_swift_weighs_every_step(rows: Rows, tokenizer: Any) -> None:
    template = swift(tokenizer, "train")
    weights: set[float] = set()
    for row in lines(rows("ms-swift", "--rule", "weighted")):
        made = template.encode({"messages": row["messages"]})
        spent: dict[float, str] = {}
        for token, weight in zip(made["input_ids"], made["loss_scale"], strict=True):
            if weight:
                spent[weight] = spent.get(weight, "") + tokenizer.decode([token])
        given: dict[float, str] = {}
        for message in row["messages"]:
            weight = message["loss_scale"]
            given[weight] = given.get(weight, "") + message["content"]
        given.pop(0.0)
        given[1.0] = given.get(1.0, "") + "<|im_end|>\n"
        assert spent == given
        weights |= given.keys()
    assert weights - {1.0}
