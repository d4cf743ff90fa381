"""LaTeX as MathML: known formulas, and nothing but what is allowed, whatever is written."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from properties import examples

from stepkit.view import mathml


def inner(latex: str, display: bool = False) -> Any:
    """What a formula of one piece holds; None for none."""
    made = mathml.formula(latex, display)
    if made is None:
        return None
    assert len(made) == 1 and made[0][0] == "math"
    return made[0][-1]


def elements(tree: Any) -> Iterator[tuple[str, dict[str, str], list[str]]]:
    """Name, attributes and texts of every element."""
    attributes = [part for part in tree[1:] if isinstance(part, dict)]
    assert len(attributes) < 2
    yield tree[0], (attributes or [{}])[0], [part for part in tree[1:] if isinstance(part, str)]
    for part in tree[1:]:
        if isinstance(part, list):
            yield from elements(part)


def test_known_formulas() -> None:
    assert inner("x") == ["mi", "x"]
    assert inner(r"\frac{1}{2}") == ["mfrac", ["mn", "1"], ["mn", "2"]]
    assert inner("x^2") == ["msup", ["mi", "x"], ["mn", "2"]]
    assert inner(r"\boxed{18}") == ["menclose", {"notation": "box"}, ["mn", "18"]]
    assert inner("16 - 3") == ["mrow", ["mn", "16"], ["mo", "\u2212"], ["mn", "3"]]
    assert inner(r"a \implies \infty") == ["mrow", ["mi", "a"], ["mo", "\u27f9"], ["mi", "\u221e"]]
    assert mathml.formula("x", True) == (["math", {"display": "block"}, ["mi", "x"]],)


def test_a_long_formula_in_a_line_is_broken_after_relations() -> None:
    made = mathml.formula(r"3 \times 3 \times 60 = 9 \times 60 = 540", False)
    assert made is not None
    ends = [part[-1] for part in made]
    assert ends == [["mo", {"form": "infix"}, "="]] * 2 + [["mn", "540"]]
    whole = mathml.formula(r"3 \times 3 \times 60 = 9 \times 60 = 540", True)
    assert whole is not None and len(whole) == 1


@pytest.mark.parametrize("name", ["aligned", "align", "align*", "eqnarray*", "split"])
def test_rows_that_are_aligned(name: str) -> None:
    latex = rf"\begin{{{name}}}a&=b\\&=c\end{{{name}}}"
    table = inner(latex, True)
    assert table[0] == "mtable"
    assert [row[0] for row in table[2:]] == ["mtr", "mtr"]
    assert [cell[1]["columnalign"] for cell in table[2][1:]] == ["right", "left"]


def test_rows_without_an_environment() -> None:
    assert [row[0] for row in inner(r"a \\ b", True)[1:]] == ["mtr", "mtr"]
    assert inner(r"\begin{gather}a\\b\end{gather}", True) == inner(r"a\\b", True)


def test_text_that_looks_like_html_is_text() -> None:
    """latex2mathml itself writes it unescaped."""
    assert inner(r"\text{<b>x</b>}") == ["mtext", "<b>x</b>"]
    assert inner(r"\text{in\_week}") == ["mtext", "in_week"]


@pytest.mark.parametrize(
    "latex",
    [
        r"\href{javascript:alert(1)}{x}",
        r"\style{position:fixed}{x}",
        r"\class{tip}{x}",
        r"\hspace{1000em}x",
        r"\raisebox{3em}{x}",
        r"\nosuchcommand{x}",
        r"\begin{nosuch}x&y\end{nosuch}",
        r"\cline{2-4} x",
        "x & y",
        r"\frac",
        r"\left( 3",
        "",
        " ",
        r"\quad",
        "a\u202eb",
        "a\x00b",
        "{" * 5000,
        "x" * 9000,
        r"\sqrt{" * 60 + "x" + "}" * 60,
        r"\def\x{\x\x}\x",
        r"\newcommand{\x}{yy}\x",
    ],
)
def test_what_is_refused(latex: str) -> None:
    assert mathml.formula(latex, False) is None


def test_colours_are_left_out() -> None:
    """White on white would hide what is written."""
    assert inner(r"\color{white}{x}") == ["mstyle", ["mi", "x"]]


COMMANDS = r"""
\frac \sqrt \text \left( \right) \boxed ^ _ { } & \\ \begin{array}{c} \end{array} \href \style
\color \sum \int \hat \bar x 12 + = < > ' \, \quad \big( \binom \pmod \mathbb \not \hspace{9em}
\cancel \overline \underbrace \xrightarrow \phantom \operatorname \lim \limits \prime \tag \% \$ <b>
"""
LATEX = st.lists(st.sampled_from(COMMANDS.split()), max_size=12).map(" ".join)


@examples(500)
@given(st.one_of(st.text(), LATEX), st.booleans())
def test_nothing_but_what_is_allowed(latex: str, display: bool) -> None:
    for part in mathml.formula(latex, display) or ():
        for name, attributes, texts in elements(part):
            assert name in mathml.ELEMENTS
            for key, value in attributes.items():
                assert mathml.ATTRIBUTES[key].fullmatch(value)
            assert not any("\\" in text and text != "\\" for text in texts)
