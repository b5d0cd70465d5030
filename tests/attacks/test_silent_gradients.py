"""An attack that gets no gradient says so, and inference mode around it changes no number."""

from __future__ import annotations

import copy
import json
import shlex

import pytest
import torch
from attack_networks import Linear, linear_problem
from click.testing import CliRunner
from torch import nn

import robustbench_sdnet as rs
from robustbench_sdnet import attacks
from robustbench_sdnet.answers.trust import Finding, trust
from robustbench_sdnet.attacks.registry import ATTACKS, CHAINS
from robustbench_sdnet.diagnostics import diagnose
from robustbench_sdnet.errors import GradientWarning, ModelError

ALONE = [  # attacks that ask for gradients, without chains
    name
    for name, info in ATTACKS.items()
    if name not in (*CHAINS, "noise", "square") and "linf" in info.norms
]
GRADIENT = (*ALONE, "lean", "autoattack")
LIBRARY = ("torchattacks:PGD", "torchattacks:APGD", "foolbox:LinfPGD", "foolbox:L2DeepFoolAttack")
EPS = 0.05


class Wrapped(nn.Module):
    """A model behind a wrapper that loses the gradient, or makes it useless."""

    def __init__(self, model, how):
        super().__init__()
        self.model, self.how = model, how

    def forward(self, images):
        if self.how == "no_grad":
            with torch.no_grad():
                return self.model(images)
        if self.how == "inference_mode":
            with torch.inference_mode():
                return self.model(images)
        if self.how == "detached":
            return self.model(images.detach())
        if self.how == "numpy":
            return self.model(torch.from_numpy(images.detach().numpy()))
        if self.how == "careless numpy":
            return self.model(torch.from_numpy(images.numpy()))
        if self.how == "rounded":
            return self.model((images * 255).round() / 255)
        if self.how == "saturated":
            return 1e4 * self.model(images)
        return self.model(images) + 0 * images.sqrt().sum()  # infinite slope at 0


@pytest.fixture(scope="module")
def problem():
    model, images, labels, distance = linear_problem(4, (3, 4, 4), 30, EPS, "linf")
    return model, images, labels, distance


def run(name, model, images, labels, **options):
    eps = None if name == "foolbox:L2DeepFoolAttack" else 1.5 * EPS
    norm = "l2" if name == "foolbox:L2DeepFoolAttack" else "linf"
    return attacks.run(name, model, images, labels, eps=eps, norm=norm, **options)


@pytest.mark.parametrize("how", ["no_grad", "inference_mode", "detached", "numpy", "careless numpy"])
@pytest.mark.parametrize("name", [*GRADIENT, *LIBRARY])
def test_without_any_gradient_the_attack_fails_and_names_the_remedy(problem, name, how):
    model, images, labels, _ = problem
    with pytest.raises(ModelError, match=r"gradient.*square") as caught:
        run(name, Wrapped(model, how), images, labels)
    assert "\n" not in str(caught.value)


@pytest.mark.parametrize("how", ["no_grad", "inference_mode", "detached", "numpy"])
def test_square_and_noise_need_no_gradient(problem, how):
    model, images, labels, _ = problem
    for name, params in (("square", {"steps": 30}), ("noise", {})):
        bare = run(name, model, images, labels, params=params)
        wrapped = run(name, Wrapped(model, how), images, labels, params=params)
        assert torch.equal(bare.robust, wrapped.robust)
        assert (wrapped.gradients, wrapped.silent) == (0, 0)


LONG = [pytest.param(name, marks=pytest.mark.slow) for name in ("autoattack", "square")]


@pytest.mark.parametrize("name", [*GRADIENT[:-1], *LONG, "noise", *LIBRARY])
def test_inference_mode_changes_no_number(problem, name):
    model, images, labels, distance = problem
    outside = run(name, model, images, labels)
    with torch.inference_mode():
        inside = run(name, model, images, labels)
        born_inside, _, _, _ = linear_problem(4, (3, 4, 4), 30, EPS, "linf")
        again = run(name, born_inside, images.clone(), labels.clone())
    assert torch.equal(outside.robust, inside.robust)
    assert torch.equal(outside.robust, again.robust)
    assert torch.equal(outside.images, again.images)
    if name in ("pgd", "apgd-ce", "autoattack"):
        assert torch.equal(inside.robust, distance > 1.5 * EPS)


def test_a_model_of_which_a_part_was_made_in_inference_mode_is_attacked_as_any(problem):
    model, images, labels, distance = problem
    mixed = copy.deepcopy(model)
    with torch.inference_mode():
        mixed.weight = nn.Parameter(model.weight.clone(), requires_grad=False)
    assert [tensor.is_inference() for tensor in mixed.parameters()] == [True, False]
    assert torch.equal(run("pgd", mixed, images, labels).robust, distance > 1.5 * EPS)


@pytest.mark.parametrize("name", ["fgsm", "pgd", "apgd-ce"])
@pytest.mark.parametrize("norm", ["linf", "l2"])
def test_a_gradient_that_is_tiny_moves_as_far_as_any(name, norm):
    model, images, labels, distance = linear_problem(2, (3, 4, 4), 30, EPS, norm)
    widest = float(model(images).detach().diff(dim=1).abs().max())
    confidence = 30 / widest  # the wrong class keeps a probability of e^-30
    found = attacks.run(name, lambda x: confidence * model(x), images, labels, eps=1.5 * EPS, norm=norm)
    assert found.silent == 0
    assert torch.equal(found.robust, distance > 1.5 * EPS)


@pytest.mark.parametrize("norm", ["linf", "l2", "l1"])
def test_fmn_finds_the_boundary_of_a_confident_model_that_returns_probabilities(norm):
    model, images, labels, distance = linear_problem(2, (3, 4, 4), 30, EPS, norm)
    confidence = 60 / float(model(images).detach().diff(dim=1).abs().max())
    found = attacks.fmn(
        lambda x: (confidence * model(x)).softmax(1), images, labels, eps=None, norm=norm, steps=400
    )
    assert bool((found.extra["distance"] <= 1.25 * distance).all())


@pytest.mark.parametrize("name", [*ALONE, *LIBRARY[:3]])
def test_a_gradient_of_zero_is_counted_and_said(problem, name):
    model, images, labels, _ = problem
    with pytest.warns(GradientWarning, match="zero or not finite on 30 of 30 images.*square"):
        found = run(name, Wrapped(model, "rounded"), images, labels)
    assert (found.gradients, found.silent) == (30, 30)


def test_a_gradient_that_is_not_finite_is_counted(problem):
    model, images, labels, _ = problem
    images = images.clone()
    images[:, 0, 0, 0] = 0  # where the square root has no finite slope
    labels = model(images).argmax(1)
    with pytest.warns(GradientWarning, match="on 30 of 30"):
        run("pgd", Wrapped(model, "infinite slope"), images, labels, params={"random_start": False})


@pytest.mark.parametrize("eps", [None, 2 * EPS])
@pytest.mark.parametrize("name", ["fab-t", "fmn"])
def test_images_that_the_first_step_breaks_are_counted(problem, name, eps):
    model, images, _, _ = problem
    flat, marked = Wrapped(model, "rounded"), images[:2, 0, 0, 0]

    def mixed(x):  # the first two images have no gradient, the others one step to the boundary
        return torch.where(torch.isin(x[:, 0, 0, 0], marked)[:, None], flat(x), model(x))

    found = attacks.run(name, mixed, images, mixed(images).argmax(1), eps=eps)
    assert (found.gradients, found.silent) == (30, 2)


def test_saturated_logits_are_counted_in_float32(problem):
    model, images, labels, _ = problem
    model = Wrapped(Linear(4, (3, 4, 4)), "saturated")
    images = images.float()
    labels = model(images).argmax(1)
    with pytest.warns(GradientWarning):
        found = run("pgd", model, images, labels)
    assert found.silent > 20
    honest = run("pgd", model.model, images, labels)
    assert (honest.gradients, honest.silent) == (30, 0)
    # The probability margin is climbed by ratios, which do not saturate.
    assert torch.equal(
        run("pma", model, images, labels).robust, run("pma", model.model, images, labels).robust
    )


@pytest.mark.parametrize("batch_size", [1, 7, 100])
def test_the_count_does_not_depend_on_the_batch(problem, batch_size):
    model, images, labels, _ = problem
    with pytest.warns(GradientWarning):
        found = attacks.apgd_t(
            Wrapped(model, "rounded"), images, labels, eps=EPS, steps=3, batch_size=batch_size
        )
    assert (found.gradients, found.silent) == (30, 30)


def test_diagnostics_look_at_a_model_without_gradient_and_at_one_inside_inference_mode(problem):
    model, images, labels, _ = problem
    found = {v.check: v for v in diagnose(Wrapped(model, "detached"), images, labels, eps=EPS, cheap=True)}
    assert (found["zero_gradient"].verdict, found["zero_gradient"].value) == ("fail", 1.0)
    outside = diagnose(model, images, labels, eps=EPS, cheap=True)
    with torch.inference_mode():
        assert diagnose(model, images, labels, eps=EPS, cheap=True) == outside


def test_free_signs_only_cast_doubt():
    passed, skipped = ([Finding("noise_wins", word, None, "")] for word in ("pass", "not_run"))
    assert trust((), 0, 0) == trust((), 100, 0) == trust((), 100, 2) == "unchecked"
    assert trust(skipped, 100, 0) == "unchecked"
    assert trust(passed, 100, 2) == "trusted"
    assert trust((), 100, 3) == trust(passed, 100, 3) == "untrusted"
    assert trust((), 10_000, 3) == "unchecked", "three of ten thousand are no more than chance"


MINE = """
import torch
from torch import nn

class Means(nn.Module):
    def __init__(self, scale=1.0, step=False, grad=True):
        super().__init__()
        self.scale, self.step, self.grad = nn.Parameter(torch.tensor(scale)), step, grad

    def forward(self, images):
        with torch.set_grad_enabled(self.grad and torch.is_grad_enabled()):
            images = (images * 255).round() / 255 if self.step else images
            return self.scale * 20 * images.mean((2, 3))

def plain(): return Means()
def saturated(): return Means(1e4)
def stepped(): return Means(step=True)
def blind(): return Means(grad=False)
"""


@pytest.fixture
def mine(tmp_path, tiny_npz, monkeypatch):
    """Own models that answer alike, in a working directory, with their images."""
    monkeypatch.chdir(tmp_path)
    (tmp_path / "silent_models.py").write_text(MINE)
    return f"npz:{tiny_npz}"


def evaluate(mine, *names, store="sqlite:///s.db", limit=None, eps="64/255"):
    table = rs.evaluate(
        [f"silent_models:{name}" for name in names],
        mine,
        attacks=[{"name": "pgd", "eps": eps}],
        store=store,
        limit=limit,
    )
    found = table[table.kind == "attack"].set_index("model")
    return {name: tuple(found.loc[f"silent_models:{name}", ["accuracy", "verdict"]]) for name in names}


def test_evaluate_inside_inference_mode_stores_the_right_number(mine):
    with torch.inference_mode():
        assert evaluate(mine, "plain") == {"plain": (0.0, "unchecked")}
    assert evaluate(mine, "plain", store="sqlite:///other.db") == {"plain": (0.0, "unchecked")}


def test_without_verdicts_a_silent_gradient_is_untrusted_over_all_shards(mine):
    assert evaluate(mine, "stepped", "plain", limit=10) == {
        "stepped": (1.0, "untrusted"),
        "plain": (0.0, "unchecked"),
    }
    assert evaluate(mine, "stepped", "saturated") == {
        "stepped": (1.0, "untrusted"),
        "saturated": (1.0, "untrusted"),
    }


def command(mine, name, *more):
    from robustbench_sdnet.commands.attack import attack

    asked = shlex.split(f"pgd --eps 64/255 --model silent_models:{name} --device cpu --store sqlite:///c.db")
    return CliRunner().invoke(attack, [*asked, "--data", mine, *more], catch_exceptions=False)


def test_the_command_warns_and_verdicts_neither_wipe_nor_are_wiped(mine):
    first = command(mine, "stepped", "--limit", "10")
    assert "Warning: silent_models:stepped" in first.stderr
    assert "zero or not finite on 10 of 10 images" in first.stderr
    for more in (["--limit", "10", "--verdicts", "--json"], ["--limit", "20", "--json"]):
        rows = json.loads(command(mine, "stepped", *more).stdout)
        assert [row["verdict"] for row in rows if row["kind"] == "attack"] == ["untrusted"]
    plain = command(mine, "plain", "--limit", "10", "--json")
    assert [row["verdict"] for row in json.loads(plain.stdout) if row["kind"] == "attack"] == ["unchecked"]
    assert "stalls" not in plain.stderr


def test_the_command_tells_how_far_its_diagnostics_are_unless_json_is_asked(mine):
    told = command(mine, "plain", "--limit", "10", "--eps", "32/255,64/255", "--verdicts")
    assert "attack pgd, diagnostics: 50 % (" in told.stderr
    assert "attack pgd, diagnostics: 100 % (" in told.stderr
    assert "diagnostics" not in command(mine, "plain", "--limit", "10", "--verdicts", "--json").stderr


def test_a_model_without_gradient_is_one_line_that_names_square(mine):
    with pytest.raises(
        ModelError, match=r"^silent_models:blind under pgd: .*lets no gradient through.*square"
    ):
        command(mine, "blind", "--limit", "10")


@pytest.mark.parametrize(
    "name", ["pgd", pytest.param("autoattack", marks=pytest.mark.slow), "torchattacks:PGD"]
)
def test_the_warning_names_the_line_that_asked(name, problem):
    model, images, labels, _ = problem
    with pytest.warns(GradientWarning) as found:
        run(name, Wrapped(model, "rounded"), images, labels)
    assert {one.filename for one in found} == {__file__}
