"""Devices: which are here, what float32 means on them, the same on a GPU as on a processor, and which have bfloat16."""

from __future__ import annotations

import re
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from typing import TYPE_CHECKING, Any

from .errors import InputError, unknown
from .holding import Held

if TYPE_CHECKING:
    import torch
    from torch import Tensor

_switches: Held[tuple[Any, str], Any] = Held(
    lambda one: getattr(*one), lambda one, before: setattr(*one, before)
)

WITHOUT_FLOAT64 = {"mps"}  # kinds of devices


def check_device(name: str) -> None:
    """Refuse what names no device with an InputError; torch is not asked whether it is there."""
    if not re.fullmatch(r"auto|cpu|mps|cuda(:[0-9]{1,3})?", name):
        raise unknown("device", name, ["auto", "cpu", "cuda", "cuda:0", "mps"])


def pick_device(wanted: str = "auto") -> str:
    """The device to run on: the first GPU where there is one, for "auto"; InputError for one that is not there."""
    import torch

    check_device(wanted)
    if wanted == "auto":
        return "cuda" if torch.cuda.is_available() else "cpu"
    kind, _, index = wanted.partition(":")
    if kind == "cuda" and (not torch.cuda.is_available() or int(index or 0) >= torch.cuda.device_count()):
        raise InputError(
            f"Device '{wanted}' is not there: {torch.cuda.device_count()} GPUs found. Use --device cpu."
        )
    if kind == "mps" and not torch.backends.mps.is_available():
        raise InputError("Device 'mps' is not there. Use --device cpu.")
    return wanted


@contextmanager
def full_float32() -> Iterator[None]:
    """Float32 in float32, also on GPUs, where cuDNN's default for convolutions is TF32 with a mantissa of 10 bits, and
    where the caller has autocast on.

    What was set before is set again at the end, of several threads with the last. It serves as a decorator too.
    """
    import torch

    cudnn: Any = torch.backends.cudnn
    try:
        switches: dict[tuple[Any, str], Any] = {(cudnn, "allow_tf32"): False}
        _ = cudnn.allow_tf32
    except RuntimeError:  # set by parts, as torch since 2.9 can: it then answers to parts alone
        switches = {(part, "fp32_precision"): "ieee" for part in (cudnn.conv, cudnn.rnn)}
    with _switches.hold(switches), ExitStack() as without_autocast:
        for (part, name), full in switches.items():
            setattr(part, name, full)
        for kind in ("cpu", "cuda", "mps"):
            if torch.is_autocast_enabled(kind):
                without_autocast.enter_context(torch.autocast(kind, enabled=False))
        yield


def as_float64(values: Tensor) -> Tensor:
    """Numbers in float64, on the processor where their device has none."""
    return (values.cpu() if values.device.type in WITHOUT_FLOAT64 else values).double()


def exact_mean(values: Tensor) -> float:
    """The mean of numbers or truth values, taken in float64; NaN without any."""
    return float(as_float64(values).mean())


def gpu_batch(pixels: int) -> int:
    """How many images of so many pixels keep a GPU busy and fit into it, gradients included."""
    return 500 if pixels <= 64 * 64 else 100


def native_bfloat16(device: torch.device) -> bool:
    """Whether the hardware has instructions for bfloat16; emulated, it is ten times slower."""
    import torch

    if device.type == "cuda":
        with torch.cuda.device(device):  # of the current GPU is all that torch says
            return bool(torch.cuda.is_bf16_supported(including_emulation=False))
    supported = getattr(torch.cpu, "_is_avx512_bf16_supported", None)
    return device.type == "cpu" and supported is not None and bool(supported())
