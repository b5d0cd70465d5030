"""The diagnostics by name, and the rules that turn a count into pass, warn or fail."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from types import MappingProxyType

from ..answers.trust import FAIL, NOT_RUN, PASS, WARN, Finding, trust
from ..statistics import exceeds_rare_rate

__all__ = ["DIAGNOSTICS", "Finding", "by_count", "by_thresholds", "not_run", "seen_on", "trust"]

TOLERATED = 0.02  # share of samples that more steps or restarts may still break
NOTICED = 0.005  # above this share, say so


DIAGNOSTICS: Mapping[str, str] = MappingProxyType(
    {
        "randomised": "Do logits differ between calls on the same input?",
        "probabilities": "Does the model return probabilities, so that the loss saturates?",
        "zero_gradient": "Is the input gradient zero or not finite?",
        "test_time_optimisation": "Does the forward pass run autograd?",
        "gradient_free_wins": "Does Square break samples that white-box attacks do not?",
        "single_step_wins": "Does FGSM break samples that PGD does not?",
        "not_monotone_in_eps": "Does robust accuracy rise with eps?",
        "unbounded_eps_survives": "Do samples survive a very large eps?",
        "transfer_wins": "Do perturbations made elsewhere break samples that the direct attack does not?",
        "noise_wins": "Does random noise break samples that PGD does not?",
        "not_converged": "Do more steps lower accuracy, or is the loss still moving?",
        "lost_success": "Are samples broken at an earlier step but not at the last one?",
        "rough_loss": "Is the loss unstable under tiny random perturbations?",
        "losses_disagree": "Do cross-entropy and margin attacks disagree widely?",
        "restart_sensitive": "Do restarts or the step size change the accuracy?",
        "wrong_gradient": "Do finite differences contradict autograd?",
    }
)
"""The checks in the order they are printed, each with the question it answers."""


def not_run(check: str, why: str) -> Finding:
    """A check that could not be made, with its reason."""
    return Finding(check, NOT_RUN, None, why)


def seen_on(images: int, *verdicts: Finding) -> list[Finding]:
    """The verdicts with the number of images they are about; those that were not run have none."""
    return [found if found.verdict == NOT_RUN else replace(found, images=images) for found in verdicts]


def by_thresholds(check: str, value: float, sentence: str, *, warn: float, fail: float) -> Finding:
    """Grade a number by two thresholds: fail above `fail`, warn above `warn`."""
    return Finding(check, FAIL if value > fail else WARN if value > warn else PASS, value, sentence)


def by_count(check: str, count: int, n: int, sentence: str, *, tolerated: float, noticed: float) -> Finding:
    """Grade a count by exact binomial tests at 1 %: fail when it is too many for a rate of `tolerated`.

    Args:
        count: samples that speak against the attack, of `n`.
        tolerated: fail when the test rejects this rate, from three samples on.
        noticed: warn when it rejects this one.
    """
    fails, warns = (exceeds_rare_rate(count, n, rate=rate) for rate in (tolerated, noticed))
    return Finding(check, FAIL if fails else WARN if warns else PASS, float(count), sentence)
