"""Final answers: found, and compared where that needs no algebra."""

from __future__ import annotations

import time

import pytest
from hypothesis import given
from hypothesis import strategies as st

from stepkit.text.answer_equality import quick
from stepkit.text.answers import extract, reference

ANSWERS: list[tuple[str, str | None]] = [
    ("", None),
    ("We add and get 42.", None),
    (r"so \boxed{\frac{1}{2}}.", r"\frac{1}{2}"),
    (r"\boxed{13}, wait, no: \boxed{14}", "14"),
    (r"\boxed{\{1,2\}} and \fbox{ 9. }", "9"),
    (r"\boxed{\{1,2\}}", r"\{1,2\}"),
    (r"\boxed{\text{a {nested} one}}", r"\text{a {nested} one}"),
    (r"\boxed{5} and then \boxed{", None),
    (r"The answer is 5. So \boxed{\frac{1}{2", None),
    (r"\boxed{5. so \boxed{6}", "6"),
    (r"\boxed{7}, not \boxed{}", "7"),
    (r"\boxed{7}. The answer is 8.", "7"),
    ("x\n#### 42", "42"),
    ("x\n#### 1,234\nQuestion: more", "1,234"),
    ("x\n#### 42 apples\n", "42 apples"),
    ("#### Step 1: go\nand so on", None),
    ("#### 3. Conclusion\nand so on", None),
    ("#### Step 1: go\nThe answer is 5.", "5"),
    ("#### 4\nThe answer is 5.", "5"),
    ("The answer is 3.14.", "3.14"),
    ("The answer is 42. Let me check it.", "42"),
    ("The answer is 4.\nNo, the answer is 5.\n", "5"),
    ("The final answer is $42$. I hope it is correct.", "42"),
    ("**Answer:** 42", "42"),
    ("**Answer**: 42", "42"),
    ("**Final Answer:**\n\n\\(42\\)", "42"),
    ("Answer:\n\\[\nx = 5\n\\]\nas said", "x = 5"),
    ("The answer is: **5**.", "5"),
    ("ANSWER: (B)", "(B)"),
    ("Answer: [1, 2)", "[1, 2)"),
    ("(The answer is 7.)", "7"),
    ('He said "the answer is 7."', "7"),
    ("the answer is therefore 5", "5"),
    ("Answer: $5", "$5"),
    ("Answer choices: A, B", None),
    ("the answer is", None),
    ("The answers are unclear. My answer", None),
]


@pytest.mark.parametrize(("text", "answer"), ANSWERS)
def test_extract(text: str, answer: str | None) -> None:
    assert extract(text) == answer


def test_a_worked_solution_serves_as_reference() -> None:
    assert reference("3 + 4 = 7\n#### 7") == "7"
    assert reference("$7$") == "7"
    assert reference(" x + 1. ") == "x + 1"


@given(st.text(alphabet="\\{}$boxedanswer is:.#\n (*5)") | st.text())
def test_extract_takes_any_text(text: str) -> None:
    answer = extract(text)
    assert answer is None or (answer and answer == answer.strip())


@pytest.mark.parametrize(
    "text",
    ["\\boxed{", "\\boxed{}", "{", "#### ", "\n#### 1", "answer is ", "answer: .) ", "#### 1 "],
)
def test_long_texts_take_linear_time(text: str) -> None:
    begin = time.process_time()
    extract(text * (100_000 // len(text)))
    extract(text + " " * 100_000 + "x")
    assert time.process_time() - begin < 5


EQUAL = [
    ("1,234", "1234"), ("1234.0", "1,234"), ("1/2", "0.5"), (r"\frac{1}{2}", r"\dfrac12"),
    (r"\tfrac{-1}{2}", "-.5"), ("3 1/2", "3.5"), (r"-3\frac{1}{2}", "-7/2"), ("$5", "5"),
    (r"\$1{,}000", "1000"), (r"1\,000", "1 000"), ("\u22125", "-5"), ("1e3", "1000"),
    ("50%", r"50.0\%"), ("50 percent", "50%"), ("12_3", "12_{3}"), ("42_{10}", "42"),
    ("6:30 pm", "6:30 p.m."), ("06:30", "6:30"), ("(B)", "B"), ("East", r"\text{east}"),
    ("x + 1", "x +  1"), ("**7**", "7."), ("9" * 300, "9" * 300),
]  # fmt: skip
DIFFERENT = [
    ("2", "12"), ("42", "43"), ("1.0000001", "1.0000002"), ("50%", "50"), ("50%", "0.5"),
    ("10%", "10"), ("12_3", "12_4"), ("4210_5", "4210"), (r"12_{\text{five}}", r"12_{\text{six}}"),
    ("6:30", "12:60"), ("6:30 pm", "6:30 am"), ("6:30", "1/5"), ("A", "B"), ("listen", "silent"),
    ("no solution", "two solutions"), ("0.5", "1/3"), ("1e999", "1"),
]  # fmt: skip
OPEN = [
    ("x+1", "1+x"), ("5 cm", "5"), ("0.333", "1/3"), ("1:2", "2:4"), ("1:2", "1/2"), ("1,5", "1.5"),
    ("1 2", "12"), ("6:30 pm", "6:30"), ("a", "A"), ("ab", "ba"), ("1/0", "2"), (r"\pi", "3.14"),
    ("", "5"), ("9" * 300, "1"),
]  # fmt: skip


@pytest.mark.parametrize(
    ("a", "b", "verdict"),
    [(*pair, True) for pair in EQUAL]
    + [(*pair, False) for pair in DIFFERENT]
    + [(*pair, None) for pair in OPEN],
)
def test_quick(a: str, b: str, verdict: bool | None) -> None:
    assert quick(a, b) is verdict
    assert quick(b, a) is verdict


def test_no_answer_is_undecided() -> None:
    assert quick("5", None) is None


@given(st.integers(), st.integers())
def test_integers_are_compared_exactly(a: int, b: int) -> None:
    assert quick(f"{a:,}", str(b)) is (a == b)
    assert quick(str(a), f"{a}.00") is True


@given(st.text(alphabet="0123456789.,/%$-+ \\frac{}_:abAB") | st.text(), st.text())
def test_quick_takes_any_text_either_way(a: str, b: str) -> None:
    assert quick(a, b) is quick(b, a)
