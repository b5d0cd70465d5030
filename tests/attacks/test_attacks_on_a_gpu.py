"""What attacks do on a GPU alone, tested on any machine: no look at values, no copies, larger batches, full memory."""

from __future__ import annotations

from collections import Counter

import pytest
import torch
from torch import nn
from torch.overrides import TorchFunctionMode

from robustbench_sdnet import attacks
from robustbench_sdnet.attacks.engine import active, ball, passes
from robustbench_sdnet.attacks.engine.batches import usual_batch
from robustbench_sdnet.attacks.native import pgd
from robustbench_sdnet.errors import ModelError

STEPS = {
    "pgd": {"steps": 6, "restarts": 2},
    "pma": {"steps": 6},
    "apgd-ce": {"steps": 8, "restarts": 2},
    "apgd-t": {"steps": 6, "targets": 3},
    "fab-t": {"steps": 5, "targets": 3},
    "square": {"steps": 30},
}


@pytest.mark.parametrize("norm", ["linf", "l2", "l1"])
@pytest.mark.parametrize("name", STEPS)
def test_where_looking_makes_the_host_wait_outcomes_are_the_same(standard, monkeypatch, name, norm):
    model, images, labels = standard
    found = []
    for free in (True, False):
        for module in (active, ball, passes, pgd):
            monkeypatch.setattr(module, "free_to_look", lambda values, free=free: free)
        eps = 0.05 if norm == "linf" else 0.5
        found.append(
            attacks.run(
                name,
                model,
                images[:40],
                labels[:40],
                eps=eps,
                norm=norm,
                params=STEPS[name],
                precision="float32",
            )
        )
    ours, waiting = found
    assert 0 < int(ours.robust.sum()) < 40
    assert torch.equal(ours.robust, waiting.robust)
    assert torch.equal(ours.broken_at, waiting.broken_at)
    assert torch.allclose(ours.images, waiting.images, atol=1e-6)


class Copies(TorchFunctionMode):
    """Counts what on a GPU would copy from the host, which then waits for all that runs there."""

    def __init__(self) -> None:
        super().__init__()
        self.seen: Counter[str] = Counter()

    def __torch_function__(self, func, types, args=(), kwargs=None):
        name = getattr(func, "__name__", "")
        made = name in ("tensor", "as_tensor", "from_numpy", "new_tensor")
        moved = name == "to" and any(isinstance(value, (torch.device, str)) for value in args[1:])
        if made or moved or (name == "to" and "device" in (kwargs or {})):
            self.seen[name] += 1
        return func(*args, **(kwargs or {}))


@pytest.mark.parametrize("norm", ["linf", "l2"])
@pytest.mark.parametrize("name", STEPS)
def test_steps_copy_nothing_from_the_host(standard, name, norm):
    model, images, labels = standard
    images, labels, found = images[:12], model(images[:12]).argmax(1), []
    for steps in (6, 16, 6, 16):  # the first two make tables that stay
        with Copies() as copies:
            attacks.run(name, model, images, labels, eps=1e-4, norm=norm, params={"steps": steps})
        found.append(copies.seen)
    assert found[2] == found[3]


def test_batches_are_larger_on_a_gpu_which_waits_for_the_host_between_small_ones():
    small, large = torch.empty(0, 3, 32, 32), torch.empty(0, 3, 224, 224)
    assert [usual_batch(images) for images in (small, large)] == [100, 100]
    assert [usual_batch(images.to("meta")) for images in (small, large)] == [500, 100]


class Full(torch.autograd.Function):
    """The identity, in whose backward pass a GPU is full."""

    @staticmethod
    def forward(context, images):
        return images.clone()

    @staticmethod
    def backward(context, gradient):
        raise torch.OutOfMemoryError("CUDA out of memory")


@pytest.mark.parametrize(
    "passed",
    [
        Full.apply,
        lambda images: Full.backward(None, images),
        lambda images: images + images.new_empty(10**15),
    ],
)
def test_a_batch_that_does_not_fit_is_one_line_with_the_remedy(passed):
    class Wide(nn.Module):
        def forward(self, images):
            return passed(images).flatten(1)[:, :3]

    said = r"Model Wide and a batch of [15] do not fit the device's memory\. Take a smaller batch_size"
    with pytest.raises(ModelError, match=said):
        attacks.pgd(Wide(), torch.rand(5, 1, 3, 3), torch.zeros(5, dtype=torch.int64), eps=0.1)
