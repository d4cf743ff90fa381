"""How a process reward model is read: by which profile, with which files beside it."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

import click

from stepkit.cli.backends.profile_scorer import ExtraFiles
from stepkit.cli.options.escapes import TEXT
from stepkit.errors import UsageError
from stepkit.runner import options

FIELDS = ("marker", "positive", "negative", "step")
OTHERS = ("profile", "head", "reference")


def prm_options(function: options.F) -> options.F:
    """--profile and what overrides it; --head and --reference."""
    return options.stack(
        function,
        click.option(
            "--profile",
            metavar="NAME|FILE",
            help="How the PRM is read: a family or a JSON file (default: auto, by the model "
            "itself).",
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
            help="The PRM's token behind every step (text or id).",
        ),
        click.option("--positive", metavar="TOKEN", help="The PRM's token for a good step."),
        click.option("--negative", metavar="TOKEN", help="The PRM's token for a bad step."),
        click.option(
            "--step",
            metavar="FORMAT",
            type=TEXT,
            help="How a step is laid out for the PRM, with {step} in it.",
        ),
    )


def explain_options(function: options.F) -> options.F:
    """--list-profiles and --explain."""
    return options.stack(
        function,
        click.option(
            "--list-profiles",
            is_flag=True,
            is_eager=True,
            expose_value=False,
            callback=_list_profiles,
            help="List the families of PRMs that are known, and exit.",
        ),
        click.option(
            "--explain",
            "explained",
            is_flag=True,
            help="Print the tokens of the first record, and what would be read where, and exit.",
        ),
    )


def _list_profiles(context: click.Context, option: click.Parameter, wanted: bool) -> None:
    if wanted and not context.resilient_parsing:
        from stepkit.cli.backends.explain import list_profiles

        list_profiles()
        context.exit()


@dataclass(frozen=True)
class PrmOptions:
    """What the options say of a PRM.

    Attributes:
        fields: of its profile, where the user said them.
        profile: a family or a file; None: the model's own.
        extra: the files beside the model.
        first: the first of the options that was given, or "".
    """

    fields: Mapping[str, str | None] = field(default_factory=dict)
    profile: str | None = None
    extra: ExtraFiles = field(default_factory=ExtraFiles)
    first: str = ""

    def check_needed(self) -> None:
        """Raise UsageError where something is said of a PRM and there is none."""
        if self.first:
            raise UsageError(f"--{self.first} describes a PRM: it goes with --prm")


def parse_prm_options(given: dict[str, Any]) -> PrmOptions:
    """Take the options of this module out of ``given``."""
    said = {name: given.pop(name) for name in (*FIELDS, *OTHERS)}
    return PrmOptions(
        {name: said[name] for name in FIELDS},
        said["profile"],
        ExtraFiles(said["head"], said["reference"]),
        next((name for name, value in said.items() if value is not None), ""),
    )
