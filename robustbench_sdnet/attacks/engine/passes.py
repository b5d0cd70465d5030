"""Passes through a model under attack: counted, in fixed batch shapes, without weight gradients."""

from __future__ import annotations

from collections.abc import Callable
from typing import cast

import torch
from torch import Tensor, nn

from ...errors import ModelError, SdnetBenchError, first_line, out_of_memory
from ...zoo.nets.layout import layout_of
from .batches import PROCESSOR_BATCH, free_to_look, pieces, rungs
from .folding import foldable, folded
from .rounding import disagreement

Classifier = Callable[[Tensor], Tensor]
"""(n, c, h, w) images in [0, 1] to (n, classes) logits: an `nn.Module`, or any function around one."""

Loss = Callable[[Tensor, Tensor], Tensor]
"""(logits (m, classes), row indices (m,)) -> (m,) values to maximise."""

TRIAL = 4
"""Images on which a folded model must give the model's logits."""

AGREEMENT = 1e-4
"""How far the logits of a folded model may be off, as a share of the largest."""

TAKE_FLOAT32 = " The search runs in bfloat16. Take precision='float32' (--precision float32)."

REMEDY = "Let the gradient through, or attack with square, which needs none."


class Passes:
    """A model's forward and backward passes, as attacks use them.

    Attributes:
        batch_size: the largest batch.
        low_precision: the search runs in bfloat16.
        repeats: passes averaged a gradient.
        lenient: a gradient that does not exist is taken for zero, where others raise.
        backwards: samples passed so far, padding left out.
        silent: (m,) bool of the latest gradients, taken where `watched`: zero everywhere, or not finite somewhere.
    """

    def __init__(
        self,
        model: Classifier,
        batch_size: int = PROCESSOR_BATCH,
        *,
        low_precision: bool = False,
        repeats: int = 1,
        lenient: bool = False,
    ) -> None:
        self.model, self.low_precision, self.lenient = model, low_precision, lenient
        self.batch_size, self.repeats = int(batch_size), repeats  # a whole number of any type
        self._passed = self.backwards = 0
        # Behind a policy that asks the network at several lambdas an image passes through it more than once.
        self._each = int(getattr(model, "network_passes", 1))
        self.watched = False
        self.silent: Tensor | None = None
        self._shapes = rungs(self.batch_size)
        self._layouts: dict[bool, torch.memory_format] = {}
        self._bad: Tensor | None = None
        self._search = self.model

    @property
    def forwards(self) -> int:
        """Samples passed through the network so far, padding left out."""
        return self._each * self._passed

    @property
    def _name(self) -> str:
        """Of the model, for messages: what it calls its architecture or source, else its class."""
        arch = getattr(self.model, "arch", None)
        return arch if isinstance(arch, str) else type(self.model).__name__

    @property
    def approximate(self) -> bool:
        """The search does not ask the model itself in full precision, so that successes need confirming."""
        return self.low_precision or self.repeats > 1 or self._search is not self.model

    def fold(self, images: Tensor, logits: Tensor) -> None:
        """Search in a copy of the model with folded normalisation, if it agrees with `logits` (n, classes)."""
        few = min(len(images), TRIAL)
        if images.dtype != torch.float32 or self.repeats > 1 or not few or not foldable(self.model):
            return
        with torch.no_grad():
            self._passed += 1
            copies = folded(
                cast("nn.Module", self.model),
                lambda: self._call(images[:1], self.model, low=False),
                (self._layout(images, low=False), self._layout(images, low=True)),
            )
            if copies is None:
                return
            full, low = copies
            found = self._tried(full, images[:few], low=False)
            if found is None or disagreement(logits[:few], found) > AGREEMENT:
                return
            if not self.low_precision:
                self._search = full
            elif self._tried(low, images[:few], low=True) is not None:
                self._search = low

    def _tried(self, copy: Classifier, images: Tensor, *, low: bool) -> Tensor | None:
        """The finite logits of a folded copy, or None where it does not run as the model does.

        A model may look at the parts that folding replaces, or leave autocast and feed bfloat16 weights float32.
        """
        self._passed += len(images)
        bad, self._bad = self._bad, None  # what the copy returns says nothing of the model
        try:
            logits = self._call(images, copy, low=low)
            self.check()
        except SdnetBenchError:
            return None
        finally:
            self._bad = bad
        return logits

    def exact(self, images: Tensor) -> Tensor:
        """(n, classes) logits of the model itself at the precision of `images`, for decisions."""
        return self._logits(images, self.model, low=False)

    def logits(self, images: Tensor) -> Tensor:
        """(n, classes) logits at the search precision, without gradients."""
        return self._logits(images, self._search, low=self.low_precision)

    def gradient(self, images: Tensor, loss: Loss, skip: Tensor | None = None) -> tuple[Tensor, Tensor]:
        """Logits (n, classes) at `images` and the gradient (n, c, h, w) of each sample's loss.

        Rows in `skip` (n,) bool need no gradient; it is zero where leaving it out saves a pass.
        Gradients that are not finite become zero.
        """
        if skip is not None and free_to_look(skip) and bool(skip.any()):
            return self._partial_gradient(images, loss, skip)
        rows = torch.arange(len(images), device=images.device)
        return self._gradient(images, loss, rows)

    def call(self, images: Tensor, *, asks: bool) -> Tensor:
        """Logits of one batch as it comes, for attacks that bring their own batches; `asks` wants a gradient."""
        self._passed += len(images)
        logits = self._call(images, self.model, low=False)
        if asks and not logits.requires_grad:
            raise self._no_gradient()
        return logits

    def check(self) -> None:
        """Raise if any logits so far were not finite (the only place that waits for the device)."""
        if self._bad is not None and bool(self._bad):
            raise ModelError(
                f"Model {self._name} returned logits that are not finite (NaN or infinity) "
                "for an image in [0, 1]: check its weights and its normalisation."
            )

    def _partial_gradient(self, images: Tensor, loss: Loss, skip: Tensor) -> tuple[Tensor, Tensor]:
        ends = skip.nonzero()[:, 0]
        ended = self.logits(images[ends])
        logits = ended.new_empty(len(images), ended.shape[1])
        gradient = torch.zeros_like(images)
        logits[ends] = ended
        rows = (~skip).nonzero()[:, 0]
        if len(rows):
            logits[rows], gradient[rows] = self._gradient(images[rows], loss, rows)
            if self.silent is not None:
                self.silent = torch.zeros_like(skip).index_copy(0, rows, self.silent)
        return logits, gradient

    def _gradient(self, images: Tensor, loss: Loss, rows: Tensor) -> tuple[Tensor, Tensor]:
        all_logits, all_gradients = [], []
        for start, stop, shape in pieces(len(images), self._shapes):
            count = stop - start
            piece = _padded(images[start:stop], shape).requires_grad_()
            logits, gradient = self._once(piece, loss, rows[start:stop])
            for _ in range(self.repeats - 1):
                more_logits, more = self._once(piece, loss, rows[start:stop])
                logits, gradient = logits + more_logits, gradient + more
            if self.repeats > 1:
                logits, gradient = logits / self.repeats, gradient / self.repeats
            self._passed += count * self.repeats
            self.backwards += count * self.repeats
            all_logits.append(logits)
            all_gradients.append(gradient[:count].contiguous())
        gradients = _joined(all_gradients)
        self.silent = silent(gradients) if self.watched else None
        finite = free_to_look(gradients) and bool(torch.isfinite(gradients.sum()))
        if not finite:  # or not known to be
            gradients = gradients.nan_to_num(0, 0, 0)
        return _joined(all_logits), gradients

    @torch.enable_grad()
    def _once(self, piece: Tensor, loss: Loss, rows: Tensor) -> tuple[Tensor, Tensor]:
        """Logits of `rows`, without the padding, and the gradient of the whole piece."""
        logits = self._call(piece, self._search, low=self.low_precision)[: len(rows)]
        return logits.detach(), self._input_gradient(loss(logits, rows).sum(), piece)

    def _input_gradient(self, value: Tensor, images: Tensor) -> Tensor:
        gradient = None
        try:
            if value.requires_grad:
                (gradient,) = torch.autograd.grad(value, images, allow_unused=True)
        except RuntimeError as error:
            if out_of_memory(error):
                raise self._too_large(images) from error
            reason = first_line(error)
            raise ModelError(
                f"The model raised {type(error).__name__} in its backward pass: {reason}"
            ) from error
        if gradient is None and not self.lenient:
            raise self._no_gradient()
        return torch.zeros_like(images) if gradient is None else gradient

    def _too_large(self, images: Tensor) -> ModelError:
        return ModelError(
            f"Model {self._name} and a batch of {len(images)} do not fit the device's memory. "
            "Take a smaller batch_size (--batch-size)."
        )

    def _no_gradient(self) -> ModelError:
        return ModelError(
            f"Model {self._name} lets no gradient through to its images: its forward pass runs under "
            f"no_grad or inference_mode, detaches, or leaves torch. {REMEDY}"
        )

    def _logits(self, images: Tensor, model: Classifier, *, low: bool) -> Tensor:
        outputs = []
        with torch.no_grad():
            for start, stop, shape in pieces(len(images), self._shapes):
                logits = self._call(_padded(images[start:stop], shape), model, low=low)
                outputs.append(logits[: stop - start])
        self._passed += len(images)
        return _joined(outputs)

    def _layout(self, images: Tensor, *, low: bool) -> torch.memory_format:
        """The layout that suits the model and the precision."""
        if low not in self._layouts:
            self._layouts[low] = layout_of(self.model, images, low=low)
        return self._layouts[low]

    def _call(self, images: Tensor, model: Classifier, *, low: bool) -> Tensor:
        """A copy of one batch, in its layout, through the model; any failure becomes one line that names the model."""
        name, layout = self._name, self._layout(images, low=low)
        try:
            with torch.autocast(images.device.type, dtype=torch.bfloat16, enabled=low):
                logits = model(images.clone(memory_format=layout))  # which it may write into
        except SdnetBenchError:
            raise
        except Exception as error:  # a model may raise anything: it becomes one line
            if out_of_memory(error):
                raise self._too_large(images) from error
            reason = first_line(error)
            shape = tuple(images.shape)
            remedy = f" {REMEDY}" if "call numpy() on Tensor that requires grad" in reason else ""
            remedy = remedy or (TAKE_FLOAT32 if low else _other_type(self.model, images))
            reason = f"{reason.rstrip('.')}." if remedy else reason
            raise ModelError(
                f"Model {name} raised {type(error).__name__} on images {shape}: {reason}{remedy}"
            ) from error
        wanted = f"logits ({len(images)}, 2 or more classes)"
        if not isinstance(logits, Tensor):
            kind = type(logits).__name__
            raise ModelError(f"Model {name} must return {wanted}, got {kind}. Return the tensor alone.")
        if logits.dim() != 2 or len(logits) != len(images) or logits.shape[1] < 2:
            raise ModelError(f"Model {name} must return {wanted}, got {tuple(logits.shape)}.")
        logits = logits.to(images.dtype)
        bad = ~torch.isfinite(logits.detach()).all()
        self._bad = bad if self._bad is None else self._bad | bad
        if free_to_look(images):
            self.check()
        return logits


def silent(gradients: Tensor) -> Tensor:
    """(m,) bool: a gradient that moves nothing, or that is not finite."""
    flat = gradients.flatten(1)
    return (flat == 0).all(1) | ~torch.isfinite(flat).all(1)


def _other_type(model: Classifier, images: Tensor) -> str:
    """What to do where a model's weights are of another type than its images."""
    own = next(model.parameters(), images).dtype if isinstance(model, nn.Module) else images.dtype
    weights, given = (str(dtype).removeprefix("torch.") for dtype in (own, images.dtype))
    if own == images.dtype:
        return ""
    convert = "convert one" if own.itemsize > 2 else "write model.float()"  # such images are refused
    return f" The images are {given} and the weights {weights}: {convert}."


def _padded(images: Tensor, shape: int) -> Tensor:
    """The batch, filled up with its first image."""
    if len(images) == shape:
        return images.detach()
    return torch.cat([images, images[:1].expand(shape - len(images), *images.shape[1:])]).detach()


def _joined(parts: list[Tensor]) -> Tensor:
    return parts[0] if len(parts) == 1 else torch.cat(parts)
