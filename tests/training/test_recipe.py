"""Recipes: every key known, typed and in range; what --set may change."""

from __future__ import annotations

import numpy as np
import pytest
import yaml

from robustbench_sdnet.errors import InputError
from robustbench_sdnet.training import train
from robustbench_sdnet.training.recipes.options import TrainOptions
from robustbench_sdnet.training.recipes.recipe import Recipe, load_recipe, recipe_names
from robustbench_sdnet.training.run.folders import write_plan


def test_every_shipped_recipe_reads_and_survives_a_round_trip():
    shipped = ["published", "fast", "smoke", "quickstart", "pgd-at", "trades", "fast-at", "augmix", "cpu"]
    assert set(shipped) <= set(recipe_names())
    for name in recipe_names():
        recipe = load_recipe(name)
        assert recipe.name == name
        assert Recipe.from_dict(recipe.to_dict()) == recipe


def test_published_is_the_papers_recipe():
    train = load_recipe("published", data="cifar10").train
    assert (train.epochs, train.batch_size, train.lr, train.lr_min) == (220, 128, 0.1, 1e-6)
    assert (train.schedule, train.weight_decay, train.nesterov, train.crop) == ("cosine", 5e-4, True, 4)
    train = load_recipe("published", data="imagenet").train
    assert (train.epochs, train.batch_size, train.schedule) == (100, 512, "step")
    assert (train.milestones, train.weight_decay, train.nesterov) == ((30, 60, 90), 1e-4, False)


def test_trades_is_its_authors_recipe():
    """Their code counts epochs from 1 and lowers the rate from the 75th on: two of 76 are at a tenth."""
    train = load_recipe("trades").train
    assert (train.epochs, train.beta, train.attack_steps, train.step_radius) == (76, 6, 10, 2 / 255)
    assert (train.momentum, train.nesterov, train.weight_decay) == (0.9, False, 2e-4)
    rates = [train.learning_rate(step, 76) for step in range(76)]
    assert rates == pytest.approx([0.1] * 74 + [0.01] * 2)


def test_images_grow_in_the_recipe_for_cpus_and_the_last_epochs_see_them_whole():
    train = load_recipe("cpu").train
    assert set(train.sizes) == {16, 24}
    assert list(train.sizes) == sorted(train.sizes)
    assert train.epochs - len(train.sizes) == 5
    assert (train.schedule, train.label_smoothing > 0, train.ema > 0) == ("one-cycle", True, True)


@pytest.mark.parametrize(
    ("epochs", "sizes"),
    [
        (1, []),
        (2, [24]),
        (4, [16, 24]),  # of each epoch the last of the four that it stands for: 3, 7, 11 and 15
        (8, [16] * 3 + [24] * 2),
        (16, [16] * 6 + [24] * 5),
        (32, [16] * 12 + [24] * 10),
    ],
)
def test_images_grow_in_the_same_shares_of_any_number_of_epochs(epochs, sizes):
    train = load_recipe("cpu", {"train.epochs": str(epochs)}).train
    assert (train.epochs, list(train.sizes)) == (epochs, sizes)


def test_the_rate_falls_in_the_same_shares_of_any_number_of_epochs():
    assert load_recipe("pgd-at", {"train.epochs": 110}).train.milestones == (100, 105)
    assert load_recipe("pgd-at", {"train.epochs": 22}).train.milestones == (20, 21)
    assert load_recipe("pgd-at", {"train.epochs": 11}).train.milestones == (10, 10), "which counts twice"
    assert load_recipe("trades", {"train.epochs": 22}).train.milestones == (21,), "the last epoch's"
    assert load_recipe("trades", {"train.epochs": 38}).train.milestones == (37,)
    assert load_recipe("trades", {"train.epochs": 152}).train.milestones == (148,)
    assert load_recipe(
        "published", {"train.schedule": "step", "train.milestones": [999]}
    ).train.milestones == (999,)
    assert load_recipe("pgd-at", {"train.epochs": 22, "train.milestones": [3]}).train.milestones == (3,)
    chosen = load_recipe("published", {"train.epochs": 100, "train.schedule": "step"})
    assert chosen.train.milestones == (30, 60, 90), "those of the schedule, which had none before"


def test_sizes_that_are_given_stay_and_recipes_without_any_have_none():
    assert load_recipe("cpu", {"train.epochs": 8, "train.sizes": [16]}).train.sizes == (16,)
    assert load_recipe("fast", {"train.epochs": 8}).train.sizes == ()
    recipe = load_recipe("cpu", {"train.epochs": 7})
    assert Recipe.from_dict(recipe.to_dict()) == recipe


def test_settings_are_read_as_yaml_in_the_type_of_the_key():
    given = {"train.lr": "5e-2", "train.milestones": "[3, 6]", "train.flip": "false", "model.width": "8"}
    recipe = load_recipe("published", {**given, "model.shortcut": "false", "train.eps": "4/255"})
    assert (recipe.train.lr, recipe.train.milestones, recipe.train.flip) == (0.05, (3, 6), False)
    assert recipe.model == {"width": 8, "shortcut": False}
    assert recipe.train.radius == 4 / 255


def test_leading_zeros_change_no_number():
    """As a job array writes them."""
    given = {"train.seed": "012", "train.milestones": "[030, 060]", "model.width": "016", "model.lam": "01"}
    recipe = load_recipe("published", given)
    assert (recipe.train.seed, recipe.train.milestones) == (12, (30, 60))
    assert (recipe.model["width"], recipe.model["lam"]) == (16, 1.0)
    for key, value in {"train.seed": "1:30", "train.lr": "1:30.5", "train.epochs": "0x" + "f" * 5000}.items():
        with pytest.raises(InputError, match=rf"^{key} must be a (whole )?number, got '{value[:20]}"):
            load_recipe("published", {key: value})


@pytest.mark.parametrize("name", ["001", "on", "1_000", "runs/a #1", "a: b"])
def test_a_text_is_taken_as_it_is(name):
    """The run "001" was looked for as "1"; a resumed run reads its recipe in the same way."""
    recipe = load_recipe("fast", {"train.init": name})
    assert Recipe.from_dict(recipe.to_dict()).train.init == recipe.train.init == name


@pytest.mark.parametrize(
    ("key", "value", "match"),
    [
        ("train.epoch", "3", r"Unknown recipe key 'train\.epoch'\. Did you mean 'train\.epochs'"),
        ("model.widht", "3", r"Did you mean 'model\.width'"),
        ("epochs", "3", "Unknown recipe key 'epochs'"),
        ("train.epochs", "0", r"train\.epochs must be a whole number from 1 to"),
        ("train.epochs", "1.5", r"train\.epochs must be a whole number"),
        ("train.epochs", "many", r"train\.epochs must be a whole number"),
        ("train.lr", "nan", r"train\.lr must be a number"),
        ("train.lr", "true", r"train\.lr must be a number"),
        ("train.flip", "3", r"train\.flip must be true or false"),
        ("train.milestones", "[a]", r"train\.milestones must be a list of whole numbers"),
        ("train.schedule", "cosin", r"Unknown train\.schedule 'cosin'\. Did you mean 'cosine'"),
        ("train.eps", "8", r"^train\.eps: Linf eps must be at most 1"),
        ("train.eps", "[1", "eps must be a fraction"),
        ("train.lr", "[1", r"train\.lr: .* is not valid YAML"),
        ("train.attack_step_size", "x", r"^train\.attack_step_size: .* must be a fraction"),
        ("train.ema", "1", r"train\.ema must lie in"),
        ("train.lr_min", "0.2", r"train\.lr_min=0\.2 is above train\.lr=0\.1, from which 'cosine' falls\."),
        (
            "train.sizes",
            "[16, 2]",
            r"train\.sizes must be a list of whole numbers from 4 to 1024, got \(16, 2\)",
        ),
        (
            "train.milestones",
            "[-3, 5]",
            r"train\.milestones must be a list of whole numbers from 1 .*, got \(-3, 5\)",
        ),
    ],
)
def test_wrong_settings(key, value, match):
    with pytest.raises(InputError, match=match):
        load_recipe("published", {key: value})


def test_options_of_the_network_are_read_as_those_of_the_training():
    """YAML takes 5e-2 for a text."""
    given = {
        "model.lam": "5e-2",
        "model.mu": "1",
        "model.n_steps": "4",
        "model.pooling": "yes",
        "model.width": "8",
    }
    model = load_recipe("fast", given | {"model.mean": "[.5, .5, .5]", "model.gradient_at": "momentum"}).model
    assert model == {
        "lam": 0.05,
        "mu": 1.0,
        "n_steps": 4,
        "pooling": True,
        "width": 8,
        "mean": [0.5, 0.5, 0.5],
        "gradient_at": "momentum",
    }
    with pytest.raises(InputError, match=r"model\.lam must be a number, got 'x'"):
        load_recipe("fast", {"model.lam": "x"})
    with pytest.raises(InputError, match="settings must be a mapping of names to values, got list"):
        load_recipe("fast", ["model.lam=1"])


def test_whole_numbers_are_whole_in_python_too():
    for given in ({"seed": 1.5}, {"epochs": 2.0}, {"batch_size": True}, {"limit": -1}):
        (name,) = given
        with pytest.raises(InputError, match=rf"train\.{name} must be a whole number from"):
            TrainOptions(**given)


@pytest.mark.parametrize(
    ("given", "rule"),
    [
        ({"flip": "false"}, "be true or false, got 'false'"),
        ({"nesterov": "no"}, "be true or false, got 'no'"),
        ({"milestones": (1.5,)}, r"be a list of whole numbers from 1 to 100000, got \(1\.5,\)"),
        ({"sizes": 16}, "be a list of whole numbers from 4 to 1024, got 16"),
        ({"sizes": None}, "be a list of whole numbers from 4 to 1024, got None"),
        ({"sizes": ("a",)}, r"be a list of whole numbers from 4 to 1024, got \('a',\)"),
    ],
    ids=str,
)
def test_values_of_python_are_of_the_type_of_their_key(given, rule):
    (name,) = given
    with pytest.raises(InputError, match=rf"^train\.{name} must {rule}\.$"):
        TrainOptions(**given)


def test_a_normalisation_of_numpy_is_kept_in_plain_numbers(tiny_data, quick, tmp_path):
    mean, std = np.array([0.5, 0.25, 0.125]), tuple(np.full(3, 0.5, np.float32))
    overrides = {**quick, "train.epochs": 1, "model.mean": mean, "model.std": std}
    train(tiny_data, "resnet20", overrides=overrides, output=tmp_path)
    train(tiny_data, "resnet20", overrides=overrides, output=tmp_path, resume=True)
    held = yaml.safe_load((tmp_path / "recipe.yaml").read_text())["model"]
    assert (held["mean"], held["std"]) == ([0.5, 0.25, 0.125], [0.5, 0.5, 0.5])


def test_a_list_of_python_is_the_sizes_that_a_tuple_is():
    assert TrainOptions(sizes=[16, 24]) == TrainOptions(sizes=(16, 24))


def test_augmix_and_an_adversary_exclude_each_other():
    with pytest.raises(InputError, match="cannot be combined"):
        load_recipe("augmix", {"train.adversary": "pgd"})


def test_own_file(tmp_path):
    path = tmp_path / "mine.yaml"
    path.write_text("train: {epochs: 3}\nmodel: {width: 8}\ndata: {digits: {train: {flip: false}}}\n")
    recipe = load_recipe(str(path), {"train.epochs": 4}, data="digits")
    assert (recipe.name, recipe.train.epochs, recipe.train.flip) == ("mine", 4, False)
    assert load_recipe(str(path)).train.flip


@pytest.mark.parametrize(
    ("text", "match"),
    [
        ("train: [1", "not valid YAML"),
        ("- 1", "a recipe must be a mapping"),
        ("trian: {}", "Unknown recipe section 'trian'. Did you mean 'train'"),
        ("train: 3", "'train' must be a mapping"),
        ("train: {epocs: 3}", r"wrong\.yaml: Unknown recipe key .* Did you mean 'train.epochs'"),
        ("train: {lr: -1}", r"wrong\.yaml: train\.lr must lie in 0 to 1000, got -1"),
        ("data: {cifar10: {train: {lr: .nan}}}", r"wrong\.yaml: data\.cifar10: train\.lr must be a number"),
        (
            "data: {digits: {epochs: 3}}",
            "Unknown recipe section 'data.digits.epochs'.*: data.digits.model, data",
        ),
        ("data: {digits: {trian: {epochs: 3}}}", "Did you mean 'data.digits.train'"),
        ("data: {cifar10: {train: {epocs: 3}}}", "Did you mean 'train.epochs'"),
        (
            "data: {digit: {train: {epochs: 3}}}",
            r"Unknown data set in .*wrong\.yaml' 'digit'\. Did you mean 'digits'",
        ),
    ],
)
def test_wrong_files(tmp_path, text, match):
    path = tmp_path / "wrong.yaml"
    path.write_text(text)
    with pytest.raises(InputError, match=match):
        load_recipe(str(path), data="digits")


def test_a_runs_own_recipe_is_one(tmp_path):
    recipe = load_recipe("cpu", {"train.epochs": 3, "model.width": 8})
    write_plan(tmp_path, "npz:own.npz", "sdnet20", recipe)
    assert load_recipe(str(tmp_path / "recipe.yaml"), data="digits") == recipe


def test_unknown_names():
    with pytest.raises(InputError, match="Unknown recipe ''"):
        load_recipe("")
    with pytest.raises(InputError, match=r"Unknown recipe 'fats'. Did you mean 'fast'"):
        load_recipe("fats")
    with pytest.raises(InputError, match=r"Cannot read 'nowhere.yaml'"):
        load_recipe("nowhere.yaml")


@pytest.mark.parametrize("norm", ["l2", "l1"])
def test_a_norm_without_its_eps_is_refused(norm: str) -> None:
    with pytest.raises(InputError, match=f"8/255 is a linf budget .* in {norm}. Give train.eps"):
        load_recipe("pgd-at", {"train.norm": norm})
    assert load_recipe("pgd-at", {"train.norm": norm, "train.eps": "1/2"}).train.radius == 0.5
    assert load_recipe("published", {"train.norm": norm}).train.norm == norm  # no adversary, no eps


@pytest.mark.parametrize("recipe", ["pgd-at", "trades"])
def test_steps_of_the_adversary_follow_its_budget(recipe: str) -> None:
    """Ten steps of 2/255 reach a sixth of this l2 ball."""
    assert load_recipe(recipe).train.step_radius == 2 / 255
    given = {"train.norm": "l2", "train.eps": "128/255", "train.attack_steps": 5}
    assert load_recipe(recipe, given).train.step_radius == pytest.approx(64 / 255)
