"""Texts on the command line: a line break is written as backslash and n."""

from __future__ import annotations

import re
from typing import Any

import click

ESCAPES = {"\\n": "\n", "\\t": "\t", "\\\\": "\\"}


class EscapedText(click.ParamType):
    r"""A text in which ``\n``, ``\t`` and ``\\`` stand for line break, tab and backslash."""

    name = "text"

    def convert(self, value: Any, param: click.Parameter | None, ctx: click.Context | None) -> str:
        """The text meant. Other backslashes stay as they are."""
        return re.sub(r"\\[nt\\]", lambda match: ESCAPES[match.group()], value)


TEXT = EscapedText()
