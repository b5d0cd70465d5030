"""What quickstart says before it starts."""

from __future__ import annotations

from types import SimpleNamespace

import pytest

from robustbench_sdnet.commands.quickstart import _training
from robustbench_sdnet.quickstart import train_missing


@pytest.mark.parametrize(
    # Training one model takes 60 s: both and 1.3 times one for the rest are 198 s; one less; a tenth of the images.
    ("arch", "limit", "said"),
    [("resnet20", 200, "3 min"), ("sdnet20", 200, "2 min"), ("sdnet20", 20, "68 s")],
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
        == f"from here to the report about {said}, on cpu as busy as it is now"
    )
