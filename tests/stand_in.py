"""A stand-in for a GPU, on any machine: `python -m tests.stand_in ARGUMENTS` is `sdnet-bench ARGUMENTS` that has one.

Its device is `stand_in`; with STAND_IN=mps it has no float64, as Apple's has none. Tensors there hold their numbers on
the processor, which computes with them. But they mix with tensors of the processor, and are read, only where a GPU lets
them, and code sees that they are elsewhere: so what would end in an error on a GPU does so here, and what the code does
on a GPU alone is done. bfloat16 computes in float32.

It changes torch for the whole process, and belongs into one of its own.
"""

from __future__ import annotations

import os
import sys
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import torch
from torch.utils import backend_registration
from torch.utils._python_dispatch import TorchDispatchMode, return_and_correct_aliasing
from torch.utils._pytree import tree_leaves, tree_map

NAME = "stand_in"
THERE = torch.device("privateuseone:0")  # what `stand_in` names
NARROW = os.environ.get("STAND_IN") == "mps"
INDEXED = {"aten::index", "aten::index_put", "aten::index_put_", "aten::_unsafe_index"}
COPIES = {"aten::_to_copy", "aten::copy_"}


class Tensor(torch.Tensor):
    """A tensor that is there; `here` holds its numbers."""

    here: torch.Tensor
    __torch_function__ = torch._C._disabled_torch_function_impl

    @staticmethod
    def __new__(cls, here: torch.Tensor) -> Tensor:
        made = torch.Tensor._make_wrapper_subclass(
            cls, here.shape, here.stride(), here.storage_offset(), dtype=here.dtype, device=THERE
        )
        made.here = here
        return made

    @classmethod
    def __torch_dispatch__(cls, operator, types, args=(), kwargs=None):
        return _run(operator, args, kwargs or {})

    def tolist(self):
        return self.cpu().tolist()

    def numpy(self, **_):
        raise TypeError(f"can't convert {THERE} device type tensor to numpy. Use Tensor.cpu() first.")

    def __repr__(self, **_):
        return f"there: {self.here!r}"

    def __deepcopy__(self, memo):
        if id(self) not in memo:
            memo[id(self)] = self.detach().clone().requires_grad_(self.requires_grad)
        return memo[id(self)]


class _Mode(TorchDispatchMode):
    """Sees what makes tensors, too."""

    def __torch_dispatch__(self, operator, types, args=(), kwargs=None):
        return _run(operator, args, kwargs or {})


class _Module(backend_registration._DummyBackendModule):
    """What torch asks of a kind of device."""

    def get_amp_supported_dtype(self):
        return [torch.bfloat16]

    def device_count(self):
        return 1

    def get_rng_state(self, device=None):
        return torch.get_rng_state()

    def set_rng_state(self, state, device=None):
        pass


def _run(operator: Any, args: Any, kwargs: Any) -> Any:
    """An operator as it would run on a GPU; its result is where `device` says, else where its tensors are."""
    name = operator._schema.name
    tensors = [leaf for leaf in tree_leaves((args, kwargs)) if isinstance(leaf, torch.Tensor)]
    there = any(isinstance(tensor, Tensor) for tensor in tensors)
    if there and name not in COPIES:
        _check(name, args, tensors)
    stays = isinstance(args[0], Tensor) if name == "aten::copy_" else there
    if kwargs.get("device") is not None:
        stays = torch.device(kwargs["device"]).type == NAME
        kwargs = {**kwargs, "device": torch.device("cpu")}
    moved, named = tree_map(lambda leaf: leaf.here if isinstance(leaf, Tensor) else leaf, (args, kwargs))
    found = operator(*moved, **{**named, "pin_memory": False} if named.get("pin_memory") else named)
    if not stays:
        return found
    found = tree_map(lambda leaf: _put(leaf, name) if isinstance(leaf, torch.Tensor) else leaf, found)
    return return_and_correct_aliasing(operator, args, kwargs, found) if there else found


def _put(found: torch.Tensor, name: str) -> Tensor:
    if NARROW and found.dtype == torch.float64:
        raise TypeError(f"Cannot convert a tensor of {NAME} to float64, which it has not, in {name}.")
    return Tensor(found)


def _check(name: str, args: Any, tensors: list[torch.Tensor]) -> None:
    """Refuse tensors of several devices, as a GPU does, but for single numbers and for indices of the processor."""
    if name in INDEXED and isinstance(args[0], Tensor):
        tensors = [args[0], *args[2:3]]
    if any(tensor.dim() and not isinstance(tensor, Tensor) for tensor in tensors):
        raise RuntimeError(f"Expected all tensors to be on the same device, in {name}.")


@contextmanager
def stand_in() -> Iterator[torch.device]:
    """Have the device, in this thread and those that are started."""
    backend_registration._setup_privateuseone_for_python_backend(NAME, backend_module=_Module())
    fallback = torch.library.Library("_", "IMPL", "AutocastPrivateUse1")
    fallback.fallback(torch.library.fallthrough_kernel)
    torch.__future__.set_swap_module_params_on_conversion(True)
    torch._C._set_only_lift_cpu_tensors(True)  # torch.tensor(..., device=) goes through the mode
    run = threading.Thread.run

    def seen(thread: threading.Thread) -> None:
        with _Mode():
            run(thread)

    threading.Thread.run = seen
    torch.Tensor.pin_memory = lambda tensor, *_: tensor
    with _Mode():
        yield THERE


def main() -> None:
    from robustbench_sdnet import devices

    check, pick = devices.check_device, devices.pick_device
    devices.check_device = lambda name: None if name == NAME else check(name)
    devices.pick_device = lambda name="auto": name if name == NAME else pick(name)
    if NARROW:
        devices.WITHOUT_FLOAT64.add(NAME)
    from robustbench_sdnet.cli import main as command

    with stand_in():
        command(sys.argv[1:])


if __name__ == "__main__":
    main()
