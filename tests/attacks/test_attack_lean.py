"""`lean`: against exact robust accuracy, inside the accounting of AutoAttack, and as a command."""

from __future__ import annotations

import itertools
import json
import math
import shlex
from dataclasses import replace

import numpy as np
import pytest
import torch
from click.testing import CliRunner
from scipy.optimize import linprog
from torch import nn

from robustbench_sdnet import attacks
from robustbench_sdnet.attacks.engine.balls import BALLS
from robustbench_sdnet.attacks.engine.passes import Passes
from robustbench_sdnet.attacks.engine.search import Rows
from robustbench_sdnet.attacks.native.pma import PmaSearch
from robustbench_sdnet.attacks.registry import ATTACKS, CHAINS, chain, last_stages
from robustbench_sdnet.errors import InputError
from robustbench_sdnet.planning.chains import is_stage, whole_name
from robustbench_sdnet.planning.questions import attack_specs
from robustbench_sdnet.specs import Eps

EPS = 0.12
HIDDEN, CLASSES = 7, 3


@pytest.fixture(scope="module")
def small():
    """A ReLU network on 2 x 2 pixels, trained on four blobs, and images near its boundaries."""
    torch.manual_seed(3)
    model = nn.Sequential(nn.Flatten(), nn.Linear(4, HIDDEN), nn.ReLU(), nn.Linear(HIDDEN, CLASSES)).double()
    centres = torch.tensor(
        [[0.3, 0.3, 0.7, 0.5], [0.6, 0.7, 0.4, 0.3], [0.5, 0.2, 0.3, 0.7]], dtype=torch.float64
    )
    labels = torch.arange(600) % CLASSES
    images = (
        (centres[labels] + 0.15 * torch.randn(600, 4, dtype=torch.float64)).clamp(0, 1).reshape(-1, 1, 2, 2)
    )
    optimizer = torch.optim.Adam(model.parameters(), lr=0.02)
    for _ in range(150):
        optimizer.zero_grad()
        nn.functional.cross_entropy(model(images), labels).backward()
        optimizer.step()
    return model.eval().requires_grad_(False), images[:30], labels[:30]


def largest_gain(model, image, label, eps):
    """The largest z_j - z_y over the ball: interval bounds settle most units, the signs of the rest are enumerated."""
    first, last = model[1], model[3]
    w, b, v, c = (tensor.numpy() for tensor in (first.weight, first.bias, last.weight, last.bias))
    x = image.numpy().ravel()
    low, high = np.maximum(x - eps, 0), np.minimum(x + eps, 1)
    centre, radius = (low + high) / 2, (high - low) / 2
    middle, reach = w @ centre + b, np.abs(w) @ radius
    choices = [
        (1,) if m - r >= 0 else (0,) if m + r <= 0 else (0, 1) for m, r in zip(middle, reach, strict=True)
    ]
    best = -np.inf
    for pattern in itertools.product(*choices):
        on = np.array(pattern)
        sides = np.where(on[:, None] == 1, -w, w)  # -(w x + b) <= 0 where on, w x + b <= 0 where off
        limits = np.where(on == 1, b, -b)
        for other in set(range(CLASSES)) - {label}:
            slope = (v[other] - v[label]) * on
            found = linprog(-(slope @ w), A_ub=sides, b_ub=limits, bounds=[*zip(low, high, strict=True)])
            if found.status == 0:
                best = max(best, slope @ b + c[other] - c[label] - found.fun)
    return best


def test_no_attack_reports_less_than_the_exact_robust_accuracy(small):
    model, images, labels = small
    gains = np.array([largest_gain(model, x, int(y), EPS) for x, y in zip(images, labels, strict=True)])
    assert np.abs(gains).min() > 1e-6, "rounding turns no verdict"
    exact = torch.from_numpy(gains < 0)
    assert 5 < int(exact.sum()) < 25
    for name in ATTACKS:
        params = {"square": {"steps": 300}, "fab-t": {"steps": 20}, "apgd-t": {"steps": 40}}.get(name, {})
        if name not in CHAINS and "linf" in ATTACKS[name].norms:
            found = attacks.run(name, model, images, labels, eps=EPS, params=params)
            assert bool(found.robust[exact].all()), name
    found = attacks.lean(model, images, labels, eps=EPS)
    assert torch.equal(found.robust, exact)
    assert int((found.extra["stage"] >= 0).sum()) == int((found.clean & ~exact).sum())


def test_lean_goes_on_with_the_whole_standard(small):
    model, images, labels = small
    with pytest.MonkeyPatch.context() as patch:
        from robustbench_sdnet.attacks.native import chain as module

        short = (("pma", {"steps": 2}), ("apgd-t", {"steps": 2}), ("square", {"steps": 5}))
        asked = []
        patch.setattr(module, "chain", lambda name, params, norm: asked.append(name) or short)
        found = attacks.lean(model, images, labels, eps=EPS, then="autoattack")
    assert asked == ["lean+autoattack"]
    assert int(found.extra["stage"].max()) <= 2
    assert CHAINS["lean+autoattack"] == (*CHAINS["lean"], *CHAINS["autoattack"])
    assert chain("lean+autoattack", {}, "l1")[1][1] == {"steps": 20, "targets": 9}
    assert chain("lean+autoattack", {}, "l1")[3][1]["targets"] == 5
    with pytest.raises(InputError, match=r"Unknown attack 'lean\+square'"):
        attacks.lean(model, images, labels, eps=EPS, then="square")


def test_only_the_last_stage_is_the_chain():
    expected = {"lean": [1], "lean+autoattack": [5], "autoattack": [3]}
    for name, last in expected.items():
        specs = attack_specs(name, [Eps.parse("8/255")])
        assert [i for i, spec in enumerate(specs) if not is_stage(spec)] == last, name
        assert whole_name(specs[-1]) == name
    assert last_stages("autoattack") == {"square", "apgd-dlr"}
    rand = attack_specs("autoattack", [Eps.parse("8/255")], given={"variant": "rand"})
    assert [is_stage(spec) for spec in rand] == [True, False]


def test_the_command_prints_lean_by_its_name_and_goes_on(tmp_path, tiny_npz, monkeypatch):
    from robustbench_sdnet.commands.attack import attack
    from robustbench_sdnet.zoo import build_model, save_model

    monkeypatch.chdir(tmp_path)
    torch.manual_seed(0)
    save_model(
        build_model("resnet20", width=4, num_classes=3, input_size=8).eval(),
        "m.safetensors",
        data=f"npz:{tiny_npz}",
    )
    arguments = [f"--data=npz:{tiny_npz}", *shlex.split("--model m.safetensors --limit 6 --eps 1/255 --json")]
    monkeypatch.setattr(
        "robustbench_sdnet.attacks.registry.CHAINS",
        {
            "lean": (("pma", {"steps": 4}), ("apgd-t", {"steps": 2, "targets": 1})),
            "lean+autoattack": (
                ("pma", {"steps": 4}),
                ("apgd-t", {"steps": 2, "targets": 1}),
                ("square", {"steps": 3}),
            ),
        },
    )
    for more, stages in (
        ([], {"lean/pma", "lean/apgd-t"}),
        (["--then", "autoattack"], {"lean+autoattack/square"}),
    ):
        found = CliRunner().invoke(attack, ["lean", *arguments, *more], catch_exceptions=False)
        rows = json.loads(found.stdout)
        assert stages <= {row["perturbation"] for row in rows}
    wrong = CliRunner().invoke(attack, ["pgd", *arguments, "--then", "autoattack"])
    assert isinstance(wrong.exception, InputError)


def test_the_last_of_an_odd_number_of_steps_is_no_large_one():
    """Sizes fall from 2 eps to almost none in each half; an odd step more once began a third."""
    sizes = []

    class Ball(type(BALLS["linf"])):
        def ascend(self, points, gradient, images, size, eps):
            sizes.append(float(size[0]))
            return super().ascend(points, gradient, images, size, eps)

    images = torch.full((1, 1, 2, 2), 0.5)
    search = PmaSearch(ball=Ball(), eps=0.1, length=7, attempts=1, seed=0)
    model = nn.Sequential(nn.Flatten(), nn.Linear(4, 3))
    passes = Passes(model.requires_grad_(False), 1)
    labels = torch.zeros(1, dtype=torch.int64)
    rows = Rows(images, *[labels] * 5, torch.tensor([[1, 2]]))
    state = search.begin(rows)
    for k in range(7):
        search.step(passes, replace(rows, k=labels + k), state)
    expected = [1 + math.cos(math.pi * k / 3) for k in range(3)] + [
        1 + math.cos(math.pi * k / 4) for k in range(4)
    ]
    assert sizes == pytest.approx([0.1 * size for size in expected], abs=1e-6)
