"""The published experiment in a report: a sentence for each claim, over several networks where there are such."""

from __future__ import annotations

from dataclasses import replace

from robustbench_sdnet.answers.published import NOISES
from robustbench_sdnet.planning.questions import corruption_specs
from robustbench_sdnet.reports import report
from robustbench_sdnet.specs import LambdaSpec
from robustbench_sdnet.statistics import difference_interval, wilson

from ..made_answers import LOW, RESNET, SDNET, cell, made_store, right

LINE = LambdaSpec("calibrated:test-labels", fit="f")
LINE_NAME = "calibrated:test-labels (drawn on test labels)"


def _printed(tmp_path, **networks):
    """The report of networks with so many of 100 images right at lambda 0.1 and by the line; None for no lambda.

    By the line an image less from noise to noise.
    """
    answers = []
    for name, (trained, lined) in networks.items():
        model = replace(SDNET if lined else RESNET, name=name, weights=name.ljust(64, "0"))
        for lam, count in ((LOW, trained), (LINE, lined)) if lined else ((None, trained),):
            for place, noise in enumerate(NOISES):
                for spec in corruption_specs(noise, (1, 2, 3, 4, 5)):
                    given = right(count - place * (lam is LINE), 100)
                    answers.append((replace(cell(spec), model=model, lam=lam), given))
    tmp_path.mkdir(exist_ok=True)
    with made_store(tmp_path, answers) as store:
        return report(store, output=tmp_path / "report.md").read_text()


def test_one_network_of_each_is_told_by_its_name(tmp_path):
    text = " ".join(_printed(tmp_path, sparse=(50, 60), plain=(40, None)).split())
    assert f"sparse @ {LINE_NAME} over sparse @ 0.1: gaussian noise some gain (+10.0 points" in text
    assert "sparse @ 0.1 over plain: gaussian noise some gain (+10.0 points" in text
    assert "network by network" not in text
    assert "networks are a sample" not in text


def test_stored_images_are_a_place_of_their_own_and_none_of_the_papers(tmp_path):
    answers = []
    for stored, lined in (("", 60), ("jpeg85", 40)):
        for spec in corruption_specs("gaussian_noise", (1, 2, 3, 4, 5)):
            for lam, count in ((LOW, 50), (LINE, lined)):
                asked = cell(replace(spec, stored=stored))
                model = replace(SDNET, arch="sdnet18")
                data = replace(asked.data, name="cifar10")
                answers.append((replace(asked, model=model, lam=lam, data=data), right(count, 100)))
    with made_store(tmp_path, answers) as store:
        text = report(store, output=tmp_path / "report.md").read_text()
    words = " ".join(text.split())
    assert "over sdnet @ 0.1 on cifar10: gaussian noise some gain (+10.0" in words
    assert (
        "over sdnet @ 0.1 on cifar10 (generated, stored as jpeg85): gaussian noise not reproduced (-10.0"
        in words
    )
    for where, ours, published in (("", "60.0", "64.9 %"), (" (generated, stored as jpeg85)", "40.0", "-")):
        table = text.partition(f"severities 1 to 5 on cifar10{where}, ours and published")[2]
        row = next(line for line in table.splitlines() if "calibrated:test-labels" in line)
        assert [cell.strip() for cell in row.split("|")[3:5]] == [ours, published]


def test_noise_of_another_seed_has_sentences_and_a_table_of_its_own(tmp_path):
    answers = []
    for seed, lined in ((0, 60), (1, 40)):
        for spec in corruption_specs("gaussian_noise", (1, 2, 3, 4, 5), seed=seed):
            answers += [(cell(spec, lam=lam), right(count, 100)) for lam, count in ((LOW, 50), (LINE, lined))]
    with made_store(tmp_path, answers) as store:
        text = report(store, output=tmp_path / "report.md").read_text()
    words = " ".join(text.split())
    assert "over sdnet @ 0.1 on tiny: gaussian noise some gain (+10.0" in words
    assert "over sdnet @ 0.1 on tiny (generated, seed 1): gaussian noise not reproduced (-10.0" in words
    for where, ours in (("", "60.0"), (" (generated, seed 1)", "40.0")):
        table = text.partition(f"severities 1 to 5 on tiny{where}, ours and published")[2]
        row = next(line for line in table.splitlines() if "calibrated:test-labels" in line)
        assert row.split("|")[3].strip() == ours


def test_several_are_summed_in_a_sentence_and_listed_below(tmp_path):
    text = _printed(tmp_path, a=(50, 60), b=(52, 64), c=(51, 62), plain=(40, None))
    words = " ".join(text.split())
    assert f"sdnet20 @ {LINE_NAME} over sdnet20 @ 0.1, 3 networks: gaussian noise some gain" in words
    for name in "abc":
        assert f"{name} @ {LINE_NAME} over {name} @ 0.1:" not in words
    low, high = difference_interval(right(50, 100).astype(float) - right(40, 100), 0.975)
    assert (
        f"a @ 0.1 over plain: gaussian noise some gain (+10.0 points, 97.5 % interval {100 * low:+.1f} to "
        f"{100 * high:+.1f}; published +6.2 points); shot" in words
    ), "of one plain network there is no sample"
    numbers = text.partition("ours and published")[2].splitlines()
    line = next(place for place, row in enumerate(numbers) if row.startswith("| a "))
    low, high = wilson(50, 100)
    assert numbers[line].split("|")[3].strip() == "50.0"
    assert numbers[line + 1].split("|")[3].strip() == f"{100 * low:.1f}-{100 * high:.1f}"
    assert "networks are a sample just as images are" in text
    table = text.partition("The gains, network by network")[2]
    row = next(line for line in table.splitlines() if line.startswith("| b"))
    gains = []
    for gain in (12, 11, 10, 9):
        low, high = difference_interval(right(52 + gain, 100).astype(float) - right(52, 100), 0.975)
        gains.append(f"+{gain}.0 ({100 * low:+.1f} to {100 * high:+.1f})")
    assert [text.strip() for text in row.split("|")[1:-1]] == [f"b @ {LINE_NAME}", "b @ 0.1", *gains]
