"""The command as typed, its numbers against direct computations, its page in a real browser, and the report."""

from __future__ import annotations

import json
import os
import shutil
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from click.testing import CliRunner
from PIL import Image

import robustbench_sdnet as rs
from robustbench_sdnet.cli import cli
from robustbench_sdnet.data.tensors import to_images
from robustbench_sdnet.inside import drawing
from robustbench_sdnet.inside.way import features
from robustbench_sdnet.statistics import mean_interval

from .conftest import settled

LIMIT = 6


@pytest.fixture(scope="module")
def made(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with two runs on digits and the pictures of both."""
    folder = tmp_path_factory.mktemp("inside")
    for name, arch, options in (("plain", "sdnet20_all", {"shortcut": False}), ("res", "resnet20", {})):
        model = settled(arch, num_classes=10, input_size=32, **options)
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


def test_every_number_is_a_direct_computation(album: dict[str, Any], made: Path) -> None:
    model, data = rs.load_model(made / "runs/plain"), rs.data.load("digits", "test")
    pixels = data.images(0, LIMIT)
    clean = to_images(pixels)
    noisy = to_images(
        rs.corruptions.corrupt(pixels, "gaussian_noise", severity=5, sample_ids=data.ids[:LIMIT])
    )
    for image, given in (("clean", clean), ("gaussian_noise@5", noisy)):
        for depth in (0, 2, 9):
            for lam in (0.1, 0.8):
                with rs.use_lambda(model, lam):
                    back, code = (
                        rs.reconstruct(model, given, depth).numpy(),
                        rs.codes(model, given, depth).numpy(),
                    )
                expected = {
                    "error": [
                        np.linalg.norm(b - g) / np.linalg.norm(g)
                        for b, g in zip(back, given.numpy(), strict=True)
                    ],
                    "correlation": [
                        np.corrcoef(b.ravel(), c.ravel())[0, 1]
                        for b, c in zip(back, clean.numpy(), strict=True)
                    ],
                    "active": [np.count_nonzero(z) / z.size for z in code],
                }
                for quantity, values in expected.items():
                    (row,) = numbers(
                        album, model="plain", image=image, lam=lam, depth=depth, quantity=quantity
                    )
                    assert [row["mean"], row["low"], row["high"]] == pytest.approx(
                        mean_interval(values), rel=1e-4, abs=1e-6
                    )
    for depth, (now, before) in enumerate(zip(features(model, noisy), features(model, clean), strict=True)):
        (row,) = numbers(album, model="plain", image="gaussian_noise@5", depth=depth, quantity="change")
        change = [float((a - b).norm() / b.norm()) for a, b in zip(now, before, strict=True)]
        assert row["mean"] == pytest.approx(np.mean(change), rel=1e-4)


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
    atoms = [f"atoms-{depth}" for depth in range(10)]
    assert names == [f"plain-{kind}" for kind in (*atoms, *kinds, *films)] + ["way"]
    for page in album["pages"]:
        assert page["reading"].endswith(".")
        assert page["alt"].endswith(".")
        with Image.open(made / f"runs/pictures/plain-res/{page['name']}.png") as picture:
            assert picture.format == "PNG"
            assert np.asarray(picture.convert("L")).std() > 5  # something is drawn
    assert album["files"][-1] == "runs/pictures/plain-res/index.html"


def test_the_report_takes_the_pictures_in_on_request(album: dict[str, Any], made: Path) -> None:
    store = f"sqlite:///{made}/results.db"
    run(made, "corrupt", "--model", "runs/plain", "--corruption", "contrast", "--severity", "1", "--data", "digits",
        "--limit", "10", "--store", store, "--device", "cpu")  # fmt: skip
    run(made, "report", "to", "html", "--store", store, "--output", "with.html", "--with-pictures")
    run(made, "report", "to", "html", "--store", store, "--output", "without.html")
    text, without = (made / "with.html").read_text(), (made / "without.html").read_text()
    assert "Inside" not in without
    for page in album["pages"]:
        assert f'aria-label="{page["alt"].replace(chr(39), "&#39;")}' in text or page["alt"][:20] in text
        assert page["reading"][:40].replace("'", "&#39;") in text.replace("&#x27;", "&#39;")
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
    assert "csv holds no pictures" in said
    said = run(made, "report", "to", "html", "--store", store, "--with-pictures=none", code=2)
    assert "No pictures in none" in said
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
        (["runs/res", "--lambda", "0.5"], "has no sparse coding layers, so it has no lambda"),
        (["runs/plain", "--lambda", "oracle"], "takes numbers as --lambda"),
        (["runs/plain", "--depth", "12"], "depth must lie in 0 to 9"),
        (["runs/plain", "--depth", "a"], "--depth takes numbers from 0"),
        (["runs/res", "--depth", "0"], "has no sparse coding stem"),
        (["runs/plain", "--corruption", "gaussian_noise"], "NAME@SEVERITY"),
        (["runs/plain", "--corruption", "gausian_noise@3"], "Did you mean 'gaussian_noise'"),
        (["runs/plain", "--attack", "autoattack"], "takes one attack"),
        (["runs/plain", "--eps", "1/255,2/255"], "takes one attack with one budget"),
        (["runs/none"], "Unknown model 'runs/none'"),
    ],
)
def test_what_cannot_be_meant_is_one_line(made: Path, arguments: list[str], message: str) -> None:
    said = run(made, "visualize", *arguments, "--limit", 2, "--data", "digits", "--device", "cpu", code=2)
    assert message in said
    assert "\n" not in said


@pytest.mark.slow
def test_feature_inversion_draws_any_model(made: Path) -> None:
    found = run(
        made, "visualize", "runs/res", "--method", "gradient", "--depth", "1", "--limit", 2, "--device", "cpu",
        "--json", "--output", "by-gradient",
    )  # fmt: skip
    album = json.loads(found.stdout)
    assert {row["quantity"] for row in album["numbers"]} == {"error", "correlation", "change"}
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
                alt: svg.getAttribute('aria-label'), role: svg.getAttribute('role'),
                width: box.width, height: box.height, right: box.right, images: await Promise.all(images),
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
        assert min(figure["width"], figure["height"]) > 20
        assert figure["right"] <= width
