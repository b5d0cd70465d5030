"""The policies by name, without importing torch: what a command line needs before any work starts."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from types import MappingProxyType
from typing import TYPE_CHECKING

from ..errors import InputError, unknown

if TYPE_CHECKING:
    from .calibrated import CalibratedFit
    from .label_free import Reference
    from .policy import Policy

LAMBDAS = tuple(round(0.1 * step, 1) for step in range(1, 15))
"""The published sweep: 0.1 to 1.4 in steps of 0.1."""

POLICIES: Mapping[str, str] = MappingProxyType(
    {
        "fixed": "one number for every image",
        "oracle": "the best number on the test labels, for each corruption and severity: an upper bound",
        "calibrated": "a line in the stem's residual, or by another rule, fitted on corrupted training images",
        "label-free": "a criterion on the image alone: no labels, neither of test nor of training images",
    }
)

CRITERIA: Mapping[str, str] = MappingProxyType(
    {
        "noise": "threshold in proportion to the image's estimated noise level",
        "discrepancy": "raise lambda until the residual has grown by the estimated noise energy",
        "entropy": "the lambda with the most certain prediction",
    }
)
DEFAULT_CRITERION = "discrepancy"

CALIBRATIONS: Mapping[str, str] = MappingProxyType(
    {
        "residual": "the line in the stem's residual that is right most often on corrupted training images",
        "noise": "the same in the image's estimated noise level",
        "published": "a line through the mean residual and the best lambda of every noise level",
    }
)
DEFAULT_CALIBRATION = "residual"


@dataclass(frozen=True, slots=True)
class PolicyName:
    """A policy as the user wrote it, read and checked.

    Attributes:
        name: a key of `POLICIES`.
        value: the number of a fixed policy, else None.
        criterion: of a label-free policy, or the rule of a calibrated one where it is not the usual; else "".
    """

    name: str
    value: float | None = None
    criterion: str = ""

    @property
    def text(self) -> str:
        """How tables name it."""
        if self.value is not None:
            return f"{self.value:g}"
        return f"{self.name}:{self.criterion}" if self.criterion else self.name


def parse_policy(text: str) -> PolicyName:
    """Read "0.3", "fixed:0.3", "oracle", "calibrated[:rule]" or "label-free[:criterion]".

    Raises:
        InputError: an unknown policy or criterion, with the nearest name, or a negative number.
    """
    name, colon, detail = str(text).strip().partition(":")
    number = _number(detail if name == "fixed" else name)
    if number is not None and (name == "fixed" or not colon):
        if not 0 <= number < float("inf"):
            raise InputError(f"lambda must be finite and not negative, got '{text}'.")
        return PolicyName("fixed", value=number)
    if name == "fixed":
        raise InputError(f"A fixed lambda is a number such as 0.3, got '{text}'.")
    if name not in POLICIES:
        raise unknown("lambda policy", name, POLICIES)
    if name == "label-free":
        criterion = detail if colon else DEFAULT_CRITERION
        if criterion not in CRITERIA:
            raise unknown("label-free criterion", criterion, CRITERIA)
        return PolicyName(name, criterion=criterion)
    if name == "calibrated":
        rule = detail if colon else DEFAULT_CALIBRATION
        if rule not in CALIBRATIONS:
            raise unknown("calibration", rule, CALIBRATIONS)
        return PolicyName(name, criterion="" if rule == DEFAULT_CALIBRATION else rule)
    if colon:
        raise InputError(f"Policy '{name}' takes no detail, got '{text}'. Write '{name}'.")
    return PolicyName(name)


def choose(
    text: str,
    *,
    fit: CalibratedFit | None = None,
    reference: Reference | None = None,
    per: str = "sample",
    scope: str = "stem",
) -> Policy:
    """The policy of that name.

    Args:
        text: as `parse_policy` takes it.
        fit: what `calibrate` returned, for "calibrated".
        reference: what the criteria see on clean images without labels, for "label-free".
        per: "sample" or "batch", for "calibrated".
        scope: the layers that lambda will be set on, for "label-free:entropy", which tries some.

    Raises:
        InputError: an unknown name, or a fit or reference that is missing. An oracle has no rule of its
        own: it is
            made from test labels, with `choose_oracle`.
    """
    asked = parse_policy(text)
    if asked.value is not None:
        from .fixed import Fixed

        return Fixed(asked.value)
    if asked.name == "calibrated":
        from .calibrated import Calibrated

        if fit is None:
            raise InputError(
                "Policy 'calibrated' needs a fit on training images: make one with lambdas.calibrate."
            )
        return Calibrated(fit, rule=asked.criterion or DEFAULT_CALIBRATION, per=per)
    if asked.name == "label-free":
        from .label_free import LabelFree

        return LabelFree(asked.criterion, reference=reference, scope=scope)
    raise InputError("Policy 'oracle' needs test labels: make it with lambdas.choose_oracle, per corruption.")


def _number(text: str) -> float | None:
    try:
        return float(text)
    except ValueError:
        return None
