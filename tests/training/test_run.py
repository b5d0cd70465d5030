"""Whole runs: what they write and learn, and how they go on."""

from __future__ import annotations

import json
import signal
import time

import pytest
import torch
import yaml

from robustbench_sdnet.errors import InputError, TrainingError
from robustbench_sdnet.files import alone_in
from robustbench_sdnet.training import load_recipe, train
from robustbench_sdnet.training.run import folders, runner
from robustbench_sdnet.training.run.state import load_state
from robustbench_sdnet.zoo import load_model, read_card
from tests.torch_defaults import other_defaults


def test_a_run_learns_and_leaves_everything(tiny_data, quick, tmp_path):
    events = []
    settings = {**quick, "train.epochs": 12, "train.lr": 0.05, "train.test_every": 6}
    result = train(tiny_data, "sdnet20", overrides=settings, output=tmp_path / "run", on_event=events.append)
    assert result.accuracy > 0.9
    assert (result.steps_total, result.steps_run, result.resumed_at_step) == (36, 36, 0)
    names = {path.name for path in (tmp_path / "run").iterdir()}
    assert {"best.safetensors", "last.safetensors", "state.pt", "recipe.yaml", "log.jsonl"} <= names
    assert any(name.startswith("events.out.tfevents") for name in names)
    assert "wandb-id" not in names, "curves go where they are asked for alone"
    card = read_card(result.last)
    assert (card.name, card.data, card.arch, card.accuracy) == ("run", tiny_data, "sdnet20", result.accuracy)
    assert card.recipe["train"]["epochs"] == 12
    log = [json.loads(line) for line in (tmp_path / "run" / "log.jsonl").read_text().splitlines()]
    assert [line["epoch"] for line in log] == list(range(1, 13))
    assert log[-1]["loss"] < 0.3 * log[0]["loss"]
    assert [line["epoch"] for line in log if "test" in line] == [6, 12]
    kinds = [event["event"] for event in events]
    assert kinds[0] == "start"
    assert kinds[-1] == "done"
    assert kinds.count("step") == 36
    assert [event["work_done"] for event in events if "work_done" in event] == list(range(37))
    assert events[0]["work"] == 36


def test_saved_accuracy_is_that_of_the_loaded_model(tiny_data, quick, tmp_path):
    from robustbench_sdnet import data

    result = train(tiny_data, "resnet20", overrides=quick, output=tmp_path / "run")
    test = data.load(tiny_data)
    images = torch.from_numpy(test.images()).permute(0, 3, 1, 2).float() / 255
    predictions = load_model(result.best)(images).argmax(1).numpy()
    assert (predictions == test.labels).mean() == result.accuracy


@pytest.mark.parametrize("seed", [0, 1, 2])
def test_epochs_of_few_steps_train_at_the_step_sizes_that_are_saved(tiny_data, quick, tmp_path, seed):
    """By one power iteration a step they were up to 1.7 of those, and the saved network another than the trained."""
    settings = {**quick, "train.seed": seed, "train.ema": 0}
    run = train(tiny_data, "sdnet20", recipe="fast", overrides=settings, output=tmp_path / "run")
    trained, saved = load_state(run.folder)["model"], load_model(run.last).state_dict()
    name = "layer0.0.dn.step_size"
    assert float(trained[name]) == pytest.approx(float(saved[name]), rel=0.1)


def test_same_seed_same_weights_other_seed_other_weights(tiny_data, quick, tmp_path):
    hashes = [
        read_card(train(tiny_data, "sdnet20", overrides=settings, output=tmp_path / name).last).weights_hash
        for name, settings in (("a", quick), ("b", quick), ("c", {**quick, "train.seed": 1}))
    ]
    assert hashes[0] == hashes[1] != hashes[2]


def test_training_begins_with_the_weights_that_are_named(tiny_data, quick, tmp_path):
    first = train(tiny_data, "sdnet20", overrides={**quick, "train.epochs": 12}, output=tmp_path / "a")
    frozen = {
        **quick,
        "train.epochs": 1,
        "train.lr": 1e-12,
        "train.lr_min": 0,
        "train.init": str(tmp_path / "a"),
    }
    again = train(tiny_data, "sdnet20", overrides=frozen, output=tmp_path / "b")
    before, after = (load_model(result.last).state_dict() for result in (first, again))
    for name, tensor in before.items():
        if "running" not in name and "num_batches" not in name:
            torch.testing.assert_close(after[name], tensor, rtol=1e-4, atol=1e-5)
    card = read_card(again.last)
    assert card.recipe["train"]["init"] == f"a (weights {read_card(first.last).weights_hash[:16]})"
    (tmp_path / "a").rename(tmp_path / "moved")
    resumed = train(tiny_data, "sdnet20", output=tmp_path / "b", resume=True)
    assert read_card(resumed.last) == card
    assert card.recipe["trained_on"]["images_per_second"] > 0
    (tmp_path / "moved").rename(tmp_path / "a")
    with pytest.raises(InputError, match=r"train\.init: .* another architecture"):
        train(tiny_data, "sdnet20", overrides={**frozen, "model.width": 5}, output=tmp_path / "c")
    with pytest.raises(InputError, match=r"train\.init: Unknown model 'nowhere'"):
        train(tiny_data, "sdnet20", overrides={**frozen, "train.init": "nowhere"}, output=tmp_path / "d")
    assert not (tmp_path / "d").exists()


@pytest.mark.parametrize(("arch", "after"), [("sdnet20", "sdnet20_all"), ("sdnet20_all", "sdnet20_all")])
def test_a_plain_body_gives_a_sparse_one_its_convolutions_as_first_dictionaries(
    tiny_data, quick, tmp_path, arch, after
):
    frozen = {**quick, "train.epochs": 1, "train.lr": 1e-12, "train.lr_min": 0}
    plain = train(tiny_data, "resnet20", overrides=quick, output=tmp_path / "plain")
    source = train(
        tiny_data, arch, overrides={**frozen, "train.init": str(tmp_path / "plain")}, output=tmp_path / "a"
    )
    sparse = train(
        tiny_data, after, overrides={**frozen, "train.init": str(tmp_path / "a")}, output=tmp_path / "b"
    )
    bodies = []
    for result in (plain, source, sparse):
        state = load_model(result.last).state_dict()
        state = {name.replace(".layers.", ".").replace(".dn.", "."): tensor for name, tensor in state.items()}
        names = ("layer0.0.weight", "layer2.1.conv2.weight", "linear.weight")
        bodies.append([torch.nn.functional.normalize(state[name].flatten(1)) for name in names])
    for body in bodies[1:]:
        for found, wanted in zip(body, bodies[0], strict=True):
            torch.testing.assert_close(found, wanted, rtol=1e-4, atol=1e-5)
    said = (
        f"plain (weights {read_card(plain.last).weights_hash[:16]}), its convolutions as first dictionaries"
    )
    assert read_card(source.last).recipe["train"]["init"] == said
    back = train(
        tiny_data,
        "resnet20",
        overrides={**frozen, "train.init": str(tmp_path / "b")},
        output=tmp_path / "c",
    )
    assert read_card(back.last).recipe["train"]["init"].endswith("its dictionaries as first convolutions")


def test_images_grow_epoch_by_epoch_and_a_resumed_run_goes_on_at_its_size(
    tiny_data, quick, tmp_path, monkeypatch
):
    from robustbench_sdnet.training.step.objective import Objective

    sides, forward = [], Objective.forward

    def watched(self, images, labels, ids, step):
        sides.append(tuple(images.shape[2:]))
        return forward(self, images, labels, ids, step)

    monkeypatch.setattr(Objective, "forward", watched)
    settings = {**quick, "train.sizes": [4, 6, 64]}
    whole = train(tiny_data, "sdnet20", overrides=settings, output=tmp_path / "whole")
    assert sides == [(4, 4)] * 3 + [(6, 6)] * 3 + [(8, 8)] * 6

    def stop(event):
        if event["event"] == "step" and event["step"] == 5:
            signal.raise_signal(signal.SIGINT)

    with pytest.raises(TrainingError, match="after step 5"):
        train(tiny_data, "sdnet20", overrides=settings, output=tmp_path / "parts", on_event=stop)
    sides.clear()
    parts = train(tiny_data, "sdnet20", output=tmp_path / "parts", resume=True)
    assert sides == [(6, 6)] + [(8, 8)] * 6
    assert read_card(parts.last).weights_hash == read_card(whole.last).weights_hash


def test_work_counts_small_images_by_their_area():
    from types import SimpleNamespace

    from robustbench_sdnet.training.recipes.options import TrainOptions
    from robustbench_sdnet.training.step.loop import Session

    feed = SimpleNamespace(steps=10, data=SimpleNamespace(image_shape=(32, 32)))
    device = SimpleNamespace(device="cpu", widest=torch.float64)
    options = TrainOptions(epochs=3, sizes=(16, 24))
    session = Session(torch.nn.Identity(), None, None, None, feed, options, device)
    assert session.cost(0) == 0
    assert session.cost(14) == 10 * 0.25 + 4 * 0.5625
    assert session.cost(30) == 10 * (0.25 + 0.5625 + 1)


@pytest.mark.parametrize(("native", "wanted"), [(True, "bfloat16"), (False, "float32")])
def test_bfloat16_is_taken_where_the_processor_has_it(monkeypatch, native, wanted):
    from robustbench_sdnet.training.recipes.options import TrainOptions
    from robustbench_sdnet.training.step import device

    monkeypatch.setattr(device, "native_bfloat16", lambda _: native)
    assert device.choose("cpu", TrainOptions()).precision == wanted


@pytest.mark.parametrize(
    "extra",
    [
        {"train.adversary": "pgd", "train.attack_steps": 2},
        {"train.adversary": "fgsm", "train.precision": "bfloat16"},
        {"train.adversary": "trades", "train.attack_steps": 2},
        {"train.augmix": 12.0},
        {"train.auxiliary": 0.01, "train.cutout": 3, "train.label_smoothing": 0.1, "train.ema": 0.9},
        {"train.precision": "float64", "train.schedule": "one-cycle"},
        {"model.shortcut": False},
    ],
    ids=str,
)
def test_every_option_trains(tiny_data, quick, tmp_path, extra):
    arch = "sdnet20_all" if "model.shortcut" in extra else "sdnet20"
    settings = {**quick, "train.epochs": 1, "train.hold_out": 0.3, **extra}
    result = train(tiny_data, arch, overrides=settings, output=tmp_path / "run")
    assert result.steps_run == 2
    assert read_card(result.best).has_lambda


@pytest.mark.parametrize(
    "extra", [{}, {"train.cutout": 3, "train.augmix": 12.0}, {"train.precision": "float64"}], ids=str
)
def test_what_torch_has_as_defaults_changes_no_training(tiny_data, quick, tmp_path, extra):
    """Random numbers of a GPU would be others, and those of float64 are."""
    settings = {**quick, "train.epochs": 1, "train.hold_out": 0.3, **extra}
    plain = train(tiny_data, "sdnet20", overrides=settings, device="cpu", output=tmp_path / "plain")
    with other_defaults():
        again = train(tiny_data, "sdnet20", overrides=settings, device="cpu", output=tmp_path / "again")
        assert torch.get_default_dtype() == torch.float64
    assert read_card(again.last).weights_hash == read_card(plain.last).weights_hash


def test_training_leaves_the_random_numbers_of_torch_alone(tiny_data, quick, tmp_path):
    """A notebook goes on to draw its own."""
    torch.manual_seed(3)
    wanted = torch.rand(3)
    torch.manual_seed(3)
    train(tiny_data, "sdnet20", overrides={**quick, "train.epochs": 1}, output=tmp_path / "run")
    assert torch.equal(torch.rand(3), wanted)


def test_auxiliary_loss_lowers_what_the_layers_minimise(tiny_data, quick, tmp_path):
    from robustbench_sdnet import data
    from robustbench_sdnet.zoo import residuals

    images = torch.from_numpy(data.load(tiny_data).images()).permute(0, 3, 1, 2).float() / 255
    energies = []
    for factor in (0.0, 0.1):
        settings = {**quick, "train.auxiliary": factor, "train.lr": 0.01, "train.epochs": 8}
        result = train(tiny_data, "sdnet20", overrides=settings, output=tmp_path / str(factor))
        energies.append(residuals(load_model(result.last), images).mean())
    assert energies[1] < 0.95 * energies[0]


def test_best_is_chosen_on_held_out_training_images(tiny_data, quick, tmp_path):
    settings = {**quick, "train.hold_out": 0.25, "train.lr": 0.05}
    result = train(tiny_data, "resnet20", overrides=settings, output=tmp_path / "run")
    log = [json.loads(line) for line in (tmp_path / "run" / "log.jsonl").read_text().splitlines()]
    state = torch.load(_payload(tmp_path / "run" / "state.pt"), weights_only=True)
    assert state["best"][0] == max(line["held_out"] for line in log)
    assert result.steps_total == 4 * (72 // 32)
    assert {round(line["held_out"] * 24, 6) % 1 for line in log} == {0}


def test_the_best_checkpoint_holds_the_weights_of_its_epoch(tiny_data, quick, tmp_path, monkeypatch):
    looked = []

    def falling(model, data, device, positions=None, **how):
        if positions is not None:
            looked.append({key: value.clone() for key, value in model.state_dict().items()})
        return 1 / (1 + len(looked))

    monkeypatch.setattr(runner, "accuracy_of", falling)
    settings = {**quick, "train.epochs": 2, "train.hold_out": 0.25}
    result = train(tiny_data, "resnet20", overrides=settings, output=tmp_path / "run")
    for path, seen in zip((result.best, result.last), looked, strict=True):
        state = load_model(path).state_dict()
        assert all(torch.equal(state[key], value) for key, value in seen.items())


def _payload(path):
    import io

    return io.BytesIO(path.read_bytes().partition(b"\n")[2])


def test_divergence_stops_with_step_rate_and_hint(tiny_data, quick, tmp_path):
    settings = {**quick, "train.lr": 1000, "train.weight_decay": 10}
    with pytest.raises(
        TrainingError, match=r"not finite at step \d+ \(learning rate .*--set train\.lr=.* another --output"
    ) as caught:
        train(tiny_data, "resnet20", overrides={**settings, "train.epochs": 100}, output=tmp_path / "run")
    assert "\n" not in str(caught.value)


def test_a_loss_that_is_not_finite_before_any_update_is_no_matter_of_the_rate(tiny_data, quick, tmp_path):
    settings = {**quick, "model.std": [1e-40] * 3}
    told = (
        r"at step 1, before any update\. Check model\.mean, model\.std and train\.init, .* another --output"
    )
    with pytest.raises(TrainingError, match=told):
        train(tiny_data, "resnet20", overrides=settings, output=tmp_path / "run")


def test_a_network_that_the_last_update_ruined_is_no_success(tiny_data, quick, tmp_path, monkeypatch):
    """Its loss was finite; its accuracy was that of the first class."""
    from robustbench_sdnet.training.step import loop

    step = loop.train_step

    def ruining(session, batch):
        step(session, batch)
        if session.step == session.steps_total:
            session.model.linear.weight.data.fill_(float("nan"))

    monkeypatch.setattr(loop, "train_step", ruining)
    with pytest.raises(TrainingError, match=r"logits are not finite: .* Lower the rate .* another --output"):
        train(tiny_data, "resnet20", overrides=quick, output=tmp_path / "run")
    assert not list((tmp_path / "run").glob("*.safetensors"))


def test_no_state_is_saved_after_a_loss_that_is_not_finite(tiny_data, quick, tmp_path, monkeypatch):
    """On a GPU, where steps do not wait to look at it."""
    from robustbench_sdnet.training.step.device import Device
    from robustbench_sdnet.training.step.objective import Objective

    forward = Objective.forward

    def failing(self, images, labels, ids, step):
        return forward(self, images, labels, ids, step) * (float("nan") if step == 1 else 1)

    monkeypatch.setattr(Objective, "forward", failing)
    monkeypatch.setattr(Device, "is_gpu", True)
    with pytest.raises(TrainingError, match="The loss is not finite at step 2"):
        train(tiny_data, "resnet20", overrides={**quick, "train.save_minutes": 0}, output=tmp_path / "run")
    assert torch.load(_payload(tmp_path / "run" / "state.pt"), weights_only=True)["step"] == 1


def test_interrupt_saves_and_resume_ends_in_the_same_bits(tiny_data, quick, tmp_path):
    quick = {**quick, "train.ema": 0.9, "train.hold_out": 0.2, "train.adversary": "fgsm"}
    whole = train(tiny_data, "sdnet20", overrides=quick, output=tmp_path / "whole")

    def interrupt(event):
        if event["event"] == "step" and event["step"] == 5:
            signal.raise_signal(signal.SIGTERM)

    with pytest.raises(TrainingError, match=r"Stopped by SIGTERM after step 5 of 8.*--resume"):
        train(tiny_data, "sdnet20", overrides=quick, output=tmp_path / "cut", on_event=interrupt)
    resumed = train(tiny_data, "sdnet20", output=tmp_path / "cut", resume=True)
    assert (resumed.resumed_at_step, resumed.steps_run, resumed.steps_total) == (5, 3, 8)
    for which in ("last", "best"):
        first, second = (getattr(result, which) for result in (whole, resumed))
        assert read_card(first).weights_hash == read_card(second).weights_hash
    assert (tmp_path / "whole" / "log.jsonl").read_text() == (tmp_path / "cut" / "log.jsonl").read_text()


def test_saving_takes_a_small_share_of_short_epochs(tiny_data, quick, tmp_path, monkeypatch):
    from robustbench_sdnet.training.run import runner

    written, saved = runner.save_state, []

    def slowly(folder, state):
        time.sleep(0.5)  # twenty times this is more than the run takes
        written(folder, state)

    monkeypatch.setattr(runner, "save_state", slowly)

    def listen(event):
        if event["event"] == "saved":
            saved.append(event["step"])

    train(tiny_data, "resnet20", overrides=quick, output=tmp_path / "run", on_event=listen)
    assert saved == [3, 12]  # after the first epoch, since nothing is known yet, and after the last


def test_resuming_a_finished_run_changes_nothing(tiny_data, quick, tmp_path):
    first = train(tiny_data, "resnet20", overrides=quick, output=tmp_path / "run")
    again = train(tiny_data, "resnet20", overrides=quick, output=tmp_path / "run", resume=True)
    assert (again.steps_run, again.resumed_at_step, again.accuracy) == (0, 12, first.accuracy)


def test_the_process_keeps_its_settings(tiny_data, quick, tmp_path):
    before = torch.get_num_threads()
    settings = {**quick, "train.epochs": 1, "train.threads": before + 1}

    def as_on_a_gpu(event):
        torch.backends.cudnn.benchmark = True

    train(tiny_data, "resnet20", overrides=settings, output=tmp_path / "run", on_event=as_on_a_gpu)
    assert (torch.get_num_threads(), torch.backends.cudnn.benchmark) == (before, False)
    assert yaml.safe_load((tmp_path / "run" / "recipe.yaml").read_text())["train"]["threads"] == before + 1


def test_a_run_killed_before_its_first_state_starts_at_the_beginning(tiny_data, quick, tmp_path):
    train(tiny_data, "resnet20", overrides={**quick, "train.epochs": 1}, output=tmp_path / "run")
    for name in ("state.pt", "state-previous.pt", "last.safetensors", "best.safetensors"):
        (tmp_path / "run" / name).unlink(missing_ok=True)
    again = train(tiny_data, "resnet20", output=tmp_path / "run", resume=True)
    assert (again.resumed_at_step, again.steps_run) == (0, 3)


def test_default_folder_and_the_newest_run_to_resume(tiny_data, quick, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    settings = {**quick, "train.epochs": 1}
    first = train(tiny_data, "resnet20", overrides=settings)
    second = train(tiny_data, "resnet20", overrides=settings)
    assert first.folder != second.folder
    assert first.folder.name.startswith("tiny-resnet20-")
    assert train(tiny_data, "resnet20", resume=True).folder == second.folder


def test_two_runs_that_begin_together_each_have_a_folder(tiny_data, quick, tmp_path, monkeypatch):
    """One had looked for a name, and the other has just made that folder."""
    monkeypatch.chdir(tmp_path)
    taken = tmp_path / "taken"
    taken.mkdir()
    monkeypatch.setattr(folders, "choose_folder", lambda *given, **named: taken)
    settings = {**quick, "train.epochs": 1}
    with alone_in(taken):
        result = train(tiny_data, "resnet20", overrides=settings)
    assert result.folder == tmp_path / "taken_2"
    with pytest.raises(InputError, match="hold_out"):
        train(tiny_data, "resnet20", overrides={**settings, "train.hold_out": 0.001})
    assert sorted(path.name for path in tmp_path.iterdir()) == ["taken", "taken_2"]


def test_stored_recipe_is_resolved(tiny_data, quick, tmp_path):
    train(tiny_data, "resnet20", overrides={**quick, "train.precision": "auto"}, output=tmp_path / "run")
    stored = yaml.safe_load((tmp_path / "run" / "recipe.yaml").read_text())
    assert stored["train"]["precision"] in ("float32", "bfloat16")
    assert stored["train"]["threads"] >= 1
    assert stored["train"].keys() == load_recipe("published").to_dict()["train"].keys()
