"""Cheaper copies of a model for searches: batch normalisation folded into the convolutions before it.

In evaluation mode a batch normalisation is an affine map, so that convolution and normalisation are one
convolution with other weights. The copies share every other tensor with the model.
"""

from __future__ import annotations

import copy
from collections.abc import Callable
from threading import get_ident

import torch
from torch import Tensor, nn
from torch.nn.utils.fusion import fuse_conv_bn_eval

from ...zoo.nets.hooks import hooked


def foldable(model: object) -> bool:
    """Whether trying is worth a pass: a plain float32 module that has batch normalisations."""
    if not isinstance(model, nn.Module) or hasattr(model, "_orig_mod"):
        return False
    modules = list(model.modules())
    compiled = any(isinstance(module, torch.jit.ScriptModule) for module in modules)
    single = all(weight.dtype == torch.float32 for weight in model.parameters())
    return single and not compiled and any(type(module) is nn.BatchNorm2d for module in modules)


def folded(
    model: nn.Module,
    run: Callable[[], object],
    layouts: tuple[torch.memory_format, torch.memory_format] = (torch.contiguous_format,) * 2,
) -> tuple[nn.Module, nn.Module] | None:
    """Two copies whose logits are the model's up to rounding, or None where nothing can be folded.

    The second one is for autocast to bfloat16. Folded weights are of the type, and in the layout, of the images that
    they will meet, so that no pass converts them.

    Which normalisation reads which convolution is seen in one pass. What such a look misses (a convolution
    whose output is also read elsewhere) is for the caller to find out, by comparing logits.

    Args:
        model: in evaluation mode; it is left as it is.
        run: passes any image through the model.
        layouts: in which either copy will be given images.
    """
    full: dict[nn.Module, nn.Module] = {}
    low: dict[nn.Module, nn.Module] = {}
    for convolution, normalisation in _pairs(model, run):
        fused = fuse_conv_bn_eval(convolution, normalisation)
        low[convolution] = copy.deepcopy(fused).bfloat16().to(memory_format=layouts[1])
        full[convolution] = fused.to(memory_format=layouts[0])
        full[normalisation] = low[normalisation] = nn.Identity()
    return (_copied(model, full), _copied(model, low)) if full else None


def _pairs(model: nn.Module, run: Callable[[], object]) -> list[tuple[nn.Conv2d, nn.BatchNorm2d]]:
    """Convolutions and normalisations that ran once each, one right on the output of the other."""
    runs: dict[nn.Module, int] = {}
    produced: dict[int, tuple[nn.Conv2d, Tensor]] = {}  # keeps the outputs, so that no identity comes twice
    found: list[tuple[nn.Conv2d, nn.BatchNorm2d]] = []
    here = get_ident()

    def after(module: nn.Module, inputs: tuple[Tensor, ...], output: Tensor) -> None:
        if get_ident() != here:  # another thread asks the model
            return
        runs[module] = runs.get(module, 0) + 1
        if isinstance(module, nn.Conv2d):
            produced[id(output)] = (module, output)
        elif isinstance(module, nn.BatchNorm2d) and inputs and id(inputs[0]) in produced:
            found.append((produced[id(inputs[0])][0], module))

    with hooked([module for module in model.modules() if _plain(module)], after):
        run()
    return [pair for pair in found if all(runs[module] == 1 for module in pair)]


def _plain(module: nn.Module) -> bool:
    """A convolution or a normalisation with running statistics that nobody has put anything on."""
    if module._forward_hooks or module._forward_pre_hooks or module._backward_hooks:
        return False
    if type(module) is nn.BatchNorm2d:
        return not module.training and module.running_mean is not None
    return type(module) is nn.Conv2d


def _copied(module: nn.Module, replaced: dict[nn.Module, nn.Module]) -> nn.Module:
    """The tree of modules anew, every tensor shared; `replaced` grows by each copy, so that sharing stays."""
    if module not in replaced:
        twin = object.__new__(type(module))  # a class may make and change its own in ways that refuse this
        replaced[module] = twin
        vars(twin).update(vars(module))
        vars(twin)["_modules"] = {
            name: None if child is None else _copied(child, replaced)
            for name, child in module._modules.items()
        }
    return replaced[module]
