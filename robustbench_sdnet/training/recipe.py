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

from ..errors import InputError, unknown
from ..specs import Eps

FOLDER = Path(__file__).with_name("recipes")
# Options of `zoo.build_model`; a test holds this list to the zoo's own. `num_classes` and `input_size`
# follow the data.
MODEL_OPTIONS = (
    *("num_classes", "shortcut", "input_size", "mean", "std", "width", "stem", "pooling"),
    *("lam", "mu", "n_steps", "non_negative", "gradient_at", "square_noise", "rescale_lambda", "n_dict"),
    "power_steps",
)
SECTIONS = ("train", "model")


@dataclass(frozen=True, slots=True, kw_only=True)
class TrainOptions:
    """The `train.*` keys.

    Attributes:
        epochs: passes over the training images.
        batch_size: images a step, over all devices together.
        lr: largest learning rate.
        momentum: of SGD.
        nesterov: Nesterov's form of it.
        weight_decay: on every parameter.
        schedule: "cosine" (per iteration, to `lr_min`), "step" (x `gamma` at `milestones`) or "one-cycle".
        lr_min: where cosine ends.
        milestones: epochs at which "step" lowers the rate.
        gamma: factor of "step".
        warmup: share of all steps in which "one-cycle" rises, or the others warm up linearly.
        crop: pixels of zero padding for random crops, 0 for none.
        flip: mirror half of the images.
        cutout: side of a square hole in pixels, 0 for none.
        augmix: weight of AugMix's consistency loss (Hendrycks et al. 2020), 0 for none.
        label_smoothing: share of the target spread over all classes.
        ema: decay of a moving average of the weights, 0 for none; the average is what is saved.
        auxiliary: factor of the reconstruction-and-sparsity loss of the sparse layers.
        adversary: "none", "fgsm" (random start, Wong et al. 2020), "pgd" (Madry et al. 2018) or "trades"
        (Zhang et al. 2019). eps: the adversary's budget, a fraction such as 8/255. norm: "linf" or "l2".
        attack_steps: of the adversary. attack_step_size: a fraction; "auto" is 1.25 eps for fgsm, else
        2.5 eps / steps. beta: weight of TRADES' robust term. precision: "auto", "float32", "bfloat16" or
        "float64". channels_last: memory format of images and weights. compile: pass the model through
        torch.compile. hold_out: share of the training images kept aside to choose the best checkpoint, 0
        for none. limit: use the first so many training images, 0 for all. seed: of weights, order and
        augmentation. threads: CPU threads, 0 for torch's default. workers: threads that decode images
        which do not fit in memory. save_minutes: save the state this often, and at the end of epochs.
        test_every: measure test accuracy every so many epochs, for the curve alone; 0 for the end only.
    """

    epochs: int = 220
    batch_size: int = 128
    lr: float = 0.1
    momentum: float = 0.9
    nesterov: bool = True
    weight_decay: float = 5e-4
    schedule: str = "cosine"
    lr_min: float = 1e-6
    milestones: tuple[int, ...] = (30, 60, 90)
    gamma: float = 0.1
    warmup: float = 0.0
    crop: int = 4
    flip: bool = True
    cutout: int = 0
    augmix: float = 0.0
    label_smoothing: float = 0.0
    ema: float = 0.0
    auxiliary: float = 0.0
    adversary: str = "none"
    eps: str = "8/255"
    norm: str = "linf"
    attack_steps: int = 10
    attack_step_size: str = "auto"
    beta: float = 6.0
    precision: str = "auto"
    channels_last: bool = True
    compile: bool = False
    hold_out: float = 0.0
    limit: int = 0
    seed: int = 0
    threads: int = 0
    workers: int = 8
    save_minutes: float = 1.0
    test_every: int = 0

    def __post_init__(self) -> None:
        for name, (low, high) in _RANGES.items():
            value = getattr(self, name)
            if not low <= value <= high:
                raise InputError(f"train.{name} must lie in {low:g} to {high:g}, got {value:g}.")
        for name, allowed in _CHOICES.items():
            if getattr(self, name) not in allowed:
                raise unknown(f"train.{name}", str(getattr(self, name)), allowed)
        self.radius  # noqa: B018  an eps that cannot be read is refused here, not in the first step
        self.step_radius  # noqa: B018
        if self.augmix and self.adversary != "none":
            raise InputError("train.augmix and train.adversary cannot be combined: each brings its own loss.")

    @property
    def radius(self) -> float:
        """The adversary's budget in [0, 1] pixel units."""
        return float(Eps.parse(self.eps, self.norm))

    @property
    def step_radius(self) -> float:
        """The adversary's step size in [0, 1] pixel units."""
        if self.attack_step_size != "auto":
            return float(Eps.parse(self.attack_step_size, self.norm))
        return 1.25 * self.radius if self.adversary == "fgsm" else 2.5 * self.radius / self.attack_steps


_RANGES: Mapping[str, tuple[float, float]] = {
    "epochs": (1, 100_000),
    "batch_size": (1, 1_000_000),
    "lr": (0, 1000),
    "momentum": (0, 1),
    "weight_decay": (0, 10),
    "lr_min": (0, 1000),
    "gamma": (0, 1),
    "warmup": (0, 1),
    "crop": (0, 256),
    "cutout": (0, 1024),
    "augmix": (0, 1000),
    "label_smoothing": (0, 0.999),
    "ema": (0, 0.99999),
    "auxiliary": (0, 1000),
    "attack_steps": (1, 1000),
    "beta": (0, 1000),
    "hold_out": (0, 0.9),
    "limit": (0, math.inf),
    "seed": (0, 2**63 - 1),
    "threads": (0, 4096),
    "workers": (1, 1024),
    "save_minutes": (0, 1e6),
    "test_every": (0, 100_000),
}
_CHOICES: Mapping[str, tuple[str, ...]] = {
    "schedule": ("cosine", "step", "one-cycle"),
    "adversary": ("none", "fgsm", "pgd", "trades"),
    "norm": ("linf", "l2"),
    "precision": ("auto", "float32", "bfloat16", "float64"),
}


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
