"""What a judge replies that was asked whether two answers are the same, and how it is read.

    Reason: a reason, on one line
    Verdict: same                    (or: different, unsure)

A grammar holds a model to just this. Without one, the one verdict must stand in the last line; it
may be in bold type, in capitals and followed by a full stop.
"""

from __future__ import annotations

import re

from stepkit.text.protected_parts import after_thinking
from stepkit.text.verdicts import Verdict, open_question

WORDS = {"same": True, "different": False, "unsure": None}
"""The words of a verdict."""

LABEL = re.compile(r"^[*_ \t]*verdict[*_ \t]*:[*_ \t]*(?P<said>[^\n]*)$", re.M | re.I)
REASON = re.compile(r"[*_\s]*reason[*_ \t]*:[*_ \t]*", re.I)


def grammar(longest: int) -> str:
    """The GBNF grammar of replies with a reason of at most ``longest`` characters."""
    words = " | ".join(f'"{word}"' for word in WORDS)
    return (
        'root ::= "Reason: " reason "Verdict: " verdict\n'
        f'reason ::= [^\\n]{{1,{longest}}} "\\n"\n'
        f"verdict ::= {words}\n"
    )


def most_bytes(longest: int) -> int:
    """Bytes of the longest reply that the grammar allows; a token has at least one."""
    return len("Reason: \nVerdict: ") + 4 * longest + max(map(len, WORDS))


def read(text: str) -> Verdict:
    """What a reply says, with its reason; undecided, with why, where it says nothing clear."""
    reply = after_thinking(text)
    if reply is None:
        return open_question("the thinking has no end in the reply")
    found = list(LABEL.finditer(reply))
    if len(found) != 1:
        return open_question("two verdicts in the reply" if found else "no verdict in the reply")
    word = found[0]["said"].rstrip("*_. \t\r").lower()
    if word not in WORDS or reply[found[0].end() :].strip():
        return open_question("a verdict of another form in the reply")
    reason = REASON.sub("", reply[: found[0].start()], count=1).strip()
    return Verdict(WORDS[word], reason or "no reason in the reply")
