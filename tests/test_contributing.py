"""CONTRIBUTING.md is true: the layers and names are there, records go the way that it says, and its
recipes are followed to the letter in a copy of the package.

The sentence before a block of ``python`` says where it goes: "Append to `FILE`:", "Create `FILE`:",
or "Above (Below) the line `LINE` of `FILE`:". A block of ``console`` is run as those of the README
are (see test_docs.py), in a directory with the samples and a file ``evidence.jsonl``.
"""

from __future__ import annotations

import json
import re
import shutil
import subprocess
import sys
from pathlib import Path
from typing import NamedTuple

import pytest
from examples import agrees, transcript
from labelling import trace
from work import ROOT, Workdir, clean_environment

from stepkit.schema import Json

TEXT = (ROOT / "CONTRIBUTING.md").read_text()
PLACE = re.compile(r"(Append to|Create|(?:Above|Below) the line `.*` of) `(.*)`:$")
CALLED = re.compile(r"`([\w/]+\.py:\w+)`")
LINE = re.compile("`(.*)`")
LONGEST = 25
MOST_FILES = 3


class Recipe(NamedTuple):
    """A recipe: its text, the changes (where, file, code) and the commands with their output."""

    text: str
    changes: list[tuple[str, str, str]]
    commands: list[tuple[str, str]]


def recipes() -> dict[str, Recipe]:
    part = TEXT.split("\n## Recipes\n")[1].split("\n## ")[0]
    found = {}
    for section in part.split("\n### ")[1:]:
        title, _, text = section.partition("\n")
        blocks = re.split(r"^```(\w*)\n(.*?)^```$", text, flags=re.M | re.S)
        changes, commands = [], []
        for before, mark, block in zip(blocks[::3], blocks[1::3], blocks[2::3], strict=False):
            if mark == "console":
                commands += transcript(block)
                continue
            sentence = " ".join(before.split())
            where = re.search(
                r"(Append to|Create|(?:Above|Below) the line `.*` of) `(.*)`:$", sentence
            )
            assert where, f"{title}: where does this go? {before}"
            changes.append((where[1], where[2], block))
        found[title] = Recipe(text, changes, commands)
    return found


def apply(recipe: Recipe, folder: Path) -> None:
    """Carry out the changes in the copy of the package in ``folder``."""
    for where, name, code in recipe.changes:
        path = folder / name
        if where == "Create":
            assert not path.exists(), f"{name} is there already"
            path.write_text(code)
            continue
        lines = path.read_text().splitlines(keepends=True)
        if where == "Append to":
            path.write_text("".join([*lines, "\n\n", code]))
            continue
        named = LINE.search(where)
        places = [i for i, line in enumerate(lines) if named and line.strip() == named[1]]
        assert len(places) == 1, f"{name} has {len(places)} lines {named and named[1]}"
        lines.insert(places[0] + where.startswith("Below"), code)
        path.write_text("".join(lines))


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """A copy of the package next to the samples and some evidence."""
    shutil.copytree(
        ROOT / "stepkit", tmp_path / "stepkit", ignore=shutil.ignore_patterns("*pycache*")
    )
    (tmp_path / "samples").symlink_to(ROOT / "samples")
    evidence = json.dumps(record()) + "\n"
    (tmp_path / "evidence.jsonl").write_text(evidence)
    return tmp_path


def record() -> Json:
    """Three of four draws right at the root, one of two after the first step, then none of two."""
    steps = ["1 + 2 = 3.\n", "3 * 2 = 7.\n", "Answer: 7"]
    record = trace(steps, {0: [1, 1, 1, 0], 1: [1, 0], 2: [0, 0]}, verdict=0.0, answer="6")
    texts = record["tree"]["text"]
    spine = record["tree"]["spine"]
    for node, outcome in enumerate(record["tree"]["outcome"]):
        if node not in spine and node:
            texts[node] = f"3 * 2 = {6 if outcome else 8}.\nAnswer: {6 if outcome else 8}"
    return record | {"correct": False, "final": "7", "split": {"by": "lines"}}


def run(command: str, folder: Path) -> str:
    """Standard output and errors of a command that uses the copy."""
    done = subprocess.run(
        ["bash", "-euo", "pipefail", "-c", f"{{ {command}\n}} 2>&1"],
        cwd=folder,
        env=clean_environment(folder) | {"PYTHONPATH": str(folder)},
        stdin=subprocess.DEVNULL,
        capture_output=True,
        text=True,
        timeout=300,
    )
    assert done.returncode == 0, done.stdout
    return done.stdout


def carried_out(title: str, folder: Path) -> list[str]:
    """Follow a recipe; the outputs of its commands, which are as it says."""
    recipe = recipes()[title]
    apply(recipe, folder)
    outputs = []
    for command, expected in recipe.commands:
        outputs.append(run(command, folder))
        assert agrees(expected, outputs[-1]), f"$ {command}\n{outputs[-1]}"
    return outputs


# ---- the map ---------------------------------------------------------------------------------


def test_the_layers_name_every_part_of_the_package() -> None:
    table = TEXT.split("\n## The layers\n")[1].split("\n## ")[0]
    named = set(re.findall(r"`(\w+(?:\.py|/))`", "".join(re.findall(r"^\| (.*?) \|", table, re.M))))
    parts = {
        f"{path.name}/" if path.is_dir() else path.name
        for path in (ROOT / "stepkit").iterdir()
        if path.suffix in ("", ".py") and not path.name.startswith("__")
    }
    assert named == parts


def test_every_file_and_name_of_the_map_is_there() -> None:
    """Those of recipes are looked for when they are followed."""
    named = re.findall(r"`([\w/]+\.py)(?::(\w+))?`", TEXT.split("\n## Recipes\n")[0])
    assert len(named) > 50
    for file, name in named:
        found = [*(ROOT / "stepkit").rglob(file), *ROOT.glob(file)]
        assert found, file
        if name:
            defines = re.compile(rf"^ *(class|def) {name}\b", re.M)
            assert defines.search(found[0].read_text()), f"{file}:{name}"


CALLS = """
import importlib, sys, threading
file, command, *arguments = sys.argv[1:]
seen, out = set(), open(file, "a", buffering=1)
def note(frame, event, argument):
    code = frame.f_code
    if event == "call" and "/stepkit/" in code.co_filename:
        place = f"{code.co_filename.rsplit('/stepkit/', 1)[1]}:{code.co_name}"
        if place not in seen:
            seen.add(place)
            out.write(place + chr(10))
main = importlib.import_module(f"stepkit.cli.{command}").main
sys.argv = [f"step-{command}", *arguments]
threading.setprofile(note)
sys.setprofile(note)
main()
"""
"""Runs a command and writes which functions it calls, in the order in which it first does."""


def test_a_record_goes_the_way_that_the_page_says(work: Workdir) -> None:
    way = TEXT.split("\n## The way of a record\n")[1].split("\n## ")[0]
    around, *paragraphs = way.strip().split("\n\n")
    samples = ROOT / "samples"
    policy = samples / "models" / "policy.gguf"
    limits = ("-k", "4", "--max-tokens", "64")
    lines: dict[str, list[str | Path]] = {
        "split": ["--grade", "--limit", "1", samples / "traces.jsonl", "-o", "split.jsonl"],
        "rollout": [*limits, "-m", policy, "split.jsonl", "-o", "rollout.jsonl"],
        "label": ["rollout.jsonl", "-o", "label.jsonl"],
        "pairs": ["--conversational", "label.jsonl", "-o", "pairs.jsonl"],
    }
    assert [one.partition(":")[0] for one in paragraphs] == [f"`step-{name}`" for name in lines]
    for (command, arguments), paragraph in zip(lines.items(), paragraphs, strict=True):
        work.write("calls.txt", "")
        done = subprocess.run(
            [sys.executable, "-c", CALLS, "calls.txt", command, *map(str, arguments)],
            cwd=work.path,
            env=clean_environment(work.path),
            capture_output=True,
            text=True,
        )
        assert done.returncode == 0, done.stderr
        calls = work.read("calls.txt").decode().split()
        places = CALLED.findall(paragraph)
        assert len(places) > 5
        assert set(CALLED.findall(around)) <= set(calls), command
        assert [place for place in calls if place in places] == places, command


# ---- the recipes -----------------------------------------------------------------------------


@pytest.mark.parametrize("title", recipes())
def test_a_recipe_is_short_and_touches_few_files(title: str) -> None:
    recipe = recipes()[title]
    assert len({name for _, name, _ in recipe.changes}) <= MOST_FILES
    lines = [line for line in recipe.text.splitlines() if line and not line.startswith("```")]
    assert len(lines) <= LONGEST
    assert recipe.changes and recipe.commands


def test_every_recipe_is_carried_out_here() -> None:
    assert set(recipes()) == {
        "A new label",
        "A new rule for the first error",
        "A new trainer",
        "A new search method from a paper",
    }


def test_a_new_label(folder: Path) -> None:
    _, line = carried_out("A new label", folder)
    label = json.loads(line)["labels"]["variance"]
    assert label["root"]["x"] == pytest.approx(3 / 4 * 1 / 4)
    assert label["x"] == pytest.approx([1 / 4, 0, 0])


def test_a_new_rule_for_the_first_error(folder: Path) -> None:
    """The values are 3/4, then 1/2, 0 and 0: step 1 left less than half, step 0 less than 0.9."""
    _, half, most = carried_out("A new rule for the first error", folder)
    first = [json.loads(line)["labels"]["first"] for line in (half, most)]
    assert [one["first"] for one in first] == [1, 0]
    assert [one["meta"]["rule"] for one in first] == ["fall", "fall:0.9"]


def test_a_new_trainer(folder: Path) -> None:
    written, findings = carried_out("A new trainer", folder)
    rows = [json.loads(line) for line in written.splitlines()]
    assert rows and findings == ""
    assert all("Answer: 6" in row["good"] and "6" not in row["bad"] for row in rows)


def test_a_new_search_method(folder: Path) -> None:
    (line,) = carried_out("A new search method from a paper", folder)
    tree = json.loads(line)["tree"]
    children: dict[int, list[int]] = {}
    for node, parent in enumerate(tree["parent"][1:], 1):
        children.setdefault(parent, []).append(node)
    assert len(children) > 1
    for parent, steps in children.items():
        assert len(steps) == 8 and [tree["draw"][step] for step in steps] == list(range(8))
        if parent:
            siblings = [tree["text"][node] for node in children[tree["parent"][parent]]]
            assert siblings.count(tree["text"][parent]) == max(map(siblings.count, siblings))
