"""How well and how fast answers are found and compared, on public data.

usage: python tests/bench/answers.py DIRECTORY

DIRECTORY holds math-500.jsonl (problem, answer), gsm8k-test.jsonl (question, answer) and
processbench-gsm8k.jsonl (problem, steps, final_answer_correct), as published.
"""

from __future__ import annotations

import json
import re
import sys
import time
from collections import Counter
from collections.abc import Iterator
from itertools import combinations
from pathlib import Path
from typing import Any

from stepkit.grade import Grader
from stepkit.text.answers import extract, reference

JOBS = 2
NUMBER = re.compile(r"-?[\d.,]+|-?\\d?frac\{\d+\}\{\d+\}")


def rows(path: Path) -> list[dict[str, Any]]:
    return [json.loads(line) for line in path.read_text().splitlines()]


def spellings(answer: str) -> Iterator[tuple[str, str]]:
    """The answer in other spellings that mean the same, where they apply."""
    yield "spaces", re.sub(r"(?<!\\)([+=])", r" \1 ", f" {answer} ")
    yield "\\dfrac", answer.replace("\\frac", "\\dfrac")
    if answer.count("(") == answer.count(")") and "[" not in answer and "left" not in answer:
        yield "\\left(", answer.replace("(", r"\left(").replace(")", r"\right)")
    if NUMBER.fullmatch(answer):
        for unit in (r" \text{ dollars}", " people", r"\,\mathrm{cm}^2"):
            yield "units", answer + unit
    for mark in ("$", "$$"):
        yield "dollar signs", f"{mark}{answer}{mark}"


def equal_to_themselves(answers: list[str]) -> None:
    asked = [(answer, other) for answer in answers for _, other in spellings(answer)]
    names = [name for answer in answers for name, _ in spellings(answer)]
    with Grader(JOBS) as grader:
        verdicts = grader.judge(asked)
    same = Counter(name for name, one in zip(names, verdicts, strict=True) if one.same)
    for name, count in Counter(names).items():
        print(f"  {name}: {same[name]} of {count}")
    for pair, verdict in zip(asked, verdicts, strict=True):
        if not verdict.same:
            print(f"  not the same: {pair} {verdict}")


def pairs(answers: list[str]) -> None:
    asked = list(combinations(sorted(set(answers)), 2))
    with Grader(JOBS) as grader:
        verdicts = grader.judge(asked)
    count = Counter(one.same for one in verdicts)
    print(f"  {count[False]} different, {count[None]} undecided, {count[True]} the same:")
    for pair, verdict in zip(asked, verdicts, strict=True):
        if verdict.same:
            print(f"    {pair[0]} | {pair[1]}")


def published_verdicts(attempts: list[dict[str, Any]], answers: dict[str, str]) -> None:
    asked = [
        (answers[one["problem"].strip()], extract("\n\n".join(one["steps"])), one["problem"])
        for one in attempts
    ]
    with Grader(JOBS) as grader:
        verdicts = grader.judge(asked)
    agree = 0
    for one, (answer, final, _), verdict in zip(attempts, asked, verdicts, strict=True):
        agree += verdict.same is one["final_answer_correct"]
        if verdict.same is None:
            print(f"  undecided: {one['id']}: {reference(answer)} | {final} | {verdict.reason}")
        elif verdict.same is not one["final_answer_correct"]:
            print(f"  otherwise: {one['id']}: {reference(answer)} | {final} | here {verdict.same}")
    decided = sum(one.same is not None for one in verdicts)
    left = len(attempts) - decided
    print(f"  {agree} of {decided} decided verdicts agree ({agree / decided:.1%})")
    print(f"  undecided: {left} of {len(attempts)} ({left / len(attempts):.1%})")


def timed(name: str, asked: list[tuple[str, str | None]]) -> None:
    start = time.perf_counter()
    with Grader(1) as grader:
        grader.grade(asked)
    print(f"  {name}: {1000 * (time.perf_counter() - start):.0f} ms for {len(asked)}")


def main(directory: Path) -> None:
    math = [row["answer"] for row in rows(directory / "math-500.jsonl")]
    gsm = {row["question"].strip(): row["answer"] for row in rows(directory / "gsm8k-test.jsonl")}
    attempts = rows(directory / "processbench-gsm8k.jsonl")
    plain = [answer.rpartition("#### ")[2] for answer in gsm.values()]
    print("references equal themselves in other spellings: MATH-500 and GSM8K test")
    equal_to_themselves([*math, *plain])
    print("verdicts of ProcessBench (gsm8k), by the references of GSM8K")
    published_verdicts(attempts, gsm)
    print("speed, one process")
    timed("MATH-500 against itself", [(answer, answer) for answer in math])
    texts = ["\n\n".join(one["steps"]) for one in attempts]
    start = time.perf_counter()
    finals = [extract(text) for text in texts]
    print(f"  answers found: {1000 * (time.perf_counter() - start):.0f} ms for {len(texts)}")
    answers = [gsm[one["problem"].strip()] for one in attempts]
    timed("attempts at GSM8K", list(zip(answers, finals, strict=True)))
    print("pairs of different references of MATH-500")
    pairs(math)


if __name__ == "__main__":
    main(Path(sys.argv[1]))
