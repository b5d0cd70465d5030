"""Other people's models, from Python functions of theirs."""

from __future__ import annotations

import sys
from pathlib import Path

import pytest
import torch
from torch import Tensor

from robustbench_sdnet.errors import InputError, ModelError
from robustbench_sdnet.inside.way import features
from robustbench_sdnet.zoo import (
    describe_model,
    has_lambda,
    load_model,
    residuals,
    save_model,
)
from robustbench_sdnet.zoo.names import check_source
from robustbench_sdnet.zoo.nets.sdnet import Classifier
from robustbench_sdnet.zoo.others.external import parse_normalisation

MODULE = """
import torch
from torch import nn
from robustbench_sdnet.lambdas import Fixed, LabelFree, WithPolicy
from robustbench_sdnet.zoo import build_model, residuals, use_lambda

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
            "last": (x, out), "several": (beside, out), "mapping": {"features": x, "logits": out},
        }
        return found[self.kind]

plain = lambda: Mean()
plain3 = lambda: Mean(3.0)
inside = lambda: nn.Sequential(Normalize(), Mean())
ready = Mean()
as_logits = lambda: Wrapped("logits")
as_tuple = lambda: Wrapped("tuple")
as_last = lambda: Wrapped("last")
as_mapping = lambda: Wrapped("mapping")
def without_values():
    with torch.device("meta"):
        return Mean()
def exported():
    batch = ({0: torch.export.Dim("n")},)
    return torch.export.export(Mean(), (torch.rand(2, 3, 8, 8),), dynamic_shapes=batch).module()
holds_exported = lambda: nn.Sequential(nn.Dropout(0.9), exported())
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

class Chooses(nn.Module):
    def __init__(self):
        super().__init__()
        self.inner = build_model("sdnet20", width=4, input_size=8)
    def forward(self, x):
        with use_lambda(self.inner, 0.1 + x.flatten(1).std(1)):
            return self.inner(x)
chooses = lambda: Chooses()

class Looks(Chooses):
    def forward(self, x):
        with use_lambda(self.inner, residuals(self.inner, x) / x.shape[1:].numel()):
            return self.inner(x)
looks = lambda: nn.Sequential(Looks())
policy = lambda: WithPolicy(build_model("sdnet20", width=4, input_size=8), Fixed(0.5))
discrepancy = lambda: WithPolicy(build_model("sdnet20", width=4, input_size=8), LabelFree("discrepancy"))
entropy = lambda: WithPolicy(build_model("sdnet20", width=4, input_size=8), LabelFree("entropy"))
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


@pytest.mark.parametrize(
    "name",
    [
        "plain",
        "ready",
        "as_logits",
        "as_tuple",
        "as_last",
        "as_mapping",
        "exported",  # whose own `eval` raises
        "holds_exported",
    ],
)
def test_a_callable_takes_images_in_0_1(name: str) -> None:
    check_source(f"their_models:{name}")
    model = load_model(f"their_models:{name}")
    torch.testing.assert_close(model(pictures()), pictures().mean((2, 3)))
    assert not model.training
    assert not any(p.requires_grad for p in model.parameters())


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
    with pytest.raises(InputError, match=r"can be saved, not a External\. Save its state_dict, and name"):
        save_model(load_model("their_models:theirs"), "x.safetensors")


def test_a_model_that_changes_one_of_ours_keeps_its_lambda_and_its_own_forward() -> None:
    card = describe_model("their_models:child", (8, 8))
    assert (card.has_lambda, card.lam, len(card.fingerprint)) == (True, 0.1, 2 + 4 * 10)
    assert load_model("their_models:child")(pictures()).shape == (4, 10)


@pytest.mark.parametrize("name", ["chooses", "looks", "policy", "discrepancy", "entropy"])
def test_a_model_that_chooses_its_lambda_has_none_that_is_set_from_outside(name: str) -> None:
    """Its numbers would stand in a row of another lambda."""
    card = describe_model(f"their_models:{name}", (8, 8))
    assert (card.has_lambda, card.lam) == (False, None)
    assert describe_model("their_models:around", (8, 8)).has_lambda


def test_a_model_that_looks_at_its_own_residuals_has_those() -> None:
    model = load_model("their_models:looks")
    (inner,) = (part for part in model.modules() if isinstance(part, Classifier))
    torch.testing.assert_close(residuals(model, pictures()), residuals(inner, pictures()))


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
        ("their_models.py", InputError, "Write their_models:function."),
        ("my/models/net.py:make", InputError, "Write net:make with PYTHONPATH=my/models."),
        ("their_models:without_values", ModelError, "weights without values, as on the meta device. Load a"),
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
