"""The conclusion: claims only what a test found, and says where images are too few."""

import pytest

from robustbench_sdnet.reports.conclusion import conclusion, sentences
from robustbench_sdnet.reports.document import Section


def compared(lam, gained, lost, n=1000, kind="mean", base=500, **given):
    """A lambda against 0.1, which has `base` of `n` right; the difference's interval as for right or wrong."""
    import numpy as np

    from robustbench_sdnet.answers.comparisons import difference_interval
    from robustbench_sdnet.statistics import mcnemar

    differences = np.array([1.0] * gained + [-1.0] * lost + [0.0] * (n - gained - lost))
    low, high = difference_interval(differences)
    p = mcnemar(gained, lost)
    side = "sdnet @ 0.1" if lost > gained else f"sdnet @ {lam}"
    attack = kind != "mean"
    return {
        "family": "f", "data": "digits", "model_a": "sdnet", "lambda_a": lam, "model_b": "sdnet", "lambda_b": 0.1,
        "kind": kind, "perturbation": "every attack" if attack else "4 noises, 20 conditions", "severity": None,
        "norm": "linf" if attack else None, "eps": "8/255" if attack else None, "n": n,
        "accuracy_a": (base + gained - lost) / n, "accuracy_b": base / n, "low": low, "high": high,
        "only_a": gained, "only_b": lost, "p": p, "p_corrected": p, "better": side if p < 0.05 else "", **given,
    }  # fmt: skip


def record(kind, lam, accuracy, lam_attack=None, verdict="unchecked", **given):
    return {
        "data": "digits", "model": "sdnet", "kind": kind, "perturbation": "pgd", "severity": None, "norm": "linf",
        "eps": "8/255", "lambda": lam, "lambda_attack": lam_attack or lam, "n": 1000, "accuracy": accuracy,
        "source": "generated", "verdict": verdict, **given,
    }  # fmt: skip


def rival(name, lam, broken, suspicious):
    return {
        "data": "digits", "model": "sdnet", "lambda": lam, "norm": "linf", "eps": "8/255", "n": 1000, "left": 300,
        "rival": name, "broken": broken, "suspicious": suspicious,
    }  # fmt: skip


def said(records, rows, rivals=()):
    return dict(sentences(records, rows, rivals))


def test_a_significant_gain_under_noise_is_named_with_its_policy_and_points():
    # calibrated gains 120 and loses 20 of 1000: 10 points; 0.5 gains 60 and loses 10: 5 points.
    text = said([], [compared(0.5, 60, 10), compared("calibrated", 120, 20)])["noise"]
    assert "Another lambda helps." in text
    assert "50.0 % at the training lambda 0.1" in text
    assert "calibrated gains 10.0 points" in text
    assert "tests of one noise" not in text, "none was made"
    assert "0.5 comes out highest: it gains 5.0 points" in text


def test_no_gain_is_a_no_only_where_the_interval_is_narrow():
    # 20 against 20 of 1000: interval 0 +- 1.24 points, inside 3 points: no.
    narrow = said([], [compared(0.5, 20, 20)])["noise"]
    assert "No other lambda helps" in narrow
    assert "changes nothing beyond 3.0 points" in narrow
    # 4 against 2 of 50: 2/52 +- 1.96 * sqrt(...) reaches 13 points: cannot tell.
    wide = said([], [compared(0.5, 4, 2, n=50, base=25)])["noise"]
    assert "Cannot tell whether another lambda helps" in wide
    assert "cannot tell from chance: too few images" in wide
    assert "No other" not in wide


def test_single_noises_are_counted():
    single = {"kind": "corruption", "perturbation": "shot_noise", "severity": 5}
    rows = [
        compared(lam, *moved, **single) for lam, moved in ((0.3, (60, 10)), (0.5, (1, 1)), (0.7, (10, 60)))
    ]
    text = said([], [compared(0.5, 60, 10), *rows])["noise"]
    assert "Of 3 tests of one noise at one severity, 1 found a gain and 1 a loss." in text


def test_a_loss_is_called_one():
    text = said([], [compared(0.9, 10, 200, kind="worst_case")])["adversary"]
    assert "No other lambda helps" in text
    assert "Lambda 0.9 costs 19.0 points" in text
    assert "50.0 % survive at the training lambda 0.1" in text


def test_a_gain_against_attacks_that_square_beats_is_not_to_be_trusted():
    rows = [compared(0.9, 200, 10, kind="worst_case")]
    honest = said([record("attack", 0.9, 0.7)], rows, [rival("square", 0.9, 1, False)])
    assert "not to be trusted" not in honest["adversary"]
    assert "Square, which uses no gradient, breaks no more than a rare image" in honest["masking"]
    masked = said([record("attack", 0.9, 0.7)], rows, [rival("square", 0.9, 40, True)])
    assert "Lambda 0.9 gains 19.0 points" in masked["adversary"]
    assert "not to be trusted" in masked["adversary"]
    assert "breaks 40 of the 300 images" in masked["masking"]


def test_failed_diagnostics_are_named():
    records = [record("attack", 0.1, 0.5, verdict="trusted"), record("attack", 0.9, 0.7, verdict="untrusted")]
    text = said(records, [compared(0.9, 200, 10, kind="worst_case")])
    assert "Diagnostics failed at lambda 0.9:" in text["masking"]
    assert "not to be trusted" in text["adversary"]
    assert (
        "were not diagnosed"
        in said([record("attack", 0.9, 0.7)], [compared(0.9, 0, 0, kind="worst_case")])["masking"]
    )


@pytest.mark.parametrize(
    ("transfer", "gained", "claim"),
    [
        # 0.1 keeps 50 %. Transfer leaves 80 % at 0.9, an apparent 30 points; the worst case there is 50 + 5 %: 25 go.
        (
            0.80,
            50,
            "gain of 30.0 points; together, everything run there leaves 55.0 %: 25.0 points of that gain",
        ),
        # The worst case is 79 %: one point goes.
        (0.80, 290, "transfer does not explain it"),
        (0.51, 0, "not even transfer looks like a gain over 50.0 %"),
    ],
)
def test_transfer_is_told_from_robustness(transfer, gained, claim):
    records = [record("attack", 0.9, 0.9), record("transfer", 0.9, transfer, lam_attack=0.1)]
    assert claim in said(records, [compared(0.9, gained, 0, kind="worst_case")])["masking"]


def test_no_more_of_a_gain_is_lost_than_there_was():
    # Transfer leaves 80 %, the worst case 10 %: the apparent 30 points are gone, not 70.
    records = [record("attack", 0.9, 0.1), record("transfer", 0.9, 0.8, lam_attack=0.1)]
    text = said(records, [compared(0.9, 0, 400, kind="worst_case")])["masking"]
    assert "30.0 points of that gain are transfer" in text


def test_the_oracle_is_called_an_upper_bound():
    noise = {"perturbation": "gaussian_noise", "severity": 5, "norm": None, "eps": None}
    records = [record("corruption", 0.1, 0.40, **noise), record("corruption", "oracle", 0.47, **noise)]
    text = said(records, [compared(0.5, 60, 10)])["noise"]
    assert "an upper bound that nobody can deploy, gains 7.0 points" in text


def test_lambdas_of_all_layers_are_spoken_of_alike():
    noise = {"perturbation": "gaussian_noise", "severity": 5, "norm": None, "eps": None}
    answers = [
        said(
            [record("corruption", 0.1, 0.40, **noise), record("corruption", f"{scope}oracle", 0.47, **noise)],
            [compared(f"{scope}0.5" if scope else 0.5, 60, 10), compared(f"{scope}calibrated", 120, 20)],
        )["noise"]
        for scope in ("", "all:")
    ]
    assert "all:0.5 comes out highest" in answers[1]
    assert answers[1].replace("all:", "") == answers[0]


def test_what_was_not_asked_is_said_so():
    text = said([], [compared(0.5, 1, 1, kind="clean")])
    assert all("not asked" in answer for answer in text.values())
    assert conclusion([], [], []) is None
    assert isinstance(conclusion([], [compared(0.5, 1, 1)], []), Section)


def test_lambdas_of_equal_effect_share_a_sentence():
    rows = [compared(lam, lost, lost, kind="worst_case", n=20, base=0) for lam, lost in ((0.3, 0), (0.5, 0))]
    text = said([], [*rows, compared(0.7, 3, 0, kind="worst_case", n=20, base=0)])["adversary"]
    assert "Each of lambda 0.3, 0.5 changes no answer" in text
    assert text.count("changes no answer") == 1
    assert "Lambda 0.7 moves accuracy by +15.0 points" in text


def test_where_no_number_comes_out_higher_none_is_praised():
    text = said([], [compared(0.5, 0, 0, n=20, base=10), compared(0.7, 0, 1, n=20, base=10)])["noise"]
    assert "Of the fixed numbers none comes out higher" in text
    assert "comes out highest" not in text
