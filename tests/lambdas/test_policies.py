"""Policies: fixed and calibrated ones against closed forms, and how any is fitted, kept and deployed."""

from __future__ import annotations

import copy
import json
import math
import time
from concurrent.futures import ThreadPoolExecutor
from contextlib import nullcontext
from dataclasses import replace
from functools import partial

import numpy as np
import pytest
import torch

from robustbench_sdnet.corruptions import corrupt
from robustbench_sdnet.data.images import from_arrays
from robustbench_sdnet.errors import DataError, InputError
from robustbench_sdnet.lambdas import (
    Calibrated,
    CalibratedFit,
    Fixed,
    LabelFree,
    calibrate,
    calibration,
    reference,
)
from robustbench_sdnet.lambdas.calibrated import mean_energy, noise_level, plot_fit
from robustbench_sdnet.lambdas.calibration import PUBLISHED_LEVELS, TRIED
from robustbench_sdnet.lambdas.lines import Line, fit_lines
from robustbench_sdnet.lambdas.policy import Fitting, deploy
from robustbench_sdnet.specs import ModelSpec
from robustbench_sdnet.specs.lambdas import CALIBRATIONS, CRITERIA, LAMBDAS, parse_policy
from robustbench_sdnet.store.fits import Fits
from robustbench_sdnet.zoo import use_lambda

NOISES = {"gaussian_noise": (0.05, 0.2), "salt_and_pepper": (0.1,)}


@pytest.fixture(scope="module")
def fit(model, pixels, labels):
    return calibrate(model, pixels, labels.numpy(), noises=NOISES, lambdas=(0.1, 0.5, 1.0), source="abc")


def line(slope, intercept, lambdas=(0.1, 1.4)):
    return CalibratedFit(dict.fromkeys(CALIBRATIONS, Line(slope, intercept)), lambdas, 0.1, (), 1, 0)


def test_fixed(model, images):
    assert Fixed(0.3)(model, images).tolist() == pytest.approx([0.3] * len(images))
    with pytest.raises(InputError, match="not negative"):
        Fixed(-1.0)


def test_a_single_image_is_shown_at_every_level(model, pixels):
    fit = calibrate(
        model, pixels[:1], np.zeros(1, int), noises={"shot_noise": (0.1, 0.2)}, lambdas=(0.1, 0.5)
    )
    assert [len(point.residuals) for point in fit.points] == [1, 1, 1]


def test_a_fit_holds_its_data(fit):
    assert [(point.noise, point.level) for point in fit.points] == [
        ("clean", 0.0), ("gaussian_noise", 0.05), ("gaussian_noise", 0.2), ("salt_and_pepper", 0.1),
    ]  # fmt: skip
    assert [len(point.residuals) for point in fit.points] == [24, 12, 12, 12]
    clean, mild, strong, _ = fit.points
    assert clean.accuracies[0] == 1.0  # labels are the model's own answers at 0.1
    assert clean.residual < mild.residual < strong.residual
    assert fit.lines == fit_lines(CalibratedFit.from_json(fit.to_json()).points, fit.lambdas)
    assert set(fit.lines) == set(CALIBRATIONS)


def test_a_fit_measures_what_the_model_does(every, pixels, images):
    with use_lambda(every, 0.3, scope="all"):
        own = every(images).argmax(1)
    others = torch.arange(24) % 5 == 2
    labels = torch.where(others, (own + 1) % 10, own)  # some wrong: labels of other images would not do
    steps = []
    ids = [100 - k for k in range(24)]
    fit = calibrate(
        every, pixels, labels.numpy(), noises={"gaussian_noise": (0.1, 0.2)}, lambdas=(0.3, 0.4), scope="all",
        sample_ids=ids, seed=5, batch_size=7, on_level=lambda done, levels: steps.append((done, levels)),
    )  # fmt: skip
    assert steps == [(0, 3), (1, 3), (2, 3), (3, 3)]
    for half, level in enumerate((0.1, 0.2)):  # neighbouring levels look at different halves
        noisy = corrupt(pixels[half::2], "gaussian_noise", level=level, seed=5, sample_ids=ids[half::2])
        shown = torch.from_numpy(noisy).permute(0, 3, 1, 2) / 255
        found = fit.points[1 + half]
        assert found.residuals == pytest.approx(mean_energy(every, shown, 0.1).tolist(), abs=1e-5)
        for lam, right in zip((0.3, 0.4), found.right, strict=True):
            with use_lambda(every, lam, scope="all"):
                hits = every(shown).argmax(1) == labels[half::2]
            assert right == "".join(str(int(hit)) for hit in hits)
    clean = fit.points[0]
    assert clean.residuals == pytest.approx(mean_energy(every, images, 0.1).tolist(), abs=1e-5)
    assert clean.noise_levels == pytest.approx(noise_level(every, images).tolist(), abs=1e-5)
    expected = "".join(str(int(not other)) for other in others)
    assert clean.right[0] == expected, "its own answers, at the same lambda of the same layers"
    stem = calibrate(every, pixels, labels.numpy(), noises={"gaussian_noise": (0.1,)}, lambdas=(0.3, 0.4))
    assert stem.points[0].right[0] != clean.right[0]
    assert stem.points[0].residuals == clean.residuals


def test_half_of_the_published_lambdas_are_tried():
    assert TRIED == (0.1, 0.3, 0.5, 0.7, 0.9, 1.1, 1.3, 1.4)
    assert set(TRIED) <= set(LAMBDAS)


CHANGES = (
    {"lines": {}},
    {"lines": {rule: {"slope": "a", "intercept": None} for rule in CALIBRATIONS}},
    {"lines": {rule: {"slope": math.nan, "intercept": 0.1} for rule in CALIBRATIONS}},
    {"lambdas": []},
    {"lambdas": ["a", "b"]},
    {"lambdas": [-1, 1]},
    {"residual_lambda": "x"},
    {"residual_lambda": -0.1},
    {"residual_lambda": 10**400},
)


def test_a_fit_survives_json(fit):
    again = CalibratedFit.from_json(fit.to_json())
    assert again == fit
    assert [again.identity(rule) for rule in CALIBRATIONS] == [fit.identity(rule) for rule in CALIBRATIONS]
    for text in (
        "",
        "[]",
        "[" * 100_000,
        "{}",
        '{"points": [{"noise": "x"}]}',
        '{"points": [], "lines": [], "lambdas": []}',
        *(json.dumps({**json.loads(fit.to_json()), **changed}) for changed in CHANGES),
    ):
        with pytest.raises(DataError, match="not a lambda fit"):
            CalibratedFit.from_json(text)


def test_a_fit_can_be_seen(fit, tmp_path):
    assert plot_fit(fit, tmp_path / "fit.svg").read_text().startswith("<?xml")
    assert plot_fit(fit, tmp_path / "fit.png").stat().st_size > 1000


def test_published_levels():
    assert PUBLISHED_LEVELS["gaussian_noise"] == (0.02, 0.04, 0.06, 0.08, 0.1, 0.12, 0.14, 0.16, 0.18, 0.2)
    assert PUBLISHED_LEVELS["shot_noise"] == (60, 54, 48, 42, 36, 30, 24, 18, 12, 6)
    assert PUBLISHED_LEVELS["speckle_noise"] == (0.1, 0.2, 0.3, 0.4, 0.5, 0.6)
    assert PUBLISHED_LEVELS["salt_and_pepper"] == (0.03, 0.06, 0.09, 0.12, 0.15, 0.18, 0.21, 0.24, 0.27)


def test_calibrated_follows_its_line_a_sample_or_a_batch(model, images):
    r = mean_energy(model, images, 0.1)
    policy = Calibrated(line(2.0, 0.05))
    torch.testing.assert_close(policy(model, images), (0.05 + 2 * r).clamp(0.1, 1.4))
    trained = replace(line(2.0, 0.05), residual_lambda=0.4)  # of a network that was trained there
    expected = (0.05 + 2 * mean_energy(model, images, 0.4)).clamp(0.1, 1.4)
    torch.testing.assert_close(Calibrated(trained)(model, images), expected)
    batch = Calibrated(line(2.0, 0.05), per="batch")(model, images)
    assert batch.unique().numel() == 1
    assert float(batch[0]) == pytest.approx(float((0.05 + 2 * r.mean()).clamp(0.1, 1.4)), rel=1e-5)
    assert Calibrated(line(1.0, 9.0))(model, images).tolist() == pytest.approx([1.4] * len(images))
    assert Calibrated(line(2.0, 0.05)).identity() != Calibrated(line(2.0, 0.06)).identity()
    assert len({Calibrated(line(2.0, 0.05), rule).identity() for rule in CALIBRATIONS}) == 4
    fits = [line(2.0, 0.05), line(2.0, 0.05, (0.1, 1.3)), line(2.0, 0.05, (0.2, 1.4))]
    apart = [*fits, replace(fits[0], residual_lambda=0.2)]
    others = {Calibrated(fit).identity() for fit in apart} | {Calibrated(fits[0], per="batch").identity()}
    assert len(others) == 5, "everything that lambda depends on"
    assert Calibrated(replace(fits[0], images=9)).identity() in others
    noise = Calibrated(line(2.0, 0.05), "noise")
    torch.testing.assert_close(noise(model, images), (0.05 + 2 * noise_level(model, images)).clamp(0.1, 1.4))
    with pytest.raises(InputError, match="Did you mean 'published'"):
        Calibrated(line(1.0, 0.0), "publish")
    with pytest.raises(InputError, match="per must be"):
        Calibrated(line(1.0, 0.0), per="pixel")


def test_calibration_needs_images_and_noises(model, pixels, labels):
    for count, noises in ((0, NOISES), (4, {}), (4, {"shot_noise": []})):
        with pytest.raises(InputError, match="training images"):
            calibrate(model, pixels[:count], labels[:count].numpy(), noises=noises)
    with pytest.raises(InputError, match="4 images, 3 labels, noise at 3 levels"):
        calibrate(model, pixels[:4], labels[:3].numpy(), noises=NOISES)
    for given, message in (
        ({"sample_ids": [1]}, "must name each of the 4 images, got 1 ids"),
        ({"sample_ids": [0, 1, 2, 2.5]}, "sample_ids must be whole numbers from 0"),
        ({"batch_size": 0}, "batch_size must be a whole number from 1"),
        ({"lambdas": (0.1, 0.1)}, "at least two lambdas"),
        ({"lambdas": 0.1}, "at least two lambdas"),
        ({"lambdas": "ab"}, "lambda must be finite and not negative, got 'ab'"),
        ({"lambdas": (0.1, -1)}, "lambda must be finite and not negative, got '-1'"),
        ({"noises": "noise"}, "noises must map names of corruptions to levels, got 'noise'"),
        ({"noises": {"gaussian_noise": ["mild"]}}, "A level of gaussian_noise must be a number, got 'mild'"),
        ({"model": "sdnet20"}, "model must be a module, got 'sdnet20'. Load one by name"),
        ({"images": None}, "must be uint8 arrays or tensors, got NoneType"),
        ({"labels": None}, "4 images, 1 label, noise at 3 levels"),
        ({"seed": "one"}, "seed must be a whole number, got 'one'"),
    ):
        asked = {"model": model, "images": pixels[:4], "labels": labels[:4].numpy(), "noises": NOISES}
        with pytest.raises(InputError, match=message):
            calibrate(**{**asked, **given})
    alone = calibrate(model, pixels, labels.numpy(), noises={"gaussian_noise": 0.1}, lambdas=("0.1", 1))
    assert ([point.level for point in alone.points], alone.lambdas) == ([0.0, 0.1], (0.1, 1.0))
    given = {"noises": {"gaussian_noise": torch.tensor([0.125, 0.5])}, "lambdas": torch.tensor([0.25, 1])}
    tensors = calibrate(model, pixels, labels, seed=np.int64(3), **given)
    assert [point.level for point in tensors.points] == [0.0, 0.125, 0.5]
    assert CalibratedFit.from_json(tensors.to_json()) == tensors


def test_fits_take_a_model_in_evaluation_class_numbers_and_images_in_their_range(
    model, images, pixels, labels
):
    one_hot = torch.nn.functional.one_hot(labels).numpy()
    for given, error, message in (
        ({"labels": one_hot}, DataError, "Take the argmax of one-hot labels"),
        ({"labels": labels.numpy() + 0.5}, DataError, "must be a non-empty vector of integers"),
        ({"labels": labels.numpy() - 9}, DataError, "number the classes from 0, got -"),
        ({"images": images}, InputError, "must be uint8 arrays or tensors, got torch.float32"),
    ):
        asked = {"images": pixels, "labels": labels.numpy(), **given}
        with pytest.raises(error, match=message):
            calibrate(model, **asked, noises=NOISES)
    for given, message in (
        (images * 255, "must lie in .0, 1.*Divide by 255"),
        (pixels, "got uint8"),
        (images[:0], "A reference needs at least one clean image"),
    ):
        with pytest.raises(InputError, match=message):
            reference(model, given)
    with pytest.raises(InputError, match="batch_size must be a whole number from 1"):
        reference(model, images, batch_size=0)
    training = copy.deepcopy(model).train()
    kept = copy.deepcopy(training.state_dict())
    for fit in (lambda: calibrate(training, pixels, labels.numpy()), lambda: reference(training, images)):
        with pytest.raises(InputError, match=r"in training mode. Call model\.eval\(\) first"):
            fit()
    assert all(torch.equal(value, kept[key]) for key, value in training.state_dict().items())


@pytest.mark.parametrize("name", ["calibrated", *CRITERIA])
def test_a_lambda_depends_on_its_image_alone(model, images, name):
    policy = Calibrated(line(2.0, 0.05)) if name == "calibrated" else LabelFree(name)
    whole = policy(model, images)
    torch.testing.assert_close(policy(model, images[5:9]), whole[5:9])
    assert whole.shape == (len(images),)
    assert whole.dtype == images.dtype


def test_shuffled_test_labels_change_no_policy(model, pixels, images, labels):
    train, test = slice(0, 12), slice(12, 24)
    shuffled = labels.roll(1)
    assert not torch.equal(shuffled[test], labels[test])
    found = []
    for given in (labels, torch.cat([labels[train], shuffled[test]])):
        fit = calibrate(
            model, pixels[train], given[train].numpy(), noises={"gaussian_noise": (0.1,)}, lambdas=(0.1, 0.9)
        )
        free = [LabelFree(name, reference=reference(model, images[train])) for name in CRITERIA]
        found.append([policy(model, images[test]) for policy in (Calibrated(fit), *free)])
    for first, second in zip(*found, strict=True):
        assert torch.equal(first, second)


def test_only_a_policy_with_a_rule_is_deployed():
    for text in ("oracle", "0.3"):
        with pytest.raises(InputError, match=r"no rule to deploy\. Take calibrated or label-free"):
            deploy(parse_policy(text), None)


def measured(model, ask, arguments):
    yield from ((number, ask(model, "cpu", *make())) for number, make in enumerate(arguments))


def fitting_of(model, pixels, labels=(2, 0, 1) * 8, **changes):
    """What a policy is fitted with: three training images, asked of the model right here, and no fit is kept."""
    return replace(
        Fitting(
            model=ModelSpec(name="m", source="m", arch="sdnet20", weights="w", training_lambda=0.1),
            measure=partial(measured, model),
            data=from_arrays("npz:x", "train", pixels, np.array(labels), 3, "x"),
            count=3,
            scope="stem",
            batch_size=250,
            kept=Nowhere(),
        ),
        **changes,
    )


class Nowhere:
    """Keeps no fit, but the names they are made under."""

    def __init__(self):
        self.names = []

    def read(self, name):
        return None

    def one_process(self, name):
        self.names.append(name)
        return nullcontext()

    def keep(self, name, text, draw=None):
        pass

    def forget(self, name):
        pass


def test_policies_are_fitted_on_all_classes_of_a_set_that_lies_class_behind_class(model, pixels, monkeypatch):
    """As a folder of classes does: its first images are of one class alone. Of any other set the first are taken."""
    seen = []
    calibrated = CalibratedFit({}, (0.1, 1.4), 0.1, (), 3, 0)
    monkeypatch.setattr(calibration, "_levels", lambda *shown: seen.append(shown) or [])
    monkeypatch.setattr(calibration, "_fit", lambda *_, **__: calibrated)
    shuffled = np.array([2, 0, 1] * 8)
    for labels, wanted in ((np.sort(shuffled), [0, 8, 16]), (shuffled, [0, 1, 2])):
        fitting = fitting_of(model, pixels, labels)
        deploy(parse_policy("calibrated"), fitting)
        shown, truth, ids, _ = seen.pop()
        assert (shown == pixels[wanted]).all()
        assert (truth.tolist(), ids.tolist()) == (labels[wanted].tolist(), wanted)
        clean = torch.from_numpy(pixels[wanted]).permute(0, 3, 1, 2) / 255
        assert deploy(parse_policy("label-free"), fitting).reference == reference(model, clean)


def test_what_is_fitted_and_under_which_name_it_is_kept(model, pixels, monkeypatch):
    seen, kept = [], Nowhere()
    calibrated = CalibratedFit({}, (0.1, 1.4), 0.1, (), 3, 0)
    monkeypatch.setattr(calibration, "_levels", lambda *_: [])
    monkeypatch.setattr(calibration, "_fit", lambda points, tried, **_: seen.append(tried) or calibrated)
    other = from_arrays("npz:x", "train", pixels[::-1].copy(), np.array([2, 0, 1] * 8), 3, "x")
    fitting = fitting_of(model, pixels, kept=kept)
    changes = [
        {}, {"scope": "all"}, {"count": 4}, {"data": other}, {"model": replace(fitting.model, weights="v")},
    ]  # fmt: skip
    for change in changes:
        deploy(parse_policy("calibrated"), replace(fitting, **change))
        assert (seen[-1].lambdas, seen[-1].scope) == (TRIED, change.get("scope", "stem"))
    deploy(parse_policy("calibrated:test-labels"), fitting)
    assert seen[-1].lambdas == LAMBDAS, "the published rule tries all of the published ones"
    assert deploy(parse_policy("label-free:entropy"), replace(fitting, scope="all")).scope == "all"
    assert len(set(kept.names)) == len(kept.names) == 7
    deploy(parse_policy("calibrated:noise"), fitting)
    assert kept.names[-1] == kept.names[0], "the rules of the same images share one measurement"


@pytest.mark.filterwarnings("ignore::robustbench_sdnet.errors.WaitWarning")  # who waits is chance
@pytest.mark.parametrize("policy", ["calibrated", "label-free"])
def test_those_who_want_a_fit_at_once_wait_for_one_and_take_it(model, pixels, tmp_path, policy):
    """Each would be another policy where their devices round differently, and its answers a row of their own."""
    asked = []

    def slowly(ask, arguments):
        asked.append(ask)
        time.sleep(0.2)  # until all have found no fit
        return measured(model, ask, arguments)

    fitting = fitting_of(model, pixels, measure=slowly, kept=Fits(tmp_path))
    with ThreadPoolExecutor(3) as pool:
        found = [pool.submit(deploy, parse_policy(policy), fitting) for _ in range(3)]
    assert len({one.result().identity() for one in found}) == 1
    assert len(asked) == 1
    assert not list(tmp_path.glob(".*"))
    (kept,) = tmp_path.glob("*.json")
    whole = kept.read_text()
    for damaged in ("7", "", whole[: len(whole) // 2] + "x", "nan", "-1", "1e999", "[" * 100_000):
        kept.write_text(damaged)
        assert deploy(parse_policy(policy), fitting).identity() == found[0].result().identity()
        assert kept.read_text() == whole, "made again"
        kept.with_suffix(".sha256").unlink()  # as of older versions, or who damages on purpose


def test_a_fit_that_was_stopped_goes_on_where_it_was(model, pixels, tmp_path):
    """Levels come in any order; those of a file that is damaged are asked again."""
    asked = []

    def stopped(after, ask, arguments):
        asked.append(len(arguments))
        for number, make in list(enumerate(arguments))[: -after - 1 : -1]:
            yield number, ask(model, "cpu", *make())
        raise KeyboardInterrupt

    at_once, resumed = (fitting_of(model, pixels, kept=Fits(tmp_path / name)) for name in ("a", "b"))
    deploy(parse_policy("calibrated"), at_once)
    for after, damage in ((3, ""), (5, " "), (20, "")):
        with pytest.raises(KeyboardInterrupt):
            deploy(parse_policy("calibrated"), replace(resumed, measure=partial(stopped, after)))
        (begun,) = resumed.kept.folder.glob("*.json")
        begun.write_text(begun.read_text() + damage)
    with pytest.raises(KeyboardInterrupt):
        deploy(parse_policy("calibrated"), replace(resumed, measure=partial(stopped, 16)))
    assert asked == [36, 33, 36, 16]
    (begun,) = resumed.kept.folder.glob("*.json")
    found = json.loads(begun.read_text())
    whole = found["20"]
    for field, of_it in (("right", whole["right"][1:]), ("right", [text[1:] for text in whole["right"]])):
        begun.write_text(json.dumps({**found, "20": {**whole, field: of_it}}))
        begun.with_suffix(".sha256").unlink(missing_ok=True)
        with pytest.raises(KeyboardInterrupt):
            deploy(parse_policy("calibrated"), replace(resumed, measure=partial(stopped, 0)))
        assert asked[-1] == 36, "not what would end in an error once all is there"
    deploy(parse_policy("calibrated"), resumed)
    kept = [
        {path.name: path.read_bytes() for path in one.kept.folder.iterdir()} for one in (at_once, resumed)
    ]
    assert kept[0] == kept[1]


def test_numbers_of_policies_are_checked_and_named_apart():
    assert Fixed(0.12345678).name == "0.12345678"
    rules = [Calibrated(line(1.0, 0.0), rule) for rule in CALIBRATIONS]
    for policy, detail in zip([*rules, *map(LabelFree, CRITERIA)], [*CALIBRATIONS, *CRITERIA], strict=True):
        kind = "calibrated" if policy in rules else "label-free"
        assert policy.name == parse_policy(f"{kind}:{detail}").text, "as it is asked for and shown"
    assert Fixed("0.3").value == 0.3
    for made in (lambda: Fixed("a"), lambda: Fixed(None), lambda: LabelFree("noise", strength="a")):
        with pytest.raises(InputError, match="must be"):
            made()
