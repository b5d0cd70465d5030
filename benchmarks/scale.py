"""What docs/scale.md computes with: what it costs a core to read a photograph, to corrupt it, or to read it corrupted.

    python benchmarks/scale.py [--rounds 3] [--device cuda]

CPU milliseconds an image, the least of the rounds: of a JPEG of 500 x 375 as ImageNet's are, read as `--data imagenet`
reads it; of the fifteen corruptions of ImageNet-C at severities 1, 3 and 5 on 224 x 224; of a JPEG of 224 x 224 as
ImageNet-C's are, read as `--data imagenetc:PATH` reads it. The photographs are those of benchmarks/corruptions.py.
With --device it prints only the page's R there: forward passes a second of networks of 18 layers and 1,000 classes, of
random weights, on 100 images of 224 x 224.
"""

from __future__ import annotations

import argparse
import os
import statistics
import sys
import tempfile
import time
from collections.abc import Callable
from functools import partial
from pathlib import Path
from typing import Any

os.environ.update(OMP_NUM_THREADS="1", MKL_NUM_THREADS="1", OPENBLAS_NUM_THREADS="1")
sys.path.insert(0, str(Path(__file__).parents[1]))

import cv2
import numpy as np
import torch
from corruptions import photographs
from PIL import Image

from robustbench_sdnet.corruptions import corrupt
from robustbench_sdnet.corruptions.registry import expand
from robustbench_sdnet.data.picture_folders import _decode
from robustbench_sdnet.data.pictures import FolderPixels
from robustbench_sdnet.devices import full_float32
from robustbench_sdnet.zoo.nets.layout import layout_of
from robustbench_sdnet.zoo.nets.sdnet import build_model


def milliseconds(work: Callable[[], Any], images: int, rounds: int) -> float:
    """CPU time an image, the least of the rounds."""
    found = []
    for _ in range(rounds):
        began = time.process_time()
        work()
        found.append(time.process_time() - began)
    return 1e3 * min(found) / images


def written(folder: Path, images: np.ndarray, size: tuple[int, int], quality: int) -> list[Path]:
    """JPEG files of the images at another size."""
    files = [folder / f"{size[0]}-{number}.jpg" for number in range(len(images))]
    for file, image in zip(files, images, strict=True):
        Image.fromarray(image).resize(size, Image.Resampling.BICUBIC).save(file, quality=quality)
    return files


def told(what: str, files: list[Path], spent: float) -> None:
    """Print what reading cost, and of what size."""
    size = sum(file.stat().st_size for file in files) / len(files) / 1000
    print(f"{what} read ({size:.0f} KB): {spent:.2f}", flush=True)


def passes_a_second(arch: str, device: str, low: bool, rounds: int) -> float:
    """Forward passes on the device, in float32 or under autocast in bfloat16, in the layout that is used there."""
    model = build_model(arch, num_classes=1000, input_size=224).eval().to(device)
    images = torch.rand(100, 3, 224, 224, device=device)
    images = images.contiguous(memory_format=layout_of(model, images, low=low))
    found = []
    for _ in range(rounds + 2):  # two to warm up
        began = time.perf_counter()
        with torch.no_grad(), full_float32(), torch.autocast(device, torch.bfloat16, enabled=low):
            model(images)[0, 0].item()
        found.append(time.perf_counter() - began)
    return len(images) / statistics.median(found[2:])


def main() -> None:
    """Measure and print."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--device", help="measure forward passes there, and nothing else")
    given = parser.parse_args()
    rounds = given.rounds
    if given.device:
        for arch in ("resnet18", "sdnet18"):
            for low in (False, True):
                rate = passes_a_second(arch, given.device, low, rounds)
                print(f"{arch}, {'bfloat16' if low else 'float32'}: {rate:,.0f} forward passes a second")
        return
    torch.set_num_threads(1)
    cv2.setNumThreads(1)
    print(f"{os.cpu_count()} cores, load {os.getloadavg()[0]:.1f}, CPU ms an image on one core")
    with tempfile.TemporaryDirectory(dir=".") as name:
        folder = Path(name)
        large, small = photographs(size=375), photographs()
        files = written(folder, large, (500, 375), 96)
        nothing = np.zeros(len(files), np.int64)
        pixels = FolderPixels(folder, tuple(file.name for file in files), nothing, nothing)
        told(
            "photograph",
            files,
            milliseconds(lambda: [pixels.decode(n) for n in range(len(files))], len(files), rounds),
        )
        files = written(folder, small, (224, 224), 85)
        told(
            "corrupted one",
            files,
            milliseconds(lambda: [_decode(file) for file in files], len(files), rounds),
        )
    each = {}
    for corruption in expand("main"):
        each[corruption] = np.mean(
            [
                milliseconds(partial(corrupt, small, corruption, severity), len(small), rounds)
                for severity in (1, 3, 5)
            ]
        )
    least, most = min(each, key=each.__getitem__), max(each, key=each.__getitem__)
    print(
        f"{len(each)} corruptions drawn, severities 1, 3, 5: mean {np.mean(list(each.values())):.2f}, "
        f"{least} {each[least]:.2f} to {most} {each[most]:.2f}"
    )


if __name__ == "__main__":
    main()
