"""The sparse coding layer against closed forms, another solver and finite differences."""

from __future__ import annotations

import math
from collections.abc import Callable
from itertools import pairwise

import numpy as np
import pytest
import torch
from sklearn.linear_model import Lasso
from torch import Tensor, nn
from torch.nn import functional as F

from robustbench_sdnet.errors import InputError
from robustbench_sdnet.zoo.nets.architectures import Coding
from robustbench_sdnet.zoo.nets.control import (
    auxiliary_objective,
    refresh_step_sizes,
    residuals,
    use_lambda,
)
from robustbench_sdnet.zoo.nets.csc import SparseCoding, csc1d, csc2d, csc_linear
from robustbench_sdnet.zoo.nets.fista import fista

Maker = Callable[[Coding], tuple[SparseCoding, Tensor]]


def vectors(coding: Coding) -> tuple[SparseCoding, Tensor]:
    return csc_linear(5, 7, coding=coding), torch.randn(3, 5)


def tokens(coding: Coding) -> tuple[SparseCoding, Tensor]:
    return csc_linear(5, 7, coding=coding), torch.randn(3, 4, 5)


def signals(coding: Coding) -> tuple[SparseCoding, Tensor]:
    return csc1d(2, 4, length=8, stride=2, coding=coding), torch.randn(3, 2, 8)


def images(coding: Coding) -> tuple[SparseCoding, Tensor]:
    return csc2d(2, 4, size=(4, 4), coding=coding), torch.randn(3, 2, 4, 4)


def wide(coding: Coding) -> tuple[SparseCoding, Tensor]:
    return csc2d(2, 4, size=(4, 7), stride=2, coding=coding), torch.randn(3, 2, 4, 7)


KINDS = [vectors, tokens, signals, images]


def ready(make: Maker, **coding: object) -> tuple[SparseCoding, Tensor]:
    """A frozen float64 layer and a batch for it."""
    torch.manual_seed(3)
    layer, x = make(Coding(**coding))
    layer.eval().double().refresh()
    return layer, x.double()


def objective(layer: SparseCoding, x: Tensor, code: Tensor) -> Tensor:
    """What the layer minimises, written out by hand."""
    residual = x - layer.operator.synthesise(code, layer.atoms(), x)
    penalty = layer.coding.lam * code.abs() + layer.coding.mu / 2 * code.square()
    return residual.square().flatten(1).sum(1) / 2 + penalty.flatten(1).sum(1)


@pytest.mark.parametrize("non_negative", [True, False])
@pytest.mark.parametrize(("n_steps", "share"), [(1, 0.9), (2, 0.99), (60, 1.0)])
def test_an_orthonormal_dictionary_gives_soft_thresholding(
    n_steps: int, share: float, non_negative: bool
) -> None:
    # L = 1, so the step is 0.9: one step reaches 0.9 of the solution, the second 0.9 of the rest.
    coding = Coding(lam=0.3, n_steps=n_steps, non_negative=non_negative, gradient_at="momentum")
    basis = torch.linalg.qr(torch.randn(6, 6, generator=torch.Generator().manual_seed(0)).double())[0]
    layer = csc_linear(6, 6, coding=coding).eval().double()
    with torch.no_grad():
        layer.weight.copy_(basis)
    layer.refresh()
    assert layer.step_size.item() == pytest.approx(0.9)
    x = torch.randn(4, 6, dtype=torch.float64)
    expected = share * F.softshrink(x @ basis.T, 0.3)
    torch.testing.assert_close(layer(x), expected.relu() if non_negative else expected, rtol=0, atol=1e-7)


@pytest.mark.parametrize(
    ("gradient_at", "n_steps", "tolerance"), [("momentum", 4000, 1e-6), ("code", 500, 0.03)]
)
@pytest.mark.parametrize("non_negative", [True, False])
@torch.no_grad()
def test_fista_converges_to_the_lasso_solution_of_scikit_learn(
    non_negative: bool, gradient_at: str, n_steps: int, tolerance: float
) -> None:
    # With the gradient at the code the momentum dies out slowly: the same steps come less near.
    torch.manual_seed(0)
    lam = 0.2
    coding = Coding(lam=lam, n_steps=n_steps, non_negative=non_negative, gradient_at=gradient_at)
    layer = csc_linear(12, 20, coding=coding).eval().double()
    layer.refresh()
    x = torch.randn(3, 12, dtype=torch.float64)
    # scikit-learn divides the data term by the number of rows: alpha = lam / 12 is the same problem.
    solver = Lasso(alpha=lam / 12, fit_intercept=False, positive=non_negative, tol=1e-12, max_iter=100_000)
    design = layer.weight.detach().numpy().T
    expected = np.stack([solver.fit(design, row).coef_ for row in x.numpy()])
    np.testing.assert_allclose(layer(x).numpy(), expected, atol=tolerance)
    assert (expected != 0).any()


def test_the_elastic_net_solution_meets_its_optimality_condition() -> None:
    layer, x = ready(images, lam=0.1, mu=0.5, n_steps=600, gradient_at="momentum")
    code = layer(x).detach()
    residual = x - layer.operator.synthesise(code, layer.atoms(), x)
    gradient = (
        layer.operator.analyse(residual, layer.atoms()) - 0.5 * code
    )  # equals lam where the code is positive
    assert (gradient[code > 0] - 0.1).abs().max() < 1e-8
    assert gradient[code == 0].max() <= 0.1 + 1e-8
    assert (code > 0).any()
    assert (code == 0).any()


def test_two_steps_equal_the_recursion_written_out() -> None:
    layer, x = ready(images, lam=0.2, mu=0.3, n_steps=3)
    atoms, eta = layer.atoms(), layer.step_size
    s = 1 / (1 + 0.3 * eta)

    def prox(u: Tensor) -> Tensor:
        return F.softshrink(u * s, (0.2 * eta * s).item()).relu()

    def gradient(z: Tensor) -> Tensor:
        return F.conv2d(x - F.conv_transpose2d(z, atoms, padding=1), atoms, padding=1)

    first = prox(eta * F.conv2d(x, atoms, padding=1))
    second = prox(first + eta * gradient(first))
    t = (1 + math.sqrt(5)) / 2
    momentum = (t - 1) / ((1 + math.sqrt(1 + 4 * t * t)) / 2)
    third = prox(second + momentum * (second - first) + eta * gradient(second))
    torch.testing.assert_close(layer(x), third, rtol=1e-12, atol=1e-12)


@pytest.mark.parametrize("make", KINDS)
@pytest.mark.parametrize("non_negative", [True, False])
def test_each_step_lowers_the_objective(make: Maker, non_negative: bool) -> None:
    values = []
    for n_steps in (1, 2):
        layer, x = ready(make, lam=0.05, n_steps=n_steps, non_negative=non_negative)
        values.append(objective(layer, x, layer(x)))
    at_zero = x.square().flatten(1).sum(1) / 2
    assert (values[0] < at_zero).all()
    assert (values[1] < values[0]).all()


@pytest.mark.parametrize("make", KINDS)
@pytest.mark.parametrize(
    "coding",
    [
        {},
        {"non_negative": False, "mu": 0.2, "n_steps": 3},
        {"square_noise": False, "n_steps": 3, "gradient_at": "momentum"},
        {"n_dict": 2, "rescale_lambda": True},
    ],
)
def test_gradients_agree_with_finite_differences(make: Maker, coding: dict[str, object]) -> None:
    layer, x = ready(make, lam=0.05, **coding)
    lam = torch.tensor([0.03, 0.05, 0.08], dtype=torch.float64, requires_grad=True)
    weight = layer.weight.detach().clone().requires_grad_()

    def run(x: Tensor, weight: Tensor, lam: Tensor) -> Tensor:
        with use_lambda(layer, lam):
            out: Tensor = torch.func.functional_call(layer, {"weight": weight}, (x,))
        return out

    assert torch.autograd.gradcheck(
        run, (x.requires_grad_(), weight, lam), fast_mode=True, raise_exception=False
    )
    (gradient,) = torch.autograd.grad(run(x, weight, lam).sum(), lam)
    assert (gradient != 0).all()


@pytest.mark.parametrize("make", KINDS)
def test_one_lambda_for_each_sample_equals_fixed_lambdas(make: Maker) -> None:
    layer, x = ready(make)
    lams = [0.0, 0.1, 0.4]
    with use_lambda(layer, torch.tensor(lams)):
        together = layer(x)
        energies = layer.residual(x)
    for i, lam in enumerate(lams):
        with use_lambda(layer, lam):
            torch.testing.assert_close(together[i], layer(x)[i], rtol=0, atol=1e-7)
            torch.testing.assert_close(energies[i], layer.residual(x)[i])


def test_a_lambda_for_each_sample_must_fit_the_batch() -> None:
    layer, x = ready(vectors)
    with use_lambda(layer, torch.rand(2)), pytest.raises(InputError, match="2 values for a batch of 3"):
        layer(x)


@pytest.mark.parametrize("make", KINDS)
def test_the_step_size_belongs_to_the_largest_eigenvalue(make: Maker) -> None:
    layer, x = ready(make)

    def synthesise(flat: Tensor) -> Tensor:
        code = flat.reshape(1, *layer(x).shape[1:])
        return layer.operator.synthesise(code, layer.atoms(), x[:1]).flatten()

    matrix = torch.func.jacrev(synthesise)(torch.zeros(layer(x)[0].numel(), dtype=torch.float64))
    if make is tokens:  # tokens are coded one by one, so one token's block tells
        matrix = layer.weight.detach().T
    largest = torch.linalg.matrix_norm(matrix, 2).item() ** 2
    assert layer.step_size.item() == pytest.approx(0.9 / largest, rel=1e-3)


def test_the_step_size_depends_on_the_weights_alone() -> None:
    layer, x = ready(images)
    before = layer.step_size.clone()
    layer.train()
    layer(x + 1)
    layer.eval()
    torch.manual_seed(99)
    layer.refresh()
    assert torch.equal(layer.step_size, before)


def test_step_sizes_are_computed_as_far_for_a_model_as_for_a_layer() -> None:
    layer, _ = ready(images)
    wanted = layer.step_size.clone()
    refresh_step_sizes(layer, max_steps=10)
    assert not torch.equal(layer.step_size, wanted)
    refresh_step_sizes(layer)
    assert torch.equal(layer.step_size, wanted)


def test_evaluation_computes_no_step_size_and_changes_nothing() -> None:
    layer, x = ready(images)
    state = {key: value.clone() for key, value in layer.state_dict().items()}
    calls = []
    synthesise = type(layer.operator).synthesise

    class Counting(type(layer.operator)):
        def synthesise(self, *arguments: Tensor) -> Tensor:
            calls.append(1)
            return synthesise(self, *arguments)

    layer.operator = Counting(2, 1, 1)
    layer(x)
    assert len(calls) == layer.coding.n_steps - 1  # one residual a step after the first: no power iteration
    assert all(torch.equal(value, state[key]) for key, value in layer.state_dict().items())


def test_training_steps_warm_start_towards_the_exact_step_size() -> None:
    layer, x = ready(images)
    exact = layer.step_size.item()
    layer.train()
    layer(x)  # goes on where the exact one was found
    assert layer.step_size.item() == pytest.approx(exact, rel=1e-4)
    layer.power_vector.copy_(csc2d(2, 4, size=(4, 4)).power_vector)
    steps = []
    for _ in range(60):
        layer(x)
        steps.append(layer.step_size.item())
    assert abs(steps[0] / exact - 1) > 1e-2
    assert steps[-1] == pytest.approx(exact, rel=1e-3)
    assert all(later <= earlier + 1e-12 for earlier, later in pairwise(steps))


def test_two_training_forwards_can_share_a_backward_pass() -> None:
    layer, x = ready(images)
    layer.train()
    (layer(x).sum() + layer(2 * x).sum()).backward()
    assert layer.weight.grad is not None
    assert layer.weight.grad.abs().sum() > 0


def test_atoms_are_of_unit_norm_whatever_the_weights() -> None:
    layer, x = ready(images)
    expected = layer(x)
    with torch.no_grad():
        layer.weight.mul_(torch.tensor([2.0, 0.5, 3.0, 1.0]).reshape(4, 1, 1, 1))
    torch.testing.assert_close(layer(x), expected)
    layer.normalise()
    torch.testing.assert_close(layer.weight.flatten(1).norm(dim=1), torch.ones(4, dtype=torch.float64))
    kept = layer.weight.clone()
    layer.normalise()
    assert torch.equal(layer.weight, kept)


@pytest.mark.parametrize(("make", "channels"), [(vectors, 1), (tokens, 2), (signals, 1), (images, 1)])
def test_a_repeated_input_is_coded_over_every_sub_dictionary(make: Maker, channels: int) -> None:
    layer, x = ready(make, n_dict=2, n_steps=5)
    twice = torch.cat([x, x], channels)
    plain = Coding(n_steps=5)
    expected = fista(
        twice, layer.atoms(), layer.operator, step=layer.step_size, lam=layer.coding.lam, coding=plain
    )
    assert torch.equal(layer(x), expected)
    energy = (twice - layer.operator.synthesise(expected, layer.atoms(), twice)).square().flatten(1).sum(
        1
    ) / 2
    torch.testing.assert_close(layer.residual(x), energy)


@pytest.mark.parametrize("make", [*KINDS, wide])
def test_a_rescaled_lambda_follows_the_sizes(make: Maker) -> None:
    rescaled, x = ready(make, lam=0.1, rescale_lambda=True)
    plain, _ = ready(make, lam=0.1)
    with use_lambda(plain, 0.1 * (x[0].numel() / plain(x)[0].numel())):
        assert torch.equal(rescaled(x), plain(x))
        assert rescaled(x[:0]).shape == plain(x[:0]).shape


def test_without_the_square_the_residual_is_normalised() -> None:
    layer, x = ready(vectors, square_noise=False)
    atoms, eta, lam = layer.atoms(), layer.step_size, layer.coding.lam
    first = (eta * (x @ atoms.T - lam)).relu()
    residual = x - first @ atoms
    gradient = residual / (2 * residual.norm(dim=1, keepdim=True)) @ atoms.T
    torch.testing.assert_close(layer(x), (first + eta * (gradient - lam)).relu())
    assert not layer(torch.zeros_like(x)).any(), "a black image has no direction, and no code"


def test_the_auxiliary_objective_weighs_codes_by_the_lambda_that_made_them() -> None:
    layer, x = ready(images, lam=0.2, rescale_lambda=True)
    for lam in (0.3, torch.tensor([0.1, 0.2, 0.4])):
        with auxiliary_objective(layer) as collect, use_lambda(layer, lam):
            code = layer(x)
            total = collect()
        energy = (x - layer.operator.synthesise(code, layer.atoms(), x)).square().sum()
        lengths = lam * code.abs().flatten(1).sum(1) * (x[0].numel() / code[0].numel())
        torch.testing.assert_close(total, (energy + lengths.sum()) / 3)


def test_the_auxiliary_objective_is_what_the_layers_minimise() -> None:
    layer, x = ready(images, lam=0.2, mu=0.1)
    with auxiliary_objective(layer) as collect:
        code = layer(x)
        total = collect()
        assert collect().item() == 0
    energy = (x - layer.operator.synthesise(code, layer.atoms(), x)).square().sum()
    expected = (energy + 0.2 * code.abs().sum() + 0.05 * code.square().sum()) / 3
    torch.testing.assert_close(total, expected)


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"lam": -0.1}, "lam must lie in 0 to"),
        ({"mu": float("nan")}, "mu must lie in 0 to"),
        ({"n_steps": 0}, "n_steps must be a whole number from 1"),
        ({"n_dict": 1.5}, "n_dict must be a whole number"),
        ({"power_steps": -1}, "power_steps must be a whole number from 0"),
        ({"square_noise": "no"}, "square_noise must be true or false"),
        ({"gradient_at": "x"}, "Unknown gradient_at 'x'.*Known: code, momentum"),
    ],
)
def test_bad_hyper_parameters_are_refused(options: dict[str, object], message: str) -> None:
    with pytest.raises(InputError, match=message):
        Coding(**options)


@pytest.mark.parametrize(
    ("make", "message"),
    [
        (lambda: csc2d(0, 4, size=(8, 8)), "channels must be a whole number from 1 to .* got '0'"),
        (lambda: csc2d(3, -1, size=(8, 8)), "atoms must be a whole number from 1"),
        (lambda: csc2d(3, 4, size=(0, 8)), "height must be a whole number from 1"),
        (lambda: csc2d(3, 4, size=(8, 8), stride=0), "stride must be a whole number from 1"),
        (lambda: csc1d(3, 4, length=8, kernel=2.5), "kernel must be a whole number, got '2.5'"),
        (lambda: csc1d(3, 4, length=8, kernel=-1), "kernel must be a whole number from 1"),
        (lambda: csc_linear(3, 0), "atoms must be a whole number from 1"),
        (lambda: csc2d(1, 4, size=8), r"size must be \(height, width\), such as \(32, 32\), got 8"),
        (lambda: csc2d(1, 4, size=(8,)), r"size must be \(height, width\), such as \(32, 32\), got \(8,\)"),
        (
            lambda: csc2d(1, 4, size=(8, 8), coding={"lam": 0.1}),
            r"coding must be one such as Coding\(lam=0.1\)",
        ),
        (lambda: csc1d(1, 4, length=8, coding={"lam": 0.1}), "coding must be one such as"),
        (lambda: csc_linear(3, 4, coding={"lam": 0.1}), "coding must be one such as"),
    ],
)
def test_a_layer_that_cannot_be_is_refused(make: Callable[[], object], message: str) -> None:
    with pytest.raises(InputError, match=message):
        make()


@pytest.mark.parametrize("kernel", [4, np.int64(2)])
def test_atoms_without_a_middle_are_refused(kernel: int) -> None:
    """Codes of even kernels were a pixel larger than is said: 9 x 9 for 8 x 8."""
    for make in (
        lambda: csc2d(3, 8, size=(8, 8), kernel=kernel),
        lambda: csc1d(3, 8, length=8, kernel=kernel),
    ):
        with pytest.raises(InputError, match=f"kernel must be odd, such as 3, got {kernel}"):
            make()


@pytest.mark.parametrize(
    "lam", [torch.tensor(0.5, dtype=torch.float64), torch.full((2,), 0.5, dtype=torch.float64)]
)
def test_a_lambda_of_another_precision_is_taken_as_the_number_it_is(lam):
    layer = csc2d(3, 8, size=(8, 8)).eval()
    x = torch.rand(2, 3, 8, 8)
    with use_lambda(layer, 0.5):
        wanted = layer(x)
    with use_lambda(layer, lam):
        # Codes of about 1, some just above zero.
        assert torch.allclose(layer(x), wanted, rtol=1e-5, atol=1e-6)


@pytest.mark.parametrize("make", [vectors, tokens, signals, images])
@pytest.mark.parametrize("training", [False, True])
def test_a_layer_that_never_trained_codes_with_its_own_step_size(make: Maker, training: bool) -> None:
    torch.manual_seed(0)
    layer, x = make(Coding(lam=0.0, n_steps=10, power_steps=0))
    layer.train(training)
    began = layer.power_vector.clone()
    energy = layer.residual(x)
    # With the step size 1 that the buffer begins with every step would raise it, the tenth to many times the input's.
    assert bool((energy < x.square().flatten(1).sum(1)).all())
    assert torch.equal(layer.power_vector, began)  # where training will begin, as ever
    step = layer.step_size.clone()
    layer.refresh()
    assert torch.allclose(step, layer.step_size, rtol=1e-4)
    layer.step_size.fill_(0.01)  # another one is taken as it is
    layer(x)
    assert float(layer.step_size) == pytest.approx(0.01)


def test_a_model_that_calls_another_sparse_layer_first_has_no_clear_stem():
    class Crossed(nn.Module):
        def __init__(self):
            super().__init__()
            self.late, self.early = csc2d(4, 4, size=(8, 8)), csc2d(3, 4, size=(8, 8))

        def forward(self, images):
            return self.late(self.early(images)).mean((2, 3))

    with pytest.raises(InputError, match=r"not clear which is its stem\. Assign the stem first"):
        residuals(Crossed().eval(), torch.rand(2, 3, 8, 8))
