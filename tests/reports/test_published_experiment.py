"""The published experiment in a report: what each claim comes to, over several networks where there are such."""

from __future__ import annotations

from dataclasses import replace

from robustbench_sdnet.answers.published import NOISES, published as beside
from robustbench_sdnet.answers.snapshot import Snapshot
from robustbench_sdnet.planning.questions import corruption_specs
from robustbench_sdnet.reports import report
from robustbench_sdnet.reports.tables.published import claim_sentences
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


def _verdicts(text):
    """By claim and noise the gain, its interval, the published gain and the verdict."""
    table = text.partition("**The claimed gains**")[2].split("\n\n")[1]
    rows = [[cell.strip() for cell in line.split("|")[1:-1]] for line in table.splitlines()[2:]]
    return {(claim, noise): tuple(told) for claim, noise, *told in rows}


def test_one_network_of_each_is_told_by_its_name(tmp_path):
    text = _printed(tmp_path, sparse=(50, 60), plain=(40, None))
    found = _verdicts(text)
    assert len(found) == 2 * len(NOISES)
    for claim, published in (
        (f"sparse @ {LINE_NAME} over sparse @ 0.1", "+14.3"),
        ("sparse @ 0.1 over plain", "+6.2"),
    ):
        gain, _, *told = found[claim, "gaussian noise"]
        assert (gain, *told) == ("+10.0", published, "some gain")
    assert "network by network" not in text
    assert "networks are a sample" not in text


def test_a_sentence_says_of_a_claim_what_its_rows_say(tmp_path):
    found = _verdicts(_printed(tmp_path, sparse=(50, 60)))
    claim = f"sparse @ {LINE_NAME} over sparse @ 0.1"
    told = (
        f"{noise} {verdict} ({gain} points, 97.5 % interval {interval}; published {published} points)"
        for (_, noise), (gain, interval, published, verdict) in found.items()
    )
    sentences = claim_sentences(beside(Snapshot.read(f"sqlite:///{tmp_path}/made.db").told_apart))
    assert sentences == (f"{claim}: {'; '.join(told)}.",)


def _said(text, where):
    """Gain and verdict of the claims in a place."""
    found = _verdicts(text).items()
    return [
        (told[0], told[-1]) for (claim, _), told in found if claim.endswith(f"over sdnet @ 0.1 on {where}")
    ]


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
    assert _said(text, "cifar10") == [("+10.0", "some gain")]
    assert _said(text, "cifar10 (generated, stored as jpeg85)") == [("-10.0", "not reproduced")]
    for where, ours, published in (("", "60.0", "64.9 %"), (" (generated, stored as jpeg85)", "40.0", "-")):
        table = text.partition(f"severities 1 to 5 on cifar10{where}, ours and published")[2]
        row = next(line for line in table.splitlines() if "calibrated:test-labels" in line)
        assert [cell.strip() for cell in row.split("|")[3:5]] == [ours, published]


def test_noise_of_another_seed_has_rows_and_a_table_of_its_own(tmp_path):
    answers = []
    for seed, lined in ((0, 60), (1, 40)):
        for spec in corruption_specs("gaussian_noise", (1, 2, 3, 4, 5), seed=seed):
            answers += [(cell(spec, lam=lam), right(count, 100)) for lam, count in ((LOW, 50), (LINE, lined))]
    with made_store(tmp_path, answers) as store:
        text = report(store, output=tmp_path / "report.md").read_text()
    claims = [claim for claim, _ in _verdicts(text)]
    assert claims == sorted(claims), "the usual seed first"
    assert text.index("5 on tiny, ours") < text.index("5 on tiny (generated, seed 1), ours")
    assert _said(text, "tiny") == [("+10.0", "some gain")]
    assert _said(text, "tiny (generated, seed 1)") == [("-10.0", "not reproduced")]
    for where, ours in (("", "60.0"), (" (generated, seed 1)", "40.0")):
        table = text.partition(f"severities 1 to 5 on tiny{where}, ours and published")[2]
        row = next(line for line in table.splitlines() if "calibrated:test-labels" in line)
        assert row.split("|")[3].strip() == ours


def test_several_are_summed_and_listed_below(tmp_path):
    text = _printed(tmp_path, a=(50, 60), b=(52, 64), c=(51, 62), plain=(40, None))
    found = _verdicts(text)
    assert found[f"sdnet20 @ {LINE_NAME} over sdnet20 @ 0.1, 3 networks", "gaussian noise"][-1] == "some gain"
    for name in "abc":
        assert f"{name} @ {LINE_NAME} over {name} @ 0.1" not in {claim for claim, _ in found}
    low, high = difference_interval(right(50, 100).astype(float) - right(40, 100), 0.975)
    interval = f"{100 * low:+.1f} to {100 * high:+.1f}"
    alone = found["a @ 0.1 over plain", "gaussian noise"]
    assert alone == ("+10.0", interval, "+6.2", "some gain"), "of one plain network there is no sample"
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
