"""float32 is float32 on every device."""

from __future__ import annotations

from contextlib import contextmanager

import numpy as np
import pytest
import torch
from torch import nn

from robustbench_sdnet import attacks, lambdas
from robustbench_sdnet.attacks.saving import save_adversarials
from robustbench_sdnet.devices import full_float32, native_bfloat16
from robustbench_sdnet.zoo import build_model


def allowed() -> bool:
    return torch.backends.cudnn.allow_tf32


@pytest.fixture(autouse=True)
def tf32(monkeypatch):
    monkeypatch.setattr(torch.backends.cudnn, "allow_tf32", True)


def test_tf32_is_off_inside_and_as_it_was_after_an_error():
    seen = []

    @full_float32()
    def fail():
        seen.append(allowed())
        raise ZeroDivisionError

    with pytest.raises(ZeroDivisionError):
        fail()
    assert seen == [False]
    assert allowed()


def test_tf32_is_off_until_the_last_thread_has_left():
    first, second = full_float32(), full_float32()
    first.__enter__()
    second.__enter__()
    first.__exit__(None, None, None)
    assert not allowed()
    second.__exit__(None, None, None)
    assert allowed()


@pytest.mark.skipif(not hasattr(torch.backends.cudnn, "conv"), reason="This torch has one switch only.")
def test_the_precision_of_a_part_is_kept(monkeypatch):
    conv = torch.backends.cudnn.conv
    monkeypatch.setattr(torch.backends.cudnn.rnn, "fp32_precision", "ieee")
    assert conv.fp32_precision == "tf32"
    with full_float32():
        assert conv.fp32_precision == "ieee"
    assert conv.fp32_precision == "tf32"


def test_it_is_off_while_an_attack_asks_the_model_and_while_what_it_made_is_judged(tmp_path):
    seen = []

    class Model(nn.Module):
        def forward(self, images):
            seen.append(allowed())
            return images.flatten(1)[:, :3]

    images = torch.rand((4, 3, 8, 8), generator=torch.Generator().manual_seed(0))
    labels = torch.zeros(4, dtype=torch.int64)
    for name in ("pgd", "lean", "torchattacks:FGSM"):
        attacks.run(name, Model(), images, labels, eps=0.1)
    asked = len(seen)
    save_adversarials(tmp_path / "made.npz", Model(), lambda: iter([images]), labels, sample_ids=np.arange(4))
    assert 3 < asked < len(seen)
    assert not any(seen)
    assert allowed()


def test_autocast_of_the_caller_is_off_inside():
    torch.manual_seed(0)
    model = build_model("sdnet20", width=4, input_size=8).eval()
    pixels = np.random.default_rng(0).integers(0, 256, (20, 8, 8, 3), dtype=np.uint8)

    def fitted():
        return lambdas.calibrate(model, pixels, np.zeros(20, dtype=np.int64), lambdas=(0.1, 0.5))

    alone = fitted()
    with torch.autocast("cpu", torch.bfloat16):
        assert fitted() == alone
        assert torch.is_autocast_enabled("cpu"), "as it was, afterwards"


@pytest.mark.gpu
@pytest.mark.parametrize("arch", ["resnet20", "sdnet20_all"])
def test_logits_of_a_gpu_are_those_of_a_processor(arch: str) -> None:
    if not torch.cuda.is_available():
        pytest.skip("no CUDA device")
    torch.manual_seed(0)
    model, images = build_model(arch).eval(), torch.rand(50, 3, 32, 32)
    with torch.no_grad(), full_float32():
        expected = model.double()(images.double())
        found = model.float().cuda()(images.cuda()).cpu()
    assert float((found - expected).abs().max()) < 2e-5 * float(expected.abs().max())


def test_it_is_off_while_a_policy_is_fitted():
    seen = []
    model = build_model("sdnet20", width=4, input_size=8).eval()
    model.register_forward_pre_hook(lambda *_: seen.append(allowed()))
    model.layer0.register_forward_pre_hook(lambda *_: seen.append(allowed()))
    pixels = np.random.default_rng(0).integers(0, 256, (20, 8, 8, 3), dtype=np.uint8)
    lambdas.calibrate(model, pixels, np.zeros(20, dtype=np.int64), lambdas=(0.1, 0.5))
    assert seen
    assert not any(seen)


def test_bfloat16_is_asked_of_the_gpu_that_is_named(monkeypatch):
    current = [torch.device("cuda", 0)]

    @contextmanager
    def on(device):
        current.append(device)
        yield
        current.pop()

    monkeypatch.setattr(torch.cuda, "device", on)
    monkeypatch.setattr(torch.cuda, "is_bf16_supported", lambda including_emulation: current[-1].index == 1)
    assert [native_bfloat16(torch.device("cuda", index)) for index in (0, 1)] == [False, True]
    assert len(current) == 1
