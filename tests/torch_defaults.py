"""PyTorch's defaults as a notebook may set them, and no answer may depend on."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager

import torch


@contextmanager
def other_defaults(dtype: torch.dtype = torch.float64) -> Iterator[None]:
    """The default device is "meta", whose tensors have no values, so that what is made there by accident fails."""
    before = torch.get_default_dtype()
    torch.set_default_device("meta")
    torch.set_default_dtype(dtype)
    try:
        yield
    finally:
        torch.set_default_device(None)
        torch.set_default_dtype(before)
