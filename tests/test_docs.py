"""README, man pages and --help say the same, and what they say is true: every example is run.

README: a block marked ``sh`` is pasted into a shell as it stands. In a block marked ``console``
each line that begins with ``$ `` is a command, and what follows is its output, in which ``...``
stands for anything: within a line, or as a line of its own for any number of lines. In one marked
``console approximate`` digits and bars may be others, too: a draw may differ on another machine.
Blocks run from top to bottom in one directory that has the samples. Other blocks are only shown. In
man pages the examples are the lines ``.Dl $ command``.
"""

from __future__ import annotations

import importlib
import re
import shutil
import subprocess
import sys
import time
from pathlib import Path
from typing import Any, NamedTuple

import click
import pytest
from examples import agrees, blocks, run, transcript, typed, without_numbers
from work import ROOT, clean_environment, commands, missing

from stepkit import __version__

SECTIONS = (
    "NAME",
    "SYNOPSIS",
    "DESCRIPTION",
    "OPTIONS",
    "RECORD FORMAT",
    "EXIT STATUS",
    "ENVIRONMENT",
    "FILES",
    "EXAMPLES",
    "SEE ALSO",
    "BUGS",
)
"""In this order in every page; a page may have others of its own after OPTIONS."""

ROUGH = re.compile(r"step-eval: the intervals are rough: .*\n")


class Item(NamedTuple):
    """An option in a man page: its names, its line and what is written about it."""

    names: frozenset[str]
    line: str
    text: str


def page(command: str) -> str:
    return (ROOT / "man" / f"{command}.1").read_text()


def section(text: str, name: str) -> str:
    """The source of one section, without its heading."""
    title = f'"{name}"' if f'.Sh "{name}"' in text else name
    return text.split(f".Sh {title}\n", 1)[1].split("\n.Sh ")[0]


def plain(source: str) -> str:
    """What a reader sees of mdoc source, roughly: one line, without macros and escapes."""
    words = re.sub(
        r"^\.\w\w ?|\b(Fl|Cm|Ar|Va|Li|Pq|Ns|No|Dq|Sx|Xr|Ev|Pa) |^\.\w\w$", "", source, flags=re.M
    )
    return words.replace(r"\e", "\\").replace(r"\-", "-").replace("\n", " ")


def items(command: str) -> list[Item]:
    """The options that a man page describes; lists within their descriptions belong to these."""
    found: list[Item] = []
    depth = 0
    for line in section(page(command), "OPTIONS").splitlines():
        depth += line.startswith(".Bl ") - line.startswith(".El")
        if depth == 1 and line.startswith(".It Fl "):
            found.append(Item(frozenset(flags(line)), line, ""))
        elif found:
            found[-1] = found[-1]._replace(text=f"{found[-1].text}\n{line}")
    return found


def flags(source: str) -> list[str]:
    """The options in mdoc source, as they are typed."""
    return [f"-{name}" for name in re.findall(r"\bFl ([\w-]+)", source)]


def main_of(command: str) -> click.Command:
    module = importlib.import_module(f"stepkit.cli.{command.removeprefix('step-')}")
    return module.main


def context_of(command: str) -> click.Context:
    return main_of(command).make_context(command, [], resilient_parsing=True)


def options(command: str) -> list[click.Option]:
    parameters = main_of(command).get_params(context_of(command))
    return [one for one in parameters if isinstance(one, click.Option) and not one.hidden]


def default_of(command: str, option: click.Option) -> Any:
    """The default that a reader must know, or None."""
    default = option.get_default(context_of(command))
    stated = isinstance(default, (str, int, float)) and "--output" not in option.opts
    return default if stated and not option.is_flag else None


def choices(option: click.Option) -> list[str]:
    return list(option.type.choices) if isinstance(option.type, click.Choice) else []


def words_of(macro: str, source: str) -> list[str]:
    """The words marked by a macro, alternatives included: ``Cm a | b`` gives a and b."""
    marked = re.findall(rf"\b{macro} ((?:[\w-]+(?: \| )?)+)", source)
    return [word for group in marked for word in group.split(" | ")]


each_command = pytest.mark.parametrize("command", commands())


# ---- what exists, exists everywhere ---------------------------------------------------------


def test_the_same_commands_everywhere() -> None:
    assert sorted(path.name for path in (ROOT / "bin").iterdir()) == sorted(commands())
    assert sorted(path.name for path in (ROOT / "man").iterdir()) == sorted(
        [*(f"{command}.1" for command in commands()), "stepkit.3", "stepkit.7"]
    )
    headings = re.findall(r"^#+ (step-[\w-]+)$", (ROOT / "README.md").read_text(), re.M)
    assert sorted(headings) == sorted(commands())
    files = {path.stem for path in (ROOT / "stepkit" / "cli").glob("[a-z]*.py")}
    assert set(commands()) <= {f"step-{name}" for name in files}


@each_command
def test_checkout_script_and_version(command: str, tmp_path: Path) -> None:
    done = subprocess.run(
        [ROOT / "bin" / command, "--version"],
        env=clean_environment(tmp_path),
        cwd=tmp_path,
        capture_output=True,
        text=True,
    )
    assert (done.stdout, done.stderr) == (f"{command} {__version__}\n", "")


def test_changelog_has_the_version() -> None:
    headings = re.findall(r"^## (\S+)", (ROOT / "CHANGELOG.md").read_text(), re.M)
    assert __version__ in headings


def test_a_letter_means_the_same_everywhere() -> None:
    names: dict[str, set[frozenset[str]]] = {}
    for command in commands():
        for option in options(command):
            for letter in option.opts:
                if not letter.startswith("--"):
                    names.setdefault(letter, set()).add(frozenset(option.opts))
    assert {letter: uses for letter, uses in names.items() if len(uses) > 1} == {}


def test_no_machine_is_named() -> None:
    texts = [ROOT / "README.md", ROOT / "CHANGELOG.md", *(ROOT / "man").iterdir()]
    for path in texts:
        assert not re.search(r"(?<!\w)/(home|root|work|tmp)/", path.read_text()), path.name


# ---- man pages ------------------------------------------------------------------------------


@each_command
def test_man_and_click_have_the_same_options(command: str) -> None:
    described = [item.names for item in items(command)]
    declared = [frozenset([*option.opts, *option.secondary_opts]) for option in options(command)]
    assert len(set(described)) == len(described)
    assert set(described) == set(declared)


@each_command
def test_synopsis_has_every_option(command: str) -> None:
    """Or the ways to call the command, and that there are more options; OPTIONS has them all."""
    known = {name for one in options(command) for name in (*one.opts, *one.secondary_opts)}
    synopsis = section(page(command), "SYNOPSIS")
    shown: set[str] = set()
    for flag in flags(synopsis):
        shown |= {flag} if flag in known else {f"-{letter}" for letter in flag[1:]}
    assert shown <= known
    if ".Op Ar options" in synopsis:
        assert len(known) > 60, "so few options have room in the synopsis"
        return
    for option in options(command):
        if not {"--help", "--help-all", "--version"} & set(option.opts):
            assert shown & set(option.opts), option.opts


@each_command
def test_man_says_values_choices_and_defaults(command: str) -> None:
    described = {item.names: item for item in items(command)}
    for option in options(command):
        item = described[frozenset([*option.opts, *option.secondary_opts])]
        name = option.opts[-1]
        takes_value = not option.is_flag and not option.is_eager
        assert bool(re.search(r" (Ar|Cm) ", item.line)) == takes_value, name
        chosen, on_line = choices(option), words_of("Cm", item.line)
        if chosen:
            assert sorted(on_line or chosen) == sorted(chosen), name
            assert set(chosen) <= set(on_line + words_of("Cm", item.text)), name
        default = default_of(command, option)
        prose = plain(f"{item.line}\n{item.text}")
        if default is not None:
            value = re.escape(str(default))
            stated = re.search(
                rf"default,? (is )?{value}(?!\w|\.\d)|\b{value} is the default", prose
            )
            # of alternatives the first one may just be called the default
            assert stated or ("default" in prose and on_line[:1] == [default]), (
                name,
                default,
            )
        elif "default" in (option.help or ""):
            assert re.search("(?i)default|needed|without", prose), name


@each_command
def test_man_and_help_name_a_value_alike(command: str) -> None:
    described = {item.names: item.line for item in items(command)}
    for option in options(command):
        line = described[frozenset([*option.opts, *option.secondary_opts])]
        if option.metavar and not option.is_flag and " Cm " not in line:
            value = line.rsplit("Fl ", 1)[1].split(" ", 1)[1]
            in_man = re.sub(r"\b(Ar|Ns|Op)\b| ", "", value)
            assert in_man == re.sub(r"[][ ]", "", option.metavar.lower()), option.opts


@each_command
def test_man_page_has_its_sections_in_order(command: str) -> None:
    text = page(command)
    found = [name.strip('"') for name in re.findall(r"^\.Sh (.*)$", text, re.M)]
    assert [name for name in found if name in SECTIONS] == list(SECTIONS)
    own = [name for name in found if name not in SECTIONS]
    start = found.index("OPTIONS") + 1
    assert found[start : start + len(own)] == own
    assert re.search(rf"^\.Nm {command}$", section(text, "NAME"), re.M)
    assert text.splitlines()[1] == f".Dt {command.upper()} 1"
    time.strptime(text.splitlines()[0], ".Dd %B %d, %Y")


@each_command
def test_man_page_is_formatted_without_a_complaint(command: str) -> None:
    if not shutil.which("groff"):
        missing("groff")
    path = str(ROOT / "man" / f"{command}.1")
    done = subprocess.run(
        ["groff", "-mandoc", "-ww", "-z", "-Tutf8", path], capture_output=True, text=True
    )
    assert (done.returncode, done.stdout, done.stderr) == (0, "", "")


@each_command
def test_cross_references_lead_somewhere(command: str) -> None:
    text = page(command)
    assert set(re.findall(r"^\.Xr (step-[\w-]+) 1", text, re.M)) <= set(commands()) - {command}
    sections = set(re.findall(r"^\.Sh (.*)$", text, re.M))
    assert {name.strip(" .") for name in re.findall(r"^\.Sx (.*)$", text, re.M)} <= sections


@each_command
def test_man_finds_the_page_in_the_environment(command: str, tmp_path: Path) -> None:
    if not shutil.which("man"):
        missing("man")
    environment = clean_environment(tmp_path)
    environment.pop("MANPATH", None)
    done = subprocess.run(
        ["man", "-w", command], env=environment, cwd=tmp_path, capture_output=True, text=True
    )
    installed = Path(sys.prefix, "share", "man", "man1", f"{command}.1")
    assert (done.stdout.strip(), done.stderr) == (str(installed), "")


def test_wheel_holds_commands_and_man_pages(tmp_path: Path) -> None:
    try:
        import hatchling  # noqa: F401
    except ImportError:
        missing("hatchling")
    import zipfile

    code = "import sys; from hatchling.build import build_wheel; print(build_wheel(sys.argv[1]))"
    done = subprocess.run(
        [sys.executable, "-c", code, tmp_path], cwd=ROOT, capture_output=True, text=True
    )
    assert done.returncode == 0, done.stderr
    with zipfile.ZipFile(tmp_path / done.stdout.split()[-1]) as wheel:
        names = wheel.namelist()
        scripts = wheel.read(next(n for n in names if n.endswith("entry_points.txt"))).decode()
    for command in commands():
        assert any(name.endswith(f".data/data/share/man/man1/{command}.1") for name in names)
        assert f"{command} = " in scripts
    for number in "37":
        assert any(n.endswith(f".data/data/share/man/man{number}/stepkit.{number}") for n in names)
    assert not [name for name in names if re.search(r"man1/.*\.[37]$", name)]
    assert "stepkit/py.typed" in names
    assert "stepkit/text/prompts/choice.txt" in names
    assert not [name for name in names if name.startswith(("samples/", "tests/"))]
    plain = [path for path in (ROOT / "stepkit").rglob("*.*") if path.suffix in (".js", ".css")]
    assert plain and {str(path.relative_to(ROOT)) for path in plain} <= set(names)


# ---- examples -------------------------------------------------------------------------------


def man_examples() -> list[Any]:
    """(command line) of every example in a man page, named by page and number."""
    found = []
    for command in commands():
        lines = re.findall(r"^\.Dl \$ (.*)$", section(page(command), "EXAMPLES"), re.M)
        assert lines, f"{command}.1 has no examples"
        for number, line in enumerate(lines, 1):
            found.append(pytest.param(typed(line), id=f"{command}-{number}"))
    return found


@each_command
def test_man_shows_its_examples_as_they_are_run(command: str) -> None:
    """mdoc takes straight quotes off: one that is to be typed is written \\(dq."""
    if not shutil.which("groff"):
        missing("groff")
    wide = ["groff", "-mandoc", "-Tascii", "-P-cbou", "-rLL=4000n"]
    path = str(ROOT / "man" / f"{command}.1")
    shown = subprocess.run([*wide, path], capture_output=True, text=True, check=True).stdout
    lines = {line.strip() for line in shown.splitlines()}
    mine = [example.values[0] for example in man_examples() if example.id.startswith(f"{command}-")]
    assert {f"$ {example}" for example in mine} <= lines


@pytest.mark.parametrize("example", man_examples())
def test_man_example(example: str, tmp_path: Path) -> None:
    done = run(example, tmp_path)
    assert done.returncode == 0, done.stderr
    if not example.startswith("step-head"):
        assert ROUGH.sub("", done.stderr) == ""  # the samples are few
    assert done.stdout.endswith("\n") or " -o " in example


def test_elisions() -> None:
    assert agrees("a...c\n...\nz\n", "abbc\n1\n2\nz\n")
    assert agrees("a\n...\n", "a\n")
    assert not agrees("a...c\n", "a\nc\n")
    assert not agrees("a\n", "a\nb\n")
    assert agrees(without_numbers("0.50 ██░░ 4/8\n"), without_numbers("0.38 █▌░░ 3/8\n"))
    assert not agrees(without_numbers("0.50 ██░░ 4/8\n"), without_numbers("0.5 ██░░ 4/8\n"))


def test_readme_examples(tmp_path: Path) -> None:
    """From top to bottom in one directory, as somebody who reads it would."""
    ran = 0
    for block in blocks(ROOT / "README.md"):
        if block.mark == "sh":
            done = run(block.text, tmp_path)
            assert (done.returncode, done.stderr) == (0, ""), f"README.md:{block.line}"
            ran += 1
        elif block.mark in ("console", "console approximate"):
            seen = without_numbers if "approximate" in block.mark else str
            for command, expected in transcript(block.text):
                done = run(f"{{ {command}\n}} 2>&1", tmp_path)
                assert agrees(seen(expected), seen(done.stdout)), (
                    f"README.md:{block.line}: $ {command}\n{done.stdout}"
                )
                ran += 1
    assert ran > len(commands())


@pytest.mark.parametrize("document", ["README.md", "CONTRIBUTING.md", "samples/models/README.md"])
def test_links_lead_to_files(document: str) -> None:
    text = (ROOT / document).read_text()
    linked = re.findall(r"\]\(([^)#:\s]+)\)", text)
    assert [path for path in linked if not (ROOT / document).parent.joinpath(path).exists()] == []


def test_readme_names_real_targets() -> None:
    """What the README tells to make is there to be made."""
    targets = set(re.findall(r"^([a-z]+):", (ROOT / "Makefile").read_text(), re.M))
    stated = re.findall(r"^make (\w+)|`make (\w+)`", (ROOT / "README.md").read_text(), re.M)
    assert {"demo", "test"} <= {a or b for a, b in stated} <= targets


def test_the_hooks_before_a_commit_are_make_lint() -> None:
    lint = re.findall(r"^lint:.*\n((?:\t.+\n)+)", (ROOT / "Makefile").read_text(), re.M)
    hooks = re.findall(r"entry: (.+)", (ROOT / ".pre-commit-config.yaml").read_text())
    assert [f".venv/bin/{line}" for line in lint[0].replace("\t", "").splitlines()] == hooks
