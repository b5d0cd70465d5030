"""Ask questions and get records: what the command line and the public Python API both call."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from .attacks.registry import attack_info
from .corruptions.registry import expand
from .data.published import PublishedPixels
from .errors import DataError, InputError
from .planning import plan, questions
from .running import policies
from .running.device import pick_batch_size, pick_device
from .running.runner import Progress, run
from .running.worker import Worker
from .specs import (
    DEFAULT_STORE,
    AttackSpec,
    Cell,
    CorruptionSpec,
    LambdaSpec,
    ModelSpec,
    parse_lambdas,
)
from .store.store import Store

if TYPE_CHECKING:
    import pandas as pd
    from torch import nn

    from .data import ImageData


@dataclass(frozen=True, kw_only=True)
class Setting:
    """Where and on what a run works: models, images, device, store.

    Attributes:
        models: sources; empty for every model at hand that was trained on the data set.
        data: a data set's name; None for the newest run's.
        limit: the first N images only.
        batch_size: the largest batch; None for what suits the device.
        precision: of attacks' searches: auto, float32 or bfloat16.
        calibration_images: training images that a lambda policy is fitted on.
    """

    models: Sequence[str] = ()
    data: str | None = None
    data_root: str | None = None
    split: str = "test"
    limit: int | None = None
    device: str = "auto"
    batch_size: int | None = None
    precision: str = "auto"
    store: str = DEFAULT_STORE
    runs: Path = Path("runs")
    calibration_images: int = policies.CALIBRATION_IMAGES


@dataclass(frozen=True)
class Ready:
    """A setting resolved: the images, the models that will be asked, and a worker for them."""

    setting: Setting
    data: ImageData
    models: list[ModelSpec]
    worker: Worker
    count: int

    def with_fits(
        self, lambdas: Sequence[LambdaSpec], on_fit: policies.OnFit = policies.silent
    ) -> Callable[[ModelSpec], tuple[LambdaSpec, ...]]:
        """Each model's lambdas, its policies fitted on training images and handed to the worker.

        Raises:
            InputError: a policy that cannot be deployed, or no training images for a data set that has none.
        """
        with Store(self.setting.store) as store:
            folder = store.fits_folder
        fits = policies.fit_policies(
            self.models,
            lambdas,
            load=self.worker.model,
            training_data=self._training_data,
            folder=folder,
            device=self.worker.device,
            count=self.setting.calibration_images,
            on_fit=on_fit,
        )
        for (key, _), (lam, policy) in fits.items():
            self.worker.policies.setdefault(key, {})[lam] = policy
        return lambda model: policies.resolved(model, lambdas, fits)

    def _training_data(self) -> ImageData:
        from .data import load

        return load(questions.training_set(self.data.name), "train", self.setting.data_root)

    def has_images(self) -> bool:
        """Whether the clean images are at hand: a folder of corrupted images may lack them."""
        if not isinstance(self.data.pixels, PublishedPixels):
            return True
        try:
            self.data.images(0, 1)
        except DataError:
            return False
        return True


def prepare(setting: Setting) -> Ready:
    """Find data and models, and pick the device.

    Raises:
        InputError: an unknown name, no model at hand, or a device that is not there.
        DataError: the data set is damaged.
    """
    from .data import load

    name = setting.data or questions.default_data(setting.runs)
    device = pick_device(setting.device)
    data = load(name, setting.split, setting.data_root)
    models = questions.model_specs(setting.models, data, setting.runs, setting.data_root)
    height, width = data.image_shape
    batch = pick_batch_size(setting.batch_size, device, height * width)
    worker = Worker(data=data, load=lambda spec: _load(spec, device), device=device, batch_size=batch)
    return Ready(setting, data, models, worker, min(setting.limit or len(data), len(data)))


def _load(spec: ModelSpec, device: str) -> nn.Module:
    from .zoo import load_model

    model: nn.Module = load_model(spec.source, device=device)
    return model


def answer(
    ready: Ready,
    cells: Sequence[Cell],
    setting: Setting,
    *,
    keep_images: bool = False,
    on_progress: Callable[[Progress], None] = lambda progress: None,
) -> Progress:
    """Answer cells and store the answers; what is stored already is not run again.

    Raises:
        ModelError: a model failed; the others' answers are stored.
        StoreError: the store cannot be written.
    """
    with Store(setting.store) as store:
        return run(
            cells,
            store=store,
            worker=ready.worker,
            count=ready.count,
            keep_images=keep_images,
            on_progress=on_progress,
        )


def corruption_plan(
    ready: Ready,
    corruptions: Sequence[CorruptionSpec],
    lambdas: Sequence[LambdaSpec] = (),
    precision: str = "float32",
    on_fit: policies.OnFit = policies.silent,
) -> list[Cell]:
    """The cells of `corrupt`, lambda policies fitted first."""
    chosen = ready.with_fits(policies.expand(lambdas), on_fit)
    return plan.corruption_cells(
        ready.models, questions.data_spec(ready.data), corruptions, chosen, precision, ready.has_images()
    )


def attack_plan(
    ready: Ready,
    attacks: Sequence[AttackSpec],
    lambdas: Sequence[LambdaSpec] = (),
    attack_lambdas: Sequence[LambdaSpec] = (),
    precision: str = "auto",
    eps_curve: bool = True,
    on_fit: policies.OnFit = policies.silent,
    warm_start: bool = False,
) -> list[Cell]:
    """The cells of `attack`, with random noise of the same budget beside every attack."""
    chosen = ready.with_fits(lambdas, on_fit)
    attacked = ready.with_fits(attack_lambdas, on_fit) if attack_lambdas else ()
    spec = questions.data_spec(ready.data)

    def search(attack: AttackSpec) -> str:
        return search_precision(attack, precision, ready.worker.device)

    return plan.attack_cells(
        ready.models, spec, _with_noise(attacks), chosen, attacked, search, eps_curve, warm_start
    )


def search_precision(attack: AttackSpec, precision: str, device: str) -> str:
    """What "auto" comes to for an attack on a device: part of a cell's identity, since a coarser search may find less.

    Noise is no search, other libraries compute in float32, and minimal-norm attacks compare values so close that
    rounding would mislead them.
    """
    import torch

    from .attacks.engine.passes import wants_low_precision

    if attack.kind == "noise" or ":" in attack.name:
        return "float32"
    if precision == "auto" and attack.eps is None:
        return "float32"
    return "bfloat16" if wants_low_precision(precision, torch.empty(0, device=device)) else "float32"


def _with_noise(attacks: Sequence[AttackSpec]) -> list[AttackSpec]:
    """The attacks, each budget with its random noise first, in the norms that noise is drawn in."""
    noise: dict[AttackSpec, None] = {}
    known = attack_info("noise").norms
    for attack in attacks:
        if attack.eps is not None and attack.kind != "noise" and attack.norm in known:
            noise[questions.attack_specs("noise", [attack.eps], attack.norm, seed=attack.seed)[0]] = None
    return [*(spec for spec in noise if spec not in attacks), *attacks]


def evaluate(
    models: Sequence[str] = (),
    data: str | None = None,
    *,
    corruptions: str | Iterable[str] = (),
    severities: Sequence[int] = (1, 2, 3, 4, 5),
    attacks: Sequence[str | Mapping[str, Any]] = (),
    lambdas: Sequence[float | str] | str = (),
    attack_lambdas: Sequence[float | str] | str = (),
    lambda_scope: str = "stem",
    warm_start: bool = False,
    seed: int = 0,
    store: str = DEFAULT_STORE,
    limit: int | None = None,
    split: str = "test",
    device: str = "auto",
    batch_size: int | None = None,
    precision: str = "auto",
    data_root: str | None = None,
    runs: str | Path = "runs",
    on_progress: Callable[[Progress], None] = lambda progress: None,
) -> pd.DataFrame:
    """Measure models under corruptions and attacks, at every lambda, and return the records of the store.

    Args:
        models: zoo names, runs, checkpoints or "package.module:function"; empty for every model at hand.
        data: a data set's name; None for the newest run's.
        corruptions: names, "all", "main", "extra" or a category.
        severities: 1 to 5.
        attacks: names ("pgd"), or mappings with `name`, `norm`, `eps` (default by norm: 8/255 in linf, 0.5 in l2, 12
            in l1; none for minimal-norm attacks) and hyper-parameters.
        lambdas: numbers, policies, or a text such as "0.1:1.4:0.1"; empty for each model's training lambda.
        attack_lambdas: attack at each of these and evaluate at every one of `lambdas`.
        lambda_scope: "stem" or "all".
        warm_start: each lambda's PGD begins at the perturbations of the lambda before it.
        store: URL of the result store; answers that it holds are not computed again.

    Returns:
        One row a record, the columns of `evaluation.records.FIELDS`.

    Raises:
        InputError: something asked for is unknown or out of range.
        ModelError: a model failed; the others' answers are stored.
    """
    import pandas as pd

    from .answers.records import FIELDS, records

    if not set(severities) <= {1, 2, 3, 4, 5}:
        raise InputError(f"severities must lie in 1 to 5, got {list(severities)}.")
    names = _names(corruptions)
    attack_list = [spec for attack in attacks for spec in _attack_of(attack, seed)]
    chosen, attacked = (_lambdas(values, lambda_scope) for values in (lambdas, attack_lambdas))
    setting = Setting(
        models=models,
        data=data,
        data_root=data_root,
        split=split,
        limit=limit,
        device=device,
        batch_size=batch_size,
        precision=precision,
        store=store,
        runs=Path(runs),
    )
    ready = prepare(setting)
    corruption_list = questions.corruptions_of(ready.data, names, severities, seed=seed) if names else []
    cells = corruption_plan(ready, corruption_list, chosen)
    if attack_list:
        cells += attack_plan(ready, attack_list, chosen, attacked, precision, warm_start=warm_start)
    answer(ready, cells, setting, on_progress=on_progress)
    table: pd.DataFrame = pd.DataFrame(records(store), columns=list(FIELDS))
    return table


def sweep(
    models: Sequence[str] = (),
    data: str | None = None,
    *,
    lambdas: Sequence[float | str] | str = "0.1:1.4:0.1",
    corruptions: str | Iterable[str] = "noise",
    **options: Any,
) -> pd.DataFrame:
    """Sweep lambda at test time: `evaluate` at the 14 published lambdas under the noises, unless told otherwise.

    Args:
        options: as for `evaluate`.
    """
    return evaluate(models, data, lambdas=lambdas, corruptions=corruptions, **options)


def _attack_of(attack: str | Mapping[str, Any], seed: int) -> list[AttackSpec]:
    options = {"name": attack} if isinstance(attack, str) else dict(attack)
    name, norm = str(options.pop("name")), options.pop("norm", None)
    norm, eps = questions.budgets(name, norm, options.pop("eps", None))
    return questions.attack_specs(name, eps, norm, {key: str(value) for key, value in options.items()}, seed)


def _names(corruptions: str | Iterable[str]) -> str:
    """The corruptions as one text, known names and groups; a group is for the data to resolve."""
    text = corruptions if isinstance(corruptions, str) else ",".join(corruptions)
    if text:
        expand(text)
    return text


def _lambdas(values: Sequence[float | str] | str, scope: str) -> tuple[LambdaSpec, ...]:
    text = values if isinstance(values, str) else ",".join(str(value) for value in values)
    return parse_lambdas(text, scope) if text else ()
