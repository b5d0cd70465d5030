"""From what a user asks to specs: corruptions and attacks with all their parameters."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from decimal import Decimal
from typing import Any

from ..attacks.registry import attack_info, chain as stages_of, check_params
from ..corruptions.registry import corruption_info, expand, size_of
from ..data.registry import check_clean
from ..errors import InputError
from ..reading.numbers import number, seed_of
from ..reading.options import several
from ..specs import (
    NORMS,
    AttackSpec,
    CorruptionSpec,
    Eps,
    LambdaSpec,
    decimal_text,
    params,
    parse_eps_list,
    parse_lambdas,
)
from ..specs.lambdas import SCOPES, check_deployed, check_scope, parse_policy
from ..wording import shown
from .chains import check_warm_start


def corruption_specs(
    names: str | Iterable[str],
    severities: Sequence[int] = (),
    levels: Sequence[Decimal] = (),
    seed: int = 0,
    source: str = "generated",
    table: tuple[str, str] = ("cifar", ""),
    stored: str = "",
) -> list[CorruptionSpec]:
    """Corruptions at every severity, or at every level; see `asked.Asked`.

    Args:
        source: "generated" or "published".
        table: the parameter set behind severities, and the images' size where it was made for another.

    Raises:
        InputError: an unknown name.
    """
    found: list[CorruptionSpec] = []
    seed = seed_of(seed)
    size = size_of(*table)
    for name in expand(names, table[0]):
        info = corruption_info(name)
        own = seed if info.random and source == "generated" else 0
        shared: dict[str, Any] = {
            "name": name,
            "seed": own,
            "version": info.version_at(*size),
            "source": source,
            "stored": stored,
        }
        if levels:
            found.extend(CorruptionSpec(level=decimal_text(level), **shared) for level in levels)
        else:
            if info.family:
                shared |= {"table": table[0], "size": table[1]}
            found.extend(CorruptionSpec(severity=severity, **shared) for severity in severities)
    return found


def budgets(
    name: str, norm: str | None = None, eps: str | float | Eps | Sequence[str | float | Eps] | None = None
) -> tuple[str, tuple[Eps, ...]]:
    """The norm and the budgets that an attack is run at, where the user left one or both open.

    Args:
        norm: None for linf where the attack knows it, else for the first that it knows.
        eps: a number, a comma list, or several; None for no budget where the attack seeks the smallest perturbation,
            else for the norm's usual one.

    Raises:
        InputError: an unknown attack, a norm that it lacks, no budget, or one that has no usual value.
    """
    info = attack_info(name)
    norm = norm or ("linf" if "linf" in info.norms else info.norms[0])
    info.check_norm(norm)
    if eps is None and info.minimal_norm:
        return norm, ()
    wanted = NORMS[norm].eps if eps is None else eps
    if wanted is None:
        raise InputError(f"Attack '{name}' needs --eps: {norm} has no default budget.")
    return norm, parse_eps_list(wanted, norm)


def one_budget(norm: str, eps: str | float | Eps | None, option: str) -> Eps:
    """The one budget, above 0, that a diagnosis is made at; an InputError for none of these."""
    _, found = budgets("pgd", norm, eps)
    if len(found) > 1:
        raise InputError(f"diagnose takes one budget as {option}, got '{eps}'. Run it once for each.")
    if found[0].fraction == 0:
        raise InputError(f"{option} must be above 0, got 0: without a budget there is nothing to diagnose.")
    return found[0]


def one_lambda(lambdas: Sequence[LambdaSpec], option: str) -> LambdaSpec | None:
    """The one number that a diagnosis is made at; an InputError for a policy, or for several."""
    if len(lambdas) > 1 or any(lam.fixed is None for lam in lambdas):
        raise InputError(f"diagnose takes one number as {option}, such as 0.5. Run it once for each.")
    return lambdas[0] if lambdas else None


def lambda_of(lam: float | str | None, scope: str) -> LambdaSpec | None:
    """The same of what Python gives, None for no lambda, whose scope then says nothing."""
    found = lambdas_of(() if lam is None else lam, scope)
    if not found and scope != SCOPES[0]:
        raise InputError("lambda_scope says where lam is set, which is not given. Leave out lambda_scope.")
    return one_lambda(found, "lam")


def lambdas_of(values: Sequence[float | str] | float | str, scope: str) -> tuple[LambdaSpec, ...]:
    """Lambdas as Python gives them: numbers, policies, or a text of them; an InputError for others."""
    check_scope(scope)
    rule = "lambda must be a number"  # and 0.1 + 0.2 is meant as 0.3
    given = (one if isinstance(one, str) else f"{number(str(one), rule):.12g}" for one in several(values))
    return parse_lambdas(text, scope) if (text := ",".join(given)) else ()


def eps_curve(name: str, norm: str | None = None, *, full: int | None = None) -> str:
    """The budgets of `--eps-curve`, as a comma list, in the norm that an attack is run in.

    Args:
        full: the values of an image: go on until any other image is within reach; larger budgets attack the survivors
            of smaller ones, and are free without any.

    Raises:
        InputError: the norm has no such curve.
    """
    norm, _ = budgets(name, norm, "1")
    if not NORMS[norm].curve:
        raise InputError(f"{norm} has no eps curve. Give a list as --eps.")
    return ",".join(NORMS[norm].curve if full is None else NORMS[norm].full_curve(full))


def attack_of(attack: str | Mapping[str, Any], seed: int = 0) -> list[AttackSpec]:
    """An attack as Python gives it, a name or a mapping with name, norm, eps and hyper-parameters, at every budget.

    Raises:
        InputError: neither of these, or as `budgets` and `attack_specs`.
    """
    if not isinstance(attack, str) and not (isinstance(attack, Mapping) and "name" in attack):
        raise InputError(f"An attack is a name, or a mapping with name and eps, got {shown(repr(attack))}.")
    options = {"name": attack} if isinstance(attack, str) else dict(attack)
    name, norm = str(options.pop("name", "")), options.pop("norm", None)
    norm, eps = budgets(name, norm, options.pop("eps", None))
    return attack_specs(name, eps, norm, {key: str(value) for key, value in options.items()}, seed)


def check_attacked(
    attacks: Sequence[AttackSpec],
    lambdas: Sequence[LambdaSpec],
    attack_lambdas: Sequence[LambdaSpec],
    data: str | None,
    warm_start: bool = False,
) -> None:
    """Refuse, with an InputError and before any work, what attacks cannot be asked, and what is of attacks without any.

    Args:
        data: the data set where it is named; a folder of corrupted images is refused.
    """
    if not attacks:
        if attack_lambdas or warm_start:
            name = "attack_lambdas" if attack_lambdas else "warm_start"
            raise InputError(f"{name} is for attacks. Name an attack, or leave it out.")
        return
    for lam in (*lambdas, *attack_lambdas):
        if lam.fixed is None:
            check_deployed(parse_policy(lam.text))
    if warm_start:
        check_warm_start(attacks)
    check_clean(data, "An attack")


def attack_specs(
    name: str,
    budgets: Sequence[Eps],
    norm: str = "linf",
    given: Mapping[str, str] | None = None,
    seed: int = 0,
    chain: str = "",
    apart: bool = False,
) -> list[AttackSpec]:
    """An attack at every budget, with all its hyper-parameters; a chain such as autoattack as its stages.

    Args:
        name: an attack, a chain, `torchattacks:NAME` or `foolbox:NAME`.
        budgets: what eps to attack at; empty only for attacks that take none.
        given: hyper-parameters as texts; the others keep their defaults.
        seed: of the draws.
        chain: set for the stages of a chain.
        apart: of a stage, one of two of its name: what differs from the defaults is shown.

    Raises:
        InputError: an unknown name, norm or hyper-parameter, or a value of the wrong type.
    """
    info, seed = attack_info(name), seed_of(seed)
    info.check_norm(norm)
    chosen = check_params(info, given or {})
    changed = [f"{key}={value}" for key, value in sorted(chosen.items()) if value != info.params.get(key)]
    text = ",".join(changed + ([f"seed={seed}"] if seed else []))
    stages = stages_of(name, chosen, norm)
    if len(stages) > 1:
        whole = f"{name}({text})" if text else name
        count = Counter(stage for stage, _ in stages)
        return [
            spec
            for eps in budgets
            for stage, own in stages
            for spec in attack_specs(
                stage, [eps], norm, {k: str(v) for k, v in own.items()}, seed, whole, count[stage] > 1
            )
        ]
    if not budgets and not info.minimal_norm:
        raise InputError(f"Attack '{name}' needs --eps, such as 8/255.")
    label = text if not chain else ",".join(changed) if apart else ""
    identifying = {
        key: value for key, value in chosen.items() if key not in info.later or value != info.params[key]
    }
    wanted: Sequence[Eps | None] = budgets or [None]
    return [
        AttackSpec(
            name=name,
            eps=eps,
            norm=norm,
            params=params(identifying),
            seed=seed,
            version=info.version + NORMS[norm].version + (norm in info.raised),
            kind=info.kind,
            chain=chain,
            shown=label,
        )
        for eps in wanted
    ]
