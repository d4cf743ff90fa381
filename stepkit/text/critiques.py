r"""Critiques of numbered steps: how they are asked for, what they look like, how they are read.

A critique has, for every step that it was asked about and in their order,

    Step 3: a reason, on one line
    Reference 3: 2                   (where it is to match the steps of a reference; 0: none)
    Verdict 3: correct

A grammar holds a model to just this. Without one, a step counts only if it is written so, once.
"""

from __future__ import annotations

import json
import re
from collections.abc import Sequence
from dataclasses import dataclass

from stepkit.text.segment import split


@dataclass(frozen=True)
class CritiqueForm:
    """What the critiques of a run look like.

    Attributes:
        good, bad: the words of a verdict.
        longest: most characters of a reason.
        matches: every step names a reference step.
    """

    good: str
    bad: str
    longest: int
    matches: bool = False

    def grammar(self, numbers: Sequence[int], references: int = 0) -> str:
        """The GBNF grammar of critiques of the steps ``numbers`` (from 1).

        Args:
            references: how many steps the reference has.
        """
        items = []
        for number in numbers:
            match = f'"Reference {number}: " reference ' if self.matches else ""
            items.append(f'"Step {number}: " reason {match}"Verdict {number}: " verdict')
        rules = [
            f"root ::= {' '.join(items)}",
            f'reason ::= [^\\n]{{1,{self.longest}}} "\\n"',
            f'verdict ::= ({_literal(self.good)} | {_literal(self.bad)}) "\\n"',
        ]
        if self.matches:
            named = " | ".join(f'"{number}"' for number in range(references + 1))
            rules.append(f'reference ::= ({named}) "\\n"')
        return "\n".join(rules) + "\n"

    def most_bytes(self, numbers: Sequence[int], references: int = 0) -> int:
        """Bytes of the longest critique that the grammar allows; a token has at least one."""
        words = max(len(self.good.encode()), len(self.bad.encode()))
        reason = 4 * self.longest + 1
        total = 0
        for number in numbers:
            total += len(f"Step {number}: Verdict {number}: \n") + reason + words
            if self.matches:
                total += len(f"Reference {number}: {references}\n")
        return total


@dataclass(frozen=True)
class CritiqueVerdict:
    """What a critique says of a step: whether it is right and why, and which step of the reference
    does the same (from 1, 0: none; None where it was not asked)."""

    right: bool
    why: str
    reference: int | None = None


def read(
    text: str, shape: CritiqueForm, numbers: Sequence[int], references: int = 0
) -> list[CritiqueVerdict | str]:
    """What a critique says of the steps ``numbers``: for each its verdict, or why there is none."""
    return [_read(text, shape, number, references) for number in numbers]


def _read(text: str, shape: CritiqueForm, number: int, references: int) -> CritiqueVerdict | str:
    lines = re.findall(rf"^Verdict {number}:", text, re.M)
    if len(lines) != 1:
        return "no verdict in the critique" if not lines else "two verdicts in the critique"
    match = rf"Reference {number}: (?P<reference>\d+)[ \t]*\n" if shape.matches else ""
    words = f"{re.escape(shape.good)}|{re.escape(shape.bad)}"
    pattern = (
        rf"^Step {number}: (?P<why>(?:(?!^Verdict \d+:).)*?)\n{match}"
        rf"Verdict {number}: (?P<verdict>{words})[ \t]*$"
    )
    found = re.search(pattern, text, re.M | re.S)
    if found is None:
        return "a verdict of another form in the critique"
    reference = int(found["reference"]) if shape.matches else None
    if reference is not None and reference > references:
        return f"the critique names reference step {reference} of {references}"
    return CritiqueVerdict(found["verdict"] == shape.good, found["why"].strip(), reference)


def _literal(word: str) -> str:
    """A word as GBNF has it; its escapes are JSON's."""
    return json.dumps(word, ensure_ascii=False)


def numbered(steps: Sequence[str], first: int = 1) -> str:
    """The steps, one after the other, each with its number."""
    return "\n".join(f"Step {n}: {step.strip()}" for n, step in enumerate(steps, first))


def paragraphs(steps: Sequence[str]) -> str:
    """The steps between tags that number them from 0 (ProcessBench's form)."""
    tagged = (f"<paragraph_{n}>\n{s.strip()}\n</paragraph_{n}>" for n, s in enumerate(steps))
    return "\n\n".join(tagged)


def reference_steps(solution: str) -> list[str]:
    """The lines of a reference solution that hold something."""
    return [step.strip() for step in split(solution, {"by": "lines"}) if step.strip()]
