"""Lambda policies of a run: read by name, fitted once a model on training images, kept beside the store.

A fitted policy's hash is part of the cell (`LambdaSpec.fit`), so answers of two fits are never mixed up.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, replace
from functools import cache, partial
from pathlib import Path
from typing import TYPE_CHECKING, Any, TypeVar

from ..errors import ModelError, SdnetBenchError, about
from ..lambdas.policy import Fitting, deploy
from ..specs import LambdaSpec, ModelSpec, decimal_text
from ..specs.lambdas import POLICIES, parse_policy
from ..store.store import Store
from ..zoo.others.guard import named_errors
from .engines import Job
from .worker import Worker

if TYPE_CHECKING:
    from .ready import Ready

T = TypeVar("T")


@dataclass(frozen=True)
class FitProgress:
    """How far the fit of a policy has come: steps done of all, none at first.

    Attributes:
        idle: no worker has begun.
        notes: a line for whatever the user should know of the workers.
    """

    model: ModelSpec
    lam: LambdaSpec
    done: int
    steps: int
    idle: bool = False
    notes: Sequence[str] = ()


OnFit = Callable[[FitProgress], None]


def expand(lambdas: Sequence[LambdaSpec]) -> tuple[LambdaSpec, ...]:
    """Replace "oracle" by the numbers it chooses from; the choice itself is made from their answers, in the records."""
    found: dict[LambdaSpec, None] = {}
    for lam in lambdas:
        numbers = () if lam.fixed is not None else POLICIES[parse_policy(lam.text).name].numbers
        found.update((LambdaSpec(decimal_text(value), lam.scope), None) for value in numbers)
        if not numbers:
            found[lam] = None
    return tuple(found)


def fitted(
    ready: Ready, lambdas: Sequence[LambdaSpec], on_fit: OnFit = lambda progress: None
) -> Callable[[ModelSpec], tuple[LambdaSpec, ...]]:
    """Each model's lambdas: its policies with the hashes of their fits, which the worker is handed.

    Fits are made on training images, or for a policy that says so on the images that are asked. A model that raises in
    one is among `ready.failed` from then on.

    Raises:
        InputError: a policy that cannot be deployed, or no training images for a data set that has none.
    """
    policies = [lam for lam in lambdas if lam.fixed is None]
    if not policies:
        return lambda model: tuple(lambdas)
    with Store(ready.setting.store) as store:
        kept = store.fits(Path(ready.setting.runs))
    training = cache(ready.training_data)  # is loaded once, and only where a policy needs it
    found: dict[tuple[str, LambdaSpec], LambdaSpec] = {}
    for lam in policies:
        for model in (model for model in ready.sound if model.has_lambda):
            data = ready.data if lam.upper_bound else training()
            fitting = Fitting(
                model=model,
                measure=partial(_measured, ready, model, lam, on_fit),
                data=data,
                count=min(ready.setting.calibration_images, len(data)),
                scope=lam.scope,
                batch_size=ready.worker.batch_size,
                kept=kept,
            )
            try:
                policy = deploy(parse_policy(lam.text), fitting)
            except ModelError as error:
                ready.failed[model.name] = str(error)
                continue
            known = found[model.key, lam] = replace(lam, fit=policy.identity())
            ready.worker.policies.setdefault(model.key, {})[known] = policy
    return lambda model: tuple(found.get((model.key, lam), lam) for lam in lambdas)


def _measured(
    ready: Ready,
    model: ModelSpec,
    lam: LambdaSpec,
    on_fit: OnFit,
    ask: Callable[..., T],
    arguments: Sequence[Callable[[], tuple[Any, ...]]],
) -> Iterator[tuple[int, T]]:
    """What a function finds of a network, on the workers of the run; see `lambdas.policy.Measure`.

    Raises:
        ModelError: the model failed; what is left is not asked.
    """
    done, doing = 0, f"while {lam.text} was being fitted"
    on_network = partial(_on_network, ask, model, doing)
    label = f"the fit of {lam.text} for {model.name}"
    jobs = [Job(label=label, models=[model], ask=on_network, arguments=make) for make in arguments]

    def tell() -> None:
        idle = not done and not any(what for _, what in ready.engine.doing)
        on_fit(FitProgress(model, lam, done, len(jobs), idle, ready.engine.notes))

    tell()
    for number, answer in ready.engine.ask(jobs, ready.worker, tell):
        if isinstance(answer, SdnetBenchError):
            raise ModelError(about(model.name, answer)) from answer
        done += 1
        tell()
        yield number, answer


def _on_network(ask: Callable[..., T], model: ModelSpec, doing: str, worker: Worker, *arguments: Any) -> T:
    with named_errors(model.name, doing):
        return ask(worker.model(model), worker.device, *arguments)
