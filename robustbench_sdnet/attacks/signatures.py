"""The attacks of torchattacks and foolbox and their options, read from the installed sources.

Importing either library imports torch, which would make a mistyped option cost seconds.
"""

from __future__ import annotations

import ast
import importlib.util
import operator
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from functools import cache
from pathlib import Path

from ..errors import InputError, unknown

LIBRARIES = ("foolbox", "torchattacks")

Value = bool | int | float | str | None

# What the adapters supply themselves; `eps` and `norm` are the suite's own options.
_SUPPLIED = {
    "self", "model", "eps", "max_epsilon", "norm", "device", "seed", "verbose", "distance", "n_classes",
    "init_attack", "tensorboard",
}  # fmt: skip

# Torchattacks says nowhere which norm an attack minimises or bounds.
_TORCHATTACKS_NORMS: Mapping[str, tuple[str, ...]] = {
    "APGD": ("linf", "l2"), "APGDT": ("linf", "l2"), "AutoAttack": ("linf", "l2"), "FAB": ("linf", "l2"),
    "Square": ("linf", "l2"), "PGDL2": ("l2",), "PGDRSL2": ("l2",), "CW": ("l2",), "DeepFool": ("l2",),
    "EADL1": ("l1",), "EADEN": ("l1",), "JSMA": ("l0",), "OnePixel": ("l0",), "Pixle": ("l0",),
    "SparseFool": ("l0",), "GN": ("l2",),
}  # fmt: skip
_TORCHATTACKS_MINIMAL = {"CW", "DeepFool", "EADL1", "EADEN", "JSMA", "OnePixel", "Pixle", "SparseFool", "GN"}
_NOT_ATTACKS = {"VANILA", "MultiAttack", "LGV", "Attack", "BinarizationRefinementAttack"}

_OPERATORS: Mapping[type[ast.operator], Callable[[float, float], float]] = {
    ast.Add: operator.add, ast.Sub: operator.sub, ast.Mult: operator.mul, ast.Div: operator.truediv,
    ast.Pow: operator.pow,
}  # fmt: skip


@dataclass(frozen=True)
class LibraryAttack:
    """One attack class of a library: its options with their defaults, and what its results mean."""

    name: str
    params: Mapping[str, Value]
    norms: tuple[str, ...]
    minimal_norm: bool
    accepts: frozenset[str] = frozenset()


@dataclass(frozen=True)
class _Class:
    bases: tuple[str, ...]
    init: Mapping[str, Value] | None
    distance: str | None


def library_attack(library: str, name: str) -> LibraryAttack:
    """Look an attack class up in an installed library.

    Raises:
        InputError: the library is not installed, or has no such attack.
    """
    attacks = library_attacks(library)
    if name not in attacks:
        raise unknown(f"{library} attack", name, attacks)
    return attacks[name]


@cache
def library_attacks(library: str) -> Mapping[str, LibraryAttack]:
    """Every attack of an installed library, by class name.

    Raises:
        InputError: the library is not installed.
    """
    spec = importlib.util.find_spec(library)
    if spec is None or not spec.submodule_search_locations:
        raise InputError(f"{library} is not installed: pip install {library}.")
    root = Path(next(iter(spec.submodule_search_locations)))
    classes: dict[str, _Class] = {}
    for path in sorted((root / "attacks").glob("*.py")):
        classes.update(_classes(ast.parse(path.read_text(encoding="utf-8"))))
    public = root / "__init__.py" if library == "torchattacks" else root / "attacks" / "__init__.py"
    exported = dict(_exported(ast.parse(public.read_text(encoding="utf-8"))))
    describe = _torchattacks if library == "torchattacks" else _foolbox
    found = {
        name: describe(_original(name, exported), classes)
        for name in sorted(exported)
        if _original(name, exported) in classes and name not in _NOT_ATTACKS
    }
    return {name: attack for name, attack in found.items() if attack is not None}


def _torchattacks(name: str, classes: Mapping[str, _Class]) -> LibraryAttack:
    norms = _TORCHATTACKS_NORMS.get(name, ("linf",))
    accepts = frozenset(_signature(name, classes))
    return LibraryAttack(name, _options(name, classes), norms, name in _TORCHATTACKS_MINIMAL, accepts)


def _foolbox(name: str, classes: Mapping[str, _Class]) -> LibraryAttack | None:
    """None for what is no attack on its own: abstract bases and wrappers of other attacks."""
    lineage = list(_lineage(name, classes))
    if "Attack" not in lineage and not any(base.endswith("Attack") for base in lineage[1:]):
        return None
    text = "".join(lineage)
    distance = next((classes[c].distance for c in lineage if c in classes and classes[c].distance), None)
    norm = next((n for n in ("linf", "l2", "l1", "l0") if name.lower().startswith(n)), distance or "l2")
    minimal = "MinimizationAttack" in text and "FixedEpsilonAttack" not in lineage
    options = _options(name, classes)
    norms = ("l2", "linf") if "constraint" in options else (norm,)
    return LibraryAttack(name, options, norms, minimal, frozenset(_signature(name, classes)))


def _options(name: str, classes: Mapping[str, _Class]) -> Mapping[str, Value]:
    return {key: value for key, value in _signature(name, classes).items() if key not in _SUPPLIED}


def _signature(name: str, classes: Mapping[str, _Class]) -> Mapping[str, Value]:
    """The signature that counts is that of the nearest class with an `__init__`."""
    for ancestor in _lineage(name, classes):
        init = classes[ancestor].init if ancestor in classes else None
        if init is not None:
            return init
    return {}


def _lineage(name: str, classes: Mapping[str, _Class]) -> Iterator[str]:
    """The class and its ancestors, depth first."""
    yield name
    for base in classes[name].bases if name in classes else ():
        yield from _lineage(base, classes)


def _classes(tree: ast.Module) -> Iterator[tuple[str, _Class]]:
    for node in tree.body:
        if isinstance(node, ast.ClassDef):
            bases = tuple(base.id for base in node.bases if isinstance(base, ast.Name))
            yield node.name, _Class(bases, _init(node), _distance(node))


def _init(node: ast.ClassDef) -> Mapping[str, Value] | None:
    for item in node.body:
        if isinstance(item, ast.FunctionDef) and item.name == "__init__":
            names = [argument.arg for argument in item.args.args]
            defaults = [ast.Constant(value=None)] * (
                len(names) - len(item.args.defaults)
            ) + item.args.defaults
            pairs = [*zip(names, defaults, strict=True)]
            pairs += [
                (argument.arg, default or ast.Constant(value=None))
                for argument, default in zip(item.args.kwonlyargs, item.args.kw_defaults, strict=True)
            ]
            return {name: _value(default) for name, default in pairs}
    return None


def _distance(node: ast.ClassDef) -> str | None:
    """The norm in a class attribute such as `distance = LpDistance(2)` or `distance = l2`."""
    for item in node.body:
        if isinstance(item, ast.Assign) and any(
            isinstance(target, ast.Name) and target.id == "distance" for target in item.targets
        ):
            return item.value.id if isinstance(item.value, ast.Name) else None
    return None


def _value(node: ast.expr) -> Value:
    """The constant that a default stands for, sums and quotients worked out; None for anything else."""
    if isinstance(node, ast.Constant) and isinstance(node.value, bool | int | float | str | None):
        return node.value
    if isinstance(node, ast.UnaryOp) and isinstance(node.op, ast.USub):
        inner = _value(node.operand)
        return -inner if isinstance(inner, int | float) else None
    if isinstance(node, ast.BinOp) and type(node.op) in _OPERATORS:
        left, right = _value(node.left), _value(node.right)
        if isinstance(left, int | float) and isinstance(right, int | float):
            return _OPERATORS[type(node.op)](left, right)
    return None


def _exported(tree: ast.Module) -> Iterator[tuple[str, str]]:
    """(name, what it stands for) of every imported class and every alias such as `PGD = LinfPGD`."""
    for node in tree.body:
        if isinstance(node, ast.ImportFrom):
            yield from ((alias.asname or alias.name, alias.name) for alias in node.names)
        if isinstance(node, ast.Assign) and isinstance(node.value, ast.Name):
            yield from ((target.id, node.value.id) for target in node.targets if isinstance(target, ast.Name))


def _original(name: str, exported: Mapping[str, str]) -> str:
    """The class behind a chain of aliases."""
    while exported.get(name, name) != name:
        name = exported[name]
    return name
