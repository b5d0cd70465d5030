"""Batches: resident and streamed ones agree; ImageNet's crops."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from PIL import Image

from robustbench_sdnet import data
from robustbench_sdnet.data.images import from_arrays
from robustbench_sdnet.errors import DataError
from robustbench_sdnet.training import train
from robustbench_sdnet.training.recipes.options import TrainOptions
from robustbench_sdnet.training.step.feed import AHEAD, ResidentFeed, StreamingFeed, feed_for, hold_out

CPU = torch.device("cpu")


@pytest.fixture
def feeds(tiny_data):
    held = data.load(tiny_data, "train")
    options = TrainOptions(crop=2, cutout=3, workers=3)

    def make(kind, rank=0, world=1):
        return kind(held, options, torch.arange(90), 16, CPU, rank, world)

    return make


def test_streamed_batches_are_the_resident_ones(feeds):
    resident, streamed = (list(feeds(kind).epoch(1)) for kind in (ResidentFeed, StreamingFeed))
    assert len(resident) == len(streamed) == 90 // 16
    for one, other in zip(resident, streamed, strict=True):
        assert all(torch.equal(getattr(one, key), getattr(other, key)) for key in ("images", "labels", "ids"))


def test_an_epoch_draws_the_same_numbers_for_good(tiny_data):
    """Networks of the zoo were trained with these draws; with others, their recipes would make other networks."""
    feed = ResidentFeed(data.load(tiny_data, "train"), TrainOptions(crop=4, seed=1), torch.arange(6), 2, CPU)
    first, second = feed._drawn(0), feed._drawn(1)
    assert [column.tolist() for column in first[:3]] == [
        [3, 2, 1, 5, 4, 0],
        [0, 1, -1, -4, -1, -3],
        [1, 3, 0, 3, 2, -3],
    ]
    assert first.mirrored.tolist() == [True, True, False, False, True, False]
    assert second.positions.tolist() == [2, 1, 4, 5, 3, 0]
    kept, aside = hold_out(feed.data, TrainOptions(limit=20, hold_out=0.25, seed=1))
    assert aside.tolist() == [5, 7, 15, 18, 19]
    assert sorted([*kept.tolist(), *aside.tolist()]) == list(range(20))


@pytest.mark.parametrize("kind", [ResidentFeed, StreamingFeed])
def test_an_epoch_can_be_entered_at_any_step_and_shared(feeds, kind):
    whole = list(feeds(kind).epoch(2))
    later = list(feeds(kind).epoch(2, first_step=3))
    assert torch.equal(torch.cat([batch.images for batch in later]), torch.cat([b.images for b in whole[3:]]))
    shares = [list(feeds(kind, rank, 2).epoch(2)) for rank in range(2)]
    assert torch.equal(torch.cat([share[0].ids for share in shares]), whole[0].ids)
    assert not torch.equal(whole[0].ids, next(iter(feeds(kind).epoch(3))).ids)


def test_a_streamed_epoch_reads_a_few_batches_ahead(tiny_data):
    feed = StreamingFeed(data.load(tiny_data, "train"), TrainOptions(workers=2), torch.arange(60), 2, CPU)
    read, seen = feed._read, []
    feed._read = lambda key, cut: seen.extend(cut.positions.tolist()) or read(key, cut)
    batches = feed.epoch(0)
    next(batches)
    batches.close()  # waits for what is being read
    assert len(seen) == 2 * (1 + AHEAD)


@pytest.mark.parametrize(
    ("labels", "wanted"), [([0] * 4 + [1] * 4, {0, 2, 4, 6}), ([0, 1] * 4, {0, 1, 2, 3})]
)
def test_a_limit_takes_images_of_all_classes(labels, wanted):
    """The first of a folder of classes are of one class, of which a network learns nothing."""
    held = from_arrays("npz:x", "train", np.zeros((8, 8, 8, 3), np.uint8), np.array(labels), 2, "x")
    kept, aside = hold_out(held, TrainOptions(limit=4, hold_out=0.25))
    assert (len(kept), len(aside), {*kept.tolist(), *aside.tolist()}) == (3, 1, wanted)


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    root = tmp_path_factory.mktemp("imagenet")
    rng = np.random.default_rng(0)
    for split, count in (("train", 4), ("val", 2)):
        for wnid in ("n01", "n02"):
            (root / split / wnid).mkdir(parents=True)
            for number in range(count):
                pixels = rng.integers(0, 256, (240, 260, 3), dtype=np.uint8)
                Image.fromarray(pixels).save(root / split / wnid / f"{number}.JPEG")
    return root


def test_imagenet_streams_random_crops_that_change_with_the_epoch(folder):
    held = data.load("imagenet", "train", root=folder)
    assert feed_for(held, CPU) is StreamingFeed
    feed = StreamingFeed(held, TrainOptions(crop=0, flip=False), torch.arange(8), 4, CPU)
    batches = list(feed.epoch(0))
    assert batches[0].images.shape == (4, 3, 224, 224)
    again = list(feed.epoch(0, first_step=1))
    assert torch.equal(again[0].images, batches[1].images)
    first = {int(i): image for batch in batches for i, image in zip(batch.ids, batch.images, strict=True)}
    later = {
        int(i): image for batch in feed.epoch(1) for i, image in zip(batch.ids, batch.images, strict=True)
    }
    assert all(not torch.equal(first[i], later[i]) for i in range(8))


def test_imagenet_trains_on_one_step(folder, tmp_path):
    settings = {
        "train.epochs": 1,
        "train.batch_size": 4,
        "train.limit": 4,
        "model.width": 2,
        "train.threads": 1,
    }
    result = train("imagenet", "sdnet18", overrides=settings, output=tmp_path / "run", data_root=folder)
    assert result.steps_run == 1


def test_a_damaged_picture_stops_the_run(folder, tmp_path):
    import shutil

    root = shutil.copytree(folder, tmp_path / "damaged")
    (root / "train" / "n02" / "3.JPEG").write_bytes(b"\xff\xd8 no picture")
    held = data.load("imagenet", "train", root=root)
    feed = StreamingFeed(held, TrainOptions(crop=0), torch.arange(8), 8, CPU)
    with pytest.raises(DataError, match=r"n02/3\.JPEG is not a readable image"):
        list(feed.epoch(0))
