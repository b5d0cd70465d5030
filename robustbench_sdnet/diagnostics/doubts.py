"""Doubts about models: trained on other data, or asked on inputs of another convention, or not answering alike."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Iterator, Mapping, Sequence
from contextlib import suppress
from dataclasses import asdict, dataclass
from itertools import chain, combinations, permutations
from pathlib import Path
from typing import Any

from torch import Tensor, nn

from ..attacks.engine.rounding import disagreement
from ..data import short_name
from ..data.images import ImageData
from ..data.tensors import to_images
from ..errors import InputError, SdnetBenchError
from ..planning.identity import shown_name
from ..running.at_hand import train_hash
from ..running.predict import predict
from ..running.ready import Ready
from ..running.worker import Worker
from ..specs import Eps, LambdaSpec, ModelSpec, Params
from ..specs.budgets import budget_doubts
from ..training.recipes.options import WORKING_KEYS, TrainOptions
from ..zoo import check_input
from ..zoo.files.cards import ModelCard
from ..zoo.names import EXTERNAL_KINDS, describe_model, kind_of
from ..zoo.others.code import edited_modules
from ..zoo.others.guard import HALVES, External, named_errors

IMAGES = 100
FEW = 8  # images that are asked in two batches too
ROUNDING = 0.02  # of the largest logit


@dataclass(frozen=True, slots=True)
class OtherData:
    """A model that was trained on the set that its card names, and is asked on images that belong to another."""

    model: str
    trained_on: str
    asked: str

    def __str__(self) -> str:
        """One line; two data sets of one name are told apart by their folders."""
        trained_on, asked = shown_name(self.trained_on), shown_name(self.asked)
        if trained_on == asked:
            trained_on, asked = self.trained_on, self.asked
        return f"{self.model} was trained on {trained_on or 'other images'}, not on {asked}."


def doubts(
    ready: Ready,
    lambdas: Sequence[LambdaSpec] = (),
    budgets: Iterable[tuple[str, Eps | None]] = (),
    *,
    pairs: bool = False,
) -> Iterator[str]:
    """All that is to be said before the work on models that are at hand.

    Args:
        lambdas: those that were asked for.
        budgets: those that were, each behind its norm.
        pairs: of networks that are set side by side and were not trained alike, too.
    """
    yield from ready.notes
    if lambdas and not any(model.has_lambda for model in ready.models):
        names = ", ".join(model.name for model in ready.models)
        yield (
            "the lambda that is asked for does nothing: models choose it themselves, or there are no sparse coding "
            f"layers in {names}."
        )
    yield from budget_doubts(budgets, *ready.data.image_shape)
    yield from training_doubts(ready.models, ready.data, ready.setting.data_root)
    yield from pair_doubts(ready.models) if pairs else ()
    yield from input_doubts(ready.models, ready.worker)


def training_doubts(models: Sequence[ModelSpec], data: ImageData, root: str | None) -> Iterator[str]:
    """One line for every model whose card says that it was trained on other data than it is asked about.

    External models have no such card, and are passed over.
    """
    for spec in models:
        if ":" not in spec.source or Path(spec.source).exists():
            doubt = training_doubt(describe_model(spec.source), data, root)
            if doubt:
                yield str(doubt)


def training_doubt(card: ModelCard, data: ImageData, root: str | None) -> OtherData | None:
    """That a model was trained on other data than it is asked about, or None.

    The training images decide, where both hashes are at hand, and else the names: equal images under another name are
    the same data, and other images under the same name are not.
    """
    training_set = data.training_set
    if card.data_hash and (asked_hash := train_hash(data, root)):
        same = card.data_hash == asked_hash
    else:
        same = not card.data or short_name(card.data) == short_name(training_set)
    return None if same else OtherData(card.name, card.data, training_set)


def pair_doubts(models: Sequence[ModelSpec]) -> Iterator[str]:
    """One line for every two networks that the published experiment sets side by side, unless both were trained alike.

    Those are a network with a sparse stem and a plain one of its depth, and several of one architecture, which count as
    a sample of seeds: where there are several, their seeds may differ. Recipe, sizes of images, seed and first weights
    change robustness to noise by themselves; cards say which they were.
    """
    counts = Counter(map(_as_built, models))
    pairs = [pair for pair in combinations(models, 2) if _as_built(pair[0]) == _as_built(pair[1])]
    for sparse, plain in permutations(models, 2):
        if sparse.arch != plain.arch == sparse.arch.replace("sdnet", "resnet"):
            pairs.append((sparse, plain))
    training = {model: _training(describe_model(model.source)) for model in dict.fromkeys(chain(*pairs))}
    for first, second in pairs:
        ours, theirs = training[first], training[second]
        sampled = counts[_as_built(first)] > 1 or counts[_as_built(second)] > 1
        both = [key for key in ours if key in theirs and not (sampled and key == "train.seed")]
        apart = [f"{key} {ours[key]} and {theirs[key]}" for key in both if ours[key] != theirs[key]]
        if apart or not both:
            yield (
                f"{first.name} and {second.name} are not known to have been trained alike "
                f"({', '.join(apart) or 'a card does not say how'}), which may explain their difference."
            )


def _as_built(model: ModelSpec) -> tuple[str, Params]:
    return model.arch, model.options


def _training(card: ModelCard) -> dict[str, Any]:
    """What decides the weights, by name; a key that a recipe lacks had its default. Nothing where none is known."""
    stated = card.recipe.get("train") if isinstance(card.recipe, Mapping) else None
    if not isinstance(stated, Mapping):
        return {}
    train = {**asdict(TrainOptions()), **stated}
    training = {f"train.{key}": value for key, value in train.items() if key not in WORKING_KEYS}
    training |= {f"model.{key}": value for key, value in card.options.items()}
    if card.data_hash:
        training["training images"] = card.data_hash
    return {key: list(value) if isinstance(value, tuple) else value for key, value in training.items()}


def input_doubts(models: Sequence[ModelSpec], worker: Worker) -> Iterator[str]:
    """Lines for external models whose first layer expects other images than it gets, that have
    more classes, whose answer to an image depends on the batch it comes in, or whose code was edited since Python
    imported it.

    A model that cannot be loaded or fails is passed over here: the run itself names it.
    """
    external = [spec for spec in models if _is_external(spec.source)]
    if not external:
        return
    try:
        images = to_images(worker.data.images(0, min(IMAGES, len(worker.data))), worker.device)
    except SdnetBenchError:
        return
    for spec in external:
        with suppress(SdnetBenchError):
            yield from _doubts_of(spec, worker, images)


def _doubts_of(spec: ModelSpec, worker: Worker, images: Tensor) -> list[str]:
    """Those of one external model on images (n, 3, h, w); errors are those of the model."""
    model = worker.model(spec)
    with named_errors(spec.name):
        doubt = check_input(model, images)
    logits = predict(model, images, batch_size=len(images), name=spec.name)
    lines = []
    classes, of_data = logits.shape[1], worker.data.num_classes
    if classes > of_data:
        lines.append(
            f"{spec.name} has {classes} classes and {worker.data.name} has {of_data}: an answer beyond those counts "
            "as wrong, and accuracies mean nothing if the two number their classes differently."
        )
    if spec.repeats is None and not _answers_alone(model, images, logits, spec.name):
        lines.append(
            f"{spec.name} answers an image differently among other images, as batch normalisation without running "
            "statistics does: its numbers depend on --batch-size, and attacks on which images are left. Fix its "
            "statistics."
        )
    if isinstance(model, External) and model.dtype in HALVES:
        lines.append(f"{spec.name} computes in its own precision, {str(model.dtype).removeprefix('torch.')}.")
    if doubt:
        lines.append(f"{spec.name}: {doubt}")
    lines += (
        f"{spec.name} runs {module} as it was when Python imported it, though its file was edited since. Start "
        f"Python again, or call importlib.reload({module})."
        for module in edited_modules(model, spec.source.partition(":")[0])
    )
    return lines


def _is_external(source: str) -> bool:
    with suppress(InputError):  # what is not there any more
        return kind_of(source) in EXTERNAL_KINDS
    return False


def _answers_alone(model: nn.Module, images: Tensor, logits: Tensor, name: str) -> bool:
    """Whether the logits of images stay, but for rounding of half precision, where they come in smaller batches."""
    together = logits[:FEW]
    apart = predict(model, images[:FEW], batch_size=FEW // 2, name=name)
    return disagreement(together, apart) <= ROUNDING
