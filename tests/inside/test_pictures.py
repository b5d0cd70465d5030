"""What `visualize` writes: numbers against direct computations, pictures, a report with them, a page in a browser."""

from __future__ import annotations

import json
import shutil
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from PIL import Image
from torch import Tensor
from torch.nn import functional as F

import robustbench_sdnet as rs
from robustbench_sdnet.attacks.engine.balls import ball
from robustbench_sdnet.data.tensors import to_images
from robustbench_sdnet.draws import Draws
from robustbench_sdnet.inside import drawing
from robustbench_sdnet.reports.writers.html import escape
from robustbench_sdnet.statistics import mean_interval
from robustbench_sdnet.zoo.nets.sdnet import Classifier

from .conftest import numbers, run

LIMIT = 6


@pytest.fixture(scope="module")
def album(made: Path) -> dict[str, Any]:
    found = run(
        made, "visualize", "runs/plain", "runs/res", "--limit", LIMIT, "--depth", "0,2,9", "--lambda", "0.1,0.8",
        "--eps", "4/255", "--atoms", "all", "--device", "cpu", "--json",
    )  # fmt: skip
    parsed: dict[str, Any] = json.loads(found.stdout)
    return parsed


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
