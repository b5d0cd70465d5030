"""The word beside an accuracy: may it be trusted? One rule, over what diagnostics found and the sign that is free."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass

from ..attacks.engine.result import stands_still

PASS, WARN, FAIL, NOT_RUN = "pass", "warn", "fail", "not_run"
TRUSTED, UNTRUSTED, UNCHECKED = "trusted", "untrusted", "unchecked"
DOUBTED = (UNCHECKED, TRUSTED, UNTRUSTED)  # the last of equal answers stands


@dataclass(frozen=True, slots=True)
class Finding:
    """The answer of one check.

    Attributes:
        check: its id, a key of `diagnostics.DIAGNOSTICS`.
        verdict: pass, warn, fail or not_run; a fail marks the accuracy untrusted.
        value: the number behind it; None when it was not run.
        sentence: what that number means, in words.
        images: how many it looked at; None when it was not run.
    """

    check: str
    verdict: str
    value: float | None
    sentence: str
    images: int | None = None


def trust(findings: Iterable[Finding], gradients: int = 0, silent: int = 0) -> str:
    """Untrusted after a fail, trusted after checks that ran, else unchecked.

    Args:
        findings: of the diagnostics; empty where none were asked for.
        gradients, silent: samples whose first gradient the attack and those it goes on from looked at, and those of
            them where it was zero or not finite: a sign that can only cast doubt.
    """
    found = {finding.verdict for finding in findings}
    if FAIL in found or stands_still(gradients, silent):
        return UNTRUSTED
    return TRUSTED if found & {PASS, WARN} else UNCHECKED


def doubt(direct: Iterable[str]) -> bool:
    """Whether a worst case is untrusted, by the verdicts of the attacks made at the deployed lambda: one is, and none
    was found sound."""
    found = set(direct)
    return UNTRUSTED in found and TRUSTED not in found
