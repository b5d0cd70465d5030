"""The command as typed: what it refuses, whose layers it looks at, and what it says of them."""

from __future__ import annotations

import json
import shutil
from pathlib import Path

import pytest
import torch

import robustbench_sdnet as rs
from robustbench_sdnet.data.tensors import to_images
from robustbench_sdnet.inside.measures import relative
from tests.net_files import write_script

from .conftest import numbers, run, settled


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["runs/res", "--lambda", "0.5"], "res has no lambda to set: no sparse coding layers"),
        (["runs/plain", "--lambda", "oracle"], "takes numbers as --lambda"),
        (["runs/plain", "--depth", "12"], "depth must lie in 0 to 9"),
        (["runs/plain", "--depth", "a"], "depth must be 0 to 1000, a list or a range"),
        (["runs/plain", "--depth", "6-4"], "depth must run upwards in a range, got '6-4'. Write 4-6"),
        (["runs/plain", "--depth", "2000-4"], "depth must lie in 0 to 1000, got '2000-4'"),
        (["runs/res", "--depth", "0"], "res has no codes at a lambda that is set"),
        (["runs/plain", "--corruption", "gaussian_noise"], "NAME@SEVERITY"),
        (["runs/plain", "--corruption", "gausian_noise@3"], "Did you mean 'gaussian_noise'"),
        (["runs/plain", "--attack", "noise"], "shows random noise of the same budget next to any attack"),
        (["runs/plain", "--attack", "autoattack"], "takes one attack"),
        (["runs/plain", "--eps", "1/255,2/255"], "takes one budget, got 2 as --eps"),
        (["runs/plain", "--attack", "fmn"], "fmn seeks the smallest perturbation. Give --eps"),
        (["runs/none"], "Unknown model 'runs/none'"),
    ],
)
def test_what_cannot_be_meant_is_one_line(made: Path, arguments: list[str], message: str) -> None:
    said = run(made, "visualize", *arguments, "--limit", 2, "--data", "digits", "--device", "cpu", code=2)
    assert message in said
    assert "\n" not in said


def test_a_depth_that_one_model_lacks_is_refused_before_any_is_attacked(
    made: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def never(*_: object, **__: object) -> None:
        raise AssertionError("attacked")

    monkeypatch.setattr("robustbench_sdnet.attacks.run", never)
    (made / "file").write_text("")
    output = made / "file" / "pictures"
    assert "Cannot write" in run(made, "visualize", "runs/plain", "--output", output, "--limit", 2, code=1)
    said = run(made, "visualize", "runs/plain", "digits/sdnet20-at", "--depth", 2, "--limit", 2, code=2)
    assert "followed by blocks with shortcuts: take depth 0" in said
    said = run(made, "visualize", "runs/res", "--method", "gradient", "--depth", 10, "--limit", 2, code=2)
    assert "depth must lie in 0 to 9 for this model, got 10" in said


@pytest.mark.parametrize(
    ("file", "message"),
    [
        ("net.pt", "TorchScript does not show what its parts give"),
        ("net.pt2", "A part of this model is not called"),
    ],
)
def test_a_file_that_shows_no_parts_is_refused_before_any_model_is_attacked(
    made: Path, monkeypatch: pytest.MonkeyPatch, file: str, message: str
) -> None:
    monkeypatch.setattr("robustbench_sdnet.attacks.run", None)
    net = torch.nn.Sequential(torch.nn.AvgPool2d(8), torch.nn.Flatten(), torch.nn.Linear(48, 10)).eval()
    if file == "net.pt":
        write_script(net, made / file)
    else:
        batch = {0: torch.export.Dim("n", min=1)}
        torch.export.save(
            torch.export.export(net, (torch.zeros(2, 3, 32, 32),), dynamic_shapes=(batch,)), made / file
        )
    said = run(made, "visualize", "runs/plain", f"{file}?mean=0&std=1", "--limit", 2, "--output", "f", code=2)
    assert message in said
    assert said.startswith(f"{file}?mean=0&std=1 cannot be looked into.")
    assert "package.module:function" in said


def test_training_images_are_named(made: Path) -> None:
    found = run(
        made, "visualize", "runs/plain", "--split", "train", "--depth", 0, "--limit", 2, "--output", "o"
    )
    assert "in numbers: plain on digits (train), 2 images" in found.stdout


def test_the_lambdas_that_nobody_names_are_set_on_the_layers_asked_for(made: Path) -> None:
    found = run(
        made, "visualize", "runs/plain", "--lambda-scope", "all", "--depth", 1, "--limit", 2, "--device", "cpu",
        "--output", "everywhere", "--json",
    )  # fmt: skip
    (row,) = numbers(json.loads(found.stdout), image="clean", quantity="error", **{"lambda": 1.0})
    model, images = rs.load_model(made / "runs/plain"), to_images(rs.data.load("digits", "test").images(0, 2))
    means = {}
    for scope in ("all", "stem"):
        with rs.use_lambda(model, 1.0, scope):
            means[scope] = float(relative(rs.reconstruct(model, images, 1), images).mean())
    assert row["mean"] == pytest.approx(means["all"], rel=1e-5)
    assert means["stem"] != pytest.approx(means["all"], rel=1e-3)


@pytest.mark.parametrize("function", ["make", "choose"])
def test_networks_of_ones_own_show_the_atoms_of_their_layers(
    made: Path, monkeypatch: pytest.MonkeyPatch, function: str
) -> None:
    """One has no codes of images alone, the other no lambda to see them at: it sets its own."""
    monkeypatch.syspath_prepend(str(made))
    (made / "own_layers.py").write_text(
        "import robustbench_sdnet as rs\nimport torch\nfrom torch import nn\n\n\ndef make():\n"
        "    torch.manual_seed(0)\n"
        "    layer = rs.csc2d(3, 8, size=(32, 32))\n"
        "    return nn.Sequential(layer, nn.AdaptiveAvgPool2d(4), nn.Flatten(), nn.Linear(128, 10)).eval()\n"
        "\n\ndef choose():\n"
        "    model = rs.load_model('runs/plain/last.safetensors')\n"
        "    return rs.lambdas.WithPolicy(model, rs.lambdas.Fixed(0.5))\n"
    )
    monkeypatch.chdir(made)
    model = f"own_layers:{function}"
    found = run(made, "visualize", model, "--data", "digits", "--limit", 2, "--device", "cpu", "--json")
    album = json.loads(found.stdout)
    assert [page["name"] for page in album["pages"]] == [f"own-layers-{function}-atoms-0", "way"]
    assert {row["quantity"] for row in album["numbers"]} == {"change"}


def test_models_whose_names_are_one_in_files_keep_their_own_pictures(
    made: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """As a model of the zoo, cifar10/sdnet20, and the run of its recipe, cifar10-sdnet20."""
    monkeypatch.syspath_prepend(str(made))
    (made / "two_of.py").write_text(
        "import robustbench_sdnet as rs\nimport torch\n\n\ndef make():\n    torch.manual_seed(0)\n"
        "    return rs.zoo.build_model('sdnet20', width=8, num_classes=10, input_size=32).eval()\n"
    )
    shutil.copytree(made / "runs/plain", made / "runs/two-of-make")
    monkeypatch.chdir(made)
    models = "runs/two-of-make", "two_of:make"
    asked = "--data", "digits", "--limit", 2, "--lambda", "0.1", "--depth", 0, "--device", "cpu", "--json"
    found = run(made, "visualize", *models, *asked)
    album = json.loads(found.stdout)
    names = [page["name"] for page in album["pages"]]
    assert len(set(names)) == len(names)
    atoms = [page for page in album["pages"] if "-atoms-" in page["name"]]
    assert [page["title"].partition(":")[0] for page in atoms] == ["two-of-make", "two_of"]
    shown = {(Path(album["files"][-1]).parent / f"{page['name']}.png").read_bytes() for page in atoms}
    assert len(shown) == 2, "each shows its own atoms"


@pytest.mark.slow
def test_feature_inversion_draws_any_model(made: Path) -> None:
    found = run(
        made, "visualize", "runs/res", "--method", "gradient", "--depth", "1", "--limit", 2, "--device", "cpu",
        "--output", "by-gradient",
    )  # fmt: skip
    assert "visualize: res: gaussian_noise@5\n" in found.stderr  # it takes long: a line for each search
    album = json.loads((made / "by-gradient/pictures.json").read_text())
    assert {row["quantity"] for row in album["numbers"]} == {"error", "correlation", "left", "change"}
    (row,) = numbers(album, image="clean", quantity="correlation")
    assert row["mean"] > 0.5
    assert (made / "by-gradient/res-depths-plain.png").is_file()


def test_an_attack_that_gets_no_gradient_and_other_data_are_said(made: Path) -> None:
    model = settled("sdnet20", num_classes=10, input_size=32)
    model.linear.weight.data.zero_()  # one answer to all, right on a tenth, without a gradient
    (made / "runs/flat").mkdir()
    rs.save_model(model, made / "runs/flat/last.safetensors", data="cifar10")
    found = run(
        made,
        "visualize",
        "runs/flat",
        "--data",
        "digits",
        "--limit",
        60,
        "--device",
        "cpu",
        "--output",
        "flat",
    )
    assert "Warning: flat was trained on cifar10, not on digits." in found.stderr
    assert "Warning: flat, pgd: The first gradient is zero or not finite on " in found.stderr
    assert "The first gradient is zero" in (made / "flat/index.html").read_text()
