"""Training speed beside a plain textbook PyTorch loop with the layer as it was published.

    python benchmarks/training.py [--arch sdnet18 ...] [--batch 32] [--precision float32] [--recipe cpu] [--compile]
        [--json]

Both sides take the same random images of CIFAR-10's shape, interleaved in one process; figures are medians of rounds.
With one CPU thread (OMP_NUM_THREADS=1) seconds are those that the process ran, whatever else the machine does.
"Ours" is the package's own feed, objective and optimiser step, in the precision that the device is best at
(`--precision float32` leaves that advantage out, `--compile` adds `train.compile`). By `--recipe` it trains as a whole
run of that recipe does, in the mean over its epochs: `cpu` begins with small images. The textbook loop crops, flips
and converts image by image, trains in float32 and gives its sparse layers what the published code does at every
forward, evaluation included: atoms normalised in place, 50 power iterations from fresh noise, the step size read back
to the host, and a reconstruction that nobody uses.
"""

from __future__ import annotations

import argparse
import json
import statistics
import time
from collections.abc import Callable, Iterator
from dataclasses import replace
from functools import partial
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn
from torch.nn import functional as F

from robustbench_sdnet.data.images import ImageData, from_arrays
from robustbench_sdnet.training.recipes.options import TrainOptions
from robustbench_sdnet.training.recipes.recipe import load_recipe
from robustbench_sdnet.training.step.device import Device, choose
from robustbench_sdnet.training.step.feed import feed_for
from robustbench_sdnet.training.step.loop import start, train_step
from robustbench_sdnet.zoo.nets.control import refresh_step_sizes
from robustbench_sdnet.zoo.nets.csc import SparseCoding
from robustbench_sdnet.zoo.nets.sdnet import build_model

ARCHITECTURES = ("resnet18", "sdnet18", "sdnet18_all")
POWER_STEPS = 50


class PublishedLayer(nn.Module):
    """The published layer's work: two FISTA steps, and the power iteration before them at every forward."""

    def __init__(self, layer: SparseCoding) -> None:
        super().__init__()
        self.weight = nn.Parameter(layer.weight.detach().clone())
        self.lam = layer.coding.lam
        operator: Any = layer.operator
        self.stride, self.padding = operator.stride, operator.padding
        self.code_shape: tuple[int, ...] | None = None

    def analyse(self, x: Tensor) -> Tensor:
        return F.conv2d(x, self.weight, stride=self.stride, padding=self.padding)

    def synthesise(self, code: Tensor) -> Tensor:
        extra = self.stride - 1
        return F.conv_transpose2d(code, self.weight, None, self.stride, self.padding, extra)

    @torch.no_grad()
    def step_size(self, shape: torch.Size) -> float:
        self.weight.data /= self.weight.data.flatten(1).norm(dim=1)[:, None, None, None]
        vector = torch.randn(1, *shape[1:], device=self.weight.device)
        for _ in range(POWER_STEPS):
            vector = self.analyse(self.synthesise(vector))
            largest = vector.norm()
            vector = vector / largest
        return 0.9 / float(largest)

    def forward(self, x: Tensor) -> Tensor:
        start = self.analyse(x)
        step = self.step_size(start.shape)
        code = F.relu(F.softshrink(step * start, self.lam * step))
        code = F.relu(F.softshrink(code + step * self.analyse(x - self.synthesise(code)), self.lam * step))
        self.reconstruction = self.synthesise(code).detach()
        return code


def published(model: nn.Module) -> nn.Module:
    """Replace every sparse layer by the published one, in place."""
    for module in model.modules():
        for name, child in module.named_children():
            if isinstance(child, SparseCoding):
                setattr(module, name, PublishedLayer(child))
    return model


class Textbook:
    """The loop of a tutorial: a data set that transforms image by image, float32, default memory format."""

    def __init__(self, arch: str, data: ImageData, batch: int, device: Device) -> None:
        from PIL import Image
        from torchvision import transforms

        self.model = published(build_model(arch)).to(device.device).train()
        self.optimiser = torch.optim.SGD(
            self.model.parameters(), lr=0.01, momentum=0.9, weight_decay=5e-4, nesterov=True
        )
        transform = transforms.Compose(
            [
                transforms.RandomCrop(32, padding=4),
                transforms.RandomHorizontalFlip(),
                transforms.ToTensor(),
            ]
        )
        pictures = [
            (Image.fromarray(image), int(label))
            for image, label in zip(data.images(), data.labels, strict=True)
        ]
        self.set = [(transform, picture, label) for picture, label in pictures]
        self.batch, self.device = batch, device

    def batches(self) -> tuple[Tensor, Tensor]:
        order = torch.randperm(len(self.set))[: self.batch]
        items = [(transform(picture), label) for transform, picture, label in (self.set[i] for i in order)]
        images, labels = zip(*items, strict=True)
        return torch.stack(images).to(self.device.device), torch.tensor(labels).to(self.device.device)

    def train(self) -> None:
        images, labels = self.batches()
        self.optimiser.zero_grad()
        loss = F.cross_entropy(self.model(images), labels)
        torch.autograd.backward(loss)
        self.optimiser.step()
        loss.item()

    def forward(self, images: Tensor) -> None:
        self.model.eval()
        with torch.no_grad():
            self.model(images.float().div(255))
        self.model.train()


class Ours:
    """The package's feed, objective and step; `sides` has the first and the number of the epochs of each image size."""

    def __init__(self, arch: str, data: ImageData, options: TrainOptions, device: Device) -> None:
        kind = feed_for(data, device.device)
        feed = kind(data, options, torch.arange(len(data)), options.batch_size, device.device)
        model = build_model(arch)
        refresh_step_sizes(model)
        self.session = start(model, feed, options, device)
        self._batches = self._endless()
        of_epochs = [self.session.side(epoch) for epoch in range(options.epochs)]
        self.sides = [(of_epochs.index(side), of_epochs.count(side)) for side in dict.fromkeys(of_epochs)]

    def _endless(self) -> Any:
        epoch = 0
        while True:
            yield from self.session.feed.epoch(epoch)
            epoch += 1

    def train(self, epoch: int) -> None:
        self.session.step = epoch * self.session.feed.steps
        train_step(self.session, next(self._batches))

    def forward(self, images: Tensor) -> None:
        self.session.model.eval()
        with torch.no_grad(), self.session.device.forward():
            self.session.model(self.session.device.floats(images))
        self.session.model.train()


def timed(call: Callable[[], None], device: Device) -> float:
    alone = not device.is_gpu and torch.get_num_threads() == 1
    clock = time.process_time if alone else time.perf_counter
    device.wait()
    begun = clock()
    call()
    device.wait()
    return clock() - begun


def works(runner: Textbook | Ours, images: Tensor) -> Iterator[tuple[str, int, int, Callable[[], None]]]:
    """What is timed of a side: its name, the first and the number of the epochs that it stands for, and the call."""
    yield "forward", 0, 1, partial(runner.forward, images)
    if isinstance(runner, Textbook):
        yield "training", 0, 1, runner.train
    else:
        yield from (
            ("training", first, epochs, partial(runner.train, first)) for first, epochs in runner.sides
        )


def measure(archs: list[str], options: TrainOptions, rounds: int, device_name: str) -> dict[str, Any]:
    """Images per second of every combination; the first round warms up and is left out."""
    batch, device = options.batch_size, choose(device_name, options)
    rng = np.random.default_rng(0)
    pixels, labels = rng.integers(0, 256, (512, 32, 32, 3), dtype=np.uint8), rng.integers(0, 10, 512)
    data = from_arrays("random", "train", pixels, labels, 10, "random")
    images = torch.from_numpy(pixels[:batch]).permute(0, 3, 1, 2).to(device.device)
    sides: dict[tuple[str, str], Textbook | Ours] = {}
    for arch in archs:
        sides[arch, "textbook"] = Textbook(arch, data, batch, device)
        sides[arch, "ours"] = Ours(arch, data, options, device)
    seconds: dict[tuple[str, str, str], dict[tuple[int, int], list[float]]] = {}
    for turn in range(rounds + 1):
        for (arch, side), runner in sides.items():
            for work, first, epochs, call in works(runner, images):
                spent = timed(call, device)
                if turn:
                    seconds.setdefault((arch, side, work), {}).setdefault((first, epochs), []).append(spent)
    speeds = {}
    for key, found in seconds.items():
        spent = sum(epochs * statistics.median(values) for (_, epochs), values in found.items())
        speeds[key] = batch * sum(epochs for _, epochs in found) / spent
    return {"device": device.label, "precision": device.precision, "batch": batch, "speeds": speeds}


def main() -> None:
    """Measure and print."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--arch", nargs="+", default=list(ARCHITECTURES), choices=ARCHITECTURES)
    parser.add_argument("--batch", type=int, default=32)
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--device", default="auto")
    parser.add_argument("--precision", default="auto", choices=["auto", "float32", "bfloat16"])
    parser.add_argument("--recipe", help="train as this recipe does, in the mean over its epochs")
    parser.add_argument("--compile", action="store_true", help="compile our training step")
    parser.add_argument("--json", action="store_true")
    given = parser.parse_args()
    options = load_recipe(given.recipe).train if given.recipe else TrainOptions(lr=0.01)
    options = replace(options, batch_size=given.batch, precision=given.precision, compile=given.compile)
    found = measure(given.arch, options, given.rounds, given.device)
    speeds = found.pop("speeds")
    if given.json:
        print(
            json.dumps(
                {**found, "images_per_second": {"/".join(key): value for key, value in speeds.items()}}
            )
        )
        return
    print(f"{found['device']}, ours in {found['precision']}, batch {found['batch']}: images per second")
    print(f"{'':13} {'work':9} {'textbook':>9} {'ours':>9} {'ratio':>6}")
    for arch in given.arch:
        for work in ("forward", "training"):
            textbook, ours = (speeds[arch, side, work] for side in ("textbook", "ours"))
            print(f"{arch:13} {work:9} {textbook:9.1f} {ours:9.1f} {ours / textbook:6.2f}")
    if {"resnet18", "sdnet18"} <= set(given.arch):
        share = speeds["sdnet18", "ours", "training"] / speeds["resnet18", "ours", "training"]
        print(f"sdnet18 trains at {share:.2f} of resnet18's speed")


if __name__ == "__main__":
    main()
