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
        switches: list[tuple[Any, str, Any, Any]] = [(cudnn, "allow_tf32", cudnn.allow_tf32, False)]
    except RuntimeError:  # set by parts, as torch since 2.9 can: it then answers to parts alone
        name = "fp32_precision"
        switches = [(part, name, getattr(part, name), "ieee") for part in (cudnn.conv, cudnn.rnn)]
    try:
        for place, name, _, full in switches:
            setattr(place, name, full)
        yield
    finally:
        for place, name, kept, _ in switches:
            setattr(place, name, kept)
