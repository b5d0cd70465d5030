"""Inversion against closed forms: an invertible stack, the layer's own synthesis, and the original's procedure."""

from __future__ import annotations

from collections.abc import Callable

import pytest
import torch
from torch import Tensor, nn
from torch.nn import functional as F

import robustbench_sdnet as rs
from robustbench_sdnet.errors import InputError
from robustbench_sdnet.inside.inversion import invertible, undo
from robustbench_sdnet.inside.way import _variation, features, stages
from robustbench_sdnet.lambdas import Fixed, WithPolicy
from robustbench_sdnet.lambdas.sweep import stem_of
from robustbench_sdnet.zoo.nets.architectures import Coding
from robustbench_sdnet.zoo.nets.csc import csc2d
from robustbench_sdnet.zoo.nets.resnet import BasicBlock, SparseConvolution
from robustbench_sdnet.zoo.nets.sdnet import Classifier

from .conftest import pictures, settled


def orthonormal_pair(channels: int, seed: int) -> SparseConvolution:
    """A layer with the dictionary [Q, -Q] at the kernel's centre: A A^T = 2 I, so that 1 / L is 1/2."""
    q = torch.linalg.qr(torch.randn(channels, channels, generator=torch.Generator().manual_seed(seed)))[0]
    coding = Coding(lam=0.0, n_steps=300)
    layer = csc2d(channels, 2 * channels, size=(8, 8), coding=coding)
    with torch.no_grad():
        layer.weight.zero_()
        layer.weight[:, :, 1, 1] = torch.cat([q, -q])
        layer.step_size.fill_(0.5)
    layer.normalise()
    return SparseConvolution(layer)


def norm(channels: int, seed: int) -> nn.BatchNorm2d:
    generator = torch.Generator().manual_seed(seed)
    layer = nn.BatchNorm2d(channels)
    for values, low, high in (
        (layer.weight, 0.5, 2), (layer.bias, -1, 1), (layer.running_mean, -1, 1), (layer.running_var, 0.2, 2),
    ):  # fmt: skip
        values.data.uniform_(low, high, generator=generator)
    return layer.eval()


@pytest.mark.parametrize("depth", [0, 1])
def test_an_invertible_stack_gives_its_input_back(depth: int) -> None:
    net = settled("sdnet20_all", shortcut=False)
    block = net.layer1.layers[0]
    net.layer0[0], net.layer0[1] = orthonormal_pair(3, 0), norm(6, 1)
    block.conv1, block.bn1 = orthonormal_pair(6, 2), norm(12, 3)
    block.conv2, block.bn2 = orthonormal_pair(12, 4), norm(24, 5)
    net.eval()
    found = rs.reconstruct(_up_to(net, depth), pictures(), depth=depth)
    torch.testing.assert_close(found, pictures(), atol=1e-5, rtol=0)


def _up_to(net: Classifier, depth: int) -> Classifier:
    """The blocks behind a depth do not fit the wider ones before them: nothing must call them."""
    for stage in stages(net)[depth + 1 :]:
        stage.forward = _never
    return net


def _never(*_: object) -> Tensor:
    raise AssertionError("a block behind the depth was called")


@pytest.mark.parametrize("arch", ["sdnet20", "sdnet20_all", "sdnet18", "sdnet34_all"])
@pytest.mark.parametrize("lam", [0.0, 0.1, 0.6])
@pytest.mark.parametrize("size", [8, 9])
def test_depth_0_is_the_transposed_convolution_of_the_code(arch: str, lam: float, size: int) -> None:
    net = settled(arch)
    layer, images = net.layer0[0].dn, pictures(size=size)
    mean, std = net.normalise.mean, net.normalise.std
    with rs.use_lambda(net, lam):
        code = layer((images - mean) / std)
        found, held = rs.reconstruct(net, images), rs.codes(net, images)
    torch.testing.assert_close(held, code)
    expected = F.conv_transpose2d(code, layer.weight, padding=1) * std + mean
    torch.testing.assert_close(found, expected, atol=1e-4, rtol=0)
    torch.testing.assert_close(rs.dictionary(net), layer.weight)


@pytest.mark.parametrize("eps", [1e-5, 0.0])
@pytest.mark.parametrize(
    "options", [{}, {"pooling": True}, {"n_dict": 2}, {"input_size": 64}, {"input_size": 9}]
)
def test_every_depth_is_the_originals_procedure(options: dict[str, int], eps: float) -> None:
    """From the features (after BatchNorm) backwards, layer by layer, by the formulas of sdnet_inverse.py, which leaves
    epsilon out; with the layers' own, its exact form."""
    net = settled("sdnet20_all", shortcut=False, **options)
    for part in net.modules():
        if isinstance(part, nn.BatchNorm2d):
            part.eps = eps
    size = int(net.options["input_size"])
    images = pictures(2, size)
    for depth, feature in enumerate(features(net, images)):
        found = rs.reconstruct(net, images, depth)
        x = feature
        for index in range(depth - 1, -1, -1):
            block = stages(net)[index + 1]
            side = _side(net, index)
            x = _original(block.conv2, _batchnorm(block.bn2, x), x.shape[-1])
            x = _original(block.conv1, _batchnorm(block.bn1, x), side)
        for position, layer in reversed(list(enumerate(net.layer0))):
            side = size if position == 0 else -(-size // 2)
            x = _batchnorm(layer, x) if isinstance(layer, nn.BatchNorm2d) else _original(layer, x, side)
        torch.testing.assert_close(found, x * net.normalise.std + net.normalise.mean, atol=1e-4, rtol=1e-4)


def _side(net: Classifier, index: int) -> int:
    """The side of what block `index` is given."""
    return features(net, pictures(1, int(net.options["input_size"])), index)[0].shape[-1]


def _batchnorm(layer: nn.BatchNorm2d, y: Tensor) -> Tensor:
    """x = (y - b) / w * sqrt(var) + mean, written out, or with epsilon beside var."""
    parts = (layer.bias, layer.weight, layer.running_var, layer.running_mean)
    b, w, var, mean = (part.reshape(1, -1, 1, 1) for part in parts)
    return (
        (y - b) / w * var.sqrt() + mean if layer.eps == 0 else (y - b) / w * (var + layer.eps).sqrt() + mean
    )


def _original(layer: SparseConvolution, z: Tensor, side: int) -> Tensor:
    """x = A z: enlarged first where codes were pooled, and averaged over sub-dictionaries."""
    dn = layer.dn
    if layer.pool > 1:
        z = F.interpolate(z, size=(side, side), mode="bilinear", align_corners=False)
    kernel, stride = dn.weight.shape[-1], dn.operator.stride
    extra = side - (z.shape[-1] - 1) * stride + 2 * (kernel // 2) - kernel
    x = F.conv_transpose2d(z, dn.weight, None, stride, kernel // 2, extra)
    return x.reshape(len(x), dn.coding.n_dict, -1, side, side).mean(1)


def test_batchnorm_is_undone_exactly_where_the_original_leaves_its_epsilon_out() -> None:
    layer, y = norm(3, 7), torch.randn(2, 3, 4, 4, generator=torch.Generator().manual_seed(0))
    layer.eps = 0.1
    torch.testing.assert_close(layer(undo(layer, y)), y, atol=1e-5, rtol=0)
    layer.eps = 0.0
    published = _batchnorm(layer, y)
    torch.testing.assert_close(undo(layer, y), published, atol=1e-4, rtol=0)
    layer.eps = 0.1
    assert (layer(published) - y).abs().max() > 0.01


def test_a_channel_that_batchnorm_closes_comes_back_at_its_mean() -> None:
    layer = norm(2, 8)
    layer.weight.data[0] = 0
    found = undo(layer, layer(torch.randn(2, 2, 3, 3)))
    assert torch.isfinite(found).all()
    torch.testing.assert_close(found[:, 0], layer.running_mean[0].expand(2, 3, 3))


@pytest.mark.parametrize(("arch", "deepest"), [("sdnet18_all", 8), ("sdnet20_all", 9)])
def test_depths_go_to_the_last_block(arch: str, deepest: int) -> None:
    net = settled(arch, shortcut=False)
    assert invertible(net) == tuple(range(deepest + 1))
    assert rs.reconstruct(net, pictures(), deepest).shape == (4, 3, 8, 8)
    assert rs.codes(net, pictures(), deepest).min() >= 0
    with pytest.raises(
        InputError, match=f"depth must lie in 0 to {deepest} for this model, got {deepest + 1}"
    ):
        rs.reconstruct(net, pictures(), deepest + 1)
    for depth in (1.5, 1.0, "1"):
        with pytest.raises(InputError, match=f"depth must be a whole number, got {depth}"):
            rs.reconstruct(net, pictures(), depth)


@pytest.mark.parametrize(
    ("make", "depth", "message"),
    [
        (lambda: settled("sdnet20_all"), 1, "has shortcuts, so that only its stem can be inverted"),
        (lambda: settled("sdnet20"), 1, "followed by blocks with shortcuts: take depth 0"),
        (lambda: settled("resnet20"), 0, "has no sparse coding stem"),
        (lambda: nn.Flatten().eval(), 0, "has no sparse coding stem"),
        (lambda: rs.csc2d(3, 4, size=(8, 8)).eval(), 0, r"no sdnet that was built here.* layer\.atoms\(\)"),
        (lambda: settled("sdnet20_all", shortcut=False).train(), 0, r"Call model\.eval\(\) first"),
        (
            lambda: WithPolicy(settled("sdnet20"), Fixed(0.5)),
            0,
            r"WithPolicy sets lambda itself.* model\.model",
        ),
    ],
)
def test_what_cannot_be_inverted_is_one_line(make: Callable[[], nn.Module], depth: int, message: str) -> None:
    with pytest.raises(InputError, match=message) as caught:
        rs.reconstruct(make(), pictures(), depth)
    assert "\n" not in str(caught.value)
    with pytest.raises(InputError, match="method must be one of inverse, gradient"):
        rs.reconstruct(make(), pictures(), depth, method="magic")


def test_wrapped_models_and_dictionaries_of_shortcut_networks_can_be_looked_at(plain: Classifier) -> None:
    wrapped = nn.Sequential(plain).eval()
    torch.testing.assert_close(rs.reconstruct(wrapped, pictures(), 2), rs.reconstruct(plain, pictures(), 2))
    assert rs.dictionary(settled("sdnet20_all"), 4).shape == (8, 8, 3, 3)
    assert rs.dictionary(plain, 4).flatten(1).norm(dim=1).tolist() == pytest.approx([1.0] * 8)


class Orthogonal(nn.Module):
    """Features that are a rotation of the pixels, so that only the image itself has them."""

    def __init__(self) -> None:
        super().__init__()
        q = torch.linalg.qr(torch.randn(48, 48, generator=torch.Generator().manual_seed(0)))[0]
        self.turn, self.out = nn.Linear(48, 48, bias=False), nn.Linear(48, 3)
        self.turn.weight.data = q

    def forward(self, images: Tensor) -> Tensor:
        return self.out(self.turn(images.flatten(1)))


def test_feature_inversion_finds_the_image_that_alone_has_its_features() -> None:
    model, images = Orthogonal().eval(), pictures(3, 4)
    found = rs.reconstruct(model, images, 0, method="gradient")
    torch.testing.assert_close(found, images, atol=0.02, rtol=0)
    torch.testing.assert_close(rs.reconstruct(model, images[1:2], 0, method="gradient"), found[1:2])
    with torch.no_grad():
        model.turn.weight /= 128  # smoothness weighs as much where features are small
    torch.testing.assert_close(rs.reconstruct(model, images, 0, method="gradient"), found)
    even = rs.inside.invert_features(model, images, 0, smoothness=100)
    assert bool((_variation(even) < 0.1 * _variation(images)).all())


def test_feature_inversion_without_a_step_is_refused() -> None:
    """It gave the grey that it starts from."""
    with pytest.raises(InputError, match=r"steps must be a whole number from 1 to .*, got '0'"):
        rs.inside.invert_features(Orthogonal().eval(), pictures(1, 4), 0, steps=0)


def test_smoothness_is_asked_down_and_across() -> None:
    ramp = torch.arange(4.0).expand(1, 3, 4, 4)
    assert _variation(ramp).item() == _variation(ramp.mT).item() == 0.5


@pytest.mark.parametrize("arch", ["resnet20", "sdnet20"])
def test_feature_inversion_takes_any_network_and_depth(arch: str) -> None:
    net, images = settled(arch), pictures(2)
    target = features(net, images, 2)[0]
    found = features(net, rs.reconstruct(net, images, 2, method="gradient"), 2)[0]
    grey = features(net, torch.full_like(images, 0.5), 2)[0]
    assert (found - target).norm() < 0.5 * (grey - target).norm()


def test_codes_are_those_of_the_network_where_odd_maps_are_pooled() -> None:
    net = settled("sdnet20_all", shortcut=False, pooling=True, input_size=30)
    seen: list[Tensor] = []
    block = [part for part in net.modules() if isinstance(part, BasicBlock)][6]
    block.conv2.dn.register_forward_hook(lambda layer, given, made: seen.append(made))
    net(pictures(2, 30))
    assert seen[0].shape[2:] == (8, 8)
    torch.testing.assert_close(rs.codes(net, pictures(2, 30), 7), seen[0])


def test_features_are_what_a_part_gave_though_the_next_works_in_place() -> None:
    parts = nn.Sequential(nn.Conv2d(3, 4, 3), nn.BatchNorm2d(4), nn.ReLU(inplace=True), nn.Flatten()).eval()
    assert torch.equal(features(parts, pictures())[1], features(parts, pictures(), 1)[0])
    assert features(parts, pictures())[1].min() < 0
    whole = nn.Flatten().eval()  # of one part
    (found,) = features(whole, pictures())
    assert torch.equal(found, whole(pictures()))


class Trying(Fixed):
    """A policy that runs the network at another lambda and looks at its stem before it chooses."""

    def __call__(self, model: nn.Module, images: Tensor) -> Tensor:
        with rs.use_lambda(model, 3.0):
            model(images)
        stem_of(model, images)
        return Fixed.__call__(self, model, images)


def own() -> nn.Module:
    """A network with a part before its stem."""
    stem = rs.csc2d(3, 4, size=(8, 8))
    return nn.Sequential(nn.Conv2d(3, 3, 1), stem, nn.Flatten(), nn.Linear(256, 3)).eval()


@pytest.mark.parametrize("make", [lambda: settled("sdnet20"), own])
def test_features_behind_a_policy_are_those_at_the_lambda_it_chooses(make: Callable[[], nn.Module]) -> None:
    """They were those of the first lambda that it tried."""
    net, images = make(), pictures()
    with rs.use_lambda(net, torch.full((4,), 0.5)):
        expected = features(net, images)
        made = rs.inside.invert_features(net, images, 0, steps=3)
    model = WithPolicy(net, Trying(0.5))
    assert all(map(torch.equal, features(model, images), expected))
    for depth, one in enumerate(expected):
        assert torch.equal(features(model, images, depth)[0], one)
    assert torch.equal(rs.inside.invert_features(model, images, 0, steps=3), made)
