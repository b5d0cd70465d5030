"""Recipes: what a training run does, from a YAML file plus `--set key=value`, every key known and checked.

A recipe file holds `summary`, `train` (fields of `TrainOptions`), `model` (options of `build_model`) and,
under `data`, changes of both for single data sets.
"""

from __future__ import annotations

import math
from collections.abc import Iterator, Mapping
from dataclasses import asdict, dataclass, field, fields, replace
from pathlib import Path
from typing import Any

import yaml

from ...errors import InputError, unknown
from .options import TrainOptions

FOLDER = Path(__file__).parent
# Options of `zoo.build_model`; a test holds this list to the zoo's own. `num_classes` and `input_size`
# follow the data.
MODEL_OPTIONS = (
    *("num_classes", "shortcut", "input_size", "mean", "std", "width", "stem", "pooling"),
    *("lam", "mu", "n_steps", "non_negative", "gradient_at", "square_noise", "rescale_lambda", "n_dict"),
    "power_steps",
)
SECTIONS = ("train", "model")


@dataclass(frozen=True, slots=True, kw_only=True)
class Recipe:
    """A resolved recipe: its name, every `train.*` key, and the `model.*` keys that were given."""

    name: str
    train: TrainOptions = field(default_factory=TrainOptions)
    model: Mapping[str, Any] = field(default_factory=dict)

    def to_dict(self) -> dict[str, Any]:
        """Plain values for YAML and JSON."""
        train = {
            key: list(value) if isinstance(value, tuple) else value
            for key, value in asdict(self.train).items()
        }
        return {"name": self.name, "train": train, "model": dict(self.model)}

    @classmethod
    def from_dict(cls, raw: Mapping[str, Any]) -> Recipe:
        """What `to_dict` gave."""
        return with_settings(cls(name=str(raw["name"])), _flat(raw))


def recipe_names() -> tuple[str, ...]:
    """The recipes that come with the package."""
    return tuple(sorted(path.stem for path in FOLDER.glob("*.yaml")))


def load_recipe(name: str, settings: Mapping[str, Any] | None = None, *, data: str = "") -> Recipe:
    """Read a recipe and apply settings on top.

    Args:
        name: a recipe of the package, or the path of a YAML file.
        settings: "train.epochs" -> 30, "model.width" -> 8; texts are read as YAML.
        data: name of the data set, for the recipe's own changes for it.

    Raises:
        InputError: an unknown recipe or key (the nearest is named), or a value of the wrong type or range.
    """
    raw = _read(name)
    recipe = Recipe(name=str(raw.get("name", Path(name).stem)))
    recipe = with_settings(recipe, _flat(raw, name))
    own = (raw.get("data") or {}).get(data)
    if own:
        recipe = with_settings(recipe, _flat(own, name))
    return with_settings(recipe, settings or {})


def with_settings(recipe: Recipe, settings: Mapping[str, Any]) -> Recipe:
    """The recipe with some keys changed.

    Raises:
        InputError: see `load_recipe`.
    """
    train: dict[str, Any] = {}
    model = dict(recipe.model)
    defaults = {item.name: getattr(recipe.train, item.name) for item in fields(TrainOptions)}
    known = [*(f"train.{name}" for name in defaults), *(f"model.{name}" for name in MODEL_OPTIONS)]
    for key, value in settings.items():
        section, _, name = key.partition(".")
        if key not in known:
            raise unknown("recipe key", key, known)
        value = _parse(key, value)
        if section == "model":
            model[name] = value
        else:
            train[name] = _coerce(key, value, defaults[name])
    return replace(recipe, train=replace(recipe.train, **train), model=model)


def _read(name: str) -> Mapping[str, Any]:
    path = FOLDER / f"{name}.yaml"
    if not path.is_file():
        path = Path(name).expanduser()
        if path.suffix not in (".yaml", ".yml") and not path.is_file():
            raise unknown("recipe", name, recipe_names())
    try:
        raw = yaml.safe_load(path.read_text(encoding="utf-8"))
    except OSError as error:
        raise InputError(f"Cannot read the recipe {path} ({error.strerror}).") from error
    except (yaml.YAMLError, UnicodeDecodeError) as error:
        raise InputError(f"{path} is no YAML: {' '.join(str(error).split())}.") from error
    if not isinstance(raw, dict):
        raise InputError(f"{path}: a recipe is a mapping with 'train' and 'model', got {type(raw).__name__}.")
    allowed = ("name", "summary", "data", *SECTIONS)
    for key in raw:
        if key not in allowed:
            raise unknown("recipe section", str(key), allowed)
    return raw


def _flat(raw: Mapping[str, Any], where: str = "recipe") -> dict[str, Any]:
    return dict(_pairs(raw, where))


def _pairs(raw: Mapping[str, Any], where: str) -> Iterator[tuple[str, Any]]:
    for section in SECTIONS:
        values = raw.get(section) or {}
        if not isinstance(values, Mapping):
            raise InputError(f"{where}: '{section}' must be a mapping, got {type(values).__name__}.")
        for key, value in values.items():
            yield f"{section}.{key}", value


def _parse(key: str, value: Any) -> Any:
    if not isinstance(value, str):
        return value
    try:
        return yaml.safe_load(value)
    except yaml.YAMLError:
        raise InputError(f"{key}: cannot read the value '{value}'.") from None


def _coerce(key: str, value: Any, default: Any) -> Any:
    """The value in the type of the default; YAML reads 5e-4 as a text and 1 as a whole number."""
    try:
        if isinstance(default, bool):
            if isinstance(value, bool):
                return value
        elif isinstance(default, int):
            if not isinstance(value, bool) and int(value) == float(value):
                return int(value)
        elif isinstance(default, float):
            if not isinstance(value, bool) and math.isfinite(float(value)):
                return float(value)
        elif isinstance(default, tuple):
            items = value if isinstance(value, list | tuple) else [value]
            return tuple(int(item) for item in items)
        else:
            return str(value)
    except (TypeError, ValueError):
        pass
    kind = {bool: "true or false", int: "a whole number", float: "a number", tuple: "a list of whole numbers"}
    raise InputError(f"{key} must be {kind.get(type(default), 'a text')}, got '{value}'.")
