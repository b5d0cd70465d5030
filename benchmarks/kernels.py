"""Gradients of single convolutions in channels-last against the contiguous layout in float64, shape by shape.

    python benchmarks/kernels.py                                    as the processor is
    ONEDNN_MAX_CPU_ISA=AVX2 python benchmarks/kernels.py            as a processor without AVX-512 would

Each case runs in a process of its own with a checking allocator (glibc's), since what it looks for writes beyond its
memory: torch 2.15 on AVX2 does so in the backward pass of a 1x1 convolution with a stride and fewer than eight input
channels. Prints the cases that are wrong or that die; exit status 1 where there is one that our networks could meet.
"""

from __future__ import annotations

import argparse
import itertools
import os
import random
import signal
import sys
from collections.abc import Iterator
from dataclasses import astuple, dataclass, fields

CHECKING = {
    "LD_PRELOAD": "libc_malloc_debug.so.0",
    "GLIBC_TUNABLES": "glibc.malloc.check=3",
    "OMP_WAIT_POLICY": "passive",
}


@dataclass(frozen=True)
class Case:
    """One convolution: channels, kernel, stride, side of the image, padding, groups, batch, threads, what is asked."""

    inputs: int
    outputs: int
    kernel: int
    stride: int
    size: int
    padding: int
    groups: int
    batch: int
    threads: int
    dtype: str = "float32"
    layout: str = "last"  # "last", "last-images" (weights contiguous) or "first" (all contiguous)
    transposed: bool = False
    gradients: str = "both"  # or "images", as attacks ask, or "weights"


def cases(budget: int, seed: int) -> Iterator[Case]:
    """The shapes of the known fault in full, then as many others drawn at random as the budget allows."""
    for inputs, kernel, stride, threads in itertools.product(
        (1, 2, 3, 4, 6, 7, 8, 12), (1, 3), (1, 2), (1, 2)
    ):
        for layout in ("last", "last-images", "first"):
            for gradients in ("images", "weights") if layout == "last" else ("both",):
                shape = (inputs, inputs, kernel, stride, 32, kernel // 2, 1, 8, threads)
                yield Case(*shape, layout=layout, gradients=gradients)
    draw = random.Random(seed)
    for _ in range(budget):
        groups = draw.choice((1, 1, 1, 2, 0))
        inputs = draw.choice((1, 2, 3, 3, 4, 5, 6, 7, 8, 9, 12, 15, 16, 17, 24, 32))
        groups = inputs if groups == 0 else (1 if inputs % 2 else groups)
        kernel = draw.choice((1, 1, 1, 2, 3, 3, 5, 7))
        yield Case(
            inputs,
            groups * draw.choice((1, 2, 3, 4, 8, 16)),
            kernel,
            draw.choice((1, 2, 2, 3)),
            draw.choice((7, 8, 9, 16, 17, 32)),
            draw.choice((0, kernel // 2)),
            groups,
            draw.choice((1, 4, 8)),
            draw.choice((1, 2)),
            draw.choice(("float32", "float32", "bfloat16", "float64")),
            draw.choice(("last", "last", "last-images", "first")),
            draw.random() < 0.3,
            draw.choice(("both", "images")),
        )


def errors_of(case: Case) -> tuple[float, ...]:
    """Relative errors of the output and of the gradients of images and weights."""
    import torch
    from torch.nn import functional as F

    torch.set_num_threads(case.threads)
    torch.manual_seed(0)
    dtype = getattr(torch, case.dtype)
    shape = (case.outputs, case.inputs // case.groups)
    if case.transposed:
        shape = (case.inputs, case.outputs // case.groups)
    images = torch.randn(case.batch, case.inputs, case.size, case.size).to(dtype)
    weights = torch.randn(*shape, case.kernel, case.kernel).to(dtype)
    convolve = F.conv_transpose2d if case.transposed else F.conv2d
    options = {"stride": case.stride, "padding": case.padding, "groups": case.groups}

    def passes(images: torch.Tensor, weights: torch.Tensor, layout: str) -> list[torch.Tensor]:
        last, first = torch.channels_last, torch.contiguous_format
        images = images.clone(memory_format=first if layout == "first" else last)
        weights = weights.clone(memory_format=last if layout == "last" else first)
        wanted = [
            x.requires_grad_()
            for x, name in zip((images, weights), ("images", "weights"), strict=True)
            if case.gradients in (name, "both")
        ]
        output = convolve(images, weights, None, **options)
        generator = torch.Generator().manual_seed(1)
        slope = torch.randn(output.shape, generator=generator).to(output.dtype)
        return [output.detach(), *torch.autograd.grad(output, wanted, slope)]

    found = [passes(images, weights, case.layout) for _ in range(2)][1]
    wanted = passes(images.double(), weights.double(), "first")
    return tuple(
        ((ours.double() - exact).norm() / exact.norm().clamp_min(1e-12)).item()
        for ours, exact in zip(found, wanted, strict=True)
    )


def verdict(case: Case) -> str:
    """ "ok", or what went wrong, from a child process."""
    reader, writer = os.pipe()
    child = os.fork()
    if not child:
        os.dup2(os.open(os.devnull, os.O_WRONLY), 2)
        signal.alarm(120)  # broken memory can also end in a process that waits for ever
        text = " ".join(f"{error:.3g}" for error in errors_of(case))
        os.write(writer, text.encode())
        os._exit(0)
    os.close(writer)
    with os.fdopen(reader) as file:
        text = file.read()
    _, status = os.waitpid(child, 0)
    if os.WIFSIGNALED(status):
        return f"killed by signal {os.WTERMSIG(status)}"
    if status or not text:
        return "failed"
    limit = {"float32": 1e-4, "bfloat16": 3e-2, "float64": 1e-9}[case.dtype]
    return "ok" if all(float(error) <= limit for error in text.split()) else f"errors {text}"


def main() -> None:
    """Sweep and print."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument(
        "--random", type=int, default=1000, help="how many shapes are drawn besides the known ones"
    )
    parser.add_argument("--seed", type=int, default=0)
    options = parser.parse_args()
    if "LD_PRELOAD" not in os.environ:
        os.execvpe(sys.executable, [sys.executable, *sys.argv], os.environ | CHECKING)
    import torch

    isa = os.environ.get("ONEDNN_MAX_CPU_ISA", "the processor's own")
    print(f"torch {torch.__version__}, oneDNN instructions: {isa}")
    print("\t".join(["verdict", *(field.name for field in fields(Case))]))
    total = bad = 0
    for case in cases(options.random, options.seed):
        total += 1
        if (said := verdict(case)) != "ok":
            bad += 1
            print("\t".join([said, *map(str, astuple(case))]), flush=True)
    print(f"{total} cases, {bad} of them wrong")
    sys.exit(1 if bad else 0)


if __name__ == "__main__":
    main()
