"""Another person's model is its weights, its code and its answers: stored numbers never outlive a change of one."""

from __future__ import annotations

import importlib
import sys
import warnings
from collections.abc import Callable
from dataclasses import replace
from importlib import metadata
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
import torch
from torch import nn

from robustbench_sdnet import evaluate, records as stored
from robustbench_sdnet.answers.records import records
from robustbench_sdnet.errors import InputError, ModelError
from robustbench_sdnet.planning.identity import model_spec
from robustbench_sdnet.running import worker
from robustbench_sdnet.specs import ModelSpec
from robustbench_sdnet.zoo import build_model, describe_model, load_model, save_model
from robustbench_sdnet.zoo.files.weights import weights_hash
from robustbench_sdnet.zoo.others.code import _distributions, code_hash
from robustbench_sdnet.zoo.others.fingerprint import check_unchanged, fingerprint, repeatable
from tests.net_files import write_script

# The mean brightness of a channel tells the classes of `tiny_npz` apart; `post` decides what is made of it.
PACKAGE = {
    "pk/__init__.py": "",
    "pk/zoo.py": """
from pathlib import Path
import torch
from torch import nn
from . import helper
class Mean(nn.Module):
    def forward(self, x):
        return helper.post(x.mean((2, 3)))
class Lazy(nn.Module):
    def forward(self, x):
        from .deep import last
        return last.post(x.mean((2, 3)))
class Dynamic(nn.Module):
    def forward(self, x):
        import importlib
        return importlib.import_module("pk.helper").post(x.mean((2, 3)))
class Random(nn.Module):
    def forward(self, x):
        return x.mean((2, 3)) + 0.01 * torch.randn(3)
class Counting(nn.Module):
    def __init__(self):
        super().__init__()
        self.register_buffer("calls", torch.zeros(1))
    def forward(self, x):
        self.calls += 1
        return x.mean((2, 3)) + self.calls * torch.randn(3)
class Config(nn.Module):
    def forward(self, x):
        return x.mean((2, 3)).roll(int(Path("shift.txt").read_text()), 1)
class Far(nn.Module):
    def forward(self, x):
        if len(x) > 1000:
            from .far.deeper import last
            return last.post(x.mean((2, 3)))
        return x.mean((2, 3))
class Old:
    @property
    def __class__(self):
        raise FutureWarning("deprecated")
old = Old()
class Stored(Random):
    def __init__(self):
        super().__init__()
        self.register_buffer("bias", torch.load("weights.pt"))
    def forward(self, x):
        return super().forward(x) + self.bias
class CountedToo(Stored):
    def __init__(self):
        super().__init__()
        self.register_buffer("calls", torch.zeros(1))
    def forward(self, x):
        self.calls += 1
        return super().forward(x)
stored, counted_too = Stored, CountedToo
make, lazy, dynamic, random, config, far = Mean, Lazy, Dynamic, Random, Config, Far
counting = Counting
counted = Counting().eval()
""",
    "pk/helper.py": "def post(z):\n    return z.roll(0, 1)\n",
    "pk/deep/__init__.py": "",
    "pk/deep/last.py": "from ..helper import post\n",
    "pk/far/deeper/last.py": "def post(z):\n    return z\n",
    "pk/unrelated.py": "",
    "shift.txt": "0",
}


@pytest.fixture(autouse=True)
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A package of a user in the working folder."""
    for name, text in PACKAGE.items():
        (tmp_path / name).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / name).write_text(text)
    monkeypatch.chdir(tmp_path)
    monkeypatch.syspath_prepend(tmp_path)
    monkeypatch.setattr(sys, "dont_write_bytecode", True)
    forget()
    return tmp_path


def forget() -> None:
    """What a new process would not have: the user's modules."""
    for name in [name for name in sys.modules if name.partition(".")[0] in ("pk", "part")]:
        del sys.modules[name]
    importlib.invalidate_caches()


def loaded(spec: ModelSpec) -> nn.Module:
    return worker.loaded(spec, (8, 8))


def code(source: str) -> str:
    forget()
    found: str = describe_model(source, (8, 8)).options["code"]
    return found


@pytest.mark.parametrize("name", ["make", "lazy", "dynamic"])
def test_a_helper_counts_wherever_it_is_imported(name: str, folder: Path) -> None:
    before = code(f"pk.zoo:{name}")
    assert code(f"pk.zoo:{name}") == before
    (folder / "pk/unrelated.py").write_text("print('hello')\n")
    assert code(f"pk.zoo:{name}") == before
    (folder / "pk/helper.py").write_text("def post(z):\n    return z.roll(1, 1)\n")
    assert code(f"pk.zoo:{name}") != before


def test_a_helper_in_folders_without_init_counts_before_it_is_imported(folder: Path) -> None:
    before = code("pk.zoo:far")
    assert "pk.far" not in sys.modules
    (folder / "pk/far/deeper/last.py").write_text("def post(z):\n    return -z\n")
    assert code("pk.zoo:far") != before


def test_installed_packages_are_known_alike_on_every_python() -> None:
    """Python 3.10's own list lacks those without top_level.txt, such as torch: their sources were read in its place."""
    found = _distributions()
    assert {"torch", "numpy", "safetensors", "sklearn", "yaml", "typing_extensions"} <= found.keys()
    assert found["sklearn"] == ["scikit-learn"]
    if sys.version_info >= (3, 12):
        theirs = metadata.packages_distributions()
        assert {top: set(names) for top, names in theirs.items()} == {t: set(n) for t, n in found.items()}


def test_what_a_process_imported_before_does_not_count(folder: Path) -> None:
    before = code("pk.zoo:make")
    forget()
    importlib.import_module("pk.unrelated")
    importlib.import_module("pk.deep.last")
    assert describe_model("pk.zoo:make", (8, 8)).options["code"] == before


def test_a_module_edited_while_it_is_loaded_keeps_the_code_that_runs(folder: Path) -> None:
    before = code("pk.zoo:make")
    (folder / "pk/helper.py").write_text("def post(z):\n    return z.roll(1, 1)\n")
    assert describe_model("pk.zoo:make", (8, 8)).options["code"] == before


def test_versions_of_installed_packages_count(monkeypatch: pytest.MonkeyPatch) -> None:
    before = code("pk.zoo:make")
    monkeypatch.setattr("robustbench_sdnet.zoo.others.code._versions", lambda top: {top: "0.0"})
    assert code("pk.zoo:make") != before


def measured(
    source: str, data: Path, store: str = "sqlite:///answers.db", *, anew: bool = True
) -> pd.DataFrame:
    """Clean accuracy by name of every model that the store then holds, as a new process measures it."""
    if anew:
        forget()
    evaluate([source], f"npz:{data}", corruptions="gaussian_noise", severities=[1], store=store, device="cpu")
    table = stored(store)
    return table[table["kind"] == "clean"].set_index("model")["accuracy"]


@pytest.mark.parametrize("name", ["make", "lazy"])
def test_answers_of_changed_code_are_asked_anew_and_named(name: str, folder: Path, tiny_npz: Path) -> None:
    source = f"pk.zoo:{name}"
    assert measured(source, tiny_npz).to_dict() == {source: 1.0}
    (folder / "pk/helper.py").write_text("def post(z):\n    return z.roll(1, 1)\n")
    with pytest.warns(
        UserWarning, match=rf"{source}: its code or options changed .* called {source}@\w{{8}}; new answers"
    ):
        found = measured(source, tiny_npz)
    assert found[source] == 0.0
    assert sorted(found) == [0.0, 1.0]
    (folder / "pk/helper.py").write_text(PACKAGE["pk/helper.py"])
    with pytest.warns(UserWarning, match="changed"):
        again = measured(source, tiny_npz)
    assert again[source] == 1.0
    assert len(again) == 2
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        assert measured(source, tiny_npz).equals(again)


def test_a_module_that_was_edited_and_not_imported_again_is_named(folder: Path, tiny_npz: Path) -> None:
    before = measured("pk.zoo:make", tiny_npz)
    (folder / "pk/helper.py").write_text("def post(z):\n    return z.roll(1, 1)\n")
    edited = r"pk.zoo:make runs pk.helper as it was when Python imported it.* importlib.reload\(pk.helper\)"
    with pytest.warns(UserWarning, match=edited):
        assert measured("pk.zoo:make", tiny_npz, anew=False).equals(before)


def test_a_model_that_answers_otherwise_is_another_question(folder: Path, tiny_npz: Path) -> None:
    assert measured("pk.zoo:config", tiny_npz).to_dict() == {"pk.zoo:config": 1.0}
    (folder / "shift.txt").write_text("1")
    with pytest.warns(UserWarning, match="pk.zoo:config: what it answers changed"):
        found = measured("pk.zoo:config", tiny_npz)
    assert found["pk.zoo:config"] == 0.0
    assert len(found) == 2


def test_rounding_is_no_change(folder: Path, tiny_npz: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    measured("pk.zoo:make", tiny_npz)
    cells = {row["cell"] for row in records("sqlite:///answers.db")}
    monkeypatch.setattr(torch.Tensor, "mean", lambda x, *axes: torch.sum(x, *axes) / 64 * (1 + 1e-5))
    measured("pk.zoo:make", tiny_npz)
    assert {row["cell"] for row in records("sqlite:///answers.db")} == cells


def test_a_randomised_model_is_marked_and_has_no_fingerprint(tiny_npz: Path) -> None:
    forget()
    card = describe_model("pk.zoo:random", (8, 8))
    assert (card.options["randomised"], card.fingerprint) == (True, ())
    with pytest.warns(UserWarning, match="pk.zoo:random is randomised: two calls on the same images differ"):
        measured("pk.zoo:random", tiny_npz)


@pytest.mark.parametrize("seldom", [2, 6])
def test_draws_that_follow_no_seed_are_seen_though_they_seldom_differ(seldom: int) -> None:
    class Seldom(nn.Module):
        calls = 0

        def forward(self, images: torch.Tensor) -> torch.Tensor:
            self.calls += 1
            return images.mean((2, 3)) + (self.calls % seldom == 0)

    assert fingerprint(Seldom(), (8, 8)) == ((), True)
    assert not repeatable(Seldom(), (8, 8))
    assert repeatable(nn.Sequential(nn.Flatten(), nn.Dropout(), nn.Linear(192, 3)), (8, 8))


def test_the_mixture_of_many_logits_is_kept_by_which_stored_answers_are_asked() -> None:
    class Ramp(nn.Module):
        def forward(self, images: torch.Tensor) -> torch.Tensor:
            return torch.arange(100.0).repeat(len(images), 1)

    numbers, _ = fingerprint(Ramp(), (8, 8))
    assert numbers[:5] == pytest.approx((8, 8, 57.57138, -114.7517, -47.76824), rel=1e-6)


def test_the_fingerprint_is_the_logits_on_fixed_images() -> None:
    images = torch.from_numpy(np.random.default_rng(0).random((4, 3, 8, 8), dtype=np.float32))
    numbers, randomised = fingerprint(load_model("pk.zoo:make"), (8, 8))
    assert (numbers[:2], randomised) == ((8.0, 8.0), False)
    assert numbers[2:] == pytest.approx(images.mean((2, 3)).flatten().tolist(), rel=1e-6)
    many, _ = fingerprint(nn.Sequential(nn.Flatten(), nn.Linear(192, 1000)), (8, 8))
    assert len(many) == 2 + 4 * 16
    assert fingerprint(nn.Linear(7, 3), (8, 8)) == ((), False)


def test_a_model_loaded_elsewhere_with_other_code_is_refused(folder: Path) -> None:
    forget()
    spec = model_spec(describe_model("pk.zoo:config", (8, 8)))
    loaded(spec)
    (folder / "shift.txt").write_text("1")
    with pytest.raises(ModelError, match=r"pk\.zoo:config answers differently than when this run began"):
        loaded(spec)


def test_a_model_whose_weights_are_drawn_when_it_is_built_is_told_to_seed_them(folder: Path) -> None:
    drawn = nn.Sequential(nn.Flatten(), nn.Linear(192, 3))
    numbers, _ = fingerprint(drawn, (8, 8))
    spec = ModelSpec(name="own", source="own", arch="own", weights=weights_hash(drawn), fingerprint=numbers)
    check_unchanged(drawn, spec, lambda: drawn, (8, 8))
    with pytest.raises(
        ModelError, match=r"own has other weights than when this run began.*torch\.manual_seed"
    ):
        check_unchanged(other := nn.Sequential(nn.Flatten(), nn.Linear(192, 3)), spec, lambda: other, (8, 8))


@pytest.mark.parametrize("name", ["random", "counting", "counted"])
def test_a_randomised_model_is_not_told_by_what_its_calls_change(name: str, folder: Path) -> None:
    """Nor where it is one object, whichever part of a process asks for it."""
    forget()
    spec = model_spec(describe_model(f"pk.zoo:{name}", (8, 8)))
    assert not spec.fingerprint
    loaded(spec)


@pytest.mark.parametrize(("name", "told"), [("stored", True), ("counted_too", False)])
def test_a_randomised_model_whose_weights_were_replaced_is_refused(
    name: str, told: bool, folder: Path
) -> None:
    """Where its calls leave its weights alone, so that they tell."""
    torch.save(torch.ones(3), "weights.pt")
    spec = model_spec(describe_model(f"pk.zoo:{name}", (8, 8)))
    assert dict(spec.options)["randomised"]
    loaded(spec)
    torch.save(torch.zeros(3), "weights.pt")
    if told:
        with pytest.raises(ModelError, match=rf"pk\.zoo:{name} has other weights than when this run began"):
            loaded(spec)
    else:
        loaded(spec)


def test_a_model_of_ours_whose_file_was_written_anew_is_refused(folder: Path) -> None:
    """As by a training that goes on: it may be loaded hours after it was described."""
    torch.manual_seed(0)
    model = build_model("resnet20", width=4, num_classes=3, input_size=8)
    save_model(model, folder / "runs/own/last.safetensors", dtype=torch.float16)
    spec = model_spec(describe_model("runs/own"))
    loaded(spec)
    with torch.no_grad():
        model.linear.bias += 1
    save_model(model, folder / "runs/own/last.safetensors", dtype=torch.float16)
    with pytest.raises(
        ModelError, match=r"own has other weights or options than when this run began: its file was"
    ):
        loaded(spec)


def test_a_file_of_the_same_weights_and_other_options_is_refused_too(folder: Path) -> None:
    for steps in (2, 5):
        torch.manual_seed(0)
        model = build_model("sdnet20", width=4, num_classes=3, input_size=8, n_steps=steps)
        save_model(model, folder / "runs/own/last.safetensors")
        if steps == 2:
            spec = model_spec(describe_model("runs/own"))
            loaded(spec)
    assert describe_model("runs/own").weights_hash == spec.weights
    with pytest.raises(ModelError, match=r"own has other weights or options than when this run began"):
        loaded(spec)


class Rolled(nn.Module):
    """Tells the classes of `tiny_npz` apart, or takes one for the next."""

    def __init__(self, shift: int) -> None:
        super().__init__()
        self.shift = shift

    def forward(self, images: torch.Tensor) -> torch.Tensor:
        return images.mean((2, 3)).roll(self.shift, 1)


def scripted(shift: int, path: Path) -> None:
    write_script(Rolled(shift), path)


def exported(shift: int, path: Path) -> None:
    batch = {"images": {0: torch.export.Dim("n")}}
    program = torch.export.export(Rolled(shift), (torch.rand(2, 3, 8, 8),), dynamic_shapes=batch)
    torch.export.save(program, path)


@pytest.mark.parametrize(("write", "name"), [(scripted, "net.pt"), (exported, "net.pt2")])
def test_an_exported_file_of_equal_tensors_and_other_code_is_another_model(
    write: Callable[[int, Path], None], name: str, folder: Path, tiny_npz: Path
) -> None:
    source = f"{name}?mean=0&std=1"
    write(0, folder / name)
    assert measured(source, tiny_npz)[source] == 1.0
    write(1, folder / name)
    with pytest.warns(UserWarning, match="changed since answers were stored"):
        assert measured(source, tiny_npz)[source] == 0.0
    spec = model_spec(describe_model(source, (8, 8)))
    loaded(spec)
    write(0, folder / name)
    with pytest.raises(ModelError, match="is another file than when this run began: it was written anew"):
        loaded(replace(spec, fingerprint=()))


def test_a_model_of_a_notebook_is_one_line() -> None:
    with pytest.raises(InputError, match=r"is written in a notebook or script.* --model file:make"):
        describe_model("__main__:make")


def test_this_package_counts_by_its_versions_alone() -> None:
    model = build_model("sdnet20", width=4, input_size=8)
    assert code_hash(model, "robustbench_sdnet.zoo.nets.csc") == code_hash(model)


def test_models_built_here_have_the_identity_that_they_always_had() -> None:
    spec = ModelSpec(name="a", source="a", arch="sdnet20", weights="b", options=(("width", 4),))
    assert spec.identity() == {
        "arch": "sdnet20",
        "weights": "b",
        "options": {"width": 4},
        "mean": (),
        "std": (),
    }
