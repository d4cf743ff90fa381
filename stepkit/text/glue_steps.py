"""Steps that say nothing of the problem: "Let's compute:", "Here is the calculation.", a fence.

Such a step has few words, no digit, sign of a formula or word for a number, and announces what
follows: it ends with a colon, or begins as announcements do. One that denies or takes back ("No,
that is wrong:") is none.
"""

from __future__ import annotations

import re

from stepkit.text.answer_marks import without_emphasis

MOST_WORDS = 8
SIGN = re.compile(r"[\d=+*/^<>\\$%\u00d7\u00f7\u2212\u221a]")
WORD = re.compile(r"[^\W\d_]+(?:['\u2019-][^\W\d_]+)*")
OPENING = re.compile(
    r"[\s>*_#-]*(?:(?:okay|ok|sure|now|so|first|next|then|finally)[,!]?\s+)?"
    r"(?:let(?:['\u2019]s|\s+us|\s+me)\b|here(?:['\u2019]s|\s+is|\s+are)\b|okay\b|sure\b)",
    re.IGNORECASE,
)
SAYS = re.compile(
    r"\b(?:no|not|never|none|wait|wrong|incorrect|mistake|error|instead|but|however|actually"
    r"|assum\w*|suppose|false|true|yes|half|twice|double|triple|thrice|dozen|all|both|each|every"
    r"|zero|one|two|three|four|five|six|seven|eight|nine|ten|eleven|twelve|hundred|thousand"
    r"|first\s+(?:case|part)|\w+n['\u2019]t)\b",
    re.IGNORECASE,
)


def is_glue(step: str) -> bool:
    """Whether ``step`` says nothing of the problem, so that it leaves every chance as it was."""
    step = without_emphasis(step)
    words = WORD.findall(step)
    if SIGN.search(step) or len(words) > MOST_WORDS:
        return False
    if not words:
        return True
    announces = step.rstrip(" \t\r\n*_").endswith((":", "\uff1a")) or OPENING.match(step)
    return bool(announces) and SAYS.search(step) is None
