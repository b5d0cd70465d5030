"""Memory layouts: the same gradients in the one that is used as in the plain one, and which one is chosen."""

from __future__ import annotations

import os
import subprocess
import sys

import pytest
import torch
from torch import Tensor, nn
from torch._subclasses.fake_tensor import FakeTensorMode

from robustbench_sdnet import attacks
from robustbench_sdnet.zoo.nets.architectures import ARCHITECTURES
from robustbench_sdnet.zoo.nets.layout import laid_out, layout_of
from robustbench_sdnet.zoo.nets.resnet import subsampled
from robustbench_sdnet.zoo.nets.sdnet import build_model

WIDTHS = (2, 3, 4, 6, 8, 12, 16)
PLAIN_AVX2 = {"ONEDNN_MAX_CPU_ISA": "AVX2", "ATEN_CPU_CAPABILITY": "avx2"}


def gradients(model: nn.Module, images: Tensor, layout: torch.memory_format) -> Tensor:
    """Every gradient of weights and images, end to end."""
    model = model.to(memory_format=layout)
    model.zero_grad()
    images = images.clone(memory_format=layout).requires_grad_()
    (model(images).log_softmax(1)[:, 0].sum() / 8).backward()
    found = [images.grad, *(weight.grad for weight in model.parameters())]
    return torch.cat([gradient.flatten().double() for gradient in found if gradient is not None])


def compare(threads: int) -> None:
    """Every architecture and width, in float32 and float64: as near as rounding."""
    torch.set_num_threads(threads)
    for arch in ARCHITECTURES:
        for width in WIDTHS:
            for dtype, limit in ((torch.float32, 2e-3), (torch.float64, 1e-9)):
                torch.manual_seed(width)
                model = build_model(arch, width=width, input_size=8).to(dtype).eval()
                images = torch.rand(2, 3, 8, 8, dtype=dtype)
                wanted = gradients(model, images, torch.contiguous_format)
                found = gradients(model, images, layout_of(model, images))
                error = ((found - wanted).norm() / wanted.norm()).item()
                if not error <= limit:
                    sys.exit(f"{arch} of width {width} in {dtype}: gradients differ by {error:.2g}")


@pytest.mark.parametrize(
    "environment",
    [{}, pytest.param(PLAIN_AVX2, marks=pytest.mark.slow)],
    ids=["this processor", "plain AVX2"],
)
@pytest.mark.parametrize("threads", [1, pytest.param(2, marks=pytest.mark.slow)])
def test_gradients_in_the_layout_that_is_used_are_those_of_the_plain_one(
    threads: int, environment: dict[str, str]
) -> None:
    """In a process of its own: a kernel that writes beyond its memory ends it."""
    run = subprocess.run(
        [sys.executable, "-c", f"from tests.zoo.test_layout import compare; compare({threads})"],
        env=os.environ | environment | {"OMP_WAIT_POLICY": "passive"}, capture_output=True, text=True, timeout=600,
    )  # fmt: skip
    assert run.returncode == 0, run.stderr[-500:]


@pytest.mark.slow
def test_a_narrow_resnet_trains_on_one_thread_of_a_plain_avx2_processor(tmp_path) -> None:
    command = f"train digits resnet18 --recipe smoke --limit 40 --output {tmp_path / 'run'} --json"
    run = subprocess.run(
        [sys.executable, "-m", "robustbench_sdnet", *command.split()],
        env=os.environ | PLAIN_AVX2 | {"OMP_NUM_THREADS": "1"}, capture_output=True, text=True, timeout=600,
    )  # fmt: skip
    assert run.returncode == 0, (run.returncode, run.stderr[-500:])


class Pointwise(nn.Module):
    """A network of somebody else with a strided 1x1 convolution, which notes the layouts it is given."""

    def __init__(self, channels: int) -> None:
        super().__init__()
        self.weight = nn.Parameter(torch.randn(channels, channels, 1, 1))
        self.stem = nn.Conv2d(3, channels, 3, padding=1)
        self.head = nn.Linear(channels, 10)
        self.layouts: list[bool] = []

    def forward(self, images: Tensor) -> Tensor:
        """Logits (n, 10)."""
        self.layouts.append(images.is_contiguous(memory_format=torch.channels_last))
        x = nn.functional.conv2d(self.stem(images), self.weight, stride=2)
        logits: Tensor = self.head(x.mean((2, 3)))
        return logits


@pytest.mark.parametrize(("channels", "last"), [(4, False), (8, True)])
def test_a_foreign_model_gets_channels_last_only_where_no_faulty_kernel_lies_ahead(
    channels: int, last: bool
) -> None:
    model = Pointwise(channels).eval()
    images = torch.rand(6, 3, 8, 8).contiguous(memory_format=torch.channels_last)
    attacks.pgd(model, images, torch.zeros(6, dtype=torch.int64), eps=0.1, steps=2)
    probing = 2 if last else 1
    assert set(model.layouts[probing:]) == {last}
    before = len(model.layouts)
    laid_out(model, images)
    assert len(model.layouts) == before  # probed once


def test_a_model_that_views_its_images_flat_gets_them_contiguous() -> None:
    class Flat(nn.Module):
        """A linear model on `view`, after a convolution that is worth channels-last."""

        def __init__(self) -> None:
            super().__init__()
            self.stem = nn.Conv2d(3, 8, 1)
            self.head = nn.Linear(8 * 64, 10)

        def forward(self, images: Tensor) -> Tensor:
            """Logits (n, 10)."""
            images.view(len(images), -1)
            logits: Tensor = self.head(self.stem(images).flatten(1))
            return logits

    model = Flat().eval()
    images = torch.rand(4, 3, 8, 8).contiguous(memory_format=torch.channels_last)
    assert model(laid_out(model, images)).shape == (4, 10)
    result = attacks.fgsm(model, images, torch.zeros(4, dtype=torch.int64), eps=0.1)
    assert result.images.shape == images.shape


def test_without_convolutions_images_stay_contiguous_and_a_probe_leaves_the_generators_alone() -> None:
    class Noisy(nn.Module):
        """A model that draws."""

        def forward(self, images: Tensor) -> Tensor:
            """Logits (n, 3)."""
            return images.mean((2, 3)) + 0 * torch.rand(1)

    torch.manual_seed(3)
    wanted = torch.rand(2)
    torch.manual_seed(3)
    assert layout_of(Noisy().eval(), torch.rand(0, 3, 8, 8)) == torch.contiguous_format
    assert torch.equal(torch.rand(2), wanted)


def test_on_a_gpu_float32_stays_contiguous_and_bfloat16_is_channels_last(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """Measured on an H200; the tensors are fakes, which need no GPU."""
    model = build_model("resnet20", width=4).eval()
    with FakeTensorMode():
        images = torch.empty(2, 3, 32, 32, device="cuda")
        assert layout_of(model, images) == torch.contiguous_format
        assert layout_of(model, images, low=True) == torch.channels_last
        monkeypatch.setattr(torch, "is_autocast_enabled", lambda device: device == "cuda")
        assert layout_of(model, images) == torch.channels_last
    assert layout_of(model, torch.empty(2, 3, 32, 32)) == torch.channels_last


@pytest.mark.parametrize(("stride", "side"), [(2, 8), (2, 7), (3, 8)])
def test_subsampling_is_slicing_whose_gradient_keeps_the_layout(stride: int, side: int) -> None:
    images = torch.randn(4, 6, side, side).contiguous(memory_format=torch.channels_last)
    found = []
    for function in (subsampled, lambda x, step: x[:, :, ::step, ::step]):
        x = images.clone().requires_grad_()
        y = function(x, stride)
        (gradient,) = torch.autograd.grad(y.sin().sum(), x)
        found.append((y, gradient))
    assert all(torch.equal(ours, sliced) for ours, sliced in zip(*found, strict=True))
    assert found[0][1].is_contiguous(memory_format=torch.channels_last)
    assert not found[1][1].is_contiguous(memory_format=torch.channels_last)
