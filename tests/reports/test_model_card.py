"""Model cards: metadata in the hub's form, every number from the index or a store, and names that do nothing."""

from __future__ import annotations

import re
from dataclasses import replace

import pytest
import yaml

from robustbench_sdnet.cli import main
from robustbench_sdnet.errors import InputError
from robustbench_sdnet.reports.model_card import model_card
from robustbench_sdnet.zoo.files.cards import read_card
from robustbench_sdnet.zoo.shelf.index import entries, entry, local_path

from .made_records import DATA, SDNET, attack, corruption, record, snapshot
from .test_names import NAMES


def head(text):
    """The metadata and the page of a card."""
    empty, metadata, page = text.split("---\n", 2)
    assert empty == ""
    return yaml.safe_load(metadata), page


@pytest.mark.parametrize("item", entries(), ids=lambda item: item.name)
def test_the_metadata_has_the_form_of_the_hub_and_the_numbers_of_the_index(item):
    metadata, page = head(model_card(item))
    (model,) = metadata["model-index"]
    (result,) = model["results"]
    assert (model["name"], result["dataset"]["type"]) == (item.name, item.data)
    assert result["task"]["type"] == metadata["pipeline_tag"] == "image-classification"
    values = [(metric["type"], metric["value"]) for metric in result["metrics"]]
    assert values == [("accuracy", share) for share in (item.accuracy, *item.robust.values())]
    assert item.sha256 in page
    assert read_card(local_path(item)).weights_hash in page
    for title in ("Intended use", "Results", "How it was evaluated", "Limits"):
        assert f"## {title}" in page
    assert ("use_lambda" in page) == item.arch.startswith("sdnet")
    assert re.search(rf"weights that training began with \| {item.init}\s", page)
    made = read_card(local_path(item)).recipe.get("trained_on")
    assert ("images a second" in page) == bool(made)
    assert not made or f"NVIDIA H200, bfloat16, {made['images_per_second']:,.0f} images a second" in page


def test_a_store_adds_its_results_of_exactly_these_weights():
    item = entry("digits/sdnet20-at")
    own = replace(SDNET, name=item.name, weights=read_card(local_path(item)).weights_hash)
    ours = {"model": own, "lam": 0.1}
    answers = [record(190, **ours), corruption("fog", 3, 100, **ours), attack("pgd", "8/255", 50, **ours)]
    answers += [record(7, model=replace(own, weights="f" * 64), lam=0.1)]
    bound = "calibrated:test-labels"  # drawn on test labels: no result to state on a card
    answers += [corruption("fog", 3, 150, model=own, lam=bound)]
    metadata, page = head(model_card(item, snapshot(answers)))
    metrics = metadata["model-index"][0]["results"][0]["metrics"][1:]
    assert [(metric["value"], metric["args"]["n"]) for metric in metrics] == [
        (0.95, 200),
        (0.5, 200),
        (0.25, 200),
    ]
    assert metrics[2]["name"] == "Accuracy, linf 8/255, pgd, at lambda 0.1, on digits"
    assert "25.0 [19.5, 31.4]" in page  # Wilson's interval of 50 of 200
    with pytest.raises(InputError, match="holds no answer of the weights"):
        model_card(item, snapshot([record(7)]))


def test_a_mean_over_corruptions_of_unequal_images_is_said_to_be_left_out():
    item = entry("digits/sdnet20-at")
    own = replace(SDNET, name=item.name, weights=read_card(local_path(item)).weights_hash)
    ours = {"model": own, "lam": 0.1}
    answers = [corruption("fog", 3, 100, **ours), corruption("snow", 3, 50, 100, **ours)]
    metadata, page = head(model_card(item, snapshot(answers)))
    why = "on different numbers of images: 100, 200"
    told = f"No mean over 2 corruptions, severity 3, at lambda 0.1, on digits ({why})."
    assert told in " ".join(page.split())
    stated = [metric["name"] for metric in metadata["model-index"][0]["results"][0]["metrics"]]
    assert not any("corruptions" in name for name in stated)
    both = [corruption("fog", 3, 100, **ours), corruption("snow", 3, 50, **ours)]
    assert "No mean" not in model_card(item, snapshot(both))


def test_what_was_measured_on_other_images_stands_under_their_name():
    item = entry("digits/sdnet20-at")
    own = replace(SDNET, name=item.name, weights=read_card(local_path(item)).weights_hash)
    other = replace(DATA, name="npz:mine.npz", content="0" * 64)
    train = replace(DATA, split="train", content="1" * 64)
    answers = [record(190 - n, model=own, lam=0.1, data=data) for n, data in enumerate((DATA, other, train))]
    text = model_card(item, snapshot(answers))
    assert "&id" not in text, "no anchors of YAML"
    metadata, _ = head(text)
    found = {
        (result["dataset"]["name"], result["dataset"]["split"]): result["metrics"][-1]["value"]
        for result in metadata["model-index"][0]["results"]
    }
    assert found == {
        ("scikit-learn's digits", "test"): 0.95,
        ("npz:mine.npz", "test"): 0.945,
        ("scikit-learn's digits", "train"): 0.94,
    }


@pytest.mark.parametrize("odd", NAMES.values(), ids=NAMES)
def test_hostile_names_do_nothing_in_a_card(odd):
    item, odd = entry("digits/sdnet20-at"), odd[:80]  # a name is part of a file's, too
    hostile = replace(
        item, name=odd, recipe=odd, note=odd, data=odd, robust={odd: 0.5}, source=f"weights/{odd}"
    )
    metadata, page = head(model_card(replace(hostile, sha256="0" * 64)))
    (model,) = metadata["model-index"]
    assert model["name"] == odd, "data, quoted by YAML"
    assert all(char.isprintable() or char == "\n" for char in page)
    assert "<script" not in page.replace("\\<script", "")
    assert page.count("\n# ") + page.startswith("# ") == 1
    assert page.count("```") == 2


def test_its_commands_run_where_nothing_else_is(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    lines = [
        line.split() for line in model_card(entry("digits/sdnet20-at")).splitlines() if " sdnet-bench" in line
    ]
    assert [words[1] for words in lines] == ["zoo", "attack"]
    for words in lines:
        quick = [word.replace("autoattack", "fgsm") for word in words[1:]]
        with pytest.raises(SystemExit, match="0"):
            main([*quick, "--limit", "1"])


def test_the_command_prints_or_writes_it(tmp_path, capsys):
    with pytest.raises(SystemExit, match="0"):
        main(["zoo", "card", "digits/sdnet20-at"])
    text = capsys.readouterr().out
    assert text == model_card(entry("digits/sdnet20-at"))
    with pytest.raises(SystemExit, match="0"):
        main(["zoo", "card", "digits/sdnet20-at", "--output", str(tmp_path / "README.md")])
    assert (tmp_path / "README.md").read_text() == text
    with pytest.raises(SystemExit, match="2"):
        main(["zoo", "card", "digits/sdnet21"])
    assert "Unknown zoo model 'digits/sdnet21'" in capsys.readouterr().err
