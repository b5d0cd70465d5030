"""A sweep over lambda beside its own forward passes, and beside the published procedure.

    python benchmarks/lambda_sweep.py [--arch sdnet20_all] [--images 10] [--rounds 5]

Three ways from one clean batch to the logits at 14 lambdas:

* forwards: the batch corrupted once, then 14 forward passes under `use_lambda`;
* sweep: the batch corrupted once, then `sweep_lambdas`, which shares the stem's analysis;
* published: for each lambda the noise is drawn again, every sparse coding layer runs 50 power iterations from a
  random start at its own input size, and then the forward pass is made.

Runs alternate in one process; ratios are of medians, in CPU seconds on one thread, so that other work on the machine
hardly shows. Bars: sweep at most 1.05 times the forwards and at most a fifth of the published procedure. The second
depends on the batch: power iterations cost the same for one image as for many, and one layer's are far fewer than
nineteen layers'. The published per-sample lambda is a number on the layer, so it goes image by image (--images 1).
"""

from __future__ import annotations

import argparse
import os
import statistics
import time
from collections.abc import Callable

os.environ.setdefault("OMP_NUM_THREADS", "1")

import numpy as np
import torch
from torch import nn

from robustbench_sdnet import corruptions
from robustbench_sdnet.evaluation.predict import to_images
from robustbench_sdnet.lambdas import sweep_lambdas
from robustbench_sdnet.lambdas.registry import LAMBDAS
from robustbench_sdnet.zoo import build_model, csc_layers, use_lambda

POWER_STEPS = 50


def main() -> None:
    """Measure and print."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--arch", default="sdnet20_all")
    parser.add_argument("--images", type=int, default=10, help="images in the batch")
    parser.add_argument("--rounds", type=int, default=5)
    options = parser.parse_args()
    torch.manual_seed(0)
    torch.set_num_threads(1)
    model = build_model(options.arch).eval().requires_grad_(False)
    pixels = np.random.default_rng(0).integers(0, 256, (options.images, 32, 32, 3), dtype=np.uint8)
    ways: dict[str, Callable[[], None]] = {
        "forwards": lambda: forwards(model, pixels),
        "sweep": lambda: swept(model, pixels),
        "published": lambda: published(model, pixels),
    }
    seconds = measured(ways, options.rounds)
    for name, times in seconds.items():
        spread = f"{min(times):.2f} to {max(times):.2f}"
        print(f"{name:<10} {statistics.median(times):8.2f} CPU s  ({spread}, {len(times)} runs)")
    medians = {name: statistics.median(times) for name, times in seconds.items()}
    to_forwards, to_published = (medians["sweep"] / medians[name] for name in ("forwards", "published"))
    print(f"sweep / forwards  {to_forwards:.3f}  (bar 1.05)")
    print(f"sweep / published {to_published:.3f}  (bar 0.20)")
    print(
        f"{options.arch}, {options.images} images, {len(LAMBDAS)} lambdas, one thread, torch {torch.__version__}"
    )


def measured(ways: dict[str, Callable[[], None]], rounds: int) -> dict[str, list[float]]:
    """CPU seconds of every way, in alternation; a first round warms up and is not counted."""
    seconds: dict[str, list[float]] = {name: [] for name in ways}
    for count in range(rounds + 1):
        for name, way in ways.items():
            started = time.process_time()
            with torch.no_grad():
                way()
            if count:
                seconds[name].append(time.process_time() - started)
    return seconds


def noisy(pixels: np.ndarray) -> torch.Tensor:
    """The batch under Gaussian noise, as the model takes it."""
    return to_images(corruptions.corrupt(pixels, "gaussian_noise", severity=3, seed=0))


def forwards(model: nn.Module, pixels: np.ndarray) -> None:
    """Corrupt once, then one forward pass a lambda."""
    images = noisy(pixels)
    for lam in LAMBDAS:
        with use_lambda(model, lam):
            model(images)


def swept(model: nn.Module, pixels: np.ndarray) -> None:
    """Corrupt once, then sweep."""
    for _ in sweep_lambdas(model, noisy(pixels), LAMBDAS):
        pass


def published(model: nn.Module, pixels: np.ndarray) -> None:
    """Corrupt, recompute every step size and pass forward, again for each lambda."""
    for lam in LAMBDAS:
        images = noisy(pixels)
        for layer in csc_layers(model):
            vector = torch.randn(layer.power_vector.shape)
            atoms = layer.atoms()
            code = layer.operator.analyse(vector, atoms)
            for _ in range(POWER_STEPS):
                code = layer.operator.analyse(layer.operator.synthesise(code, atoms, vector), atoms)
                code = code / code.norm()
        with use_lambda(model, lam):
            model(images)


if __name__ == "__main__":
    main()
