"""Other people's files and packages, with stand-ins for packages that are not there."""

from __future__ import annotations

import json
import sys
from pathlib import Path
from types import SimpleNamespace
from urllib.error import URLError

import pytest
import torch
from torch import Tensor, nn

from robustbench_sdnet.errors import CheckpointError, InputError, ModelError
from robustbench_sdnet.zoo import build_model, load_model, save_model
from robustbench_sdnet.zoo.names import check_source
from robustbench_sdnet.zoo.others.sources import METADATA
from tests.net_files import write_script


def pictures(n: int = 4) -> Tensor:
    return torch.rand((n, 3, 8, 8), generator=torch.Generator().manual_seed(2))


@pytest.mark.parametrize(
    ("source", "command"),
    [
        ("timm:resnet18", r"pip install 'robustbench-sdnet\[timm\]'"),
        ("robustbench:Carmon2019Unlabeled", "pip install robustbench"),
        ("hub:someone/model", r"pip install 'robustbench-sdnet\[hub\]'"),
    ],
)
def test_a_missing_package_is_named_with_its_command(
    source: str, command: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("importlib.util.find_spec", lambda name: None)
    with pytest.raises(InputError, match=f"Install it: {command}"):
        check_source(source)


class Scripted(nn.Module):
    """What TorchScript and export can take."""

    def forward(self, images: Tensor) -> Tensor:
        return images.mean((2, 3))


@pytest.mark.parametrize("kind", ["script", "export"])
def test_an_exported_file_needs_its_normalisation(kind: str, tmp_path: Path) -> None:
    bare, told = tmp_path / "bare.pt", tmp_path / "told.pt2"
    extra = {METADATA: json.dumps({"mean": [0.5] * 3, "std": [0.25] * 3})}
    if kind == "script":
        write_script(Scripted(), bare)
        write_script(Scripted(), told, extra)
    else:
        batch = ({0: torch.export.Dim("n")},)
        program = torch.export.export(Scripted(), (pictures(),), dynamic_shapes=batch)
        bare = bare.with_suffix(".pt2")
        torch.export.save(program, bare)
        torch.export.save(program, told, extra_files=extra)
    with pytest.raises(InputError, match=r"does not say how it normalises. Write '.*&std=a,b,c', in quotes"):
        load_model(bare)
    with pytest.raises(InputError, match="In a shell the name needs quotes"):  # which cut it at the &
        load_model(f"{bare}?mean=0")
    as_is = load_model(f"{bare}?mean=0&std=1")
    torch.testing.assert_close(as_is(pictures()), pictures().mean((2, 3)))
    torch.testing.assert_close(load_model(told)(pictures()), (pictures().mean((2, 3)) - 0.5) / 0.25)


def test_a_file_exported_for_one_batch_size_is_refused_with_what_to_write(tmp_path: Path) -> None:
    torch.export.save(torch.export.export(Scripted(), (pictures(2),)), tmp_path / "two.pt2")
    with pytest.raises(
        InputError, match=r"two.pt2' takes batches of exactly 2. Export it with dynamic_shapes="
    ):
        load_model(tmp_path / "two.pt2?mean=0&std=1")


@pytest.mark.parametrize(
    ("stated", "message"),
    [
        ({"mean": [0.5] * 3}, r"normalisation\.json of '.*wrong\.pt': mean and std must be numbers"),
        ({"mean": "abc", "std": [1]}, "mean and std must be numbers"),
        ({"mean": [0.5] * 2, "std": [1] * 2}, "one or three finite numbers"),
        ({"mean": [0.5], "std": [0]}, "std above 0"),
    ],
)
def test_a_file_that_states_another_normalisation_is_told(
    stated: dict[str, object], message: str, tmp_path: Path
) -> None:
    write_script(Scripted(), tmp_path / "wrong.pt", {METADATA: json.dumps(stated)})
    with pytest.raises(InputError, match=message):
        load_model(tmp_path / "wrong.pt")


def test_a_file_that_is_no_model_is_told(tmp_path: Path) -> None:
    path = tmp_path / "x.pt"
    path.write_bytes(b"no zip")
    with pytest.raises(CheckpointError, match="no TorchScript"):
        load_model(path)


@pytest.mark.parametrize("ending", [".pt", ".pth"])
def test_pickled_weights_are_refused_alike_whatever_their_ending(ending: str, tmp_path: Path) -> None:
    torch.save({"a": 1}, tmp_path / f"x{ending}")
    with pytest.raises(InputError, match="is a pickled checkpoint"):
        load_model(tmp_path / f"x{ending}")


def test_torchvision_weights_are_read_where_torch_keeps_them(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    from torchvision.models import ResNet18_Weights, resnet18

    torch.manual_seed(0)
    reference = resnet18().eval()
    monkeypatch.setenv("TORCH_HOME", str(tmp_path))
    file = tmp_path / "hub" / "checkpoints" / ResNet18_Weights.DEFAULT.url.rpartition("/")[2]
    file.parent.mkdir(parents=True)
    torch.save(reference.state_dict(), file)
    model = load_model("torchvision:resnet18")
    images = torch.rand(2, 3, 32, 32)
    mean, std = (torch.tensor(v).reshape(3, 1, 1) for v in ((0.485, 0.456, 0.406), (0.229, 0.224, 0.225)))
    torch.testing.assert_close(model(images), reference((images - mean) / std))


def test_without_a_network_the_place_of_the_weights_is_named(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def unreachable(*_: object, **__: object) -> None:
        raise URLError("Name or service not known")

    monkeypatch.setenv("TORCH_HOME", str(tmp_path))
    monkeypatch.setattr("torch.hub.urlopen", unreachable)
    with pytest.raises(ModelError, match=r"cannot be downloaded .*hub/checkpoints \(TORCH_HOME\)") as caught:
        load_model("torchvision:resnet18")
    assert "\n" not in str(caught.value)


def package(monkeypatch: pytest.MonkeyPatch, name: str, **content: object) -> None:
    """A stand-in for a package that is not installed."""
    monkeypatch.setitem(sys.modules, name, SimpleNamespace(**content, __spec__=object()))


def test_the_part_of_robustbench_that_torchattacks_ships_is_not_taken_for_it(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    (tmp_path / "robustbench").mkdir()
    (tmp_path / "robustbench" / "__init__.py").touch()
    (tmp_path / "robustbench" / "utils.py").write_text("import not_there_at_all")
    monkeypatch.syspath_prepend(tmp_path)
    for name in ("robustbench", "robustbench.utils"):
        monkeypatch.delitem(sys.modules, name, raising=False)
    with pytest.raises(
        InputError, match=r"needs the package robustbench \(.*\). Install it: pip install robustbench"
    ):
        load_model("robustbench:Carmon2019Unlabeled")


def test_timm_and_robustbench_are_asked_as_they_want(monkeypatch: pytest.MonkeyPatch) -> None:
    asked: list[object] = []

    # The parameters of the real functions: timm 1.0's, RobustBench 1.1's, huggingface_hub's, each cut short.
    def create_model(
        model_name: str, pretrained: bool = False, pretrained_cfg: object = None, **kwargs: object
    ) -> nn.Module:
        asked.append((model_name, pretrained))
        model = Scripted()
        model.pretrained_cfg = {"mean": (0.5, 0.5, 0.5), "std": (0.25, 0.25, 0.25)}
        return model

    def of_robustbench(
        model_name: str,
        model_dir: str = "./models",
        dataset: str = "cifar10",
        threat_model: str = "Linf",
        custom_preprocessing: object = None,
    ) -> nn.Module:
        asked.append((model_name, dataset, threat_model))
        return Scripted()

    package(monkeypatch, "timm", create_model=create_model)
    package(monkeypatch, "robustbench")
    package(monkeypatch, "robustbench.utils", load_model=of_robustbench)
    torch.testing.assert_close(
        load_model("timm:resnet18")(pictures()), (pictures().mean((2, 3)) - 0.5) / 0.25
    )
    for name in ("A", "cifar100/A", "imagenet/L2/A"):
        torch.testing.assert_close(load_model(f"robustbench:{name}")(pictures()), pictures().mean((2, 3)))
    places = [("A", "cifar10", "Linf"), ("A", "cifar100", "Linf"), ("A", "imagenet", "L2")]
    assert asked == [("resnet18", True), *places]


def test_the_hub_holds_our_checkpoints_timm_models_and_transformers(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    model = build_model("sdnet20", width=4, input_size=8).eval()
    save_model(model, tmp_path / "ours" / "model.safetensors")
    for name, config in (("timm", {"architecture": "resnet18"}), ("other", {"model_type": "vit"})):
        (tmp_path / name).mkdir()
        (tmp_path / name / "config.json").write_text(json.dumps(config))

    def listed(repo_id: str, *, revision: str | None = None, repo_type: str | None = None) -> list[str]:
        return [path.name for path in (tmp_path / repo_id.partition("/")[2]).iterdir()]

    def download(repo_id: str, filename: str, *, subfolder: str | None = None) -> str:
        return str(tmp_path / repo_id.partition("/")[2] / filename)

    def create_model(model_name: str, pretrained: bool = False, **kwargs: object) -> nn.Module:
        assert (model_name, pretrained) == ("hf-hub:someone/timm", True)
        made = Scripted()
        made.pretrained_cfg = {"mean": (0.5, 0.5, 0.5), "std": (0.25, 0.25, 0.25)}
        return made

    processor = SimpleNamespace(image_mean=[0.5] * 3, image_std=[0.25] * 3)
    package(monkeypatch, "huggingface_hub", list_repo_files=listed, hf_hub_download=download)
    package(monkeypatch, "timm", create_model=create_model)
    package(
        monkeypatch,
        "transformers",
        AutoImageProcessor=SimpleNamespace(from_pretrained=lambda _: processor),
        AutoModelForImageClassification=SimpleNamespace(from_pretrained=lambda _: Scripted()),
    )
    assert torch.equal(load_model("hub:someone/ours")(pictures()), model(pictures()))
    expected = (pictures().mean((2, 3)) - 0.5) / 0.25
    for name in ("timm", "other"):
        torch.testing.assert_close(load_model(f"hub:someone/{name}")(pictures()), expected)
