"""One rule for "trained on other data" in every command: the images decide, and names where they cannot."""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path
from types import SimpleNamespace

import numpy as np
import pytest
from click.testing import CliRunner

from robustbench_sdnet.cli import cli
from robustbench_sdnet.data import load
from robustbench_sdnet.diagnostics.doubts import OtherData, doubts, pair_doubts, training_doubt
from robustbench_sdnet.planning.identity import model_spec
from robustbench_sdnet.zoo import build_model, read_card, save_model
from robustbench_sdnet.zoo.files.cards import ModelCard

OURS, THEIRS = "npz:a/tiny.npz", "npz:b/tiny.npz"
LINE = "run was trained on npz:a/tiny.npz, not on npz:b/tiny.npz."


@pytest.fixture(autouse=True)
def folders(tmp_path: Path, tiny_npz: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A model trained on `a/tiny.npz`; `b/tiny.npz` has other pixels, `c/copy.npz` the same."""
    monkeypatch.chdir(tmp_path)
    with np.load(tiny_npz) as held:
        arrays = dict(held)
    for name, divisor in (("a/tiny", 1), ("b/tiny", 2), ("c/copy", 1)):
        Path(name).parent.mkdir()
        np.savez(f"{name}.npz", **(arrays | {"x_train": arrays["x_train"] // divisor}))
    model = build_model("resnet20", width=4, num_classes=3, input_size=8).eval()
    own = load(OURS, "train").content_hash
    save_model(model, "run/last.safetensors", data=OURS, data_hash=own, accuracy=1.0, name="run")


def card(**changes: object) -> ModelCard:
    return replace(read_card("run/last.safetensors"), **changes)


@pytest.mark.parametrize(
    ("changes", "asked", "doubted"),
    [
        ({}, OURS, False),
        ({}, THEIRS, True),
        ({}, "npz:c/copy.npz", False),
        ({"data": "npz:c/copy.npz"}, OURS, False),
        ({"data": THEIRS}, THEIRS, True),
        ({"data_hash": ""}, THEIRS, False),
        ({"data_hash": ""}, "npz:c/copy.npz", True),
        ({"data_hash": "", "data": ""}, THEIRS, False),
    ],
)
def test_the_images_decide_and_names_where_they_cannot(
    changes: dict[str, object], asked: str, doubted: bool
) -> None:
    found = training_doubt(card(**changes), load(asked, "test"), None)
    assert found == (OtherData("run", card(**changes).data, asked) if doubted else None)


def test_a_training_split_of_another_set_that_belongs_to_it_is_no_other_data(tmp_path: Path) -> None:
    """CIFAR-10.2 has training images of its own, on which no model of CIFAR-10 was trained, nor claims to be."""
    for split in ("train", "test"):
        np.savez(f"cifar102_{split}.npz", images=np.zeros((4, 32, 32, 3), np.uint8), labels=np.arange(4))
        asked = load(f"cifar10.2:{tmp_path}", split)
        assert training_doubt(card(data="cifar10"), asked, str(tmp_path / "nothing")) is None
        assert training_doubt(card(data="digits"), asked, str(tmp_path / "nothing")) is not None


@pytest.mark.parametrize(
    "command",
    [
        ["corrupt", "--corruption", "contrast", "--severity", "1", "--model", "run"],
        ["attack", "fgsm", "--eps", "8/255", "--model", "run"],
        ["diagnose", "run", "--cheap", "--limit", "8"],
    ],
)
def test_every_command_warns_of_other_images_under_the_same_name(command: list[str]) -> None:
    for asked, warned in ((OURS, False), (THEIRS, True)):
        result = CliRunner().invoke(cli, [*command, "--data", asked, "--device", "cpu"])
        assert (f"Warning: {LINE}" in result.stderr) == warned, result.output


def test_zoo_verify_warns_by_the_same_rule() -> None:
    for asked, warned in ((OURS, False), (THEIRS, True), ("npz:c/copy.npz", False)):
        rows = json.loads(CliRunner().invoke(cli, ["zoo", "verify", "run", "--data", asked, "--json"]).stdout)
        assert (rows[0]["other_data"] is not None) == warned


DONE_OTHERWISE = {
    "channels_last": False, "compile": True, "threads": 2, "workers": 1, "save_minutes": 9.0, "test_every": 3,
}  # fmt: skip


@pytest.mark.parametrize(
    ("changes", "images", "why"),
    [
        ({}, "a", None),
        ({}, "b", "training images b and a"),
        ({}, "", None),  # a card need not say which
        ({"epochs": 20, **DONE_OTHERWISE}, "a", None),  # the default; and how the work was done
        ({"sizes": [16, 24]}, "a", "train.sizes [16, 24] and []"),
        ({"epochs": 30, "init": "x"}, "a", "train.init x and random, train.epochs 30 and 20"),
        (None, "a", "a card does not say how"),
    ],
)
def test_a_pair_that_was_not_trained_alike_is_named(
    changes: dict[str, object] | None, images: str, why: str | None
) -> None:
    specs = []
    for arch, held, data_hash in (("sdnet20", changes, images), ("resnet20", {}, "a")):
        recipe = None if held is None else {"name": "own", "train": {"epochs": 20, "lr": 0.1, **held}}
        path = Path(f"{arch}.safetensors")
        model = build_model(arch, width=4, num_classes=3, input_size=8).eval()
        card = save_model(model, path, recipe=recipe, data_hash=data_hash)
        specs.append(model_spec(replace(card, name=arch)))
    told = "sdnet20 and resnet20 are not known to have been trained alike ({}), which may explain their difference."
    assert list(pair_doubts(specs)) == ([told.format(why)] if why else [])


def test_several_networks_of_an_architecture_may_differ_by_seed_alone() -> None:
    def told(*seeds: int, **more: object) -> list[str]:
        specs = []
        for arch, seed in (("resnet20", 0), *(("sdnet20", seed) for seed in seeds)):
            name = f"{arch}-s{seed}"
            recipe = {"name": "own", "train": {"seed": seed, **(more if seed == 1 else {})}}
            model = build_model(arch, width=4, num_classes=3, input_size=8).eval()
            card = save_model(model, Path(f"{name}.safetensors"), recipe=recipe, data_hash="a")
            specs.append(model_spec(replace(card, name=name)))
        return [
            line.partition(" are not known to have been trained alike ")[0] for line in pair_doubts(specs)
        ]

    assert told(1) == ["sdnet20-s1 and resnet20-s0"], "a pair of other seeds"
    assert told(0, 1) == []
    assert told(0, 1, epochs=3) == ["sdnet20-s0 and sdnet20-s1", "sdnet20-s1 and resnet20-s0"]


def test_networks_are_doubted_as_a_pair_only_where_they_are_set_side_by_side() -> None:
    models = []
    for arch in ("sdnet20", "resnet20"):
        model = build_model(arch, width=4, num_classes=3, input_size=8).eval()
        models.append(model_spec(save_model(model, Path(f"{arch}.safetensors"), name=arch)))
    setting = SimpleNamespace(data_root=None)
    ready = SimpleNamespace(notes=[], models=models, data=load(OURS, "test"), setting=setting, worker=None)
    assert list(doubts(ready)) == []
    assert list(doubts(ready, pairs=True)) == list(pair_doubts(models)) != []
