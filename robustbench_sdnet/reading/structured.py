"""YAML and JSON from outside: plain values, bounded in size and depth, and one error that says the place."""

from __future__ import annotations

import json
import re
from collections.abc import Mapping
from contextlib import suppress
from pathlib import Path
from typing import Any, NoReturn

import yaml
from yaml.constructor import ConstructorError

from ..errors import DataError, InputError, SdnetBenchError
from ..wording import shown
from .paths import MEGABYTE, read_text

LONGEST = 1 << 18  # characters of YAML, which is read at some 100,000 a second
DEEPEST = 20  # levels of lists and mappings
MOST = 100_000  # values, each as often as it is repeated by reference


# What YAML 1.1 takes for a number and one does not: 012 for 10, 1:30 for 90, and more digits than Python prints.
_NO_NUMBER = re.compile(r"[-+]?0[0-9_]+$|[^:]+:|[-+]?0[bx].{100}")


class _Loader(yaml.SafeLoader):
    """Plain values; what a value's own tag cannot read is an error with its place."""

    def resolve(self, kind: Any, value: Any, implicit: Any) -> Any:
        tag = super().resolve(kind, value, implicit)  # type: ignore[no-untyped-call]  # its stub has no types
        is_number = tag in ("tag:yaml.org,2002:int", "tag:yaml.org,2002:float")
        return self.DEFAULT_SCALAR_TAG if is_number and _NO_NUMBER.match(value) else tag

    def construct_object(self, node: Any, deep: bool = False) -> Any:
        try:
            return super().construct_object(node, deep)
        except (ValueError, LookupError, AttributeError, TypeError, OverflowError) as error:
            kind = node.tag.rpartition(":")[2]
            raise ConstructorError(
                None, None, f"'{shown(node.value)}' is not a valid {kind}", node.start_mark
            ) from error


def parse_yaml(text: str, where: str, error: type[SdnetBenchError] = InputError) -> Any:
    """The value of a YAML text of one document; messages say `where` it stands.

    Raises:
        error: no YAML, a value that its tag cannot hold, too long, too deep or too often repeated.
    """
    if len(text) > LONGEST:
        raise error(f"{where} is {len(text):,} characters long; such texts have at most {LONGEST:,}.")
    try:
        _check_depth(text)
        loader = _Loader(text)
        try:
            root = loader.get_single_node()
            if root is None:
                return None
            _count(root, {})
            return loader.construct_document(root)
        finally:
            loader.dispose()
    except yaml.MarkedYAMLError as failure:
        mark = failure.problem_mark
        place = f" at line {mark.line + 1}, column {mark.column + 1}" if mark else ""
        problem = " ".join((failure.problem or failure.context or "").split())
        raise error(f"{where} is not valid YAML{place}: {shown(problem)}.") from None
    except (yaml.YAMLError, RecursionError) as failure:
        raise error(f"{where} is not valid YAML: {shown(' '.join(str(failure).split()))}.") from None


def read_yaml(path: Path, error: type[SdnetBenchError] = InputError) -> Any:
    """The value of a YAML file; see `parse_yaml`."""
    return parse_yaml(read_text(path, error=error), f"'{path}'", error)


def parse_json(text: str | bytes, where: str, error: type[SdnetBenchError] = InputError) -> Any:
    """The value of a JSON text; `error` says where it is none (NaN and infinities are none) or nested too deeply."""
    try:
        return json.loads(text, parse_constant=_no_number)
    except json.JSONDecodeError as failure:
        raise error(
            f"{where} is not valid JSON at line {failure.lineno}, column {failure.colno}: {failure.msg}."
        ) from None
    except (ValueError, RecursionError) as failure:
        reason = "nested too deeply" if isinstance(failure, RecursionError) else shown(failure)
        raise error(f"{where} is not valid JSON: {reason}.") from None


def read_json(path: Path, *, limit: int = MEGABYTE) -> Any:
    """The value of a JSON file; see `parse_json`."""
    return parse_json(read_text(path, limit=limit), f"'{path}'")


def read_lines(path: Path, *, limit: int) -> list[Any]:
    """The values of a file with one JSON text a line; lines that are none are left out, as a killed writer leaves one.

    Raises:
        DataError: the file cannot be read, is longer than `limit` bytes, or no text.
    """
    found = []
    for line in read_text(path, limit=limit, error=DataError).splitlines():
        with suppress(DataError):
            found.append(parse_json(line, str(path), DataError))
    return found


def mapping(value: Any, where: str, error: type[SdnetBenchError] = InputError) -> dict[str, Any]:
    """A mapping with text keys, an empty one for nothing; `error` for anything else."""
    if value is None:
        return {}
    if not isinstance(value, Mapping) or not all(isinstance(key, str) for key in value):
        raise error(
            f"{where} must be a mapping of names to values, got {type(value).__name__} '{shown(value)}'."
        )
    return dict(value)


def _no_number(text: str) -> NoReturn:
    raise ValueError(f"{text} is not a number")


def _check_depth(text: str) -> None:
    """Refuse deep nesting before the recursive half of the library sees it."""
    depth = 0
    event: Any
    for event in yaml.parse(text, Loader=yaml.SafeLoader):
        depth += isinstance(event, yaml.CollectionStartEvent) - isinstance(event, yaml.CollectionEndEvent)
        if depth > DEEPEST:
            raise ConstructorError(None, None, f"more than {DEEPEST} levels", event.start_mark)


def _check_keys(keys: list[Any]) -> None:
    """Refuse a key that is given twice, of which the library would take the last."""
    seen = set[str]()
    for key in keys:
        if isinstance(key, yaml.ScalarNode):
            if key.value in seen:
                raise ConstructorError(None, None, f"'{shown(key.value)}' is given twice", key.start_mark)
            seen.add(key.value)


def _count(node: Any, known: dict[int, int]) -> int:
    """How many values a node holds when its references are written out."""
    if id(node) not in known:
        known[id(node)] = MOST + 1  # while it is looked at: what holds itself has no end
        children: list[Any] = []
        if isinstance(node, yaml.SequenceNode):
            children = node.value
        elif isinstance(node, yaml.MappingNode):
            children = [part for pair in node.value for part in pair]
            _check_keys([key for key, _ in node.value])
        known[id(node)] = 1 + sum(_count(child, known) for child in children)
    if known[id(node)] > MOST:
        raise ConstructorError(None, None, f"more than {MOST:,} values", node.start_mark)
    return known[id(node)]
