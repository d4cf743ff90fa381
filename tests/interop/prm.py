"""PRMTrainer's preparation of a file of rows and a short run, as JSON. TRL had it up to 1.13.

python prm.py ROWS MODEL DIRECTORY
"""

from __future__ import annotations

import json
import sys
from pathlib import Path

import trl
from harness import load
from transformers import AutoModelForTokenClassification, AutoTokenizer
from trl.experimental.prm import PRMConfig, PRMTrainer


def main(rows: str, model: str, directory: str) -> None:
    trainer = PRMTrainer(
        AutoModelForTokenClassification.from_pretrained(model, num_labels=2),
        args=PRMConfig(
            output_dir=directory,
            report_to="none",
            max_steps=3,
            logging_steps=1,
            save_strategy="no",
            use_cpu=True,
            bf16=False,
        ),
        train_dataset=load(Path(rows)),
        processing_class=AutoTokenizer.from_pretrained(model),
    )
    columns = ("input_ids", "labels")
    prepared = [{key: row[key] for key in columns} for row in trainer.train_dataset]
    trainer.train()
    losses = [entry["loss"] for entry in trainer.state.log_history if "loss" in entry]
    sys.stdout.write(
        "\n" + json.dumps({"trl": trl.__version__, "rows": prepared, "losses": losses})
    )


if __name__ == "__main__":
    main(*sys.argv[1:])
