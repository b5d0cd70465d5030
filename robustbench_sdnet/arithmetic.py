"""What float32 means: on every device the same format, so that a GPU's answers are those of a processor."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any


@contextmanager
def full_float32() -> Iterator[None]:
    """Convolutions of float32 in float32, also on GPUs: there cuDNN's default is TF32, with a mantissa of 10 bits.

    What was set before is set again at the end. It serves as a decorator too.
    """
    import torch

    cudnn: Any = torch.backends.cudnn
    try:
        kept = cudnn.allow_tf32
    except RuntimeError:  # set by parts, as torch since 2.9 can: it then answers to parts alone
        parts = (cudnn.conv, cudnn.rnn)
        before = [part.fp32_precision for part in parts]
        try:
            for part in parts:
                part.fp32_precision = "ieee"
            yield
        finally:
            for part, precision in zip(parts, before, strict=True):
                part.fp32_precision = precision
        return
    try:
        cudnn.allow_tf32 = False
        yield
    finally:
        cudnn.allow_tf32 = kept
