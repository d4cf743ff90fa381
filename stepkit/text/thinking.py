r"""What a response says after its thinking.

Reasoning models think between marks of their own and answer after them. Only the answer counts: a
draft in the thinking is none. The opening mark may be missing, since chat templates put it into the
prompt; a thinking that was never closed has no answer yet. Which marks: DeepSeek-R1 and Qwen3
(``<think>``), Sky-T1 (``<|begin_of_thought|>``), Magistral (``[THINK]``), Kimi, gpt-oss's channels,
and the tags that people ask for in prompts.
"""

from __future__ import annotations

import re

TAGS = "think|thinking|thought|thoughts|reasoning|reflection|scratchpad|analysis|seed:think"
OPENED = re.compile(
    rf"<(?:{TAGS})>|<\|begin_of_thought\|>|\[THINK\]|\u25c1think\u25b7"
    r"|<\|channel\|>analysis",
    re.IGNORECASE,
)
CLOSED = re.compile(
    rf"</(?:{TAGS})>|<\|end_of_thought\|>|\[/THINK\]|\u25c1/think\u25b7"
    r"|<\|channel\|>final(?:<\|message\|>)?",
    re.IGNORECASE,
)
MARKS = "<[\u25c1"


def after_thinking(text: str) -> str | None:
    """The text after the last mark that closes a thinking; None where a thinking is still open."""
    if not any(mark in text for mark in MARKS):
        return text
    end = 0
    for closed in CLOSED.finditer(text):
        end = closed.end()
    return None if OPENED.search(text, end) else text[end:]
