"""The table of man 7 stepkit that shows which option reads which kind of column.

Every cell is found by running the command on a record that has a column of that kind, once as a
label and once as a score, which must make no difference. Where a command refuses a column, its own
message is the reason. ``make golden`` writes the table; a change of it is reviewed like any diff.
"""

from __future__ import annotations

import json
import os
import re
from typing import Any, NamedTuple

import pytest
from pairing import add, grown, step
from work import ROOT, Workdir

from stepkit.core import tree as trees
from stepkit.schema import LABEL_KINDS, Json

MANUAL = ROOT / "man" / "stepkit.7"
START, END = '.\\" columns: written by make golden\n', '.\\" end of columns\n'
MODEL = ROOT / "samples" / "models" / "policy.gguf"

NUMBERS: dict[str, list[Any]] = {
    "value": [0.75, 0.25, 1.0],
    "progress": [0.25, -0.5, 0.75],
    "validity": [1.0, 0.125, 1.0],
    "confidence": [0.9, 0.5, 0.8],
    "raw": [-0.5, -2.5, 1.5],
}
FIRST = "first"
COLUMNS = (*LABEL_KINDS, FIRST)
HEADS = dict(zip(COLUMNS, ["value", "prog", "valid", "conf", "raw", "first"], strict=True))
LETTERS = "abcdefghijklmnopqrstuvwxyz"
WIDTH = 38


class Use(NamedTuple):
    """A way to use a column: the command line, with C for its name."""

    line: str
    shown: str


STEPS = (
    Use("step-label --label threshold:from=C", "step-label --label NAME:from="),
    Use("step-label --first below:0.5 --from C", "step-label --first below:T --from"),
    Use("step-label --label consensus:of=C", "step-label --label consensus:of="),
    Use("step-pairs --rule prm --at C", "step-pairs --rule prm --at"),
    Use("step-pairs --rule weighted --at C", "step-pairs --rule weighted --at"),
    Use("step-pairs --rule advantages --at C", "step-pairs --rule advantages --at"),
    Use("step-pairs --rule filter --at C", "step-pairs --rule filter --at"),
    Use("step-pairs --rule step-kto --at C", "step-pairs --rule step-kto --at"),
    Use("step-pairs --rule outcome --at C --to plain", "step-pairs --rule outcome --at"),
    Use("step-pairs --rule first-error --at C", "step-pairs --rule first-error --at"),
    Use("step-pairs --rule kto --verdict C", "step-pairs --verdict"),
    Use("step-rerank --score C", "step-rerank --score"),
    Use("step-rerank --by weighted --score C", "step-rerank --by weighted --score"),
    Use("step-rerank --by weighted --map rank --score C", "step-rerank --map rank --score"),
    Use("step-eval --score C", "step-eval --score"),
    Use("step-eval --protocol processbench --score C", "step-eval --protocol NAME --score"),
    Use(f"step-rollout --at C -k 1 --max-tokens 1 -m {MODEL}", "step-rollout --at"),
    Use("step-view --label C", "step-view --label"),
)
NODES = (
    Use("step-split --leaves", "step-split --leaves"),
    Use("step-label --nodes --label threshold:from=C", "step-label --nodes --label NAME:from="),
    Use("step-pairs --rule prm --at C", "step-pairs --rule prm --at"),
    Use("step-pairs --value C --scope step --to plain", "step-pairs --value"),
    Use("step-view --label C", "step-view --label"),
)


def entry(kind: str, size: int) -> Json:
    """A column of a kind, as the commands write it."""
    numbers = NUMBERS["validity" if kind == FIRST else kind]
    x = [numbers[index % 3] for index in range(size)]
    made: Json = {"of": "validity" if kind == FIRST else kind, "by": "scorer", "x": x}
    if kind == "value":
        made |= {"by": "sampler", "k": [round(4 * one) for one in x], "n": [4] * size}
    if kind == FIRST:
        made["first"] = 1
    return made


def flat(kind: str, holder: str) -> Json:
    tree = trees.from_steps(["a\n", "b\n", "7"])
    trees.sampler_index(tree, {"id": "aa"})
    tree["finish"][3], tree["outcome"][3] = "stop", 0.0
    record: Json = {"id": kind, "group": f"{kind} {holder}", "problem": f"{kind} {holder}?"}
    record |= {"answer": "8", "response": "a\nb\n7", "steps": ["a\n", "b\n", "7"], "final": "7"}
    record |= {"correct": False, "split": {"by": "lines"}, "tree": tree, "label": 1}
    add(record, 1, "c\n8", 1.0, draw=0)
    return record | {holder: {"C": entry(kind, 3)}}


def search(kind: str, holder: str) -> Json:
    record = grown(id=kind, group=f"{kind} {holder}", problem=f"{kind} {holder}?", answer="8")
    one = step(record, 0, "a\n", 0)
    step(record, one, "8", 0, 1.0)
    step(record, one, "7", 1, 0.0)
    size = len(record["tree"]["parent"])
    record["tree"][holder] = {"C": entry(kind, size)}
    return record


KIND = re.compile(r"(?:labels|scores)\.C: ")
REFUSED = re.compile(r'step-\w+: in\.jsonl:(\d+): (?:field "[^"]*": )?(.*?)(?: \(skipped\))?')


def cells(work: Workdir, use: Use, records: list[Json]) -> list[str]:
    """For each record "" where the command reads its column, else why it does not."""
    found = [""] * len(records)
    left = list(range(len(records)))
    while left:
        work.write("in.jsonl", "".join(json.dumps(records[one]) + "\n" for one in left))
        command, *options = use.line.split()
        done = work.run(command, *options, "--on-error", "skip", "-v", "in.jsonl", "-o", "out")
        refused = {}
        for line in done.err.splitlines():
            if named := REFUSED.fullmatch(line):
                refused[left[int(named[1]) - 1]] = KIND.sub("", named[2])
        for one, why in refused.items():
            found[one] = why
        if done.status != 3:  # what was measured at the end could not be skipped on the way
            assert done.status == int(bool(refused)), (use, done.err)
            break
        assert refused, (use, done.err)
        left = [one for one in left if one not in refused]
    return found


def table(work: Workdir) -> str:
    """The table as mdoc: a cell is "yes", or the letter of the reason below it."""
    reasons: list[str] = []
    heads = "".join(f"{HEADS[kind]:<6}" for kind in COLUMNS)
    lines = [f"{'':<{WIDTH}}{heads}".rstrip()]
    for title, uses, make in (("at the steps:", STEPS, flat), ("at the nodes:", NODES, search)):
        lines.append(title)
        for use in uses:
            records = [make(kind, holder) for holder in ("labels", "scores") for kind in COLUMNS]
            found = cells(work, use, records)
            labels, scores = found[: len(COLUMNS)], found[len(COLUMNS) :]
            assert labels == scores, f"{use}: labels and scores are not alike"
            reasons += [why for why in dict.fromkeys(labels) if why and why not in reasons]
            marks = [LETTERS[reasons.index(why)] if why else "yes" for why in labels]
            cells_of = "".join(f"{mark:<6}" for mark in marks)
            lines.append(f"{use.shown:<{WIDTH}}{cells_of}".rstrip())
    made = [".Bd -literal", *lines, ".Ed", ".Pp", ".Bl -tag -width x -compact"]
    for letter, why in zip(LETTERS, reasons, strict=False):
        made += [f".It {letter}", f"{why[0].upper()}{why[1:]}."]
    return "\n".join([*made, ".El", ""]).replace("--", "\\-\\-")


@pytest.mark.skipif(not MANUAL.exists(), reason="a wheel has no sources")
def test_the_manual_shows_which_option_reads_which_column(work: Workdir) -> None:
    before, _, rest = MANUAL.read_text().partition(START)
    written, _, after = rest.partition(END)
    made = table(work)
    if os.environ.get("STEPKIT_GOLDEN") == "write":
        MANUAL.write_text(before + START + made + END + after)
        return
    assert written == made
