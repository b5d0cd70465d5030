"""Curves of a run in a tracker beside TensorBoard: what it is told, and that a resumed run is one run."""

from __future__ import annotations

import json
import signal

import pytest
import yaml

from robustbench_sdnet.errors import InputError, TrainingInterrupted, WriteError
from robustbench_sdnet.training import train
from tests.reports.tracker_files import config, events, history, offline as offline


def test_wandb_has_the_recipe_and_the_curves_that_tensorboard_has(tiny_data, quick, tmp_path, offline):
    settings = {**quick, "train.test_every": 2}
    result = train(tiny_data, "resnet20", overrides=settings, output=tmp_path / "run", track="wandb")
    run = tmp_path / "run"
    told = config(run)
    assert (told["arch"], told["data"], told["train"]["epochs"]) == ("resnet20", tiny_data, 4)
    scalars, _, _ = events(next(run.glob("events.*")))
    found: dict[str, list[tuple[int, float]]] = {}
    for row in history(run):
        for tag, value in row.items():
            if not tag.startswith("_"):
                found.setdefault(tag, []).append((row["_step"], round(value, 6)))
    assert found == {
        tag: [(at, pytest.approx(value, abs=1e-6)) for at, value in points] for tag, points in scalars.items()
    }
    assert [at for at, _ in found["loss/train"]] == [3, 6, 9, 12]
    assert [at for at, _ in found["accuracy/test"]] == [6, 12]
    assert found["accuracy/final"] == [(12, pytest.approx(result.accuracy))]


def test_a_finished_run_that_is_resumed_hides_no_point(tiny_data, quick, tmp_path):
    train(tiny_data, "resnet20", overrides=quick, output=tmp_path / "run")
    before = sorted(path.name for path in (tmp_path / "run").glob("events.*"))
    train(tiny_data, "resnet20", output=tmp_path / "run", resume=True)
    assert sorted(path.name for path in (tmp_path / "run").glob("events.*")) == before


def test_a_run_that_was_stopped_after_its_last_step_has_every_point(tiny_data, quick, tmp_path):
    def stop(event):
        if event["event"] == "step" and event["step"] == 12:
            signal.raise_signal(signal.SIGTERM)

    run = tmp_path / "run"
    with pytest.raises(TrainingInterrupted):
        train(tiny_data, "resnet20", overrides=quick, output=run, on_event=stop)
    result = train(tiny_data, "resnet20", output=run, resume=True)
    scalars, _, _ = events(run)
    assert [at for at, _ in scalars["loss/train"]] == [3, 6, 9, 12]
    assert scalars["accuracy/final"] == [(12, pytest.approx(result.accuracy))]


def test_a_run_that_was_lost_before_its_checkpoint_keeps_its_last_point(
    tiny_data, quick, tmp_path, monkeypatch
):
    from robustbench_sdnet.training.run.runner import Run

    run = tmp_path / "run"
    with monkeypatch.context() as patched:
        patched.setattr(Run, "_write", interrupted)
        with pytest.raises(
            TrainingInterrupted, match=r"its state is saved\. --resume --output .*run writes the"
        ):
            train(tiny_data, "resnet20", overrides=quick, output=run)
    train(tiny_data, "resnet20", output=run, resume=True)
    scalars, _, _ = events(run)
    assert [at for at, _ in scalars["loss/train"]] == [3, 6, 9, 12]
    assert [at for at, _ in scalars["accuracy/final"]] == [12]


def interrupted(*_):
    raise KeyboardInterrupt


def test_points_beyond_the_state_that_is_resumed_are_there_once(tiny_data, quick, tmp_path):
    run = tmp_path / "run"
    train(tiny_data, "resnet20", overrides=quick, output=run)
    for name in ("best.safetensors", "last.safetensors", "state.pt"):
        (run / name).unlink()
    assert train(tiny_data, "resnet20", output=run, resume=True).resumed_at_step < 12
    scalars, _, _ = events(run)
    assert [at for at, _ in scalars["loss/train"]] == [3, 6, 9, 12]
    assert [at for at, _ in scalars["accuracy/final"]] == [12]


@pytest.mark.parametrize("at", [2, 4, 5])
def test_events_that_cannot_be_written_cost_no_epoch_and_come_later(
    tiny_data, quick, tmp_path, monkeypatch, at
):
    from robustbench_sdnet.training.run import curves

    run, points, written = tmp_path / "run", curves._points, []

    def full(step, values):
        written.append(step)
        if len(written) == at:
            (file,) = run.glob("events.*")
            file.rename(tmp_path / file.name)
            file.symlink_to("/dev/full")
        return points(step, values)

    monkeypatch.setattr(curves, "_points", full)
    said = rf"^Cannot write {run} \(No space left .*\)\. Free some space and go on with --resume --output {run}\.$"
    with pytest.raises(WriteError, match=said):
        train(tiny_data, "resnet20", overrides=quick, output=run)
    resumed = train(tiny_data, "resnet20", output=run, resume=True)
    assert resumed.resumed_at_step == min(3 * at, 12)
    (refused,) = (path for path in run.glob("events.*") if path.is_symlink())
    refused.unlink()
    (tmp_path / refused.name).rename(refused)
    scalars, _, _ = events(run)
    assert [at for at, _ in scalars["loss/train"]] == [3, 6, 9, 12]
    assert [at for at, _ in scalars["accuracy/final"]] == [12]
    log = [json.loads(line) for line in (run / "log.jsonl").read_text().splitlines()]
    assert [(line["step"], pytest.approx(line["loss"], abs=1e-5)) for line in log] == scalars["loss/train"]


def test_a_run_that_was_lost_before_its_log_has_every_line(tiny_data, quick, tmp_path, monkeypatch):
    from robustbench_sdnet.training.run import runner

    run, write = tmp_path / "run", runner.write_whole

    def lost(path, content):
        if path.name == "log.jsonl" and content.count("\n") == 4:
            raise KeyboardInterrupt
        write(path, content)

    with monkeypatch.context() as patched:
        patched.setattr(runner, "write_whole", lost)
        with pytest.raises(KeyboardInterrupt):
            train(tiny_data, "resnet20", overrides=quick, output=run)
    train(tiny_data, "resnet20", output=run, resume=True)
    log = [json.loads(line) for line in (run / "log.jsonl").read_text().splitlines()]
    assert [line["epoch"] for line in log] == [1, 2, 3, 4]


def test_a_place_elsewhere_is_not_taken_for_the_runs_folder(tiny_data, quick, tmp_path):
    train(tiny_data, "resnet20", overrides={**quick, "train.epochs": 1}, output=tmp_path / "run")
    plan = yaml.safe_load((tmp_path / "run" / "recipe.yaml").read_text()) | {"data": "cifar10"}
    (tmp_path / "run" / "recipe.yaml").write_text(yaml.safe_dump(plan))
    for name in ("state.pt", "last.safetensors", "best.safetensors"):
        (tmp_path / "run" / name).unlink()
    (tmp_path / "file").touch()
    with pytest.raises(WriteError, match=r"Cannot write .*/file \(File exists\)"):
        train("cifar10", "resnet20", output=tmp_path / "run", resume=True, data_root=str(tmp_path / "file"))


def test_the_same_id_for_a_run_that_goes_on(tiny_data, quick, tmp_path, offline, monkeypatch):
    from robustbench_sdnet.training.run import curves

    ids = []
    start = curves.start_wandb
    monkeypatch.setattr(
        curves, "start_wandb", lambda *given, **named: ids.append(named["run_id"]) or start(*given, **named)
    )
    for resume in (False, True):
        overrides = None if resume else {**quick, "train.epochs": 1}
        train(
            tiny_data, "resnet20", overrides=overrides, output=tmp_path / "run", resume=resume, track="wandb"
        )
    assert len(ids) == 2
    assert ids[0] == ids[1] == (tmp_path / "run" / "wandb-id").read_text()


@pytest.mark.parametrize("named", [True, False])
def test_a_tracker_that_refuses_leaves_no_run(tiny_data, quick, tmp_path, offline, monkeypatch, named):
    """As where nobody is logged in."""
    import wandb

    def refused(**settings):
        raise wandb.errors.UsageError("No API key configured.")

    place = {"output": tmp_path / "run"} if named else {"runs": tmp_path / "runs"}
    with monkeypatch.context() as patched:
        patched.setattr(wandb, "init", refused)
        with pytest.raises(InputError, match="No API key configured"):
            train(tiny_data, "resnet20", overrides=quick, track="wandb", **place)
    assert not list(tmp_path.glob("run*"))
    train(tiny_data, "resnet20", overrides={**quick, "train.epochs": 1}, track="wandb", **place)


def test_an_unknown_or_missing_tracker_is_refused_before_any_work(tiny_data, tmp_path, monkeypatch):
    with pytest.raises(InputError, match=r"Unknown tracker 'wandbb'\. Did you mean 'wandb'"):
        train(tiny_data, "resnet20", output=tmp_path / "run", track="wandbb")
    monkeypatch.setattr("robustbench_sdnet.tracking.find_spec", lambda name: None)
    with pytest.raises(InputError, match="wandb is not installed"):
        train(tiny_data, "resnet20", output=tmp_path / "run", track="wandb")
    assert not (tmp_path / "run").exists()
