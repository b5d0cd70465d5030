"""Options of models, attacks and recipes: one way to read a value, and one to refuse it before any work."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Annotated, Any, get_origin, get_type_hints

from ..errors import InputError, unknown
from ..wording import shown
from .numbers import LARGEST, number, whole

_TRUTHS = {
    **dict.fromkeys(("true", "yes", "on", "1"), True),
    **dict.fromkeys(("false", "no", "off", "0"), False),
}


@dataclass(frozen=True, slots=True)
class Rule:
    """What a value must be, and how a message says it: "must " and the text."""

    holds: Callable[[Any], bool]
    text: str


def count(low: int, high: int) -> Rule:
    """A whole number from `low` to `high`."""
    return Rule(lambda v: _is(v, int) and low <= v <= high, f"be a whole number from {low} to {high}")


def counts(low: int, high: int) -> Rule:
    """Several whole numbers from `low` to `high`."""
    one = count(low, high)
    return Rule(
        lambda v: isinstance(v, tuple | list) and all(map(one.holds, v)),
        f"be a list of whole numbers from {low} to {high}",
    )


def between(low: float, high: float) -> Rule:
    """A number from `low` to `high`."""
    return Rule(lambda v: _is(v, int | float) and low <= v <= high, f"lie in {low:g} to {high:g}")


def _is(value: Any, kind: Any) -> bool:
    return isinstance(value, kind) and not isinstance(value, bool)


FLAG = Rule(lambda v: isinstance(v, bool), "be true or false")


def several(given: Any) -> Sequence[Any]:
    """What may be given alone, in a list: a text is one name, not its letters; a network is one, not its layers."""
    if getattr(given, "ndim", None) == 0:  # an array of one number
        return [given[()]]
    alone = isinstance(given, str | Mapping) or callable(given) or not isinstance(given, Iterable)
    return [given] if alone else list(given)


def check(values: Mapping[str, Any], rules: Mapping[str, Rule | tuple[str, ...]], prefix: str = "") -> None:
    """Refuse the first value that breaks its rule, or is none of the texts that stand in a rule's place.

    There is one value for each rule; the InputError says the name behind the prefix.
    """
    for name, rule in rules.items():
        if isinstance(rule, tuple):
            if values[name] not in rule:
                raise unknown(prefix + name, str(values[name]), rule)
        elif not rule.holds(values[name]):
            raise InputError(f"{prefix}{name} must {rule.text}, got {shown(repr(values[name]))}.")


def check_fields(record: object, prefix: str = "") -> None:
    """`check` the fields of a record, each by the rule that stands in its `Annotated` type."""
    rules = rules_of(type(record))
    check({name: getattr(record, name) for name in rules}, rules, prefix)


def rules_of(kind: type) -> dict[str, Any]:
    """The rules that stand in the `Annotated` types of a record's fields, by name."""
    hints = get_type_hints(kind, include_extras=True)
    return {name: hint.__metadata__[0] for name, hint in hints.items() if get_origin(hint) is Annotated}


def as_default(value: Any, default: Any, what: str, most: int = LARGEST) -> Any:
    """A value in the type of its default: YAML reads 5e-4 as a text and 1 as a whole number, a shell knows texts alone.

    Args:
        what: the option, for messages.
        most: the largest whole number.

    Raises:
        InputError: it is no such value, or None, as YAML reads a key with nothing behind it.
    """
    if value is None:
        raise InputError(f"{what} has no value. Write one, or leave it out for its default.")
    if isinstance(default, bool):
        truth = _TRUTHS.get(value.lower()) if isinstance(value, str) else value
        if not isinstance(truth, bool):
            raise InputError(f"{what} must be true or false, got '{shown(value)}'.")
        return truth
    if isinstance(default, int):
        return whole(value, f"{what} must be a whole number", -most, most)
    if isinstance(default, float):
        return number(value, f"{what} must be a number")
    if isinstance(default, tuple):
        items = value if isinstance(value, list | tuple) else [value]
        return tuple(whole(item, f"{what} must be a list of whole numbers") for item in items)
    if isinstance(value, list | dict):
        raise InputError(f"{what} must be a text, got '{shown(value)}'.")
    return str(value)
