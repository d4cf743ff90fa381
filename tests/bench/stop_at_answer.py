"""What --stop-at-answer saves on attempts that were drawn to their end, and which answers change.

    FILE="attempts.jsonl ..." MODEL=model.gguf python tests/bench/stop_at_answer.py

Each attempt with its token ids is written again token by token (MODEL has their texts), as a draw
is: with the option it would have ended after the token that completes its answer. An attempt
without ids, as other people's are, is read word by word. Prints for each file the tokens drawn, the
tokens that the option saves, and every answer that is another one then, with both texts.
"""

from __future__ import annotations

import json
import os
import re
import sys
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any, NamedTuple

sys.path.insert(0, str(Path(__file__).resolve().parents[2]))

from stepkit.model.local.llama import Model
from stepkit.text.answer_end import AnswerEnd
from stepkit.text.answer_equality import quick
from stepkit.text.answers import extract

WORD = re.compile(r"\d| ?[^\W\d]+|\s|[^\w\s]+|_")
SHOWN = 100  # characters of a text


class Ended(NamedTuple):
    """An attempt: tokens of all of it and up to its answer, its text, and that text."""

    whole: int
    kept: int
    text: str
    cut: str


def growing(attempt: dict[str, Any], pieces: list[bytes] | None) -> list[str]:
    """The text after each token."""
    sample = attempt.get("sample") or {}
    if pieces is None or not sample.get("ids"):
        text = attempt.get("response") or "\n\n".join(attempt["steps"])
        return [text[: match.end()] for match in WORD.finditer(text)]
    raw, texts = b"", []
    for token in sample["ids"]:
        raw += pieces[token]
        texts.append(raw.decode("utf-8", "ignore"))
    return texts


def ended(attempt: dict[str, Any], pieces: list[bytes] | None) -> Ended:
    texts, is_complete = growing(attempt, pieces), AnswerEnd()
    for count, text in enumerate(texts, 1):
        if is_complete(text):
            return Ended(len(texts), count, texts[-1], text)
    return Ended(len(texts), len(texts), texts[-1] if texts else "", texts[-1] if texts else "")


def attempts(path: str) -> Iterator[dict[str, Any]]:
    with open(path, encoding="utf-8") as lines:
        for line in lines:
            record = json.loads(line)
            if record.get("response") or record.get("steps"):
                yield record


def main() -> None:
    model = os.environ.get("MODEL")
    pieces = Model(model, vocabulary_only=True).pieces if model else None
    changed: list[tuple[str, Ended]] = []
    print(f"{'file':40} {'attempts':>8} {'with answer':>11} {'end there':>9} {'tokens':>8}"
          f" {'saved':>6} {'answers changed':>15} {'us/token':>8}")  # fmt: skip
    for path in os.environ["FILE"].split():
        begin = time.perf_counter()
        found = [ended(attempt, pieces) for attempt in attempts(path)]
        micro = 1e6 * (time.perf_counter() - begin) / max(1, sum(one.kept for one in found))
        answers = [(extract(one.text), extract(one.cut)) for one in found]
        other = [one for one, (whole, cut) in zip(found, answers, strict=True)
                 if whole != cut and not (whole and cut and quick(whole, cut))]  # fmt: skip
        changed += [(Path(path).name, one) for one in other]
        tokens = sum(one.whole for one in found)
        saved = 1 - sum(one.kept for one in found) / max(1, tokens)
        print(f"{Path(path).stem:40} {len(found):8} {sum(a is not None for a, _ in answers):11}"
              f" {sum(one.kept < one.whole for one in found):9} {tokens:8,} {saved:6.1%}"
              f" {len(other):15} {micro:8.1f}")  # fmt: skip
    for name, one in changed:
        print(f"\n{name}: {extract(one.cut)} where it was {extract(one.text)}")
        print(f"  ends   {one.cut[-SHOWN:]!r}")
        print(f"  before {one.text[len(one.cut) :][:SHOWN]!r}")


if __name__ == "__main__":
    main()
