"""Recipes: what a training run does, from a YAML file plus `--set key=value`, every key known and checked.

A recipe file holds `summary`, `train` (fields of `TrainOptions`), `model` (options of `build_model`) and,
under `data`, changes of both for single data sets. The recipe that a run keeps in its folder is one too.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import asdict, dataclass, field, replace
from pathlib import Path
from typing import Any

from ...data.registry import DATASETS
from ...errors import InputError, unknown
from ...reading.options import as_default
from ...reading.paths import path_of
from ...reading.structured import mapping, parse_yaml, read_yaml
from ...wording import shown
from ...zoo.nets.architectures import DEFAULTS, OPTIONS, architecture, check_settings
from .options import TrainOptions

FOLDER = Path(__file__).parent
SECTIONS = ("train", "model")


@dataclass(frozen=True, slots=True, kw_only=True)
class Recipe:
    """A resolved recipe: its name, every `train.*` key, and the `model.*` keys that were given."""

    name: str
    train: TrainOptions = field(default_factory=TrainOptions)
    model: Mapping[str, Any] = field(default_factory=dict)

    def to_dict(self) -> dict[str, Any]:
        """Plain values for YAML and JSON."""
        return {"name": self.name, "train": _plain(asdict(self.train)), "model": _plain(self.model)}

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
    recipe = _read_settings(recipe, _flat(raw, name), name)
    own = recipe
    for known, changes in mapping(raw.get("data"), f"{name}: 'data'").items():
        changed = _read_settings(recipe, _changes(known, changes, name), f"{name}: data.{known}")
        own = changed if known == data else own
    return with_settings(own, mapping(settings, "settings"))


def _read_settings(recipe: Recipe, settings: Mapping[str, Any], where: str) -> Recipe:
    """The recipe with what a file says; errors say where it stands, since --set has the same keys."""
    try:
        return with_settings(recipe, settings)
    except InputError as error:
        raise InputError(f"{where}: {error}") from None


def resolve_recipe(recipe: str | Recipe | None, overrides: Mapping[str, Any] | None, data: str) -> Recipe:
    """What `train` is asked for: a recipe, the published one for None, with its overrides; errors of `load_recipe`."""
    given = mapping(overrides, "overrides")
    if isinstance(recipe, Recipe):
        return with_settings(recipe, given)
    return load_recipe("published" if recipe is None else recipe, given, data=data)


def check_recipe(recipe: Recipe, arch: str, overrides: Mapping[str, Any]) -> None:
    """Refuse, with an InputError, what an architecture makes no network of, or cannot be trained with."""
    check_settings(arch, recipe.model, overrides)
    if recipe.train.auxiliary and architecture(arch).sparse == "none":
        raise InputError(
            f"train.auxiliary={recipe.train.auxiliary:g} needs sparse coding layers, which {arch} has none of. Leave "
            f"it out, or take {arch.replace('resnet', 'sdnet')}."
        )


def _changes(data: str, changes: Any, name: str) -> dict[str, Any]:
    """The keys of what a recipe changes for a data set; InputError for an unknown data set or section."""
    if data not in DATASETS and ":" not in data:
        raise unknown(f"data set in '{name}'", data, DATASETS)
    for section in (held := mapping(changes, f"{name}: 'data.{data}'")):
        if section not in SECTIONS:
            known = [f"data.{data}.{each}" for each in SECTIONS]
            raise unknown("recipe section", f"data.{data}.{section}", known)
    return _flat(held, name)


def with_settings(recipe: Recipe, settings: Mapping[str, Any]) -> Recipe:
    """The recipe with some keys changed; errors are those of `load_recipe`.

    Where `epochs` changes, images grow and the rate falls in the same shares of the run, unless `sizes` and
    `milestones` are given.
    """
    train: dict[str, Any] = {}
    model = dict(recipe.model)
    defaults = asdict(recipe.train)
    known = [*(f"train.{name}" for name in defaults), *(f"model.{name}" for name in OPTIONS)]
    for key, value in settings.items():
        section, _, name = key.partition(".")
        if key not in known:
            raise unknown("recipe key", key, known)
        if isinstance(value, str) and not isinstance(defaults.get(name), str):  # a text is no YAML
            value = parse_yaml(value, f"{key}: '{shown(value)}'")
        if section == "model":
            # The width's default is the architecture's: any whole number stands for it here.
            like = 0 if name == "width" and value is not None else DEFAULTS.get(name)
            model[name] = value if like is None else as_default(value, like, key)
        else:
            train[name] = as_default(value, defaults[name], key, 2**63 - 1)
    options = replace(recipe.train, **train)
    before, epochs = recipe.train.epochs, options.epochs
    if "sizes" not in train and epochs != before:
        options = replace(options, sizes=_grown(options.sizes, before, epochs))
    if "milestones" not in train and epochs != before and recipe.train.schedule == options.schedule == "step":
        options = replace(options, milestones=_moved(options.milestones, before, epochs))
    return replace(recipe, train=options, model=model)


def _moved(milestones: tuple[int, ...], before: int, epochs: int) -> tuple[int, ...]:
    """The milestones of a run of other epochs: one that was reached is reached, and two that meet count twice."""
    at = ((each, round(each * epochs / before)) for each in milestones)
    return tuple(max(1, min(new, epochs - 1) if each < before else new) for each, new in at)


def _grown(sizes: tuple[int, ...], before: int, epochs: int) -> tuple[int, ...]:
    """The sizes of a run of other epochs: each has the last size that it stands for, so that a single one is whole."""
    at = (before - 1 - (epochs - 1 - epoch) * before // epochs for epoch in range(epochs))
    return tuple(sizes[epoch] for epoch in at if epoch < len(sizes))


def _read(name: str) -> Mapping[str, Any]:
    path = FOLDER / f"{name}.yaml"
    if not path.is_file():
        path = path_of(name or ".")
        if path.suffix not in (".yaml", ".yml") and not path.is_file():
            raise unknown("recipe", name, recipe_names())
    raw = read_yaml(path)
    if not isinstance(raw, dict):
        raise InputError(
            f"{path}: a recipe must be a mapping with 'train' and 'model', got {type(raw).__name__}."
        )
    if "arch" in raw and isinstance(raw.get("data"), str):  # of a run, which says of what it is
        raw = {key: value for key, value in raw.items() if key not in ("arch", "data")}
    allowed = ("name", "summary", "data", *SECTIONS)
    for key in raw:
        if key not in allowed:
            raise unknown("recipe section", str(key), allowed)
    return raw


def _plain(options: Mapping[str, Any]) -> dict[str, Any]:
    """Tuples as lists, and NumPy's numbers and arrays as plain ones."""
    plain: dict[str, Any] = json.loads(json.dumps(dict(options), default=lambda value: value.tolist()))
    return plain


def _flat(raw: Mapping[str, Any], where: str = "recipe") -> dict[str, Any]:
    """The keys of both sections as one writes them after --set."""
    return {
        f"{section}.{key}": value
        for section in SECTIONS
        for key, value in mapping(raw.get(section), f"{where}: '{section}'").items()
    }


def passes(options: TrainOptions) -> int:
    """Forward-backward passes an update."""
    if options.augmix:
        return 3
    return {"none": 1, "fgsm": 2}.get(options.adversary, options.attack_steps + 1)


def quicker(options: TrainOptions) -> tuple[str, float]:
    """The quicker recipe of the same kind, plain or robust, and the share of the time that it takes."""
    name = "fast" if options.adversary == "none" else "fast-at"
    quick = load_recipe(name).train
    return name, quick.epochs * passes(quick) / (options.epochs * passes(options))
