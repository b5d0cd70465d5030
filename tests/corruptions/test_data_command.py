"""`sdnet-bench data`, as typed."""

from __future__ import annotations

import json
import shlex
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
from click.testing import CliRunner
from PIL import Image

from robustbench_sdnet.cli import cli
from robustbench_sdnet.corruptions import generation
from robustbench_sdnet.data import archives
from robustbench_sdnet.errors import InputError


def run(*arguments: object) -> str:
    answer = CliRunner().invoke(cli, ["data", *map(str, arguments)])
    if answer.exception is not None:
        raise answer.exception
    return answer.stdout


def test_show(tmp_path: Path, tiny_npz: Path) -> None:
    target = tmp_path / "sheets" / "sheet.png"
    said = run(
        "show",
        "--data",
        f"npz:{tiny_npz}",
        "--corruption",
        "noise,fog",
        "--severity",
        "1,5",
        "--output",
        target,
    )
    assert said == f"5 corruptions at 2 severities in {target}\n"
    with Image.open(target) as sheet:
        pixels = np.asarray(sheet)
    # 2 images of 8 pixels at scale 2, clean and two severities; rows of 16 pixels: 4 apart each.
    assert pixels.shape == (14 + 5 * 20, 112 + 3 * 36, 3)
    with np.load(tiny_npz) as archive:
        np.testing.assert_array_equal(pixels[14:30:2, 112:128:2], archive["x_test"][0])
    with pytest.raises(InputError, match=r"not the name of a picture. End it in .png, .webp, "):
        run(
            "show",
            "--data",
            f"npz:{tiny_npz}",
            "--corruption",
            "fog",
            "--output",
            tmp_path / "sheet.nonsense",
        )


def test_a_sheet_without_an_ending_is_a_png_and_one_too_large_is_refused(
    tmp_path: Path, tiny_npz: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    asked = ("show", "--data", f"npz:{tiny_npz}", "--corruption", "fog", "--severity", "1", "--output")
    run(*asked, tmp_path / "sheet")
    assert (tmp_path / "sheet").read_bytes().startswith(b"\x89PNG")
    with pytest.raises(InputError, match="not the name of a picture"):
        run(*asked, tmp_path / "sheet.h5")
    for ending, kind in ((".jpeg", b"\xff\xd8"), (".TIFF", b"II")):
        run(*asked, tmp_path / f"sheet{ending}")
        assert (tmp_path / f"sheet{ending}").read_bytes().startswith(kind)
    tall = Image.new("RGB", (20, 66_000))
    monkeypatch.setattr("robustbench_sdnet.corruptions.sheet.contact_sheet", lambda *rows, **scale: tall)
    for ending in ("webp", "jpg", "gif"):
        refused = rf"o.{ending} cannot be a picture of 20 x 66000 pixels \(.+\)\. End it in .png, or lower"
        with pytest.raises(InputError, match=refused):
            run(*asked, tmp_path / f"o.{ending}")
        assert not (tmp_path / f"o.{ending}").exists()


def test_folders_that_number_their_classes_are_not_written(tmp_path: Path) -> None:
    for split in ("train", "val"):
        for name in ("n01", "n02"):
            (tmp_path / split / name).mkdir(parents=True)
            Image.new("RGB", (300, 300)).save(tmp_path / split / name / "a.png")
    asked = ["generate", "cifar10c", "--data", "imagenet"]
    with pytest.raises(InputError, match=r"numbers its own classes, .* in order in classes.txt"):
        run(*asked, "--data-root", tmp_path, "--output", tmp_path / "out")
    assert not (tmp_path / "out").exists()


def test_show_draws_sequences_at_the_difficulties_asked_for(tmp_path: Path) -> None:
    asked = ("show", "--sequences", "--corruption", "gaussian_noise,scale", "--images", 1, "--output")
    both, first = tmp_path / "both.png", tmp_path / "first.png"
    assert run(*asked, both, "--difficulty", "1,3") == f"4 sequences in {both}\n"
    assert run(*asked, first) == f"2 sequences in {first}\n"
    drawn = {}
    for target in (both, first):
        with Image.open(target) as sheet:
            left = sheet.width - 6 * 68  # six frames of 32 pixels at scale 2, 4 apart; labels before them
            drawn[target] = np.asarray(sheet)[14:, left:].reshape(-1, 68, 6 * 68, 3)
    np.testing.assert_array_equal(drawn[both][:2], drawn[first])
    assert (drawn[both][2] != drawn[both][0]).any()  # noise of another strength
    np.testing.assert_array_equal(
        drawn[both][3], drawn[both][1]
    )  # frames are the same, and compared farther apart


def test_generate(tmp_path: Path, tiny_npz: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    asked = {}

    def note(images: np.ndarray, labels: np.ndarray, output: Path, **options: object) -> tuple[str, ...]:
        asked.update(options, n=len(images), labels=len(labels))
        options["report"](5, 10, "fog")
        return ("fog",)

    monkeypatch.setattr(generation, "generate", note)
    monkeypatch.chdir(tiny_npz.parent)
    arguments = shlex.split(
        f"generate cifar10c --data npz:{tiny_npz.name} --limit 7 --corruption fog --seed 3"
    )
    said = run(*arguments, "--output", tmp_path / "out", "--json")
    assert json.loads(said) == {"folder": str(tmp_path / "out"), "corruptions": ["fog"], "images": 35}
    assert (asked["n"], asked["labels"], asked["seed"], asked["corruptions"]) == (7, 7, 3, "fog")
    assert (len(asked["content_hash"]), asked["data"]) == (64, f"npz:{tiny_npz}")
    (tmp_path / "my out").mkdir()
    said = run(*arguments, "--output", tmp_path / "my out")
    assert said.startswith("35 images in")
    assert shlex.split(said)[-2:] == ["--data", f"cifar10c:{tmp_path / 'my out'}"]


def test_a_layout_that_could_not_be_read_again_is_not_written(tmp_path: Path) -> None:
    images, labels = np.zeros((20, 8, 8, 3), np.uint8), np.arange(20)
    for name, top in (("twenty", 19), ("many", 100)):
        labels[-1] = top
        held = {f"x_{split}": images for split in ("train", "test")}
        held |= {f"y_{split}": labels for split in ("train", "test")}
        np.savez(tmp_path / f"{name}.npz", **held)
    for layout, name, remedy in (
        ("cifar10c", "twenty", "has 10 classes, and npz:.* labels up to 19: .* Write cifar100c"),
        ("cifar100c", "many", "labels up to 100: .* No published layout has that many"),
    ):
        with pytest.raises(InputError, match=remedy):
            run("generate", layout, "--data", f"npz:{tmp_path}/{name}.npz", "--output", tmp_path / "out")
    assert not (tmp_path / "out").exists()


def test_prepare(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def note(entry: archives.Archive, folder: Path) -> list[str]:
        assert (entry,) == archives.ARCHIVES["cifar10c"]
        assert folder == tmp_path / "CIFAR-10-C"
        return ["fog.npy"]

    monkeypatch.delenv("SDNET_BENCH_MIRROR", raising=False)
    monkeypatch.setattr(archives, "prepare", note)
    said = run("prepare", "cifar10c", "--data-root", tmp_path)
    assert (
        said
        == f"1 file in {tmp_path / 'CIFAR-10-C'}. Use it with --data cifar10c:{tmp_path / 'CIFAR-10-C'}\n"
    )
    monkeypatch.setattr(archives, "prepare", lambda *_: ["fog.npy"])
    said = run("prepare", "cifar10c", "--output", tmp_path / "my set")
    assert shlex.split(said)[-2:] == ["--data", f"cifar10c:{tmp_path / 'my set'}"]


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (("prepare", "cifar10"), "Unknown published set 'cifar10'. Did you mean 'cifar10c'"),
        (
            ("show", "--output", "x.png", "--corruption", "fogg"),
            "Unknown corruption 'fogg'. Did you mean 'fog'",
        ),
        (("show", "--output", "x.png", "--severity", "0"), "severity must lie in 1 to 5, got '0'"),
        (("generate", "cifar10c", "--output", "x", "--data", "digit"), "Unknown data set 'digit'"),
    ],
)
def test_usage_errors(arguments: tuple[str, ...], message: str) -> None:
    with pytest.raises(InputError, match=message):
        run(*arguments)


def test_help_and_usage_errors_need_no_torch() -> None:
    code = (
        "import sys; from robustbench_sdnet.cli import cli\n"
        "for arguments in (['data', 'generate', '-h'], ['data', 'show', '--output', 'x', '--corruption', 'fogg']):\n"
        "    try: cli.main(arguments, standalone_mode=False)\n"
        "    except ValueError: pass\n"
        "assert 'torch' not in sys.modules and 'numpy' not in sys.modules"
    )
    subprocess.run([sys.executable, "-c", code], check=True, capture_output=True)
