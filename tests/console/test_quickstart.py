"""What quickstart says before it starts."""

from __future__ import annotations

from types import SimpleNamespace

import pytest

from robustbench_sdnet.commands.quickstart import _training
from robustbench_sdnet.errors import InputError, TrainingInterrupted
from robustbench_sdnet.quickstart import train_missing
from robustbench_sdnet.zoo import build_model, save_model


@pytest.mark.parametrize(
    # Training one model takes 60 s: both and 1.7 times one for the rest are 222 s; one less; a tenth of the images.
    ("arch", "limit", "said"),
    [("resnet20", 100, "4 min"), ("sdnet20", 100, "3 min"), ("sdnet20", 10, "70 s")],
)
def test_it_says_how_long_it_is_to_the_report(monkeypatch, tmp_path, capsys, arch, limit, said):
    def train(data, arch, *, on_event, output, **options):
        on_event(
            {
                "event": "start",
                "seconds": 60.0,
                "resumed_at_step": 0,
                "steps_total": 220,
                "work": 220.0,
                "work_done": 0.0,
                "device": "cpu",
                "folder": str(output),
            }
        )
        return SimpleNamespace(accuracy=0.99, seconds=60.0)

    monkeypatch.setattr("robustbench_sdnet.training.train", train)
    train_missing(arch, tmp_path, limit, "cpu", 0, _training)
    assert (
        capsys.readouterr().err.splitlines()[0]
        == f"about {said} from here to the report, with cpu as busy as it is now"
    )


def test_what_was_trained_with_another_seed_or_elsewhere_is_refused(tmp_path):
    model = build_model("sdnet20", width=4, input_size=32)
    made = tmp_path / "digits-sdnet20" / "last.safetensors"
    save_model(model, made, data="digits", recipe={"name": "quickstart", "train": {"seed": 3}})
    assert train_missing("sdnet20", tmp_path, 20, "cpu", 3, _training) == str(made.parent)
    with pytest.raises(InputError, match=r"digits-sdnet20 was trained with --seed 3, not 4\. Name another"):
        train_missing("sdnet20", tmp_path, 20, "cpu", 4, _training)
    save_model(build_model("sdnet20"), made, recipe={"imported_from": "model_best.pth.tar"})
    with pytest.raises(
        InputError, match=r"digits-sdnet20 holds a model that was not trained here\. Name another"
    ):
        train_missing("sdnet20", tmp_path, 20, "cpu", 3, _training)


def test_a_folder_that_holds_no_run_yet_is_begun_in(monkeypatch, tmp_path):
    """As a process leaves it that was killed while it read the data."""
    resumed = []
    monkeypatch.setattr(
        "robustbench_sdnet.training.train", lambda *names, resume, **options: resumed.append(resume)
    )
    folder = tmp_path / "digits-sdnet20"
    folder.mkdir()
    train_missing("sdnet20", tmp_path, 20, "cpu", 0, _training)
    (folder / "recipe.yaml").touch()
    train_missing("sdnet20", tmp_path, 20, "cpu", 0, _training)
    assert resumed == [False, True]


def test_training_that_a_signal_ended_ends_it_as_ctrl_c_does(monkeypatch, tmp_path):
    """The remedy of `train` names options that `quickstart` has not."""

    def stopped(*_, **__):
        raise TrainingInterrupted("Stopped by SIGINT after step 1 of 220. Go on with --resume --output x.")

    monkeypatch.setattr("robustbench_sdnet.training.train", stopped)
    with pytest.raises(KeyboardInterrupt):
        train_missing("sdnet20", tmp_path, 20, "cpu", 0, _training)
