"""Hooks on the layers of a model: what they are given and give while it runs, compiled or not."""

from __future__ import annotations

import functools
import sys
from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager, suppress
from contextvars import ContextVar
from typing import ParamSpec, TypeVar

import torch
from torch import Tensor, nn

P = ParamSpec("P")
R = TypeVar("R")
Layer = TypeVar("Layer", bound=nn.Module)
Seen = TypeVar("Seen")


class Reached(BaseException):
    """A layer was called: nothing behind it needs to run. No Exception, which models and their guards may catch."""


_looking: ContextVar[object] = ContextVar("looking", default=None)  # which look is under way, the innermost


@contextmanager
def looking() -> Iterator[Callable[[], bool]]:
    """Look at what a model calls, and ask at each call whether it is for this look.

    A model may call itself to choose its lambda: what it calls meanwhile is for its own look.
    """
    mine = object()
    before = _looking.set(mine)
    try:
        yield lambda: _looking.get() is mine
    finally:
        _looking.reset(before)


@contextmanager
def hooked(
    layers: Iterable[nn.Module], hook: Callable[..., object], *, before: bool = False
) -> Iterator[None]:
    """Have a hook called after the forward pass of some layers, or before it, inside the block."""
    register = "register_forward_pre_hook" if before else "register_forward_hook"
    handles = [getattr(layer, register)(hook) for layer in layers]
    try:
        yield
    finally:
        for handle in handles:
            handle.remove()


def uncompiled(function: Callable[P, R]) -> Callable[P, R]:
    """Have a function run models as they are written: compiled ones do not call hooks that came later."""

    @functools.wraps(function)
    def run(*args: P.args, **given: P.kwargs) -> R:
        if "torch._dynamo" not in sys.modules:  # nothing is compiled yet, and to import it takes a second
            return function(*args, **given)

        def eager() -> R:
            with torch.compiler.set_stance("force_eager"):
                return function(*args, **given)

        result: R = torch.compiler.disable(eager)()  # type: ignore[no-untyped-call]  # torch states no types here
        return result

    return run


@uncompiled
def at_first_call(
    layers: Iterable[Layer], run: Callable[[], object], look: Callable[[Layer, tuple[Tensor, ...]], Seen]
) -> Seen | None:
    """What `look` returns of the first of some layers that `run` calls, asked as it is called with its inputs.

    The run ends there. None where it calls none of them.
    """
    seen = list[Seen]()
    with looking() as mine:

        def stop(layer: Layer, inputs: tuple[Tensor, ...]) -> None:
            if mine():
                seen.append(look(layer, inputs))
                raise Reached

        with suppress(Reached), hooked(layers, stop, before=True):
            run()
    return seen[0] if seen else None


def first_call(layers: Iterable[nn.Module], run: Callable[[], object]) -> tuple[nn.Module, Tensor] | None:
    """The first of some layers that `run` calls, and its input; the run ends there. None where it calls none."""
    return at_first_call(layers, run, lambda layer, inputs: (layer, inputs[0]))
