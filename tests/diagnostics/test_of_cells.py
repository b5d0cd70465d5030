"""Verdicts of a run's cells: where they stand, and which cells have any."""

import torch

from robustbench_sdnet.answers.records import records
from robustbench_sdnet.diagnostics import DIAGNOSTICS
from robustbench_sdnet.diagnostics.of_cells import diagnose_cells
from robustbench_sdnet.planning import plan
from robustbench_sdnet.planning.questions import attack_specs
from robustbench_sdnet.running.runner import run
from robustbench_sdnet.specs import Eps
from robustbench_sdnet.store.store import Shard, Store

from ..tiny_setting import RESNET, SDNET


def test_verdicts_mark_an_accuracy_that_cannot_be_trusted(tmp_path, make_worker, data, networks):
    class Saturated(torch.nn.Module):
        def forward(self, x):
            return 1e6 * networks["resnet"](x)

    specs = attack_specs("pgd", [Eps.parse("4/255")], given={"steps": "2"})
    cells = plan.attack_cells([SDNET, RESNET], data, specs)
    worker = make_worker()
    worker.load = lambda spec: Saturated() if spec == RESNET else networks[spec.name]
    with Store(f"sqlite:///{tmp_path}/s.db") as store:
        run(cells, store=store, worker=worker, count=60)
        bare = {(row["model"], row["kind"]): row["verdict"] for row in records(store)}
        assert {key for key, word in bare.items() if word != "unchecked"} == {("resnet", "attack")}
        diagnosed, _ = diagnose_cells([c for c in cells if c.model == RESNET], store=store, worker=worker)
        ((cell_id, found),) = diagnosed.items()
        assert "fail" in {finding.verdict for finding in found}
        assert [finding["check"] for finding in store.verdicts()[cell_id]] == list(DIAGNOSTICS)
        found = {(row["model"], row["kind"]): row["verdict"] for row in records(store)}
    assert found["resnet", "attack"] == "untrusted"
    assert found["sdnet", "attack"] == "unchecked"


def test_a_model_that_fails_in_a_diagnostic_fails_alone(tmp_path, make_worker, data):
    specs = attack_specs("pgd", [Eps.parse("4/255")], given={"steps": "2"})
    cells = plan.attack_cells([RESNET, SDNET], data, specs)
    worker, told = make_worker(), []
    with Store(f"sqlite:///{tmp_path}/s.db") as store:
        run(cells, store=store, worker=worker, count=20)
        worker._models[RESNET] = lambda images: images.new_full((len(images), 3), torch.nan)
        found, failed = diagnose_cells(
            cells, store=store, worker=worker, on_check=lambda *told_of: told.append(told_of[:2])
        )
        assert {cell.model for cell in cells if cell.id in found} == {SDNET}
        assert store.verdicts().keys() == found.keys()
    assert failed.keys() == {"resnet"}
    assert failed["resnet"].startswith("resnet")
    assert told == [(0, 2), (1, 2), (2, 2)]


def test_every_eps_of_a_curve_above_0_gets_its_verdicts_and_noise_beside_it_none(tmp_path, make_worker, data):
    budgets = [Eps.parse(text) for text in ("0", "2/255", "8/255")]
    specs = attack_specs("pgd", budgets, given={"steps": "2"}) + attack_specs("noise", budgets)
    cells = plan.attack_cells([RESNET], data, specs, eps_curve=True)
    worker = make_worker()
    with Store(f"sqlite:///{tmp_path}/s.db") as store:
        run(cells, store=store, worker=worker, count=20)
        found, _ = diagnose_cells(cells, store=store, worker=worker)
        judged = [cell.perturbation for cell in cells if cell.id in found]
        assert [(spec.name, str(spec.eps)) for spec in judged] == [("pgd", "2/255"), ("pgd", "8/255")]
    with Store(f"sqlite:///{tmp_path}/lost.db") as store:  # as where Ray gave the first shard up
        run(cells, store=store, worker=worker, count=20)
        late = [Shard(cell.id, 1, 20, store.outcome(cell.id, 1, 20), {}) for cell in cells]
    with Store(f"sqlite:///{tmp_path}/late.db") as store:
        store.add_cells({cell.id: cell for cell in cells})
        store.add_shards(late)
        assert diagnose_cells(cells, store=store, worker=worker) == ({}, {}), (
            "whose images are not the first ones"
        )
