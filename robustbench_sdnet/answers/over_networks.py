"""A published gain over all networks of an architecture, such as one recipe's with several seeds.

A test of one network, or of two, is about these weights alone. Where a store holds several networks of an architecture
each is a sample, as each image is: the interval says what another seed would give.
"""

from __future__ import annotations

from collections.abc import Hashable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any

import numpy as np

from ..specs import ModelSpec
from ..statistics import gain_over_networks
from ..wording import counted
from ..zoo.nets.architectures import unusual
from .gathered import Question, Subject
from .per_image import Ids, Numbers, Right, shared
from .rows import grouped, lambda_value

Severities = Mapping[Question, Right]  # the answers to a noise, severity by severity
Sides = Mapping[tuple[str, Subject], Severities]  # by noise and subject
Pair = tuple[Subject, Subject]  # what should gain, over what


@dataclass(frozen=True, slots=True, kw_only=True)
class OverNetworks:
    """A mean gain over several networks: of a lambda in each of them, or of one architecture over another.

    Attributes:
        a, b: a subject of either side, for its architecture and lambda; of one model where the gain is in each network.
        networks_a, networks_b: how many there are of either.
        n: images that all of them saw.
        low, high: interval over networks and images.
        p: of a gain of 0, not corrected.
    """

    question: Question
    a: Subject
    b: Subject
    networks_a: int
    networks_b: int
    n: int
    gain: float
    low: float
    high: float
    p: float

    @property
    def name(self) -> str:
        """What gains over what, and how many networks there are."""
        a, b = (replace(of, model=replace(of.model, name=built(of.model))).name for of in (self.a, self.b))
        ours, theirs = counted(self.networks_a, "network"), counted(self.networks_b, "network")
        return (
            f"{a} over {b}, {ours}" if self.a.model == self.b.model else f"{a} ({ours}) over {b} ({theirs})"
        )

    def record(self) -> dict[str, Any]:
        """As one flat dictionary."""
        question = self.question
        told: dict[str, Any] = {
            "data": question.data,
            "kind": question.kind,
            "perturbation": question.perturbation,
        }
        for side, of in (("a", self.a), ("b", self.b)):
            told |= {f"arch_{side}": built(of.model), f"lambda_{side}": lambda_value(of.lam)}
        return told | {key: getattr(self, key) for key in _NUMBERS}


_NUMBERS = ("networks_a", "networks_b", "n", "gain", "low", "high", "p")


def built(model: ModelSpec) -> str:
    """The architecture, with the options in which the network is built otherwise: "sdnet18(width=16)"."""
    options = ", ".join(f"{name}={value}" for name, value in unusual(model.arch, dict(model.options)).items())
    return f"{model.arch}({options})" if options else model.arch


def kin(pair: Pair) -> Hashable:
    """What pairs of other networks have in common with this one: both architectures, as built, and both lambdas."""
    return tuple((one.model.arch, one.model.options, one.lam) for one in pair), pair[0].model == pair[1].model


def asked_alike(
    sides: Sides, noise: str, subjects: Sequence[Subject]
) -> tuple[Question, list[Severities]] | None:
    """What subjects answered to a noise, with the question of its mean; None where not all were asked the same."""
    every = [sides.get((noise, one), {}) for one in subjects]
    if not all(every) or any(one.keys() != every[0].keys() for one in every):
        return None
    question = next(iter(every[0]))
    return replace(question, kind="mean", perturbation=question.corruption, severity=None), every


def over_networks(
    sides: Sides, pairs: Iterable[Pair], noises: Sequence[str], confidence: float
) -> Iterator[OverNetworks]:
    """The gains of pairs that are kin, under each noise, where both sides have two networks or more.

    Args:
        sides: the answers.
        pairs: what should gain, over what.
        confidence: of each interval.
    """
    for alike in grouped(pairs, kin).values():
        a, b = alike[0]
        ours, theirs = (tuple(dict.fromkeys(pair[side] for pair in alike)) for side in (0, 1))
        if min(len(ours), len(theirs)) < 2:
            continue
        for noise in noises:
            if answered := asked_alike(sides, noise, (*ours, *theirs)):
                question, every = answered
                ids = shared(right for one in every for right in one.values())
                if not len(ids):
                    continue
                images = np.stack([_by_image(one, ids) for one in every])
                first, second = images[: len(ours)], images[len(ours) :]
                matrices = (first - second,) if a.model == b.model else (first, second)
                gain = gain_over_networks(*matrices, confidence=confidence)
                yield OverNetworks(
                    question=question,
                    a=a,
                    b=b,
                    networks_a=len(ours),
                    networks_b=len(theirs),
                    n=len(ids),
                    **gain._asdict(),
                )


def _by_image(severities: Severities, ids: Ids) -> Numbers:
    """(m,) the share of severities under which each image is right."""
    found: Numbers = np.mean([right.at(ids) for right in severities.values()], axis=0)
    return found
