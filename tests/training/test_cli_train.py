"""The command: what it prints, refuses and starts."""

from __future__ import annotations

import json

import pytest
import yaml
from click.testing import CliRunner

from robustbench_sdnet.commands.train import train
from robustbench_sdnet.console.progress import Display, quicker_text, start_text, training_events
from robustbench_sdnet.errors import InputError
from robustbench_sdnet.training.recipes.recipe import load_recipe
from robustbench_sdnet.wording import duration
from robustbench_sdnet.zoo.files.cards import read_card

SETTINGS = ["--set", "train.epochs=1", "--set", "model.width=4", "--set", "train.threads=1"]


def invoke(*arguments):
    return CliRunner().invoke(train, list(arguments), catch_exceptions=False)


def test_json_ends_with_the_agreed_keys(tiny_data, tmp_path):
    done = invoke(tiny_data, "resnet20", "--output", str(tmp_path / "run"), "--json", *SETTINGS)
    assert done.exit_code == 0
    record = json.loads(done.stdout)
    assert list(record)[-4:] == ["steps_total", "steps_run", "resumed_at_step", "accuracy"]
    assert "epoch 1  loss" in done.stderr
    again = invoke(tiny_data, "resnet20", "--output", str(tmp_path / "run"), "--resume")
    last = tmp_path / "run" / "last.safetensors"  # whose accuracy it is; best may be another one
    accuracy, checkpoint = (line.split()[1] for line in again.stdout.splitlines())
    assert (checkpoint, accuracy) == (str(last), f"{100 * read_card(last).accuracy:.2f}")


def test_dry_run_prints_the_resolved_recipe(tiny_data, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    done = invoke(tiny_data, "sdnet20", "--recipe", "pgd-at", "--seed", "3", "--dry-run", *SETTINGS)
    recipe = yaml.safe_load(done.stdout)
    assert (recipe["name"], recipe["train"]["seed"], recipe["train"]["epochs"]) == ("pgd-at", 3, 1)
    assert not list(tmp_path.iterdir())
    invoke(tiny_data, "sdnet20", "--output", "run", *SETTINGS)  # of which it would print another recipe
    with pytest.raises(InputError, match=r"a run's own is in its folder\. Leave out --resume"):
        invoke(tiny_data, "sdnet20", "--output", "run", "--resume", "--dry-run")


@pytest.mark.parametrize(
    ("arguments", "match"),
    [
        (("digit", "resnet20"), "Unknown data set 'digit'. Did you mean 'digits'"),
        (("digits", "sdnet2"), "Unknown architecture 'sdnet2'"),
        (("digits", "resnet20", "--recipe", "fsat"), "Did you mean 'fast'"),
        (("digits", "resnet20", "--set", "train.epoch=1"), "Did you mean 'train.epochs'"),
        (("digits", "resnet20", "--set", "train.epochs"), "--set takes key=value"),
        (("digits", "resnet20", "--device", "gpu0"), "Unknown device"),
        (("digits", "resnet20", "--output", ""), "^--output: A name or path is empty"),
        (("digits", "resnet20", "--data", ""), "Unknown data set ''"),
        (("digits", "resnet20", "--data", "digit", "--dry-run"), "Unknown data set 'digit'"),
    ],
)
def test_usage_errors(arguments, match):
    with pytest.raises(InputError, match=match):
        invoke(*arguments)


def start_event(seconds, *, gpu=False, recipe="published", resumed=0):
    return {
        "event": "start",
        "folder": "runs/x",
        "recipe": load_recipe(recipe),
        "images": 50000,
        "precision": "bfloat16",
        "device": "cpu",
        "resumed_at_step": resumed,
        "steps_total": 10,
        "work": 10.0,
        "work_done": float(resumed),
        "seconds": seconds,
        "gpu": gpu,
    }


def test_start_says_how_long_and_names_the_quicker_recipe():
    text = start_text(start_event(22 * 3600.0))
    assert "about 22.0 h on this device" in text
    # fast takes 20 of published's 220 epochs: 2 hours
    assert "--recipe fast takes about 2.0 h" in text
    assert "--recipe" not in start_text(start_event(60.0))
    # of a resumed run the time is that of what is left, of which the quicker recipe takes no share
    assert "--recipe" not in start_text(start_event(2 * 3600.0, resumed=9))
    assert "--recipe" not in start_text(start_event(22 * 3600.0, gpu=True))
    assert "fewer epochs" in start_text(start_event(22 * 3600.0, recipe="fast"))


def test_quicker_counts_the_adversarys_passes():
    # pgd-at: 110 epochs of 11 passes; fast-at: 15 of two
    text = quicker_text(110 * 11 * 60.0, load_recipe("pgd-at").train)
    assert "--recipe fast-at takes about 30 min" in text


@pytest.mark.parametrize(
    ("seconds", "text"), [(12, "12 s"), (600, "10 min"), (7200, "2.0 h"), (864000, "10.0 days")]
)
def test_durations(seconds, text):
    assert duration(seconds) == text


def test_without_a_terminal_a_line_a_minute_says_what_is_left(capsys, monkeypatch):
    import time

    clock = iter([100.0, 130.0, 161.0, 170.0])
    monkeypatch.setattr(time, "monotonic", lambda: next(clock))
    show = training_events(Display("train"))
    show({**start_event(None), "resumed_at_step": 40, "steps_total": 130, "work_done": 10, "work": 100})
    for done in (17, 19, 19):
        show({"event": "step", "step": 30 + done, "work_done": done})
    # 61 s for the work of 9 steps on whole images, that of 81 to go: 549 s
    lines = [line for line in capsys.readouterr().err.splitlines() if line.startswith("train:")]
    assert lines == ["train: 19 % (x), about 9 min left"]


def test_data_and_limit_as_options(tiny_data, tmp_path):
    options = ("--data", tiny_data, "--limit", "8", "--output", str(tmp_path / "run"), "--json", *SETTINGS)
    done = invoke("cifar10", "resnet20", *options)
    assert done.exit_code == 0, done.output
    recipe = yaml.safe_load((tmp_path / "run" / "recipe.yaml").read_text())
    assert (recipe["data"], recipe["train"]["limit"]) == (tiny_data, 8)
