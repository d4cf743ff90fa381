"""The pages of sections 3 and 7 are true: signatures, examples, every line, and what things cost.

stepkit.3: the literal blocks are sessions of Python's prompt, run from top to bottom. stepkit.7:
the lines ``.Dl $ command`` are run from top to bottom in one directory that has the samples; after
each method stands how many draws it makes at most, which is compared with what its command drew.
"""

from __future__ import annotations

import doctest
import inspect
import re
import shutil
import subprocess
import sys
from collections.abc import Iterator
from math import ceil, log2
from pathlib import Path
from typing import Any, NamedTuple

import pytest
from examples import run, typed
from work import ROOT, clean_environment, commands, missing

import stepkit
from stepkit.core.confidence import MEASURES
from stepkit.core.labels.label_registry import LABELS
from stepkit.core.pairs.pair_registry import RULES
from stepkit.schema import Json
from stepkit.search.method_registry import METHODS

PAGES = ("stepkit.3", "stepkit.7")
API, GUIDE = ((ROOT / "man" / page).read_text() for page in PAGES)

each_page = pytest.mark.parametrize("name", PAGES)


def section(text: str, name: str) -> str:
    return text.split(f"\n.Sh {name}\n")[1].split("\n.Sh ")[0]


@each_page
def test_a_page_is_formatted_without_a_complaint(name: str) -> None:
    if not shutil.which("groff"):
        missing("groff")
    done = subprocess.run(
        ["groff", "-mandoc", "-ww", "-z", "-Tutf8", str(ROOT / "man" / name)],
        capture_output=True,
        text=True,
    )
    assert (done.returncode, done.stdout, done.stderr) == (0, "", "")


@each_page
def test_a_page_refers_to_pages_that_are_there(name: str) -> None:
    text = (ROOT / "man" / name).read_text()
    assert text.splitlines()[1] == f".Dt STEPKIT {name[-1]}"
    for page, number in re.findall(r"^\.(?:It )?Xr (\S+) (\d)", text, re.M):
        assert (ROOT / "man" / f"{page}.{number}").exists(), page
    assert f".Xr stepkit {'7' if name.endswith('3') else '3'}" in section(text, "SEE ALSO")


@each_page
def test_man_finds_the_page_in_the_environment(name: str, tmp_path: Path) -> None:
    if not shutil.which("man"):
        missing("man")
    installed = Path(sys.prefix, "share", "man", f"man{name[-1]}", name)
    if not installed.exists():
        missing(f"{name} in this environment, which was made before the page was")
    environment = clean_environment(tmp_path)
    environment.pop("MANPATH", None)
    done = subprocess.run(
        ["man", "-w", name[-1], "stepkit"],
        env=environment,
        cwd=tmp_path,
        capture_output=True,
        text=True,
    )
    assert (done.stdout.strip(), done.stderr) == (str(installed), "")


# ---- stepkit.3 -------------------------------------------------------------------------------


def described() -> dict[str, list[str]]:
    """The functions of the page, each with its arguments."""
    items = re.findall(r"^\.It Fn (\S+)(.*)$", API, re.M)
    return {name: [typed(one) for one in re.findall(r'"([^"]*)"', rest)] for name, rest in items}


def arguments(function: Any) -> list[str]:
    found = []
    stars: dict[Any, str] = {
        inspect.Parameter.VAR_POSITIONAL: "*",
        inspect.Parameter.VAR_KEYWORD: "**",
    }
    for name, parameter in inspect.signature(function).parameters.items():
        star = stars.get(parameter.kind, "")
        given = parameter.default is not parameter.empty
        found.append(f"{star}{name}={parameter.default!r}" if given else f"{star}{name}")
    return [one for one in found if one != "self"]


def test_the_page_has_every_function_with_its_arguments() -> None:
    functions = [name for name in stepkit.__all__ if inspect.isfunction(getattr(stepkit, name))]
    methods = inspect.getmembers(stepkit.ModelSession, inspect.isfunction)
    wanted = {name: arguments(getattr(stepkit, name)) for name in functions}
    wanted |= {f"ModelSession.{n}": arguments(f) for n, f in methods if not n.startswith("_")}
    assert described() == wanted
    for name in stepkit.__all__:
        if name not in functions:
            assert f".Vt {name}" in API, name


def sessions() -> str:
    """The examples of the page as they are typed and answered."""
    found = re.findall(
        r"^\.Bd -literal -offset indent\n(.*?)^\.Ed$", section(API, "EXAMPLES"), re.M | re.S
    )
    assert found
    return "\n".join(typed(line) for block in found for line in block.splitlines())


def test_every_example_of_the_interface(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "samples").symlink_to(ROOT / "samples")
    monkeypatch.chdir(tmp_path)
    text = sessions()
    examples = doctest.DocTestParser().get_doctest(text, {}, "stepkit.3", "stepkit.3", 0)
    assert len(examples.examples) == sum(line.startswith(">>> ") for line in text.splitlines())
    report: list[str] = []
    runner = doctest.DocTestRunner(verbose=False)
    result = runner.run(examples, out=report.append)
    assert (result.failed, "".join(report)) == (0, "")


# ---- stepkit.7 -------------------------------------------------------------------------------


class Item(NamedTuple):
    """An entry of a list of the page: its name and its text, commands left out."""

    name: str
    text: str


def items(name: str) -> list[Item]:
    found = []
    for part in section(GUIDE, name).split("\n.It ")[1:]:
        line, _, text = part.split("\n.El")[0].partition("\n")
        plain = " ".join(one for one in text.splitlines() if not one.startswith(".Dl "))
        found.append(Item(line.removeprefix("Cm "), plain))
    return found


def lines(text: str) -> list[str]:
    return [typed(line) for line in re.findall(r"^\.Dl \$ (.*)$", text, re.M)]


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Path]:
    """Where every line of the guide was run, from top to bottom."""
    folder = tmp_path_factory.mktemp("guide")
    for line in lines(GUIDE):
        done = run(line, folder)
        assert done.returncode == 0, f"$ {line}\n{done.stderr}"
        out = re.search(r" -o (\S+)$", line)
        if out:
            assert (folder / out[1]).stat().st_size, f"$ {line}: nothing was written"
    yield folder


def test_the_tutorial_ends_in_a_preference_file_and_an_answer_sheet(folder: Path) -> None:
    sheet = stepkit.read_records(folder / "sheet.jsonl")
    assert [one["group"] for one in sheet] == [f"p{number}" for number in range(1, 11)]
    assert all(one["choice"]["rank"] == 0 for one in sheet)
    rows = stepkit.read_records(folder / "dpo.jsonl", check=False)
    assert rows and all(row["chosen"] != row["rejected"] for row in rows)
    assert "<html" in (folder / "page.html").read_text()[:1000]


def test_the_page_speaks_of_every_method_label_rule_and_measure() -> None:
    assert [item.name for item in items("WHICH METHOD TO DRAW WITH")] == sorted(
        METHODS, key=[item.name for item in items("WHICH METHOD TO DRAW WITH")].index
    )
    assert {item.name for item in items("WHICH LABEL")} == {label.name for label in LABELS}
    assert {item.name for item in items("WHICH ROWS")} == set(RULES)
    used = " ".join(lines(section(GUIDE, "WHICH SCORE")))
    assert any(f"--by {measure}" in used for measure in MEASURES)
    listed = {one for one in re.findall(r"^\.It Xr (\S+) 1$", GUIDE, re.M)}
    assert listed == set(commands())


@pytest.mark.parametrize("label", LABELS, ids=lambda label: label.name)
def test_the_page_has_the_source_of_a_label_and_what_it_needs(label: Any) -> None:
    text = next(item.text for item in items("WHICH LABEL") if item.name == label.name)
    assert text.endswith(f"{label.source}.")


def test_every_label_is_made_of_the_tutorials_evidence(folder: Path) -> None:
    evidence = stepkit.read_records(folder / "evidence.jsonl")
    judged = {"of": "validity", "by": "scorer", "meta": {}}
    for record in evidence:
        record["scores"] = {"judge": {**judged, "x": [1.0] * len(record["steps"])}}
    for name in stepkit.list_labels():
        wanted = ["hard", "consensus:of=hard+judge"] if name == "consensus" else [name]
        for record in stepkit.label(evidence, wanted):
            assert len(record["labels"][name]["x"]) == len(record["steps"])


def test_every_rule_makes_rows_of_what_the_page_names(folder: Path) -> None:
    labelled = stepkit.read_records(folder / "labelled.jsonl")
    grown = [stepkit.read_records(folder / name) for name in ("best-first.jsonl", "mcts.jsonl")]
    sources = {"a searched tree": [record for tree in grown for record in tree]}
    silent = set()
    for item in items("WHICH ROWS"):
        needs = re.match(r"From (.*?)\.", item.text)
        assert needs
        records = sources.get(needs[1], labelled)
        rows = stepkit.pairs(records, "plain", item.name, prompt="{problem}\n")
        if not rows:
            silent.add(item.name)
    # these want what eight traces of a small model need not have
    assert silent <= {"shorter-correct", "first-pit", "path-rest", "mcts-dpo", "tree-plv"}


def test_no_method_draws_more_than_the_page_says(folder: Path) -> None:
    """One test for all of them: what they drew is in the directory that the tests share."""
    texts = {item.name: item.text for item in items("WHICH METHOD TO DRAW WITH")}
    shown = [line for line in lines(GUIDE) if " --limit 2 " in line]
    for name in METHODS:
        cost = re.search(r"Draws: \.Li (.*?) \.", texts[name])
        assert cost, texts[name]
        line = next(one for one in shown if f"--method {name} " in one)
        records = stepkit.read_records(folder / f"{name}.jsonl")
        assert records, name
        if name == "sample":
            assert len(records) == 2 * option(line, "-k")
            continue
        for record in records:
            most = eval(cost[1], {}, sizes(record, line))
            assert 0 <= drawn(record) <= most, (name, cost[1])
        # the attempts of the sample model have no turns; see below
        assert sum(map(drawn, records)) or name in ("bisect", "subthought"), name


def test_subthought_draws_from_every_turn_but_the_last() -> None:
    text = "12 + 20 = 32.\n\nWait, 11 + 7 = 18.\n\nHmm, 18 - 14 = 4.\n\nAnswer: 4"
    problem = {"problem": "11 + 7 - 14?", "answer": "4", "response": text}
    (thought,) = stepkit.split([problem], "cue")
    with stepkit.open_model(ROOT / "samples" / "models" / "policy.gguf") as model:
        (record,) = model.rollout([thought], "subthought", k=2, max_tokens=32)
    assert len(thought["steps"]) > 1
    assert 0 < drawn(record) <= 2 * len(thought["steps"])


def option(line: str, name: str) -> int:
    found = re.search(rf" {name} (\d+)", line)
    return int(found[1]) if found else 0


def drawn(record: Json) -> int:
    """The draws that a tree holds, steps that were cut from them not counted again."""
    tree = record["tree"]
    return sum(by >= 0 and cut < 0 for by, cut in zip(tree["by"], tree["cut"], strict=True))


def sizes(record: Json, line: str) -> dict[str, int]:
    """The letters of the page for a record and the line that drew from it."""
    attempts = stepkit.leaf_traces([record])
    longest = max((len(one["steps"]) for one in attempts), default=1)
    # a search may leave an attempt before its end
    tree = record["tree"]
    depths = [len(stepkit.tree_path(tree, node)) for node in range(len(tree["parent"]))]
    most = max(longest, *depths)
    return {
        "T": len(record.get("steps", ())),
        "S": most,
        "k": option(line, "-k"),
        "w": option(line, "--width"),
        "N": option(line, "--searches"),
        "b": option(line, "--beams"),
        "p": option(line, "--points"),
        "L": ceil(log2(max(2, most))),
    }
