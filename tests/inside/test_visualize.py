"""The command as typed, its numbers against direct computations, its page in a real browser, and the report."""

from __future__ import annotations

import json
import os
import shutil
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from click.testing import CliRunner
from PIL import Image
from torch import Tensor
from torch.nn import functional as F

import robustbench_sdnet as rs
from robustbench_sdnet.attacks.engine.balls import ball
from robustbench_sdnet.cli import cli
from robustbench_sdnet.data.tensors import to_images
from robustbench_sdnet.draws import Draws
from robustbench_sdnet.inside import drawing
from robustbench_sdnet.inside.measures import relative
from robustbench_sdnet.inside.pages import _enlargement
from robustbench_sdnet.reports.writers.html import escape
from robustbench_sdnet.statistics import mean_interval
from robustbench_sdnet.zoo.nets.sdnet import Classifier
from tests.net_files import write_script

from .conftest import settled

LIMIT = 6


@pytest.fixture(scope="module")
def made(tmp_path_factory: pytest.TempPathFactory, trained: Classifier) -> Path:
    """A folder with two runs on digits and the pictures of both."""
    folder = tmp_path_factory.mktemp("inside")
    for name, model in (("plain", trained), ("res", settled("resnet20", num_classes=10, input_size=32))):
        (folder / "runs" / name).mkdir(parents=True)
        rs.save_model(model, folder / "runs" / name / "last.safetensors", data="digits")
    return folder


def run(folder: Path, *arguments: object, code: int = 0) -> Any:
    before = Path.cwd()
    os.chdir(folder)
    try:
        result = CliRunner().invoke(cli, [str(argument) for argument in arguments])
    finally:
        os.chdir(before)
    if code:
        assert result.exception is not None
        return str(result.exception)
    assert result.exit_code == 0, f"{result.output}{result.exception!r}"
    return result


@pytest.fixture(scope="module")
def album(made: Path) -> dict[str, Any]:
    found = run(
        made, "visualize", "runs/plain", "runs/res", "--limit", LIMIT, "--depth", "0,2,9", "--lambda", "0.1,0.8",
        "--eps", "4/255", "--atoms", "all", "--device", "cpu", "--json",
    )  # fmt: skip
    parsed: dict[str, Any] = json.loads(found.stdout)
    return parsed


def numbers(album: dict[str, Any], **wanted: object) -> list[dict[str, Any]]:
    return [row for row in album["numbers"] if all(row[key] == value for key, value in wanted.items())]


def walk(model: Any, images: Tensor, lam: float) -> tuple[list[Tensor], list[Tensor], list[Tensor]]:
    """Inputs, codes and outputs (after BatchNorm) of all sparse layers, in float64 from the weights alone."""
    held = {name: value.double() for name, value in model.state_dict().items()}
    x = (images.double() - held["normalise.mean"]) / held["normalise.std"]
    inputs, found, outputs = [], [], []
    for position, name in enumerate(layers(model)):
        atoms, step = held[f"{name}.dn.weight"], held[f"{name}.dn.step_size"]
        stride, threshold = stride_of(name), step * (0.1 if position else lam)
        z = torch.relu(step * F.conv2d(x, atoms, None, stride, 1) - threshold)
        rest = x - synthesis(z, atoms, stride, x)
        z = torch.relu(z + step * F.conv2d(rest, atoms, None, stride, 1) - threshold)
        weight, bias, mean, var = norm(held, name)
        inputs.append(x)
        found.append(z)
        x = (z - mean) / (var + 1e-5).sqrt() * weight + bias
        outputs.append(x)
    return inputs, found, outputs


def layers(model: Any) -> list[str]:
    return [name.removesuffix(".dn.weight") for name in model.state_dict() if name.endswith(".dn.weight")]


def stride_of(name: str) -> int:
    """2 where the second and third stages begin."""
    return 2 if name in ("layer2.layers.0.conv1", "layer3.layers.0.conv1") else 1


def synthesis(z: Tensor, atoms: Tensor, stride: int, like: Tensor) -> Tensor:
    extra = like.shape[-1] - (z.shape[-1] - 1) * stride - 1
    return F.conv_transpose2d(z, atoms, None, stride, 1, extra)


def norm(held: dict[str, Tensor], name: str) -> list[Tensor]:
    """Weight, bias, mean and variance of the BatchNorm behind a layer."""
    behind = "layer0.1" if name == "layer0.0" else name.replace("conv", "bn")
    parts = ("weight", "bias", "running_mean", "running_var")
    return [held[f"{behind}.{part}"][None, :, None, None] for part in parts]


def back(model: Any, inputs: list[Tensor], found: list[Tensor], depth: int) -> Tensor:
    """The image that the code at a depth stands for, from the weights alone."""
    held = {name: value.double() for name, value in model.state_dict().items()}
    names, x = layers(model), found[2 * depth]
    for position in range(2 * depth, -1, -1):
        name = names[position]
        x = synthesis(x, held[f"{name}.dn.weight"], stride_of(name), inputs[position])
        if position:
            weight, bias, mean, var = norm(held, names[position - 1])
            x = (x - bias) / weight * (var + 1e-5).sqrt() + mean
    return x * held["normalise.std"] + held["normalise.mean"]


def test_every_number_is_a_direct_computation(album: dict[str, Any], made: Path) -> None:
    model, data = rs.load_model(made / "runs/plain"), rs.data.load("digits", "test")
    pixels, labels = data.images(0, LIMIT), torch.as_tensor(data.labels[:LIMIT])
    clean, ids = to_images(pixels), data.ids[:LIMIT]
    noisy = to_images(rs.corruptions.corrupt(pixels, "gaussian_noise", severity=5, sample_ids=ids))
    attacked = rs.attacks.pgd(model, clean, labels, eps=4 / 255, early_stop=False, sample_ids=ids).images
    noise = ball("linf").noise(Draws.of(0, "noise", torch.as_tensor(ids)), clean, 4 / 255, 0)
    assert float((noise - clean).abs().max()) <= 4 / 255 + 1e-6
    seen = {
        "clean": clean,
        "gaussian_noise@5": noisy,
        "noise of linf 4/255": noise,
        "pgd linf 4/255": attacked,
    }
    checked = 0
    with torch.no_grad():
        walks = {(image, lam): walk(model, given, lam) for image, given in seen.items() for lam in (0.1, 0.8)}
        for (image, lam), (inputs, found, outputs) in walks.items():
            expected = {}
            for depth in (0, 2, 9) if not image.startswith("noise") else ():
                made_again, code = back(model, inputs, found, depth).numpy(), found[2 * depth].numpy()
                before = back(model, *walks["clean", lam][:2], depth).numpy()
                for quantity, of in (
                    ("error", lambda one, x, c, z, b: np.linalg.norm(one - x) / np.linalg.norm(x)),
                    ("correlation", lambda one, x, c, z, b: np.corrcoef(one.ravel(), c.ravel())[0, 1]),
                    ("active", lambda one, x, c, z, b: np.count_nonzero(z) / z.size),
                    ("left", lambda one, x, c, z, b: np.linalg.norm(one - b) / np.linalg.norm(x - c)),
                ):
                    if quantity != "left" or image != "clean":
                        each = zip(made_again, seen[image].numpy(), clean.numpy(), code, before, strict=True)
                        expected[depth, quantity] = [of(*parts) for parts in each]
            for depth in range(10) if lam == 0.1 and image != "clean" else ():
                now, then = outputs[2 * depth], walks["clean", lam][2][2 * depth]
                expected[depth, "change"] = [
                    float((a - b).norm() / b.norm()) for a, b in zip(now, then, strict=True)
                ]
            for (depth, quantity), values in expected.items():
                at = {"image": image, "lambda": lam, "depth": depth}
                (row,) = numbers(album, model="plain", quantity=quantity, **at)
                interval = [row["mean"], row["low"], row["high"]]
                assert interval == pytest.approx(mean_interval(values), rel=1e-3, abs=2e-5)
                checked += 1
    assert checked == len(numbers(album, model="plain"))


def test_models_without_codes_have_their_perturbations_way_alone(album: dict[str, Any]) -> None:
    assert {row["quantity"] for row in numbers(album, model="res")} == {"change"}
    ways = {row["image"] for row in numbers(album, model="res")}
    assert ways == {"gaussian_noise@5", "noise of linf 4/255", "pgd linf 4/255"}
    assert {row["depth"] for row in numbers(album, model="res")} == set(range(10))
    for row in numbers(album, quantity="change"):
        assert row["low"] <= row["mean"] <= row["high"]


def test_pictures_are_files_of_every_kind_with_a_sentence_and_a_text(
    album: dict[str, Any], made: Path
) -> None:
    names = [page["name"] for page in album["pages"]]
    kinds = [f"depths-{kind}" for kind in ("plain", "stretched", "equalised")]
    films = [f"lambda-{image}" for image in ("clean", "gaussian-noise-5", "pgd-linf-4-255")]
    atoms = [
        "atoms-0",
        *(f"atoms-{block}-{layer}" for block in range(1, 10) for layer in (1, 2)),
    ]  # 19 layers
    assert names == [f"plain-{kind}" for kind in (*atoms, *kinds, *films)] + ["way"]
    said = {page["name"] for page in album["pages"] if "The attack knew lambda 0.1 alone." in page["reading"]}
    assert said == {"plain-lambda-pgd-linf-4-255"}
    for page in album["pages"]:
        assert page["reading"].endswith(".")
        assert page["alt"].endswith(".")
        with Image.open(made / f"runs/pictures/plain-res/{page['name']}.png") as picture:
            assert picture.format == "PNG"
            assert np.asarray(picture.convert("L")).std() > 5  # something is drawn
    assert album["files"][-1] == "runs/pictures/plain-res/index.html"


def test_pictures_show_images_in_order_of_their_labels_and_what_is_left_of_a_change(
    made: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    drawn: list[dict[str, Any]] = []
    grid = drawing.image_grid
    monkeypatch.setattr(drawing, "image_grid", lambda rows: drawn.append(dict(rows)) or grid(rows))
    run(made, "visualize", "runs/plain", "--limit", LIMIT, "--depth", "0,9", "--lambda", "0.8", "--device", "cpu",
        "--eps", "4/255", "--output", "shown")  # fmt: skip
    model, data = rs.load_model(made / "runs/plain"), rs.data.load("digits", "test")
    labels, clean = torch.as_tensor(data.labels[:LIMIT]), to_images(data.images(0, LIMIT))
    attacked = rs.attacks.pgd(
        model, clean, labels, eps=4 / 255, early_stop=False, sample_ids=data.ids[:LIMIT]
    )
    order = torch.argsort(labels, stable=True)
    assert order.tolist() != list(range(LIMIT))
    with rs.use_lambda(model, 0.8):
        made_again, before = (rs.reconstruct(model, x, 0) for x in (attacked.images, clean))
        share = f"{100 * float((rs.codes(model, attacked.images) != 0).float().mean()):.1f}"
    expected = {
        "pgd linf 4/255": attacked.images,
        "what was changed, times 31": 0.5 + 31 * (attacked.images - clean),
        f"lambda 0.8: reconstructed, {share} % of the code active": made_again,
        "lambda 0.8: residual": 0.5 + attacked.images - made_again,
        "lambda 0.8: left of the change, times 31": 0.5 + 31 * (made_again - before),
    }
    depths, film = drawn[1], drawn[-1]
    assert list(depths) == ["input", "depth 0", "depth 9"]
    assert list(film) == list(expected)
    for found, wanted in ((depths["input"], clean), *((film[label], expected[label]) for label in film)):
        shown = wanted[order].clamp(0, 1).permute(0, 2, 3, 1).numpy()
        np.testing.assert_allclose(found, shown, atol=1e-3)


def test_the_network_that_is_looked_into_has_learned_digits(trained: Classifier) -> None:
    data = rs.data.load("digits", "test")
    right = trained(to_images(data.images(0, 200))).argmax(1) == torch.as_tensor(data.labels[:200])
    assert float(right.float().mean()) > 0.6


def test_the_report_takes_the_pictures_in_on_request(album: dict[str, Any], made: Path) -> None:
    store = f"sqlite:///{made}/results.db"
    run(made, "corrupt", "--model", "runs/plain", "--corruption", "contrast", "--severity", "1", "--data", "digits",
        "--limit", "10", "--store", store, "--device", "cpu")  # fmt: skip
    run(made, "report", "to", "html", "--store", store, "--output", "with.html", "--with-pictures")
    run(made, "report", "to", "html", "--store", store, "--output", "without.html")
    text, without = (made / "with.html").read_text(), (made / "without.html").read_text()
    assert "Inside" not in without
    for page in album["pages"]:
        assert f'aria-label="{escape(page["alt"])}"' in text
        assert f"<p>{escape(page['reading'])}</p>" in text
    assert text.count("<figure>") == without.count("<figure>") + len(album["pages"])
    run(
        made,
        "report",
        "to",
        "markdown",
        "--store",
        store,
        "--output",
        "with.md",
        "--with-pictures=runs/pictures/plain-res",
    )
    assert (made / "with-files/way.png").stat().st_size > 1000
    said = run(made, "report", "to", "csv", "--store", store, "--with-pictures", code=2)
    assert "--with-pictures changes nothing in csv" in said
    said = run(made, "report", "to", "html", "--store", store, "--with-pictures=none", code=2)
    assert "No pictures in none" in said
    shutil.copytree(made / "runs/pictures/plain-res", made / "older")
    manifest = made / "older/pictures.json"
    manifest.write_text(
        json.dumps({**json.loads(manifest.read_text()), "weights": ["those before", "training"]})
    )
    said = run(made, "report", "to", "html", "--store", store, "--with-pictures=older", code=2)
    assert "show no model of this report, or one trained since" in said
    shutil.copytree(made / "runs/pictures/plain-res", made / "broken")
    (made / "broken/way.png").unlink()
    said = run(made, "report", "to", "html", "--store", store, "--with-pictures=broken", code=2)
    assert "lacks way.png" in said
    (made / "broken/pictures.json").write_text("{")
    assert "is damaged" in run(
        made, "report", "to", "html", "--store", store, "--with-pictures=broken", code=2
    )


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


@pytest.mark.browser
@pytest.mark.parametrize("width", [1280, 400])
def test_the_page_is_sound_in_a_browser(album: dict[str, Any], made: Path, width: int, browser: Any) -> None:
    from axe_playwright_python.sync_playwright import Axe

    said: list[str] = []
    page = browser.new_page(viewport={"width": width, "height": 900})
    page.on("console", lambda message: said.append(message.text))
    page.on("pageerror", lambda error: said.append(str(error)))
    page.on("requestfailed", lambda request: said.append(request.url))
    page.goto((made / "runs/pictures/plain-res/index.html").as_uri())
    figures = page.evaluate(
        """async () => Promise.all([...document.querySelectorAll('figure')].map(async figure => {
            const svg = figure.querySelector('svg'), box = svg.getBoundingClientRect();
            const images = [...svg.querySelectorAll('image')].map(node => {
                const image = new Image();
                image.src = node.getAttribute('href') || node.getAttribute('xlink:href');
                return image.decode().then(() => image.naturalWidth > 1);
            });
            return {
                rendering: [...svg.querySelectorAll('image')].map(node => getComputedStyle(node).imageRendering),
                alt: svg.getAttribute('aria-label'), role: svg.getAttribute('role'),
                right: box.right, edge: svg.parentElement.getBoundingClientRect().right,
                own: svg.viewBox.baseVal.width, width: box.width, height: box.height, images: await Promise.all(images),
            };
        }))"""
    )
    wide = page.evaluate("document.documentElement.scrollWidth")
    unsound = [found["id"] for found in Axe().run(page).response["violations"]]
    page.close()
    assert unsound == []
    assert said == []
    assert wide <= width
    assert [figure["alt"] for figure in figures] == [page["alt"] for page in album["pages"]]
    for figure in figures:
        assert figure["role"] == "img"
        assert figure["images"]
        assert all(figure["images"])
        assert set(figure["rendering"]) == {"auto"}  # pixels left out of letters make them illegible
        assert min(figure["width"], figure["height"]) > 20
        assert figure["edge"] <= width
        # A point is 4/3 pixels, and a margin 15.
        assert figure["right"] <= max(width, figure["own"] + 15), (
            "wider than the screen and three quarters of its own"
        )
