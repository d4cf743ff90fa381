"""--help shows what most need, --help-all all in groups, a method's help what is its own."""

from __future__ import annotations

import re

import pytest
from work import Workdir, commands

from stepkit.cli.options.judge import PROTOCOLS
from stepkit.search.method_registry import METHODS

GROUP = re.compile(r"^(\S.*):$", re.M)
OPTION = re.compile(r"^  (-[^\n]*?)(?:  |$)", re.M)


def shown(work: Workdir, command: str, *args: str) -> str:
    done = work.run(command, *args)
    assert (done.status, done.err) == (0, "")
    return done.out.decode()


def long_options(text: str) -> set[str]:
    return {name for line in OPTION.findall(text) for name in re.findall(r"--[a-z-]+", line)}


@pytest.mark.parametrize("command", commands())
def test_help_all_has_every_option_in_a_group(work: Workdir, command: str) -> None:
    whole = shown(work, command, "--help-all")
    assert len(GROUP.findall(whole)) >= 2 and "Options" not in GROUP.findall(whole)
    assert {"--help-all", "--help", "--version"} <= long_options(whole)
    assert long_options(shown(work, command, "--help")) <= long_options(whole)


@pytest.mark.parametrize("command", ["step-rollout", "step-score"])
def test_help_fits_a_person(work: Workdir, command: str) -> None:
    short = shown(work, command, "--help")
    assert len(short.splitlines()) < 70
    assert "--help-all" in short
    assert (
        len(long_options(short)) < 25 < 60 < len(long_options(shown(work, command, "--help-all")))
    )


@pytest.mark.parametrize("name", METHODS)
def test_a_method_shows_its_own_options_and_no_others(work: Workdir, name: str) -> None:
    text = shown(work, "step-rollout", "--method", name, "--help")
    method = METHODS[name]
    assert method.about.split()[0] in text
    assert method.paper and " ".join(text.split()).count(method.paper) == 1
    assert method.example in text
    flags = {f"--{option.replace('_', '-')}" for option in method.options}
    assert long_options(text.split("Options of its own:")[1]) == flags
    # as the equals sign has it, and wherever it stands
    assert shown(work, "step-rollout", "--help", f"--method={name}") == text


@pytest.mark.parametrize("name", PROTOCOLS)
def test_a_judge_too(work: Workdir, name: str) -> None:
    text = shown(work, "step-score", "--judge", name, "--help")
    protocol = PROTOCOLS[name]
    assert protocol.about and protocol.about.split()[0] in text and protocol.example in text
    assert protocol.paper in " ".join(text.split())
    flags = {f"--{option.replace('_', '-')}" for option in protocol.settings}
    assert long_options(text.split("Options of its own:")[1]) == flags | {"--judge-prompt"}


def test_an_example_is_a_command_that_is_understood(work: Workdir) -> None:
    """Up to the files, which are not there: so no option is unknown or without effect."""
    examples = [method.example for method in METHODS.values()]
    for example in [*examples, *(protocol.example for protocol in PROTOCOLS.values())]:
        parts = [part.split() for part in example.split(" | ")]
        (argv,) = [part for part in parts if part[0] in ("step-rollout", "step-score")]
        done = work.run(*argv)
        assert done.status == 2, example
        assert re.search(r": (no such file|No such file)|not a GGUF|no model|nothing", done.err), (
            example,
            done.err,
        )


def test_an_unknown_method_shows_the_common_help(work: Workdir) -> None:
    assert "Common options:" in shown(work, "step-rollout", "--method", "magic", "--help")
