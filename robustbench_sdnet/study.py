"""The whole question in one plan: does another lambda help under noise, and against an adversary who knows it?

Noises at several severities, at fixed numbers and by policies; PGD at every lambda, evaluated at every lambda; Square
and random noise at every lambda; verdicts. Everything goes through the store, so a study that was stopped goes on.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from contextlib import AbstractContextManager
from dataclasses import dataclass, replace
from types import MappingProxyType

from . import evaluation as api
from .diagnostics.checks import check
from .errors import unknown
from .planning import questions
from .running import policies
from .running.runner import Progress
from .specs import AttackSpec, Cell, Eps, LambdaSpec, ModelSpec, decimal_text, parse_lambdas
from .store.store import Store

NOISES = "noise"
POLICIES = "calibrated,label-free"


@dataclass(frozen=True, slots=True, kw_only=True)
class Budget:
    """How much a study looks at.

    Attributes:
        images, attacked: test images under noise, and under attack.
        numbers, attack_numbers: the fixed lambdas of both; each model's training lambda is added.
        queries: of Square, for each image.
        calibration: training images that a policy is fitted on.
        warm_start: PGD at each lambda also begins at its neighbour's perturbations.
        cheap: only the diagnostics that cost a few passes a sample.
    """

    images: int
    attacked: int
    severities: tuple[int, ...]
    numbers: str
    attack_numbers: str
    steps: int
    queries: int
    calibration: int
    warm_start: bool
    cheap: bool


BUDGETS: Mapping[str, Budget] = MappingProxyType(
    {
        "small": Budget(
            images=200,
            attacked=100,
            severities=(1, 3, 5),
            numbers="0.1:0.7:0.2",
            attack_numbers="0.1,0.3,0.7",
            steps=20,
            queries=200,
            calibration=40,
            warm_start=False,
            cheap=True,
        ),
        "standard": Budget(
            images=1000,
            attacked=500,
            severities=(1, 2, 3, 4, 5),
            numbers="0.1:1.3:0.2",
            attack_numbers="0.1:0.7:0.2,1.3",
            steps=40,
            queries=1000,
            calibration=200,
            warm_start=True,
            cheap=True,
        ),
        "full": Budget(
            images=10_000,
            attacked=1000,
            severities=(1, 2, 3, 4, 5),
            numbers="0.1:1.4:0.1",
            attack_numbers="0.1:1.3:0.2",
            steps=100,
            queries=5000,
            calibration=200,
            warm_start=True,
            cheap=False,
        ),
    }
)

# What a stage is called -> a context that takes its progress.
Shown = Callable[[str], AbstractContextManager[Callable[[Progress], None]]]


def budget_named(name: str) -> Budget:
    """The budget of that name.

    Raises:
        InputError: there is none.
    """
    if name not in BUDGETS:
        raise unknown("budget", name, BUDGETS)
    return BUDGETS[name]


def study(
    setting: api.Setting,
    budget: Budget,
    eps: Sequence[Eps],
    *,
    norm: str = "linf",
    seed: int = 0,
    scope: str = "stem",
    shown: Shown,
    on_fit: policies.OnFit = policies.silent,
    on_check: Callable[[Cell], None] = lambda cell: None,
    on_ready: Callable[[api.Ready], None] = lambda ready: None,
) -> list[Cell]:
    """Ask everything, store every answer, and diagnose the attacks; what is stored already is not done again.

    Args:
        setting: its `limit`, where given, takes the place of both numbers of images of the budget.
        eps: the attacks' budgets.
        scope: the layers that lambda is set on, "stem" or "all".
        on_ready: told of models and data before any work.

    Returns:
        Every cell of the study.

    Raises:
        InputError: something asked for is unknown, or no training images to fit a policy on.
        ModelError: a model failed; the others' answers are stored.
        StoreError: the store cannot be written.
    """
    setting = replace(setting, calibration_images=budget.calibration)
    ready = api.prepare(setting)
    on_ready(ready)
    count = min(setting.limit or budget.images, len(ready.data))
    attacked = min(setting.limit or budget.attacked, len(ready.data))
    numbers, attack_numbers = (
        lambdas(ready.models, text, scope) for text in (budget.numbers, budget.attack_numbers)
    )
    noises = questions.corruptions_of(ready.data, NOISES, budget.severities, seed=seed)
    cells = api.corruption_plan(ready, noises, numbers, on_fit=on_fit)
    with shown("noise") as update:
        api.answer(replace(ready, count=count), cells, setting, on_progress=update)
    attacks = attack_cells(ready, budget, eps, attack_numbers, norm, seed, setting.precision)
    ready = replace(ready, count=attacked)
    before = _stored(setting.store)
    with shown("attacks") as update:
        api.answer(ready, attacks, setting, on_progress=update)
    _diagnose(ready, attacks, setting.store, before, budget, on_check)
    return list(dict.fromkeys([*cells, *attacks]))


def lambdas(models: Sequence[ModelSpec], numbers: str, scope: str = "stem") -> tuple[LambdaSpec, ...]:
    """The fixed numbers with every model's training lambda among them, in order, then the policies."""
    trained = [
        LambdaSpec(decimal_text(model.training_lambda))
        for model in models
        if model.training_lambda is not None
    ]
    fixed = dict.fromkeys([*trained, *parse_lambdas(numbers, scope)])
    return (*sorted(fixed, key=lambda lam: lam.fixed or 0.0), *parse_lambdas(POLICIES, scope))


def attack_cells(
    ready: api.Ready,
    budget: Budget,
    eps: Sequence[Eps],
    chosen: Sequence[LambdaSpec],
    norm: str = "linf",
    seed: int = 0,
    precision: str = "auto",
) -> list[Cell]:
    """PGD at every lambda evaluated at every lambda, then Square, with random noise beside them."""

    def specs(name: str, steps: int) -> list[AttackSpec]:
        return questions.attack_specs(name, eps, norm, {"steps": str(steps)}, seed)

    pgd = specs("pgd", budget.steps)
    found = api.attack_plan(ready, pgd, chosen, chosen, precision)
    if budget.warm_start:
        found += api.attack_plan(ready, pgd, chosen, (), precision, warm_start=True)
    found += api.attack_plan(ready, specs("square", budget.queries), chosen, (), precision, eps_curve=False)
    return list(dict.fromkeys(found))


def _diagnose(
    ready: api.Ready,
    cells: Sequence[Cell],
    store_url: str,
    before: Mapping[str, object],
    budget: Budget,
    on_check: Callable[[Cell], None],
) -> None:
    """Diagnose every ordinary PGD whose answers are new, or that was not diagnosed so far as asked."""
    with Store(store_url) as store:
        ranges, verdicts = store.ranges(), store.verdicts()
        todo = []
        for cell in cells:
            if (
                isinstance(cell.perturbation, AttackSpec)
                and cell.perturbation.name == "pgd"
                and not cell.warm
            ):
                old = ranges.get(cell.id) == before.get(cell.id)
                found = verdicts.get(cell.id, [])
                complete = bool(found) and (budget.cheap or any(_is_thorough(item) for item in found))
                if not (old and complete):
                    todo.append(cell)
        check(todo, store=store, worker=ready.worker, cheap=budget.cheap, on_check=on_check)


def _is_thorough(item: Mapping[str, object]) -> bool:
    """Whether a diagnostic that the cheap ones leave out was made."""
    return item["check"] == "gradient_free_wins" and item["verdict"] != "not_run"


def _stored(store_url: str) -> Mapping[str, object]:
    with Store(store_url) as store:
        return store.ranges()
