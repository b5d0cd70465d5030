"""The whole question in one plan: does another lambda help under noise, and against an adversary who knows it?

Noises at several severities, at fixed numbers and by policies; PGD at every lambda, evaluated at every lambda; Square
and random noise at every lambda. Or the published experiment alone: the noises at its levels too, and no attack.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from types import MappingProxyType
from typing import Any

from ..errors import InputError, unknown
from ..specs import BUDGETED, SEVERITIES, LambdaSpec, ModelSpec, parse_lambdas
from ..specs.lambdas import PUBLISHED_LEVELS, SCOPES, check_scope

NOISES = "noise"


@dataclass(frozen=True, slots=True, kw_only=True)
class Budget:
    """How much a study looks at.

    Attributes:
        images, attacked: test images under noise, and under attack.
        numbers, attack_numbers: the fixed lambdas of both; each model's training lambda is added.
        queries: of Square, for each image.
        calibration: training images that a policy is fitted on.
        warm_start: PGD at each lambda also begins at its neighbour's perturbations.
        cheap: only the diagnostics that cost at most 20 steps a survivor.
        policies: what else chooses lambda.
        levels: of noises, asked beside the severities.
    """

    images: int
    attacked: int = 0
    severities: tuple[int, ...]
    numbers: str
    attack_numbers: str = ""
    steps: int = 0
    queries: int = 0
    calibration: int
    warm_start: bool = False
    cheap: bool = True
    policies: str = "calibrated,label-free"
    levels: Mapping[str, tuple[float, ...]] = field(default_factory=dict)


NAMES = ("small", "standard", "full")
_BUDGETS: Mapping[str, tuple[Any, Any, Any]] = {
    "images": (200, 1000, 10_000),
    "attacked": (100, 500, 1000),
    "severities": ((1, 3, 5), (1, 2, 3, 4, 5), (1, 2, 3, 4, 5)),
    "numbers": ("0.1:0.7:0.2", "0.1:1.3:0.2", "0.1:1.4:0.1"),
    "attack_numbers": ("0.1,0.3,0.7", "0.1:0.7:0.2,1.3", "0.1:1.3:0.2"),
    "steps": (20, 40, 100),
    "queries": (200, 1000, 5000),
    "calibration": (40, 200, 200),
    "warm_start": (False, True, True),
    "cheap": (True, True, False),
}
BUDGETS: Mapping[str, Budget] = MappingProxyType(
    {name: Budget(**{key: row[k] for key, row in _BUDGETS.items()}) for k, name in enumerate(NAMES)}
)

PROTOCOLS: Mapping[str, Budget] = MappingProxyType(
    {
        "published": Budget(
            images=10_000,
            severities=SEVERITIES,
            numbers="0.1:1.4:0.1",
            calibration=200,
            policies="oracle,calibrated,calibrated:published,calibrated:test-labels",
            levels=PUBLISHED_LEVELS,
        )
    }
)
"""Experiments of papers: `published` is the noise experiment of SDNet's (Dai et al. 2022, section 4.3)."""


SAID: Mapping[str, str | None] = MappingProxyType(
    {"budget": NAMES[0], "eps": None, "norm": BUDGETED[0], "lambda_scope": SCOPES[0]}
)
"""What else may be said of a study, and what is meant where it is not; a protocol says all of it."""


def budget_named(name: str, protocol: str | None = None, **asked: object) -> Budget:
    """The budget of that name, or what a paper's protocol takes in its place.

    Args:
        asked: what a user may say of a study without a protocol, by the names in `SAID`.

    Raises:
        InputError: an unknown name (the nearest is named), an unknown scope of lambda, or anything said beside a
            protocol.
    """
    check_scope(str(asked.get("lambda_scope", SCOPES[0])))
    known, what, wanted = (BUDGETS, "budget", name) if protocol is None else (PROTOCOLS, "protocol", protocol)
    if wanted not in known:
        raise unknown(what, wanted, known)
    for option, usual in (SAID if protocol is not None else {}).items():
        if {"budget": name, **asked}.get(option, usual) != usual:
            raise InputError(f"A protocol fixes what it measures. Leave out {option}.")
    return known[wanted]


def lambdas(
    models: Sequence[ModelSpec], numbers: str, policies: str, scope: str = "stem"
) -> tuple[LambdaSpec, ...]:
    """The fixed numbers with every model's training lambda among them, in order, then the policies."""
    trained = [model.default_lambda for model in models if model.default_lambda]
    fixed = dict.fromkeys([*trained, *parse_lambdas(numbers, scope)])
    return (*sorted(fixed, key=lambda lam: lam.fixed or 0.0), *parse_lambdas(policies, scope))
