"""A damaged store from the command line: every command names it, --repair mends it, and all is as it was."""

from __future__ import annotations

import json
import re
import sqlite3
from contextlib import closing
from pathlib import Path

import pytest
import torch

import robustbench_sdnet as rs
from robustbench_sdnet.cli import main
from robustbench_sdnet.data import load

CORRUPT = ["corrupt", "--corruption", "contrast", "--severity", "1,5"]
ATTACK = ["attack", "pgd", "--steps", "2", "--attack-lambda", "0.1,0.5", "--lambda", "0.1,0.5"]


@pytest.fixture
def run(tmp_path, tiny_npz, monkeypatch, capsys):
    """The command in a folder with one tiny model: exit code, standard output, standard error."""
    monkeypatch.chdir(tmp_path)
    torch.manual_seed(0)
    data = f"npz:{tiny_npz}"
    rs.save_model(
        rs.build_model("sdnet20", width=4, num_classes=3, input_size=8),
        "runs/tiny/last.safetensors",
        data=data,
        data_hash=load(data, "train").content_hash,
        recipe={},
        accuracy=None,
    )

    def run(*command):
        with pytest.raises(SystemExit) as left:
            main(command)
        return left.value.code, *capsys.readouterr()

    return run


def damage(table, column, where):
    """Flip a bit in the middle of one value."""
    with closing(sqlite3.connect("runs/results.db")) as connection, connection:
        key, value = connection.execute(f"SELECT rowid, {column} FROM {table} WHERE {where}").fetchone()
        raw = bytearray(value if isinstance(value, bytes) else value.encode())
        raw[len(raw) // 2] ^= 1
        put = bytes(raw) if isinstance(value, bytes) else raw.decode()
        connection.execute(f"UPDATE {table} SET {column} = ? WHERE rowid = ?", (put, key))
    connection.close()


@pytest.mark.parametrize(
    ("table", "column", "named"),
    [
        ("shards", "outcome", r"shard 0-30 of cell \w{24} (tiny, contrast 5"),
        ("shards", "cost", r"shard 0-30 of cell \w{24} (tiny, contrast 5"),
        ("cells", "spec", r"cell \w{24}"),
    ],
)
def test_a_flipped_bit_is_named_by_every_command_and_repaired(run, table, column, named):
    assert run(*CORRUPT)[0] == 0
    _, whole, _ = run("report", "to", "json")
    five = "spec LIKE '%contrast%' AND spec LIKE '%severity\":5%'"
    damage(table, column, five if table == "cells" else f"cell_id = (SELECT id FROM cells WHERE {five})")
    pattern = named.replace("(", r"\(")
    for command in (["report", "to", "json"], ["report", "to", "markdown"], ["status"], CORRUPT, ATTACK):
        code, out, err = run(*command)
        assert code == 1
        assert out == ""
        assert err.startswith("Error: The store sqlite:///runs/results.db is damaged: ")
        assert re.search(rf"{pattern}.*: its checksum differs\. .*--repair", err)
    code, _, err = run(*CORRUPT, "--repair")
    assert code == 0
    assert re.search(rf"the store was repaired and lost {pattern}", err)
    assert run("report", "to", "json")[1] == whole
    assert run("status")[0] == 0


def test_the_images_of_a_repaired_attack_are_made_again(run):
    assert run(*ATTACK)[0] == 0
    _, whole, _ = run("report", "to", "json")
    damage("shards", "outcome", "cell_id IN (SELECT id FROM cells WHERE parents != '[]')")
    kept = sorted(Path("runs/results.images").glob("*/*.npy"))
    assert kept
    for file in kept:
        raw = bytearray(file.read_bytes())
        raw[-5] ^= 16
        file.write_bytes(raw)
    assert run("status")[0] == 1
    code, _, err = run(*ATTACK, "--repair")
    assert code == 0
    assert "the store was repaired and lost shard 0-30 of cell" in err
    assert run("report", "to", "json")[1] == whole


@pytest.mark.slow
def test_a_study_is_repaired_and_answered_whole(run):
    asked = ["study", "runs/tiny", "--limit", "6", "--json"]
    code, first, _ = run(*asked)
    assert code == 0
    _, whole, _ = run("report", "to", "json")
    damage("shards", "outcome", "cell_id IN (SELECT id FROM cells WHERE spec LIKE '%\"pgd\"%')")
    code, out, err = run(*asked)
    assert (code, out) == (1, "")
    assert "damaged: shard 0-6 of cell" in err
    code, again, err = run(*asked, "--repair")
    assert code == 0
    assert "the store was repaired and lost shard 0-6 of cell" in err
    assert json.loads(again) == json.loads(first)
    assert run("report", "to", "json")[1] == whole
