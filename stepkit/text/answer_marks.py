r"""Marks around an answer that are no part of it: white space, emphasis, dollar signs, full stops,
and the tokens with which models end a text."""

from __future__ import annotations

import re

END_MARK = re.compile(
    r"<\|(?:im_end|endoftext|eot_id|eom_id|end_of_text|end_of_turn|end|return|eos|end_of_solution)"
    r"\|>|<\uff5c(?:end\u2581of\u2581sentence|User)\uff5c>|</s>|<eos>|<end_of_turn>|<\|?EOT\|?>"
    r"|\[EOS\]|\[/?INST\]|<pad>|<\|user\|>|<\|im_start\|>user",
    re.IGNORECASE,
)
OTHER_MARK = re.compile(r"<\|[a-z_]+\|>|</?(?:answer|solution|final|result|output|response)>|<s>")
WRAPPERS = (("$$", "$$"), ("$", "$"), ("\\(", "\\)"), ("\\[", "\\]"), ("***", "***"), ("**", "**"),
            ("__", "__"), ("`", "`"), ('"', '"'), ("\u201c", "\u201d"), ("'", "'"), ("*", "*"),
            ("_", "_"))  # fmt: skip
FIRST_MARKS = frozenset(opening[0] for opening, _ in WRAPPERS)
EMPHASIS = re.compile(r"(?<!\w)\*{1,3}(?=\S)|(?<=\S)\*{1,3}(?!\w)|(?<!\w)__(?=\S)|(?<=\S)__(?!\w)")
LAYERS = 8  # marks inside marks that are taken off, as in **$5.$**


def before_end(text: str) -> str:
    """``text`` up to the first mark that ends it, if anything stands before it."""
    for mark in END_MARK.finditer(text) if "<" in text or "[" in text else ():
        if text[: mark.start()].strip():
            return text[: mark.start()]
    return text


def without_emphasis(line: str) -> str:
    """``line`` without asterisks and underscores that emphasise, also where one of two is missing.

    Those between letters or digits (2**3, a_1) are operators and stay.
    """
    return EMPHASIS.sub("", line) if "*" in line or "__" in line else line


def tidy(answer: str) -> str:
    """``answer`` without white space, closing full stop and marks that wrap it as a whole, and
    without a closing bracket or quote that opened before it."""
    before = ""
    for _ in range(LAYERS):
        if answer == before:
            break
        before = answer
        answer = OTHER_MARK.sub("", answer).strip() if "<" in answer else answer.strip()
        answer = answer.rstrip("\u3002\uff0c")
        if answer.endswith((".", ",", ";", ":")) and not answer.endswith(
            ("..", "\\,", "\\;", "\\:")
        ):
            answer = answer[:-1]
        if answer.endswith((")", "]")) and _more_closed(answer):
            answer = answer[:-1]
        if answer.endswith('"') and answer.count('"') % 2:
            answer = answer[:-1]
        answer = _unwrap(answer)
    return answer


def _more_closed(answer: str) -> bool:
    return sum(map(answer.count, "([")) < sum(map(answer.count, ")]"))


def _unwrap(answer: str) -> str:
    if answer[:1] not in FIRST_MARKS:
        return answer
    for opening, closing in WRAPPERS:
        inner = answer[len(opening) : -len(closing)]
        wrapped = answer.startswith(opening) and answer.endswith(closing)
        if wrapped and len(answer) > len(opening + closing) and closing not in inner:
            return inner
    return answer
