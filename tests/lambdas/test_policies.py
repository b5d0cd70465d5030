"""What each policy chooses, against closed forms."""

from __future__ import annotations

import copy
import json
import math
from dataclasses import replace
from types import SimpleNamespace

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
    Reference,
    calibrate,
    calibration,
    reference,
    sweep_lambdas,
)
from robustbench_sdnet.lambdas.calibrated import mean_energy, noise_level, plot_fit
from robustbench_sdnet.lambdas.calibration import PUBLISHED_LEVELS, TRIED
from robustbench_sdnet.lambdas.label_free import _discrepancy, noise_variance
from robustbench_sdnet.lambdas.lines import FitPoint, Line, fit_lines, line_through, most_accurate
from robustbench_sdnet.lambdas.policy import Fitting, deploy
from robustbench_sdnet.lambdas.sweep import stem_of
from robustbench_sdnet.specs import ModelSpec
from robustbench_sdnet.specs.lambdas import CALIBRATIONS, CRITERIA, LAMBDAS, parse_policy
from robustbench_sdnet.zoo import build_model, use_lambda
from robustbench_sdnet.zoo.nets.csc import csc1d, csc_linear

NOISES = {"gaussian_noise": (0.05, 0.2), "salt_and_pepper": (0.1,)}


def noisy(images, sigma, seed=0):
    generator = torch.Generator().manual_seed(seed)
    return (images + sigma * torch.randn(images.shape, generator=generator)).clamp(0, 1)


@pytest.fixture(scope="module")
def fit(model, pixels, labels):
    return calibrate(model, pixels, labels.numpy(), noises=NOISES, lambdas=(0.1, 0.5, 1.0), source="abc")


def line(slope, intercept, lambdas=(0.1, 1.4)):
    return CalibratedFit(dict.fromkeys(CALIBRATIONS, Line(slope, intercept)), lambdas, 0.1, (), 1, 0)


def point(noise, level, seen, *right):
    """A level whose images are answered as each text says, the residual also standing for the noise level."""
    return FitPoint(noise, level, tuple(seen), tuple(seen), right)


def test_fixed(model, images):
    assert Fixed(0.3)(model, images).tolist() == pytest.approx([0.3] * len(images))
    with pytest.raises(InputError, match="not negative"):
        Fixed(-1.0)


def test_the_line_through_points():
    assert line_through([0, 1, 2], [1, 3, 5]) == Line(pytest.approx(2), pytest.approx(1))
    assert line_through([0, 1, 2], [0, 3, 0]) == Line(pytest.approx(0), pytest.approx(1))
    assert line_through([1, 1], [2, 4]) == line_through([0, 0], [2, 4]) == Line(0.0, 3.0)
    # The mean of equal numbers may be another number in its last digit.
    assert line_through([0.1] * 3, [1, 2, 4]) == Line(0.0, pytest.approx(7 / 3))
    assert line_through([0.3, 0.1 + 0.2], [0, 1]) == Line(0.0, 0.5)


def test_the_most_accurate_line_gives_each_image_the_lambda_it_needs():
    # Clean images are right at the first lambda alone, noisy ones at the last alone: only a rising line suits both.
    points = [
        point("clean", 0.0, (0.1, 0.2), "11", "00", "00"), point("gaussian_noise", 1.0, (0.8, 0.9), "00", "00", "11"),
    ]  # fmt: skip
    lambdas = (0.1, 0.5, 1.0)
    found = most_accurate(points, lambdas, [p.residuals for p in points])
    given = [min(max(found.intercept + found.slope * r, 0.1), 1.0) for p in points for r in p.residuals]
    assert given == pytest.approx([0.1, 0.1, 1.0, 1.0])


def test_lines_are_tried_in_tenths_at_both_ends_of_the_images_and_well_beyond_the_lambdas():
    # 40 images from 0 to 1, of which one half needs 0.1 and the other 1.4: the steepest line suits them best, from 1.5
    # below the lambdas at the 5 % quantile to 1.4 above them at the 95 % one, where the last tenth before 1.5 lies.
    seen = [(k + 0.5) / 40 for k in range(40)]
    found = most_accurate(
        [point("clean", 0.0, seen, "1" * 20 + "0" * 20, "0" * 20 + "1" * 20)], (0.1, 1.4), [seen]
    )
    ends = [found.intercept + found.slope * float(np.quantile(seen, share)) for share in (0.05, 0.95)]
    assert ends == pytest.approx([-1.4, 2.8])


def test_of_equal_lines_the_one_with_the_smallest_lambdas_stands():
    points = [point("clean", 0.0, (0.1, 0.9), "11", "11", "11")]
    found = most_accurate(points, (0.1, 0.5, 1.0), [points[0].residuals])
    assert max(found.intercept + found.slope * r for r in (0.1, 0.9)) <= 0.1


def test_more_noise_never_gets_a_smaller_lambda():
    # A falling line would suit both; of rising ones a flat one suits half.
    points = [point("clean", 0.0, (0.1, 0.2), "00", "11"), point("shot_noise", 1.0, (0.8, 0.9), "11", "00")]
    assert most_accurate(points, (0.1, 1.0), [p.residuals for p in points]).slope == 0


def test_a_single_image_is_shown_at_every_level(model, pixels):
    fit = calibrate(
        model, pixels[:1], np.zeros(1, int), noises={"shot_noise": (0.1, 0.2)}, lambdas=(0.1, 0.5)
    )
    assert [len(point.residuals) for point in fit.points] == [1, 1, 1]


def test_each_rule_looks_at_its_own_number_and_accuracy():
    # Residuals tell nothing apart, estimated noise does; of a flat top from 0.1 to 0.5 the middle counts, or its first.
    low = FitPoint("clean", 0.0, (0.5, 0.5), (0.1, 0.2), ("11", "11", "00"))
    high = FitPoint("gaussian_noise", 1.0, (0.5, 0.5), (0.8, 0.9), ("00", "00", "11"))
    lines = fit_lines([low, high], (0.1, 0.5, 1.0))
    assert lines["residual"].slope == 0 < lines["noise"].slope
    assert lines["published"] == Line(0.0, pytest.approx((0.3 + 1.0) / 2))
    assert lines["test-labels"] == Line(0.0, pytest.approx((0.1 + 1.0) / 2))


def test_a_level_that_does_not_care_has_no_say_and_conditions_count_the_same():
    # Nine noise levels are right nowhere but twice, at 1.0; the published rule follows them, accuracy the clean images.
    clean = point("clean", 0.0, [0.1] * 10, "1" * 10, "0" * 10)
    noisy = [point("shot_noise", k, [0.1] * 10, "0" * 10, "11" + "0" * 8) for k in range(9)]
    lines = fit_lines([clean, *noisy], (0.1, 1.0))
    assert lines["residual"] == lines["noise"] == Line(0.0, 0.1)
    assert lines["published"].slope == 0
    assert lines["published"].intercept == pytest.approx((9 * 1.0 + 0.1) / 10)
    # Once the noise, as one condition, gains more than the clean images lose, it has its way.
    gaining = [point("shot_noise", k, [0.1] * 10, "0" * 10, "1" * 10) for k in range(9)]
    losing = point("clean", 0.0, [0.1] * 10, "1" * 10, "1" * 9 + "0")
    assert fit_lines([losing, *gaining], (0.1, 1.0))["residual"] == Line(0.0, 1.0)


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
    {"residual_lambda": "x"},
)


def test_a_fit_survives_json(fit):
    again = CalibratedFit.from_json(fit.to_json())
    assert again == fit
    assert [again.identity(rule) for rule in CALIBRATIONS] == [fit.identity(rule) for rule in CALIBRATIONS]
    for text in (
        "",
        "[]",
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
    for count, noises in ((0, NOISES), (4, {})):
        with pytest.raises(InputError, match="training images"):
            calibrate(model, pixels[:count], labels[:count].numpy(), noises=noises)
    with pytest.raises(InputError, match="4 images, 3 labels, 4 ids and 2 noises"):
        calibrate(model, pixels[:4], labels[:3].numpy(), noises=NOISES)
    with pytest.raises(InputError, match="4 images, 4 labels, 1 ids and 2 noises"):
        calibrate(model, pixels[:4], labels[:4].numpy(), noises=NOISES, sample_ids=[1])
    with pytest.raises(InputError, match="batch_size must be a whole number from 1"):
        calibrate(model, pixels[:4], labels[:4].numpy(), noises=NOISES, batch_size=0)
    with pytest.raises(InputError, match="at least two lambdas"):
        calibrate(model, pixels, labels.numpy(), noises=NOISES, lambdas=(0.1, 0.1))


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
    for given, message in ((images * 255, "must lie in .0, 1.*Divide by 255"), (pixels, "got uint8")):
        with pytest.raises(InputError, match=message):
            reference(model, given)
    training = copy.deepcopy(model).train()
    kept = copy.deepcopy(training.state_dict())
    for fit in (lambda: calibrate(training, pixels, labels.numpy()), lambda: reference(training, images)):
        with pytest.raises(InputError, match=r"in training mode. Call model\.eval\(\) first"):
            fit()
    assert all(torch.equal(value, kept[key]) for key, value in training.state_dict().items())


def test_noise_variance_of_white_noise_is_its_variance():
    # 64 images of 3 x 32 x 32 values: the relative error of the mean is about 1 %.
    x = 0.3 * torch.randn((64, 3, 32, 32), generator=torch.Generator().manual_seed(0), dtype=torch.float64)
    assert float(noise_variance(x).mean()) == pytest.approx(0.09, rel=0.03)
    unequal = x * x.new_tensor([1.0, 2.0, 3.0]).reshape(3, 1, 1)  # variances are averaged, not deviations
    assert float(noise_variance(unequal).mean()) == pytest.approx(0.09 * 14 / 3, rel=0.03)


def test_noise_of_images_too_small_for_the_filter_is_refused():
    for height, width in ((1, 2), (2, 3), (3, 2)):
        with pytest.raises(InputError, match=f"takes 3x3 pixels or more, got {height}x{width}"):
            noise_variance(torch.rand(2, 3, height, width))
    assert noise_variance(torch.rand(2, 3, 3, 3)).shape == (2,)


@pytest.mark.parametrize("criterion", ["noise", "discrepancy"])
@pytest.mark.parametrize(
    ("layer", "shape"), [(csc1d(2, 4, length=16), (5, 2, 16)), (csc_linear(5, 4), (5, 5))]
)
def test_noise_is_estimated_of_images_alone(criterion, layer, shape):
    with pytest.raises(InputError, match=r"from images \(n, c, h, w\), got .* Take label-free:entropy"):
        LabelFree(criterion)(layer.eval(), torch.rand(shape))


def test_noise_variance_does_not_see_ramps():
    ramp = torch.arange(8.0)[:, None] * 2 + torch.arange(8.0)
    assert float(noise_variance(ramp.expand(1, 3, 8, 8))) == pytest.approx(0, abs=1e-9)


def test_the_noise_criterion_is_the_universal_threshold(model, images):
    floor = reference(model, images)
    assert floor.variance == pytest.approx(float(noise_variance(stem_of(model, images).x).median()))
    x = noisy(images, 0.1)
    sigma = (noise_variance(stem_of(model, x).x) - floor.variance).clamp_min(1e-12).sqrt()
    expected = (sigma.square() * 2 * math.log(4) + 0.1**2).sqrt().clamp(max=1.4)  # 4 atoms, trained at 0.1
    torch.testing.assert_close(LabelFree("noise", reference=floor)(model, x), expected)
    doubled = ((2 * sigma).square() * 2 * math.log(4) + 0.1**2).sqrt().clamp(max=1.4)
    torch.testing.assert_close(LabelFree("noise", reference=floor, strength=2)(model, x), doubled)


@pytest.mark.parametrize("criterion", ["noise", "discrepancy"])
def test_more_noise_asks_for_a_larger_lambda(model, images, criterion):
    policy = LabelFree(criterion, reference=reference(model, images))
    means = [float(policy(model, noisy(images, sigma)).mean()) for sigma in (0.0, 0.1, 0.3)]
    assert means[0] < means[1] < means[2]


@pytest.mark.parametrize("strength", [1, 0.5])
def test_discrepancy_lets_the_residual_grow_by_the_noise_energy(model, images, strength):
    lambdas = tuple(round(0.1 + 0.005 * k, 3) for k in range(600))
    policy = LabelFree("discrepancy", lambdas=lambdas, strength=strength)
    x = noisy(images, 0.03)
    chosen = policy(model, x)
    stem = stem_of(model, x)
    before, after = (energy / stem.x[0].numel() for energy in stem.residuals([0.1, chosen]))
    inside = (chosen > 0.101) & (chosen < 3.0)
    assert inside.sum() > 5
    energy = strength * noise_variance(stem.x)
    torch.testing.assert_close((after - before)[inside], energy[inside], rtol=0.02, atol=1e-4)


def test_discrepancy_stops_where_the_residual_has_first_grown_by_the_noise_energy():
    # Growth of 0, 0.5, 0.2 and 1 at 0.1 to 0.4: 0.3 is first reached at 0.1 + 0.1 * 0.3 / 0.5, before the dip.
    energies = torch.tensor([[1.0], [1.5], [1.2], [2.0]])
    x = torch.zeros(1, 1, 1, 1)
    stem = SimpleNamespace(trained_lambda=0.1, x=x, residuals=lambda grid: energies)
    for variance, lam in (
        (0.3, 0.16),
        (0.75, 0.35),
        (9.0, 0.4),
    ):  # more noise than the last explains takes the last
        found = _discrepancy(stem, torch.tensor([variance]), (0.2, 0.3, 0.4))
        assert found.tolist() == pytest.approx([lam])


def test_discrepancy_without_noise_is_the_training_lambda(model, images):
    policy = LabelFree("discrepancy", reference=Reference(1e9))
    torch.testing.assert_close(policy(model, images), torch.full((len(images),), 0.1), rtol=0, atol=1e-3)


def test_entropy_takes_the_most_certain_prediction(model, images):
    lambdas = (0.1, 0.6, 1.2)
    chosen = LabelFree("entropy", lambdas=lambdas)(model, images)
    entropies = torch.stack(
        [torch.distributions.Categorical(logits=z).entropy() for z in sweep_lambdas(model, images, lambdas)]
    )
    expected = torch.tensor(lambdas)[entropies.argmin(0)]
    assert torch.equal(chosen, expected)


def test_entropy_tries_lambda_on_the_layers_it_will_be_set_on(every, images):
    entropies = []
    for lam in (0.1, 0.3):
        with use_lambda(every, lam, scope="all"):
            entropies.append(torch.distributions.Categorical(logits=every(images)).entropy())
    assert (entropies[1] < entropies[0] - 0.1).all()
    chosen = [
        LabelFree("entropy", lambdas=(0.1, 0.3), scope=scope)(every, images).tolist()
        for scope in ("all", "stem")
    ]
    assert chosen[0] == pytest.approx([0.3] * 24)
    assert chosen[1] != chosen[0]


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


@pytest.mark.parametrize("criterion", ["noise", "discrepancy"])
@pytest.mark.parametrize("trained", [1.4, 2.0])
def test_a_model_trained_beyond_all_candidates_keeps_its_lambda(images, criterion, trained):
    """Both criteria raise the training lambda: there is nothing to raise it to."""
    network = build_model("sdnet20", width=4, input_size=8, lam=trained).eval()
    chosen = LabelFree(criterion)(network, images)
    torch.testing.assert_close(chosen, torch.full((len(images),), trained))


def test_label_free_refuses_nonsense():
    with pytest.raises(InputError, match="Did you mean 'entropy'"):
        LabelFree("entropi")
    with pytest.raises(InputError, match="increasing numbers"):
        LabelFree("noise", lambdas=(0.5, 0.1))
    with pytest.raises(InputError, match="strength"):
        LabelFree("noise", strength=0.0)
    assert LabelFree("noise", strength="2") == LabelFree("noise", strength=2.0)
    assert (
        LabelFree("noise", strength=np.float32(2)).identity() == LabelFree("noise", strength=2.0).identity()
    )


def test_another_reference_strength_or_grid_is_another_policy():
    made = [{}, {"reference": Reference(0.1)}, {"strength": 2}, {"lambdas": (0.1, 0.2)}]
    assert len({LabelFree("noise", **given).identity() for given in made}) == 4


def test_only_a_policy_with_a_rule_is_deployed():
    for text in ("oracle", "0.3"):
        with pytest.raises(InputError, match=r"no rule to deploy\. Take calibrated or label-free"):
            deploy(parse_policy(text), None)


class Nowhere:
    """Keeps no fit, but the names asked for."""

    def __init__(self):
        self.names = []

    def read(self, name):
        self.names.append(name)
        return None

    def keep(self, name, text, draw):
        pass


def test_policies_are_fitted_on_all_classes_of_a_set_that_lies_class_behind_class(model, pixels, monkeypatch):
    """As a folder of classes does: its first images are of one class alone. Of any other set the first are taken."""
    seen = []
    calibrated = CalibratedFit({}, (0.1, 1.4), 0.1, (), 3, 0)
    monkeypatch.setattr(
        calibration, "calibrate", lambda *arguments, **more: seen.append((*arguments, more)) or calibrated
    )
    shuffled = np.array([2, 0, 1] * 8)
    for labels, wanted in ((np.sort(shuffled), [0, 8, 16]), (shuffled, [0, 1, 2])):
        data = from_arrays("npz:x", "train", pixels, labels, 3, "x")
        spec = ModelSpec(name="m", source="m", arch="sdnet20", weights="w", options=())
        fitting = Fitting(
            model=spec,
            load=lambda spec: model,
            data=data,
            count=3,
            scope="stem",
            device="cpu",
            kept=Nowhere(),
            on_step=lambda done, steps: None,
        )
        deploy(parse_policy("calibrated"), fitting)
        _, shown, truth, more = seen.pop()
        assert (shown == pixels[wanted]).all()
        assert (truth.tolist(), more["sample_ids"]) == (labels[wanted].tolist(), wanted)
        clean = torch.from_numpy(pixels[wanted]).permute(0, 3, 1, 2) / 255
        assert deploy(parse_policy("label-free"), fitting).reference == reference(model, clean)


def test_what_is_fitted_and_under_which_name_it_is_kept(model, pixels, monkeypatch):
    seen, kept = [], Nowhere()
    calibrated = CalibratedFit({}, (0.1, 1.4), 0.1, (), 3, 0)
    monkeypatch.setattr(calibration, "calibrate", lambda *_, **more: seen.append(more) or calibrated)
    data = from_arrays("npz:x", "train", pixels, np.array([2, 0, 1] * 8), 3, "x")
    other = from_arrays("npz:x", "train", pixels[::-1].copy(), np.array([2, 0, 1] * 8), 3, "x")
    fitting = Fitting(
        model=ModelSpec(name="m", source="m", arch="sdnet20", weights="w", options=()),
        load=lambda spec: model,
        data=data,
        count=3,
        scope="stem",
        device="cpu",
        kept=kept,
        on_step=lambda done, steps: None,
    )
    changes = [
        {}, {"scope": "all"}, {"count": 4}, {"data": other}, {"model": replace(fitting.model, weights="v")},
    ]  # fmt: skip
    for change in changes:
        deploy(parse_policy("calibrated"), replace(fitting, **change))
        assert (seen[-1]["lambdas"], seen[-1]["scope"]) == (TRIED, change.get("scope", "stem"))
    deploy(parse_policy("calibrated:test-labels"), fitting)
    assert seen[-1]["lambdas"] == LAMBDAS, "the published rule tries all of the published ones"
    assert deploy(parse_policy("label-free:entropy"), replace(fitting, scope="all")).scope == "all"
    assert len(set(kept.names)) == len(kept.names) == 7
    deploy(parse_policy("calibrated:noise"), fitting)
    assert kept.names[-1] == kept.names[0], "the rules of the same images share one measurement"


def test_numbers_of_policies_are_checked_and_named_apart():
    assert Fixed(0.12345678).name == "0.12345678"
    assert Fixed("0.3").value == 0.3
    for made in (lambda: Fixed("a"), lambda: Fixed(None), lambda: LabelFree("noise", strength="a")):
        with pytest.raises(InputError, match="must be"):
            made()
