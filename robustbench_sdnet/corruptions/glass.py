"""Glass blur: pixels copied from near ones, in the reference's order, all at once."""

from __future__ import annotations

import math

import numpy as np
import torch
from torch import Tensor

from .filters import chosen, from_words, gaussian, to_bytes, to_words, unit_interval
from .members import Setting
from .sampling import Draws, Generators, drawn, fill_words


def sample_glass(generators: Generators, n: int, height: int, width: int, setting: Setting) -> Draws:
    """Where each pixel is copied from: (n, sweeps, h - 2 d, w - 2 d, 2) uint8, columns and rows.

    With a reach d of 1 they are bits: one column left, one row up. Else they count from d columns left and d rows up,
    below 2 d: 16 random bits each, scaled.
    """
    _, reach, sweeps = (int(value) for value in setting)
    shape = (sweeps, max(height - 2 * reach, 0), max(width - 2 * reach, 0), 2)
    count, each = math.prod(shape), 64 if reach == 1 else 4
    words = drawn(generators, n, math.ceil(count / each), fill=fill_words, dtype="<u8")
    if reach == 1:
        return {"step": np.unpackbits(words.view(np.uint8), axis=1, count=count).reshape(n, *shape)}
    scaled = (words.view("<u2")[:, :count].astype(np.uint32) * (2 * reach)) >> 16
    return {"step": scaled.astype(np.uint8).reshape(n, *shape)}


def glass_blur(images: Tensor, draws: dict[str, Tensor], setting: Setting) -> Tensor:
    """Blur, copy each pixel from one near it, blur again.

    The reference swaps through views, which copies, from the last pixel to the first. The d rows and columns at the
    border stay as they are, and one more above and to the left.
    """
    sigma, reach = setting[0], int(setting[1])
    words = to_words(to_bytes(gaussian(unit_interval(images), sigma)))
    for step in draws["step"].unbind(1):
        words = _nearest_copied(words, step) if reach == 1 else _copied(words, step, reach)
    return to_bytes(gaussian(unit_interval(from_words(words)), sigma))


def _nearest_copied(words: Tensor, step: Tensor) -> Tensor:
    """A sweep of reach 1: no source was changed before, so that it is one parallel choice of four neighbours."""
    left, up = step.to(torch.int32).neg_().unbind(-1)
    here, beside = words[:, 2:, 2:], words[:, 2:, 1:-1]
    above, across = words[:, 1:-1, 2:], words[:, 1:-1, 1:-1]
    moved = chosen(chosen(across, above, left), chosen(beside, here, left), up)
    words = words.clone()
    words[:, 2:, 2:] = moved
    return words


def _copied(words: Tensor, step: Tensor, reach: int) -> Tensor:
    """A sweep of a larger reach: a source below or to the right was changed before, and stands for its own source.

    Sources of sources are followed in doubling strides until each is a pixel that was not changed before its copy:
    numbers from n h w on, which stand for the pixels as they were and are their own sources.
    """
    height, width = words.shape[1:]
    rows, columns = slice(reach + 1, height - reach + 1), slice(reach + 1, width - reach + 1)
    active = torch.zeros(words.shape, dtype=torch.int32, device=words.device)
    active[:, rows, columns] = 1
    total = words.numel()
    source = torch.arange(total, 2 * total, dtype=torch.int32, device=words.device).repeat(2)
    down, right = (step[..., axis].to(torch.int32) - reach for axis in (1, 0))
    move = down.mul_(width).add_(right)
    copied = source[:total].reshape(words.shape)[:, rows, columns]  # a view
    place = copied + move
    # One, where a source comes after the pixel that is copied to, and is itself copied to.
    waits = active.reshape(-1).index_select(0, (place - total).reshape(-1)).reshape(move.shape)
    waits &= move.neg_() >> 31
    copied[:] = place.sub_(waits.mul_(total))
    while int(source[:total].min()) < total:
        source[:total] = source.index_select(0, source[:total])
    return words.reshape(-1).index_select(0, source[:total] - total).reshape(words.shape)
