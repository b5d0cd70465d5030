"""The published numbers: a wrong one makes other images, which a test that reads it from here too would not see."""

from __future__ import annotations

import ast
import hashlib
from importlib import metadata

import pytest

from robustbench_sdnet import corruptions
from robustbench_sdnet.corruptions.registry import setting
from robustbench_sdnet.corruptions.sequences.members import SEQUENCES

# Compared number by number with what the authors published: the generators of CIFAR-10-C, Tiny-ImageNet-C, ImageNet-C
# (also for Inception) and CIFAR-10-P, and both lists of C-bar. Another number is another image: it raises the version.
DIGEST = "5bc2c84aac3517d4"
# The package has elastic transformations of its own.
PACKAGED = [name for name in corruptions.expand("all") if name != "elastic_transform"]


def test_no_number_changes_by_accident() -> None:
    found = [(name, sorted(info.settings.items())) for name, info in corruptions.CORRUPTIONS.items()]
    found += [(name, one.settings) for name, one in SEQUENCES.items()]
    numbers = [(name, ast.literal_eval(repr(settings))) for name, settings in found]
    assert hashlib.sha256(repr(numbers).encode()).hexdigest()[:16] == DIGEST


@pytest.fixture(scope="module")
def packaged() -> dict[str, list[tuple[float, ...]]]:
    """The five settings of each corruption in the source of the package imagecorruptions, which is not run."""
    path = metadata.distribution("imagecorruptions").locate_file("imagecorruptions/corruptions.py")
    found = {}
    for function in ast.parse(path.read_text(encoding="utf-8")).body:
        if isinstance(function, ast.FunctionDef) and function.name in PACKAGED:
            (rows,) = [
                node.value.elts
                for node in ast.walk(function)
                if isinstance(node, ast.Subscript)
                and isinstance(node.value, ast.List)
                and ast.unparse(node.slice) == "severity - 1"
            ]
            found[function.name] = [_numbers(row) for row in rows]
    return found


def _numbers(row: ast.expr) -> tuple[float, ...]:
    """Of a number, a tuple, or what follows the first factor in numpy.arange(1, end, step)."""
    parts = row.args[1:] if isinstance(row, ast.Call) else getattr(row, "elts", [row])
    return tuple(ast.literal_eval(part) for part in parts)


@pytest.mark.parametrize("name", PACKAGED)
def test_the_numbers_of_imagenet_c_are_those_of_another_package(
    packaged: dict[str, list[tuple[float, ...]]], name: str
) -> None:
    own = [setting(name, severity, table="imagenet") for severity in range(1, 6)]
    if name == "frost":  # photographs are taken as they are there
        assert {scale for *_, scale in own} == {1}
        own = [values[:2] for values in own]
    assert own == packaged[name]
