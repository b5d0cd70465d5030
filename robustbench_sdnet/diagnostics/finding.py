"""The table of diagnostics, and the rules that turn a count into pass, warn or fail."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, replace
from types import MappingProxyType

from ..answers.trust import FAIL, NOT_RUN, PASS, WARN, Finding, trust
from ..statistics import exceeds_rare_rate

__all__ = ["DIAGNOSTICS", "Diagnostic", "Finding", "by_count", "by_thresholds", "not_run", "seen_on", "trust"]

TOLERATED = 0.02  # share of samples that more steps or restarts may still break
NOTICED = 0.005  # above this share, say so


@dataclass(frozen=True, slots=True)
class Diagnostic:
    """A row of the table: the question, and whether its check costs at most 20 steps per survivor."""

    question: str
    cheap: bool = False


DIAGNOSTICS: Mapping[str, Diagnostic] = MappingProxyType(
    {
        "randomised": Diagnostic("Do logits differ between calls on the same input?", cheap=True),
        "probabilities": Diagnostic(
            "Does the model return probabilities, so that the loss saturates?", cheap=True
        ),
        "zero_gradient": Diagnostic("Is the input gradient zero or not finite?", cheap=True),
        "test_time_optimisation": Diagnostic("Does the forward pass run autograd?", cheap=True),
        "gradient_free_wins": Diagnostic("Does Square break samples that white-box attacks do not?"),
        "single_step_wins": Diagnostic("Does FGSM break samples that PGD does not?", cheap=True),
        "not_monotone_in_eps": Diagnostic("Does robust accuracy rise with eps?"),
        "unbounded_eps_survives": Diagnostic("Do samples survive a very large eps?"),
        "transfer_wins": Diagnostic(
            "Do perturbations made elsewhere break samples that the direct attack does not?"
        ),
        "noise_wins": Diagnostic("Does random noise break samples that PGD does not?", cheap=True),
        "not_converged": Diagnostic("Do more steps lower accuracy, or is the loss still moving?"),
        "lost_success": Diagnostic("Are samples broken at an earlier step but not at the last one?"),
        "rough_loss": Diagnostic("Is the loss unstable under tiny random perturbations?", cheap=True),
        "losses_disagree": Diagnostic("Do cross-entropy and margin attacks disagree widely?", cheap=True),
        "restart_sensitive": Diagnostic("Do restarts or the step size change the accuracy?"),
        "wrong_gradient": Diagnostic("Do finite differences contradict autograd?", cheap=True),
    }
)


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
