"""A model that draws random numbers, from the command's question to the report: counts, seeds and marks."""

from __future__ import annotations

import warnings
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch

from robustbench_sdnet import evaluate
from robustbench_sdnet.answers.frames import outcomes
from robustbench_sdnet.answers.records import records
from robustbench_sdnet.attacks.engine.result import AttackResult
from robustbench_sdnet.planning import plan
from robustbench_sdnet.planning.questions import attack_specs
from robustbench_sdnet.reports import report
from robustbench_sdnet.running.exchange import Inputs
from robustbench_sdnet.running.outcomes import judged_by_draws, over_draws
from robustbench_sdnet.specs import Eps, params
from robustbench_sdnet.specs.models import PROTOCOLS, Repeats
from robustbench_sdnet.store.outcome import Outcome
from robustbench_sdnet.store.store import Store

from ..tiny_setting import RESNET

# The mean brightness of a channel tells the classes of `tiny_npz` apart.
MODELS = """
import os
import random
import numpy as np
import torch
from torch import nn

class Mean(nn.Module):
    def forward(self, x):
        return x.mean((2, 3))

class Flips(nn.Module):
    share = 0.3
    def wrong(self, n):
        return torch.rand(n) < self.share
    def forward(self, x):
        z = x.mean((2, 3))
        return torch.where(self.wrong(len(x))[:, None], -z, z)

class Rarely(Flips):
    share = 0.9

class Free(Flips):
    def wrong(self, n):
        return torch.tensor([os.urandom(1)[0] < 255 * self.share for _ in range(n)])

class Noisy(nn.Module):
    # It draws while it is made, and in a place of its own at every call.
    def __init__(self, draw):
        super().__init__()
        torch.manual_seed(0)
        self.conv = nn.Conv2d(3, 3, 1)
        self.draw = draw
    def forward(self, x):
        return self.conv(x).mean((2, 3)) + 2 * torch.tensor([[self.draw() for _ in range(3)] for _ in x])

by_torch = lambda: Noisy(lambda: float(torch.rand(())))
by_numpy = lambda: Noisy(lambda: np.random.rand())
by_python = lambda: Noisy(random.random)
steady, flips, rarely, free = Mean, Flips, Rarely, Free
"""
PGD = {"name": "pgd", "eps": "1/255", "steps": 3}


@pytest.fixture(autouse=True)
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "drawn.py").write_text(MODELS)
    monkeypatch.chdir(tmp_path)
    monkeypatch.syspath_prepend(tmp_path)


def asked(npz: Path, *models: str, store: str = "a", **options):
    with warnings.catch_warnings(record=True) as said:
        warnings.simplefilter("always")
        sources = [f"drawn:{model}" for model in models]
        attacks = options.pop("attacks", [PGD])
        evaluate(
            sources, f"npz:{npz}", attacks=attacks, device="cpu", store=f"sqlite:///{store}.db", **options
        )
    return [str(one.message) for one in said]


def rows(store: str = "a", **wanted):
    found = records(f"sqlite:///{store}.db")
    return [row for row in found if all(row[key] == value for key, value in wanted.items())]


def written() -> str:
    return " ".join(report("sqlite:///a.db", to="markdown").read_text().split())


def test_accuracies_are_means_over_fresh_draws_and_a_line_says_so(tiny_npz):
    said = asked(tiny_npz, "flips", "steady", draws=101)
    assert any("is randomised" in line and "counts by the share of 101 draws" in line for line in said)
    (clean,), (attack,) = (
        rows(model="drawn:flips [mean of 101 draws]", kind="clean"),
        rows(model="drawn:flips [mean of 101 draws]", kind="attack"),
    )
    assert (clean["passes_forward"], clean["passes_backward"]) == (30 * 101, 0)
    spread = (0.21 / (30 * 101)) ** 0.5
    assert abs(clean["accuracy"] - 0.7) < 4 * spread
    assert abs(attack["accuracy"] - 0.7) < 4 * spread  # a search of 4 passes sees 76 % of the images flipped
    assert (attack["draws"], attack["protocol"]) == (101, "mean")
    (steady,) = rows(model="drawn:steady", kind="attack")
    assert (steady["accuracy"], steady["draws"], steady["protocol"]) == (1.0, None, None)
    hits = outcomes("sqlite:///a.db").query("kind == 'clean'").set_index("model")["hits"]
    assert hits["drawn:steady"].isna().all()
    counts = hits["drawn:flips [mean of 101 draws]"]
    assert counts.sum() / (30 * 101) == pytest.approx(clean["accuracy"], rel=1e-15)
    assert counts.between(1, 100).all()
    assert (
        "is randomised: each final image counts by the share of 101 draws that are right, seeded" in written()
    )


def test_the_same_question_gives_the_same_counts(tiny_npz):
    for store in ("a", "b"):
        asked(tiny_npz, "flips", store=store, attacks=[PGD, {"name": "square", "eps": "1/255", "steps": 3}])
        np.random.rand(3)
    blobs = []
    for store in ("a", "b"):
        with Store(f"sqlite:///{store}.db") as opened:
            found = opened.cells()
            blobs.append({cell: opened.outcome(cell).encode() for cell in found})
    assert blobs[0] == blobs[1]
    assert len(blobs[0]) >= 3


@pytest.mark.parametrize("model", ["by_torch", "by_numpy", "by_python"])
def test_counts_do_not_depend_on_what_the_process_answered_before(tiny_npz, model):
    """One call that asks clean images and corrupted ones, and two, of which the second loads the model for these."""
    corrupted = {"attacks": [], "corruptions": "gaussian_noise", "severities": 3}
    asked(tiny_npz, model, **corrupted)
    asked(tiny_npz, model, store="b", attacks=[])
    asked(tiny_npz, model, store="b", **corrupted)
    one, two = (outcomes(f"sqlite:///{store}.db").set_index(["cell", "image"])["hits"] for store in "ab")
    assert one.equals(two)
    assert 0 < one.sum() < 11 * len(one)


def test_a_model_whose_draws_no_seed_governs_is_marked(tiny_npz):
    said = asked(tiny_npz, "free")
    assert any("drawn:free is randomised" in line and "cannot be repeated" in line for line in said)
    assert (
        "drawn:free is randomised: each final image counts by the share of 11 draws that are right, and not repeatable"
        in written()
    )


def test_protocols_are_questions_of_their_own(tiny_npz):
    for protocol in ("mean", "majority", "any"):
        asked(tiny_npz, "flips", counting=protocol, attacks=[])
    accuracy = {row["protocol"]: row["accuracy"] for row in rows(kind="clean")}
    assert accuracy["any"] < 0.3 < 0.5 < accuracy["mean"] < 0.85  # 0.02 and 0.7
    assert accuracy["majority"] > 0.75  # 0.92
    assert {row["model"] for row in rows()} == {
        "drawn:flips", "drawn:flips [majority of 11 draws]", "drawn:flips [any of 11 draws]",
    }  # fmt: skip


def test_a_chain_of_cells_counts_its_final_images_anew(tiny_npz):
    asked(tiny_npz, "flips", draws=41, attacks=[{"name": "lean", "eps": "1/255"}])
    (whole,) = [row for row in rows(kind="attack") if row["perturbation"].endswith("apgd-t")]
    # The least of two counts of 41 would be about 0.66.
    assert abs(whole["accuracy"] - 0.7) < 3 * (0.21 / (30 * 41)) ** 0.5


def test_a_larger_eps_goes_on_while_any_draw_is_right(tiny_npz):
    """As a whole hardly an image is right, but the mean counts every draw: all are left to attack."""
    attacks = [{"name": "pgd", "eps": "1/255,2/255", "steps": 1}]
    asked(tiny_npz, "rarely", draws=41, attacks=attacks, limit=10)
    passes = [row["passes_forward"] for row in rows(kind="attack")]
    # Of 41 draws all are wrong with a probability of 0.9^41 = 0.013; to count those of an image takes 41 passes.
    assert len(passes) == 2
    assert min(passes) > 41 * 5


def found(right, broken_at, margin=0.0):
    numbers = dict.fromkeys(("margin", "lam", "residual", "distance"), np.full(4, margin, np.float32))
    return Outcome(
        ids=np.arange(4), right=np.array(right), broken_at=np.array(broken_at, np.int32), **numbers
    )


@pytest.mark.parametrize(("protocol", "held"), [("mean", [1, 1, 0, 0]), ("any", [1, 0, 0, 0])])
def test_an_outcome_over_draws_counts_them_and_means_their_margins(protocol, held):
    draws = [
        found(np.array(right, bool), [0] * 4, margin)
        for right, margin in (([1, 0, 0, 0], 1.0), ([1, 1, 1, 0], 0.5), ([1, 1, 0, 0], -3.0))
    ]
    outcome = over_draws(iter(draws).__next__, Repeats(3, protocol))
    assert outcome.hits.tolist() == [3, 2, 1, 0]
    assert outcome.right.tolist() == held
    assert outcome.broken_at.tolist() == [-1 if one else 0 for one in held]
    assert outcome.margin.tolist() == [-0.5] * 4


def test_what_breaks_at_fresh_draws_alone_has_a_step_and_what_holds_has_none():
    final = found([True, False, True, False], [-1, 0, -1, 0], 0.5)
    for searched, step in ((5, 5), (0, 0)):
        outcome = judged_by_draws(found([True, True, False, False], [-1, -1, 3, searched]), final)
        assert outcome.broken_at.tolist() == [-1, 1, -1, step]
        assert outcome.right.tolist() == final.right.tolist()
        assert outcome.margin.tolist() == final.margin.tolist()


def test_of_two_searches_the_image_that_leaves_fewer_right_draws_is_kept(
    make_worker, data, networks, monkeypatch
):
    model = replace(RESNET, options=params({"randomised": True})).counted(Repeats(9))
    pgd = attack_specs("pgd", [Eps.parse("1/255"), Eps.parse("2/255")])
    first, second = plan.attack_cells([model], data, pgd, eps_curve=True)[1:]
    before, made = torch.full((4, 3, 8, 8), 0.25), torch.full((3, 3, 8, 8), 0.5)
    one = torch.ones(3)
    result = AttackResult(made, one > 0, one > 0, one, one, 0, 0, extra={"hits": torch.tensor([4, 5, 6])})
    monkeypatch.setattr("robustbench_sdnet.running.worker.run_attack", lambda *asked: result)
    parent = replace(found([1, 0, 1, 1], [-1, 1, -1, -1]), hits=np.array([5, 0, 5, 5], np.int32))
    inputs = Inputs({first.id: parent}, {first.id: before.numpy()})
    worker = replace(make_worker(), load=lambda spec: networks["resnet"])
    (answer,) = worker.answer(plan.Task(0, 4, (second,)), inputs)
    assert answer.images[:, 0, 0, 0].tolist() == [0.5, 0.25, 0.25, 0.25]


def test_it_is_said_in_words_how_an_image_counts():
    assert [Repeats(11, protocol).rule for protocol in PROTOCOLS] == [
        "by the share of 11 draws that are right",
        "as right if more than half of 11 draws are",
        "as right if all of 11 draws are",
    ]
