"""How images are shown: stretched, enlarged and with legible labels; and how far one is from another."""

from __future__ import annotations

import matplotlib
import numpy as np
import torch

from robustbench_sdnet.inside import drawing
from robustbench_sdnet.inside.measures import relative
from robustbench_sdnet.inside.pages import _enlargement
from robustbench_sdnet.reports.plots.style import to_png


def test_what_has_no_size_has_no_relative_error() -> None:
    given = torch.tensor([[3.0, 4.0], [0.0, 0.0], [0.0, 0.0]])
    found = relative(torch.tensor([[3.0, 9.0], [0.0, 0.0], [0.1, 0.0]]), given)
    assert found.tolist() == [1.0, 0.0, float("inf")]  # means leave out what is not finite


def test_a_change_is_enlarged_until_it_fills_the_range_and_never_shrunk() -> None:
    sizes = (0.0625, 0.9, 0.0)
    assert [_enlargement(torch.tensor([0.0, size, -size])) for size in sizes] == [8, 1, 1]


def test_labels_stay_legible_in_a_narrow_window() -> None:
    for count, size in ((10, 32), (2, 8), (10, 224)):
        figure = drawing.image_grid([("input", np.zeros((count, size, size, 3), np.float32))])
        (label,) = figure.axes[0].texts
        assert 370 * label.get_fontsize() / 72 / figure.get_figwidth() > 7.5  # pixels in a column of 370


def test_pictures_stand_upright_whatever_origin_a_matplotlibrc_sets() -> None:
    rows = [("input", np.linspace(0, 1, 8 * 8 * 3, dtype=np.float32).reshape(1, 8, 8, 3))]
    alone = to_png(drawing.image_grid(rows))
    with matplotlib.rc_context({"image.origin": "lower"}):
        assert to_png(drawing.image_grid(rows)) == alone


def test_stretched_and_equalised_are_the_originals() -> None:
    images = np.random.default_rng(0).random((2, 5, 5, 3), dtype=np.float32) * 3 - 1
    images[1, :, :, 2] = 7
    wide = drawing.stretched(images)
    for image, found in zip(images, wide, strict=True):
        for channel in range(3):
            low, high = image[..., channel].min(), image[..., channel].max()
            expected = (image[..., channel] - low) / (high - low) if high > low else np.full((5, 5), 0.5)
            np.testing.assert_allclose(found[..., channel], expected, atol=1e-6)
    even = drawing.equalised(images)
    assert even.shape == images.shape
    assert len(np.unique(even[0, :, :, 0])) > 20
    assert drawing.clipped(images).min() == 0
    assert drawing.clipped(images).max() == 1


def test_atoms_are_sorted_from_smooth_to_fine() -> None:
    flat, fine = np.ones((1, 3, 3, 3), np.float32), np.indices((3, 3)).sum(0) % 2 * 2.0 - 1
    atoms = np.concatenate([np.broadcast_to(fine, (1, 3, 3, 3)), flat]).astype(np.float32)
    assert drawing.roughness(atoms)[1] == 0 < drawing.roughness(atoms)[0]


def test_a_grid_of_few_atoms_is_as_wide_as_they_are() -> None:
    def shape(count: int) -> tuple[int, int]:
        atoms = np.random.default_rng(0).normal(size=(count, 3, 3, 3)).astype(np.float32)
        return drawing.atom_grid(atoms).axes[0].images[0].get_array().shape[:2]

    one = drawing._TILE + drawing._GAP  # a patch of 3 x 3 pixels, 32 times as large
    assert shape(8) == (one, 8 * one)
    assert shape(16) == (one, 16 * one)
    assert shape(24) == (2 * one, 16 * one)
