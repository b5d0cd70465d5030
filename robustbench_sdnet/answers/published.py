"""The published noise experiment beside ours: SDNet's claim, number by number, and whether it holds in our own models.

Published accuracies belong to other weights: they stand beside ours as information. What is tested is the gain that is
claimed, paired on the same images: of lambda per sample over the training lambda in one model, and of a sparse coding
stem over every plain network of its depth and width at hand. Such an interval is about these weights; where several
networks of an architecture are at hand that over all of them says what another seed would give.
"""

from __future__ import annotations

from collections.abc import Hashable, Iterator
from dataclasses import dataclass
from statistics import fmean
from types import MappingProxyType
from typing import Any

from ..specs import SEVERITIES, LambdaSpec, ModelSpec
from ..specs.lambdas import LINE_PER_NOISE, ON_TEST_LABELS, parse_policy
from ..statistics import CONFIDENCE, wilson
from ..wording import natural
from ..zoo.nets.architectures import CODING_OPTIONS, unusual
from .comparisons import Comparison, compared
from .gathered import Answers, Question, Subject, gather
from .noise_lines import line_per_noise
from .over_networks import OverNetworks, Pair, Severities, Sides, asked_alike, built, kin, over_networks
from .per_image import Right, shared
from .rows import lambda_order, lambda_value
from .snapshot import Snapshot

SOURCE = "Dai et al. 2022 (arXiv:2210.12945) on CIFAR-10-C, mean of five severities, as quoted by later work"
NOISES = ("gaussian_noise", "shot_noise", "speckle_noise", "impulse_noise")
# Names that hold CIFAR-10's, of sets whose images are not its test images.
OTHERS = ("cifar100", "cifar10.1", "cifar10.2", "(train)")
ORIGINS = ("generated", "published")  # CIFAR's own parameters, stored as they are
PER_SAMPLE = f"calibrated:{ON_TEST_LABELS}"
TRAINED = "0.1"
_CLAIMED = MappingProxyType(
    {
        ("resnet18", None): (0.4443, 0.5788, 0.6216, 0.5172),
        ("sdnet18", TRAINED): (0.5058, 0.6329, 0.6711, 0.5413),
        **dict.fromkeys(
            (("sdnet18", PER_SAMPLE), ("sdnet18", LINE_PER_NOISE)), (0.6492, 0.7113, 0.7142, 0.5748)
        ),
    }
)
REPRODUCED, NOT_REPRODUCED = "reproduced", "not reproduced"
SOME_GAIN, CANNOT_TELL = "some gain", "cannot tell"
# Whatever the true gain is, one end alone can make its verdict false, in 1.25 % of cases: of four noises in 5 %.
VERDICT_CONFIDENCE = 1 - 2 * (1 - CONFIDENCE) / len(NOISES)


@dataclass(frozen=True, slots=True, kw_only=True)
class Beside:
    """A model at a lambda under one noise, mean over the five severities.

    Attributes:
        origin: where the images come from, as `Question.origin`.
        accuracy, low, high: ours, with a 95 % interval over images.
        published: the number in the paper for this architecture, as it builds it, at this lambda on CIFAR-10, or None.
    """

    subject: Subject
    data: str
    origin: str
    noise: str
    n: int
    accuracy: float
    low: float
    high: float
    published: float | None

    def record(self) -> dict[str, Any]:
        """As one flat dictionary."""
        model, lam = self.subject.model.name, self.subject.lam
        told: dict[str, Any] = {"model": model, "data": self.data, "origin": self.origin}
        told |= {"noise": self.noise, "lambda": lambda_value(lam)}
        told |= {key: getattr(self, key) for key in ("n", "accuracy", "low", "high", "published")}
        told["upper_bound"] = lam is not None and lam.upper_bound  # lambda was chosen on test labels
        return {**told, "source": SOURCE if self.published is not None else ""}


@dataclass(frozen=True, slots=True, kw_only=True)
class Claim:
    """A published gain under one noise, and ours.

    Attributes:
        found: ours on the same images, or over several networks, with an interval of `VERDICT_CONFIDENCE`.
        published: the gain in the paper, of SDNet-18 on CIFAR-10.
        summed: whether it is of networks that a claim over several counts too.
    """

    noise: str
    found: Comparison | OverNetworks
    published: float
    summed: bool = False

    @property
    def verdict(self) -> str:
        """Where the interval lies: at or above half of the published gain, below it, else above 0, or neither."""
        half = self.published / 2
        if self.found.high < half:
            return NOT_REPRODUCED
        if self.found.low >= half:
            return REPRODUCED
        return SOME_GAIN if self.found.low > 0 else CANNOT_TELL

    def record(self) -> dict[str, Any]:
        """As one flat dictionary."""
        told = {key: value for key, value in self.found.record().items() if key not in _UNASKED}
        told |= {"confidence": round(VERDICT_CONFIDENCE, 6), "published_gain": self.published}
        return {**told, "verdict": self.verdict}


_UNASKED = ("p_corrected", "better")  # a verdict rests on the interval alone


@dataclass(frozen=True, slots=True)
class Published:
    """The whole experiment: every number beside the paper's, what is claimed, and the same over several networks."""

    numbers: tuple[Beside, ...] = ()
    claims: tuple[Claim, ...] = ()
    over_networks: tuple[Claim, ...] = ()

    def records(self) -> list[dict[str, Any]]:
        """Numbers, then claims, then those over networks, as flat dictionaries."""
        claims = (*self.claims, *self.over_networks)
        return [*(one.record() for one in self.numbers), *(one.record() for one in claims)]


def published(store: Snapshot) -> Published:
    """The experiment as far as a store holds it; empty where no model was asked by the published line."""
    if not any(_is_per_sample(one.cell.lam) for one in store.exact):
        return Published()
    numbers: list[Beside] = []
    claims: list[Claim] = []
    over: list[Claim] = []
    answers = gather(store)
    for question, subject, right in line_per_noise(store.standing):
        answers[question][subject] = right
    for sides in _experiments(answers):
        numbers += [_beside(subject, noise, every) for (noise, subject), every in sides.items()]
        pairs = dict(_claimed(sides))
        summed = set[Hashable]()
        for found in over_networks(sides, pairs, NOISES, VERDICT_CONFIDENCE):
            noise = found.question.corruption
            gain = pairs[found.a, found.b][NOISES.index(noise)]
            over.append(Claim(noise=noise, found=found, published=gain))
            summed.add(kin((found.a, found.b)))
        for pair, gains in pairs.items():
            claims += _claim(sides, pair, gains, summed=kin(pair) in summed)
    return Published(tuple(numbers), tuple(claims), tuple(over))


Gains = tuple[float, ...]  # the published ones, a noise each


def _experiments(answers: Answers) -> Iterator[Sides]:
    """By data set, origin and seed: each noise and subject with all five severities, where anyone has that line."""
    places: dict[tuple[str, str, str], dict[tuple[str, Subject], dict[Question, Right]]] = {}
    for question, found in answers.items():
        if question.corruption in NOISES and question.severity in SEVERITIES:
            place = places.setdefault((question.data, question.content, question.origin), {})
            for subject, right in found.items():
                place.setdefault((question.corruption, subject), {})[question] = right
    for place in places.values():
        whole = {
            key: every
            for key, every in place.items()
            if len(every) == len(SEVERITIES) and len(shared(every.values()))
        }
        if any(_is_per_sample(subject.lam) for _, subject in whole):
            yield dict(sorted(whole.items(), key=_order))


def _order(side: tuple[tuple[str, Subject], Severities]) -> tuple[Any, ...]:
    (noise, subject), _ = side
    return natural(subject.model.name), subject.model.key, lambda_order(subject.lam), NOISES.index(noise)


def _is_per_sample(lam: LambdaSpec | None) -> bool:
    return lam is not None and (lam.text, lam.scope) == (PER_SAMPLE, "stem")


def _is_line(lam: LambdaSpec) -> bool:
    """Whether lambda is read from a line, and set on the stem: what the paper claims a gain of."""
    if lam.scope != "stem":
        return False
    return lam.text == LINE_PER_NOISE or parse_policy(lam.text).name == "calibrated"


def _beside(subject: Subject, noise: str, every: Severities) -> Beside:
    question, lam = next(iter(every)), subject.lam
    ids = shared(every.values())
    intervals = [wilson(float(right.at(ids).sum()), len(ids)) for right in every.values()]
    row = None
    here = "cifar10" in question.data and not any(other in question.data for other in OTHERS)
    if here and question.source in ORIGINS and (lam is None or lam.scope == "stem"):
        row = _CLAIMED.get((built(subject.model), None if lam is None else lam.text))
    return Beside(
        subject=subject,
        data=question.data,
        origin=question.origin,
        noise=noise,
        n=len(ids),
        accuracy=fmean(right.at(ids).mean() for right in every.values()),
        low=fmean(low for low, _ in intervals),
        high=fmean(high for _, high in intervals),
        published=row and row[NOISES.index(noise)],
    )


def _claimed(sides: Sides) -> Iterator[tuple[Pair, Gains]]:
    """Lambda per sample over the training lambda of one model, then a sparse stem over its plain relative."""
    subjects = list(dict.fromkeys(subject for _, subject in sides))
    trained = [subject for subject in subjects if subject.is_default]
    per_sample = _gain(("sdnet18", PER_SAMPLE), ("sdnet18", TRAINED))
    for base in trained:
        for one in subjects:
            if one.model == base.model and one.lam and _is_line(one.lam):
                yield (one, base), per_sample
    for one in trained:
        for base in trained:
            plain = one.model.arch.replace("sdnet", "resnet")
            if one.model.arch != base.model.arch == plain and _body(one.model) == _body(base.model):
                yield (one, base), _gain(("sdnet18", TRAINED), ("resnet18", None))


def _body(model: ModelSpec) -> dict[str, Any]:
    """How a network is built otherwise than its architecture, but for its sparse layers: width, kind of stem, ..."""
    found = unusual(model.arch, dict(model.options))
    return {name: value for name, value in found.items() if name not in CODING_OPTIONS}


def _gain(better: tuple[str, str | None], base: tuple[str, str | None]) -> Gains:
    return tuple(round(a - b, 4) for a, b in zip(_CLAIMED[better], _CLAIMED[base], strict=True))


def _claim(sides: Sides, pair: Pair, gains: Gains, *, summed: bool) -> Iterator[Claim]:
    """One claim under each noise that both sides were asked."""
    for noise, gain in zip(NOISES, gains, strict=True):
        if alike := asked_alike(sides, noise, pair):
            question, (ours, theirs) = alike
            both = [(ours[each], theirs[each]) for each in ours]
            found = compared(question, pair, both, VERDICT_CONFIDENCE)
            if found.n:
                yield Claim(noise=noise, found=found, published=gain, summed=summed)
