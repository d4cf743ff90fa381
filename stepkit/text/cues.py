"""Cue words: where a reasoning model turns to another thought.

The list is that of "Beyond the Last Answer" (arXiv 2504.20708, appendix), whose authors cut a
thinking trace before each of them into subthoughts. Where this differs: a cue counts only where a
sentence begins, so that "So" in "and So on" cuts nothing, and only inside the thinking where tags
say which that is.
"""

from __future__ import annotations

import re

from stepkit.text.protected_parts import thinking

CUES = (
    *("Alright", "Alternatively", "Another angle", "Another approach", "But wait", "Compute"),
    *("Correct", "First", "Good", "Got it", "Hmm", "Hold on", "I don't see any errors", "I think"),
    *("Let me", "Let me double-check", "Let's see", "Looking back", "Maybe", "Now", "Okay"),
    *("Remember", "Seems solid", "Similarly", "So", "Starting", "That seems right"),
    *("That's correct", "Then", "Therefore", "Thus", "Wait"),
)

CUE = re.compile(
    rf"(?:\A|\n|[.!?\u2026][\"')\]]*[ \t]+)[ \t]*(?P<cue>(?:{'|'.join(CUES)})\b)", re.MULTILINE
)


def cue_starts(text: str) -> list[int]:
    """Characters at which a cue begins a sentence, ascending."""
    spans = thinking(text) or [(0, len(text))]
    starts = (match.start("cue") for match in CUE.finditer(text))
    return [start for start in starts if any(begin <= start < end for begin, end in spans)]
