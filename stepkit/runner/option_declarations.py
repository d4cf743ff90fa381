"""An option is declared once, with its help, however many commands have it."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any, TypeVar

import click

F = TypeVar("F", bound=Callable[..., Any])


class OptionDeclaration:
    """An option before it belongs to a command.

    Attributes:
        names: the names of click.option, as in "-k", "--draws".
        settings: its settings there.
    """

    # Not a dataclass: making one costs every command half a millisecond of its start.

    __slots__ = ("names", "settings")

    def __init__(self, names: tuple[str, ...], settings: Mapping[str, Any]) -> None:
        self.names = names
        self.settings = settings

    @property
    def flag(self) -> str:
        """Its long spelling, as messages have it."""
        return [name for name in self.names if name.startswith("-")][-1]

    def changed(self, **changes: Any) -> OptionDeclaration:
        """The option with other settings, and without a default where ``changes`` have none."""
        settings = {**self.settings, "default": None, "show_default": False, **changes}
        return OptionDeclaration(self.names, settings)

    def __call__(self, **changes: Any) -> Callable[[F], F]:
        """The decorator that gives a command the option; ``changes`` replace settings."""
        return click.option(*self.names, **{**self.settings, **changes})


def declared(*names: str, **settings: Any) -> OptionDeclaration:
    """Declare an option, with the arguments of click.option."""
    return OptionDeclaration(names, settings)


def titled(group: str, decorator: Callable[[Any], Any]) -> Callable[[Any], Any]:
    """The decorator of an option that stands in ``group`` wherever it is stacked."""
    return lambda function: stack(function, decorator, group=group)


def stack(function: F, *decorators: Callable[[Any], Any], group: str = "") -> F:
    """Apply the decorators so that the options stand in --help as they stand here, in ``group``."""
    for decorator in reversed(decorators):
        function = decorator(function)
        option = function.__click_params__[-1]  # type: ignore[attr-defined]
        if group and not hasattr(option, "help_group"):
            option.help_group = group
    return function
