"""What --help prints: the common options, all in their groups, or those of one method.

An option's group is set where it is declared (``stack``); options that a command declares itself
stand in the group of the command's own name for them.
"""

from __future__ import annotations

from collections.abc import Callable, Collection, Mapping, Sequence

import click

HELP = "Help"
"""The group of --help, --help-all and --version."""


class HelpTopic:
    """One method or judge, as its help shows it.

    Attributes:
        about: what it is, in a line.
        paper: where it is published, or "".
        example: a command that runs it.
        defaults: the parameters that it uses, and their defaults in words ("" for none).
    """

    # Not a dataclass: making one costs every command half a millisecond of its start.

    __slots__ = ("about", "defaults", "example", "paper")

    def __init__(self, about: str, paper: str, example: str, defaults: Mapping[str, str]) -> None:
        self.about, self.paper, self.example, self.defaults = about, paper, example, defaults


Topics = Mapping[str, Callable[[], Mapping[str, HelpTopic]]]
"""By option, as in ``--method``: gives the topics by the names that it takes."""


def chosen_topic(args: Sequence[str], topics: Topics) -> tuple[str, HelpTopic] | None:
    """The topic that the command line names, as in ``--method mcts``, and its words there."""
    for option, all_topics in topics.items():
        for place, word in enumerate(args):
            name = word.partition("=")[2] if word.startswith(f"{option}=") else ""
            if word == option and place + 1 < len(args):
                name = args[place + 1]
            topic = all_topics().get(name)
            if topic is not None:
                return f"{option} {name}", topic
    return None


def write_groups(context: click.Context, formatter: click.HelpFormatter, own: str) -> None:
    """Write all options in their groups; those that have none are in the group ``own``."""
    groups: dict[str, list[tuple[str, str]]] = {}
    for option in _options(context):
        if record := option.get_help_record(context):
            groups.setdefault(group_of(option, own), []).append(record)
    last = groups.pop(HELP)
    for title, rows in [*groups.items(), (HELP, last)]:
        with formatter.section(title):
            formatter.write_dl(rows)


def write_common(
    context: click.Context, formatter: click.HelpFormatter, common: Collection[str]
) -> None:
    """Write the options that most users need, and nothing of the others."""
    options = _options(context)
    by_name = {option.name: option for option in options}
    given = [by_name[name] for name in common]
    given += [option for option in options if group_of(option, "") == HELP]
    rows = [record for option in given if (record := option.get_help_record(context))]
    with formatter.section("Common options"):
        formatter.write_dl(rows)


def write_names(formatter: click.HelpFormatter, topics: Topics) -> None:
    """Write the names that each option of ``topics`` takes, a line each."""
    for option, all_topics in topics.items():
        with formatter.section(f"What {option} takes ({option} NAME --help says more)"):
            formatter.write_dl([(name, topic.about) for name, topic in all_topics().items()])


def _options(context: click.Context) -> list[click.Option]:
    params = context.command.get_params(context)
    return [option for option in params if isinstance(option, click.Option)]


def group_of(option: click.Parameter, own: str) -> str:
    """The title of an option's group."""
    if {"--help", "--help-all", "--version"} & {*option.opts}:
        return HELP
    return str(getattr(option, "help_group", own))


def write_topic(
    context: click.Context, formatter: click.HelpFormatter, name: str, topic: HelpTopic
) -> None:
    """Write what one method is, its options with their defaults there, and an example."""
    formatter.write_usage(context.command_path, f"{name} [OPTIONS] [FILE]...")
    formatter.write_paragraph()
    with formatter.indentation():
        formatter.write_text(topic.about)
        if topic.paper:
            formatter.write_text(topic.paper)
        formatter.write_paragraph()
        formatter.write(f"{' ' * formatter.current_indent}{topic.example}\n")
    rows = []
    for option in _options(context):
        record = option.get_help_record(context)
        if record is not None and option.name in topic.defaults:
            given = topic.defaults[option.name]
            known = not given or f"default: {given}" in record[1]
            rows.append((record[0], record[1] if known else f"{record[1]}  Here: {given}."))
    if rows:
        with formatter.section("Options of its own"):
            formatter.write_dl(rows)
    formatter.write_paragraph()
    formatter.write_text(f"Further options: {context.command_path} --help-all")
