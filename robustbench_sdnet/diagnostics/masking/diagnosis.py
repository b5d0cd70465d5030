"""All checks of one model on some images, in the order of the table."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace

import torch
from torch import Tensor, nn

from ...answers.trust import FAIL, Finding
from ...attacks.engine.balls import ball
from ...attacks.engine.batches import usual_batch
from ...attacks.engine.guards import frozen, tracked
from ...attacks.engine.losses import negative_margin
from ...attacks.native.wrapper import checked, checked_eps
from ...devices import full_float32
from ...errors import InputError
from ...specs import BUDGETED
from ..finding import DIAGNOSTICS, not_run, seen_on
from . import with_attack, without_attack
from .subject import STEPS, Subject, follow

_CHEAP_SAMPLES = 100


@full_float32()
@torch.inference_mode(False)
def diagnose(
    model: nn.Module,
    images: Tensor,
    labels: Tensor,
    *,
    eps: float,
    norm: str = "linf",
    seed: int = 0,
    cheap: bool = False,
    survivors: Tensor | None = None,
    model_at: Callable[[float], nn.Module] | None = None,
    lambdas: Sequence[float] = (),
    others: Mapping[str, nn.Module] | None = None,
    sample_ids: Tensor | None = None,
    batch_size: int | None = None,
    queries: int = 200,
) -> list[Finding]:
    """Does an attack at this budget measure the model, or is it held back?

    Args:
        model: maps images in [0, 1] to logits, at the deployed lambda; left as it is.
        images, labels: (n, c, h, w) float32 in [0, 1], and (n,) int64.
        eps, norm: the tested budget, above 0.
        seed: seed of every random start, draw and direction.
        cheap: only the checks that cost at most 20 steps per survivor; the others say not_run.
        survivors: (n,) bool, robust under the attacks on trial; None attacks here, with PGD of 20 steps.
        model_at, lambdas: the model at another lambda as a module of its own, and where to transfer from.
        others: other models to transfer from, by name.
        sample_ids: (n,) int64 that key the draws; None numbers the samples.
        batch_size: at most this many at once; None as in `pgd`.
        queries: queries of the gradient-free attack per survivor.

    Returns:
        One verdict for each row of `DIAGNOSTICS`, in its order.

    Raises:
        InputError: an argument is out of range, there are no images, or one of `others` lacks classes.
        ModelError: the model raised or returned logits that are not finite.
    """
    _check(len(images), eps, norm)
    images, labels, ids = checked(
        images, labels, eps=eps, norm=norm, sample_ids=sample_ids, batch_size=batch_size
    )
    subject = Subject(
        model=tracked(model),
        images=images,
        labels=labels,
        ids=ids,
        eps=eps,
        norm=norm,
        seed=seed,
        batch_size=batch_size or usual_batch(images),
        survivors=survivors,
    )
    sources = {} if model_at is None else {f"lambda {value:g}": model_at(value) for value in lambdas}
    sources |= others or {}
    with frozen(subject.model):
        findings = _findings(subject, sources, cheap=cheap, queries=queries)
    return _with_reason(findings, "Not among the cheap checks; `sdnet-bench diagnose` runs them all.")


def _check(images: int, eps: float, norm: str) -> None:
    if not checked_eps(eps) > 0:
        raise InputError(f"Diagnostics need an eps above 0, got {eps}.")
    if images == 0:
        raise InputError("Diagnostics need at least one image, got none.")
    ball(norm, BUDGETED)


def _check_sources(sources: Mapping[str, nn.Module], subject: Subject) -> None:
    """Refuse, with an InputError, a model to transfer from that lacks some of the classes."""
    for name, source in sources.items():
        with frozen(source):
            classes = replace(subject, model=source).predict(subject.images[:1]).shape[1]
        if (last := int(subject.labels.max())) >= classes:
            raise InputError(
                f"Labels go up to {last}, but {name} returns {classes} classes: nothing transfers from it. "
                "Leave it out."
            )


def _findings(
    subject: Subject, sources: Mapping[str, nn.Module], *, cheap: bool, queries: int
) -> list[Finding]:
    randomised = without_attack.randomised(subject)
    _check_sources(sources, subject)
    findings = [
        *seen_on(len(subject), randomised, without_attack.probabilities(subject)),
        *seen_on(1, without_attack.test_time_optimisation(subject)),
        *_smooth(subject, randomised),
    ]
    subject = subject.take(subject.right())
    if len(subject) == 0:
        return _with_reason(
            findings, "The model classifies none of these images correctly, so there is nothing to attack."
        )
    # A wrong image's DLR can be constant by construction, so only right ones are asked for a gradient.
    findings += seen_on(len(subject), without_attack.zero_gradient(subject))
    if randomised.verdict == FAIL:
        return _with_reason(
            findings, "The model is randomised, so fresh draws break some of what any attack left."
        )
    return [*findings, *(_cheap_attacks(subject) if cheap else _all_attacks(subject, sources, queries))]


def _with_reason(findings: list[Finding], why: str) -> list[Finding]:
    """A finding of every check, in the order of `DIAGNOSTICS`; of those that were not run it says why."""
    by_check = {finding.check: finding for finding in findings}
    return [by_check.get(check) or not_run(check, why) for check in DIAGNOSTICS]


def _smooth(subject: Subject, randomised: Finding) -> list[Finding]:
    """Whether the gradient says how the loss moves, in float64; not run of a model that is randomised or cannot."""
    exact, why = None, "The model is randomised, so differences between calls say nothing."
    if randomised.verdict != FAIL:
        exact, why = without_attack.in_float64(subject), "The model does not work in float64."
    if exact is None:
        return [not_run(check, why) for check in ("rough_loss", "wrong_gradient")]
    return seen_on(len(exact), without_attack.rough_loss(exact), without_attack.wrong_gradient(exact))


def _cheap_attacks(subject: Subject) -> list[Finding]:
    few = subject.take(torch.arange(min(_CHEAP_SAMPLES, len(subject)), device=subject.labels.device))
    survivors = ~follow(few).broken() if few.survivors is None else few.survivors
    return seen_on(
        len(few),
        with_attack.single_step_wins(few, survivors),
        with_attack.noise_wins(few, survivors),
        with_attack.margin_breaks(few, survivors, _by_margin(few, survivors)),
    )


def _all_attacks(subject: Subject, sources: Mapping[str, nn.Module], queries: int) -> list[Finding]:
    trace = follow(subject, steps=2 * STEPS, leave=False)
    by_entropy = trace.broken(STEPS)  # (n,) bool, as all below
    on_trial = subject.survivors
    if on_trial is None:
        by_margin = _by_margin(subject, torch.ones_like(by_entropy))
        left_by_pgd = ~trace.broken()
        left_by_all = left_by_pgd & ~by_margin
        first_run = by_entropy
        converged = with_attack.not_converged(trace)
        losses = with_attack.losses_disagree(subject, by_entropy, by_margin)
    else:  # an attack on trial may be better than these: then they speak only of what it left
        by_margin = _by_margin(subject, on_trial)
        left_by_pgd = left_by_all = on_trial
        first_run = ~on_trial
        converged = with_attack.steps_break(trace, on_trial)
        losses = with_attack.margin_breaks(subject, on_trial, by_margin)
    return seen_on(
        len(subject),
        with_attack.gradient_free_wins(subject, left_by_all, queries),
        with_attack.single_step_wins(subject, left_by_pgd),
        with_attack.not_monotone_in_eps(subject, ~by_entropy),
        with_attack.unbounded_eps_survives(subject),
        with_attack.transfer_wins(subject, left_by_all, sources),
        with_attack.noise_wins(subject, left_by_pgd),
        converged,
        with_attack.lost_success(trace, on_trial),
        losses,
        with_attack.restart_sensitive(subject, first_run),
    )


def _by_margin(subject: Subject, attacked: Tensor) -> Tensor:
    """(n,) bool: broken by PGD on the margin, of the samples that are `attacked`, (n,) bool."""
    broken = torch.zeros_like(attacked)
    if attacked.any():
        broken[attacked] = follow(subject.take(attacked), negative_margin).broken()
    return broken
