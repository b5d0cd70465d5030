"""Snow and spatter."""

from __future__ import annotations

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from .filters import (
    at_least,
    divisor,
    gaussian,
    merged,
    mix_rows,
    planes,
    to_bytes,
    turned,
    unit_interval,
    zoom_extent,
)
from .members import Setting
from .motion import blur_along
from .sampling import Draws, Generators, drawn, fill_normal

_WATER = (175.0, 238.0, 238.0)
_MUD = (63.0, 42.0, 20.0)


def sample_snow(generators: Generators, n: int, height: int, width: int, _: Setting) -> Draws:
    """Standard normals (n, h, w), and the angle of fall in degrees (n,), uniform in -135..-45; float64."""
    normal, angle = np.empty((n, height, width)), np.empty(n)
    for index, generator in enumerate(generators):
        fill_normal(generator, normal[index])
        angle[index] = generator.uniform(-135, -45)
    return {"normal": normal, "angle": angle}


def snow(images: Tensor, draws: dict[str, Tensor], setting: Setting) -> Tensor:
    """Whiten the image, then add a layer of streaks and the same layer turned by 180 degrees."""
    loc, scale, zoom, threshold, radius, sigma, mix = setting
    layer = snow_layer(draws["normal"], loc, scale, zoom, threshold)
    return snowed(images, layer, draws["angle"], int(radius), sigma, mix)


def snow_layer(normal: Tensor, loc: float, scale: float, zoom: float, threshold: float) -> Tensor:
    """Flakes, (n, h, w) uint8, before they fall: zoomed into the centre, linearly, each axis on its own."""
    layer = normal * scale + loc
    for _ in range(2):
        size = layer.shape[1]
        layer = turned(mix_rows(layer, size, zoom_extent(size, zoom)))
    return to_bytes(at_least(layer, threshold))


def snowed(images: Tensor, layer: Tensor, angle: Tensor, radius: int, sigma: float, mix: float) -> Tensor:
    """Images behind a layer of flakes that fall along their angles, (n,) degrees."""
    streaks = unit_interval(blur_along(layer[..., None], angle, radius, sigma)[..., 0])
    flakes = streaks + streaks.flip(1, 2)
    red, green, blue = channels = [unit_interval(plane, torch.float32) for plane in planes(images)]
    white = (red * 0.299 + green * 0.587 + blue * 0.114).mul_(1.5).add_(0.5)
    found = []
    for clean in channels:
        whitened = torch.maximum(clean, white).mul_(1 - mix).add_(clean.mul_(mix))
        found.append(to_bytes(whitened.to(torch.float64).add_(flakes)))
    return merged(found)


def sample_spatter(generators: Generators, n: int, height: int, width: int, _: Setting) -> Draws:
    """Standard normals, (n, h, w) float64."""
    return {"normal": drawn(generators, n, height, width, fill=fill_normal)}


def spatter(images: Tensor, draws: dict[str, Tensor], setting: Setting) -> Tensor:
    """Drops of water (severity 1 to 3) or splashes of mud (4 and 5)."""
    loc, scale, sigma, threshold, strength, mud = setting
    liquid = gaussian((draws["normal"] * scale + loc)[..., None], sigma)[..., 0]
    if not mud:
        return watered(images, at_least(liquid, threshold), strength)
    # Mud covers where most of the surroundings are wet.
    wet = gaussian((liquid > threshold).to(torch.float64)[..., None], strength)[..., 0]
    cover = at_least(wet, 0.8).to(torch.float32)
    return _covered(images, cover, _MUD, 1 - cover)


def watered(images: Tensor, liquid: Tensor, strength: float) -> Tensor:
    """Images behind water, which stands (n, h, w) float64 high; 0 where there is none.

    How much of it covers each pixel shows the relief of the drops. That is made on the CPU whatever the device: Canny
    edges, the chamfer distance and histogram equalisation are OpenCV's.
    """
    # A level above 255 wraps round, as in the reference's conversion.
    drops = (liquid * 255).to(torch.int32).bitwise_and_(255).to(torch.uint8).cpu().numpy()
    relief = np.empty(drops.shape, np.float32)
    for source, target in zip(drops, relief, strict=True):
        target[:] = _relief(source)
    cover = torch.from_numpy(drops * relief)
    # An image without a drop stays as it is; the reference divides by zero there.
    largest = cover.amax((1, 2), keepdim=True)
    cover = (cover / torch.where(largest > 0, largest, 1)).mul_(strength).to(liquid.device)
    return _covered(images, cover, _WATER)


def _covered(images: Tensor, cover: Tensor, colour: tuple[float, ...], dry: Tensor | None = None) -> Tensor:
    """Images, where `dry` is given times that, plus a cover (n, h, w) float32 of a colour."""
    found = []
    shades = torch.tensor(colour, dtype=torch.float32, device=images.device) / divisor(255, cover)
    for plane, shade in zip(planes(images), shades, strict=True):
        clean = unit_interval(plane, torch.float32)
        clean = clean if dry is None else clean.mul_(dry)
        found.append(to_bytes(clean.add_(cover * shade)))
    return merged(found)


def _relief(drops: NDArray[np.uint8]) -> NDArray[np.uint8]:
    """Distance from the drops' edges, equalised and embossed."""
    import cv2

    away = 255 - np.asarray(cv2.Canny(drops, 50, 150))
    distance = np.minimum(np.asarray(cv2.distanceTransform(away, cv2.DIST_L2, 5)), 20)
    smooth = np.asarray(cv2.blur(distance, (3, 3))).astype(np.uint8)
    emboss = np.array([[-2, -1, 0], [-1, 1, 1], [0, 1, 2]])
    embossed = cv2.filter2D(cv2.equalizeHist(smooth), cv2.CV_8U, emboss)
    return np.asarray(cv2.blur(embossed, (3, 3)), np.uint8)
