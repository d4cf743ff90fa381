"""Light Markdown: what is a mark, what is an operator, and what a cut between steps leaves."""

from __future__ import annotations

from collections.abc import Iterable

import pytest
from hypothesis import given
from hypothesis import strategies as st
from properties import examples

from stepkit.text.markup import Mark, marks, marks_by_part


def seen(text: str, found: Iterable[Mark] | None = None) -> list[object]:
    """The marks as (kind, what is shown), those inside after theirs in a list."""
    made: list[object] = []
    for mark in marks(text) if found is None else found:
        made.append((mark.kind, text[slice(*mark.inner)]))
        if mark.marks:
            made.append(seen(text, mark.marks))
    return made


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("a **b** *c* ***d***", [("bold", "b"), ("italic", "c"), ("both", "d")]),
        ("`x = 1` and `y`", [("code", "x = 1"), ("code", "y")]),
        ("## Step 1\nthen", [("heading", "Step 1\n")]),
        ("1. one\n2) two", [("item", "1. one\n"), ("item", "2) two")]),
        ("- one\n  * two", [("bullet", "one\n"), ("bullet", "two")]),
        ("```py\na = 1\n```\nb", [("fence", "a = 1\n")]),
        ("~~~\nopen to the end", [("fence", "open to the end")]),
        ("so:\n  \\[x\\]\nand", [("display", "x")]),
        ("see [asy]draw(a);[/asy]", [("drawing", "[asy]draw(a);[/asy]")]),
        (
            "### **Find \\(x\\)** `y`",
            [
                ("heading", "**Find \\(x\\)** `y`"),
                [("bold", "Find \\(x\\)"), [("formula", "x")], ("code", "y")],
            ],
        ),
    ],
)
def test_marks(text: str, expected: list[object]) -> None:
    assert seen(text) == expected


@pytest.mark.parametrize(
    "text",
    [
        "2 * 3 * 4",
        "2*3*4",
        "2**3**2",
        "a ** b ** c",
        "snake_case_name and __init__",
        "#### 18",
        "#1 and # ",
        "- 5 = 3",
        "- x = 3",
        "1.5 kg",
        "never **closed",
        "over *a\nline*",
        r"\*not\*",
        "a `",
    ],
)
def test_operators_and_answers_stay_text(text: str) -> None:
    assert marks(text) == []


def test_nothing_in_code_or_formulas_is_a_mark() -> None:
    assert seen("`**a**` \\(b * c * d\\) **e * f**") == [
        ("code", "**a**"),
        ("formula", "b * c * d"),
    ]
    assert seen("```\n# no\n- no\n```") == [("fence", "# no\n- no\n")]


def by_part(*parts: str) -> list[list[object]]:
    return [seen(part, found) for part, found in zip(parts, marks_by_part(parts), strict=True)]


def test_a_formula_across_a_cut_stays_text() -> None:
    parts = ("so \\(x ", "+ y\\) and $a", "b$ \\(z\\)")
    assert by_part(*parts) == [[], [], [("formula", "z")]]


def test_code_across_a_cut_is_code_in_both_steps() -> None:
    parts = ("see\n```py\na = 1\n", "b * c * d\n", "```\n**e**")
    assert by_part(*parts) == [
        [("fence", "a = 1\n")],
        [("fence", "b * c * d\n")],
        [("bold", "e")],
    ]


def test_emphasis_across_a_cut_stays_text_and_what_it_holds_does_not() -> None:
    assert by_part("**a \\(x\\) ", "b** *c*") == [[("formula", "x")], [("italic", "c")]]


MARKS = ("*", "**", "`", "```", "$", "\\(", "\\)", "\\[", "\\]", "a", "[asy]", "[/asy]")
WHITE = [" ", "\n", "\n```\n", "# ", "- ab", "1. ", "b c", "\u00e9"]
PIECES = st.lists(st.sampled_from([*MARKS, *WHITE]), max_size=30)


def check(found: Iterable[Mark], begin: int, end: int) -> None:
    """Ascending, apart, and inside of what holds them."""
    for mark in found:
        assert begin <= mark.begin <= mark.inner[0] <= mark.inner[1] <= mark.end <= end
        assert mark.begin < mark.end
        check(mark.marks, *mark.inner)
        begin = mark.end


@examples(300)
@given(PIECES)
def test_marks_are_nested_and_apart(pieces: list[str]) -> None:
    text = "".join(pieces)
    check(marks(text), 0, len(text))
    for part, found in zip(pieces, marks_by_part(pieces), strict=True):
        check(found, 0, len(part))


@examples(100)
@given(PIECES)
def test_one_part_is_the_whole(pieces: list[str]) -> None:
    text = "".join(pieces)
    assert marks_by_part([text]) == [marks(text)]
