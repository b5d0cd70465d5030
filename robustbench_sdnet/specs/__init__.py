"""What identifies a question: frozen records of model, data, perturbation and lambda, and the cell they form.

Equal cells give equal answers, so a cell's id is the hash of everything that can change its answer and of nothing
else: names and texts that only a reader sees (`name`, the spelling of eps) stay out of it.
"""

# mypy: implicit-reexport
# ruff: noqa: F401  the room hands out what it imports

from __future__ import annotations

from .budgets import BUDGETED, NORMS, Eps, norm_facts, parse_eps_list
from .cell import DEFAULT_STORE, Cell
from .lambdas import LambdaSpec, parse_lambdas, parse_policy
from .models import DRAWS, PROTOCOLS, DataSpec, ModelSpec, Params, Repeats, canonical, params
from .perturbations import CLEAN, AttackSpec, CorruptionSpec, Perturbation, SequenceSpec
from .ranges import (
    SEVERITIES,
    decimal_text,
    parse_depths,
    parse_difficulties,
    parse_numbers,
    parse_severities,
)
