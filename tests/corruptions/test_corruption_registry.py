"""Names, parameters and what is refused."""

from __future__ import annotations

import subprocess
import sys
from pkgutil import resolve_name

import numpy as np
import pytest
import torch

from robustbench_sdnet import corruptions
from robustbench_sdnet.errors import InputError

IMAGES = np.zeros((2, 32, 32, 3), np.uint8)


def test_groups() -> None:
    assert len(corruptions.expand("all")) == 19
    assert len(corruptions.expand("main")) == 15
    assert corruptions.expand("extra") == ("speckle_noise", "gaussian_blur", "spatter", "saturate")
    assert corruptions.expand("noise") == ("gaussian_noise", "shot_noise", "impulse_noise", "speckle_noise")
    sizes = [
        len(set(corruptions.expand(group)) & set(corruptions.expand("main"))) for group in ("noise", "blur")
    ]
    assert sizes == [3, 4]
    assert corruptions.expand(["fog, fog", "main"])[0] == "fog"
    assert set(corruptions.expand("main,extra")) == set(corruptions.expand("all"))
    assert corruptions.expand("salt_and_pepper") == ("salt_and_pepper",)


def test_every_row_has_five_settings_a_set_and_functions_that_are_there() -> None:
    for info in corruptions.CORRUPTIONS.values():
        assert {"cifar", "imagenet"} & set(info.settings)
        for settings in info.settings.values():
            assert len(settings) == 5
            assert {len(setting) for setting in settings} == {len(info.at("cifar")[0])}
        for place in filter(None, (info.apply, info.draws)):
            assert callable(resolve_name(f"robustbench_sdnet.corruptions.{place}"))


def test_the_registry_needs_no_torch() -> None:
    code = (
        "import sys, robustbench_sdnet.corruptions as c;"
        "c.expand('all'); assert 'torch' not in sys.modules and 'numpy' not in sys.modules"
    )
    subprocess.run([sys.executable, "-c", code], check=True)


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (("gausian_noise",), "Unknown corruption 'gausian_noise'. Did you mean 'gaussian_noise'?"),
        (("fog", 0), "severity must be 1 to 5, got 0"),
        (("fog", 6), "severity must be 1 to 5, got 6"),
        (("fog", 2.5), "severity must be 1 to 5, got 2.5"),
        (("fog", True), "severity must be 1 to 5, got True"),
    ],
)
def test_wrong_names_and_severities(arguments: tuple[object, ...], message: str) -> None:
    with pytest.raises(InputError, match=message.replace("?", r"\?")):
        corruptions.corrupt(IMAGES, *arguments)


def test_unknown_names_in_a_list() -> None:
    with pytest.raises(InputError, match="Did you mean 'frost'"):
        corruptions.expand("fog,frots")
    with pytest.raises(InputError, match="must not be empty"):
        corruptions.expand("fog,")
    with pytest.raises(InputError, match="corruption must not be empty"):
        corruptions.expand([])
    with pytest.raises(InputError, match="Unknown corruption 'nonsense'"):
        corruptions.corruption_info("nonsense")


@pytest.mark.parametrize(
    ("name", "level"),
    [
        ("gaussian_noise", -0.1),
        ("gaussian_noise", float("nan")),
        ("impulse_noise", 1.5),
        ("shot_noise", 0.0),
        ("shot_noise", "x"),
    ],
)
def test_wrong_levels(name: str, level: float) -> None:
    with pytest.raises(InputError, match=f"The level of {name} must lie between"):
        corruptions.corrupt(IMAGES, name, level=level)


def test_levels_only_where_there_are_some() -> None:
    with pytest.raises(
        InputError,
        match=r"fog takes a severity from 1 to 5, no level, got .*\. Levels are of gaussian_noise, .*: name one",
    ):
        corruptions.corrupt(IMAGES, "fog", level=0.5)


@pytest.mark.parametrize(
    ("images", "message"),
    [
        (np.zeros((1, 32, 32, 3), np.float32), "must be uint8 arrays or tensors, got float32"),
        (torch.zeros(1, 32, 32, 3), "got torch.float32"),
        ([[0]], r"got list. Write numpy.asarray\(images\)"),
        (
            np.zeros((32, 32, 3), np.uint8),
            r"\(n, h, w, 3\), got \(32, 32, 3\). Write x\[None\] for one image",
        ),
        (
            np.zeros((1, 3, 32, 32), np.uint8),
            r"got \(1, 3, 32, 32\). Move the channels to the end: x\.transpose",
        ),
        (torch.zeros(1, 3, 32, 32, dtype=torch.uint8), r"the channels to the end: x\.permute\(0, 2, 3, 1\)"),
        (np.zeros((2, 32, 32), np.uint8), r"got \(2, 32, 32\). Repeat grey images over three channels"),
        (np.zeros((1, 7, 32, 3), np.uint8), "at least 8x8 pixels, got 7x32"),
        (np.zeros((1, 32, 513, 3), np.uint8), "up to 512x512 pixels, got 32x513"),
    ],
)
def test_wrong_images(images: object, message: str) -> None:
    with pytest.raises(InputError, match=message):
        corruptions.corrupt(images, "fog")
    with pytest.raises(InputError, match=message):
        corruptions.apply(images, "contrast", draws={})


def test_a_group_where_one_corruption_is_wanted_is_named_with_its_members() -> None:
    with pytest.raises(
        InputError, match="'noise' is a group: gaussian_noise, shot_noise, impulse_noise, speckle"
    ):
        corruptions.corrupt(IMAGES, "noise")


def test_wrong_ids_and_sizes() -> None:
    with pytest.raises(InputError, match="each of the 2 images, got 1 ids"):
        corruptions.corrupt(IMAGES, "fog", sample_ids=[1])
    for wrong in ([1, -1], [0.5, 1], np.array([0.5, 1.0]), torch.tensor([0.5, 1.0]), [0, 2**64]):
        with pytest.raises(InputError, match="sample_ids must be whole numbers from 0"):
            corruptions.corrupt(IMAGES, "fog", sample_ids=wrong)
    with pytest.raises(InputError, match=r"whole numbers from 0, got \[0.5, 1.0\]"):
        corruptions.corrupt(IMAGES, "fog", sample_ids=(value for value in (0.5, 1.0)))
    with pytest.raises(InputError, match="at least 8x8"):
        corruptions.sample(0, [0], "fog", size=(4, 32))


def test_missing_frost_photographs(monkeypatch: pytest.MonkeyPatch) -> None:
    from importlib import metadata

    from robustbench_sdnet.corruptions import weather
    from robustbench_sdnet.errors import DataError

    def absent(name: str) -> None:
        raise metadata.PackageNotFoundError(name)

    monkeypatch.setattr(metadata, "distribution", absent)
    for cached in (weather.frost_textures, weather._photographs):
        cached.cache_clear()
    with pytest.raises(DataError, match="python -m pip install imagecorruptions"):
        corruptions.corrupt(IMAGES, "frost")
