"""Parameter sets: which one for which size, what they hold, and where they are named."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest
from click.testing import CliRunner

from robustbench_sdnet import corruptions, data, evaluate, report
from robustbench_sdnet.answers.records import records
from robustbench_sdnet.cli import cli
from robustbench_sdnet.corruptions import generation
from robustbench_sdnet.corruptions.members import TABLES
from robustbench_sdnet.corruptions.registry import foreign_size, setting, table_for
from robustbench_sdnet.errors import InputError
from robustbench_sdnet.planning.asked import Asked
from robustbench_sdnet.planning.questions import corruption_specs
from robustbench_sdnet.specs import CorruptionSpec
from tests.net_files import write_net


@pytest.mark.parametrize(
    ("size", "expected"),
    [
        ((32, 32), ("cifar", "")),
        ((64, 64), ("tiny", "")),
        ((224, 224), ("imagenet", "")),
        ((299, 299), ("inception", "")),
        ((28, 28), ("cifar", "28x28")),
        ((48, 48), ("cifar", "48x48")),  # as near to 64: the smaller one
        ((49, 49), ("tiny", "49x49")),
        ((64, 200), ("tiny", "64x200")),  # by the shorter side
        ((224, 256), ("imagenet", "224x256")),
        ((512, 512), ("inception", "512x512")),
    ],
)
def test_the_size_chooses(size: tuple[int, int], expected: tuple[str, str]) -> None:
    assert (table_for(*size), foreign_size(table_for(*size), *size)) == expected


# One published number of each set and kind, typed from the generators' tables.
@pytest.mark.parametrize(
    ("name", "severity", "table", "expected"),
    [
        ("gaussian_noise", 5, "imagenet", (0.38,)),
        ("gaussian_noise", 5, "inception", (0.4,)),
        ("shot_noise", 2, "tiny", (100,)),
        ("contrast", 3, "imagenet", (0.2,)),  # as Tiny-ImageNet-C's
        ("contrast", 3, "cifar", (0.4,)),
        ("snow", 4, "imagenet", (0.55, 0.3, 4.5, 0.85, 12, 8, 0.65)),
        ("snow", 4, "inception", (0.55, 0.3, 4.5, 0.85, 12, 8, 0.65)),
        ("spatter", 2, "inception", (0.65, 0.3, 3.5, 0.68, 0.9, 0)),
        ("jpeg_compression", 5, "inception", (5,)),
        ("frost", 1, "tiny", (1, 0.3, 0.3)),
        ("salt_and_pepper", 1, "imagenet", (0.03,)),
    ],
)
def test_published_parameters(name: str, severity: int, table: str, expected: tuple[float, ...]) -> None:
    assert setting(name, severity, table=table) == expected


@pytest.mark.parametrize(
    ("table", "counts"),
    [("tiny", (7, 12, 16, 21, 26)), ("imagenet", (12, 16, 11, 13, 11)), ("inception", (12, 16, 11, 13, 11))],
)
def test_zoom_blur_has_the_published_number_of_factors(table: str, counts: tuple[int, ...]) -> None:
    assert counts == tuple(len(np.arange(1, *setting("zoom_blur", s, table=table))) for s in range(1, 6))


def test_the_table_is_the_images_own_or_the_one_that_is_named() -> None:
    images = np.random.default_rng(0).integers(0, 256, (2, 64, 64, 3)).astype(np.uint8)
    own = corruptions.corrupt(images, "contrast", 3)
    np.testing.assert_array_equal(own, corruptions.corrupt(images, "contrast", 3, table="tiny"))
    assert (own != corruptions.corrupt(images, "contrast", 3, table="cifar")).any()
    with pytest.raises(
        InputError, match=r"Unknown table of corruption parameters 'imagnet'. Did you mean 'imagenet'"
    ):
        corruptions.corrupt(images, "contrast", table="imagnet")


@pytest.mark.parametrize("table", TABLES)
@pytest.mark.parametrize("size", [(8, 8), (8, 512), (130, 100)])
@pytest.mark.parametrize("name", corruptions.CORRUPTIONS)
def test_every_size_and_table(name: str, size: tuple[int, int], table: str) -> None:
    images = np.random.default_rng(0).integers(0, 256, (2, *size, 3)).astype(np.uint8)
    found = corruptions.corrupt(images, name, 5, table=table)
    assert (found.shape, found.dtype) == (images.shape, np.uint8)
    np.testing.assert_array_equal(
        found[1:], corruptions.corrupt(images[1:], name, 5, sample_ids=[1], table=table)
    )


def test_answers_at_32_pixels_keep_their_ids() -> None:
    spec = CorruptionSpec(name="fog", severity=3)
    before = {"name": "fog", "severity": 3, "level": None, "seed": 0, "version": 1, "source": "generated"}
    assert spec.identity() == {"corruption": before}
    assert CorruptionSpec(name="fog", severity=3, size="28x28").identity() == spec.identity()
    other = CorruptionSpec(name="fog", severity=3, table="tiny")
    assert other.identity() == {"corruption": {**before, "table": "tiny"}}
    levels = corruption_specs("gaussian_noise", levels=[1], table=("tiny", ""))
    assert levels[0].identity() == CorruptionSpec(name="gaussian_noise", level="1").identity()


@pytest.fixture(scope="module")
def wide(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """An npz data set of 60x60 images."""
    path = tmp_path_factory.mktemp("wide") / "wide.npz"
    images = np.random.default_rng(0).integers(0, 256, (6, 60, 60, 3)).astype(np.uint8)
    labels = np.arange(6) % 2
    np.savez(path, x_train=images, y_train=labels, x_test=images, y_test=labels)
    write_net(path.parent, "wide_net", "return images.mean((2, 3))[:, :2]")
    return path


def test_the_table_is_named_in_record_screen_and_report(
    wide: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.syspath_prepend(str(wide.parent))
    url = f"sqlite:///{tmp_path}/s.db"
    arguments = ["corrupt", "--data", f"npz:{wide}", "--model", "wide_net:net", "--corruption", "contrast"]
    asked = CliRunner().invoke(cli, [*arguments, "--severity", "2", "--store", url, "--json"])
    assert asked.exit_code == 0, asked.output
    assert "Note: images of 60x60 are corrupted with the tiny table, made for 64x64." in asked.stderr
    rows = {row["perturbation"]: row for row in json.loads(asked.stdout)}
    assert (rows["contrast"]["table"], rows["contrast"]["source"]) == ("tiny at 60x60", "generated")
    assert rows["clean"]["table"] is None
    asked = CliRunner().invoke(
        cli, [*arguments, "--severity", "2", "--store", url, "--table", "cifar", "--json"]
    )
    assert json.loads(asked.stdout)[1]["table"] == "cifar at 60x60"
    kept = [row for row in records(url) if row["kind"] == "corruption"]
    assert len({row["cell"] for row in kept}) == 2  # two questions, never one mean
    text = Path(report(url, "markdown", output=tmp_path / "r.md")).read_text()
    assert "table tiny at 60x60" in text
    assert "table cifar at 60x60" in text
    frame = evaluate(
        ["wide_net:net"], f"npz:{wide}", corruptions="contrast", severities=[2], table="imagenet", store=url
    )
    assert "imagenet at 60x60" in set(frame["table"])


def test_a_generated_folder_knows_its_table(tmp_path: Path) -> None:
    images = np.random.default_rng(0).integers(0, 256, (4, 64, 64, 3)).astype(np.uint8)
    labels = np.arange(4)
    shared = {"content_hash": "h", "corruptions": "contrast", "workers": 1}
    generation.generate(images, labels, tmp_path / "c", **shared)
    found = data.load(f"cifar10c:{tmp_path / 'c'}", "test")
    spec = Asked(corruptions="contrast", severities=[2]).of(found)[0]
    assert (spec.table, spec.size, spec.source) == ("tiny", "", "generated")
    with pytest.raises(InputError, match="Leave out --table"):
        Asked(corruptions="contrast", severities=[2], table="cifar").of(found)
    with pytest.raises(InputError, match=r"is already drawn\. Leave out --seed"):
        Asked(corruptions="contrast", seed=5).of(found)
    with pytest.raises(
        InputError, match="holds corruptions of other images, or with another limit, seed or table"
    ):
        generation.generate(images, labels, tmp_path / "c", table="cifar", **shared)
    expected = corruptions.corrupt(images, "contrast", 2)
    np.testing.assert_array_equal(np.load(tmp_path / "c" / "contrast.npy")[4:8], expected)


def test_alexnet_is_a_baseline_of_imagenet_c_alone(
    wide: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.syspath_prepend(str(wide.parent))
    images = np.random.default_rng(0).integers(0, 256, (2, 224, 224, 3)).astype(np.uint8)
    labels = np.arange(2)
    np.savez(tmp_path / "large.npz", x_train=images, y_train=labels, x_test=images, y_test=labels)
    small, large = (f"sqlite:///{tmp_path}/{name}.db" for name in ("small", "large"))
    evaluate(["wide_net:net"], f"npz:{wide}", corruptions="contrast", severities=[2], store=small)
    with pytest.raises(
        InputError, match="AlexNet's errors are those of ImageNet-C, and the store holds none of it"
    ):
        report(small, "markdown", output=tmp_path / "r.md", baseline="alexnet")
    evaluate(
        ["wide_net:net"], f"npz:{tmp_path}/large.npz", corruptions="contrast", severities=[2], store=large
    )
    text = Path(report(large, "markdown", output=tmp_path / "r.md", baseline="alexnet")).read_text()
    assert "per cent of AlexNet" in text
    assert "generated, table imagenet" in text
