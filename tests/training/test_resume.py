"""Which run --resume finds, and what may be said beside it."""

from __future__ import annotations

import shutil
import signal

import pytest
import yaml

from robustbench_sdnet.errors import InputError, TrainingError
from robustbench_sdnet.training import train
from robustbench_sdnet.training.run.state import load_state, save_state


@pytest.fixture
def stopped(tiny_data, quick, tmp_path):
    """The folder of a run that was stopped after its sixth step, and a way to edit its recipe."""

    def stop(event):
        if event["event"] == "step" and event["step"] == 6:
            signal.raise_signal(signal.SIGTERM)

    run = tmp_path / "run"
    with pytest.raises(TrainingError, match="Stopped by SIGTERM"):
        train(
            tiny_data,
            "resnet20",
            overrides={**quick, "model.mean": (0.5, 0.5, 0.5)},
            output=run,
            on_event=stop,
        )

    def edit(**sections):
        held = yaml.safe_load((run / "recipe.yaml").read_text())
        for section, changes in sections.items():
            held[section] = held[section] | changes if isinstance(changes, dict) else changes
        (run / "recipe.yaml").write_text(yaml.safe_dump(held))

    return run, edit


def test_a_resumed_run_is_compared_with_what_was_given_alone(tiny_data, stopped):
    run, _ = stopped
    with pytest.raises(InputError, match=r"with train\.seed = 0, not 1: .* --set, --seed and --limit"):
        train(tiny_data, "resnet20", overrides={"train.seed": 1}, output=run, resume=True)
    with pytest.raises(InputError, match=r"was started with train\.batch_size = 32, not 128"):
        train(tiny_data, "resnet20", recipe="published", output=run, resume=True)
    given = {
        "train.seed": 0,
        "train.save_minutes": 5,
        "model.mean": (0.5, 0.5, 0.5),
        "train.precision": "auto",
    }
    assert train(tiny_data, "resnet20", overrides=given, output=run, resume=True).resumed_at_step == 6
    assert yaml.safe_load((run / "recipe.yaml").read_text())["train"]["save_minutes"] == 5


@pytest.mark.parametrize(
    ("edited", "said"),
    [
        ({"train": {"batch_size": 16}}, r"recipe\.yaml says train\.batch_size = 16, .* saved with 32"),
        ({"train": {"ema": 0.9}}, r"recipe\.yaml says train\.ema = 0\.9, .* saved with 0\.0"),
        ({"model": {"width": 6}}, r"recipe\.yaml says model\.width = 6, .* saved with 4"),
        ({"train": {"epochs": 0}}, r"recipe\.yaml: train\.epochs must be a whole number"),
        ({"train": {"epocs": 3}}, r"recipe\.yaml: Unknown recipe key 'train\.epocs'"),
        (
            {"train": None},
            r"recipe\.yaml is not the recipe of a run, which has data, arch, name, train, model",
        ),
        ({"data": 3}, r"recipe\.yaml is not the recipe of a run"),
    ],
    ids=str,
)
def test_an_edited_recipe_is_named(tiny_data, stopped, edited, said):
    run, edit = stopped
    edit(**edited)
    with pytest.raises(TrainingError, match=said):
        train(tiny_data, "resnet20", output=run, resume=True)


def test_a_state_without_its_recipe_is_read_and_one_that_does_not_fit_is_told(tiny_data, stopped):
    """As version 0.1 wrote them."""
    run, edit = stopped
    state = load_state(run)
    del state["recipe"]
    save_state(run, state)
    edit(train={"ema": 0.9})
    with pytest.raises(TrainingError, match=r"The state in .*run does not fit what recipe\.yaml there says"):
        train(tiny_data, "resnet20", output=run, resume=True)
    edit(train={"ema": 0.0})
    assert train(tiny_data, "resnet20", output=run, resume=True).resumed_at_step == 6


def test_steps_that_a_recipe_now_calls_auto_are_those_it_had(tiny_data, quick, tmp_path):
    settings = {**quick, "train.epochs": 1, "train.attack_steps": 2, "train.eps": "2/255"}
    old = {**settings, "train.attack_step_size": "2.5/255"}
    train(tiny_data, "resnet20", recipe="pgd-at", overrides=old, output=tmp_path / "run")
    train(tiny_data, "resnet20", recipe="pgd-at", overrides=settings, output=tmp_path / "run", resume=True)


def test_the_run_to_resume_is_of_this_data_set_not_of_a_newer_one_by_its_name(
    tiny_data, quick, tmp_path, monkeypatch
):
    monkeypatch.chdir(tmp_path)
    for folder in ("here", "there", "nowhere"):
        (tmp_path / folder).mkdir()
        shutil.copy(tiny_data.removeprefix("npz:"), tmp_path / folder / "tiny.npz")
    settings = {**quick, "train.epochs": 1}
    wanted = train("npz:here/tiny.npz", "resnet20", overrides=settings)
    train("npz:there/tiny.npz", "resnet20", overrides=settings)
    assert train("npz:here/tiny.npz", "resnet20", resume=True).folder == wanted.folder
    whole_path = f"npz:{tmp_path}/here/tiny.npz"
    assert train(whole_path, "resnet20", resume=True).folder == wanted.folder
    with pytest.raises(InputError, match=r"There is no run .* of 'npz:nowhere/tiny\.npz' to resume"):
        train("npz:nowhere/tiny.npz", "resnet20", resume=True)
