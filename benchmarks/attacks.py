"""Our attacks beside torchattacks': same model, same images, same eps, in one run.

    python benchmarks/attacks.py [--data digits] [--model SOURCE] [--robust-model SOURCE] [--images 100] [--device cuda]

Prints CPU seconds on one thread (so that other work on the machine hardly shows), on a GPU seconds until it is done;
robust accuracy and model passes a sample, which are free of noise. Runs alternate, ratios are those of medians.
Convolutions of float32 are float32 on both sides, on a GPU too (no TF32). Without models it trains a resnet20 in the
standard way and another by PGD adversarial training, in minutes; --cache keeps them.
"""

from __future__ import annotations

import argparse
import os
import statistics
import time
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

os.environ.setdefault("OMP_NUM_THREADS", "1")

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from robustbench_sdnet import attacks, data, zoo
from robustbench_sdnet.devices import full_float32

STAGES = ("APGD", "APGDT", "FAB", "Square")


@dataclass(frozen=True)
class Run:
    """One attack, once: seconds, robust samples, passes a sample."""

    seconds: float
    robust: Tensor
    passes: str


@full_float32()
def main() -> None:
    """Measure and print."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--data", default="digits")
    parser.add_argument("--model", help="a standard-trained model, as the zoo takes it")
    parser.add_argument("--robust-model", help="an adversarially trained model")
    parser.add_argument("--kinds", nargs="+", default=["standard", "adversarial"])
    parser.add_argument("--eps", type=float, default=8, help="linf radius in 1/255")
    parser.add_argument("--images", type=int, default=100)
    parser.add_argument("--auto-images", type=int, default=20, help="images for AutoAttack; 0 leaves it out")
    parser.add_argument("--share", type=float, default=1.0, help="share of AutoAttack's steps, on both sides")
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--auto-rounds", type=int, default=1, help="the same for AutoAttack")
    parser.add_argument("--device", default="cpu")
    parser.add_argument("--train-steps", type=int, default=300)
    parser.add_argument("--cache", type=Path, help="folder that keeps the models trained here")
    options = parser.parse_args()
    torch.manual_seed(0)
    torch.set_num_threads(1)
    images, labels = (tensor.to(options.device) for tensor in tensors(options.data, "test", options.images))
    eps = options.eps / 255
    for kind, source, bar in (("standard", options.model, 12.0), ("adversarial", options.robust_model, 3.0)):
        if kind not in options.kinds:
            continue
        model = (zoo.load_model(source) if source else trained(kind, options)).to(options.device)
        print(f"\n{kind}-trained {source or 'resnet20, trained here'}")
        print(f"{options.data}, linf {options.eps:g}/255, n={len(images)}")
        pgd_section(model, images, labels, eps, options.rounds, bar)
        if kind == "adversarial" and options.auto_images:
            few = options.auto_images
            autoattack_section(model, images[:few], labels[:few], eps, options.share, options.auto_rounds)


def pgd_section(
    model: nn.Module, images: Tensor, labels: Tensor, eps: float, rounds: int, bar: float
) -> None:
    """PGD-40 against torchattacks' PGD-40 from the same start, and the price of our loop over bare passes."""
    import torchattacks

    step = eps / 4
    torch.manual_seed(0)
    start = (images + torch.empty_like(images).uniform_(-eps, eps)).clamp(0, 1)  # as torchattacks draws it

    def theirs() -> Run:
        torch.manual_seed(0)
        attack = torchattacks.PGD(model, eps=eps, alpha=step, steps=40)
        return timed(lambda: judged(model, attack(images, labels), labels), "40 + 40 (every sample)")

    def ours(precision: str, early_stop: bool) -> Callable[[], Run]:
        return lambda: timed_result(
            lambda: attacks.pgd(
                model, images, labels, eps=eps, steps=40, step_size=step, precision=precision,
                early_stop=early_stop, start=start,
            )
        )  # fmt: skip

    def bare() -> Run:
        return timed(lambda: bare_passes(model, images, labels, 40), "40 + 40")

    table = measure(
        {
            "torchattacks PGD-40": theirs,
            "ours, float32": ours("float32", True),
            "ours, auto": ours("auto", True),
            "ours, early_stop=False": ours("float32", False),
            "bare passes": bare,
        },
        rounds,
    )
    ratio(table, "torchattacks PGD-40", "ours, float32", f"bar {bar}")
    ratio(table, "torchattacks PGD-40", "ours, auto", "")
    ratio(table, "ours, early_stop=False", "bare passes", "bar at most 1.05")


def autoattack_section(
    model: nn.Module, images: Tensor, labels: Tensor, eps: float, share: float, rounds: int
) -> None:
    """Standard AutoAttack against an ensemble of torchattacks' four attacks at the official step counts."""
    print(f"  AutoAttack, n={len(images)}, {share:g} of the official steps in every stage")

    def ours(precision: str) -> Callable[[], Run]:
        return lambda: chained(model, images, labels, eps, share, precision)

    table = measure(
        {
            "torchattacks ensemble": lambda: timed(lambda: ensemble(model, images, labels, eps, share), ""),
            "ours, float32": ours("float32"),
            "ours, auto": ours("auto"),
        },
        rounds,
    )
    ratio(table, "torchattacks ensemble", "ours, float32", "bar 2")
    ratio(table, "torchattacks ensemble", "ours, auto", "bar 2")
    same = (table["torchattacks ensemble"][0].robust == table["ours, float32"][0].robust).double().mean()
    print(f"  samples that agree: {100 * float(same):.1f} %")


def chained(
    model: nn.Module, images: Tensor, labels: Tensor, eps: float, share: float, precision: str
) -> Run:
    """Our four stages, each on the survivors of the one before."""
    robust = torch.ones_like(labels, dtype=torch.bool)
    forwards = backwards = 0
    began = clock()
    for name, params in attacks.CHAINS["autoattack"]:
        alive = robust.nonzero()[:, 0]
        stage_began = clock()
        steps = {"steps": max(int(share * int(str(params["steps"]))), 1)}
        result = attacks.run(
            name, model, images[alive], labels[alive], eps=eps, params={**params, **steps}, sample_ids=alive,
            precision=precision,
        )  # fmt: skip
        robust[alive] = result.robust
        forwards, backwards = forwards + result.forwards, backwards + result.backwards
        seconds = clock() - stage_began
        print(f"    {name}, {precision}: {len(alive)} -> {int(robust.sum())}, {seconds:.1f} s", flush=True)
    n = len(labels)
    return Run(clock() - began, robust, f"{forwards / n:.0f} + {backwards / n:.0f}")


def ensemble(model: nn.Module, images: Tensor, labels: Tensor, eps: float, share: float) -> Tensor:
    """(n,) bool robust: each attack on the survivors of the one before."""
    import torchattacks

    steps = max(int(share * 100), 1)
    settings = {
        "APGD": {"steps": steps}, "APGDT": {"steps": steps}, "FAB": {"steps": steps, "multi_targeted": True},
        "Square": {"n_queries": int(share * 5000), "resc_schedule": False},
    }  # fmt: skip
    with torch.no_grad():
        robust: Tensor = model(images).argmax(1) == labels
    for name in STAGES:
        alive = robust.nonzero()[:, 0]
        if len(alive) == 0:
            break
        began = clock()
        attack = getattr(torchattacks, name)(model, eps=eps, **settings[name])
        found = attack(images[alive], labels[alive])
        inside = (found - images[alive]).abs().flatten(1).amax(1) <= eps + 1e-6
        robust[alive] = judged(model, found, labels[alive]) | ~inside
        print(
            f"    {name}: {len(alive)} -> {int(robust.sum())}, {clock() - began:.1f} s",
            flush=True,
        )
    return robust


def measure(runs: dict[str, Callable[[], Run]], rounds: int) -> dict[str, list[Run]]:
    """Alternate the runs, print a row each."""
    table: dict[str, list[Run]] = {name: [] for name in runs}
    for _ in range(rounds):
        for name, run in runs.items():
            table[name].append(run())
    for name, found in table.items():
        robust = 100 * float(found[0].robust.double().mean())
        print(f"  {name:26s} {median(found):8.2f} s  robust {robust:5.1f} %  passes {found[0].passes}")
    return table


def ratio(table: dict[str, list[Run]], slow: str, fast: str, bar: str) -> None:
    """Print how many times the time of `fast` is in that of `slow`."""
    print(f"  {slow} / {fast}: {median(table[slow]) / median(table[fast]):.2f}x  {bar}", flush=True)


def median(runs: list[Run]) -> float:
    """Seconds."""
    return statistics.median(run.seconds for run in runs)


def clock() -> float:
    """CPU seconds so far; where a GPU is in use, the time at which it is done."""
    if not torch.cuda.is_initialized():  # type: ignore[no-untyped-call]  # torch states no types here
        return time.process_time()
    torch.cuda.synchronize()
    return time.perf_counter()


def timed(run: Callable[[], Tensor], passes: str) -> Run:
    """Time a function that returns the robust samples."""
    began = clock()
    robust = run()
    return Run(clock() - began, robust, passes)


def timed_result(run: Callable[[], attacks.AttackResult]) -> Run:
    """Time one of our attacks."""
    began = clock()
    result = run()
    seconds, n = clock() - began, len(result.robust)
    return Run(seconds, result.robust, f"{result.forwards / n:.2f} + {result.backwards / n:.2f}")


def judged(model: nn.Module, images: Tensor, labels: Tensor) -> Tensor:
    """(n,) bool: predicted right."""
    with torch.no_grad():
        right: Tensor = model(images).argmax(1) == labels
    return right


def bare_passes(model: nn.Module, images: Tensor, labels: Tensor, count: int) -> Tensor:
    """Forward and backward passes and nothing else, in the layout that our attacks use."""
    batch = images.contiguous(memory_format=torch.channels_last).requires_grad_()
    for _ in range(count):
        torch.autograd.grad(F.cross_entropy(model(batch), labels, reduction="sum"), batch)
    return torch.ones_like(labels, dtype=torch.bool)


def tensors(name: str, split: str, n: int) -> tuple[Tensor, Tensor]:
    """The first n images (n, 3, h, w) in [0, 1] and their labels."""
    source = data.load(name, split=split)
    n = min(n, len(source))
    pixels = torch.from_numpy(source.images(0, n)).permute(0, 3, 1, 2)
    return pixels.contiguous().float() / 255, torch.as_tensor(source.labels[:n])


def trained(kind: str, options: argparse.Namespace) -> nn.Module:
    """A resnet20 after a short standard or adversarial training (three PGD steps), or the cached one."""
    model = zoo.build_model("resnet20")
    kept = options.cache / f"{kind}.pt" if options.cache else None
    if kept and kept.is_file():
        model.load_state_dict(torch.load(kept, weights_only=True))
        return model.eval().requires_grad_(False)
    images, labels = tensors(options.data, "train", 50_000)
    optimizer = torch.optim.SGD(model.parameters(), lr=0.1, momentum=0.9, nesterov=True, weight_decay=5e-4)
    schedule = torch.optim.lr_scheduler.OneCycleLR(optimizer, 0.2, total_steps=options.train_steps)
    for _ in range(options.train_steps):
        index = torch.randint(len(images), (128,))
        batch, wanted = images[index], labels[index]
        if kind == "adversarial":
            batch = attacks.pgd(
                model,
                batch,
                wanted,
                eps=options.eps / 255,
                steps=3,
                step_size=options.eps / 510,
                precision="bfloat16",
                batch_size=128,
            ).images
        with torch.autocast("cpu", dtype=torch.bfloat16):
            logits = model(batch.contiguous(memory_format=torch.channels_last))
        optimizer.zero_grad()
        torch.autograd.backward(F.cross_entropy(logits.float(), wanted))
        optimizer.step()
        schedule.step()
    if kept:
        kept.parent.mkdir(parents=True, exist_ok=True)
        torch.save(model.state_dict(), kept)
    return model.eval().requires_grad_(False)


if __name__ == "__main__":
    main()
