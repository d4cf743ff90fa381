"""Cut a response into steps; joined, the steps are the response again.

A rule is a dict that travels in the record's ``split``, so that a continuation can be cut as the
trace was:

    {"by": "block"}                         a step is a line, or what belongs together (blocks.py)
    {"by": "lines"}                         a step ends after a newline
    {"by": "blank"}                         a step ends after blank lines
    {"by": "marker"}                        a step begins at a line such as "Step 2:", "**Step 2**"
    {"by": "sentence"}                      a step is a sentence; mathematics is never cut
    {"by": "regex", "pattern": "..."}       a match ends a step, or begins one with "start": true
    {"by": "cue"}                           a step begins at a cue word such as "Wait" (cues.py)
    {"by": "tokens", "size": N}             a step has N tokens
    {"by": "confidence", "below": P}        a step begins at a token less probable than P, or at
                                            the least probable ones with "top": N (token_cuts.py)

each with ``"min_chars": N`` (a shorter step is joined to the next one, a short last one to the
previous one) and ``"max_steps": N`` (what comes after is part of the last step) where wanted.

No step holds both thinking (``<think>``) and what stands before or after it, and nothing is cut
inside a fenced block of code unless ``"code": true`` says so (protected_parts.py). "block",
"blank", "marker", "sentence" and "cue" do not cut inside a displayed formula (displays.py), either.

White space never forms a step, nor does a tag alone: it belongs to the step before it, at the
start of the response to the step after it. Text before the first marker belongs to the first
step. Only a response of white space alone is one step of white space, since it must join to itself.

Only a newline (U+000A) ends a line; a carriage return, U+2028 and their like are ordinary text.
This module does not look at roles or models.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterable, Iterator

from stepkit.text.blocks import LOOK, block_ends, decided
from stepkit.text.cues import cue_starts
from stepkit.text.displays import displays
from stepkit.text.protected_parts import (
    FIRST_OF_TAG,
    Span,
    apart,
    fenced,
    outside,
    parts,
    silent,
    tags,
)
from stepkit.text.segment_rules import NEED_TOKENS, SegmentRule, check, continued, pattern
from stepkit.text.sentences import sentence_ends
from stepkit.text.token_cuts import TextTokens, token_cuts

__all__ = [
    "SegmentRule",
    "TextTokens",
    "check",
    "first_step",
    "first_step_stands",
    "has_marker",
    "split",
]

BLANK_LINES = re.compile(r"\n(?:[ \t\r]*\n)+")
MARKER = re.compile(
    r"""^[ \t]* (?:>[ \t]*)? (?:(?:[-*+\u2022]|\(?\d{1,3}[.)])[ \t]+)?     # in a quote or a list
    (?: \#{1,6} [ \t]* (?:\*\*|__)? step [ \t]* \d+[a-z]? \b             # "### Step 2"
      | (?P<mark>\*{1,3}|__?|\\textbf\{|\[)?
        (?: step [ \t]* [-\#]? [ \t]* (?: \d+[a-z]? | (?-i:[IVX]+)
                | one|two|three|four|five|six|seven|eight|nine|ten ) (?![^\W_]|\.\d)
              (?:[ \t]* (?:/|of\b) [ \t]* \d+)?                           # "Step 2 of 5"
          | \u6b65\u9aa4 [ \t]* \d+ | \u7b2c [ \t]* (?:\d+|[\u4e00-\u9fff]{1,3}) [ \t]* \u6b65 )
        (?: [ \t]* \([^()\n]{1,100}\) )?                                 # "Step 2 (setup)"
        (?: [ \t]* (?:\*{1,3}|__?|\}|\])? [ \t]*
              (?: [:\uff1a\u3001] | [.)](?!\d) | [-\u2013\u2014]+(?=\s) )    # "Step 2:"
          | (?P=mark) | (?(mark)[}\]]) (?<=[}\]])                          # "**Step 2** text"
          | [ \t\r]* $ )                                                 # alone on its line
    )""",
    re.VERBOSE | re.MULTILINE | re.IGNORECASE,
)


def split(response: str, rule: SegmentRule, tokens: TextTokens | None = None) -> list[str]:
    """Cut ``response`` into steps by ``rule``.

    Args:
        tokens: those of the response, for the rules that go by them.

    Returns steps whose concatenation is ``response``; [] for the empty one.
    Raises DataError naming the field of ``split`` that is no rule, or when tokens are needed and
    are not given.
    """
    check(rule)
    over_all = OVER_ALL[rule["by"]](response, rule, tokens) if rule["by"] in OVER_ALL else None
    steps: list[str] = []
    for begin, end in parts(response):
        part = response[begin:end]
        whole = _whole(part, rule)
        if rule["by"] == "block":
            cuts = list(block_ends(part, whole))
        elif over_all is None:
            cuts = outside(list(_cuts(part, rule)), whole)
        else:
            cuts = outside([cut - begin for cut in over_all if begin < cut < end], whole)
        cuts = outside(cuts, tags(part))
        own = _no_white(_pieces(part, cuts))
        steps += _at_least(own, rule["min_chars"]) if "min_chars" in rule else own
    if "max_steps" in rule:
        steps = _at_most(steps, rule["max_steps"])
    assert "".join(steps) == response, "the steps must join to the response"
    return steps


def split_continuation(text: str, rule: SegmentRule, before: int) -> list[str]:
    """The steps of a text that goes on after ``before`` steps and whose tokens are not known: by a
    rule that needs them it is one step. Raises DataError for what is no rule."""
    if rule.get("by") in NEED_TOKENS:
        return [text] if text else []
    return split(text, continued(rule, before))


def has_marker(response: str) -> bool:
    """Whether the rule "marker" finds where a step begins."""
    return MARKER.search(response) is not None


def first_step(
    text: str, rule: SegmentRule, before: int = 0, tokens: TextTokens | None = None
) -> str:
    """The first step of ``text``, a whole response or the continuation of a prefix.

    Args:
        before: the number of steps in the prefix that ``text`` continues (rules.continued).
        tokens: those of ``text``, for the rules that go by them.

    With ``before=0`` this is ``split(text, rule)[0]``, and "" for the empty text. For a prefix that
    ends where a step of the whole would, cutting the continuation by itself differs from cutting
    the whole in these cases: white space at its start goes to its own first step, not to the
    last step of the prefix; text before its first marker goes to that marker's step, likewise; its
    start counts as the start of a line (markers, list numbers, "^"); a pattern or a formula
    that began in the prefix is not seen, nor a block of code; a continuation shorter than
    ``min_chars`` stands alone; and of the "top" least probable tokens all are its own.
    """
    rule = continued(rule, before)
    if rule["by"] == "block" and len(text) > PROBE_LENGTH:
        prefix = text[:PROBE_LENGTH]
        text = prefix if first_step_stands(prefix, rule) else text
    return next(iter(split(text, rule, tokens)), "")


PROBE_LENGTH = 512
"""Characters that hold most first steps: of a long text no more is looked at where they do."""


def first_step_stands(text: str, rule: SegmentRule) -> bool:
    """Whether ``first_step(text, rule)`` stays the first step, however ``text`` goes on.

    So a text can be cut while it is written. Not for the rules that go by tokens; and a pattern
    of the user's own may want more of the text than it has seen.
    """
    steps = split(text, rule)
    if len(steps) < 2:
        return False
    cut = len(steps[0])
    head = text[cut : cut + LOOK]
    if head.startswith(FIRST_OF_TAG) and len(head) < LOOK and "\n" not in head:
        return False  # may become a tag, which belongs to the step before it
    if (found := tags(text)) and found[-1][1] == len(text):
        return False  # whose the tag is shows what comes after it
    if rule["by"] not in DISPLAYS_WHOLE:
        return True
    code = [] if rule.get("code") else fenced(text)
    opened = displays(text, code).open
    if opened is not None and opened < cut:
        return False
    return rule["by"] == "blank" or decided(text, cut)


DISPLAYS_WHOLE = frozenset({"block", "blank", "sentence", "marker", "cue"})
"""Rules that do not cut inside a displayed formula."""


def _whole(part: str, rule: SegmentRule) -> list[Span]:
    """What is not cut inside by the rule; ascending and apart."""
    code = [] if rule.get("code") else fenced(part)
    if rule["by"] not in DISPLAYS_WHOLE:
        return code
    found = displays(part, code).spans
    return apart(sorted([*code, *found])) if found else code


OVER_ALL: dict[str, Callable[[str, SegmentRule, TextTokens | None], list[int]]] = {
    "cue": lambda text, rule, tokens: cue_starts(text),
    "tokens": token_cuts,
    "confidence": token_cuts,
}
"""Rules that look at the whole response; the others cut each part by itself."""


def _cuts(response: str, rule: SegmentRule) -> Iterator[int]:
    """Where a piece ends and the next begins, ascending; ends of the text may be among them."""
    by = rule["by"]
    if by == "lines":
        return (match.end() for match in re.finditer("\n", response))
    if by == "blank":
        return (match.end() for match in BLANK_LINES.finditer(response))
    if by == "sentence":
        return iter(sentence_ends(response))
    if by == "marker":
        begins = (match.start() for match in MARKER.finditer(response))
        next(begins, None)  # what stands before the first marker belongs to the first step
        return begins
    matches = pattern(rule).finditer(response)
    return (match.start() if rule.get("start") else match.end() for match in matches)


def _pieces(response: str, cuts: Iterable[int]) -> Iterator[str]:
    begin = 0
    for cut in cuts:
        if begin < cut < len(response):
            yield response[begin:cut]
            begin = cut
    if begin < len(response):
        yield response[begin:]


def _no_white(pieces: Iterator[str]) -> list[str]:
    """Join white pieces (tags, too) to the one before, leading ones to the one after."""
    kept: list[list[str]] = []
    leading: list[str] = []
    for piece in pieces:
        if not silent(piece):
            kept.append([*leading, piece])
            leading = []
        elif kept:
            kept[-1].append(piece)
        else:
            leading.append(piece)
    if leading:
        kept.append(leading)
    return ["".join(parts) for parts in kept]


def _at_least(steps: list[str], min_chars: int) -> list[str]:
    """Join steps of fewer than ``min_chars`` characters (white space around not counted) forward.

    Forward, so that the first steps of a text do not depend on how it goes on.
    """
    kept: list[str] = []
    short: list[str] = []
    length = 0
    for step in steps:
        short.append(step)
        length += len(step)
        if length >= min_chars and len("".join(short).strip()) >= min_chars:
            kept.append("".join(short))
            short, length = [], 0
    rest = "".join(short)
    if kept:
        kept[-1] += rest
    elif rest:
        kept.append(rest)
    return kept


def _at_most(steps: list[str], max_steps: int) -> list[str]:
    if len(steps) <= max_steps:
        return steps
    return [*steps[: max_steps - 1], "".join(steps[max_steps - 1 :])]
