"""The house, read from its sources: which room may import which, what fits a reader, what has its reason.

Imports under TYPE_CHECKING count for circles alone.
"""

from __future__ import annotations

import ast
import re
from collections.abc import Iterator
from graphlib import CycleError, TopologicalSorter
from importlib import import_module
from pathlib import Path

import pytest

from robustbench_sdnet.cli import COMMANDS

ROOT = Path(__file__).resolve().parents[1]
PACKAGE = ROOT / "robustbench_sdnet"
FLOORS = (
    {
        "devices",
        "errors",
        "draws",
        "wording",
        "statistics",
        "reading",
        "files",
        "download",
        "download_progress",
        "holding",
        "interrupts",
        "tracking",
        "version",
        "waiting",
    },
    {"specs"},
    {"data", "corruptions", "zoo"},
    {"lambdas", "attacks"},
    {"training"},
    {"planning"},
    {"store"},
    {"running", "answers"},
    {"diagnostics"},
    {"reports"},
    {"evaluation", "inside", "quickstart"},
    {"console"},
    {"commands"},
    {"cli"},
)
FLOOR = {room: floor for floor, rooms in enumerate(FLOORS) for room in rooms}
NEVER = {
    **{
        room: {"torch"} for room in ("reading", "specs", "planning", "store", "answers", "reports", "console")
    },
    "running": {"sqlalchemy"},
}


def _name(path: Path) -> str:
    return ".".join(path.relative_to(PACKAGE.parent).with_suffix("").parts).removesuffix(".__init__")


MODULES = {_name(path): path for path in PACKAGE.rglob("*.py")}


def _imports(module: str, *, types: bool = False) -> Iterator[tuple[int, str]]:
    """Line and absolute name of everything a module imports, wherever in it the import stands."""
    tree = ast.parse(MODULES[module].read_text(encoding="utf-8"))
    typing = [n for n in ast.walk(tree) if isinstance(n, ast.If) and "TYPE_CHECKING" in ast.unparse(n.test)]
    unseen = {node for block in typing for child in block.body for node in ast.walk(child)}
    package = module.split(".") if MODULES[module].name == "__init__.py" else module.split(".")[:-1]
    for node in ast.walk(tree):
        if node in unseen and not types:
            continue
        if isinstance(node, ast.Import):
            yield from ((node.lineno, alias.name) for alias in node.names)
        elif isinstance(node, ast.ImportFrom):
            parents = package[: len(package) - node.level + 1] if node.level else []
            base = ".".join([*parents, *([node.module] if node.module else [])])
            for alias in node.names:
                inner = f"{base}.{alias.name}"
                yield node.lineno, inner if inner in MODULES else base


def _room(module: str) -> str:
    return module.split(".")[1] if "." in module else ""


# The package's own __init__ and __main__ stand outside: they open doors to all rooms.
INSIDE = [module for module in MODULES if _room(module) not in ("", "__main__")]


def test_imports_go_down():
    wrong = [
        f"{module}:{line} imports {target}"
        for module in INSIDE
        for line, target in _imports(module)
        if target in MODULES and _room(target) and _room(target) != _room(module)
        if FLOOR[_room(target)] > FLOOR[_room(module)]
    ]
    assert not wrong, "\n".join(wrong)


def test_there_is_no_circle_even_inside_functions_or_of_types():
    # A package's __init__ that only hands out names of its own modules, when asked, is no circle.
    graph = {
        module: {t for _, t in _imports(module, types=True) if t in MODULES} - {module, "robustbench_sdnet"}
        for module in INSIDE
        if MODULES[module].name != "__init__.py"
    }
    try:
        TopologicalSorter(graph).prepare()
    except CycleError as error:
        pytest.fail(" -> ".join(error.args[1]))


@pytest.mark.parametrize("room", NEVER)
def test_rooms_touch_only_what_they_may(room):
    wrong = [
        f"{module}:{line} imports {target}"
        for module in INSIDE
        if _room(module) == room
        for line, target in _imports(module)
        if target.split(".")[0] in NEVER[room]
    ]
    assert not wrong, "\n".join(wrong)


def test_reports_never_open_a_store_and_nothing_imports_a_command():
    wrong = [
        f"{module}:{line} imports {target}"
        for module in INSIDE
        for line, target in _imports(module)
        if (_room(module) == "reports" and _room(target) == "store")
        or (_room(target) == "commands" and _room(module) != "commands")
    ]
    assert not wrong, "\n".join(wrong)


@pytest.mark.parametrize("stub", sorted(PACKAGE.rglob("__init__.pyi")), ids=lambda stub: stub.parent.name)
def test_all_that_a_package_hands_out_is_there(stub):
    package = import_module(".".join(stub.parent.relative_to(PACKAGE.parent).parts))
    assert package.__all__
    for name in package.__all__:
        getattr(package, name)


def test_every_command_has_its_file_and_no_file_is_no_command():
    files = {path.stem for path in (PACKAGE / "commands").iterdir() if not path.name.startswith("_")}
    assert files == set(COMMANDS)


def test_files_and_functions_fit_a_reader():
    """A file is one idea of at most 300 lines, a function of at most 60, documentation included."""
    long = []
    for module, path in MODULES.items():
        text = path.read_text(encoding="utf-8")
        if (lines := text.count("\n")) > 300:
            long.append(f"{module}: {lines} lines")
        for node in ast.walk(ast.parse(text)):
            if isinstance(node, ast.FunctionDef) and node.end_lineno - node.lineno + 1 > 60:
                long.append(f"{module}.{node.name}: {node.end_lineno - node.lineno + 1} lines")
    assert not long, "\n".join(long)


MAKES_TENSORS = re.compile(
    "arange|as_tensor|empty|eye|full|linspace|ones|rand|randint|randn|randperm|tensor|zeros"
)


def made(wanted):
    """Where torch's functions of wanted names make a tensor, but in the layers, each with its module."""
    for module, path in MODULES.items():
        if module.endswith((".nets.csc", ".nets.resnet")):
            continue
        for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
            if (
                isinstance(node, ast.Call)
                and isinstance(node.func, ast.Attribute)
                and wanted.fullmatch(node.func.attr)
                and ast.unparse(node.func.value) == "torch"
            ):
                yield module, node


def test_tensors_do_not_depend_on_the_default_device():
    """Only layers are built where `torch.set_default_device` says; a default of "cuda" changes nothing else."""
    without = [
        f"{module}:{node.lineno}: {ast.unparse(node)}"
        for module, node in made(MAKES_TENSORS)
        if not any(keyword.arg == "device" for keyword in node.keywords)
    ]
    assert not without, "\n".join(without)


MAKES_FLOATS = re.compile("empty|eye|linspace|ones|rand|randn|zeros")


def test_tensors_do_not_depend_on_the_default_type():
    """A default of float64 draws other numbers; only networks are built in it."""
    without = [
        f"{module}:{node.lineno}: {ast.unparse(node)}"
        for module, node in made(MAKES_FLOATS)
        if not any(keyword.arg == "dtype" for keyword in node.keywords)
    ]
    assert not without, "\n".join(without)


SUPPRESSED = re.compile(
    r"noqa: [A-Z]+[0-9]+|type: ignore\[[\w,-]+\]|(simplefilter|filterwarnings)\(\"ignore[^)]*\)"
    r"|except \(?(Base)?Exception\b[^:]*:"
)


@pytest.mark.parametrize("folder", ["robustbench_sdnet", "tests", "benchmarks"])
def test_what_is_suppressed_says_why_on_its_line(folder):
    bare = [
        f"{path.relative_to(ROOT)}:{number}: {line.strip()}"
        for path in sorted((ROOT / folder).rglob("*.py"))
        for number, line in enumerate(path.read_text(encoding="utf-8").splitlines(), 1)
        if (found := list(SUPPRESSED.finditer(line))) and not re.search(r"\w{2}", line[found[-1].end() :])
    ]
    assert not bare, "\n".join(bare)
