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
# Accuracies of the paper by architecture and lambda, under each of `NOISES`.
_PAPER = MappingProxyType(
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
class MeanAccuracy:
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
        return {
            "model": model,
            "data": self.data,
            "origin": self.origin,
            "noise": self.noise,
            "lambda": lambda_value(lam),
            "n": self.n,
            "accuracy": self.accuracy,
            "low": self.low,
            "high": self.high,
            "published": self.published,
            "upper_bound": lam is not None and lam.upper_bound,  # lambda was chosen on test labels
            "source": SOURCE if self.published is not None else "",
        }


@dataclass(frozen=True, slots=True, kw_only=True)
class Claim:
    """A published gain under one noise, and ours.

    Attributes:
        ours: the gain on the same images, or over several networks, with an interval of `VERDICT_CONFIDENCE`.
        published: the gain in the paper, of SDNet-18 on CIFAR-10, as a share.
        summed: whether it is of networks that a claim over several counts too.
    """

    noise: str
    ours: Comparison | OverNetworks
    published: float
    summed: bool = False

    @property
    def verdict(self) -> str:
        """Where the interval lies: at or above half of the published gain, below it, else above 0, or neither."""
        half = self.published / 2
        if self.ours.high < half:
            return NOT_REPRODUCED
        if self.ours.low >= half:
            return REPRODUCED
        return SOME_GAIN if self.ours.low > 0 else CANNOT_TELL

    def record(self) -> dict[str, Any]:
        """As one flat dictionary."""
        record = {key: value for key, value in self.ours.record().items() if key not in _LEFT_OUT}
        record |= {"confidence": round(VERDICT_CONFIDENCE, 6), "published_gain": self.published}
        return {**record, "verdict": self.verdict}


_LEFT_OUT = ("p_corrected", "better")  # a verdict rests on the interval alone


@dataclass(frozen=True, slots=True)
class Published:
    """The whole experiment: every number beside the paper's, what is claimed, and the same over several networks."""

    numbers: tuple[MeanAccuracy, ...] = ()
    claims: tuple[Claim, ...] = ()
    over_networks: tuple[Claim, ...] = ()

    def records(self) -> list[dict[str, Any]]:
        """Numbers, then claims, then those over networks, as flat dictionaries."""
        claims = (*self.claims, *self.over_networks)
        return [*(one.record() for one in self.numbers), *(one.record() for one in claims)]


def published(store: Snapshot) -> Published:
    """The experiment as far as a store holds it; empty where no model was asked by the published line."""
    if not any(_is_per_sample(answered.cell.lam) for answered in store.exact):
        return Published()
    numbers: list[MeanAccuracy] = []
    claims: list[Claim] = []
    claims_over_networks: list[Claim] = []
    answers = gather(store)
    for question, subject, right in line_per_noise(store.standing):
        answers[question][subject] = right
    for sides in _experiments(answers):
        for (noise, subject), severities in sides.items():
            numbers.append(_mean_accuracy(subject, noise, severities))
        gains_of = dict(_claimed_pairs(sides))
        summed = set[Hashable]()
        for gain in over_networks(sides, gains_of, NOISES, VERDICT_CONFIDENCE):
            noise, pair = gain.question.corruption, (gain.a, gain.b)
            paper = gains_of[pair][NOISES.index(noise)]
            claims_over_networks.append(Claim(noise=noise, ours=gain, published=paper))
            summed.add(kin(pair))
        for pair, gains in gains_of.items():
            claims += _claims(sides, pair, gains, summed=kin(pair) in summed)
    return Published(tuple(numbers), tuple(claims), tuple(claims_over_networks))


Gains = tuple[float, ...]  # the published ones, a noise each


def _experiments(answers: Answers) -> Iterator[Sides]:
    """By data set, origin and seed: each noise and subject with all five severities, where anyone has that line."""
    experiments: dict[tuple[str, str, str], dict[tuple[str, Subject], dict[Question, Right]]] = {}
    for question, by_subject in answers.items():
        if question.corruption in NOISES and question.severity in SEVERITIES:
            sides = experiments.setdefault((question.data, question.content, question.origin), {})
            for subject, right in by_subject.items():
                sides.setdefault((question.corruption, subject), {})[question] = right
    for sides in experiments.values():
        complete = {
            side: severities
            for side, severities in sides.items()
            if len(severities) == len(SEVERITIES) and len(shared(severities.values()))
        }
        if any(_is_per_sample(subject.lam) for _, subject in complete):
            yield dict(sorted(complete.items(), key=_order))


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


def _mean_accuracy(subject: Subject, noise: str, severities: Severities) -> MeanAccuracy:
    question, lam = next(iter(severities)), subject.lam
    ids = shared(severities.values())
    intervals = [wilson(float(right.at(ids).sum()), len(ids)) for right in severities.values()]
    paper = None
    is_cifar10 = "cifar10" in question.data and not any(other in question.data for other in OTHERS)
    if is_cifar10 and question.source in ORIGINS and (lam is None or lam.scope == "stem"):
        paper = _PAPER.get((built(subject.model), None if lam is None else lam.text))
    return MeanAccuracy(
        subject=subject,
        data=question.data,
        origin=question.origin,
        noise=noise,
        n=len(ids),
        accuracy=fmean(right.at(ids).mean() for right in severities.values()),
        low=fmean(low for low, _ in intervals),
        high=fmean(high for _, high in intervals),
        published=paper and paper[NOISES.index(noise)],
    )


def _claimed_pairs(sides: Sides) -> Iterator[tuple[Pair, Gains]]:
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
    options = unusual(model.arch, dict(model.options))
    return {name: value for name, value in options.items() if name not in CODING_OPTIONS}


def _gain(better: tuple[str, str | None], base: tuple[str, str | None]) -> Gains:
    return tuple(round(a - b, 4) for a, b in zip(_PAPER[better], _PAPER[base], strict=True))


def _claims(sides: Sides, pair: Pair, gains: Gains, *, summed: bool) -> Iterator[Claim]:
    """One claim under each noise that both sides were asked."""
    for noise, gain in zip(NOISES, gains, strict=True):
        if alike := asked_alike(sides, noise, pair):
            question, (better, base) = alike
            answers = [(better[severity], base[severity]) for severity in better]
            ours = compared(question, pair, answers, VERDICT_CONFIDENCE)
            if ours.n:
                yield Claim(noise=noise, ours=ours, published=gain, summed=summed)
