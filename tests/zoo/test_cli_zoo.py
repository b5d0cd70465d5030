"""The commands `sdnet-bench zoo ...`, in one process."""

from __future__ import annotations

import hashlib
import json
import shlex
from pathlib import Path
from typing import Any

import pytest
import torch
import yaml

from robustbench_sdnet.cli import main
from robustbench_sdnet.errors import InputError
from robustbench_sdnet.zoo import build_model, load_model, read_card, save_model


class Shell:
    """Runs a command and keeps what it said."""

    def __init__(self, capsys: pytest.CaptureFixture[str]) -> None:
        self._capsys = capsys

    def __call__(self, *arguments: object, code: int = 0) -> str:
        with pytest.raises(SystemExit) as left:
            main(["zoo", *map(str, arguments)])
        said = self._capsys.readouterr()
        assert left.value.code == code, said.err
        return said.err if code == 2 else said.out

    def json(self, *arguments: object, code: int = 0) -> Any:
        return json.loads(self(*arguments, "--json", code=code))


@pytest.fixture
def zoo(capsys: pytest.CaptureFixture[str], tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Shell:
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("SDNET_BENCH_CACHE", str(tmp_path / "cache"))
    return Shell(capsys)


@pytest.fixture
def run(tmp_path: Path, tiny_npz: Path) -> Path:
    """A run on the tiny data set that states the accuracy of an untrained model on 30 images."""
    torch.manual_seed(0)
    model = build_model("sdnet20", width=4, input_size=8, num_classes=3).eval()
    folder = tmp_path / "runs" / "tiny-sdnet20"
    save_model(
        model, folder / "last.safetensors", data=f"npz:{tiny_npz}", accuracy=1 / 3, recipe={"name": "smoke"}
    )
    return folder


def test_list_agrees_with_the_index(zoo: Shell, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("COLUMNS", "80")  # no name is broken over two lines
    from robustbench_sdnet.zoo.shelf.index import INDEX

    rows = zoo.json("list")
    names = [row["name"] for row in yaml.safe_load(INDEX.read_text())["models"]]
    assert [row["name"] for row in rows] == names
    assert all({"name", "arch", "data", "recipe", "accuracy", "sha256"} <= row.keys() for row in rows)
    shown = zoo("list")
    assert all(name in shown for name in names)


def test_info_shows_the_card(zoo: Shell, run: Path) -> None:
    row = zoo.json("info", run)
    assert (row["name"], row["arch"], row["lam"]) == ("tiny-sdnet20", "sdnet20", 0.1)
    shown = dict(line.split(maxsplit=1) for line in zoo("info", run).splitlines() if " " in line)
    assert (shown["name"], shown["arch"], shown["lam"], shown["has_lambda"]) == (
        "tiny-sdnet20",
        "sdnet20",
        "0.1",
        "yes",
    )
    assert shown["mean"] == ", ".join(f"{value:.7g}" for value in row["mean"])
    assert json.loads(shown["options"]) == row["options"]
    assert "Unknown model 'cifar10/nothing'" in zoo("info", "cifar10/nothing", code=2)
    assert "Did you mean 'runs/tiny-sdnet20'" in zoo("info", "runs/tiny-sdnet18", code=2)


def test_info_takes_the_newest_run_of_a_name(zoo: Shell, run: Path) -> None:
    newest = run.rename(run.with_name("tiny-sdnet20-20260102-000000"))
    assert zoo.json("info", "runs/tiny-sdnet20") == zoo.json("info", newest.relative_to(newest.parents[1]))


@pytest.mark.parametrize(("source", "warned"), [("torch.nn:ReLU", True), ("mine:flat", False)])
def test_info_says_what_gives_no_logits(
    source: str,
    warned: bool,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    monkeypatch.chdir(tmp_path)
    Path("mine.py").write_text("from torch import nn\nflat = nn.Flatten()\n")
    with pytest.raises(SystemExit, match="0"):
        main(["zoo", "info", source])
    said = capsys.readouterr()
    assert source in said.out
    assert (f"{source} gives no logits for images of 32x32" in said.err) == warned


def test_a_released_checkpoint_becomes_a_run(zoo: Shell, tmp_path: Path) -> None:
    state = build_model("sdnet20_all", shortcut=False, num_classes=100).state_dict()
    torch.save({"state_dict": {k: v for k, v in state.items() if "normalise" not in k}}, "checkpoint.pth.tar")
    options = shlex.split(
        "--arch sdnet20_all --no-shortcut --data cifar100 --accuracy 0.7 --step-size checkpoint"
    )
    row = zoo.json("import", "checkpoint.pth.tar", *options)
    folder = tmp_path / "runs" / "cifar100-sdnet20_all-no-shortcut-imported"
    card = read_card(folder / "last.safetensors")
    assert row["weights_hash"] == card.weights_hash
    assert (card.data, card.accuracy, card.options["num_classes"]) == ("cifar100", 0.7, 100)
    assert load_model(folder)(torch.rand(1, 3, 32, 32)).shape == (1, 100)


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (("x.tar", "--arch", "sdnet19", "--data", "cifar10"), "Did you mean 'sdnet18'"),
        (("x.tar", "--arch", "sdnet18", "--data", "cifar11"), "Unknown data set 'cifar11'"),
        (("x.tar", "--arch", "sdnet18", "--data", "cifar10"), "No checkpoint 'x.tar'"),
        (("x.tar", "--arch", "sdnet18", "--data", "cifar10", "--mean", "a,b"), "Expected numbers such as"),
    ],
)
def test_a_wrong_import_is_one_line(zoo: Shell, arguments: tuple[str, ...], message: str) -> None:
    said = zoo("import", *arguments, code=2)
    assert message in said
    assert len(said.strip().splitlines()) == 1


def test_an_import_of_a_plain_network_takes_nothing_of_sparse_layers(zoo: Shell) -> None:
    for option, value in (("--lam", "0.3"), ("--step-size", "checkpoint")):
        asked = ("import", "a.pth", "--arch", "resnet18", "--data", "digits", option, value)
        assert f"resnet18 has no sparse coding layers. Leave out {option}." in zoo(*asked, code=2)


def test_an_import_replaces_no_other_model(zoo: Shell, run: Path) -> None:
    torch.save(build_model("sdnet20").state_dict(), "first.pth.tar")
    torch.save(build_model("sdnet20").state_dict(), "second.pth.tar")
    options = ("--arch", "sdnet20", "--data", "cifar10")
    folder = Path("runs/cifar10-sdnet20-imported")
    zoo("import", "first.pth.tar", *options)
    before = (folder / "last.safetensors").read_bytes()
    zoo("import", "first.pth.tar", *options)
    said = zoo("import", "second.pth.tar", *options, code=2)
    assert "already holds another model. Name another folder: --output DIR" in said
    assert "already holds another model" in zoo("import", "first.pth.tar", *options, "-o", run, code=2)
    assert (folder / "last.safetensors").read_bytes() == before


def test_verify_says_when_the_data_are_others(zoo: Shell, run: Path, tiny_npz: Path, tmp_path: Path) -> None:
    import numpy as np

    from robustbench_sdnet.data import load

    own = load(f"npz:{tiny_npz}", "train").content_hash
    save_model(load_model(run), run / "last.safetensors", data=f"npz:{tiny_npz}", data_hash=own)
    with np.load(tiny_npz) as held:
        arrays = dict(held)
    np.savez(tmp_path / "copy.npz", **arrays)
    arrays["x_train"] = arrays["x_train"] // 2
    np.savez(tmp_path / "other.npz", **arrays)
    assert zoo.json("verify", run)[0]["other_data"] is None
    assert zoo.json("verify", run, "--data", "npz:copy.npz")[0]["other_data"] is None
    said = zoo("verify", run, "--data", "npz:other.npz")
    assert "Trained on other images than those of npz:other.npz" in said


def test_verify_of_the_whole_zoo_keeps_each_models_own_data(
    zoo: Shell, tiny_npz: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    from robustbench_sdnet.zoo.shelf import index

    own = tuple(item for item in index.entries() if item.name == "digits/sdnet20-at")
    monkeypatch.setattr(index, "entries", lambda *where: own)
    rows = zoo.json("verify", "--data", f"npz:{tiny_npz}")
    assert [(row["data"], row["other_data"], row["matches"]) for row in rows] == [("digits", None, True)]
    assert "Trained on other images" in zoo(
        "verify", "digits/sdnet20-at", "--data", f"npz:{tiny_npz}", code=1
    )


def test_verify_measures_again(zoo: Shell, run: Path) -> None:
    rows = zoo.json("verify", run, code=0 if _accuracy(run) == 1 / 3 else 1)
    assert rows[0]["n"] == 30
    assert rows[0]["measured"] == pytest.approx(_accuracy(run))
    save_model(load_model(run), run / "last.safetensors", data=rows[0]["data"], accuracy=_accuracy(run))
    assert "ok" in zoo("verify", run)
    save_model(load_model(run), run / "last.safetensors", data=rows[0]["data"], accuracy=0.99)
    assert "DIFFERS" in zoo("verify", run, code=1)
    save_model(load_model(run), run / "last.safetensors")
    assert "does not say what it was trained on" in zoo("verify", run, code=2)


def _accuracy(run: Path) -> float:
    from robustbench_sdnet.data import load

    data = load(read_card(run / "last.safetensors").data, "test")
    images = torch.from_numpy(data.images(0, 30).copy()).permute(0, 3, 1, 2).float() / 255
    return float((load_model(run)(images).argmax(1).numpy() == data.labels).mean())


def test_import_takes_mean_and_deviation_of_a_file_that_holds_them(zoo: Shell, tmp_path: Path) -> None:
    own = build_model("sdnet20", width=4, mean=(0.5, 0.4, 0.3), std=(0.2, 0.25, 0.3))
    torch.save(own.state_dict(), tmp_path / "own.pth.tar")
    given = (tmp_path / "own.pth.tar", "--arch", "sdnet20", "--data", "cifar10")
    options = read_card(zoo.json("import", *given, "-o", "own")["path"]).options
    assert (options["mean"], options["std"]) == ([0.5, 0.4, 0.3], [0.2, 0.25, 0.3])
    zoo("import", *given, "-o", "x", "--std", "0.1,0.1,0.1", code=1)
    assert "mean must be 3 finite numbers" in zoo("import", *given, "-o", "x", "--mean", "0.5,0.4", code=2)


def test_export_writes_a_smaller_file(zoo: Shell, run: Path) -> None:
    row = zoo.json("export", run, "tiny/sdnet20", "-o", "half.safetensors")
    assert read_card("half.safetensors").weights_hash == row["weights_hash"]
    assert "--robust takes TEXT=NUMBER" in zoo("export", run, "tiny/x", "--robust", "pgd=2", code=2)


def test_export_to_a_file_refuses_what_is_for_the_index(zoo: Shell, run: Path, tmp_path: Path) -> None:
    for option, value in (("--recipe", "fast"), ("--robust", "pgd=0.5"), ("--note", "a"), ("--folder", ".")):
        said = zoo("export", run, "tiny/x", "-o", "x.safetensors", option, value, code=2)
        assert f"--output leaves the zoo unchanged. Leave out {option}." in said
    assert not (tmp_path / "x.safetensors").exists()


def test_export_takes_models_built_here_alone(
    zoo: Shell, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    row = zoo.json("export", "digits/sdnet20-at", "digits/copy", "-o", "copy.safetensors")
    assert read_card(row["path"]).arch == "sdnet20"
    assert capsys.readouterr().err == ""
    assert "is not a model built here" in zoo("export", "torchvision:resnet18", "a/b", "-o", "x", code=2)
    assert "A zoo name has the form data/model" in zoo(
        "export", "digits/sdnet20-at", "b c", "-o", "x", code=2
    )
    assert not (tmp_path / "x").exists()


@pytest.mark.parametrize(
    ("given", "warned"), [((), True), (("--float32",), False), (("--accuracy", "0.3"), False)]
)
def test_export_warns_where_the_stated_accuracy_is_of_unrounded_weights(
    given: tuple[str, ...], warned: bool, run: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    with pytest.raises(SystemExit):
        main(["zoo", "export", str(run), "tiny/x", "-o", str(tmp_path / "x.safetensors"), *given])
    assert ("whose weights are not rounded to float16" in capsys.readouterr().err) == warned


def test_export_warns_of_no_accuracy_that_is_not_stated(
    run: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    save_model(load_model(run), tmp_path / "unmeasured.safetensors")
    with pytest.raises(SystemExit):
        main(
            [
                "zoo",
                "export",
                str(tmp_path / "unmeasured.safetensors"),
                "tiny/x",
                "-o",
                str(tmp_path / "x.safetensors"),
            ]
        )
    assert capsys.readouterr().err == ""


def test_export_warns_of_a_name_with_other_data(
    run: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    with pytest.raises(SystemExit):
        main(["zoo", "export", str(run), "cifar10/x", "-o", str(tmp_path / "x.safetensors")])
    assert "Warning: 'cifar10/x' says cifar10, but" in capsys.readouterr().err


def test_fetch_copies_a_path_and_checks_it(zoo: Shell, run: Path) -> None:
    row = zoo.json("fetch", run / "last.safetensors")
    assert Path(row["path"]).read_bytes() == (run / "last.safetensors").read_bytes()
    zoo("fetch", run / "last.safetensors", "--sha256", "00" * 32, code=1)
    assert "Unknown zoo model" in zoo("fetch", "tiny/none", code=2)
    for source in (run / "last.safetensors", "https://example.org/my.safetensors"):
        assert f"'{source}' names none. Leave it out." in zoo("fetch", source, "--from", run, code=2)


def test_a_place_that_nothing_was_fetched_from_is_said(
    zoo: Shell, run: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    from robustbench_sdnet.zoo.shelf import index

    weights = (run / "last.safetensors").read_bytes()
    (tmp_path / "far.safetensors").write_bytes(weights)
    sha256 = hashlib.sha256(weights).hexdigest()
    told = {"name": "tiny/far", "arch": "sdnet20", "data": "tiny", "recipe": "smoke", "accuracy": 0.5}
    far = index.Entry(**told, sha256=sha256, source="weights/far.safetensors")
    monkeypatch.setattr(index, "entries", lambda *_: (far,))
    said = []
    for damage in (False, False, True):
        if damage:
            index.cached_path(far).write_bytes(b"damaged")
        with pytest.raises(SystemExit, match="0"):
            main(["zoo", "fetch", "tiny/far", "--from", str(tmp_path)])
        said.append("nothing was read from" in capsys.readouterr().err)
    assert said == [False, True, False]


def test_info_of_a_model_that_is_not_here_shows_the_index(
    zoo: Shell, monkeypatch: pytest.MonkeyPatch
) -> None:
    from robustbench_sdnet.zoo.shelf import index

    far = index.Entry(
        name="tiny/far",
        arch="sdnet20",
        data="tiny",
        recipe="smoke",
        accuracy=0.5,
        sha256="0" * 64,
        source="weights/x",
    )
    monkeypatch.setattr(index, "entries", lambda *_: (far,))
    monkeypatch.setattr("robustbench_sdnet.zoo.names.entries", lambda *_: (far,))
    monkeypatch.setattr("robustbench_sdnet.zoo.names.entry", lambda *_: far)
    row = zoo.json("info", "tiny/far")
    assert (row["local"], row["accuracy"]) == (False, 0.5)
    assert "fetch" in zoo("list")
    with pytest.raises(InputError, match=r"not on this machine yet. Run: sdnet-bench zoo fetch tiny/far"):
        load_model("tiny/far")
