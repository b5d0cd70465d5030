"""`--stored-as jpeg85`: the published sets' JPEG, named wherever a number of it stands."""

from __future__ import annotations

import io
import json
import shlex
from pathlib import Path

import numpy as np
import pytest
from click.testing import CliRunner
from PIL import Image

from robustbench_sdnet import corruptions
from robustbench_sdnet.answers.records import FIELDS
from robustbench_sdnet.cli import cli
from robustbench_sdnet.errors import InputError
from robustbench_sdnet.evaluation import evaluate
from robustbench_sdnet.planning.questions import corruption_specs
from robustbench_sdnet.reports import report
from tests.net_files import write_net


@pytest.mark.parametrize("size", [(32, 32), (64, 64), (224, 224), (33, 50)])
def test_is_pillows_jpeg_of_the_corrupted_image(size: tuple[int, int]) -> None:
    ramp = np.linspace(0, 255, size[1])[None, None, :, None] + np.random.default_rng(0).normal(
        0, 30, (2, *size, 3)
    )
    images = np.clip(ramp, 0, 255).astype(np.uint8)
    lossless = corruptions.corrupt(images, "gaussian_blur", 2)
    found = corruptions.corrupt(images, "gaussian_blur", 2, stored_as="jpeg85")
    for image, stored in zip(lossless, found, strict=True):
        file = io.BytesIO()
        Image.fromarray(image).save(file, "JPEG", quality=85, optimize=True)
        np.testing.assert_array_equal(stored, np.asarray(Image.open(file)))
    assert (found != lossless).any()
    with pytest.raises(InputError, match=r"Unknown storage 'jpeg86'. Did you mean 'jpeg85'"):
        corruptions.corrupt(images, "gaussian_blur", 2, stored_as="jpeg86")


def test_what_is_not_stored_keeps_its_identity() -> None:
    plain, stored = (corruption_specs("fog", [1], stored=how)[0] for how in ("", "jpeg85"))
    assert "stored" not in plain.identity()["corruption"]
    assert stored.identity()["corruption"] == {**plain.identity()["corruption"], "stored": "jpeg85"}
    assert (plain.origin, stored.origin) == ("generated", "generated, stored as jpeg85")


def test_named_in_record_report_and_command(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    images = np.random.default_rng(0).integers(0, 256, (6, 32, 32, 3)).astype(np.uint8)
    labels = np.arange(6) % 2
    np.savez(tmp_path / "d.npz", x_train=images, y_train=labels, x_test=images, y_test=labels)
    write_net(tmp_path, "mean_net", "return images.mean((2, 3))[:, :2]")
    monkeypatch.syspath_prepend(str(tmp_path))
    url, data = f"sqlite:///{tmp_path}/s.db", f"npz:{tmp_path}/d.npz"
    shared = [
        "corrupt",
        "--data",
        data,
        *shlex.split("--model mean_net:net --corruption contrast --severity 2"),
    ]
    plain = CliRunner().invoke(cli, [*shared, "--store", url, "--json"])
    assert "stored_as" not in json.loads(plain.stdout)[0]
    asked = CliRunner().invoke(cli, [*shared, "--store", url, "--json", "--stored-as", "jpeg85"])
    assert asked.exit_code == 0, asked.output
    row = json.loads(asked.stdout)[1]
    assert (row["stored_as"], row["source"]) == ("jpeg85", "generated")
    text = Path(report(url, "markdown", output=tmp_path / "r.md")).read_text()
    assert "Corruptions (generated, stored as jpeg85)" in text
    assert text.count("--stored-as jpeg85") == 1
    frame = evaluate(
        ["mean_net:net"], data, corruptions="contrast", severities=[2], stored_as="jpeg85", store=url
    )
    assert list(frame.columns) == [*FIELDS, "stored_as"]
    assert sorted(frame["stored_as"].fillna("-")) == ["-", "jpeg85"], "clean, and what was asked"
