"""Atoms of unit norm: when a layer normalises them again, and when it leaves their bits alone."""

from __future__ import annotations

import copy
import pickle
from collections.abc import Callable

import pytest
import torch
from torch import nn
from torch.nn.utils import prune

from robustbench_sdnet.zoo import load_model
from robustbench_sdnet.zoo.nets.csc import csc2d


def test_weights_that_change_in_training_without_a_trace_are_normalised_again():
    layer = csc2d(3, 8, size=(8, 8))
    layer.refresh()
    x = torch.rand(2, 3, 8, 8)
    layer.train()
    layer.weight.data.view(-1).numpy()[:] *= 3  # as a fused optimiser writes: the version stays
    layer.eval()
    assert torch.allclose(layer.atoms().flatten(1).norm(dim=1), torch.ones(8))
    assert torch.isfinite(layer(x)).all()


def test_a_copied_or_pickled_model_of_the_zoo_answers_with_the_same_bits() -> None:
    images = torch.rand(16, 3, 32, 32)
    for name in ("cifar10/sdnet20", "cifar10/sdnet20_all"):
        model = load_model(name)
        answers = model(images)
        assert torch.equal(copy.deepcopy(model)(images), answers)
        assert torch.equal(pickle.loads(pickle.dumps(model))(images), answers)


def _by_vector(layer: nn.Module) -> None:
    vector = nn.utils.parameters_to_vector(layer.parameters())
    nn.utils.vector_to_parameters(3 * vector, layer.parameters())


def _by_pruning(layer: nn.Module) -> None:
    prune.l1_unstructured(layer, "weight", 0.5)
    prune.remove(layer, "weight")


def _twice(layer: nn.Module) -> None:
    """The second values lie where those of the layer lay at first."""
    first = layer.weight.data
    layer.weight.data = 3 * first
    layer(torch.zeros(1, 3, 8, 8))
    layer.weight.data = first.mul_(5)


@pytest.mark.parametrize("change", [_by_vector, _by_pruning, _twice])
def test_new_values_of_a_frozen_weight_are_normalised(change: Callable[[nn.Module], None]) -> None:
    layer = csc2d(3, 8, size=(8, 8))
    layer.refresh()
    layer.eval()
    change(layer)
    torch.testing.assert_close(layer.atoms().flatten(1).norm(dim=1), torch.ones(8))


def test_atoms_that_are_nearly_of_unit_norm_are_normalised() -> None:
    layer = csc2d(3, 8, size=(8, 8)).eval().requires_grad_(False)
    with torch.no_grad():
        layer.weight.mul_(1.0003)
    torch.testing.assert_close(layer.atoms().flatten(1).norm(dim=1), torch.ones(8), rtol=0, atol=1e-6)


def test_the_gradient_of_a_dictionary_in_evaluation_is_that_of_normalising_too() -> None:
    """A network may learn on with BatchNorm frozen by eval(); differences see the norm, which no answer depends on."""
    torch.manual_seed(0)
    layer = csc2d(2, 3, size=(5, 5)).double().eval()
    layer.refresh()
    x, weights = torch.rand(1, 2, 5, 5).double(), torch.rand(1, 3, 5, 5).double()
    (layer(x) * weights).sum().backward()
    assert layer.weight.grad is not None
    along = (layer.weight.grad * layer.weight).flatten(1).sum(1)
    torch.testing.assert_close(along, torch.zeros(3).double(), rtol=0, atol=1e-12)


def test_a_copy_in_evaluation_answers_to_the_bit() -> None:
    torch.manual_seed(0)
    layer = csc2d(3, 8, size=(8, 8)).eval()
    x = torch.rand(2, 3, 8, 8)
    layer.refresh()
    found = layer(x)
    assert torch.equal(copy.deepcopy(layer)(x), found)
    with torch.no_grad():
        assert torch.equal(layer(x), found)


def test_a_moved_layer_is_not_normalised_again() -> None:
    layer = csc2d(3, 8, size=(8, 8))
    layer.refresh()
    layer.eval().requires_grad_(False)
    assert layer.atoms() is layer.weight
    assert layer.double().atoms() is layer.weight
