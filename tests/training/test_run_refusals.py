"""What a run refuses, in one line each, before or after it has begun."""

from __future__ import annotations

import re
import shutil

import numpy as np
import pytest
import torch

from robustbench_sdnet.errors import InputError, TrainingError, WriteError
from robustbench_sdnet.files import alone_in
from robustbench_sdnet.training import train
from robustbench_sdnet.zoo import load_model, read_card


def test_weights_are_not_begun_with_under_another_normalisation(tiny_data, quick, tmp_path):
    """The card would say one, and the network do the other."""
    theirs = {"model.mean": [0.5, 0.4, 0.3], "model.std": [0.25, 0.25, 0.25]}
    train(tiny_data, "resnet20", overrides={**quick, "train.epochs": 1, **theirs}, output=tmp_path / "a")
    asked = {**quick, "train.epochs": 1, "train.init": str(tmp_path / "a")}
    told = r"differently .*: --set model.mean='\[0.5, 0.4, 0.3\]' --set model.std='\[0.25, 0.25, 0.25\]'"
    with pytest.raises(InputError, match=told):
        train(tiny_data, "resnet20", overrides=asked, output=tmp_path / "b")
    both = train(tiny_data, "resnet20", overrides={**asked, **theirs}, output=tmp_path / "b")
    held = load_model(both.last).normalise.mean.flatten().tolist()
    assert held == pytest.approx([0.5, 0.4, 0.3])
    assert list(read_card(both.last).mean) == [0.5, 0.4, 0.3]


@pytest.mark.parametrize(
    ("setting", "said"),
    [
        ({"train.init": "nowhere.safetensors"}, r"^train\.init: No checkpoint 'nowhere\.safetensors'"),
        (
            {"train.auxiliary": 0.1},
            r"^train\.auxiliary=0\.1 needs sparse coding layers, which resnet20 has none of\. Leave it out, or take "
            r"sdnet20\.$",
        ),
    ],
    ids=["init", "auxiliary"],
)
def test_what_needs_no_data_is_refused_before_they_are_loaded(
    tiny_data, quick, tmp_path, monkeypatch, setting, said
):
    """Which may be a download."""
    loads = []
    monkeypatch.setattr(
        "robustbench_sdnet.training.run.runner.datasets.load", lambda *_, **__: loads.append(1)
    )
    with pytest.raises(InputError, match=said):
        train(tiny_data, "resnet20", overrides={**quick, **setting}, output=tmp_path / "a")
    assert not loads
    assert not (tmp_path / "a").exists()


@pytest.mark.parametrize(("key", "size", "most"), [("crop", 8, 7), ("cutout", 9, 8)])
def test_nothing_is_learned_of_images_that_can_be_out_of_sight(tiny_data, quick, tmp_path, key, size, most):
    """Of 8x8 pixels; a shift of eight leaves black alone, and a hole of nine in the middle grey alone."""
    told = rf"^train\.{key}={size} can leave nothing of an image of 8x8 pixels\. Use at most {most}\."
    with pytest.raises(InputError, match=told):
        train(tiny_data, "resnet20", overrides={**quick, f"train.{key}": size}, output=tmp_path / "a")
    assert not (tmp_path / "a").exists()
    train(
        tiny_data,
        "resnet20",
        overrides={**quick, "train.epochs": 1, f"train.{key}": most},
        output=tmp_path / "b",
    )


def test_checkpoints_without_a_state_are_not_trained_over(tiny_data, quick, tmp_path):
    """Of a finished run whose large state was removed, and of another origin."""
    settings = {**quick, "train.epochs": 1}
    last = train(tiny_data, "resnet20", overrides=settings, output=tmp_path / "run").last
    before = last.read_bytes()
    for path in (tmp_path / "run").glob("state*.pt"):
        path.unlink()
    with pytest.raises(
        InputError, match=r"run holds last\.safetensors and no saved state .* Name another --output"
    ):
        train(tiny_data, "resnet20", overrides=settings, output=tmp_path / "run", resume=True)
    (tmp_path / "run" / "recipe.yaml").unlink()
    with pytest.raises(InputError, match=r"run holds last\.safetensors and no saved state"):
        train(tiny_data, "resnet20", overrides=settings, output=tmp_path / "run")
    assert last.read_bytes() == before


def test_refusals(tiny_data, quick, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    with pytest.raises(InputError, match=r"There is no run runs/tiny-resnet20-\* to resume"):
        train(tiny_data, "resnet20", resume=True)
    with pytest.raises(InputError, match=r"absent does not exist: nothing to resume\. Leave out --resume"):
        train(tiny_data, "resnet20", output="absent", resume=True)
    assert not (tmp_path / "absent").exists()
    (tmp_path / "empty").mkdir()
    with pytest.raises(InputError, match="empty holds no run: nothing to resume"):
        train(tiny_data, "resnet20", output="empty", resume=True)
    train(tiny_data, "resnet20", overrides={**quick, "train.epochs": 1}, output="run")
    with pytest.raises(InputError, match="already holds a run"):
        train(tiny_data, "resnet20", output="run")
    with pytest.raises(InputError, match="holds a run with arch 'resnet20', not 'sdnet20'"):
        train(tiny_data, "sdnet20", output="run", resume=True)
    with pytest.raises(InputError, match=r"was started with train\.epochs = 1, not 2"):
        train(tiny_data, "resnet20", overrides={**quick, "train.epochs": 2}, output="run", resume=True)
    with pytest.raises(InputError, match=r"Unknown device 'meta'.*Known: auto, cpu, cuda, cuda:0, mps"):
        train(tiny_data, "resnet20", device="meta")
    with pytest.raises(InputError, match="Unknown architecture 'resnet21'"):
        train(tiny_data, "resnet21")
    (tmp_path / "file").write_text("")
    with pytest.raises(WriteError, match="Cannot write"):
        train(tiny_data, "resnet20", overrides=quick, output="file/run")


@pytest.mark.parametrize(
    ("given", "said"),
    [
        ({"overrides": ["train.lr=1"]}, r"^overrides must be a mapping of names to values, got list"),
        ({"overrides": {1: 2}}, r"^overrides must be a mapping of names to values, got dict '\{1: 2\}'"),
        ({"arch": ["resnet20"]}, r"^Unknown architecture '\['resnet20'\]'"),
        ({"runs": None}, "^runs is given by name or path, got an object of type NoneType"),
        ({"recipe": ""}, "^Unknown recipe ''"),
    ],
    ids=str,
)
def test_arguments_of_another_type_are_refused_in_one_line(tiny_data, tmp_path, monkeypatch, given, said):
    monkeypatch.chdir(tmp_path)
    with pytest.raises(InputError, match=said):
        train(tiny_data, **{"arch": "resnet20", **given})
    assert not list(tmp_path.iterdir())


@pytest.mark.parametrize(
    ("raised", "said"),
    [
        (RuntimeError("shapes differ\nby much"), r"Training failed: RuntimeError: shapes differ\. "),
        (torch.OutOfMemoryError("CUDA out of memory"), r"too little memory.*--set train\.batch_size=N"),
        (RuntimeError("[...] DefaultCPUAllocator: can't allocate memory: you"), r"too little memory"),
    ],
)
def test_what_torch_raises_is_one_line(tiny_data, quick, tmp_path, monkeypatch, raised, said):
    def fail(self, images, labels, ids, step):
        raise raised

    monkeypatch.setattr("robustbench_sdnet.training.step.objective.Objective.forward", fail)
    with pytest.raises(TrainingError, match=said) as caught:
        train(tiny_data, "resnet20", overrides=quick, output=tmp_path / "run")
    assert "\n" not in str(caught.value)


def test_a_batch_of_one_pixel_is_refused_in_one_line(tiny_data, quick, tmp_path):
    """Batch normalisation of one value a channel ended in "Unexpected ValueError ... This is a bug"."""
    overrides = {**quick, "train.batch_size": 1, "train.limit": 2, "train.sizes": [4]}
    with pytest.raises(TrainingError, match=r"A batch of one image .* Use at least two images"):
        train(tiny_data, "resnet20", overrides=overrides, output=tmp_path / "run")


@pytest.mark.parametrize(
    ("limit", "share", "left"),
    [(1, 0.9, "1 image leaves none to train on"), (3, 0.1, "3 images leaves none aside")],
)
def test_a_share_that_holds_out_nothing_is_refused(tiny_data, quick, tmp_path, limit, share, left):
    overrides = {**quick, "train.limit": limit, "train.hold_out": share}
    with pytest.raises(InputError, match=rf"train\.hold_out={share} of {left}"):
        train(tiny_data, "resnet20", overrides=overrides, output=tmp_path / "run")
    assert not (tmp_path / "run" / "recipe.yaml").exists()


def test_too_few_classes(tiny_data, quick, tmp_path):
    with pytest.raises(InputError, match=r"model\.num_classes=3 is too few: .* has 4 classes"):
        train(tiny_data, "resnet20", overrides={**quick, "model.num_classes": 3}, output=tmp_path / "run")


@pytest.mark.parametrize(("split", "done"), [("train", "trained"), ("test", "tested")])
def test_other_images_under_the_same_name(tiny_data, quick, tmp_path, split, done):
    path = tmp_path / "data.npz"
    shutil.copy(tiny_data.removeprefix("npz:"), path)
    train(f"npz:{path}", "resnet20", overrides={**quick, "train.epochs": 1}, output=tmp_path / "run")
    with np.load(path) as held:
        arrays = {key: held[key][key.endswith(split) :] for key in held.files}  # one image less
    np.savez(path, **arrays)
    with pytest.raises(TrainingError, match=f"{done} on other images"):
        train(f"npz:{path}", "resnet20", output=tmp_path / "run", resume=True)


def test_a_second_run_of_a_folder_is_refused_while_the_first_goes_on(tiny_data, quick, tmp_path):
    with alone_in(tmp_path / "run"), pytest.raises(WriteError, match=r"Another process is writing to .*run"):
        train(tiny_data, "resnet20", overrides=quick, output=tmp_path / "run")
    assert not (tmp_path / "run").exists()
    train(tiny_data, "resnet20", overrides=quick, output=tmp_path / "run")
    assert not (tmp_path / "run" / ".lock").exists()


@pytest.mark.parametrize(
    ("arch", "given", "message"),
    [
        ("sdnet20", {"model.width": 0}, "model.width must be a whole number from 1 to 4096, got 0"),
        ("sdnet20", {"model.lam": -1}, "model.lam must lie in 0 to"),
        ("sdnet20", {"model.stem": "large"}, "Unknown model.stem 'large'"),
        ("sdnet20", {"model.mean": 3}, "model.mean must be 3 finite numbers"),
        ("sdnet20", {"model.std": [1, 1, 0]}, "model.std must be above 0"),
        ("resnet20", {"model.shortcut": False}, "model.shortcut=False needs a network that is sparse"),
        (
            "resnet20",
            {"model.lam": 0.3},
            "model.lam does nothing in resnet20, which has no sparse coding layers",
        ),
    ],
)
def test_an_error_of_a_models_options_says_what_to_set(tiny_data, tmp_path, arch, given, message):
    with pytest.raises(InputError, match=re.escape(message)):
        train(tiny_data, arch, overrides=given, output=tmp_path / "a")
    assert not (tmp_path / "a").exists()
