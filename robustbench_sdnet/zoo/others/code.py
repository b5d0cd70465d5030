"""The code behind another person's model: every module it is made of, by content, without the folders it lies in.

The graph is followed from the modules where the model's parts were written, through what they hold and what they
import anywhere in their source, so that a helper imported inside `forward` counts, and so that a process that imported
other things before comes to the same hash.
"""

from __future__ import annotations

import ast
import hashlib
import importlib.util
import inspect
import sys
from collections.abc import Iterable, Iterator
from functools import cache
from importlib import metadata
from importlib.machinery import ModuleSpec, PathFinder
from importlib.metadata import PackagePath
from pathlib import Path
from types import ModuleType
from typing import TYPE_CHECKING

from ...files import sha256_of
from ...specs.models import canonical

if TYPE_CHECKING:
    from torch import nn

OURS = __name__.partition(".")[0]  # counts by its algorithms' versions, which every question holds
_INSTALLED = frozenset(("site-packages", "dist-packages"))
# What was read of a loaded module, for as long as it stays the one that was loaded: a file edited since is not it.
_READ: dict[str, tuple[ModuleSpec, str, frozenset[str]]] = {}


def code_hash(model: nn.Module, *modules: str) -> str:
    """sha256 over the sources outside installed distributions, and the versions of the distributions that they use.

    Args:
        model: whose parts say where they were written; call it once before, so that it has imported what it needs.
        modules: names of further modules to begin at.
    """
    return hashlib.sha256(canonical([*_behind(model, modules)]).encode()).hexdigest()


def edited_modules(model: nn.Module, *modules: str) -> list[str]:
    """The modules behind a model whose files were edited since `code_hash` read them: their old code still runs."""
    files = {name: Path(_READ[name][0].origin or "") for name in _behind(model, modules)[0] if name in _READ}
    return sorted(
        name for name, file in files.items() if file.is_file() and sha256_of(file) != _READ[name][1]
    )


def _behind(model: nn.Module, modules: Iterable[str]) -> tuple[dict[str, str], dict[str, str]]:
    """The hash of every module's source, and the version of every distribution, by name."""
    sources: dict[str, str] = {}
    versions: dict[str, str] = {}
    waiting, seen = [*modules, *_homes_of(model)], set()
    while waiting:
        name = waiting.pop()
        top = name.partition(".")[0]
        if name in seen or top in (OURS, "__main__") or top in sys.stdlib_module_names:
            continue
        seen.add(name)
        spec = _spec(name)
        if spec is None:
            continue
        if name != top:
            waiting.append(name.rpartition(".")[0])
        origin = Path(spec.origin) if spec.has_location and spec.origin else None
        if origin is not None and _INSTALLED.intersection(origin.parts) and top in _distributions():
            versions.update(_versions(top))
            continue
        if origin is not None and origin.is_file():
            sources[name], imported = _content(name, spec, origin)
            waiting.extend(imported)
        if (module := sys.modules.get(name)) is not None:
            # A submodule becomes an attribute of its package whoever imports it: the imports say who did here.
            held = (value for key, value in vars(module).items() if f"{name}.{key}" not in sys.modules)
            waiting.extend(_homes(held))
    return sources, versions


def _homes_of(model: nn.Module) -> Iterator[str]:
    """Where the classes of a model's parts, and what those parts hold, were written."""
    for part in model.modules():
        for kind in type(part).__mro__:
            yield kind.__module__
        yield from _homes(vars(part).values())


def _homes(values: Iterable[object]) -> Iterator[str]:
    for value in list(values):
        # By its type, and not as isinstance does, which asks what some deprecated objects warn of.
        name = "__name__" if issubclass(type(value), ModuleType) else "__module__"
        home = inspect.getattr_static(value, name, None)
        if isinstance(home, str):
            yield home


def _spec(name: str) -> ModuleSpec | None:
    """Where a module comes from, loaded or not; nothing is imported."""
    path, spec = None, None
    parts = name.split(".")
    for end in range(1, len(parts) + 1):
        prefix = ".".join(parts[:end])
        loaded = sys.modules.get(prefix)
        # By its last name: a namespace package asks the parent in its full one, which nobody may have imported.
        spec = getattr(loaded, "__spec__", None) if loaded else PathFinder.find_spec(parts[end - 1], path)
        if not isinstance(spec, ModuleSpec):
            return None
        path = spec.submodule_search_locations
        if path is None and end < len(parts):
            return None
    return spec


def _content(name: str, spec: ModuleSpec, origin: Path) -> tuple[str, frozenset[str]]:
    """The hash of a module's file, and the names that it imports anywhere in it."""
    if name in _READ and _READ[name][0] is spec:
        return _READ[name][1:]
    raw = origin.read_bytes()
    package = name.rpartition(".")[0] if spec.submodule_search_locations is None else name
    imported = frozenset(_imports(raw, package) if origin.suffix == ".py" else ())
    found = hashlib.sha256(raw).hexdigest(), imported
    if name in sys.modules:
        _READ[name] = (spec, *found)
    return found


def _imports(source: bytes, package: str) -> Iterator[str]:
    try:
        tree = ast.parse(source)
    except (SyntaxError, ValueError):
        return
    for node in ast.walk(tree):
        if isinstance(node, ast.Import):
            yield from (alias.name for alias in node.names)
        elif isinstance(node, ast.ImportFrom):
            try:
                base = importlib.util.resolve_name("." * node.level + (node.module or ""), package)
            except ImportError:
                continue
            yield base
            yield from (f"{base}.{alias.name}" for alias in node.names)
        elif isinstance(node, ast.Call) and node.args and isinstance(node.args[0], ast.Constant):
            called = getattr(node.func, "attr", getattr(node.func, "id", ""))
            if called in ("import_module", "__import__") and isinstance(node.args[0].value, str):
                yield node.args[0].value


@cache
def _distributions() -> dict[str, list[str]]:
    """The distributions that provide each top-level package, declared or by their files, alike on every Python: its own
    `packages_distributions` knows the declared alone in 3.10, and no compiled modules in 3.11."""
    found: dict[str, list[str]] = {}
    for distribution in metadata.distributions():
        declared = (distribution.read_text("top_level.txt") or "").split()
        for top in declared or {_top(file) for file in distribution.files or ()}:
            if top and "." not in top:
                found.setdefault(top, []).append(distribution.metadata["Name"])
    return found


def _top(file: PackagePath) -> str | None:
    """The package that a distribution's file belongs to, or the module that it is."""
    return file.parts[0] if len(file.parts) > 1 else inspect.getmodulename(file)


@cache
def _versions(top: str) -> dict[str, str]:
    """Versions of the distributions that provide a package; "2.5.1+cpu" is the code of 2.5.1."""
    return {name: metadata.version(name).partition("+")[0] for name in _distributions()[top]}
