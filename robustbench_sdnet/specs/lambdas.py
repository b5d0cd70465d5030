"""How lambda is chosen at test time: a number or a policy by its name, read without importing torch."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from types import MappingProxyType

from ..errors import InputError, unknown
from .ranges import decimal_text, parse_numbers, parts

LAMBDAS = tuple(round(0.1 * step, 1) for step in range(1, 15))
"""The published sweep: 0.1 to 1.4 in steps of 0.1."""

SCOPES = ("stem", "all")
"""The CSC layers that lambda is set on: the first, which is the published protocol, or every one."""

PUBLISHED_LEVELS: Mapping[str, tuple[float, ...]] = MappingProxyType(
    {
        "gaussian_noise": tuple(round(0.02 * k, 2) for k in range(1, 11)),
        "shot_noise": tuple(float(60 - 6 * k) for k in range(10)),
        "speckle_noise": tuple(round(0.1 * k, 1) for k in range(1, 7)),
        "salt_and_pepper": tuple(round(0.03 * k, 2) for k in range(1, 10)),
    }
)
"""The published noise levels, in the units of `corruptions.corrupt(level=...)`."""

CRITERIA = ("noise", "discrepancy", "entropy")
"""By which lambda is chosen without labels: `lambdas.label_free`."""

CALIBRATIONS = ("residual", "noise", "published", "test-labels")
"""The rules that draw the line of a calibration: `lambdas.calibrated`."""

DEFAULT_CALIBRATION = "residual"
ON_TEST_LABELS = "test-labels"
LINE_PER_NOISE = "line-per-noise"
"""How results name lambda by a line for each noise (`answers.noise_lines`): chosen from answers, never deployed."""


@dataclass(frozen=True, slots=True, kw_only=True)
class PolicyRow:
    """A policy before any work: how it is written, and where it is.

    Attributes:
        home: the module of `lambdas` whose `deploy` fits it for a model; empty where there is no rule to deploy.
        details: what may follow its name and a colon.
        usual: the detail that is meant without one; tables leave it out if `silent`.
        noun: what a detail is called.
        numbers: asked in its place, where it is a choice among their answers.
    """

    home: str = ""
    details: tuple[str, ...] = ()
    usual: str = ""
    silent: bool = False
    noun: str = ""
    numbers: tuple[float, ...] = ()


POLICIES: Mapping[str, PolicyRow] = MappingProxyType(
    {
        "fixed": PolicyRow(),
        "oracle": PolicyRow(numbers=LAMBDAS),
        "calibrated": PolicyRow(
            home="calibration",
            details=CALIBRATIONS,
            usual=DEFAULT_CALIBRATION,
            silent=True,
            noun="calibration",
        ),
        "label-free": PolicyRow(
            home="label_free",
            details=CRITERIA,
            usual="discrepancy",
            noun="label-free criterion",
        ),
    }
)

CHOOSING = tuple(name for name in POLICIES if name != "fixed")
"""The policies that choose a lambda."""

DEPLOYED = tuple(name for name, row in POLICIES.items() if row.home)
"""Those of them with a rule to deploy, which attacks can look through."""


@dataclass(frozen=True, slots=True)
class PolicyName:
    """A policy as the user wrote it: a key of `POLICIES`, the number of a fixed one, and what of `details` is meant."""

    name: str
    value: float | None = None
    detail: str = ""

    @property
    def text(self) -> str:
        """How tables name it."""
        if self.value is not None:
            return decimal_text(self.value)
        row = POLICIES[self.name]
        unsaid = not self.detail or (row.silent and self.detail == row.usual)
        return self.name if unsaid else f"{self.name}:{self.detail}"


def parse_policy(text: str) -> PolicyName:
    """Read "0.3", "fixed:0.3", or a policy with its detail, such as "label-free:entropy"; else an InputError."""
    name, colon, detail = str(text).strip().partition(":")
    number = _number(detail if name == "fixed" else name)
    if number is not None and (name == "fixed" or not colon):
        if not 0 <= number < float("inf"):
            raise InputError(f"lambda must be finite and not negative, got '{text}'.")
        return PolicyName("fixed", value=number)
    if name == "fixed":
        raise InputError(f"A fixed lambda is a number such as 0.3, got '{text}'.")
    if name not in POLICIES:
        raise unknown("lambda policy", name, ["NUMBER", *CHOOSING])
    row = POLICIES[name]
    if colon and not row.details:
        raise InputError(f"Policy '{name}' takes no detail, got '{text}'. Write '{name}'.")
    chosen = detail if colon else row.usual
    if row.details and chosen not in row.details:
        raise unknown(row.noun, chosen, row.details)
    return PolicyName(name, detail=chosen)


def check_deployed(asked: PolicyName) -> None:
    """Refuse a policy that is no rule, only a choice among answers, with an InputError."""
    if not POLICIES[asked.name].home:
        raise InputError(f"Lambda policy '{asked.text}' has no rule to deploy. Take {' or '.join(DEPLOYED)}.")


def is_upper_bound(text: str) -> bool:
    """Whether a policy, as records name it, is chosen on test labels, so that its accuracy is no result."""
    return text.partition(" ")[0].rpartition(":")[2] in ("oracle", ON_TEST_LABELS, LINE_PER_NOISE)


def policy_shown(text: str) -> str:
    """A policy as readers see it: one that is chosen on test labels says so.

    The best number in hindsight bounds every one number, but no choice image by image.
    """
    if not is_upper_bound(text):
        return text
    best = text.partition(" ")[0].endswith("oracle")
    return f"{text} ({'best number' if best else 'drawn'} on test labels)"


def _number(text: str) -> float | None:
    try:
        return float(text)
    except ValueError:
        return None


def check_scope(scope: str) -> None:
    """Refuse what is none of `SCOPES` with an InputError."""
    if scope not in SCOPES:
        raise InputError(f"lambda scope must be 'stem' or 'all', got '{scope}'.")


@dataclass(frozen=True, slots=True)
class LambdaSpec:
    """How lambda is chosen at test time: a fixed number, or a policy that looks at the input.

    Attributes:
        text: a decimal ("0.3") or a policy ("calibrated", "label-free:entropy").
        scope: "stem" (the first CSC layer, the published protocol) or "all".
        fit: the hash of a policy's fitted parameters, where it has any.
    """

    text: str
    scope: str = "stem"
    fit: str = ""

    def __post_init__(self) -> None:
        check_scope(self.scope)

    @property
    def fixed(self) -> float | None:
        """The number, or None for a policy."""
        return None if self.text[:1].isalpha() else float(self.text)

    @property
    def upper_bound(self) -> bool:
        """Whether it was chosen on the test labels, so that its accuracy is no result: nobody can deploy it."""
        return is_upper_bound(self.text)


def parse_lambdas(text: str, scope: str = "stem") -> tuple[LambdaSpec, ...]:
    """Read "0.1", a range "0.1:1.4:0.1", a policy ("label-free:entropy", "oracle"), or a list; else an InputError."""
    found: dict[LambdaSpec, None] = {}
    for part in parts(text, "lambda"):
        if part[:1].isalpha():
            found[LambdaSpec(parse_policy(part).text, scope)] = None
        else:
            for value in parse_numbers(part, "lambda"):
                found[LambdaSpec(decimal_text(value), scope)] = None
    return tuple(found)
