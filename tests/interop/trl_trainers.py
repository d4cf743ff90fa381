"""TRL itself on our rows: DPO, KTO, Reward and PRM preparation, and short real runs.

What is asserted is what the loss sees: which tokens are prompt, which are trained on, where the
end-of-text token stands and how often, which label a step has.
"""

from __future__ import annotations

import json
import math
import os
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
from harness import BUILD, Rows, load


def settings(tmp_path: Path) -> dict[str, Any]:
    """A run of a few steps on the CPU."""
    return {
        "output_dir": str(tmp_path),
        "report_to": "none",
        "per_device_train_batch_size": 4,
        "max_steps": 3,
        "logging_steps": 1,
        "save_strategy": "no",
        "use_cpu": True,
        "bf16": False,
    }


def dpo(model: Path, dataset: Any, tokenizer: Any, tmp_path: Path, **more: Any) -> Any:
    from trl import DPOConfig, DPOTrainer

    config = DPOConfig(**settings(tmp_path), **more)
    return DPOTrainer(str(model), args=config, train_dataset=dataset, processing_class=tokenizer)


def losses(trainer: Any) -> list[float]:
    """Train, and return the loss of every step."""
    trainer.train()
    return [entry["loss"] for entry in trainer.state.log_history if "loss" in entry]


@pytest.mark.parametrize("scope", ["continuation", "full"])
def test_dpo_sees_the_very_texts_with_one_end_of_text(
    scope: str, rows: Rows, model: Path, tokenizer: Any, tmp_path: Path
) -> None:
    dataset = load(rows("trl-dpo", "--scope", scope))
    prepared = dpo(model, dataset, tokenizer, tmp_path).train_dataset
    assert len(prepared) == len(dataset) > 0
    for ours, theirs in zip(dataset, prepared, strict=True):
        assert tokenizer.decode(theirs["prompt_ids"]) == ours["prompt"]
        for side in ("chosen", "rejected"):
            ids = theirs[f"{side}_ids"]
            assert tokenizer.decode(ids[:-1]) == ours[side]
            assert ids[-1] == tokenizer.eos_token_id and ids.count(tokenizer.eos_token_id) == 1
            whole = tokenizer(ours["prompt"] + ours[side]).input_ids
            assert theirs["prompt_ids"] + ids[:-1] == whole


def test_a_chat_opens_one_answer_and_closes_it(
    rows: Rows, model: Path, tokenizer: Any, tmp_path: Path
) -> None:
    dataset = load(rows("trl-dpo", "--scope", "full", "--conversational"))
    header = "<|im_start|>assistant\n"
    for row in dpo(model, dataset, tokenizer, tmp_path).train_dataset:
        prompt, chosen = (tokenizer.decode(row[key]) for key in ("prompt_ids", "chosen_ids"))
        assert prompt.endswith(header) and (prompt + chosen).count(header) == 1
        assert chosen == row["chosen"][0]["content"] + "<|im_end|>\n"


def test_what_our_refusals_prevent_is_what_trl_does(
    model: Path, tokenizer: Any, tmp_path: Path
) -> None:
    """An assistant's turn at the end of a prompt opens a second one; a step gets an end."""
    from datasets import Dataset

    user = {"role": "user", "content": "2 + 2?"}
    opening_turn = {"role": "assistant", "content": "I add."}
    sides = ({"role": "assistant", "content": "4."}, {"role": "assistant", "content": "5."})
    chat = {"prompt": [user, opening_turn], "chosen": [sides[0]], "rejected": [sides[1]]}
    row = dpo(model, Dataset.from_list([chat]), tokenizer, tmp_path).train_dataset[0]
    text = tokenizer.decode(row["prompt_ids"] + row["chosen_ids"])
    assert text.count("<|im_start|>assistant") == 2
    step = {"prompt": "2 + 2?\n", "chosen": "2 + 2 = 4.\n", "rejected": "2 + 2 = 5.\n"}
    row = dpo(model, Dataset.from_list([step]), tokenizer, tmp_path).train_dataset[0]
    assert row["chosen_ids"][-1] == tokenizer.eos_token_id


def test_dpo_trains_on_several_files_streamed_or_not(
    rows: Rows, model: Path, tokenizer: Any, tmp_path: Path
) -> None:
    files = (rows("trl-dpo"), rows("trl-dpo", "--scope", "full"))
    whole, streamed = load(*files), load(*files, streaming=True)
    assert list(streamed) == list(whole)
    for dataset in (whole, streamed):
        found = losses(dpo(model, dataset, tokenizer, tmp_path))
        assert len(found) == 3 and all(map(math.isfinite, found))
        # Before the first update the policy is its own reference: the loss is log 2.
        assert found[0] == pytest.approx(math.log(2), abs=1e-3)


@pytest.mark.parametrize("options", [(), ("--scope", "full", "--conversational")])
def test_kto_has_the_labels_and_one_end_of_text(
    options: tuple[str, ...], rows: Rows, model: Path, tokenizer: Any, tmp_path: Path
) -> None:
    from trl import KTOConfig, KTOTrainer

    dataset = load(rows("trl-kto", *options))
    trainer = KTOTrainer(
        str(model),
        args=KTOConfig(**settings(tmp_path)),
        train_dataset=dataset,
        processing_class=tokenizer,
    )
    labels = []
    for ours, theirs in zip(dataset, trainer.train_dataset, strict=True):
        text = tokenizer.decode(theirs["completion_ids"])
        whole = ours["completion"][0]["content"] if options else ours["completion"]
        assert text == whole + ("<|im_end|>\n" if options else "<|im_end|>")
        labels.append(theirs["label"])
    assert labels == dataset["label"][:] and set(labels) == {True, False}
    assert all(map(math.isfinite, losses(trainer)))


@pytest.mark.parametrize("options", [(), ("--scope", "full", "--conversational")])
def test_reward_models_see_whole_answers_and_no_margin(
    options: tuple[str, ...], rows: Rows, model: Path, tokenizer: Any, tmp_path: Path
) -> None:
    from transformers import AutoModelForSequenceClassification
    from trl import RewardConfig, RewardTrainer

    dataset = load(rows("trl-reward", *options))
    trainer = RewardTrainer(
        AutoModelForSequenceClassification.from_pretrained(model, num_labels=1),
        args=RewardConfig(**settings(tmp_path)),
        train_dataset=dataset,
        processing_class=tokenizer,
    )
    assert "margin" not in trainer.train_dataset.column_names
    for ours, theirs in zip(dataset, trainer.train_dataset, strict=True):
        for side in ("chosen", "rejected"):
            text = tokenizer.decode(theirs[f"{side}_ids"])
            if options:
                turns = ours["prompt"] + ours[side]
                assert text == tokenizer.apply_chat_template(turns, tokenize=False)
            else:
                assert text == ours["prompt"] + ours[side] + "<|im_end|>"
    assert all(map(math.isfinite, losses(trainer)))


def test_process_rewards_have_their_label_at_the_end_of_each_step(
    rows: Rows, model: Path, tokenizer: Any, tmp_path: Path
) -> None:
    path = rows("trl-prm")
    environment = os.environ | {"PYTHONPATH": str(BUILD / "trl-prm")}
    script = str(Path(__file__).with_name("prm.py"))
    done = subprocess.run(
        [sys.executable, script, str(path), str(model), str(tmp_path)],
        env=environment,
        stdout=subprocess.PIPE,
        check=True,
    )
    result = json.loads(done.stdout.splitlines()[-1])
    given = [json.loads(line) for line in path.read_text().splitlines()]
    assert result["trl"] == "1.13.0" and len(result["rows"]) == len(given)
    assert {label for row in given for label in row["labels"]} >= {0, 1}
    for ours, theirs in zip(given, result["rows"], strict=True):
        text, ends = ours["prompt"], []
        for step in ours["completions"]:
            text += step + "\n"
            ends.append(len(text))
        assert tokenizer.decode(theirs["input_ids"]) == text
        at, found = 0, {}
        for token, label in zip(theirs["input_ids"], theirs["labels"], strict=True):
            at += len(tokenizer.decode([token]))
            if label != -100:
                found[at] = label
        given_labels = {end: y for end, y in zip(ends, ours["labels"], strict=True) if y != -100}
        assert found == given_labels
    assert all(map(math.isfinite, result["losses"]))


def test_plain_rows_of_every_kind_load_whole_and_streamed(rows: Rows) -> None:
    for rule in ("best-worst", "kto", "prm", "weighted", "filter"):
        files = (rows("plain", "--rule", rule), rows("plain", "--rule", rule))
        whole = load(*files)
        assert list(load(*files, streaming=True)) == list(whole)
        lines = [json.loads(line) for file in files for line in file.read_text().splitlines()]
        assert list(whole) == lines
