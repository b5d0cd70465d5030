"""The published experiment: every number beside the paper's, and what is claimed decided by paired tests."""

from dataclasses import replace

import numpy as np
import pytest

from robustbench_sdnet.answers.published import (
    CANNOT_TELL,
    NOISES,
    NOT_REPRODUCED,
    REPRODUCED,
    SOME_GAIN,
    VERDICT_CONFIDENCE,
    published,
)
from robustbench_sdnet.answers.snapshot import Snapshot
from robustbench_sdnet.planning.questions import corruption_specs
from robustbench_sdnet.specs import DataSpec, LambdaSpec, params
from robustbench_sdnet.specs.lambdas import LAMBDAS, PUBLISHED_LEVELS
from robustbench_sdnet.statistics import difference_interval, gain_over_networks
from robustbench_sdnet.zoo.nets.architectures import resolve_options

from ..made_answers import LOW, RESNET, SDNET, cell, made_store, right

CIFAR10 = DataSpec(name="cifar10", source="cifar10", split="test", content="c" * 64)
SDNET18, RESNET18 = replace(SDNET, arch="sdnet18"), replace(RESNET, arch="resnet18")
LINE = LambdaSpec("calibrated:test-labels", fit="f")


def _answers(model, lam, counts, n=100, noises=NOISES, data=CIFAR10, seed=0):
    """`counts`: right answers under each noise, the same at every severity."""
    for noise, count in zip(noises, counts, strict=True):
        for spec in corruption_specs(noise, (1, 2, 3, 4, 5), seed=seed):
            asked = replace(cell(spec, model=SDNET), model=model, lam=lam, data=data)
            yield asked, right(count, n)


def _changed(answers, **changes):
    """The same of other images."""
    for asked, given in answers:
        yield replace(asked, perturbation=replace(asked.perturbation, **changes)), given


def _published(tmp_path, *answers):
    with made_store(tmp_path, [pair for every in answers for pair in every]) as store:
        return published(Snapshot.read(store).told_apart)


def test_each_number_stands_beside_the_papers(tmp_path):
    found = _published(
        tmp_path,
        _answers(SDNET18, LOW, (50, 60, 70, 40)),
        _answers(SDNET18, LINE, (64, 61, 69, 40)),
        _answers(RESNET18, None, (44, 57, 62, 51)),
        _answers(SDNET18, LambdaSpec("0.5"), (1, 2, 3, 4)),
    )
    told = [one.record() for one in found.numbers]
    seen = {(one["model"], one["lambda"], one["noise"]): one for one in told}
    gaussian = seen["sdnet", 0.1, "gaussian_noise"]
    assert (gaussian["accuracy"], gaussian["published"], gaussian["n"]) == (0.5, 0.5058, 100)
    assert gaussian["low"] == pytest.approx(0.4038, abs=1e-4), "Wilson, 50 of 100"
    table = {
        (model, lam): [seen[model, lam, noise]["published"] for noise in NOISES]
        for model, lam in {key[:2] for key in seen}
    }
    assert table == {
        ("resnet", None): [0.4443, 0.5788, 0.6216, 0.5172],
        ("sdnet", 0.1): [0.5058, 0.6329, 0.6711, 0.5413],
        ("sdnet", "calibrated:test-labels"): [0.6492, 0.7113, 0.7142, 0.5748],
        ("sdnet", 0.5): [None] * 4,
    }
    assert {one["lambda"] for one in told if one["upper_bound"]} == {"calibrated:test-labels"}
    assert all((one["published"] is not None) == ("Dai et al. 2022" in one["source"]) for one in told)


def test_a_noise_whose_severities_share_no_image_has_no_number(tmp_path):
    answers = [*_answers(SDNET18, LOW, (50, 60, 70, 40)), *_answers(SDNET18, LINE, (64, 61, 69, 40))]
    with made_store(tmp_path, answers) as store:
        snapshot = Snapshot.read(store).told_apart
    lost = corruption_specs("shot_noise", [3])[0]
    moved = [
        replace(one, outcome=replace(one.outcome, ids=one.outcome.ids + 100))
        if (one.cell.perturbation, one.cell.lam) == (lost, LOW)
        else one
        for one in snapshot.answered
    ]
    found = published(replace(snapshot, answered=tuple(moved)))
    assert [one.noise for one in found.numbers if one.subject.lam == LOW] == [NOISES[0], *NOISES[2:]]
    assert [one.noise for one in found.claims] == [NOISES[0], *NOISES[2:]]


def test_claims_are_reproduced_not_reproduced_or_open(tmp_path):
    # Of 400 images the line wins 60 of Gaussian noise (15 points; the paper 14.3), 4 of shot (1 point; 7.8),
    # loses 40 of speckle, and of impulse wins 6 (1.5 points; 3.4): too few to tell.
    found = _published(
        tmp_path,
        _answers(SDNET18, LOW, (200, 200, 200, 200), n=400),
        _answers(SDNET18, LINE, (260, 204, 160, 206), n=400),
    )
    claims = {one.noise: one for one in found.claims}
    assert [claims[noise].published for noise in NOISES] == [0.1434, 0.0784, 0.0431, 0.0335]
    verdicts = [claims[noise].verdict for noise in NOISES]
    assert verdicts[:3] == [REPRODUCED, NOT_REPRODUCED, NOT_REPRODUCED]
    impulse = claims["impulse_noise"].ours
    # Six flips one way: two-sided exact 2 * (1/2)^6.
    assert impulse.p == pytest.approx(2 / 64)
    low, high = difference_interval(right(206, 400).astype(float) - right(200, 400), 0.975)
    assert (impulse.low, impulse.high) == (low, high)
    assert high > 0.0335 / 2
    assert verdicts[3] == CANNOT_TELL


def test_a_gain_whose_interval_holds_half_of_the_published_one_is_some_gain(tmp_path):
    # Of 400 images the line wins 12 of shot noise: 3 points, which reach from 0.7 to 5.3, where the paper has 7.8.
    found = _published(
        tmp_path,
        _answers(SDNET18, LOW, (200,) * 4, n=400),
        _answers(SDNET18, LINE, (200, 212, 200, 200), n=400),
    )
    (shot,) = (one for one in found.claims if one.noise == "shot_noise")
    assert 0 < shot.ours.low < shot.ours.gain < shot.published / 2 < shot.ours.high
    assert shot.verdict == SOME_GAIN
    told = shot.record()
    assert (told["low"], told["confidence"], told["verdict"]) == (shot.ours.low, 0.975, "some gain")
    assert told.keys().isdisjoint({"p_corrected", "better"}), "the verdict is read off the interval alone"


@pytest.mark.parametrize(
    ("low", "high", "verdict"),
    [
        (-0.04, 0.049, NOT_REPRODUCED),
        (0.01, 0.049, NOT_REPRODUCED),
        (-0.01, 0.05, CANNOT_TELL),
        (0.0, 0.2, CANNOT_TELL),
        (0.001, 0.2, SOME_GAIN),
        (0.049, 0.2, SOME_GAIN),
        (0.05, 0.2, REPRODUCED),
    ],
)
def test_a_verdict_is_read_off_the_interval(tmp_path, low, high, verdict):
    (found,) = _published(
        tmp_path,
        _answers(SDNET18, LOW, (50,), noises=NOISES[:1]),
        _answers(SDNET18, LINE, (60,), noises=NOISES[:1]),
    ).claims
    assert pytest.approx(0.975) == VERDICT_CONFIDENCE
    claim = replace(found, ours=replace(found.ours, low=low, high=high), published=0.1)
    assert claim.verdict == verdict


def test_the_line_of_each_noise_is_claimed_where_the_whole_sweep_is_stored(tmp_path):
    # All residuals are 1, so the line of Gaussian noise is the mean of its levels' best lambdas: 0.5. There 260 of 400
    # images are right, 60 more than at 0.1.
    def swept(spec):
        for lam in LAMBDAS:
            count = 260 if lam == 0.5 else 200
            asked = replace(cell(spec), model=SDNET18, lam=LambdaSpec(f"{lam:g}"), data=CIFAR10)
            yield asked, right(count, 400)

    noise = NOISES[0]
    specs = corruption_specs(noise, (1, 2, 3, 4, 5)) + corruption_specs(noise, levels=PUBLISHED_LEVELS[noise])
    answers = [pair for spec in specs for pair in swept(spec)]
    with made_store(tmp_path, [*answers, *_answers(SDNET18, LINE, (210,) * 4, n=400)], residual=1.0) as store:
        found = published(Snapshot.read(store).told_apart)
    numbers = [one.record() for one in found.numbers if one.record()["lambda"] == "line-per-noise"]
    assert [(one["noise"], one["accuracy"], one["published"]) for one in numbers] == [(noise, 0.65, 0.6492)]
    assert numbers[0]["upper_bound"] is True, "drawn on test labels"
    gains = {
        one.ours.a.name: (one.ours.gain, one.published, one.verdict)
        for one in found.claims
        if one.noise == noise
    }
    assert gains == {
        "sdnet @ calibrated:test-labels (drawn on test labels)": (
            pytest.approx(0.025),
            0.1434,
            NOT_REPRODUCED,
        ),
        "sdnet @ line-per-noise (drawn on test labels)": (pytest.approx(0.15), 0.1434, REPRODUCED),
    }


def test_the_published_gain_is_of_lambda_on_the_stem(tmp_path):
    everywhere = replace(LINE, scope="all")
    answers = (_answers(SDNET18, lam, (50,) * 4) for lam in (LOW, LINE, everywhere))
    assert {one.ours.a.lam for one in _published(tmp_path, *answers).claims} == {replace(LINE, fit="")}


def test_a_gain_whose_interval_holds_zero_is_not_reproduced_yet(tmp_path):
    # Of 100 images 30 gain at severities 1 and 2, ten lose at all five: the sign test alone is significant (30 against
    # 10, p = 0.0022), the mean gain is (30 * 2 / 5 - 10) / 100 = 2 points, and its interval goes from -5.5 to 9.5.
    def side(lam, mild, harsh, first=0):
        for noise in NOISES:
            for spec in corruption_specs(noise, (1, 2, 3, 4, 5)):
                count = mild if spec.severity < 3 else harsh
                yield (
                    replace(cell(spec, model=SDNET), model=SDNET18, lam=lam, data=CIFAR10),
                    right(count, 100, first),
                )

    found = _published(tmp_path, side(LOW, 10, 10, first=30), side(LINE, 30, 0))
    for claim in found.claims:
        assert (claim.ours.only_a, claim.ours.only_b) == (30, 10)
        assert claim.ours.p > 0.5
        assert claim.ours.low < 0 < claim.published / 2 < claim.ours.high
        assert claim.verdict == CANNOT_TELL


def test_a_sparse_stem_is_compared_with_its_plain_relative_alone(tmp_path):
    found = _published(
        tmp_path,
        _answers(SDNET18, LOW, (90, 90, 90, 90)),
        _answers(SDNET18, LINE, (90, 90, 90, 90)),
        _answers(RESNET18, None, (50, 50, 50, 50)),
        _answers(replace(RESNET, name="other", weights="d" * 64), None, (50, 50, 50, 50)),
        _changed(_answers(replace(RESNET18, name="apart", weights="e" * 64), None, (50,) * 4), version=99),
    )
    pairs = {
        (one.ours.a.name, one.ours.b.name): one.published for one in found.claims if one.noise == NOISES[0]
    }
    assert pairs == {
        ("sdnet @ calibrated:test-labels (drawn on test labels)", "sdnet @ 0.1"): 0.1434,
        ("sdnet @ 0.1", "resnet"): 0.0615,
    }
    assert all(one.verdict == REPRODUCED for one in found.claims if one.ours.b.model == RESNET18)


@pytest.mark.parametrize(
    ("name", "there"),
    [("npz:x/cifar10.npz", True)]
    + [(name, False) for name in ("cifar100", "cifar10.1:x", "cifar10.2:x", "cifar10 (train)")],
)
def test_numbers_stand_beside_cifar_10s_own_images_alone(tmp_path, name, there):
    data = replace(CIFAR10, name=name, source=name)
    found = _published(tmp_path, *(_answers(SDNET18, lam, (5,) * 4, data=data) for lam in (LOW, LINE)))
    assert {one.published is not None for one in found.numbers} == {there}


def test_other_data_has_no_published_numbers_and_half_an_experiment_is_none(tmp_path):
    digits = replace(CIFAR10, name="digits", source="digits")
    found = _published(tmp_path, *(_answers(SDNET18, lam, (5,) * 4, data=digits) for lam in (LOW, LINE)))
    assert {one.published for one in found.numbers} == {None}
    folder = tmp_path / "table"
    folder.mkdir()
    tiny = (_changed(_answers(SDNET18, lam, (5,) * 4), table="tiny") for lam in (LOW, LINE))
    assert {one.published for one in _published(folder, *tiny).numbers} == {None}, "of other parameters"
    folder = tmp_path / "half"
    folder.mkdir()
    half = [
        pair
        for pair in _answers(SDNET18, LINE, (5,), noises=NOISES[:1])
        if pair[0].perturbation.severity != 3
    ]
    assert _published(folder, half, _answers(SDNET18, LOW, (5,) * 4)).numbers == ()


def test_noise_of_another_seed_is_an_experiment_of_its_own(tmp_path):
    networks = [replace(SDNET18, name=name, weights=name * 64) for name in "ab"]
    answers = [
        _answers(model, lam, (count + seed,) * 4, seed=seed)
        for model in networks
        for lam, count in ((LOW, 50), (LINE, 60))
        for seed in (0, 1)
    ]
    found = _published(tmp_path, *answers)
    told = {(one.origin, one.accuracy) for one in found.numbers}
    assert told == {
        ("generated", 0.5),
        ("generated", 0.6),
        ("generated, seed 1", 0.51),
        ("generated, seed 1", 0.61),
    }
    assert all(one.published for one in found.numbers), "the paper's stand beside whatever was drawn"
    places = [one.ours.question.origin for one in found.claims]
    assert [places.count(origin) for origin in ("generated", "generated, seed 1")] == [8, 8]
    assert [one.record()["perturbation"] for one in found.over_networks] == [*NOISES] * 2


def _seeds(model, lam, counts, n=100):
    """A network with each of `counts` right answers of `n` under Gaussian noise; under the others all alike."""
    for seed, count in enumerate(counts):
        named = replace(model, name=f"{model.name}-s{seed}", weights=f"{model.name}{seed}".ljust(64, "0"))
        yield from _answers(named, lam, (count, 50, 50, 50), n=n)


def test_several_networks_of_an_architecture_are_a_sample(tmp_path):
    found = _published(
        tmp_path,
        _seeds(SDNET18, LOW, (60, 64, 62)),
        _seeds(SDNET18, LINE, (66, 64, 71)),
        _seeds(RESNET18, None, (58, 44)),
    )
    told = {
        (one.ours.name, one.noise): one
        for one in found.over_networks
        if one.noise in ("gaussian_noise", "shot_noise")
    }
    line, stem = (
        "sdnet18 @ calibrated:test-labels (drawn on test labels) over sdnet18 @ 0.1, 3 networks",
        "sdnet18 @ 0.1 (3 networks) over resnet18 (2 networks)",
    )
    assert list(told) == [
        (name, noise) for name in (line, stem) for noise in ("gaussian_noise", "shot_noise")
    ]
    lined, trained, plain = (
        np.array([right(count, 100) for count in counts], float)
        for counts in ((66, 64, 71), (60, 64, 62), (58, 44))
    )
    for name, expected in (
        (line, gain_over_networks(lined - trained, confidence=0.975)),
        (stem, gain_over_networks(trained, plain, confidence=0.975)),
    ):
        claim = told[name, "gaussian_noise"]
        assert claim.ours.gain == pytest.approx(expected.gain, abs=1e-12)
        assert (claim.ours.low, claim.ours.high) == pytest.approx((expected.low, expected.high))
        assert claim.ours.p == pytest.approx(expected.p)
        assert told[name, "shot_noise"].ours.gain == 0
    # Five points of three networks, the paper's 14.3: the interval of -12.3 to 22.3 reaches half of it and holds 0.
    assert told[line, "gaussian_noise"].verdict == CANNOT_TELL
    assert told[line, "shot_noise"].verdict == CANNOT_TELL, "of 100 equal answers it ends at 4.2, half is 3.9"
    assert all(one.summed for one in found.claims), "each pair is part of a sum"
    assert {one.ours.a.model.name for one in found.claims} == {"sdnet-s0", "sdnet-s1", "sdnet-s2"}
    assert found.records()[-1].keys() >= {
        "arch_a",
        "lambda_b",
        "networks_a",
        "gain",
        "published_gain",
        "verdict",
    }


def test_networks_that_gain_alike_reproduce_a_claim(tmp_path):
    found = _published(
        tmp_path, _seeds(SDNET18, LOW, (50, 51, 50), n=1000), _seeds(SDNET18, LINE, (206, 206, 207), n=1000)
    )
    verdicts = {one.noise: one.verdict for one in found.over_networks}
    assert (verdicts["gaussian_noise"], verdicts["shot_noise"]) == (REPRODUCED, NOT_REPRODUCED)


def test_a_network_under_two_names_is_one_sample_under_every_noise(tmp_path):
    # The stores of two machines, one of which calls the first network by a name of its own and was asked one noise.
    snapshots = []
    for name, noises in (("sdnet-s0", NOISES[1:]), ("copy", NOISES[:1])):
        folder = tmp_path / name
        folder.mkdir()
        first = replace(SDNET18, name=name, weights="sdnet0".ljust(64, "0"))
        second = replace(SDNET18, name="sdnet-s1", weights="sdnet1".ljust(64, "0"))
        answers = [
            _answers(model, lam, (count,) * len(noises), noises=noises)
            for model in (first, second)
            for lam, count in ((LOW, 50), (LINE, 66))
        ]
        with made_store(folder, [pair for every in answers for pair in every]) as store:
            snapshots.append(Snapshot.read(store))
    found = published(Snapshot.joined(snapshots).told_apart)
    assert [(one.noise, one.ours.networks_a) for one in found.over_networks] == [
        (noise, 2) for noise in NOISES
    ]
    assert {one.ours.a.model.name for one in found.claims} == {"sdnet-s0", "sdnet-s1"}


def test_a_network_that_is_built_otherwise_is_no_sample_of_the_architecture(tmp_path):
    other = replace(SDNET18, name="other", weights="e" * 64, options=(("shortcut", False),))
    found = _published(
        tmp_path, *(_answers(model, lam, (50,) * 4) for model in (SDNET18, other) for lam in (LOW, LINE))
    )
    assert found.over_networks == ()
    assert [one.summed for one in found.claims] == [False] * 8, "two networks, four noises"


def test_a_narrow_network_is_not_the_papers_and_has_a_partner_of_its_own_width(tmp_path):
    def options(arch, **given):
        return params(resolve_options(arch, given))

    wide, plain = (replace(one, options=options(one.arch)) for one in (SDNET18, RESNET18))
    narrow = [
        replace(SDNET18, name=f"narrow-{name}", weights=name * 64, options=options("sdnet18", width=16))
        for name in "ef"
    ]
    partner = replace(RESNET18, name="partner", weights="a" * 64, options=options("resnet18", width=16))
    lined = [_answers(model, lam, (50,) * 4) for model in (wide, *narrow) for lam in (LOW, LINE)]
    found = _published(tmp_path, *lined, *(_answers(one, None, (50,) * 4) for one in (plain, partner)))
    beside = {one.subject.model.name for one in found.numbers if one.published}
    assert beside == {"sdnet", "resnet"}
    stems = {
        (one.ours.a.model.name, one.ours.b.model.name)
        for one in found.claims
        if one.ours.a.model != one.ours.b.model
    }
    assert stems == {("sdnet", "resnet"), ("narrow-e", "partner"), ("narrow-f", "partner")}
    names = {one.ours.name for one in found.over_networks}
    line = "calibrated:test-labels (drawn on test labels)"
    assert names == {f"sdnet18(width=16) @ {line} over sdnet18(width=16) @ 0.1, 2 networks"}
    assert {one.ours.record()["arch_a"] for one in found.over_networks} == {"sdnet18(width=16)"}
