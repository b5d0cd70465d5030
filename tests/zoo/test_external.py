"""Other people's models, with packages that are there and stand-ins for those that are not."""

from __future__ import annotations

import json
import sys
import warnings
from pathlib import Path
from types import SimpleNamespace
from urllib.error import URLError

import pytest
import torch
from torch import Tensor, nn

from robustbench_sdnet.errors import CheckpointError, InputError, ModelError
from robustbench_sdnet.inside.way import features
from robustbench_sdnet.zoo import (
    build_model,
    check_input,
    describe_model,
    has_lambda,
    load_model,
    residuals,
    save_model,
)
from robustbench_sdnet.zoo.names import check_source
from robustbench_sdnet.zoo.nets.sdnet import Classifier
from robustbench_sdnet.zoo.others.external import parse_normalisation
from robustbench_sdnet.zoo.others.guard import External
from robustbench_sdnet.zoo.others.sources import METADATA

MODULE = """
import torch
from torch import nn
from robustbench_sdnet.zoo import build_model

class Normalize(nn.Module):
    mean, std = (0.5, 0.5, 0.5), (0.25, 0.25, 0.25)
    def forward(self, x):
        return (x - 0.5) / 0.25

class Mean(nn.Module):
    def __init__(self, scale=1.0):
        super().__init__()
        self.scale = nn.Parameter(torch.tensor(scale))
    def forward(self, x):
        return self.scale * x.mean((2, 3))

class Wrapped(nn.Module):
    def __init__(self, kind):
        super().__init__()
        self.inner, self.kind = Mean(), kind
    def forward(self, x):
        from types import SimpleNamespace
        out = self.inner(x)
        beside = x.flatten(1)
        found = {
            "logits": SimpleNamespace(logits=out), "tuple": (out, None), "flat": out.sum(1), "none": None,
            "last": (x, out), "several": (beside, out),
        }
        return found[self.kind]

plain = lambda: Mean()
plain3 = lambda: Mean(3.0)
inside = lambda: nn.Sequential(Normalize(), Mean())
ready = Mean()
as_logits = lambda: Wrapped("logits")
as_tuple = lambda: Wrapped("tuple")
as_last = lambda: Wrapped("last")
as_several = lambda: Wrapped("several")
as_flat = lambda: Wrapped("flat")
as_none = lambda: Wrapped("none")
ours = lambda: build_model("sdnet20", width=4, input_size=8)
around = lambda: nn.Sequential(build_model("sdnet20", width=4, input_size=8))
number = lambda: 3

class Theirs(Mean):
    # Attributes that ours have too, each of another kind.
    arch, card, lam, num_classes = "mynet", {"name": "mine"}, "0.1", None
    def __init__(self, arch="resnet20"):
        super().__init__()
        from types import SimpleNamespace
        from torchvision import transforms
        self.arch, self.options = arch, SimpleNamespace(depth=20)
        self.normalise = transforms.Normalize([0.0] * 3, [1.0] * 3)
        self.fingerprint = self.path = self.data = self.train_hash = 3
    def forward(self, x):
        return super().forward(self.normalise(x)), "features"
theirs = lambda: Theirs()

class Child(type(build_model("sdnet20", width=4, input_size=8))):
    def forward(self, x):
        return super().forward(x) + 1, "features"
child = lambda: Child("sdnet20", build_model("sdnet20", width=4, input_size=8).options)
def broken():
    raise RuntimeError("two\\nlines")
"""


@pytest.fixture(autouse=True)
def their_models(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A module of a user, in the working folder."""
    (tmp_path / "their_models.py").write_text(MODULE)
    monkeypatch.chdir(tmp_path)
    monkeypatch.delitem(sys.modules, "their_models", raising=False)


def pictures(n: int = 4) -> Tensor:
    return torch.rand((n, 3, 8, 8), generator=torch.Generator().manual_seed(2))


def test_of_several_matrices_none_is_taken_for_the_logits() -> None:
    with pytest.raises(
        ModelError, match=r"returns \(\d, 192\) and \(\d, 3\), and which are the logits cannot be"
    ):
        load_model("their_models:as_several")(pictures())


@pytest.mark.parametrize("name", ["plain", "ready", "as_logits", "as_tuple", "as_last"])
def test_a_callable_takes_images_in_0_1(name: str) -> None:
    check_source(f"their_models:{name}")
    model = load_model(f"their_models:{name}")
    torch.testing.assert_close(model(pictures()), pictures().mean((2, 3)))
    assert not model.training
    assert not any(p.requires_grad for p in model.parameters())


def test_a_model_takes_images_in_the_type_that_its_weights_were_given() -> None:
    model = External(nn.Sequential(nn.Flatten(), nn.Linear(12, 3)), "own")
    for kind in (torch.float64, torch.float32):
        logits = model.to(kind)(torch.rand(2, 3, 2, 2))
        assert logits.dtype == kind


def test_a_model_that_changes_its_images_in_place_changes_its_own_copy() -> None:
    class InPlace(nn.Module):
        def forward(self, images: Tensor) -> Tensor:
            return images.sub_(0.5).mean((2, 3))

    images = torch.rand(2, 3, 4, 4)
    before, wanted = images.clone(), images.mean((2, 3)) - 0.5
    asked = images.requires_grad_()
    logits = External(InPlace(), "own")(asked)
    (gradient,) = torch.autograd.grad(logits.sum(), asked)
    assert torch.equal(images, before)
    assert torch.allclose(logits, wanted)
    assert torch.allclose(gradient, torch.full_like(before, 1 / 16))


def test_a_callable_that_builds_one_of_ours_keeps_its_lambda() -> None:
    card = describe_model("their_models:ours")
    assert (card.has_lambda, card.lam) == (True, 0.1)
    assert card.mean == pytest.approx((0.4914, 0.4822, 0.4465))
    assert has_lambda(load_model("their_models:ours"))


def test_a_model_with_attributes_like_ours_is_taken_for_what_it_is() -> None:
    torch.testing.assert_close(load_model("their_models:theirs")(pictures()), pictures().mean((2, 3)))
    card = describe_model("their_models:theirs", (8, 8))
    assert (card.arch, card.mean, card.has_lambda) == ("their_models:theirs", (), False)
    assert set(card.options) == {"code"}
    with pytest.raises(InputError, match="made by build_model can be saved, not a External"):
        save_model(load_model("their_models:theirs"), "x.safetensors")


def test_a_model_that_changes_one_of_ours_keeps_its_lambda_and_its_own_forward() -> None:
    card = describe_model("their_models:child", (8, 8))
    assert (card.has_lambda, card.lam, len(card.fingerprint)) == (True, 0.1, 2 + 4 * 10)
    assert load_model("their_models:child")(pictures()).shape == (4, 10)


def test_a_model_around_one_of_ours_has_its_residuals_and_its_depths() -> None:
    """Looking at a layer ends the pass there, which no guard around the model may take for a failure."""
    torch.manual_seed(0)
    model = load_model("their_models:around")
    (inner,) = (part for part in model.modules() if isinstance(part, Classifier))
    torch.testing.assert_close(residuals(model, pictures()), residuals(inner, pictures()))
    (seen,) = features(model, pictures(), 1)
    torch.testing.assert_close(seen, features(inner, pictures(), 1)[0])


def test_the_card_of_an_external_model_hashes_its_weights() -> None:
    first, same, other = (describe_model(f"their_models:{name}") for name in ("plain", "plain", "plain3"))
    assert first.weights_hash == same.weights_hash != other.weights_hash
    assert (first.name, first.data, first.has_lambda) == ("their_models:plain", "", False)


def test_a_stated_normalisation_is_applied_and_told() -> None:
    source = "their_models:plain?mean=0.5,0.5,0.5&std=0.25,0.25,0.25"
    torch.testing.assert_close(load_model(source)(pictures()), load_model("their_models:inside")(pictures()))
    assert describe_model(source).std == (0.25, 0.25, 0.25)


def test_a_second_normalisation_is_caught() -> None:
    source = "their_models:inside?mean=0.5&std=0.25"
    with pytest.raises(InputError, match="normalises its input itself, with mean"):
        load_model(source)


@pytest.mark.parametrize(
    ("suffix", "message"),
    [
        ("mean=0.5", "both of them"),
        ("mean=0.5&std=1&gamma=2", "both of them"),
        ("mean=0&std=1&std=2", "both of them"),
        ("mean=a&std=1", "mean and std must be numbers"),
        ("mean=0,0&std=1", "one or three finite numbers"),
        ("mean=nan&std=1", "one or three finite numbers"),
        ("mean=0&std=0", "std above 0"),
    ],
)
def test_a_malformed_normalisation_is_refused(suffix: str, message: str) -> None:
    with pytest.raises(InputError, match=message):
        parse_normalisation(f"timm:x?{suffix}")


@pytest.mark.parametrize(
    ("images", "message"),
    [(255 * pictures(), "Divide by 255"), (4 * pictures() - 2, "Leave the normalisation to the model")],
)
def test_images_outside_0_1_are_caught(images: Tensor, message: str) -> None:
    with pytest.raises(ModelError, match=message):
        load_model("their_models:plain")(images)


@pytest.mark.parametrize("name", ["as_flat", "as_none"])
def test_what_is_no_logits_is_caught(name: str) -> None:
    with pytest.raises(ModelError, match="must return logits"):
        load_model(f"their_models:{name}")(pictures())


@pytest.mark.parametrize(
    ("source", "error", "message"),
    [
        ("their_models:none", InputError, "Unknown function of their_models 'none'. Did you mean 'as_none'"),
        ("their_models.py:ready", InputError, "Write their_models:ready."),
        ("their_models.sub:none", InputError, "no module named"),
        ("not_there_at_all:make", InputError, "no Python package 'not_there_at_all'"),
        ("their_models:number", InputError, "must return a torch.nn.Module, got int"),
        ("their_models:broken", ModelError, "raised RuntimeError while it was being loaded: two lines"),
        ("missing.pt", InputError, "No model file 'missing.pt'"),
        ("torchvision:resnet19", InputError, "Did you mean 'resnet18'"),
    ],
)
def test_what_cannot_be_loaded_is_one_line(source: str, error: type[Exception], message: str) -> None:
    with pytest.raises(error, match=message) as caught:
        load_model(source)
    assert "\n" not in str(caught.value)


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
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        if kind == "script":
            module = torch.jit.script(Scripted())
            torch.jit.save(module, bare)
            torch.jit.save(module, told, _extra_files=extra)
        else:
            program = torch.export.export(Scripted(), (pictures(),))
            torch.export.save(program, bare.with_suffix(".pt2"))
            torch.export.save(program, told, extra_files=extra)
            bare = bare.with_suffix(".pt2")
    with pytest.raises(InputError, match="does not say how it normalises"):
        load_model(bare)
    as_is = load_model(f"{bare}?mean=0&std=1")
    torch.testing.assert_close(as_is(pictures()), pictures().mean((2, 3)))
    torch.testing.assert_close(load_model(told)(pictures()), (pictures().mean((2, 3)) - 0.5) / 0.25)


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
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        extra = {METADATA: json.dumps(stated)}
        torch.jit.save(torch.jit.script(Scripted()), tmp_path / "wrong.pt", _extra_files=extra)
    with pytest.raises(InputError, match=message):
        load_model(tmp_path / "wrong.pt")


@pytest.mark.parametrize(
    ("content", "message"), [(b"no zip", "no TorchScript"), (None, "is a pickled checkpoint")]
)
def test_a_file_that_is_no_model_is_told(content: bytes | None, message: str, tmp_path: Path) -> None:
    path = tmp_path / "x.pt"
    torch.save({"a": 1}, path)
    if content:
        path.write_bytes(content)
    with pytest.raises(CheckpointError, match=message):
        load_model(path)


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
        model.pretrained_cfg = {"mean": (0.5, 0.5, 0.5), "std": (0.25, 0.25, 0.25)}  # type: ignore[assignment]
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
        made.pretrained_cfg = {"mean": (0.5, 0.5, 0.5), "std": (0.25, 0.25, 0.25)}  # type: ignore[assignment]
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


class Scaled(nn.Module):
    """Multiplies its input."""

    def __init__(self, factor: float) -> None:
        super().__init__()
        self.factor = factor

    def forward(self, images: Tensor) -> Tensor:
        return images * self.factor


def test_the_input_is_judged_by_the_first_batch_norm() -> None:
    torch.manual_seed(0)
    images = (0.47 + 0.2 * torch.randn(64, 3, 8, 8)).clamp(0, 1)
    model = build_model("resnet20", width=4, input_size=8)
    with torch.no_grad():
        for _ in range(60):  # until the running statistics are those of these images
            model.train()(images)
    assert check_input(model.eval(), images) is None
    bare = build_model("resnet20", width=4, input_size=8, mean=(0, 0, 0), std=(1, 1, 1)).eval()
    bare.load_state_dict({k: v for k, v in model.state_dict().items() if "normalise" not in k}, strict=False)
    for lacking, remedy in (
        (
            bare,
            "Import it again with --mean 0.4914,0.4822,0.4465 --std 0.2023,0.1994,0.201, into another --output.",
        ),
        (nn.Sequential(bare), "Add ?mean=0.4914,0.4822,0.4465&std=0.2023,0.1994,0.201 to the model's name."),
    ):
        found = str(check_input(lacking, images))
        assert "the model lacks its normalisation" in found
        assert found.endswith(remedy)
    twice = nn.Sequential(model.normalise, model).eval()
    assert "it normalises twice). Remove one of the two" in str(check_input(twice, images))
    plain = build_model("resnet20", width=4, input_size=8, mean=(0, 0, 0), std=(1, 1, 1))
    with torch.no_grad():
        for _ in range(60):
            plain.train()(images)
    normalised = build_model("resnet20", width=4, input_size=8).eval()
    normalised.load_state_dict(
        {k: v for k, v in plain.state_dict().items() if "normalise" not in k}, strict=False
    )
    said = str(check_input(normalised, images))
    assert said.endswith("Import it again with --mean 0,0,0 --std 1,1,1, into another --output.")
    scaled = nn.Sequential(Scaled(1 / 255), model).eval()
    assert str(check_input(scaled, images)).endswith("Add ?mean=0&std=0.00392157 to the model's name.")
    assert check_input(External(scaled, "bytes", (0.0,), (0.00392157,)), images) is None
    wrong = External(bare, "wrong", (0.0,), (2.0,))
    assert str(check_input(wrong, images)).endswith("Check the mean and std that were given.")
    assert check_input(nn.Flatten(), images) is None


class Unreached(nn.Module):
    """What lies behind the first BatchNorm layer, or beside the way."""

    def __init__(self) -> None:
        super().__init__()
        self.norm = nn.BatchNorm2d(3)

    def forward(self, images: Tensor) -> Tensor:
        raise AssertionError("it ran to the end")


def test_the_input_is_judged_without_running_the_whole_model() -> None:
    assert check_input(nn.Sequential(nn.BatchNorm2d(3), Unreached()).eval(), pictures(40)) is not None
    aside = nn.Flatten()
    aside.norm = nn.BatchNorm2d(3)  # never called
    assert check_input(aside.eval(), pictures(40)) is None


def test_a_function_is_identified_by_its_code_and_the_options_of_what_it_builds(
    tmp_path, monkeypatch
) -> None:
    monkeypatch.chdir(tmp_path)
    cards = []
    for steps in (2, 4):
        name = f"built_{steps}"
        (tmp_path / f"{name}.py").write_text(
            "import torch\nfrom robustbench_sdnet import build_model\n"
            "def make():\n    torch.manual_seed(0)\n"
            f"    return build_model('sdnet20', width=4, num_classes=3, input_size=8, n_steps={steps})\n"
        )
        cards.append(describe_model(f"{name}:make"))
    assert cards[0].weights_hash == cards[1].weights_hash
    assert [card.options["n_steps"] for card in cards] == [2, 4]
    assert cards[0].options["code"] != cards[1].options["code"]
