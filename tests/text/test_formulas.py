"""Formulas in a text: what is one, what is money, what is neither."""

from __future__ import annotations

import time

import pytest
from hypothesis import given
from hypothesis import strategies as st
from properties import examples

from stepkit.text.formulas import formulas


def found(text: str) -> list[str]:
    """The formulas of a text as they are written."""
    return [text[one.begin : one.end] for one in formulas(text)]


@pytest.mark.parametrize(
    "text",
    [
        "$5 and $6",
        "from $5/hour to $6/hour, $1,000 at most",
        "5-$6, $5-$6, US$5 or US$6",
        "costs $2 * 9 = $18 a day",
        "$2.50 an hour, or 20$ a day",
        "a $10 bill and 5$ more",
        "I have $ 5 and $ 6",
        r"\$5 and \$6",
        r"\\(x\\)",
        r"\(never closed",
        "$x\n\ny$",
        r"\begin{table}x\end{table}",
        r"\boxed{never closed",
        "$$",
        "$ $",
    ],
)
def test_no_formula(text: str) -> None:
    assert found(text) == []


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        (r"so \(16 - 3\) is \[ 13 \]", [r"\(16 - 3\)", r"\[ 13 \]"]),
        ("$x$, $ y = 5 $ and $n$th", ["$x$", "$ y = 5 $", "$n$"]),
        ("$$x$$ and $$y\n+ z$$", ["$$x$$", "$$y\n+ z$$"]),
        ("it costs $5, so $x = 5$", ["$x = 5$"]),
        (r"$\text{the number of them}$", [r"$\text{the number of them}$"]),
        (r"\(a \(b\)", [r"\(b\)"]),
        (r"\begin{align*}a\\b\end{align*}", [r"\begin{align*}a\\b\end{align*}"]),
        (r"So \boxed{\frac{1}{2}}.", [r"\boxed{\frac{1}{2}}"]),
        (r"\[ a \\[4pt] b \]", [r"\[ a \\[4pt] b \]"]),
        ("$20$ and $30$", ["$20$", "$30$"]),
    ],
)
def test_formulas(text: str, expected: list[str]) -> None:
    assert found(text) == expected


def test_what_is_inside_and_how_it_stands() -> None:
    text = r"\(x\) \[y\] $z$ $$w$$ \boxed{1}"
    assert [(text[slice(*one.inner)], one.display) for one in formulas(text)] == [
        ("x", False), ("y", True), ("z", False), ("w", True), (r"\boxed{1}", False),
    ]  # fmt: skip


def test_none_in_code() -> None:
    text = "`$x$` $y$ and `$` z $"
    code = [(0, 5), (14, 17)]
    assert [text[one.begin : one.end] for one in formulas(text, code)] == ["$y$"]


MARKS = ("$", "$$", "\\(", "\\)", "\\[", "\\]", "\\", "\\boxed{", "}", "{", "x", "5", "word ")
WHOLE = ("\\begin{align}", "\\end{align}")
PIECES = st.lists(st.sampled_from([*MARKS, *WHOLE, " ", "\n", "\n\n", "\u00e9"]), max_size=30).map(
    "".join
)


@examples(300)
@given(PIECES)
def test_formulas_are_closed_and_apart(text: str) -> None:
    end = 0
    closing = {"\\(": "\\)", "\\[": "\\]", "$": "$", "\\be": "\\end{align}", "\\bo": "}"}
    for one in formulas(text):
        assert end <= one.begin < one.end <= len(text)
        assert one.begin <= one.inner[0] < one.inner[1] <= one.end
        written = text[one.begin : one.end]
        marks = [mark for opening, mark in closing.items() if written.startswith(opening)]
        assert any(map(written.endswith, marks))
        assert text[slice(*one.inner)].strip()
        end = one.end


@pytest.mark.parametrize(
    "mark", ["$", "$$", "\\(", "\\[", "$x ", "\\begin{align}", "\\boxed{", "$5 "]
)
def test_marks_that_are_never_closed_take_no_time(mark: str) -> None:
    """Quadratic work on 400,000 characters would take minutes."""
    text = mark * (400_000 // len(mark))
    began = time.process_time()
    formulas(text)
    assert time.process_time() - began < 5
