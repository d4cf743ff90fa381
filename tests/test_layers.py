"""The layers, read from the imports: a module imports from its own row or from rows above it.

Imports count wherever they stand, also inside functions and for types only: knowing a name is
knowing. Heavy ones are a question of when, too (see test_startup.py).
"""

from __future__ import annotations

import ast
from collections import deque
from collections.abc import Iterator
from functools import cache
from pathlib import Path

import pytest
from work import ROOT, commands

from stepkit.search.method_registry import METHODS

ROWS = {
    "ground": {"activity", "errors", "interrupts", "modelfile", "schema", "seeds"},
    "stores": {"stores"},
    "text": {"text"},
    "core": {"core"},
    "grade": {"algebra", "grade"},
    "formats": {"formats"},
    "view": {"view"},
    "io": {"io"},
    "model": {"model"},
    "search": {"search"},
    "runner": {"runner"},
    "cli": {"cli"},
    "api": {"api", "model_session", "record_lines"},
}

MAY_IMPORT = {
    "ground": {"ground"},
    "stores": {"ground", "stores"},
    "text": {"ground", "text"},
    "core": {"ground", "text", "core"},
    "grade": {"ground", "text", "grade"},
    "formats": {"ground", "text", "core", "formats"},
    "view": {"ground", "text", "core", "view"},
    "io": {"ground", "io"},
    "model": {"ground", "stores", "text", "core", "model"},
    "search": {"ground", "text", "core", "grade", "model", "search"},
    "runner": {"ground", "stores", "io", "runner"},
    "cli": set(ROWS) - {"api"},
    "api": set(ROWS),
}

KNOWS_NOT = {
    # No files, no processes, no command line where functions are pure.
    "text": {"click", "io", "os", "pathlib", "shutil", "subprocess", "sys", "tempfile"},
    "core": {"click", "io", "pathlib", "shutil", "subprocess", "sys", "tempfile"},
    "formats": {"click", "os", "subprocess", "sys", "tempfile"},
    "grade": {"click"},
    "model": {"click"},
    "search": {"click", "io", "os", "pathlib", "shutil", "subprocess", "sys", "tempfile"},
    "view": {"click", "io", "os", "pathlib", "shutil", "subprocess", "sys", "tempfile"},
}

SINGLE_IMPORTERS = {
    "httpx": "model/servers/http.py",
    "huggingface_hub": "stores/hub.py",
    "llama_cpp": "model/local/llama.py",
    "numba": "core/jit.py",
    "orjson": "io/jsonl.py",
    "jinja2": "model/chat.py",
    "latex2mathml": "view/mathml.py",
}

HEAVY = {
    "httpx",
    "huggingface_hub",
    "jinja2",
    "latex2mathml",
    "llama_cpp",
    "math_verify",
    "numba",
    "numpy",
    "orjson",
    "sympy",
}

PACKAGE = ROOT / "stepkit"
MODULES = sorted(str(path.relative_to(PACKAGE)) for path in PACKAGE.rglob("*.py"))


CLI_ROWS = ("options", "backends", "actions", "commands")
"""Within cli/, from below: a folder each, and the command files above them."""


def part(module: str) -> str:
    """The package or top-level module that a file belongs to."""
    return module.split("/")[0].removesuffix(".py")


def row(module: str) -> str:
    """The row that a file belongs to; "" for the package's own."""
    return next((name for name, parts in ROWS.items() if part(module) in parts), "")


@cache
def tree(module: str) -> ast.Module:
    return ast.parse((PACKAGE / module).read_text())


def imported(nodes: Iterator[ast.AST], module: str) -> set[str]:
    """Absolute dotted names of what ``nodes`` import; of ``from a import b``, both a and a.b."""
    names = set()
    for node in nodes:
        if isinstance(node, ast.Import):
            names |= {alias.name for alias in node.names}
        elif isinstance(node, ast.ImportFrom):
            assert not node.level, f"stepkit/{module}:{node.lineno}: a relative import"
            assert node.module
            names |= {node.module} | {f"{node.module}.{alias.name}" for alias in node.names}
    return names


def own(names: set[str]) -> set[str]:
    """The files of this package among imported names."""
    files = set()
    for name in names:
        if name.startswith("stepkit."):
            path = "/".join(name.split(".")[1:])
            found = [file for file in (f"{path}.py", f"{path}/__init__.py") if file in MODULES]
            files |= set(found)
    return files


def at_start(node: ast.AST) -> Iterator[ast.AST]:
    """The nodes that run when a module is imported: no function bodies, no TYPE_CHECKING."""
    for child in ast.iter_child_nodes(node):
        if isinstance(child, (ast.FunctionDef, ast.AsyncFunctionDef, ast.Lambda)):
            continue
        if isinstance(child, ast.If) and ast.unparse(child.test) == "TYPE_CHECKING":
            yield from (n for other in child.orelse for n in [other, *at_start(other)])
            continue
        yield child
        yield from at_start(child)


def needed(module: str) -> set[str]:
    """The files whose names a file uses, wherever it imports them: of ``from a import b``, the
    module b where there is one, and not also the package a that only holds it."""
    files = set()
    for node in ast.walk(tree(module)):
        if isinstance(node, ast.ImportFrom):
            for alias in node.names:
                files |= own({f"{node.module}.{alias.name}"}) or own({str(node.module)})
        elif isinstance(node, ast.Import):
            files |= own({alias.name for alias in node.names})
    return files - {module}


def circle(imports: dict[str, set[str]]) -> list[str]:
    """Modules each of which imports the next, and the last the first; [] where there are none."""
    waits = {module: set(others) for module, others in imports.items()}
    while free := [module for module, others in waits.items() if not others & waits.keys()]:
        for module in free:
            del waits[module]
    way: list[str] = []
    module = min(waits, default="")
    while module and module not in way:
        way.append(module)
        module = min(waits[module] & waits.keys())
    return way[way.index(module) :] if way else []


def test_every_module_belongs_to_a_row() -> None:
    known = set().union(*ROWS.values()) | {"__init__"}
    assert {part(module) for module in MODULES} <= known


@pytest.mark.parametrize("module", [m for m in MODULES if m != "__init__.py"])
def test_imports_only_from_its_own_row_or_rows_above(module: str) -> None:
    used = own(imported(ast.walk(tree(module)), module))
    wrong = sorted(other for other in used if row(other) not in MAY_IMPORT[row(module)])
    assert not wrong, f"stepkit/{module} ({row(module)}) imports {', '.join(wrong)}"


def test_no_modules_import_each_other_in_a_circle() -> None:
    """Also not through imports inside functions, or for types only."""
    found = circle({module: needed(module) for module in MODULES})
    assert not found, " -> ".join([*found, *found[:1]])


def test_a_circle_of_imports_is_found() -> None:
    imports = {"a": {"b"}, "b": {"c", "d"}, "c": {"e"}, "d": {"b"}, "e": set()}
    assert circle(imports) == ["b", "d"]
    assert circle({**imports, "d": {"e"}}) == []


MODEL_ROWS = [
    {"engine", "sampler", "prefixes", "chat", "recorded_engine", "multi_engine"},
    {"profiles"},
    {"local", "servers", "heads", "checkers"},
    {"backend", "server_backend"},
]
"""As in model/__init__.py. What stands in one row of packages does not know its neighbours."""


@pytest.mark.parametrize("module", [m for m in MODULES if m.startswith("model/")])
def test_the_rows_of_model(module: str) -> None:
    def place(file: str) -> str:
        return file.split("/")[1].removesuffix(".py")

    if module == "model/__init__.py":
        return
    (rank,) = [number for number, names in enumerate(MODEL_ROWS) if place(module) in names]
    may = set().union(*MODEL_ROWS[:rank])
    may |= {place(module)} if module.count("/") == 2 else MODEL_ROWS[rank]
    used = {file for file in needed(module) if file.startswith("model/")}
    assert {place(file) for file in used} <= may, f"stepkit/{module} imports {sorted(used)}"


EXTENDS = {"lookahead": "beam"}
"""A published method that is defined as another one with a change."""


def test_a_search_method_imports_no_other() -> None:
    """What several methods use lies in search/ itself."""
    for module in [m for m in MODULES if m.startswith("search/methods/")]:
        used = {Path(file).stem for file in needed(module) if file.startswith("search/methods/")}
        assert used <= {EXTENDS.get(Path(module).stem)}, f"stepkit/{module}: {sorted(used)}"


def test_every_file_of_search_methods_is_a_method() -> None:
    files = {Path(m).stem for m in MODULES if m.startswith("search/methods/")} - {"__init__"}
    assert files == {name.replace("-", "_") for name in METHODS}


def cli_row(module: str) -> int:
    """The row of a file of cli/, counted from below."""
    folders = module.split("/")[1:-1]
    return CLI_ROWS.index(folders[0] if folders else "commands")


@pytest.mark.parametrize("module", [m for m in MODULES if part(m) == "cli" and m.count("/") > 0])
def test_a_command_imports_actions_these_backends_and_these_options(module: str) -> None:
    used = [
        other for other in own(imported(ast.walk(tree(module)), module)) if part(other) == "cli"
    ]
    wrong = sorted(other for other in used if cli_row(other) > cli_row(module))
    assert not wrong, f"stepkit/{module} imports {', '.join(wrong)}"
    if module.count("/") == 1:
        others = sorted(other for other in used if other.count("/") == 1 and other != module)
        assert not others, f"stepkit/{module} imports another command: {', '.join(others)}"


def test_cli_holds_the_commands_and_nothing_else_but_its_folders() -> None:
    files = {Path(m).stem for m in MODULES if m.startswith("cli/") and m.count("/") == 1}
    assert files - {"__init__"} == {name.removeprefix("step-") for name in commands()}


@pytest.mark.parametrize("module", [m for m in MODULES if row(m) == "api"])
def test_the_interface_calls_what_lies_below_the_commands(module: str) -> None:
    used = own(imported(ast.walk(tree(module)), module))
    assert not used & {f"cli/{command.removeprefix('step-')}.py" for command in commands()}


@pytest.mark.parametrize("module", [m for m in MODULES if part(m) in KNOWS_NOT])
def test_knows_nothing_of_what_is_not_its_business(module: str) -> None:
    names = {name.split(".")[0] for name in imported(ast.walk(tree(module)), module)}
    assert not names & KNOWS_NOT[part(module)]
    if part(module) not in ("grade", "model"):
        opens = [node for node in ast.walk(tree(module)) if _calls(node, "open")]
        assert not opens, f"stepkit/{module} opens a file"


def _calls(node: ast.AST, name: str) -> bool:
    return isinstance(node, ast.Call) and isinstance(node.func, ast.Name) and node.func.id == name


@pytest.mark.parametrize("library", SINGLE_IMPORTERS)
def test_single_importer(library: str) -> None:
    importers = {
        module
        for module in MODULES
        if library in {n.split(".")[0] for n in imported(ast.walk(tree(module)), module)}
    }
    assert importers == {SINGLE_IMPORTERS[library]}


def test_jitted_loops_live_in_kernels() -> None:
    """Only functions of a kernels.py are compiled, and they call nothing of their own kind: a
    cached one would go on calling the old version of what it calls."""
    for module in MODULES:
        functions = [n for n in ast.walk(tree(module)) if isinstance(n, ast.FunctionDef)]
        jitted = {f.name: f for f in functions if "jit" in map(ast.unparse, f.decorator_list)}
        if Path(module).name != "kernels.py":
            assert not jitted, f"stepkit/{module} compiles {', '.join(jitted)}"
            continue
        assert own(imported(ast.walk(tree(module)), module)) <= {"core/jit.py"}
        for name, function in jitted.items():
            called = {ast.unparse(n.func) for n in ast.walk(function) if isinstance(n, ast.Call)}
            assert not called & {f.name for f in functions}, f"stepkit/{module}: {name}"


def test_nobody_prints() -> None:
    for module in MODULES:
        found = [node for node in ast.walk(tree(module)) if _calls(node, "print")]
        assert not found, f"stepkit/{module} prints"


@pytest.mark.parametrize("command", commands())
def test_nothing_heavy_is_imported_at_the_start(command: str) -> None:
    """What --help imports, followed from module to module, holds no heavy library."""
    first = f"cli/{command.removeprefix('step-')}.py"
    waiting, seen = deque([first]), {first}
    while waiting:
        module = waiting.popleft()
        names = imported(at_start(tree(module)), module)
        heavy = {name.split(".")[0] for name in names} & HEAVY
        assert not heavy, f"{command}: stepkit/{module} imports {', '.join(sorted(heavy))}"
        for other in own(names) - seen:
            seen.add(other)
            waiting.append(other)
