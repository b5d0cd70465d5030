"""Guards around other people's models: a wrong input range, a normalisation that is missing or applied twice."""

from __future__ import annotations

import contextlib
import math
import re
import sys
from collections.abc import Callable, Iterable, Iterator, Mapping
from contextlib import contextmanager
from typing import Any, NamedTuple

import torch
from torch import Tensor, nn

from ...errors import ModelError, SdnetBenchError, out_of_memory
from ..nets.architectures import CIFAR_MEAN, CIFAR_STD, IMAGENET_MEAN, IMAGENET_STD
from ..nets.hooks import first_call
from ..nets.inputs import extremes, got_range, readable
from ..nets.resnet import Normalise
from ..nets.sdnet import Classifier

_NORMALISER = re.compile(
    r"(image|input|channel)?_?normali[sz](e|er|ation)(layer|bychannelmeanstd)?", re.IGNORECASE
)
AS_IS = "as they are"
HALVES = (torch.float16, torch.bfloat16)
CLEARLY = 4.0  # how many times nearer another input must come to the BatchNorm statistics to be called the right one
STILL_INITIAL = 0.05  # the largest share that may be as at first of BatchNorm statistics that judge


@contextmanager
def named_errors(name: str, doing: str = "") -> Iterator[None]:
    """Run a model's code: what it prints goes to standard error, and what it raises becomes one line with its name.

    A ModelError, too, where it asks the process to exit; `doing` says what it does where that is not answering.
    """
    try:
        with contextlib.redirect_stdout(sys.stderr):
            yield
    except SdnetBenchError:
        raise
    except (Exception, SystemExit) as error:  # a model may raise anything
        if out_of_memory(error):
            raise ModelError(
                f"{name} does not fit the device's memory. Take a smaller --batch-size."
            ) from error
        kind = "called sys.exit" if isinstance(error, SystemExit) else f"raised {type(error).__name__}"
        text = " ".join(str(error).split())[:300]
        raise ModelError(f"{name} {kind}{doing and ' ' + doing}{text and ': ' + text}") from error


class External(nn.Module):
    """Another model behind the interface of ours: images in [0, 1] in, logits out.

    Attributes:
        arch: the source it came from.
        normalise: what its source says it wants, or nothing where it normalises by itself.
        dtype: the floating type of its weights, which its images are handed over in; None where they differ.
    """

    def __init__(
        self, model: nn.Module, arch: str, mean: tuple[float, ...] = (), std: tuple[float, ...] = ()
    ) -> None:
        super().__init__()
        self.arch = arch
        self.dtype = _own_dtype(model)
        self.normalise = Normalise(mean, std) if mean else nn.Identity()
        self.model = model
        self._range_is_known = False

    def forward(self, images: Tensor) -> Tensor:
        """Logits (n, classes) of images (n, 3, h, w) in [0, 1]; float32 where the model's are half precision.

        Raises:
            ModelError: the first images lie outside [0, 1], or the model raises or returns no logits, or several
                matrices that could be them.
        """
        if not self._range_is_known and readable(images):
            self._check_range(images)
        with named_errors(self.arch, f"on images {tuple(images.shape)}"):
            output = self.answer(images)
        logits = getattr(output, "logits", output)
        logits = logits.get("logits", logits) if isinstance(logits, Mapping) else logits
        if isinstance(logits, tuple | list):
            matrices = [
                part for part in logits if isinstance(part, Tensor) and part.shape[:-1] == images.shape[:1]
            ]
            if len(matrices) > 1:
                shapes = " and ".join(str(tuple(matrix.shape)) for matrix in matrices)
                raise ModelError(
                    f"'{self.arch}' returns {shapes}, and which are the logits cannot be known. Return them alone."
                )
            logits = matrices[0] if matrices else logits
        if not isinstance(logits, Tensor) or logits.dim() != 2 or len(logits) != len(images):
            shape = tuple(logits.shape) if isinstance(logits, Tensor) else type(logits).__name__
            raise ModelError(
                f"'{self.arch}' must return logits (n, classes), got {shape} for {len(images)} images. "
                "Return the tensor alone."
            )
        return logits if logits.dtype not in HALVES else logits.float()

    def _apply(self, fn: Callable[[Tensor], Tensor], recurse: bool = True) -> External:
        """What `to` and `double` do, after which images go along."""
        super()._apply(fn, recurse)  # type: ignore[no-untyped-call]  # torch states no types here
        self.dtype = _own_dtype(self.model)
        return self

    def answer(self, images: Tensor) -> Any:
        """What the model returns for images (n, 3, h, w), whatever it is; it may change its own copy of them."""
        inputs = self.normalise(images)
        inputs = inputs if self.dtype is None else inputs.to(self.dtype)
        # autocast would mix another half type with the model's own
        halved = self.dtype in HALVES
        with torch.autocast(images.device.type, enabled=False) if halved else contextlib.nullcontext():
            return self.model(inputs.clone() if inputs is images else inputs)

    def _check_range(self, images: Tensor) -> None:
        """Look at the first batch alone: every look waits for the device."""
        low, high = extremes(images)
        if low < -1e-3 or high > 1 + 1e-3:
            raise ModelError(f"'{self.arch}' takes images in [0, 1], {got_range(low, high)}")
        self._range_is_known = True


def _own_dtype(model: nn.Module) -> torch.dtype | None:
    """The type to hand images over in: float64 where any weight has it, else the one that all weights share."""
    dtypes = {weight.dtype for weight in model.parameters() if weight.is_floating_point()}
    if torch.float64 in dtypes:
        return torch.float64
    return dtypes.pop() if len(dtypes) == 1 else None


class Exported(nn.Module):
    """An exported graph, which has no modes: its own `eval` raises."""

    def __init__(self, graph: nn.Module) -> None:
        super().__init__()
        self.graph = graph

    def train(self, mode: bool = True) -> Exported:
        """Note the mode, for those who ask."""
        self.training = mode
        return self

    def forward(self, images: Tensor) -> Any:
        """What the graph returns."""
        return self.graph(images)


def evaluated(model: nn.Module) -> nn.Module:
    """The model in evaluation mode; what is an exported graph, or holds one, behind `Exported`."""
    try:
        return model.eval()
    except NotImplementedError:
        for part in model.modules():
            part.training = False
        return Exported(model).eval()


def own_normalisation(model: nn.Module) -> tuple[tuple[float, ...], tuple[float, ...]] | None:
    """Mean and deviation of a layer inside the model that normalises images, or None."""
    for module in model.modules():
        name = getattr(module, "original_name", type(module).__name__)  # scripted modules have the first
        mean, std = (getattr(module, key, None) for key in ("mean", "std"))
        if _NORMALISER.fullmatch(name) and mean is not None and std is not None:
            values = [
                torch.as_tensor(value, dtype=torch.float64, device="cpu").flatten().tolist()
                for value in (mean, std)
            ]
            if len(values[0]) in (1, 3) and len(values[1]) in (1, 3):
                return tuple(values[0]), tuple(values[1])
    return None


def check_input(model: nn.Module, images: Tensor) -> str | None:
    """Check whether natural images in [0, 1] look to a model like its training images.

    The statistics that the first BatchNorm layer remembers are compared with those of the images as they are, and
    as they would be under other conventions. Models without BatchNorm, or hardly trained, cannot be judged.

    Args:
        model: in evaluation mode, takes images in [0, 1].
        images: (n, 3, h, w) natural images in [0, 1], 32 or more.

    Returns:
        None where nothing is suspicious, else one line that names the convention that fits better.
    """
    norms = (layer for layer in model.modules() if isinstance(layer, nn.BatchNorm2d))
    layer = next((norm for norm in norms if norm.running_var is not None), None)
    if layer is None or _still_initial(layer) > STILL_INITIAL:
        return None
    conventions = _conventions(images)
    distances = {name: _distance(model, layer, each.images) for name, each in conventions.items()}
    as_is, nearest = distances[AS_IS], min(distances, key=lambda name: distances[name])
    if distances[nearest] * CLEARLY + 0.05 >= as_is:
        return None
    times = as_is / max(distances[nearest], 1e-6)
    return (
        f"The input looks wrong: the first BatchNorm layer's statistics are {times:.0f} "
        f"times nearer when images are {nearest}. {_remedy(model, conventions[nearest])}."
    )


def _still_initial(layer: nn.BatchNorm2d) -> float:
    """Which share of a layer's running statistics is what they began with; 0 where the updates were not counted."""
    updates = int(layer.num_batches_tracked) if layer.num_batches_tracked is not None else 0
    return (1 - layer.momentum) ** updates if updates and layer.momentum is not None else 0.0


class Convention(NamedTuple):
    """Images as one convention would hand them over: what `Normalise(mean, std)` makes of those at hand.

    Attributes:
        twice: this undoes a normalisation that the images had once too often.
    """

    images: Tensor
    mean: tuple[float, ...]
    std: tuple[float, ...]
    twice: bool = False


def _conventions(images: Tensor) -> Mapping[str, Convention]:
    """The same images as other conventions would hand them over."""
    conventions = {AS_IS: Convention(images, (0.0,), (1.0,))}
    for name, mean, std in (("CIFAR-10", CIFAR_MEAN, CIFAR_STD), ("ImageNet", IMAGENET_MEAN, IMAGENET_STD)):
        layer = Normalise(mean, std).to(images)
        lacking = f"normalised first with {name}'s mean and std (the model lacks its normalisation)"
        conventions[lacking] = Convention(layer(images), mean, std)
        shift, scale = tuple(-m / s for m, s in zip(mean, std, strict=True)), tuple(1 / s for s in std)
        twice = f"put on {name}'s mean and std first (it normalises twice)"
        conventions[twice] = Convention(images * layer.std + layer.mean, shift, scale, twice=True)
    conventions["scaled to [-1, 1]"] = Convention(images * 2 - 1, (0.5,), (0.5,))
    conventions["scaled to [0, 255]"] = Convention(images * 255, (0.0,), (round(1 / 255, 9),))
    return conventions


def _remedy(model: nn.Module, better: Convention) -> str:
    """What to do about an input that would look right by another convention."""
    if isinstance(model, External) and isinstance(model.normalise, Normalise):
        return "Check the mean and std that were given"
    if isinstance(model, Classifier) and isinstance(model.normalise, Normalise):
        before, after = (
            torch.tensor(values, dtype=torch.float64, device="cpu") for values in (better.mean, better.std)
        )
        own_mean, own_std = (
            part.detach().double().flatten().cpu() for part in (model.normalise.mean, model.normalise.std)
        )
        mean, std = before + after * own_mean, after * own_std  # first what it lacks, then what it does
        return (
            f"Import it again with --mean {_numbers(mean)} --std {_numbers(std)}, into another --output, "
            "from a file without normalise.mean and normalise.std"
        )
    if better.twice:
        return "Remove one of the two from the model"
    if own_normalisation(model) is not None:  # beside which `load_external` takes none in the name
        return "Check the mean and std of the model's own normalisation"
    return f"Add '?mean={_numbers(better.mean)}&std={_numbers(better.std)}' to the model's name, in quotes"


def _numbers(values: Iterable[float]) -> str:
    return ",".join(f"{value if abs(value) > 1e-6 else 0:g}" for value in map(float, values))


@torch.no_grad()
def _distance(model: nn.Module, layer: nn.BatchNorm2d, images: Tensor) -> float:
    """How far the statistics of a layer's input are from those it remembers, 0 for the same.

    The model runs up to that layer: what lies behind it has no say.
    """
    # The range guard of `External` would refuse what is tried here on purpose.
    run = model.answer if isinstance(model, External) else model
    call = first_call([layer], lambda: run(images))
    if call is None:
        return math.inf  # nothing to judge by
    _, inputs = call
    assert layer.running_mean is not None
    assert layer.running_var is not None
    variance, mean = torch.var_mean(inputs.float(), (0, 2, 3))
    scale = layer.running_var.float() + layer.eps
    shift = (mean - layer.running_mean.float()).square() / scale
    return float((shift + ((variance + layer.eps) / scale).log().square()).mean())
