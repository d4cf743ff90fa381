"""Final answers: found, and compared where that needs no algebra."""

from __future__ import annotations

import time

import pytest
from hypothesis import given
from hypothesis import strategies as st

from stepkit.text.answers import extract, reference

ANSWERS: list[tuple[str, str | None]] = [
    ("", None),
    ("We add and get 42.", None),
    (r"so \boxed{\frac{1}{2}}.", r"\frac{1}{2}"),
    (r"\boxed{13}, wait, no: \boxed{14}", "14"),
    (r"\boxed{\{1,2\}} and \fbox{ 9. }", r"\{1,2\}, 9"),
    (r"\boxed{\{1,2\}}. Then \fbox{ 9. }", "9"),
    (r"\boxed{\{1,2\}}", r"\{1,2\}"),
    (r"\boxed{\text{a {nested} one}}", r"\text{a {nested} one}"),
    (r"\boxed{5} and then \boxed{", None),
    (r"The answer is 5. So \boxed{\frac{1}{2", None),
    (r"\boxed{5. so \boxed{6}", "6"),
    (r"\boxed{7}, not \boxed{}", "7"),
    (r"\boxed{7}. The answer is 8.", "8"),
    (r"\boxed{7}. The answer is in the box.", "7"),
    (r"The answer is 7. So \boxed{8}.", "8"),
    (r"So x = \boxed{3} or x = \boxed{-5}.", "3, -5"),
    (r"$\boxed{2}$ and $\boxed{3}$.\n\nThe answer is: 2.", "2"),
    (r"So it is \boxed5.", "5"),
    (r"It is \boxed{20}\%.", r"20\%"),
    ("So the answer is **204**.", "204"),
    ("**The answer is 7.**", "7"),
    ("The answer is ***42***.", "42"),
    ("The answer is __42__.", "42"),
    ("**Answer: C**", "C"),
    ("So it costs 29 cents.\n\n# Answer\n\n29", "29"),
    ("**Final Answer**\n\n$5$", "5"),
    ("<think>\nMaybe \\boxed{5}. Hmm.\n</think>\n\nThe answer is 7.", "7"),
    ("<think>\nSo maybe \\boxed{7}. But wait", None),
    ("<think>So the answer is 7</think>\n\n7", "7"),
    ("</think>B", "B"),
    ("<think>So the answer is 7</think>\n\nDone.", None),
    ("<|begin_of_thought|>\\boxed{3}<|end_of_thought|>\nThe answer is 4.", "4"),
    ("<|begin_of_thought|>\\boxed{3}", None),
    ("The answer is 5.<|im_end|>", "5"),
    ("The answer is 5</s>", "5"),
    ("The answer is 5<|im_end|>\n<|im_start|>user\nThe answer is 6", "5"),
    ("<answer>The answer is 5</answer>", "5"),
    ("<think>x</think><answer>42</answer>", "42"),
    ("They should order 8 meals. #### 8 ", "8"),
    ("So he has 15.\nA: 15", "15"),
    ("A: 15\nB: 16\nC is larger.", None),
    ("The answer is exactly 42.", "42"),
    ("The answer is 5, because 2+3=5.", "5"),
    ("The answer is 5 since 2+3=5.", "5"),
    ("Answer: $3,-5$, as required.", "3,-5"),
    ("The answer is 42!", "42"),
    ("Answer: 42\n\nNote: the answer is only valid for integers.", "42"),
    ("The answer is not 5.", None),
    ("First, the answer is 20. So 7x = 392.\n\nDivide by 7:\n\nx = 56", None),
    ("The answer is 20.\n\nCheck: 4 * 5 = 20.", "20"),
    ("Answer: 20\n\n4 * 5 = 20", "20"),
    ("The answer is 5.\n\nQuestion: 2 + 4?\nThe answer is 6.", "5"),
    ("The correct option is (C).", "(C)"),
    ("B is the correct answer.", "B"),
    ("Add.\nTherefore, he has **12** apples.", "12"),
    ("Therefore, 3 of them have 5 apples.", None),
    ("So 2 * 17 = 34. He spends 34 hours in 4 weeks.", "34"),
    ("So the cost is 2 * 3 = $6.", "$6"),
    ("42", "42"),
    ("\u7b54\u6848\u662f 5\u3002", "5"),
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
    ("We check our answer: 2 = 2.", None),
    ("the answer is", None),
    ("The answers are unclear. My answer", None),
]


@pytest.mark.parametrize(("text", "answer"), ANSWERS)
def test_extract(text: str, answer: str | None) -> None:
    assert extract(text) == answer


@pytest.mark.parametrize(
    ("text", "answer"),
    [
        ("Option C", "C"),
        ("choice (B).", "(B)"),
        ("Option C: 12 cm", "C: 12 cm"),
        ("(B)", "(B)"),
        ("B.", "B"),
        ("**(D)** 12", "(D) 12"),
        ("**B.** Paris", "B. Paris"),
        ("B. Paris, France.", "B. Paris, France"),
        ("C) 5 cm", "C) 5 cm"),
        ("(D) -5", "(D) -5"),
        (r"D. $\frac{1}{2} + x$", r"D. $\frac{1}{2} + x$"),
        (r"<think>B?</think>(A) \(x + 1\)", r"(A) \(x + 1\)"),
    ],
)
def test_a_response_that_is_only_a_choice_is_one(text: str, answer: str) -> None:
    assert extract(text) == answer


@pytest.mark.parametrize(
    "text",
    [
        "A. Smith went home with 12 apples and then ate 5.",
        "A. Smith went home. He had 12.",
        "A. What is asked here?",
        "A train leaves",
        "A train leaves at 5.",
        "A dog",
        "I think",
        "Option C is right because",
        "Option A or B",
        "C is a letter",
        "(A) 12 (B) 15",
        "(A) Paris, (B) Rome",
        "A) 12\nB) 15",
        "B. Because " + "x" * 80,
    ],
)
def test_prose_is_no_choice(text: str) -> None:
    assert extract(text) is None


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
