"""Grids of images, grids of atoms, and the way of a perturbation, as matplotlib figures in the suite's look."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence

import numpy as np
from matplotlib.figure import Figure
from matplotlib.ticker import MaxNLocator
from numpy.typing import NDArray
from PIL import Image, ImageOps

from ..reports.pictures import Number
from ..reports.plots.style import (
    DPI,
    MARGIN,
    PALETTE,
    TEXT,
    extra_height,
    new_figure,
    own_look,
    plain,
    wrapped,
)

Pixels = NDArray[np.float32]
_GAP = 4
_TILE = 96  # pixels of an image, at least
_LETTER = 1.5  # points of a label an inch of the figure, so that a narrow window leaves it legible
_STYLES = ("-", "--", ":", "-.")


def clipped(images: Pixels) -> Pixels:
    """(n, h, w, c) as they are, cut to [0, 1]."""
    cut: Pixels = np.clip(images, 0, 1).astype(np.float32)
    return cut


def stretched(images: Pixels) -> Pixels:
    """Each image and channel apart from 0 to 1; what is flat is grey."""
    low, high = images.min((1, 2), keepdims=True), images.max((1, 2), keepdims=True)
    span = np.where(high > low, high - low, 1)
    scaled: Pixels = np.where(high > low, (images - low) / span, 0.5).astype(np.float32)
    return scaled


def equalised(images: Pixels) -> Pixels:
    """Stretched, then the histogram of each channel made even over 256 bins, by PIL's rule."""
    eight_bit = (255 * stretched(images)).round().astype(np.uint8)
    pictures = [ImageOps.equalize(Image.fromarray(pixels)) for pixels in eight_bit]
    return np.stack([np.asarray(picture, np.float32) / 255 for picture in pictures])


@own_look()
def image_grid(rows: Sequence[tuple[str, Pixels]]) -> Figure:
    """A row of images under every label; all rows hold as many (n, h, w, 3) in [0, 1]."""
    count, height, across = rows[0][1].shape[:3]
    zoom = max(1, math.ceil(_TILE / height))
    wide = count * (zoom * across + _GAP)
    line = round(0.04 * wide)
    figure_width = min(wide / DPI, 8.6)
    texts, strips, top = [], [], 0
    for label, images in rows:
        if label:
            texts.append((top + line - 2 * _GAP, label))
            strips.append(np.ones((line, wide, 3), np.float32))
        large = np.kron(images, np.ones((1, zoom, zoom, 1), np.float32))
        padded = np.pad(large, ((0, 0), (0, _GAP), (0, _GAP), (0, 0)), constant_values=1)
        strips.append(np.concatenate(list(padded), axis=1))
        top = sum(map(len, strips))
    sheet = np.concatenate(strips)
    figure = new_figure(figure_width, figure_width * sheet.shape[0] / wide)
    figure.set_layout_engine("none")
    axes = figure.add_axes((0, 0, 1, 1))
    axes.set_axis_off()
    axes.imshow(sheet)
    for place, label in texts:
        axes.text(0, place, label, fontsize=_LETTER * figure_width, color=TEXT)
    return figure


def atom_grid(atoms: Pixels) -> Figure:
    """A dictionary (d, c, k, k) from smooth atoms to fine ones: in colour for 3 channels, else their energy."""
    ordered = atoms[np.argsort(roughness(atoms), kind="stable")]
    if atoms.shape[1] == 3:
        top = np.abs(ordered).max(axis=(1, 2, 3), keepdims=True)
        pictures = (0.5 + ordered / (2 * np.where(top > 0, top, 1))).transpose(0, 2, 3, 1)
    else:
        energy = np.sqrt((ordered**2).sum(1))
        pictures = np.repeat(stretched(energy[..., None]), 3, axis=3)
    columns = min(len(pictures), max(16, 8 * math.ceil(math.sqrt(len(pictures)) / 5)))
    lacking = -len(pictures) % columns
    pictures = np.concatenate([pictures, np.ones((lacking, *pictures.shape[1:]))]).astype(np.float32)
    return image_grid([("", part) for part in np.split(pictures, len(pictures) // columns)])


def roughness(atoms: Pixels) -> NDArray[np.float64]:
    """(d,) energy of the differences of neighbours, over the energy of the atom."""
    energy = sum((np.diff(atoms, axis=axis) ** 2).sum(axis=(1, 2, 3)) for axis in (2, 3))
    return np.asarray(energy / np.maximum((atoms**2).sum(axis=(1, 2, 3)), 1e-12), np.float64)


@own_look()
def way_figure(numbers: Mapping[str, Sequence[Number]]) -> Figure:
    """The relative change of the features against depth: a panel a model, a line a perturbation, bands of 95 %."""
    width = max(4.6, 6 / len(numbers))
    titles = [wrapped(model, width - MARGIN) for model in numbers]
    figure = new_figure(width * len(numbers), 3.4 + extra_height(titles))
    panels = figure.subplots(1, len(numbers), sharey=True, squeeze=False)[0]
    for axes, title, of_model in zip(panels, titles, numbers.values(), strict=True):
        for position, image in enumerate(dict.fromkeys(number.image for number in of_model)):
            line = [number for number in of_model if number.image == image]
            depths, colour = [number.depth for number in line], PALETTE[position % len(PALETTE)]
            style = _STYLES[position % len(_STYLES)]
            means = [number.mean for number in line]
            axes.plot(depths, means, style, color=colour, label=image, marker="o", ms=3)
            if all(number.low is not None and number.high is not None for number in line):
                ends = ([getattr(number, end) for number in line] for end in ("low", "high"))
                axes.fill_between(depths, *ends, color=colour, alpha=0.18, linewidth=0)
        axes.set_title(title, loc="left", color=TEXT)
        axes.set_xlabel("depth (0: after the stem)")
        axes.xaxis.set_major_locator(MaxNLocator(integer=True))
        axes.set_ylim(bottom=0)
        plain(axes)
    panels[0].set_ylabel("relative change of the features")
    panels[0].legend(frameon=False, fontsize=8, labelcolor=TEXT)
    return figure
