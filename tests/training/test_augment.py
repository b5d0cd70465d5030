"""Crops, flips and holes against a slow reading of their definition."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from PIL import Image, ImageOps

from robustbench_sdnet.training.recipes.options import TrainOptions
from robustbench_sdnet.training.step import augmix as module
from robustbench_sdnet.training.step.augment import Placement, draw_placements, place, reduced
from robustbench_sdnet.training.step.augmix import OPERATIONS, apply, augmix


def random_images(count=6, height=7, width=9):
    generator = torch.Generator().manual_seed(0)
    return torch.randint(0, 256, (count, 3, height, width), dtype=torch.uint8, generator=generator)


def test_place_is_pad_crop_and_flip():
    images = random_images()
    positions = torch.tensor([4, 0, 0, 5, 2])
    placement = draw_placements(TrainOptions(crop=2), positions, torch.Generator().manual_seed(1))
    found = place(images, placement)
    padded = np.pad(images.numpy(), ((0, 0), (0, 0), (2, 2), (2, 2)))
    for row, position in enumerate(positions.tolist()):
        top, left = int(placement.down[row]) + 2, int(placement.right[row]) + 2
        expected = padded[position, :, top : top + 7, left : left + 9]
        expected = expected[:, :, ::-1] if placement.mirrored[row] else expected
        assert (found[row].numpy() == expected).all()
    assert placement.mirrored.any()
    assert not placement.mirrored.all()


def test_draws_cover_every_shift_and_options_do_not_move_each_other():
    positions = torch.arange(2000)
    plain = draw_placements(TrainOptions(crop=4), positions, torch.Generator().manual_seed(0))
    assert set(plain.down.tolist()) == set(range(-4, 5)) == set(plain.right.tolist())
    assert 0.45 < plain.mirrored.float().mean() < 0.55
    other = draw_placements(
        TrainOptions(crop=4, flip=False, cutout=3), positions, torch.Generator().manual_seed(0)
    )
    assert not other.mirrored.any()
    assert torch.equal(plain.down, other.down)
    assert torch.equal(plain.hole, other.hole)


def test_cutout_is_a_grey_square():
    images = random_images(1, 8, 8)
    still = torch.zeros(1, dtype=torch.long)
    placement = Placement(still, still, still, still.bool(), torch.tensor([[0.5, 0.25]]))
    found = place(images, placement, cutout=4)
    # centre (4, 2) in pixels: rows 2..5, columns 0..3
    assert (found[0, :, 2:6, 0:4] == 128).all()
    found[0, :, 2:6, 0:4] = images[0, :, 2:6, 0:4]
    assert torch.equal(found, images)


def operate(index, images, size=1.0):
    count = len(images)
    return apply(images, torch.full((count,), index), torch.full((count,), size), torch.ones(count))


def test_augmix_operations_one_by_one():
    images = random_images(4, 16, 16).float() / 255 * 0.5 + 0.1
    stretched = operate(0, images)
    assert torch.allclose(stretched.amin((2, 3)), torch.zeros(4, 3), atol=1e-6)
    assert torch.allclose(stretched.amax((2, 3)), torch.ones(4, 3), atol=1e-5)
    assert torch.allclose(operate(3, images, size=0.6), torch.where(images >= 0.4, 1 - images, images))
    shifted = operate(7, images)  # a third of the width: pixels move left by 16/3
    assert shifted[..., 11:].abs().max() == 0
    assert torch.equal(operate(-1, images), images)


@pytest.mark.parametrize(
    ("operation", "size", "wanted"),
    [
        (0, 0.1, lambda image: ImageOps.autocontrast(image)),
        (1, 0.1, lambda image: ImageOps.equalize(image)),
        (
            2,
            0.24,
            lambda image: ImageOps.posterize(image, 4),
        ),  # 4 - int(level * 4 / 10), as its authors have it
        (2, 0.26, lambda image: ImageOps.posterize(image, 3)),
        (3, 0.25, lambda image: ImageOps.solarize(image, 256 - 64)),
        (7, 0.28125, lambda image: image.transform((32, 32), Image.AFFINE, (1, 0, 3, 0, 1, 0))),
        (8, 0.28125, lambda image: image.transform((32, 32), Image.AFFINE, (1, 0, 0, 0, 1, 3))),
    ],
)
def test_augmix_operations_are_those_of_its_authors(operation, size, wanted):
    pixels = random_images(4, 32, 32) // 2 + 40
    pixels[3, 1] = 7  # a channel of one level
    found = operate(operation, pixels.float() / 255, size) * 255
    for image, moved in zip(pixels, found, strict=True):
        expected = np.asarray(wanted(Image.fromarray(image.permute(1, 2, 0).numpy()))).astype(float)
        assert (
            np.abs(expected - moved.permute(1, 2, 0).numpy()).max() < 1.01
        )  # Pillow's contrast is cut to whole levels


def test_images_are_reduced_as_pillow_reduces_them():
    images = random_images(3, 32, 24)
    for side, size in ((16, (16, 12)), (24, (24, 18))):
        found = reduced(images, side)
        assert found.shape == (3, 3, *size)
        for image, small in zip(images, found, strict=True):
            wanted = Image.fromarray(image.permute(1, 2, 0).numpy()).resize(size[::-1], Image.BILINEAR)
            assert np.abs(np.asarray(wanted).astype(int) - small.permute(1, 2, 0).numpy()).max() <= 1
    assert reduced(images, 32) is images
    assert reduced(images, 64) is images


def test_rotation_turns_about_the_centre():
    images = torch.zeros(1, 3, 33, 33)
    images[:, :, 16, 4:29] = 1
    turned = operate(4, images)[0, 0]
    rows = (turned > 0.3).nonzero()[:, 0]
    assert turned[16, 16] > 0.9
    assert rows.max() - rows.min() == 12  # the end of a 12-pixel arm at 30 degrees is 6 rows off


@pytest.mark.parametrize(
    ("operation", "turn"),
    [
        (4, lambda image: image.rotate(15, resample=Image.BILINEAR)),
        (
            5,
            lambda image: image.transform(
                (20, 44), Image.AFFINE, (1, 0.15, -0.15 * 22, 0, 1, 0), Image.BILINEAR
            ),
        ),
        (
            6,
            lambda image: image.transform(
                (20, 44), Image.AFFINE, (1, 0, 0, 0.15, 1, -0.15 * 10), Image.BILINEAR
            ),
        ),
    ],
)
def test_images_that_are_not_square_are_turned_and_sheared_in_pixels(operation, turn):
    (blocks,) = random_images(1, 6, 3).permute(0, 2, 3, 1).numpy()
    picture = Image.fromarray(blocks).resize((20, 44), Image.BICUBIC)
    pixels = torch.from_numpy(np.array(picture)).permute(2, 0, 1)[None]
    found = operate(operation, pixels.float() / 255, 0.5)[0].permute(1, 2, 0).numpy() * 255
    differing = np.abs(found - np.asarray(turn(picture)))
    assert differing[8:-8, 6:-6].max() < 1.01  # Pillow cuts to whole levels


def test_augmix_depends_on_id_and_step_alone_and_stays_in_range():
    images = random_images(8, 8, 8).float() / 255
    ids = torch.arange(8)
    whole = augmix(images, ids, seed=1, step=3)
    assert torch.equal(whole[5:], augmix(images[5:], ids[5:], seed=1, step=3))
    assert not torch.equal(whole, augmix(images, ids, seed=1, step=4))
    assert whole.min() >= 0
    assert whole.max() <= 1 + 1e-5
    assert OPERATIONS == 9


def test_augmix_draws_what_its_authors_do(monkeypatch):
    """Three chains of one to three of nine operations at up to 0.3, Dirichlet(1, 1, 1) and Beta(1, 1) weights.

    Of 20,000 images: means of uniform draws are within four deviations, 0.0012 of 0.3 / sqrt(12) and so on.
    """
    n, asked = 20_000, []

    def recorded(images, operation, size, sign):
        asked.append((operation, size, sign))
        return torch.eye(3)[:, :, None, None][(len(asked) - 1) // 3].expand_as(
            images
        )  # the chain's own channel

    monkeypatch.setattr(module, "apply", recorded)
    mixed = augmix(torch.zeros(n, 3, 1, 1), torch.arange(n), seed=0, step=0).flatten(1)
    assert len(asked) == 9
    for first in (0, 3, 6):
        operations, sizes, signs = (torch.stack(part) for part in zip(*asked[first : first + 3], strict=True))
        depth = (operations >= 0).sum(0)
        assert (operations >= 0).equal(torch.arange(3)[:, None] < depth), "those of a chain are its first"
        assert depth.bincount().div(n).tolist() == pytest.approx([0, 1 / 3, 1 / 3, 1 / 3], abs=0.014)
        taken = operations[operations >= 0]
        assert taken.bincount().div(len(taken)).tolist() == pytest.approx([1 / 9] * 9, abs=0.007)
        assert (float(sizes.mean()), float(sizes.amax())) == pytest.approx((0.15, 0.3), abs=0.0015)
        assert (set(signs.unique().tolist()), float(signs.mean())) == (
            {-1.0, 1.0},
            pytest.approx(0, abs=0.017),
        )
    share = mixed.sum(1)  # of the mixture, the clean image's being the rest
    assert (float(share.mean()), float(share.var())) == pytest.approx((1 / 2, 1 / 12), abs=0.009)
    weights = mixed / share[:, None]
    assert weights.mean(0).tolist() == pytest.approx([1 / 3] * 3, abs=0.007)
    assert weights.var(0).tolist() == pytest.approx([1 / 18] * 3, abs=0.003)
    assert torch.corrcoef(torch.stack([share, weights[:, 0]]))[0, 1].abs() < 0.03
