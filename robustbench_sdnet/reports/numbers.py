"""Accuracies as reports print them: with their 95 % interval and number of images, or a reason for none."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, replace

from ..answers.comparisons import ALPHA
from ..wording import counted, share_text

# How many images a number is of, and which, where they are not the first of the data set.
ImageSet = tuple[int, str]
# From here on a second decimal says something: the interval is narrower than about two points.
TWO_DECIMALS_FROM = 5000


@dataclass(frozen=True, slots=True)
class Estimate:
    """An accuracy on `n` images.

    Attributes:
        accuracy, low, high: fractions; the ends of the 95 % interval.
        n: images.
        images: which, where they are not the first `n` of the data set.
        untrusted: a diagnostic of the attack failed, so the number may be far too high.
        transfer: the perturbation was made for another lambda, so this is not robust accuracy.
    """

    accuracy: float
    low: float
    high: float
    n: int
    untrusted: bool = False
    transfer: bool = False
    images: str = ""

    @property
    def image_set(self) -> ImageSet:
        """The images that it is of: alike for the same ones of a data set."""
        return self.n, self.images

    @property
    def decimals(self) -> int:
        """How many decimals of a percentage are printed."""
        return 2 if self.n >= TWO_DECIMALS_FROM else 1

    @property
    def percent(self) -> str:
        """The accuracy in per cent, without its sign."""
        return share_text(self.accuracy, self.decimals)

    @property
    def text(self) -> str:
        """The same as tables print it: transfer in parentheses, doubt in words."""
        number = f"({self.percent})" if self.transfer else self.percent
        return f"{number} untrusted" if self.untrusted else number

    def count_beside(self, usual: ImageSet | None) -> str:
        """What stands after the interval: how many images, and which, where they are not the table's usual ones."""
        usual_n, usual_images = usual or (None, "")
        count = "" if self.n == usual_n else f" n={self.n:,}"
        which = "" if self.images == usual_images else f" of images {self.images or 'from the first on'}"
        return count + which

    def interval(self, dash: str = "-") -> str:
        """Both ends in per cent."""
        return f"{100 * self.low:.{self.decimals}f}{dash}{100 * self.high:.{self.decimals}f}"


@dataclass(frozen=True, slots=True)
class Missing:
    """A number that is not there: printed as "-", the reason in a note below."""

    reason: str


ABSENT = Missing("not run")
Value = Estimate | Missing


def reasons(rows: Iterable[tuple[str, Iterable[object]]], what: str = "") -> list[str]:
    """The notes on a table that say why numbers in its rows, by their labels, are missing: each reason once.

    `what` says what the labels are.
    """
    found: dict[str, dict[str, None]] = {}
    for label, items in rows:
        for item in items:
            if isinstance(item, Missing):
                found.setdefault(item.reason, {})[label] = None
    return [f"{what}{', '.join(labels)}: {reason}." for reason, labels in found.items()]


def unexplained(mean: object, ratios: Sequence[object]) -> Sequence[object]:
    """What `reasons` must say of a mean and of ratios made of the same numbers: where it is missing, so are they."""
    return [mean] if isinstance(mean, Missing) else ratios


def usual_image_set(estimates: Iterable[Estimate]) -> ImageSet | None:
    """How many images, and which, most of some accuracies are of; None where there are none."""
    image_sets = [estimate.image_set for estimate in estimates]
    return max(sorted(set(image_sets), reverse=True), key=image_sets.count) if image_sets else None


def images_text(image_set: ImageSet) -> str:
    """How many images, and which, in words."""
    n, which = image_set
    return counted(n, "image") + (f" ({which})" if which else "")


def mean(parts: Mapping[str, Value | None]) -> Value:
    """The plain mean of accuracies, if all of them are there and on the same images.

    Its interval is the mean of theirs: exact where the same images fail together everywhere, too wide otherwise, so
    never too narrow.

    Args:
        parts: what each is called -> its accuracy, None where it was not run.
    """
    absent = [name for name, part in parts.items() if part is None]
    why = [f"not run: {', '.join(absent)}"] if absent else []
    why += [f"{name} {part.reason}" for name, part in parts.items() if isinstance(part, Missing)]
    if why or not parts:
        return Missing("; ".join(why) or "nothing was run")
    found = [part for part in parts.values() if isinstance(part, Estimate)]
    counts = sorted({part.n for part in found})
    if len(counts) > 1:
        return Missing(f"on different numbers of images: {', '.join(f'{n:,}' for n in counts)}")
    if len({part.images for part in found}) > 1:
        return Missing(f"on equally many, but not the same images: {counts[0]:,}")
    return Estimate(
        # Rounded: equal means may differ in the last digit of a float, and are counted and printed as equal.
        accuracy=round(sum(part.accuracy for part in found) / len(found), 12),
        low=sum(part.low for part in found) / len(found),
        high=sum(part.high for part in found) / len(found),
        n=counts[0],
        untrusted=any(part.untrusted for part in found),
        images=found[0].images,
    )


def error(value: Value) -> Value:
    """The error of an accuracy: its complement, and so is the interval."""
    if isinstance(value, Missing):
        return value
    return replace(value, accuracy=1 - value.accuracy, low=1 - value.high, high=1 - value.low)


def points(share: float, *, signed: bool = False) -> str:
    """A difference of shares as sentences say it."""
    return f"{100 * share:{'+' if signed else ''}.1f} points"


def span(low: float, high: float) -> str:
    """The interval of a difference of shares, in points."""
    return f"{100 * low:+.1f} to {100 * high:+.1f}"


def probability(value: float, decimals: int = 4) -> str:
    """A p value as reports print it: with as many decimals as tell it from the level that it must be below."""
    text = f"{value:.{decimals}f}"
    if float(text) == ALPHA != value and decimals < 9:
        return probability(value, decimals + 1)
    return "< 0.0001" if value < 0.0001 else text
