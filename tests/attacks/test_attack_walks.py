"""Minimal-norm attacks, and Auto-PGD in l1, walk as published: as torchattacks' FAB, or in plain words."""

from __future__ import annotations

import math
import warnings

import pytest
import torch

from robustbench_sdnet import attacks
from robustbench_sdnet.attacks.engine.balls import BALLS

with warnings.catch_warnings():
    warnings.simplefilter("ignore")
    import torchattacks


def hilly(classes, dtype):
    """A model of 1 x 3 x 4 images with many hills, images and their labels; the model lists what it is asked."""
    generator = torch.Generator().manual_seed(0)
    first = torch.randn(12, 8, generator=generator, dtype=torch.float64).to(dtype)
    last = torch.randn(8, classes, generator=generator, dtype=torch.float64).to(dtype)
    images = torch.rand(4, 1, 3, 4, generator=generator, dtype=torch.float64).to(dtype)
    seen = []

    class Hilly(torch.nn.Module):
        def forward(self, x):
            seen.append(x.detach().clone())
            return torch.sin(2 * x.flatten(1) @ first) @ last

    model = Hilly().eval()
    return model, images, model(images).argmax(1), seen


@pytest.mark.parametrize("norm", ["Linf", "L2"])
def test_fab_ends_where_torchattacks_does(norm):
    model, images, labels, _ = hilly(2, torch.float32)
    theirs = torchattacks.FAB(model, norm=norm, eps=1e6, steps=12, multi_targeted=True, n_classes=2)
    theirs.set_device("cpu")
    expected = theirs(images, labels)
    found = attacks.fab_t(model, images, labels, norm=norm.lower(), steps=12)
    assert bool(torch.isfinite(found.extra["distance"]).all())
    assert torch.allclose(found.images, expected, atol=1e-4)


def test_sigma_zero_walks_as_published():
    model, images, labels, seen = hilly(3, torch.float64)
    steps = 30
    attacks.sigma_zero(model, images, labels, steps=steps, batch_size=1)
    walks = torch.cat(seen)[-4 * steps :].reshape(4, steps, 1, 3, 4)
    for walk, image, label in zip(walks, images, labels, strict=True):
        delta = torch.zeros_like(image).requires_grad_()
        adam, threshold = torch.optim.Adam([delta], lr=1.0), 0.3
        for k, found in enumerate(walk):
            assert torch.allclose(image + delta, found, atol=1e-9), k
            logits = model((image + delta)[None])[0]
            gap = logits[label] - logits.masked_fill(torch.arange(3) == label, -torch.inf).max()
            loss = gap.clamp_min(0) + (delta**2 / (delta**2 + 1e-3)).mean()
            (delta.grad,) = torch.autograd.grad(loss, delta)
            delta.grad /= delta.grad.abs().max().clamp_min(1e-12)
            rate = adam.param_groups[0]["lr"] = 0.1 + 0.9 * (1 + math.cos(math.pi * k / steps)) / 2
            adam.step()
            threshold = min(max(threshold + (0.01 if gap < 0 else -0.01) * rate, 0), 1)
            with torch.no_grad():
                delta.copy_((image + delta).clamp(0, 1) - image)
                delta[delta.abs() < threshold] = 0


@pytest.mark.parametrize("norm", ["linf", "l2"])
def test_fmn_walks_as_published(norm):
    """But for two things: the radius never falls before a success, and reaches a thousandth beyond the boundary."""
    model, images, labels, seen = hilly(3, torch.float64)
    steps, order, dual = 30, *{"linf": (math.inf, 1), "l2": (2, 2)}[norm]
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr("robustbench_sdnet.attacks.native.fmn.CONVERGED", -1.0)  # nobody leaves early
        attacks.fmn(model, images, labels, norm=norm, steps=steps, batch_size=1)
    walks = torch.cat(seen)[-4 * steps :].reshape(4, steps, 1, 3, 4)
    for walk, image, label in zip(walks, images, labels, strict=True):
        x, radius, best = image, 0.0, math.inf
        for k, found in enumerate(walk):
            assert torch.allclose(x, found, atol=1e-9), k
            x = x.detach().requires_grad_()
            logits = model(x[None])[0]
            gap = logits.masked_fill(torch.arange(3) == label, -torch.inf).max() - logits[label]
            (gradient,) = torch.autograd.grad(gap, x)
            gap, x, cosine = gap.item(), x.detach(), (1 + math.cos(math.pi * k / steps)) / 2
            length, gamma = float((x - image).flatten().norm(order)), 0.001 + 0.049 * cosine
            if gap > 0:
                best = min(best, length)
                radius = min(radius * (1 - gamma), best)
            else:
                planned = 1.001 * (length + abs(gap) / float(gradient.flatten().norm(dual)))
                radius *= 1 + gamma
                radius = max(radius, planned) if best == math.inf else radius
            radius = min(radius, float(torch.maximum(image, 1 - image).flatten().norm(order)))
            delta = x + (0.01 + 0.99 * cosine) * gradient / gradient.norm() - image
            shrunk = delta * min(1, radius / float(delta.norm()))
            delta = delta.clamp(-radius, radius) if norm == "linf" else shrunk
            x = (image + delta).clamp(0, 1)


def test_apgd_in_l1_walks_as_published():
    model, images, labels, seen = hilly(3, torch.float64)
    steps, eps, counts = 130, 0.3, (39, 39, 52)
    options = {"norm": "l1", "steps": steps, "early_stop": False, "batch_size": 1}
    attacks.apgd_ce(model, images[2:], labels[2:], eps=eps, **options)
    walks, returned = torch.cat(seen)[-2 * (steps + 3) :].reshape(2, steps + 3, 1, 1, 3, 4), [0, 0]
    for walk, image, label in zip(walks, images[2:, None], labels[2:], strict=True):
        best, place = (-math.inf, walk[0], None), 0
        for count, radius in zip(counts, (3 * eps, 2 * eps, eps), strict=True):
            x, size = BALLS["l1"].project(best[1], image, radius), radius
            best, changed = (-math.inf, x, None), int((x != image).sum())
            share = changed / 12 / 1.5
            for within in range(count + 1):
                assert torch.allclose(x, walk[place], atol=1e-9), place
                x, place = x.requires_grad_(), place + 1
                loss = torch.nn.functional.cross_entropy(model(x), label[None])
                (gradient,) = torch.autograd.grad(loss, x)
                x, loss = x.detach(), loss.item()
                best = (loss, x, gradient) if loss > best[0] else best
                returned[1] += within == count and radius > eps and loss < best[0]
                if within and within % int(0.04 * count) == 0:
                    now = int((best[1] != image).sum())
                    if now < 0.95 * changed:
                        size, (_, x, gradient) = radius, best
                        returned[0] += 1
                    else:
                        size = max(size / 1.5, radius / 10)
                    changed, share = now, now / 12 / 1.5
                least = gradient.abs().flatten().sort(descending=True).values[max(int(share * 12), 1) - 1]
                signs = gradient.sign() * (gradient.abs() >= least)
                x = BALLS["l1"].project(x + size * signs / signs.abs().sum(), image, radius)
    assert min(returned) > 0, "to the best point, at sparser ones and between stages"
