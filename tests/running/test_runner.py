"""Runs: answers do not depend on how the work was cut, stopped, repeated or who failed beside it."""

import pickle
import subprocess
import sys
from dataclasses import replace
from decimal import Decimal

import numpy as np
import pytest
import sqlalchemy as sa
import torch

from robustbench_sdnet.answers.records import records
from robustbench_sdnet.errors import ModelError
from robustbench_sdnet.planning import plan
from robustbench_sdnet.planning.questions import attack_specs, corruption_specs
from robustbench_sdnet.running.exchange import Inputs
from robustbench_sdnet.running.runner import ModelsFailed, run
from robustbench_sdnet.specs import Eps, LambdaSpec
from robustbench_sdnet.store.store import Store

from ..store.made import shards
from ..tiny_setting import RESNET, SDNET

LAMBDAS = (LambdaSpec("0.1"), LambdaSpec("0.5"))
EPS = [Eps.parse("4/255")]


def _store(path, name):
    return Store(f"sqlite:///{path}/{name}.db")


def _corruptions(data):
    specs = corruption_specs("gaussian_noise,contrast", [1, 5])
    return plan.corruption_cells([SDNET, RESNET], data, specs, LAMBDAS)


def _attacks(data, **options):
    specs = attack_specs("noise", EPS) + attack_specs("pgd", EPS, given={"steps": "3"})
    return plan.attack_cells([SDNET, RESNET], data, specs, LAMBDAS, **options)


def _answers(store):
    return {
        (
            row["model"],
            row["kind"],
            row["perturbation"],
            row["severity"],
            row["lambda"],
            row["lambda_attack"],
        ): (
            row["n"],
            row["accuracy"],
            row["passes_forward"],
            row["passes_backward"],
        )
        for row in records(store)
    }


def test_predictions_are_those_of_the_model_on_the_corrupted_images(tmp_path, make_worker, data, networks):
    from robustbench_sdnet.corruptions import corrupt
    from robustbench_sdnet.zoo import residuals, use_lambda

    worker = make_worker(batch_size=50)
    with _store(tmp_path, "s") as store:
        cells = _corruptions(data)
        run(cells, store=store, worker=worker, count=130)
        wanted = [
            c for c in cells if c.model == SDNET and c.perturbation.severity == 5 and c.lam == LAMBDAS[1]
        ]
        assert len(wanted) == 2
        for cell in wanted:
            pixels = corrupt(worker.data.images(0, 130), cell.perturbation.name, severity=5, seed=0)
            x = torch.from_numpy(pixels).permute(0, 3, 1, 2).float() / 255
            with torch.no_grad(), use_lambda(networks["sdnet"], 0.5):
                logits = networks["sdnet"](x)
            labels, found = torch.from_numpy(worker.data.labels), store.outcome(cell.id)
            right = (logits.argmax(1) == labels).numpy()
            assert found.right.tolist() == right.tolist()
            assert found.broken_at.tolist() == np.where(right, -1, 0).tolist()
            of_label = torch.nn.functional.one_hot(labels, logits.shape[1]).bool()
            margin = logits[of_label] - logits.masked_fill(of_label, -np.inf).amax(1)
            np.testing.assert_allclose(found.margin, margin.numpy(), atol=1e-4)
            np.testing.assert_allclose(found.residual, residuals(networks["sdnet"], x).numpy(), rtol=1e-4)
            assert (found.lam == np.float32(0.5)).all()


@pytest.mark.parametrize("cells_of", [_corruptions, _attacks])
def test_answers_do_not_depend_on_limits_or_restarts(tmp_path, make_worker, data, cells_of):
    cells = cells_of(data)
    with _store(tmp_path, "whole") as whole, _store(tmp_path, "parts") as parts:
        run(cells, store=whole, worker=make_worker(), count=130)
        for count in (37, 100, 130):
            run(cells, store=parts, worker=make_worker(), count=count)
        assert _answers(parts) == _answers(whole)
        again = run(cells, store=parts, worker=make_worker(), count=130)
        assert again.shards == 0, "everything was stored"
        fewer = run(cells, store=parts, worker=make_worker(), count=37)
        assert fewer.stored == len({cell.id for cell in cells}), "a shard each, whatever else is stored"
        assert sum(len(found) for found in parts.ranges().values()) > len(cells)


def test_answers_do_not_depend_on_batch_size(tmp_path, make_worker, data):
    found = []
    for batch_size in (1, 7, 250):
        with _store(tmp_path, str(batch_size)) as store:
            run(_corruptions(data) + _attacks(data), store=store, worker=make_worker(batch_size), count=30)
            found.append(_answers(store))
    assert found[0] == found[1] == found[2]


def test_answers_do_not_depend_on_order_or_neighbours(tmp_path, make_worker, data):
    cells = _corruptions(data)
    with _store(tmp_path, "one") as together, _store(tmp_path, "two") as apart:
        run(cells, store=together, worker=make_worker(), count=30)
        for cell in reversed(cells):
            run([cell], store=apart, worker=make_worker(), count=30)
        assert records(together) == records(apart)


def test_a_stopped_run_goes_on_and_keeps_what_it_had(tmp_path, make_worker, data):
    cells = _corruptions(data)

    def stop(progress):
        if progress.done_shards >= 4:
            raise KeyboardInterrupt

    with _store(tmp_path, "stopped") as stopped, _store(tmp_path, "undisturbed") as undisturbed:
        with pytest.raises(KeyboardInterrupt):
            run(cells, store=stopped, worker=make_worker(), count=130, on_progress=stop)
        times = {c.id: [s.finished_at for s in shards(stopped, c.id)] for c in cells}
        assert any(times.values())
        run(cells, store=stopped, worker=make_worker(), count=130)
        run(cells, store=undisturbed, worker=make_worker(), count=130)
        assert records(stopped) == records(undisturbed)
        for cell in cells:
            assert [s.finished_at for s in shards(stopped, cell.id)][: len(times[cell.id])] == times[cell.id]


def test_a_worker_made_in_another_process_answers_the_same(tmp_path, images):
    from robustbench_sdnet.planning.identity import data_spec, model_spec
    from robustbench_sdnet.planning.plan import tasks
    from robustbench_sdnet.running.exchange import Inputs
    from robustbench_sdnet.running.worker import Worker
    from robustbench_sdnet.zoo import build_model, describe_model, save_model

    torch.manual_seed(0)
    model = build_model("resnet20", width=4, num_classes=3, input_size=8)
    path = tmp_path / "small" / "last.safetensors"
    save_model(model, path, data="x", data_hash="", recipe={}, accuracy=None)
    spec = model_spec(describe_model(str(path.parent)))
    (task,) = tasks(plan.corruption_cells([spec], data_spec(images), []), {}, 50, pixels=64, device="cpu")
    program = (
        "import pickle, sys; worker, task, inputs = pickle.load(sys.stdin.buffer); "
        "sys.stdout.buffer.write(pickle.dumps(worker.answer(task, inputs)))"
    )
    there = subprocess.run(
        [sys.executable, "-c", program],
        input=pickle.dumps((Worker(data=images), task, Inputs())),
        capture_output=True,
        check=True,
    )
    (here,), (found,) = Worker(data=images).answer(task, Inputs()), pickle.loads(there.stdout)
    assert found.cell == here.cell
    assert found.outcome.margin.tobytes() == here.outcome.margin.tobytes()
    assert len(found.outcome) == 50


class _Broken(torch.nn.Module):
    def forward(self, x):
        return torch.full((len(x), 3), float("nan"))


def test_a_model_that_fails_is_named_and_the_others_are_stored(tmp_path, make_worker, data, networks):
    worker = make_worker()
    worker.load = lambda spec: _Broken() if spec == SDNET else networks[spec.name]
    lambda_free = [c for c in _corruptions(data) if c.model == RESNET or c.lam == LAMBDAS[0]]
    with _store(tmp_path, "s") as store:
        with pytest.raises(ModelsFailed, match="sdnet") as failed:
            run(lambda_free, store=store, worker=worker, count=30)
        progress = failed.value.progress
        assert (progress.shards, progress.done_shards, sum(map(len, store.ranges().values()))) == (10, 5, 5)
        assert {row["model"] for row in records(store)} == {"resnet"}


def test_labels_beyond_the_models_classes_are_refused(tmp_path, make_worker, data, images):
    worker = make_worker(labels=images.labels + 1)
    cells = plan.corruption_cells([RESNET], data, [])
    with _store(tmp_path, "s") as store, pytest.raises(ModelError, match=r"3 classes.*labels up to 3"):
        run(cells, store=store, worker=worker, count=30)


def test_attacks_ask_no_model_that_numbers_classes_otherwise(make_worker, data, images):
    """Whatever was asked before: other workers answer clean images."""
    worker = make_worker(numbered_here=True, num_classes=images.num_classes + 1)
    (attack,) = [cell for cell in _attacks(data) if cell.model == RESNET and cell.kind == "attack"]
    (failure,) = worker.answer(plan.Task(0, 10, (attack,)), Inputs())
    assert failure.message.startswith("resnet has 3 classes, but the folder has 4 and numbers them itself.")


def test_transfer_evaluates_the_parents_images_at_another_lambda(tmp_path, make_worker, data, networks):
    from robustbench_sdnet.zoo import residuals, use_lambda

    cells = _attacks(data, attack_lambdas=LAMBDAS)
    worker = make_worker()
    with _store(tmp_path, "s") as store:
        run(cells, store=store, worker=worker, count=40)
        transfer = next(c for c in cells if c.kind == "transfer")

        images = torch.from_numpy(store.images.fetch(transfer.parents[0], 0, 40))
        clean = torch.from_numpy(worker.data.images(0, 40)).permute(0, 3, 1, 2).float() / 255
        assert float((images - clean).abs().max()) <= 4 / 255 + 1e-6
        found = store.outcome(transfer.id)
        with torch.no_grad(), use_lambda(networks["sdnet"], float(transfer.lam.text)):
            right = networks["sdnet"](images).argmax(1).numpy() == worker.data.labels[:40]
        assert found.right.tolist() == right.tolist()
        np.testing.assert_allclose(found.residual, residuals(networks["sdnet"], images), rtol=1e-4)


def test_images_that_are_gone_are_made_again(tmp_path, make_worker, data):
    import shutil

    cells = _attacks(data, attack_lambdas=LAMBDAS)
    with _store(tmp_path, "s") as store:
        run([c for c in cells if c.kind != "transfer"], store=store, worker=make_worker(), count=20)
        run(cells, store=store, worker=make_worker(), count=20)
        before = records(store)
        shutil.rmtree(store.images.folder)
        run(cells, store=store, worker=make_worker(), count=30)
        assert [row for row in records(store) if row["n"] == 20] == []
        assert len(records(store)) == len(before)


def test_the_worst_case_is_never_above_any_single_attack(tmp_path, make_worker, data):
    with _store(tmp_path, "s") as store:
        run(_attacks(data, attack_lambdas=LAMBDAS), store=store, worker=make_worker(), count=60)
        rows = records(store)
    worst = [row for row in rows if row["kind"] == "worst_case"]
    assert [row["lambda"] for row in worst] == [0.1, 0.5]
    for row in worst:
        singles = [r for r in rows if r["kind"] in ("attack", "transfer") and r["cell"] in row["cell"]]
        assert len(singles) == 2
        assert all(row["accuracy"] <= single["accuracy"] for single in singles)


def test_a_chain_attacks_survivors_only(tmp_path, make_worker, data):
    stages = [
        spec
        for name, given in (("fgsm", {}), ("pgd", {"steps": "4"}))
        for spec in attack_specs(name, [Eps.parse("8/255")], given=given, chain="pair")
    ]
    cells = plan.attack_cells([RESNET], data, stages)
    first, second = (c for c in cells if c.kind == "attack")
    with _store(tmp_path, "s") as store:
        run(cells, store=store, worker=make_worker(), count=60)
        before, after = store.outcome(first.id), store.outcome(second.id)
        assert not after.right[~before.right].any(), "what broke stays broken"
        assert (after.broken_at[~before.right] == before.broken_at[~before.right]).all()
        (shard,) = shards(store, second.id)
        assert shard.cost["forwards"] <= before.right.sum() * (2 * 4 + 3)


@pytest.mark.parametrize("left", [0, 1, 2])
def test_the_last_survivors_are_attacked_too(make_worker, data, left):
    first, second = plan.attack_cells(
        [RESNET], data, attack_specs("pgd", [*EPS, Eps.parse("1")]), eps_curve=True
    )[1:]
    worker = make_worker()
    (made,) = worker.answer(plan.Task(0, 20, (first,)), Inputs())
    outcome = replace(made.outcome, right=np.arange(20) >= 20 - left)
    (found,) = worker.answer(plan.Task(0, 20, (second,)), Inputs({first.id: outcome}))
    assert not found.outcome.right.any(), "no image is right under every perturbation"
    assert (found.cost["forwards"] > 0) == (left > 0)


def test_levels_reach_the_noise(tmp_path, make_worker, data):
    specs = corruption_specs("gaussian_noise", levels=[Decimal("0"), Decimal("0.5")])
    with _store(tmp_path, "s") as store:
        run(plan.corruption_cells([RESNET], data, specs), store=store, worker=make_worker(), count=100)
        rows = {row["perturbation"]: row["cell"] for row in records(store)}
        margins = {name: store.outcome(cell).margin for name, cell in rows.items()}
    assert (
        np.abs(margins["gaussian_noise@0"] - margins["clean"]).max()
        < np.abs(margins["gaussian_noise@0.5"] - margins["clean"]).max()
    )


def test_policies_are_fitted_once_and_use_no_test_label(tmp_path, make_worker, data, images, monkeypatch):
    from robustbench_sdnet.lambdas import label_free
    from robustbench_sdnet.planning.setting import Setting
    from robustbench_sdnet.running.engines.local import Local
    from robustbench_sdnet.running.policies import fitted
    from robustbench_sdnet.running.ready import Ready
    from robustbench_sdnet.specs import parse_lambdas

    lambdas = parse_lambdas("0.1,label-free:noise,calibrated")
    steps_told, loaded = [], []
    monkeypatch.setattr(Ready, "training_data", lambda ready: loaded.append(1) or images)

    def fit():
        setting = Setting(store=f"sqlite:///{tmp_path}/fits.db")
        ready = Ready(setting, images, [SDNET, RESNET], make_worker(), 60, Local())
        return fitted(ready, lambdas, steps_told.append)(SDNET), ready.worker.policies

    chosen, policies = fit()
    assert len(loaded) == 1, "for all policies and models"
    fit()
    # One look at the clean images, and one at each of the published levels; once, since it is kept beside the store.
    told = [(step.lam.text, step.done, step.steps) for step in steps_told]
    calibrated = [("calibrated", done, 36) for done in range(37)]
    assert told == [("label-free:noise", 0, 1), ("label-free:noise", 1, 1), *calibrated]
    assert [lam.text for lam in chosen] == ["0.1", "label-free:noise", "calibrated"]
    assert all(lam.fit for lam in chosen[1:])
    # As on a device whose estimate of noise has other last bits: the policy is the one that was kept.
    rounded = label_free.noise_variance
    monkeypatch.setattr(label_free, "noise_variance", lambda x: rounded(x) * (1 + 1e-6))
    assert fit()[0] == chosen
    monkeypatch.undo()

    specs = corruption_specs("gaussian_noise", [5])
    cells = plan.corruption_cells([SDNET], data, specs, chosen)
    deployed = []
    for shuffled in (images.labels, images.labels[::-1].copy()):
        worker = make_worker(labels=shuffled)
        worker.policies = policies
        with _store(tmp_path, str(len(deployed))) as store:
            run(cells, store=store, worker=worker, count=60)
            deployed.append(np.concatenate([store.outcome(cell.id).lam for cell in cells]))
    np.testing.assert_array_equal(*deployed)
    assert len(np.unique(deployed[0])) > 10, "a lambda a sample"


def test_the_oracle_is_the_best_of_a_sweep(tmp_path, make_worker, data):
    lambdas = tuple(LambdaSpec(text) for text in ("0.1", "0.5", "1"))
    cells = plan.corruption_cells([SDNET, RESNET], data, corruption_specs("contrast", [5]), lambdas)
    with _store(tmp_path, "s") as store:
        run(cells, store=store, worker=make_worker(), count=60)
        rows = [row for row in records(store) if row["kind"] == "corruption" and row["model"] == "sdnet"]
    oracle = [row for row in rows if row["lambda"] == "oracle"]
    assert len(oracle) == 1
    assert oracle[0]["accuracy"] == max(row["accuracy"] for row in rows if row["lambda"] != "oracle")


def test_saved_adversarials_are_the_attacked_images(tmp_path, make_worker, data):
    from robustbench_sdnet.running.adversarials import save_cells

    cells = plan.attack_cells([RESNET], data, attack_specs("pgd", EPS, given={"steps": "3"}))
    worker = make_worker()
    with _store(tmp_path, "s") as store:
        run(cells, store=store, worker=worker, count=30, keep_images=True)
        (saved,) = save_cells(
            cells, store=store, worker=worker, count=30, folder=tmp_path / "out", eight_bit=True
        )
        outcome = store.outcome(cells[-1].id)
    assert saved.path.name.startswith("resnet-pgd_steps_3_-eps4_255-")
    assert saved.accuracy == outcome.right.mean()
    with np.load(saved.path) as arrays:
        clean = worker.data.images(0, 30).transpose(0, 3, 1, 2) / 255
        assert arrays["images"].dtype == np.float32
        assert np.abs(arrays["images"] - clean).max() <= 4 / 255 + 1e-6
        assert arrays["right"].tolist() == outcome.right.tolist()
        assert arrays["images_8bit"].shape == (30, 8, 8, 3)


def test_lambda_and_residual_of_an_attacked_image_are_those_of_its_perturbation(
    tmp_path, make_worker, data, networks
):
    from robustbench_sdnet.lambdas import LabelFree
    from robustbench_sdnet.zoo import residuals

    lam, policy = LambdaSpec("label-free:noise", fit="x"), LabelFree("noise", strength=0.1)
    specs = attack_specs("pgd", [Eps.parse("1/255"), Eps.parse("8/255")], given={"steps": "2"})
    cells = plan.attack_cells([SDNET], data, specs, (lam,), eps_curve=True)
    worker = make_worker()
    worker.policies = {SDNET.key: {lam: policy}}
    with _store(tmp_path, "s") as store:
        run(cells, store=store, worker=worker, count=20, keep_images=True)
        for cell in (cell for cell in cells if cell.kind == "attack"):
            found, made = store.outcome(cell.id), torch.from_numpy(store.images.fetch(cell.id, 0, 20))
            with torch.no_grad():
                assert len(set(found.lam.tolist())) == 20, "none at a limit"
                np.testing.assert_allclose(found.lam, policy(networks["sdnet"], made).numpy(), rtol=1e-4)
                np.testing.assert_allclose(found.residual, residuals(networks["sdnet"], made), rtol=1e-4)


@pytest.mark.parametrize("eps", [None, "1"])
def test_a_distance_is_kept_where_the_smallest_perturbation_is_sought(make_worker, data, eps):
    specs = attack_specs("fmn", [Eps.parse(eps)] if eps else [], norm="l2", given={"steps": "5"})
    worker, (attack,) = make_worker(), plan.attack_cells([RESNET], data, specs)[1:]
    (found,) = worker.answer(plan.Task(0, 20, (attack,)), Inputs())
    moved = found.images - worker.data.images(0, 20).transpose(0, 3, 1, 2) / np.float32(255)
    wanted = np.full(20, np.nan) if eps else np.linalg.norm(moved.reshape(20, -1), axis=1)
    np.testing.assert_allclose(found.outcome.distance, wanted, rtol=1e-4)


def test_an_eps_curve_attacks_survivors_and_agrees_with_attacks_from_scratch(tmp_path, make_worker, data):
    budgets = [Eps.parse(text) for text in ("1/255", "4/255", "16/255")]
    specs = attack_specs("pgd", budgets, given={"steps": "3"})
    scratch = plan.attack_cells([RESNET], data, specs)
    curve = plan.attack_cells([RESNET], data, specs, eps_curve=True)
    assert scratch[:2] == curve[:2], "the clean cell and the smallest eps are shared"
    assert [len(cell.parents) for cell in curve] == [0, 0, 1, 1]
    with _store(tmp_path, "s") as store:
        run(curve, store=store, worker=make_worker(), count=60, keep_images=True)
        clean, *outcomes = [store.outcome(cell.id) for cell in curve]
        made = [store.images.fetch(cell.id, 0, 60) for cell in curve[1:]]
        for smaller, larger, before, after in zip(outcomes, outcomes[1:], made, made[1:], strict=False):
            assert not (larger.right & ~smaller.right).any()
            assert np.array_equal(after[~smaller.right], before[~smaller.right]), (
                "what broke stays as it broke"
            )
        assert (clean.right & ~outcomes[1].right).any(), "some broke at 4/255, and their images changed"
        run(scratch, store=store, worker=make_worker(), count=60)
        rows = [row for row in records(store) if row["kind"] == "attack"]
    assert [row["eps"] for row in rows] == ["1/255", "4/255", "16/255"], "one record an eps"
    for row, outcome in zip(rows, outcomes, strict=True):
        assert row["accuracy"] <= outcome.right.mean()


def test_deleted_images_of_a_finished_run_cost_nothing(tmp_path, make_worker, data):
    import shutil

    cells = _attacks(data, attack_lambdas=LAMBDAS)
    with _store(tmp_path, "s") as store:
        run(cells, store=store, worker=make_worker(), count=20)
        shutil.rmtree(store.images.folder)
        assert run(cells, store=store, worker=make_worker(), count=20).shards == 0


@pytest.mark.parametrize("what", ["the first of its shards", "all of it"])
def test_what_its_parent_was_dropped_of_meanwhile_is_not_attacked(tmp_path, make_worker, data, what):
    pgd = attack_specs("pgd", [Eps.parse("1/255"), *EPS], given={"steps": "2"})
    parent, child = plan.attack_cells([RESNET], data, pgd, eps_curve=True)[1:]
    with _store(tmp_path, "s") as store:
        for count in (50, 130):
            run([parent], store=store, worker=make_worker(), count=count)

        def drop(progress):
            """As another process that repairs the store does with damaged rows, once this run has begun."""
            if not progress.done_shards:
                gone = f"DELETE FROM shards WHERE cell_id = '{parent.id}'"
                gone += " AND start = 0" if what != "all of it" else ""
                store.database.run("write", lambda connection: connection.execute(sa.text(gone)))

        with pytest.raises(ModelsFailed, match=r"resnet, pgd.* no longer stored. Run the same command again"):
            run([parent, child], store=store, worker=make_worker(), count=130, on_progress=drop)
        assert child.id not in store.ranges()
        run([parent, child], store=store, worker=make_worker(), count=130)
        assert store.outcome(child.id).ids.tolist() == list(range(130))
