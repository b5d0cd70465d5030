"""The state file: whole or not at all, damaged ones seen, the one before used."""

from __future__ import annotations

import pytest
import torch

from robustbench_sdnet.errors import TrainingError, WriteError
from robustbench_sdnet.training.run.state import PREVIOUS, STATE, load_state, save_state


def test_round_trip_and_previous(tmp_path):
    assert load_state(tmp_path) is None
    save_state(tmp_path, {"step": 1, "weights": torch.arange(5.0)})
    save_state(tmp_path, {"step": 2, "weights": torch.arange(5.0) + 1})
    found = load_state(tmp_path)
    assert found["step"] == 2
    assert torch.equal(found["weights"], torch.arange(5.0) + 1)
    assert {path.name for path in tmp_path.iterdir()} == {STATE, PREVIOUS}


@pytest.mark.parametrize(
    "damage", [lambda content: content[:-10], lambda content: b"", lambda content: b"x" * 99]
)
def test_damaged_state_falls_back_to_the_one_before(tmp_path, damage):
    save_state(tmp_path, {"step": 1})
    save_state(tmp_path, {"step": 2})
    path = tmp_path / STATE
    path.write_bytes(damage(path.read_bytes()))
    seen = []
    assert load_state(tmp_path, seen.append) == {"step": 1}
    assert seen == [path]


def test_killed_between_the_two_renames(tmp_path):
    save_state(tmp_path, {"step": 1})
    (tmp_path / STATE).rename(tmp_path / PREVIOUS)
    (tmp_path / f".{STATE}.part").write_bytes(b"half")
    assert load_state(tmp_path) == {"step": 1}


def test_one_flipped_bit_is_seen(tmp_path):
    save_state(tmp_path, {"weights": torch.zeros(1000)})
    path = tmp_path / STATE
    content = bytearray(path.read_bytes())
    content[len(content) // 2] ^= 1
    path.write_bytes(content)
    with pytest.raises(TrainingError, match=r"Every saved state in .* is damaged"):
        load_state(tmp_path)


def test_folder_that_is_not_there(tmp_path):
    (tmp_path / "file").touch()
    with pytest.raises(WriteError, match="Cannot write"):
        save_state(tmp_path / "file" / "absent", {"step": 1})
