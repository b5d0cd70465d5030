"""Architectures, their options, and what can be done to a model from outside."""

from __future__ import annotations

import copy

import numpy as np
import pytest
import torch
from torch import Tensor, nn
from torch.fx.experimental.proxy_tensor import make_fx

from robustbench_sdnet.errors import InputError
from robustbench_sdnet.lambdas import Fixed, WithPolicy
from robustbench_sdnet.zoo import (
    ARCHITECTURES,
    auxiliary_objective,
    build_model,
    csc_layers,
    has_lambda,
    normalise_atoms,
    refresh_step_sizes,
    residuals,
    use_lambda,
)
from robustbench_sdnet.zoo.nets.architectures import unusual
from robustbench_sdnet.zoo.nets.resnet import BasicBlock


def frozen(arch: str, **options: object) -> nn.Module:
    torch.manual_seed(0)
    return build_model(arch, **({"width": 4, "input_size": 8} | options)).eval()


def pictures(n: int = 3, side: int = 8) -> Tensor:
    return torch.rand((n, 3, side, side), generator=torch.Generator().manual_seed(1))


# Weights of convolutions, BatchNorm and the last layer. The 20-layer network of He et al. 2016 has 0.27 million.
PARAMETERS = {"resnet20": 269_722, "resnet18": 11_173_962, "resnet34": 21_282_122}


@pytest.mark.parametrize("arch", ["resnet20", "resnet18"])
def test_plain_networks_have_the_published_number_of_weights(arch: str) -> None:
    assert sum(p.numel() for p in build_model(arch).parameters()) == PARAMETERS[arch]


@pytest.mark.parametrize("arch", sorted(ARCHITECTURES))
def test_every_architecture_runs_and_trains(arch: str) -> None:
    model = frozen(arch, num_classes=5)
    images = pictures()
    assert model(images).shape == (3, 5)
    model.train()(images).sum().backward()
    assert all(p.grad is not None and p.grad.isfinite().all() for p in model.parameters())
    expected = {"none": 0, "stem": 1, "all": 1 + 2 * sum(ARCHITECTURES[arch].blocks)}
    assert len(csc_layers(model)) == expected[ARCHITECTURES[arch].sparse]
    assert has_lambda(model) == (ARCHITECTURES[arch].sparse != "none")


@pytest.mark.parametrize("arch", ["sdnet18", "sdnet18_all", "resnet18"])
def test_the_imagenet_stem_is_taken_from_64_pixels_on(arch: str) -> None:
    model = build_model(arch, width=4, input_size=64, num_classes=7).eval()
    assert model.options["stem"] == "imagenet"
    assert model.options["mean"] == (0.485, 0.456, 0.406)
    assert model(pictures(2, 64)).shape == (2, 7)
    small = build_model(arch, width=4, input_size=64, stem="cifar").eval()
    assert small(pictures(2, 64)).shape == (2, 10)


def test_without_shortcuts_there_are_none() -> None:
    model = frozen("sdnet20_all", shortcut=False)
    assert all(block.shortcut is None for block in model.modules() if isinstance(block, BasicBlock))
    assert not any("shortcut" in key for key in model.state_dict())
    assert model(pictures()).shape == (3, 10)


@pytest.mark.parametrize("shortcut", [True, False])
def test_pooling_rounds_odd_sizes_up_as_strides_do(shortcut: bool) -> None:
    shapes = []
    for pooling in (True, False):
        model = frozen("sdnet20_all", input_size=30, pooling=pooling, shortcut=shortcut)
        model.layer3.register_forward_hook(lambda module, inputs, output: shapes.append(output.shape))
        assert model(torch.rand(2, 3, 30, 26)).shape == (2, 10)
    assert shapes[0] == shapes[1] == (2, 16, 8, 7)


def test_pooling_replaces_the_stride_of_sparse_blocks() -> None:
    model = frozen("sdnet20_all", pooling=True)
    strides = {layer.operator.stride for layer in csc_layers(model)}
    assert strides == {1}
    assert model(pictures()).shape == (3, 10)
    assert not torch.equal(model(pictures()), frozen("sdnet20_all")(pictures()))


def test_odd_image_sizes_can_be_coded() -> None:
    assert frozen("sdnet20_all", input_size=9)(pictures(2, 9)).shape == (2, 10)


def test_normalisation_is_the_first_layer() -> None:
    plain = frozen("sdnet20", mean=(0, 0, 0), std=(1, 1, 1))
    ours = frozen("sdnet20")
    images = pictures()
    mean, std = torch.tensor((0.4914, 0.4822, 0.4465)), torch.tensor((0.2023, 0.1994, 0.2010))
    by_hand = (images - mean.reshape(3, 1, 1)) / std.reshape(3, 1, 1)
    torch.testing.assert_close(ours(images), plain(by_hand))
    torch.testing.assert_close(residuals(ours, images), residuals(plain, by_hand))


def test_options_build_the_same_model_again() -> None:
    model = frozen("sdnet20_all", mu=0.1, n_steps=3, shortcut=False, num_classes=4)
    again = build_model(model.arch, **model.options).eval()
    again.load_state_dict(model.state_dict())
    assert torch.equal(again(pictures()), model(pictures()))


@pytest.mark.parametrize("arch", ["resnet20", "sdnet20", "sdnet20_all"])
def test_float64_agrees_with_float32(arch: str) -> None:
    model = frozen(arch)
    images = pictures()
    exact = copy.deepcopy(model).double()(images.double())
    assert exact.dtype == torch.float64
    torch.testing.assert_close(model(images).double(), exact, rtol=1e-4, atol=1e-4)


def test_a_model_trains_in_float64_under_autocast_and_channels_last() -> None:
    model = frozen("sdnet20_all").train()
    with torch.autocast("cpu", torch.bfloat16):
        logits = model.to(memory_format=torch.channels_last)(
            pictures().contiguous(memory_format=torch.channels_last)
        )
    logits.float().sum().backward()
    assert all(layer.step_size.dtype == torch.float32 for layer in csc_layers(model))
    model.double()(pictures().double()).sum().backward()
    assert all(layer.step_size.dtype == torch.float64 for layer in csc_layers(model))


def test_a_change_of_lambda_takes_effect_at_once_and_is_undone() -> None:
    model, images = frozen("sdnet20"), pictures()
    before = model(images)
    with use_lambda(model, 0.8):
        outer = model(images)
        with use_lambda(model, 0.1):
            assert torch.equal(model(images), before)
        assert torch.equal(model(images), outer)
    assert not torch.allclose(outer, before)
    assert torch.equal(model(images), before)
    with pytest.raises(RuntimeError, match="stop"), use_lambda(model, 0.8):
        raise RuntimeError("stop")
    assert torch.equal(model(images), before)


def test_the_training_lambda_changes_nothing_and_a_built_lambda_is_it() -> None:
    model, other, images = frozen("sdnet20"), frozen("sdnet20", lam=0.5), pictures()
    with use_lambda(model, 0.1, scope="all"):
        assert torch.equal(model(images), frozen("sdnet20")(images))
    with use_lambda(model, 0.5):
        torch.testing.assert_close(model(images), other(images))


def test_scope_all_reaches_every_layer() -> None:
    model, images = frozen("sdnet20_all"), pictures()
    with use_lambda(model, 0.3, scope="stem"):
        stem = model(images)
        assert [layer.lam for layer in csc_layers(model)] == [0.3] + 18 * [0.1]
    with use_lambda(model, 0.3, scope="all"):
        assert {layer.lam for layer in csc_layers(model)} == {0.3}
        assert not torch.allclose(model(images), stem)


@pytest.mark.parametrize("scope", ["stem", "all"])
def test_one_lambda_an_image_equals_fixed_lambdas(scope: str) -> None:
    model, images = frozen("sdnet20_all"), pictures()
    lams = torch.tensor([0.05, 0.1, 0.6])
    with use_lambda(model, lams, scope=scope):
        together, energies = model(images), residuals(model, images)
    for i, lam in enumerate(lams.tolist()):
        with use_lambda(model, lam, scope=scope):
            torch.testing.assert_close(together[i : i + 1], model(images[i : i + 1]), rtol=1e-4, atol=1e-4)
            torch.testing.assert_close(energies[i : i + 1], residuals(model, images[i : i + 1]))


def test_gradients_flow_through_lambda_to_the_images() -> None:
    model, images = frozen("sdnet20").double(), pictures().double().requires_grad_()
    lam = images.flatten(1).mean(1)
    with use_lambda(model, lam):
        through = torch.autograd.grad(model(images)[:, 0].sum(), images, retain_graph=True)[0]
    with use_lambda(model, lam.detach()):
        around = torch.autograd.grad(model(images)[:, 0].sum(), images)[0]
    assert not torch.allclose(through, around)


def test_a_wrapped_model_has_its_lambda_too() -> None:
    model, images = frozen("sdnet20"), pictures()
    wrapped = nn.Sequential(model)
    with use_lambda(wrapped, 0.7):
        expected = model(images)
        assert torch.equal(residuals(wrapped, images), residuals(model, images))
    assert not torch.allclose(model(images), expected)


def test_one_image_without_a_batch_is_refused() -> None:
    with pytest.raises(InputError, match=r"images must be \(n, 3, h, w\).*got \(3, 8, 8\)"):
        frozen("sdnet20")(pictures()[0])


def test_a_model_that_chooses_its_lambda_is_not_set_another() -> None:
    model = frozen("sdnet20")
    chooses = nn.Sequential(WithPolicy(model, Fixed(0.5)))
    with (
        pytest.raises(InputError, match=r"WithPolicy sets lambda itself.*model\.model"),
        use_lambda(chooses, 0.7),
    ):
        pass
    with pytest.raises(InputError, match=r"Ask the model inside it, model\.model"):
        residuals(chooses, pictures())


@pytest.mark.parametrize(
    ("value", "scope", "message"),
    [
        (-0.1, "stem", "must be finite and not negative"),
        (float("nan"), "stem", "must be finite"),
        (float("inf"), "stem", "must be finite"),
        ([0.1, 0.2], "stem", r"must be a number or a tensor with one value per image, got \[0\.1, 0\.2\]"),
        (0.1, "blocks", "scope must be 'stem' or 'all'"),
        (torch.zeros(2, 2), "stem", "one value per image"),
        (torch.tensor([0.1, -0.1]), "stem", r"must be finite and not negative, got \[0\.1"),
        (torch.tensor(float("inf")), "all", "must be finite and not negative, got inf"),
    ],
)
def test_a_lambda_that_means_nothing_is_refused(value: float | Tensor, scope: str, message: str) -> None:
    with pytest.raises(InputError, match=message), use_lambda(frozen("sdnet20"), value, scope=scope):
        pass


def test_plain_models_have_neither_lambda_nor_residuals() -> None:
    model = frozen("resnet20")
    with pytest.raises(InputError, match="no sparse coding layers"), use_lambda(model, 0.1):
        pass
    with pytest.raises(InputError, match="sparse coding stem"):
        residuals(model, pictures())
    with pytest.raises(InputError, match="auxiliary loss needs"), auxiliary_objective(model):
        pass
    refresh_step_sizes(model)
    normalise_atoms(model)


@pytest.mark.parametrize(("stem", "side"), [("cifar", 9), ("imagenet", 33)])
def test_step_sizes_are_of_the_maps_that_layers_get_also_where_strides_leave_a_rest(
    stem: str, side: int
) -> None:
    model, shapes = frozen("sdnet18_all", input_size=side, stem=stem), []
    for layer in csc_layers(model):
        layer.register_forward_hook(
            lambda layer, given, _: shapes.append((given[0].shape, layer.power_vector.shape))
        )
    model(torch.rand(1, 3, side, side))
    assert len(shapes) == len(csc_layers(model))
    assert all(given == expected for given, expected in shapes)


def test_the_auxiliary_loss_is_summed_over_layers_and_forwards() -> None:
    model, images = frozen("sdnet20_all"), torch.rand(2, 3, 8, 8)
    with auxiliary_objective(model) as collect:
        model(images)
        alone = collect()
        for _ in range(2):
            model(images)
        torch.testing.assert_close(collect(), 2 * alone)


def test_images_have_the_channels_of_the_model() -> None:
    """A grey image would be normalised as three equal ones, and an attack on it moves all three alike."""
    with pytest.raises(InputError, match=r"images must be .n, 3, h, w., .* got .1, 1, 32, 32."):
        build_model("resnet20", width=4)(torch.rand(1, 1, 32, 32))


@pytest.mark.parametrize("images", [torch.zeros(1, 3, 32, 32, dtype=torch.uint8), np.zeros((1, 3, 32, 32))])
def test_bytes_and_arrays_are_no_images(images: object) -> None:
    """Bytes are 0 to 255: the model would take them for images far too bright."""
    with pytest.raises(
        InputError, match=r"images must be a tensor of floats in .0, 1., got (torch.uint8|float64)"
    ):
        build_model("resnet20", width=4)(images)


@pytest.mark.parametrize(
    ("arch", "options", "message"),
    [
        ("sdnet19", {}, "Unknown architecture 'sdnet19'. Did you mean 'sdnet18'"),
        ("sdnet18", {"lamda": 0.1}, "Unknown model option 'lamda'. Did you mean 'lam'"),
        ("resnet18", {"shortcut": False}, "needs a network that is sparse throughout, such as sdnet18_all"),
        ("sdnet20", {"num_classes": 0}, "num_classes must be a whole number from 1"),
        ("sdnet20", {"input_size": 32.0}, "input_size must be a whole number"),
        ("sdnet20", {"width": True}, "width must be a whole number"),
        ("sdnet20", {"stem": "large"}, "Unknown stem 'large'.*Known: cifar, imagenet"),
        ("sdnet20", {"mean": (0.5,)}, "mean must be 3 finite numbers"),
        ("sdnet20", {"std": (0.5, 0.5, 0.0)}, "std must be above 0"),
        ("sdnet20", {"lam": -1.0}, "lam must lie in 0 to 1e.18, got -1.0"),
        ("sdnet20", {"lam": 10**30}, "lam must lie in 0 to 1e.18, got 10000"),
        ("sdnet20_all", {"shortcut": "no"}, "shortcut must be true or false"),
    ],
)
def test_a_model_that_cannot_be_built_is_refused(arch: str, options: dict[str, object], message: str) -> None:
    with pytest.raises(InputError, match=message):
        build_model(arch, **options)


def test_the_first_images_that_a_model_is_evaluated_on_are_not_bytes() -> None:
    model, images = frozen("sdnet20"), pictures()
    assert model(images[:0]).shape == (0, 10)
    with pytest.raises(InputError, match=r"images must lie in \[0, 1\], got values from .* Divide by 255"):
        model(255 * images)
    for noisy in (images - 3, 1 + images):  # noise may leave [0, 1]
        assert frozen("sdnet20")(noisy).isfinite().all()
    assert model(images).isfinite().all()
    assert model(255 * images).isfinite().all()  # looked at once
    assert model.train()(255 * images).isfinite().all()


@pytest.mark.parametrize("given", ["sdnet20", None, [1]])
def test_what_is_no_module_has_no_layers_and_says_so(given: object) -> None:
    message = r"model must be a module, got .*\. Load one by name with rs\.load_model"
    for ask in (csc_layers, refresh_step_sizes, lambda model: residuals(model, pictures())):
        with pytest.raises(InputError, match=message):
            ask(given)
    with pytest.raises(InputError, match=message), use_lambda(given, 0.1):
        pass


def test_values_that_cannot_be_read_are_not_looked_at() -> None:
    images = pictures()
    traced = make_fx(frozen("sdnet20"))(images)
    found = {
        "vmap": torch.vmap(frozen("sdnet20"))(images[:, None]).squeeze(1),
        "make_fx": traced(images),
        "compile": torch.compile(frozen("sdnet20"), backend="eager", fullgraph=True)(images),
    }
    for how, logits in found.items():
        torch.testing.assert_close(logits, frozen("sdnet20")(images), msg=how, rtol=1e-4, atol=1e-5)


def test_what_is_unusual_of_a_network_is_never_its_data():
    card = {"mean": [0.5, 0.5, 0.5], "std": [0.2, 0.2, 0.2], "num_classes": 100, "input_size": 32}
    assert unusual("sdnet18", card | {"width": 64, "n_steps": 2}) == {}
    assert unusual("sdnet18", card | {"width": 16, "n_steps": 4}) == {"width": 16, "n_steps": 4}
    assert unusual("a network of others", {"width": 16}) == {}
