"""Options that several commands share, and what they accept. Nothing here imports torch."""

from __future__ import annotations

import functools
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import fields
from typing import Any, TypeVar

import click
from click.core import ParameterSource

from ..corruptions.members import STORED, TABLES
from ..errors import InputError
from ..planning.asked import Asked
from ..planning.setting import Setting
from ..reading.numbers import number, seed_of
from ..reading.paths import path_of
from ..running.refusals import checked
from ..specs import BUDGETED, LambdaSpec, parse_difficulties, parse_lambdas, parse_numbers, parse_severities
from ..specs.lambdas import SCOPES

Function = TypeVar("Function", bound=Callable[..., Any])
Option = Callable[[Any], Any]


class Parsed(click.ParamType):  # type: ignore[type-arg,unused-ignore]  # generic from click 8.4 on
    """A value, called `name` in help, that `parse` reads from a text, or refuses with an InputError."""

    def __init__(self, name: str, parse: Callable[[str], Any]) -> None:
        self.name = name
        self._parse = parse

    def convert(self, value: Any, param: click.Parameter | None, ctx: click.Context | None) -> Any:
        """Read a text; anything else is a default already read."""
        return self._parse(value) if isinstance(value, str) else value


class PathParsed(Parsed):
    """A path, or what is wrong with it behind the option's name."""

    def convert(self, value: Any, param: click.Parameter | None, ctx: click.Context | None) -> Any:
        """The path of a text."""
        try:
            return super().convert(value, param, ctx)
        except InputError as error:
            where = f"{param.opts[0]}: " if param else ""
            raise InputError(f"{where}{error}") from None


SEVERITIES = Parsed("1-5", parse_severities)
DIFFICULTIES = Parsed("1-3", parse_difficulties)
LAMBDAS = Parsed("lambda", parse_lambdas)
LEVELS = Parsed("first:last:step", lambda text: parse_numbers(text, "level"))

PATH = PathParsed("path", path_of)
SHARE = Parsed(
    "share", lambda text: number(text, "accuracies and tolerances must be numbers from 0 to 1", 0, 1)
)


def gathered(into: str, build: Callable[..., Any], *options: Option) -> Callable[[Function], Any]:
    """Several options of a command as one argument, `into`: what `build` makes of their values, by name."""

    def decorate(function: Function) -> Any:
        @functools.wraps(function)
        def command(*args: Any, **given: Any) -> Any:
            own = {name: given.pop(name) for name in names}
            return function(*args, **{into: build(**own)}, **given)

        before = len(getattr(command, "__click_params__", ()))
        for option in reversed(options):
            option(command)
        names = [param.name for param in getattr(command, "__click_params__", ())[before:]]
        return command

    return decorate


def setting_option(name: str, **changes: Any) -> Option:
    """The option of a field of a run, as `planning.setting` describes it, with the changes of one command."""
    (known,) = (item for item in fields(Setting) if item.name == name)
    asked = {"flag": f"--{name.replace('_', '-')}", "default": known.default, **known.metadata, **changes}
    default = asked["default"]
    shown: dict[str, Any] = {"help": asked["help"], "default": default}
    if isinstance(default, bool):
        return click.option(asked["flag"], name, is_flag=True, **shown)
    if "choices" in asked:
        shown["type"] = click.Choice(asked["choices"])
    elif "low" in asked:
        shown["type"] = click.IntRange(min=asked["low"])
    elif "above" in asked:
        shown["type"] = click.FloatRange(min=asked["above"], min_open=True)
    elif asked.get("path"):
        shown["type"] = PATH
    shown |= {
        "metavar": asked.get("metavar"),
        "show_default": default not in (None, ()),
        "multiple": default == (),
    }
    return click.option(asked["flag"], name, **shown)


def setting_options(
    *, only: Sequence[str] = (), without: Sequence[str] = (), **changes: Mapping[str, Any]
) -> Callable[[Function], Any]:
    """Where and on what a command works, as one argument `setting`, checked before torch is imported.

    Args:
        only: these fields of `Setting`; empty for all that are options.
        without: all but these.
        changes: by field, what is different here.
    """
    known = [item.name for item in fields(Setting) if item.metadata]
    names = [name for name in known if (not only or name in only) and name not in without]
    return gathered("setting", _setting, *(setting_option(name, **changes.get(name, {})) for name in names))


def _setting(**given: Any) -> Setting:
    return checked(Setting(**given))


data_root_option, store_option, device_option = map(setting_option, ("data_root", "store", "device"))


def choice_option(flag: str, choices: Sequence[str], text: str) -> Option:
    """One of some words, the first where none is given."""
    kind = click.Choice(choices)
    return click.option(flag, type=kind, default=choices[0], show_default=True, help=text)


def path_option(flag: str, text: str, metavar: str = "DIR", *names: str, **how: Any) -> Option:
    """A file or a folder, read by `reading.paths`."""
    shown = "default" in how
    return click.option(flag, *names, type=PATH, metavar=metavar, help=text, show_default=shown, **how)


def count_option(flag: str, text: str, metavar: str | None = "N", low: int = 1, **how: Any) -> Option:
    """A whole number from `low` on."""
    kind, shown = click.IntRange(min=low), "default" in how
    return click.option(flag, type=kind, metavar=metavar, help=text, show_default=shown, **how)


corruption_option = click.option(
    "--corruption",
    "corruptions",
    default="all",
    show_default=True,
    metavar="NAMES",
    help="A name or a comma-separated list; or all, main, extra, c-bar, noise, blur, weather, digital.",
)
table_option = click.option(
    "--table",
    type=click.Choice(list(TABLES)),
    help="Parameters of the corruptions: cifar (made for 32 pixels), tiny (64), imagenet (224), inception (299) "
    "[default: by the shorter side of the images].",
)
norm_option = choice_option("--norm", BUDGETED, "Norm of the budget.")
seed_option = click.option(
    "--seed", type=Parsed("integer", seed_of), default=0, show_default=True, help="Seed of all random draws."
)
json_option = click.option("--json", "as_json", is_flag=True, help="Print JSON instead of text.")
lambda_scope_option = choice_option("--lambda-scope", SCOPES, "Which CSC layers lambda is set on.")


_severity_option = click.option(
    "--severity", "severities", type=SEVERITIES, help="Severities, such as 3, 1,3,5 or 1-5.  [default: 1-5]"
)
_difficulty_option = click.option(
    "--difficulty",
    "difficulties",
    type=DIFFICULTIES,
    help="With --sequences: the strength of noises; for others, the distance between compared frames.  [default: 1]",
)


def _sequences_option(text: str) -> Option:
    taken = "--corruption then takes their names, or all, main, extra."
    return click.option("--sequences", is_flag=True, help=f"{text}; {taken}")


asked_options = gathered(
    "asked",
    Asked,
    corruption_option,
    _severity_option,
    click.option(
        "--level",
        "levels",
        type=LEVELS,
        help="Arbitrary noise levels instead of severities, such as 0.02:0.20:0.02.",
    ),
    table_option,
    click.option(
        "--stored-as",
        "stored",
        type=click.Choice(list(STORED)),
        help="Pass corrupted images through JPEG at quality 85, as ImageNet-C did.",
    ),
    _sequences_option(
        "Use CIFAR-10-P's slowly changing sequences instead, and count how often the prediction flips"
    ),
    _difficulty_option,
    seed_option,
)
drawn_options = gathered(
    "asked",
    Asked,
    corruption_option,
    _severity_option,
    table_option,
    _sequences_option("Draw frames of CIFAR-10-P's slowly changing sequences instead"),
    _difficulty_option,
    seed_option,
)


def with_scope(lambdas: Sequence[LambdaSpec] | None, lambda_scope: str) -> tuple[LambdaSpec, ...]:
    """The lambdas asked for, set on the layers asked for."""
    return tuple(LambdaSpec(lam.text, lambda_scope, lam.fit) for lam in lambdas or ())


def lambda_option(text: str) -> Option:
    """What lambda is set to."""
    return click.option("--lambda", "lambdas", type=LAMBDAS, metavar="LAMBDA", help=text)


def lambda_options(text: str) -> Option:
    """Lambdas with the layers that they are set on, as one argument `lambdas`."""
    return gathered("lambdas", with_scope, lambda_option(text), lambda_scope_option)


def any_lambda(policies: Iterable[str]) -> str:
    """The help of an option that takes lambdas and these policies."""
    ways = "A number, a list 0.1,0.4, a range 0.1:1.4:0.1, or a policy"
    return f"{ways}: {', '.join(policies)} [default: the training lambda]."


def refuse_given(names: Iterable[str], why: str) -> None:
    """Refuse parameters given beside an option that leaves them nothing to say, with an InputError."""
    context = click.get_current_context()
    for parameter in context.command.params:
        name = parameter.name or ""
        if name in names and context.get_parameter_source(name) is ParameterSource.COMMANDLINE:
            raise InputError(f"{why}. Leave out {parameter.opts[0]}.")


def parse_pairs(pairs: tuple[str, ...], option: str) -> dict[str, str]:
    """Read repeated key=value options; InputError for one without "=" or a key, and for a key given twice."""
    found: dict[str, str] = {}
    for pair in pairs:
        key, equals, value = pair.partition("=")
        if not equals or not key.strip():
            raise InputError(f"{option} takes key=value, got '{pair}'.")
        if (name := key.strip()) in found:
            raise InputError(
                f"{option} gives '{name}' twice, '{found[name]}' and '{value.strip()}'. Leave one out."
            )
        found[name] = value.strip()
    return found


def settings(pairs: tuple[str, ...], **named: Any) -> dict[str, Any]:
    """What --set and options of their own say, by key; InputError where both say the same."""
    given = {key: value for key, value in named.items() if value is not None}
    others = parse_pairs(pairs, "--set")
    if twice := next((key for key in given if key in others), None):
        flag = twice.rpartition(".")[2].replace("_", "-")
        raise InputError(f"--{flag} and --set {twice} set the same value. Leave one out.")
    return given | others
