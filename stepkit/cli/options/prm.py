"""The options that say how a process reward model is read: its profile and the files it needs."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

import click

from stepkit.cli.options.escapes import TEXT
from stepkit.cli.options.shared import PROFILE, listing
from stepkit.errors import UsageError
from stepkit.runner import options

FIELDS = ("marker", "positive", "negative", "step")
OTHERS = ("profile", "head", "reference")
READ_AT = {"marker": "at marker", "before": "before label", "last": "last token"}
"""Where the scores are read, by the profile's mark, in the list of profiles."""


def prm_options(function: options.F) -> options.F:
    """--profile and what overrides it; --head and --reference."""
    return options.stack(
        function,
        PROFILE(
            help="How the PRM is read: a family or a JSON file (default: auto, by the model "
            "itself)."
        ),
        click.option(
            "--head",
            metavar="FILE",
            type=click.Path(),
            help="With --prm: its head on hidden states (see step-head).",
        ),
        options.model_file(
            "--reference",
            help="With --prm: the model it was trained from, where scores are log-ratios.",
        ),
        click.option(
            "--marker",
            metavar="TOKEN",
            help="The PRM's token after every step (text or id).",
        ),
        click.option("--positive", metavar="TOKEN", help="The PRM's token for a good step."),
        click.option("--negative", metavar="TOKEN", help="The PRM's token for a bad step."),
        click.option(
            "--step",
            metavar="FORMAT",
            type=TEXT,
            help="How a step is laid out for the PRM, with {step} in it.",
        ),
        group="Reading a process reward model",
    )


def explain_options(function: options.F) -> options.F:
    """--list-profiles and --explain."""
    return options.stack(
        function,
        listing(
            "--list-profiles", _profiles, help="List the families of PRMs that are known, and exit."
        ),
        click.option(
            "--explain",
            "explained",
            is_flag=True,
            help="Print the tokens of the first record, and what would be read where, and exit.",
        ),
        group="Reading a process reward model",
    )


def _profiles() -> str:
    """The table of the families."""
    from stepkit.model.profiles.families import families

    rows = [("NAME", "KIND", "READ", "SOURCE")]
    for profile in families().values():
        where = "attempt" if profile.mark.attempt else READ_AT[profile.mark.at]
        rows.append((profile.name, profile.kind, where, profile.source))
    widths = [max(len(row[column]) for row in rows) for column in range(3)]
    lines = []
    for row in rows:
        cells = [cell.ljust(width) for cell, width in zip(row, widths, strict=False)]
        lines.append("  ".join([*cells, row[3]]))
    return "\n".join(lines)


@dataclass(frozen=True)
class ExtraFiles:
    """The files that some profiles need in addition to the model.

    Attributes:
        head: a side-car head (model/heads/head_network.py).
        reference: the GGUF file of the model that an implicit one was trained from.
    """

    head: str | None = None
    reference: str | None = None

    @property
    def profile(self) -> str:
        """JSON of the profile that the head carries, or ""."""
        from stepkit.model.heads.head_network import read_head

        return read_head(self.head).profile if self.head is not None else ""


@dataclass(frozen=True)
class PrmOptions:
    """How a PRM is read.

    Attributes:
        fields: fields of its profile that the user gives; None: as the profile has it.
        profile: a family or a file; None: the model's own.
        extra: the files in addition to the model.
        first: the first of the options that was given, or "".
    """

    fields: Mapping[str, str | None] = field(default_factory=dict)
    profile: str | None = None
    extra: ExtraFiles = field(default_factory=ExtraFiles)
    first: str = ""

    def refuse_without_prm(self) -> None:
        """Raise UsageError for an option that describes a PRM; call it where there is none."""
        if self.first:
            raise UsageError(f"--{self.first} describes a PRM: it goes with --prm")


def parse_prm_options(given: dict[str, Any]) -> PrmOptions:
    """Take the options of this module out of ``given``."""
    values = {name: given.pop(name) for name in (*FIELDS, *OTHERS)}
    return PrmOptions(
        {name: values[name] for name in FIELDS},
        values["profile"],
        ExtraFiles(values["head"], values["reference"]),
        next((name for name, value in values.items() if value is not None), ""),
    )
