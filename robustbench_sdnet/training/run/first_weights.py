"""The weights that a run begins with: random ones of a seed, or those of a model that was trained before."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import torch

from ...errors import InputError
from ...zoo.files.cards import read_card
from ...zoo.files.weights import load_checkpoint
from ...zoo.names import own_checkpoint
from ...zoo.nets.control import refresh_step_sizes
from ...zoo.nets.sdnet import Classifier, build_model


def random_model(seed: int, arch: str, options: Mapping[str, Any]) -> Classifier:
    """A model with the random weights of a seed: float32's on the CPU, whatever PyTorch's defaults are."""
    before = torch.get_default_dtype()
    torch.set_default_dtype(torch.float32)
    try:
        with torch.random.fork_rng([]), torch.device("cpu"):
            torch.default_generator.manual_seed(seed)
            return build_model(arch, **options)
    finally:
        torch.set_default_dtype(before)


def checkpoint_of(source: str) -> Path:
    """The file of the model that `train.init` names; InputError for nothing of that name."""
    try:
        return own_checkpoint(source)
    except InputError as error:
        raise InputError(f"train.init: {error}") from None


def begin_with(source: str, model: torch.nn.Module) -> str:
    """Copy the weights of a model that was trained before, and say whose they are.

    Of a network with the same body but plain convolutions where this one codes, each convolution is the first
    dictionary of its layer: a step of FISTA is a convolution and a ReLU. Step sizes follow from the atoms.

    Raises:
        InputError: nothing of that name, another body, or another normalisation.
    """
    path = checkpoint_of(source)
    found, own = load_checkpoint(path).state_dict(), model.state_dict()
    theirs, ours = _body(found), _body(own)
    if {name: tensor.shape for name, tensor in theirs.items()} != {name: t.shape for name, t in ours.items()}:
        raise InputError(
            f"train.init: '{source}' has another architecture, width or number of classes than the model to train. "
            "Name a checkpoint of the same network, or leave it out."
        )
    card = read_card(path)
    if any(not torch.equal(found[name], own[name]) for name in own if name.startswith("normalise.")):
        mean, std = (f"[{', '.join(map(str, values))}]" for values in (card.mean, card.std))
        raise InputError(
            f"train.init: '{source}' normalises images differently from the model to train. Give its numbers: "
            f"--set model.mean='{mean}' --set model.std='{std}'."
        )
    said = f"{card.name} (weights {card.weights_hash[:16]})"
    if {name: tensor.shape for name, tensor in found.items()} == {name: t.shape for name, t in own.items()}:
        model.load_state_dict(found)
        return said
    names = {_place(name): name for name in own}
    model.load_state_dict({names[place]: tensor for place, tensor in theirs.items()}, strict=False)
    refresh_step_sizes(model, max_steps=10)
    if found.keys() == own.keys():
        return said
    coded, here = (sum(".dn.weight" in name for name in state) for state in (found, own))
    how = "convolutions as first dictionaries" if coded < here else "dictionaries as first convolutions"
    return f"{said}, its {how}"


def _body(state: Mapping[str, torch.Tensor]) -> dict[str, torch.Tensor]:
    """The tensors by their place in the network, without what follows from a dictionary."""
    derived = ("step_size", "power_vector")
    return {_place(name): tensor for name, tensor in state.items() if not name.endswith(derived)}


def _place(name: str) -> str:
    """Where a tensor stands in a network, whether its layer codes or not."""
    return name.replace(".layers.", ".").replace(".dn.", ".")
