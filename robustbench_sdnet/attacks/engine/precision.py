"""The precision that an attack searches in; decisions are always made in that of the images."""

from __future__ import annotations

import torch
from torch import Tensor

from ...errors import InputError

PRECISIONS = ("auto", "float32", "bfloat16")


def wants_low_precision(precision: str, images: Tensor) -> bool:
    """Whether to search in bfloat16: asked for, or `auto` where the hardware computes it natively."""
    if precision not in PRECISIONS:
        raise InputError(f"precision must be one of {', '.join(PRECISIONS)}, got '{precision}'.")
    if precision == "float32" or images.dtype != torch.float32:
        return False
    return precision == "bfloat16" or native_bfloat16(images.device)


def native_bfloat16(device: torch.device) -> bool:
    """Whether the hardware has instructions for it; emulated, it is ten times slower."""
    if device.type == "cuda":
        return bool(torch.cuda.is_bf16_supported(including_emulation=False))
    supported = getattr(torch.cpu, "_is_avx512_bf16_supported", None)
    return device.type == "cpu" and supported is not None and bool(supported())
