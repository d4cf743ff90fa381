"""step-view: what it reads from a record, the page as bytes, and the terminal."""

from __future__ import annotations

import json
import os
import pty
import re
from html.parser import HTMLParser
from math import sqrt
from typing import Any

import evidence
import pytest
import viewing
from hypothesis import given
from hypothesis import strategies as st
from properties import examples
from work import Done, Workdir

from stepkit.core import tree as trees
from stepkit.errors import DataError
from stepkit.schema import Json
from stepkit.view import page, terminal, trace_measures, trace_view
from stepkit.view.marked_text import add_marks


class Scripts(HTMLParser):
    """An HTML parser of somebody else's: the texts of the script elements, by their class or id."""

    def __init__(self) -> None:
        super().__init__()
        self.found: list[tuple[str, str]] = []
        self.tags: list[str] = []

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.tags.append(tag)
        if tag == "script":
            names = dict(attrs)
            self.found.append((names.get("class") or names.get("id") or "", ""))

    def handle_data(self, data: str) -> None:
        if self.tags and self.tags[-1] == "script" and self.found:
            name, text = self.found[-1]
            self.found[-1] = (name, text + data)


def cases_in(done: Done) -> list[tuple[Json, Json]]:
    """(summary, case) of each trace in a page."""
    assert (done.status, done.err) == (0, "")
    parser = Scripts()
    parser.feed(done.out.decode())
    texts = [text for name, text in parser.found if name == "trace"]
    return [
        (json.loads(first), json.loads(second))
        for first, second in (text.strip().split("\n") for text in texts)
    ]


def looked_at(record: Json, **choice: Any) -> Json:
    """One record's case."""
    found = trace_view.cases([record], ["x:1"], trace_view.ViewOptions(**choice))[0]
    assert not isinstance(found, DataError), found
    return found


def wilson(k: float, n: int) -> tuple[float, float]:
    """Where (p - k/n)^2 = z^2 p (1 - p) / n, as a quadratic equation in p."""
    z = 1.96
    a, b, c = 1 + z * z / n, -(2 * k / n + z * z / n), (k / n) ** 2
    root = sqrt(max(0.0, b * b - 4 * a * c))
    return (-b - root) / (2 * a), (-b + root) / (2 * a)


# ---- numbers --------------------------------------------------------------------------------


def test_unlabelled_evidence_is_counted() -> None:
    found = looked_at(viewing.evidence())
    one = found["measures"]["draws"]
    assert found["measure"] == "draws" and one["of"] == "value"
    assert (one["k"], one["n"], one["undecided"]) == ([3, 0, 0, 0], [4, 4, 0, 1], [1, 0, 0, 0])
    assert one["x"] == [0.75, 0.0, None, 0.0]
    assert (one["root"]["k"], one["root"]["n"], one["root"]["undecided"]) == (2, 3, 1)
    assert (one["low"][0], one["high"][0]) == pytest.approx(wilson(3, 4))
    assert one["settled"] and one["low"][2] is None


def test_counts_agree_with_step_label(work: Workdir) -> None:
    work.write("e.jsonl", evidence.lines(3))
    ours = cases_in(work.run("step-view", "e.jsonl"))
    theirs = [json.loads(line) for line in work.run("step-label", "e.jsonl").lines]
    for (_, found), record in zip(ours, theirs, strict=True):
        for name in ("x", "k", "n", "undecided", "low", "high"):
            assert found["measures"]["draws"][name] == record["labels"]["value"][name]


def test_a_label_with_counts_is_not_counted_again() -> None:
    found = looked_at(viewing.labelled())
    assert found["measure"] == "labels.value"
    assert set(found["measures"]) == {
        "labels.value", "labels.progress", "labels.first", "labels.gold", "scores.judge",
    }  # fmt: skip
    assert "k" not in found["measures"]["labels.progress"]


@pytest.mark.parametrize("meta", [{}, {"backup": "leaves"}])
def test_intervals_of_counts_alone(meta: Json) -> None:
    """A label that wrote none gets Wilson's; not where k of n are no independent draws."""
    entry = {"of": "value", "x": [1, 0, 0], "k": [3, 0, 0], "n": [4, 0, 1], "meta": meta}
    made = trace_measures.read_measure(entry | {"root": {"x": 1, "k": 2, "n": 2}}, 3, "labels.hard")
    if meta:
        assert "low" not in made and "low" not in made["root"]
        return
    assert (made["low"][0], made["high"][0]) == pytest.approx(wilson(3, 4))
    assert (made["low"][1], made["low"][2]) == (None, None)  # nothing drawn; a verdict
    assert (made["root"]["low"], made["root"]["high"]) == pytest.approx(wilson(2, 2))


def test_bounds_of_something_else_are_not_drawn_around_a_class() -> None:
    """The bounds of ``relative`` are those of its ratio, around 2.0, not of its 1."""
    entry = {"of": "progress", "x": [1], "ratio": [2.0], "low": [1.2], "high": [3.1]}
    ratio = entry | {"meta": {"interval": "ratio: MOVER-R"}, "root": {"x": 1, "low": 0, "high": 1}}
    made = trace_measures.read_measure(ratio, 1, "labels.relative")
    assert not {"low", "high", "method"} & {*made, *made["root"]}
    own = entry | {"x": [2.0], "meta": {"interval": "x: Newcombe; none where stopped"}}
    made = trace_measures.read_measure(own, 1, "labels.progress")
    assert (made["low"], made["high"], made["method"]) == ([1.2], [3.1], "Newcombe")


def test_the_level_of_an_interval_is_that_of_its_width() -> None:
    """``value:z=1`` was shown as 95 %."""
    entry = {"of": "value", "x": [0.5], "k": [2], "n": [4], "low": [0.2], "high": [0.8]}
    for z, level in ((1.0, 68.3), (1.96, 95.0), (2.576, 99.0)):
        made = trace_measures.read_measure(entry | {"meta": {"z": z}}, 1, "labels.value")
        assert made["level"] == level


def test_a_class_that_says_why_it_has_no_interval_gets_none() -> None:
    entry = {"of": "value", "x": [1, 0], "k": [3, 0], "n": [4, 1]}
    none = {"meta": {"interval": "none: a class"}}
    assert "low" not in trace_measures.read_measure(entry | none, 2, "labels.hard")
    share = trace_measures.read_measure(entry | none | {"x": [0.75, 0]}, 2, "labels.soft")
    assert share["low"][0] == pytest.approx(wilson(3, 4)[0])  # this one is the share itself


def test_an_undecided_verdict_is_no_undecided_draw() -> None:
    record = viewing.evidence() | {"correct": None}
    tree = record["tree"]
    tree["outcome"][tree["spine"][-1]] = None
    one = looked_at(record)["measures"]["draws"]
    assert (one["settled"], one["n"][-1], one["undecided"][-1]) == (True, 0, 1)
    assert "  4      - ········ verdict" in terminal.TerminalView(80, False).text(looked_at(record))


def test_intervals_that_a_label_refused_stay_refused() -> None:
    entry = {"of": "value", "x": [0.5], "k": [2], "n": [4], "low": [None], "high": [None]}
    made = trace_measures.read_measure(entry, 1, "labels.value")
    assert (made["low"], made["high"]) == ([None], [None])


@pytest.mark.parametrize(
    ("record", "field"),
    [
        ({"labels": 5}, "labels"),
        ({"labels": {"a": 5}}, "labels.a"),
        ({"scores": {"a": {"x": [1]}}}, "scores.a.x"),
        ({"scores": {"a": {"x": [1, "2", 3]}}}, "scores.a.x[1]"),
        ({"labels": {"a": {"x": [1, 2, 3], "k": [1]}}}, "labels.a.k"),
        ({"labels": {"a": {"first": 3}}}, "labels.a.first"),
    ],
)
def test_what_is_wrong_is_named(record: Json, field: str) -> None:
    with pytest.raises(DataError) as caught:
        trace_measures.read_measures(record, 3)
    assert caught.value.field == field


@pytest.mark.parametrize(
    ("names", "best"),
    [
        (["scores.prm", "labels.hard", "labels.value"], "labels.value"),
        (["scores.prm", "draws"], "draws"),
        (["labels.gold", "labels.mine", "scores.prm"], "labels.mine"),
        (["labels.gold"], "labels.gold"),
        (["scores.b", "scores.a"], "scores.b"),
        ([], None),
    ],
)
def test_what_is_coloured_by_at_first(names: list[str], best: str | None) -> None:
    found = {name: {"x": [1]} for name in names} | {"labels.first": {"first": 0}}
    assert trace_measures.choose_measure(found, None) == best


# ---- evidence -------------------------------------------------------------------------------


def test_rollouts_are_all_there_undecided_last() -> None:
    states = looked_at(viewing.evidence())["states"]
    assert [sum(len(one["draws"]) for one in state["draws"]) for state in states] == [4, 5, 4, 0, 0]
    for state, drawn in zip(states, viewing.DRAWS, strict=False):
        listed = sorted(
            (number, one["text"], one["outcome"], one["finish"])
            for one in state["draws"]
            for number in one["draws"]
        )
        assert listed == [(number, *draw) for number, draw in enumerate(drawn)]
        verdicts = [one["outcome"] for one in state["draws"]]
        assert verdicts == sorted(verdicts, key=lambda x: (x is None, -(x or 0)))


def test_siblings_with_their_counts() -> None:
    first, second, third, last = looked_at(viewing.evidence())["siblings"]
    # of the draws at the step itself three were right, and of those that begin with it two
    assert first[0] == {"text": "6 * 7 = 42.\n", "k": 5, "n": 6, "undecided": 1, "own": True}
    assert [(one["text"], one["k"], one["n"], one["undecided"]) for one in first[1:]] == [
        ("6 * 7 = 48.\n", 0, 1, 0),
        ("Let us see.\n", 0, 0, 1),
    ]
    assert [one["text"] for one in second if one.get("own")] == ["42 - 2 = 41.\n"]
    assert {one["text"].strip(): (one["k"], one["n"]) for one in second} == {
        "42 - 2 = 40.": (3, 3),
        "42 - 2 = 41.": (0, 5),  # one draw that begins with it, and four made at it
        "2 is taken away, or": (0, 0),
    }
    assert third == [{"text": "41 + 1 = 42.\n", "k": 0, "n": 4, "undecided": 0, "own": True}]
    assert last == [{"text": "So 42.", "k": 0, "n": 1, "undecided": 0, "own": True}]


LINES = st.lists(st.sampled_from(["a\n", "b\n", "c\n"]), min_size=1, max_size=4)
VERDICTS = st.sampled_from([0.0, 1.0, 0.5, None])


@examples(60)
@given(LINES, st.lists(st.tuples(st.integers(0, 4), LINES, VERDICTS), max_size=25))
def test_siblings_are_every_first_line_with_every_draw(
    steps: list[str], draws: list[tuple[int, list[str], float | None]]
) -> None:
    """Against an enumeration over texts, without a tree: whole attempts and where they were drawn.

    A draw counts for a sibling when it was made at its prefix and begins with it, or at the sibling
    itself where that is the trace's own step. (Equal prefixes cannot be reached twice: the draws
    are all made along one trace.)
    """
    record = viewing.evidence() | {"response": "".join(steps), "steps": steps, "correct": True}
    tree = trees.from_steps(steps)
    by = trees.sampler_index(tree, {"id": "s"})
    drawn: list[tuple[int, str, float | None]] = []
    for number, (state, lines, outcome) in enumerate(draws):
        state = min(state, len(steps) - 1)  # the last step ended the attempt
        text = "".join(lines)
        drawn.append((state, text, outcome))
        trees.add(
            tree, [0, *tree["spine"]][state], text, whole=True, finish="stop", outcome=outcome,
            by=by, draw=number,
        )  # fmt: skip
    found = looked_at(record | {"tree": tree})
    for step, own in enumerate(steps):
        expected: dict[str, list[float | None]] = {own.strip(): []}
        for state, text, outcome in drawn:
            if state == step:
                expected.setdefault(text[:1], []).append(outcome)
            if state == step + 1:
                expected[own.strip()].append(outcome)
        if step == len(steps) - 1:
            expected[own.strip()].append(1.0)
        counted = {
            one["text"].strip(): (one["k"], one["n"], one["undecided"])
            for one in found["siblings"][step]
        }
        assert counted == {
            text: (
                sum(x for x in outcomes if x is not None),
                sum(x is not None for x in outcomes),
                sum(x is None for x in outcomes),
            )
            for text, outcomes in expected.items()
        }


def test_a_searched_tree_without_a_trace() -> None:
    tree = trees.from_steps([])
    by = trees.sampler_index(tree, {"id": "s"})
    for number, text in enumerate(["a\n", "b\n"]):
        node = trees.add(tree, 0, text, whole=False, finish="", by=by, draw=number)
        for draw in range(3):
            trees.add(
                tree, node, "end", whole=True, finish="stop", outcome=float(draw > number),
                by=by, draw=draw,
            )  # fmt: skip
    tree["visits"] = [1, 2, 3, 3, 5]
    found = looked_at({"problem": "p", "tree": tree, "split": {"by": "lines"}})
    assert found["steps"] == ["a\n", "end"] and found["searched"] == "stop"
    assert found["siblings"] == [
        [
            {"text": "a\n", "k": 2, "n": 3, "undecided": 0, "visits": 4, "own": True},
            {"text": "b\n", "k": 1, "n": 3, "undecided": 0, "visits": 1},
        ],
        [{"text": "end", "k": 2, "n": 3, "undecided": 0, "visits": 3, "own": True}],
    ]
    assert [len(state["draws"]) for state in found["states"]] == [0, 2, 0]


def rest_of_a_search() -> Json:
    """a, with a wrong draw and a right one of three lines, and a step after it that went wrong."""
    tree = trees.from_steps([])
    by = trees.sampler_index(tree, {"id": "s"})

    def add(parent: int, text: str, draw: int, **more: Any) -> int:
        about: dict[str, Any] = {"whole": True, "finish": "stop", "by": by, "draw": draw} | more
        return trees.add(tree, parent, text, **about)

    a = add(0, "a\n", 0, whole=False, finish="")
    add(a, "no", 0, outcome=0.0, final="3")
    add(a, "b\nc\nend", 1, outcome=1.0, final="4")
    worse = add(a, "d\n", 0, whole=False, finish="")
    add(worse, "no", 0, outcome=0.0, final="5")
    return {"problem": "p", "tree": tree, "split": {"by": "lines"}}


def test_the_best_path_goes_into_a_whole_continuation() -> None:
    """A search of whole continuations ended on the best of its steps, next to the right attempt."""
    record = rest_of_a_search()
    value = {"of": "value", "by": "sampler", "x": [0.3, 0.5, 0.0, 1.0, 0.0, 0.0]}
    validity = {"of": "validity", "by": "scorer", "x": [None, 0.6, 0.1, 0.9, 0.2, 0.3]}
    record["tree"]["labels"] = {"value": value}
    record["tree"]["scores"] = {"prm": validity}
    found = looked_at(record)
    assert found["steps"] == ["a\n", "b\n", "c\n", "end"]
    assert (found["searched"], found["correct"], found["final"]) == ("stop", 1.0, "4")
    leaves = found["measures"]["leaves"]
    assert leaves["k"] == [1, None, None, 1] and leaves["n"] == [3, None, None, 1]
    assert leaves["x"] == [1 / 3, None, None, 1.0]
    # a value is of the prefix at its end; what is said of a text is said of no part of it
    assert found["measures"]["labels.value"]["x"] == [0.5, None, None, 1.0]
    assert found["measures"]["scores.prm"]["x"] == [0.6, None, None, None]
    assert [(one["text"], one["k"], one["n"]) for one in found["siblings"][1]] == [
        ("b\n", 1, 1),
        ("d\n", 0, 1),
        ("no", 0, 1),
    ]
    assert found["siblings"][1][0]["own"] and found["siblings"][2:] == [[], []]
    chosen = record["tree"] | {"search": {"by": "mcts", "chosen": 2}}
    assert looked_at(record | {"tree": chosen})["steps"] == ["a\n", "no"]
    del record["split"]
    assert looked_at(record)["steps"] == ["a\n", "b\nc\nend"]


# ---- references -----------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("fields", "answer", "solution"),
    [
        ({"answer": "3 + 4 = <<3+4=7>>7.\n#### 7"}, "7", "3 + 4 = <<3+4=7>>7.\n#### 7"),
        (
            {"answer": "\\frac{1}{2}", "solution": "So \\boxed{\\frac{1}{2}}."},
            "\\frac{1}{2}",
            "So \\boxed{\\frac{1}{2}}.",
        ),
        ({"answer": "so it is $\\boxed{5}$"}, "5", "so it is $\\boxed{5}$"),
        ({"answer": "7"}, "7", None),
        ({"answer": 7, "solution": 8}, "7", None),
        ({"answer": "two\nlines that mark nothing"}, "two\nlines that mark nothing", None),
        ({}, None, None),
    ],
)
def test_a_reference_that_is_a_whole_solution(
    fields: dict[str, Any], answer: str | None, solution: str | None
) -> None:
    found = looked_at({"problem": "p"} | fields)
    assert (found["answer"], found["solution"]) == (answer, solution)


# ---- marked texts ---------------------------------------------------------------------------


def marked(record: Json) -> Json:
    found = looked_at(record)
    add_marks(found)
    return found


def test_marks_of_steps_and_answers() -> None:
    steps = ["So \\(x = 5\\) and \\(x", "\\) is **5**."]
    record = {"problem": "What is $x$?", "answer": "5", "steps": steps, "response": "".join(steps)}
    found = marked(record | {"final": "\\frac{10}{2}"})
    assert found["formulas"] == [
        (["math", ["mi", "x"]],),
        (["math", ["mfrac", ["mn", "10"], ["mn", "2"]]],),
        (["math", ["mrow", ["mi", "x"], ["mo", "="], ["mn", "5"]]],),
    ]
    assert found["marks"] == {
        "problem": [[8, 11, "formula", 0]],
        "final": [[0, 12, "formula", 1]],
        "steps": [[[3, 12, "formula", 2]], [[6, 11, "bold", 8, 9]]],
    }


def test_marks_count_in_utf_16() -> None:
    found = marked({"problem": "\U0001f600 $x$ \u00e9 **b**"})
    text = "\U0001f600 $x$ \u00e9 **b**".encode("utf-16-le")
    (one, other) = found["marks"]["problem"]
    assert text[2 * one[0] : 2 * one[1]].decode("utf-16-le") == "$x$"
    assert text[2 * other[3] : 2 * other[4]].decode("utf-16-le") == "b"


def test_marks_of_draws_and_siblings() -> None:
    record = viewing.evidence()
    record["tree"]["text"] = [text.replace("42", "$42$") for text in record["tree"]["text"]]
    record["steps"] = [text.replace("42", "$42$") for text in record["steps"]]
    found = marked(record | {"response": "".join(record["steps"])})
    draws = [draw for state in found["states"] for draw in state["draws"] if "$42$" in draw["text"]]
    others = [one for row in found["siblings"] for one in row if "$42$" in one["text"]]
    assert draws and others and len(found["formulas"]) == 1
    for one in (*draws, *others):
        first = one["text"].index("$42$")
        assert one["marks"][0] == [first, first + 4, "formula", 0]


def test_a_formula_that_cannot_be_shown_stays_text() -> None:
    found = marked({"problem": "\\(\\nosuchcommand\\) and \\(\\href{javascript:x}{y}\\)"})
    assert found["marks"] == {} and "formulas" not in found


def test_the_best_path_of_a_search(work: Workdir) -> None:
    """Down the shares 3/5, 2/3, 1/1, though a step twice drawn stands there as two nodes; views of
    a draw and failed draws do not count, and one without a verdict is counted apart."""
    record = viewing.searched()
    found = looked_at(record)
    assert found["steps"] == ["b\n", "c\n", "end"]
    assert (found["searched"], found["correct"], found["final"]) == ("stop", 1.0, "4")
    leaves = found["measures"]["leaves"]
    assert found["measure"] == "leaves"
    assert (leaves["k"], leaves["n"], leaves["undecided"]) == ([2, 2, 1], [3, 2, 1], [1, 0, 0])
    assert (leaves["root"]["k"], leaves["root"]["n"]) == (2, 4)
    assert found["measures"]["scores.prm"]["x"] == [0.2, 0.7, 0.9]
    assert found["siblings"][0] == [
        {"text": "b\n", "k": 2, "n": 3, "undecided": 1, "own": True, "scores": {"prm": 0.2}},
        {"text": "a\n", "k": 0, "n": 1, "undecided": 0, "scores": {"prm": 0.8}},
    ]
    chosen = record["tree"] | {"search": {"by": "beam", "chosen": 2}}
    assert looked_at(record | {"tree": chosen})["steps"] == ["a\n", "no"]
    work.write("t.jsonl", viewing.lines(record))
    shown = work.run("step-view", "--term", "--label", "value", "t.jsonl").out.decode()
    assert "best path ✓ right" in shown and "2/3 +1?" in shown
    assert "| 0/1      a\n" in shown


def test_a_search_without_verdicts_goes_by_its_scores() -> None:
    record = viewing.searched()
    tree = record["tree"] | {"outcome": [None] * len(record["tree"]["parent"])}
    tree["outcome"] = [None] * len(tree["parent"])
    found = looked_at(record | {"tree": tree})
    assert found["steps"] == ["a\n", "no"]
    assert found["measures"]["leaves"]["x"] == [None, None]


def test_a_tree_of_draws_alone_has_no_path() -> None:
    tree = trees.from_steps([])
    by = trees.sampler_index(tree, {"id": "s"})
    trees.add(tree, 0, "a", whole=True, finish="stop", outcome=1.0, by=by, draw=0)
    found = looked_at({"problem": "p", "tree": tree, "split": {"by": "lines"}})
    assert found["steps"] == [] and "searched" not in found


def test_without_a_rule_to_cut_by_draws_are_no_siblings() -> None:
    record = viewing.evidence()
    del record["split"]
    assert [len(siblings) for siblings in looked_at(record)["siblings"]] == [1, 1, 1, 1]


def test_two_samplers_are_not_mixed(work: Workdir) -> None:
    record = viewing.evidence()
    other = trees.sampler_index(record["tree"], {"id": "other"})
    trees.add(record["tree"], 0, "x", whole=True, finish="stop", outcome=1.0, by=other, draw=0)
    work.write("e.jsonl", viewing.lines(record))
    done = work.run("step-view", "e.jsonl")
    assert done.status == 3 and "choose one with --sampler" in done.err
    [(_, found)] = cases_in(work.run("step-view", "--sampler", "other", "e.jsonl"))
    assert found["measures"]["draws"]["root"] | {"low": 0, "high": 0} == {
        "x": 1.0, "k": 1, "n": 1, "undecided": 0, "low": 0, "high": 0,
    }  # fmt: skip


# ---- the page -------------------------------------------------------------------------------

TEXT = st.text() | st.sampled_from(viewing.HOSTILE)


@given(
    st.recursive(
        TEXT | st.floats(allow_nan=False), lambda one: st.lists(one) | st.dictionaries(TEXT, one)
    )
)
def test_embedded_json_is_the_same_json_and_no_markup(value: Any) -> None:
    made = page.embedded(json.dumps(value, ensure_ascii=False).encode())
    assert b"<" not in made
    assert json.loads(made) == value


def test_hostile_texts_stay_in_their_elements(work: Workdir) -> None:
    record = viewing.hostile()
    done = work.run("step-view", input=viewing.lines(record, viewing.evidence()))
    (_, found), (_, after) = cases_in(done)
    assert found["steps"] == record["steps"] and found["problem"] == record["problem"]
    assert after["id"] == "a/0"
    parser = Scripts()
    parser.feed(done.out.decode())
    assert not {"img", "b"} & set(parser.tags)
    plain = Scripts()
    plain.feed(
        work.run("step-view", input=viewing.lines(viewing.evidence() | {"id": "b"})).out.decode()
    )
    assert parser.tags == [*plain.tags, "script"]


def test_a_page_names_no_other_place(work: Workdir) -> None:
    done = work.run("step-view", input=viewing.lines(viewing.labelled()))
    addresses = set(re.findall(rb"\w+://[^\s\"'<>]*", done.out))
    names = {b"http://www.w3.org/2000/svg", b"http://www.w3.org/1998/Math/MathML"}
    assert addresses == names  # names, which nobody fetches
    assert b"default-src 'none'" in done.out


def test_the_whole_page_is_one_line_of_settings_and_two_for_each_trace(work: Workdir) -> None:
    head = work.run("step-view", input=b"").out
    assert head.startswith(b"<!doctype html>") and b'{"measure":null}' in head
    both = work.run(
        "step-view", input=viewing.lines(viewing.plain(1, True), viewing.plain(2, None))
    )
    assert both.out.startswith(head)
    assert both.out[len(head) :].count(b"\n") == 2 * 4


def test_summary_is_short_however_long_the_texts(work: Workdir) -> None:
    record = viewing.plain(1, True) | {"problem": "x " * 500_000, "final": "y" * 10_000}
    [(summary, found)] = cases_in(work.run("step-view", input=viewing.lines(record)))
    assert len(json.dumps(summary)) < 1000
    assert found["problem"] == record["problem"]


# ---- options --------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("args", "complaint"),
    [
        (["--label", "a", "--score", "b"], "--label and --score exclude each other"),
        (["--color", "never"], "--color has no effect without --term"),
        (["--color", "sometimes", "--term"], "invalid value for '--color'"),
    ],
)
def test_options_that_do_not_go_together(work: Workdir, args: list[str], complaint: str) -> None:
    done = work.run("step-view", *args)
    assert (done.status, complaint in done.err, done.err.count("\n")) == (2, True, 1)


def test_the_colour_asked_for(work: Workdir) -> None:
    work.write("t.jsonl", viewing.lines(viewing.labelled(), {"problem": "no attempt yet"}))
    for option, name, key in (("--label", "progress", "labels"), ("--score", "judge", "scores")):
        done = work.run("step-view", option, name, "t.jsonl")
        assert f'{{"measure":"{key}.{name}"}}'.encode() in done.out
        assert [found["measure"] for _, found in cases_in(done)] == [f"{key}.{name}", None]
    done = work.run("step-view", "--label", "first", "t.jsonl")
    assert (done.status, done.err) == (
        3,
        'step-view: t.jsonl:1: field "labels.first": no numbers of that name; labels here: '
        "value, progress, gold\n",
    )


def on_a_terminal(work: Workdir, *args: str, **environment: str) -> tuple[int, str, str]:
    """(status, output, errors) of a run whose standard output is a terminal of 90 columns."""
    import fcntl
    import struct
    import termios

    ours, theirs = pty.openpty()
    fcntl.ioctl(theirs, termios.TIOCSWINSZ, struct.pack("HHHH", 30, 90, 0, 0))
    process = work.start("step-view", *args, stdout=theirs, environment=environment)
    os.close(theirs)
    shown = b""
    while True:
        try:
            shown += os.read(ours, 4096)
        except OSError:
            break
    os.close(ours)
    _, err = process.communicate(timeout=60)
    return process.returncode, shown.decode().replace("\r\n", "\n"), err.decode()


def test_a_page_is_not_written_to_a_terminal(work: Workdir) -> None:
    work.write("t.jsonl", viewing.lines(viewing.labelled()))
    status, shown, err = on_a_terminal(work, "t.jsonl")
    assert (status, shown) == (2, "")
    assert err == "step-view: a page is not for a terminal: use -o FILE.html, or --term\n"


# ---- the terminal ---------------------------------------------------------------------------

PLAIN = """\
a/0  ✗ wrong  answer 42 · reference 41 · <stdin>:1
What is one more than 6 * 7 - 2?
labels.value: the chance that this sampler still gets there
      0.67 █████▍░░ 2/3 +1?  0.21-0.94    (before the first step)
  1   0.75 ██████░░ 3/4 +1?  0.30-0.95    6 * 7 = 42.
  2   0.00 ░░░░░░░░ 0/4      0.00-0.49    42 - 2 = 41.
                                          ✗ first error (labels.first, labels.gold)
  3      - ········                       41 + 1 = 42.
  4   0.00 ░░░░░░░░ verdict               So 42.

"""


def test_a_trace_as_lines(work: Workdir) -> None:
    done = work.run("step-view", "--term", input=viewing.lines(viewing.labelled()))
    assert (done.status, done.out.decode(), done.err) == (0, PLAIN, "")


def test_colours_only_where_they_are_wanted(work: Workdir) -> None:
    work.write("t.jsonl", viewing.lines(viewing.labelled()))
    bare = work.run("step-view", "--term", "t.jsonl").out.decode()

    def uncoloured(text: str) -> str:
        return re.sub(r"\x1b\[[\d;]*m", "", text)

    for args, environment, coloured in (
        ([], {"TERM": "xterm"}, True),
        ([], {"TERM": "xterm", "NO_COLOR": "1"}, False),
        ([], {"TERM": "dumb"}, False),
        (["--color", "never"], {"TERM": "xterm"}, False),
        (["--color", "always"], {"TERM": "xterm", "NO_COLOR": "1"}, True),
    ):
        status, shown, err = on_a_terminal(work, "--term", *args, "t.jsonl", **environment)
        assert (status, err, "\x1b" in shown) == (0, "", coloured), (args, environment)
        assert uncoloured(shown) == bare
    piped = work.run("step-view", "--term", "--color", "always", "t.jsonl").out.decode()
    assert "\x1b[38;5;166m" in piped and uncoloured(piped) == bare
    work.run("step-view", "--term", "-o", "file", "t.jsonl", environment={"TERM": "xterm"})
    assert work.read("file").decode() == bare


def test_the_width_of_the_terminal_is_kept(work: Workdir) -> None:
    record = viewing.plain(1, True, "word " * 60)
    work.write("t.jsonl", viewing.lines(record))
    _, shown, _ = on_a_terminal(work, "--term", "t.jsonl", TERM="xterm")
    widths = [len(re.sub(r"\x1b\[[\d;]*m", "", line)) for line in shown.splitlines()]
    assert 85 < max(widths) <= 90


@given(st.text(st.characters(codec="ascii"), max_size=300), st.integers(1, 60))
def test_wrapping_keeps_words_and_width(text: str, columns: int) -> None:
    lines = list(terminal.wrapped(text, columns))
    assert all(len(line) <= columns for line in lines)
    spelled = re.sub(r"[\x00-\x08\x0b-\x1f\x7f]", lambda m: f"<U+{ord(m[0]):04X}>", text)
    assert "".join("".join(lines).split()) == "".join(spelled.split())


def test_wide_letters_take_two_columns() -> None:
    assert list(terminal.wrapped("中文字符", 5)) == ["中文", "字符"]
    assert list(terminal.wrapped("e\u0301e\u0301e\u0301", 3)) == ["e\u0301e\u0301e\u0301"]


@pytest.mark.parametrize("args", [[], ["--color", "always"]])
def test_no_text_speaks_to_the_terminal(work: Workdir, args: list[str]) -> None:
    done = work.run("step-view", "--term", *args, input=viewing.lines(viewing.hostile()))
    assert (done.status, done.err) == (0, "")
    shown = re.sub(r"\x1b\[[\d;]*m", "", done.out.decode()) if args else done.out.decode()
    assert not re.search(
        "[\x00-\x09\x0b-\x1f\x7f-\x9f\u2028-\u202e\u2066-\u2069\u200b\ufeff]", shown
    )
    assert "<U+202E>txt.exe" in "".join(shown.split())


@pytest.mark.parametrize(
    ("share", "expected"),
    [
        (0.0, "░░░░░░░░"),
        (1.0, "████████"),
        (0.5, "████░░░░"),
        (1 / 64, "▏░░░░░░░"),
        (None, "········"),
    ],
)
def test_bars(share: float | None, expected: str) -> None:
    assert terminal.bar(share) == expected
