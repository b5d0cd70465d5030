"""Which models are asked where none is named, and what is said of the images."""

from __future__ import annotations

import shutil
import sys
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from robustbench_sdnet import data, zoo
from robustbench_sdnet.errors import InputError, ModelError
from robustbench_sdnet.planning.setting import Setting
from robustbench_sdnet.running import at_hand
from robustbench_sdnet.running.ready import prepare
from robustbench_sdnet.zoo import find_models
from robustbench_sdnet.zoo.nets.architectures import SMALL


@pytest.fixture
def large(monkeypatch):
    """A zoo that also holds a network of 18 layers."""

    def found(*arguments, **options):
        cards = find_models(*arguments, **options)
        wide = replace(cards[-1], name="digits/resnet18", source="x", arch="resnet18", weights_hash="18")
        return [*cards, wide]

    monkeypatch.setattr(at_hand, "find_models", found)


def asked(device: str, runs: Path) -> tuple[set[str], list[str]]:
    specs, failed, notes = at_hand.model_specs([], data.load("digits"), runs, None, device)
    assert failed == {}
    return {spec.name for spec in specs}, notes


def test_a_cpu_asks_the_20_layers_of_the_zoo_and_says_what_it_left_out(large, tmp_path):
    names, notes = asked("cpu", tmp_path)
    assert names == {"digits/resnet20-at", "digits/sdnet20-at"}
    assert notes == ["left out: digits/resnet18; --model takes any of them"]


def test_runs_that_cannot_be_listed_are_said_and_not_taken_for_none(tmp_path, monkeypatch):
    def refuse(folder):
        raise PermissionError(13, "Permission denied", str(folder))

    monkeypatch.setattr(Path, "iterdir", refuse)
    with pytest.raises(InputError, match=r"Cannot read the folder '.*' of runs \(Permission denied\)\.$"):
        asked("cpu", tmp_path)


def test_a_model_under_two_names_is_asked_once_and_a_line_says_so(tmp_path):
    own = tmp_path / "mine.safetensors"
    shutil.copyfile(Path(zoo.__file__).parent / "weights" / "digits-resnet20-at.safetensors", own)
    names = [str(own), "digits/resnet20-at", "digits/sdnet20-at", str(own)]
    specs, _, notes = at_hand.model_specs(names, data.load("digits"), tmp_path / "runs", None)
    assert [spec.name for spec in specs] == ["digits/sdnet20-at", "mine"]
    assert notes == ["digits/resnet20-at is the same model as mine and is evaluated once, as mine"]


def test_a_model_that_cannot_be_loaded_is_left_out_and_a_line_says_so_before_the_work(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    Path("theirs.py").write_text("def gone():\n    open('gone.pth')\n")
    names = ["theirs:gone", "digits/sdnet20-at"]
    specs, failed, notes = at_hand.model_specs(names, data.load("digits"), tmp_path / "runs", None)
    assert [spec.name for spec in specs] == ["digits/sdnet20-at"]
    assert notes == [f"left out: {failed['theirs:gone']}"]
    assert "No such file or directory: 'gone.pth'" in notes[0]


def test_models_are_asked_about_what_the_first_that_says_so_was_trained_on(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    Path("flat_of_mine.py").write_text("import torch\n\n\ndef model():\n    return torch.nn.Flatten()\n")
    newest = at_hand.describe_model("digits/sdnet20-at")
    monkeypatch.setattr(at_hand, "newest_run", lambda runs: newest)
    for models, wanted in (
        (["cifar10/sdnet20", "digits/sdnet20-at"], "cifar10"),
        (["flat_of_mine:model", "cifar10/sdnet20"], "cifar10"),
        (["flat_of_mine:model"], "digits"),
        ([], "digits"),
    ):
        assert at_hand.default_data(models, tmp_path) == wanted
    assert "flat_of_mine" not in sys.modules, "it says nothing, and is not loaded for that"


def test_without_data_or_runs_a_model_that_fails_is_named(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    Path("theirs.py").write_text("def gone():\n    open('gone.pth')\n")
    with pytest.raises(ModelError, match="theirs:gone"):
        at_hand.default_data(["theirs:gone"], tmp_path / "runs")
    assert at_hand.default_data(["theirs:gone", "digits/sdnet20-at"], tmp_path / "runs") == "digits"


def test_a_generated_folder_is_asked_of_models_of_the_images_that_it_was_made_of(tmp_path):
    """Its layout is CIFAR-10-C's, whatever the images are."""
    found = data.load("digits")
    np.save(tmp_path / "labels.npy", np.tile(found.labels[:5], 5))
    np.save(tmp_path / "fog.npy", np.tile(found.images(0, 5), (5, 1, 1, 1)))
    (tmp_path / ".generation.jsonl").write_text('{"seed": 0, "data": "digits"}\n')
    specs, _, _ = at_hand.model_specs([], data.load(f"cifar10c:{tmp_path}"), tmp_path / "runs", None)
    assert {spec.name for spec in specs} == {"digits/resnet20-at", "digits/sdnet20-at"}


def test_no_policy_is_fitted_on_training_images_of_another_size(tmp_path):
    """Those of an imagenet folder become 224 pixels large; pictures of Tiny-ImageNet-C stay as they are."""
    from robustbench_sdnet.zoo import build_model, save_model

    for folder in ("fog/1/n01", "fog/1/n02", "root/train/n01", "root/train/n02"):
        (tmp_path / folder).mkdir(parents=True)
        Image.new("RGB", (64, 64)).save(tmp_path / folder / "p.png")
    save_model(build_model("sdnet20", width=4, input_size=64, num_classes=2), tmp_path / "m.safetensors")
    ready = prepare(
        Setting(
            models=[str(tmp_path / "m.safetensors")],
            data=f"imagenetc:{tmp_path}",
            data_root=str(tmp_path / "root"),
            device="cpu",
        ),
        stored=False,
    )
    with pytest.raises(InputError, match=r"imagenetc:.* \(64x64\), but those of imagenet are 224x224"):
        ready.training_data()


def test_a_gpu_asks_all(large, tmp_path):
    names, notes = asked("cuda:1", tmp_path)
    assert names == {"digits/resnet20-at", "digits/sdnet20-at", "digits/resnet18"}
    assert notes == []


@pytest.mark.parametrize("device", ["cpu", "cuda"])
def test_what_must_be_fetched_first_is_left_out_by_name(monkeypatch, tmp_path, device):
    """As the models of 18 layers away from a checkout."""
    held = at_hand.entries()
    far = replace(held[-1], name="digits/resnet18", arch="resnet18", source="weights/no", sha256="0" * 64)
    monkeypatch.setattr(at_hand, "entries", lambda: (*held, far))
    names, notes = asked(device, tmp_path)
    assert names == {"digits/resnet20-at", "digits/sdnet20-at"}
    assert notes == ["left out: digits/resnet18 (not on this machine); --model takes any of them"]


@pytest.mark.parametrize("device", ["cpu", "cuda"])
def test_ones_own_runs_come_first(large, tmp_path, device):
    from robustbench_sdnet.zoo import build_model, save_model

    (tmp_path / "mine").mkdir()
    save_model(build_model("resnet18", width=4), tmp_path / "mine" / "last.safetensors", data="digits")
    names, notes = asked(device, tmp_path)
    assert names == {"mine"}
    assert notes == [
        "left out: digits/resnet20-at, digits/sdnet20-at, digits/resnet18; --model takes any of them"
    ]


def test_where_the_zoo_has_nothing_small_it_is_asked_whole():
    cards = [replace(card, arch="resnet18") for card in find_models("digits", runs="none")]
    assert at_hand.usual(cards, "cpu") == cards


def test_what_is_small_is_told_by_how_it_is_built_not_by_its_name():
    assert {"resnet20", "sdnet20", "sdnet20_all"} <= SMALL
    assert not {"resnet18", "sdnet34"} & SMALL
    cards = [replace(card, arch="resnet120") for card in find_models("digits", runs="none")]
    cards[0] = replace(cards[0], arch="sdnet20_all")
    assert at_hand.usual(cards, "cpu") == cards[:1]


@pytest.mark.parametrize(
    ("labels", "limit", "classes"),
    [
        ([0, 0, 1, 1, 2, 2], 3, 2),
        ([0, 0, 1, 1, 2, 2], 5, None),
        ([0, 1, 0, 2, 1, 2], 3, None),  # in no order: the first are any
    ],
)
def test_a_limit_that_leaves_classes_out_is_said(tmp_path, labels, limit, classes):
    from robustbench_sdnet.zoo import build_model, save_model

    images = np.zeros((6, 8, 8, 3), np.uint8)
    # Classes are numbered up to 5; only 0, 1 and 2 have test images.
    np.savez(tmp_path / "x.npz", x_train=images, y_train=range(6), x_test=images, y_test=labels)
    save_model(build_model("resnet20", width=4, input_size=8, num_classes=6), tmp_path / "m.safetensors")
    name = f"npz:{tmp_path / 'x.npz'}"
    setting = Setting(models=[str(tmp_path / "m.safetensors")], data=name, limit=limit, device="cpu")
    said = f"the first {limit} images of {name} cover only {classes} of the 3 classes that have images, "
    said += "because it is sorted by class. Shuffle its images with their labels."
    assert prepare(setting, stored=False).notes == ([said] if classes else [])
