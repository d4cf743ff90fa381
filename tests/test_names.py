"""Names: a class or a file stands for one idea, and a test stands where what it tests does."""

from __future__ import annotations

import ast
from collections import defaultdict
from collections.abc import Iterable, Mapping

from work import ROOT

FILES_OF_ONE_IDEA = {
    "arithmetic": "equations in a text, and the scorer that checks them",
    "batch_files": "the protocol, and the options of step-rollout that use it",
    "confidence": "the measures, and the options of step-score that name them",
    "kernels": "compiled loops, which stand only in files of this name",
}
"""File names that stand twice, and the idea that they share."""

CLASSES_OF_ONE_IDEA: dict[str, str] = {}
"""Class names that stand twice, and the idea that they share: so far none."""

BESIDES = {"bench", "cases", "fixtures", "helpers", "interop", "samples", "torture"}
"""Folders of tests/ that are no folder of the package."""


def repeated(places: Iterable[tuple[str, str]]) -> dict[str, list[str]]:
    """The names of (name, place) pairs that stand in several places, with these."""
    by_name: dict[str, list[str]] = defaultdict(list)
    for name, place in places:
        by_name[name].append(place)
    return {name: found for name, found in sorted(by_name.items()) if len(found) > 1}


def check(found: Mapping[str, list[str]], allowed: Mapping[str, str]) -> None:
    """Every repeated name is allowed, and every allowed one is still repeated."""
    unknown = {name: places for name, places in found.items() if name not in allowed}
    assert not unknown, f"one name, several things: {unknown}"
    assert found.keys() == allowed.keys(), "an exception that is none any more"


def test_no_class_name_stands_for_two_things() -> None:
    places = [
        (node.name, f"{path.relative_to(ROOT)}:{node.lineno}")
        for path in sorted((ROOT / "stepkit").rglob("*.py"))
        for node in ast.walk(ast.parse(path.read_text()))
        if isinstance(node, ast.ClassDef)
    ]
    assert len(places) > 100
    check(repeated(places), CLASSES_OF_ONE_IDEA)


def test_no_file_name_stands_for_two_things() -> None:
    files = [path for path in (ROOT / "stepkit").rglob("*.py") if path.stem != "__init__"]
    assert len(files) > 100
    check(repeated((path.stem, str(path)) for path in files), FILES_OF_ONE_IDEA)


def test_a_name_that_stands_twice_is_found() -> None:
    assert repeated([("a", "x"), ("b", "x"), ("a", "y")]) == {"a": ["x", "y"]}


def test_tests_stand_where_what_they_test_does() -> None:
    """And no two have one name: it says what is tested."""
    tests = [path.relative_to(ROOT / "tests") for path in (ROOT / "tests").rglob("test_*.py")]
    assert not repeated((path.name, str(path)) for path in tests)
    folders = {path.parent for path in tests if not {*path.parts} & BESIDES}
    astray = [str(folder) for folder in folders if not (ROOT / "stepkit" / folder).is_dir()]
    assert not astray, f"tests/{astray}: no such folder in stepkit/"
