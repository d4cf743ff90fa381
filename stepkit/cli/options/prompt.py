"""The options that say how a problem becomes a prompt: --prompt, --system, --template."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import click

from stepkit.cli.options.escapes import TEXT
from stepkit.errors import UsageError
from stepkit.runner.options import F, stack

if TYPE_CHECKING:
    from stepkit.model.backend import PromptForm


def prompt_options(prompt: str, system: str) -> Callable[[F], F]:
    """--prompt, --system and --template.

    Args:
        prompt: help of --prompt.
        system: which models have a system message, for the help of --system.
    """

    system_help = f"System message, for {system}."

    def decorate(function: F) -> F:
        return stack(
            function,
            click.option("--prompt", metavar="FORMAT", type=TEXT, help=prompt),
            click.option("--system", metavar="TEXT", type=TEXT, help=system_help),
            click.option(
                "--template",
                metavar="FILE",
                type=click.Path(),
                help="Chat template: Jinja, or a tokenizer_config.json (default: the model's own).",
            ),
            group="Prompt",
        )

    return decorate


@dataclass(frozen=True)
class PromptOptions:
    """How a problem becomes a prompt; None leaves it to the model.

    Attributes:
        prompt: a format with {problem} in it.
        system: text of a system message.
        template: a file with a chat template.
    """

    prompt: str | None = None
    system: str | None = None
    template: str | None = None

    def form(self) -> PromptForm:
        """The same for the model."""
        from stepkit.model.backend import PromptForm

        return PromptForm(self.prompt, self.system, self.template)


def parse_prompt_options(given: dict[str, Any]) -> PromptOptions:
    """Take the options of this module out of ``given``. Raises UsageError for two prompts."""
    options = PromptOptions(given.pop("prompt"), given.pop("system"), given.pop("template"))
    if options.prompt is not None and options.template is not None:
        raise UsageError("--prompt and --template exclude each other")
    return options
