"""Figures: which numbers are drawn, what is said of them, and that pictures depend on them alone."""

from __future__ import annotations

import re
from dataclasses import replace

import matplotlib.style
import numpy as np
import pytest

from robustbench_sdnet.answers.searches import Convergence
from robustbench_sdnet.reports.content import build
from robustbench_sdnet.reports.document import Figure
from robustbench_sdnet.reports.numbers import Estimate
from robustbench_sdnet.reports.plots import curves, dots, heatmap, panels, style
from robustbench_sdnet.reports.tables.lambdas import sweeps
from robustbench_sdnet.specs import Eps, SequenceSpec
from robustbench_sdnet.statistics import wilson

from .made_records import (
    RESNET,
    SDNET,
    attack,
    corruption,
    lam_spec,
    network,
    record,
    record_estimate,
    results_of,
    snapshot,
    study,
)
from .printed import percents


@pytest.fixture(scope="module")
def figures() -> tuple[Figure, ...]:
    rows = study()
    return build(snapshot(rows)).figures


def test_the_figures_of_a_study(figures: tuple[Figure, ...]) -> None:
    assert [figure.name for figure in figures] == [
        "lambda-digits-sdnet20-generated",
        "lambda-attacks-digits",
        "corruptions-digits-generated",
        "attacks-digits",
    ]


def test_figures_are_pictures_and_equal_byte_for_byte(figures: tuple[Figure, ...]) -> None:
    for figure in figures:
        first, second = (style.to_png(figure.draw(), dpi=40) for _ in range(2))
        assert first.startswith(b"\x89PNG")
        assert first == second
    figure = figures[1]
    assert style.to_svg(figure.draw(), "a") == style.to_svg(figure.draw(), "a")
    assert style.to_pdf(figure.draw()) == style.to_pdf(figure.draw())
    assert b"CreationDate" not in style.to_pdf(figure.draw())


def test_figures_are_the_same_whatever_a_notebook_or_a_matplotlibrc_has_set(
    figures: tuple[Figure, ...],
) -> None:
    alone = [style.to_png(figure.draw(), dpi=40) for figure in figures]
    other = {"text.usetex": True, "lines.linewidth": 9, "savefig.bbox": "tight"}
    with matplotlib.style.context(["dark_background", other]):
        assert [style.to_png(figure.draw(), dpi=40) for figure in figures] == alone
        assert matplotlib.rcParams["text.usetex"], "and what was set is put back"


def test_an_svg_stands_in_a_page(figures: tuple[Figure, ...]) -> None:
    text = style.to_svg(figures[0].draw(), "own")
    own = r'<svg width="([\d.]+)pt" style="min-width: ([\d.]+)px" viewBox="0 0 ([\d.]+) [\d.]+">'
    size = re.fullmatch(own, text.partition("\n")[0])
    assert size
    assert size[1] == size[3]  # its own width: no letters are larger than another figure's
    assert size[2] == size[3]  # three quarters of it: letters of 7.5 points are as many pixels high
    assert "xmlns" not in text
    assert "<metadata>" not in text
    assert "var(--text)" in text
    assert style.TEXT not in text
    assert all(part.startswith("own-") for part in text.split('id="')[1:])


def test_eps_curves_start_at_clean_accuracy_and_have_noise_beside_them() -> None:
    rows = [record(190), attack("pgd", "2/255", 100), attack("pgd", "8/255", 20)]
    rows.append(attack("noise", "8/255", 180))
    (panel,) = panels.eps_panels(results_of(rows), "digits")
    assert panel.xlabel == "linf eps, in 1/255", "as titles and tables write it"
    curve, noise = panel.lines
    # In units of 1/255: clean at 0, then 100/200 and 20/200.
    assert [(x, value.accuracy) for x, value in curve.points] == [
        (0.0, 0.95),
        (pytest.approx(2.0), 0.5),
        (pytest.approx(8.0), 0.1),
    ]
    assert [(x, value.accuracy) for x, value in noise.points] == [(0.0, 0.95), (pytest.approx(8.0), 0.9)]
    assert (curve.faint, noise.faint) == (False, True)


def test_of_several_noises_of_a_budget_the_one_that_leaves_least_is_drawn() -> None:
    own: list[dict[str, object]] = [{"model": SDNET, "lam": lam} for lam in (0.1, 0.5)]
    rows = [answer for of in own for answer in (record(190, **of), attack("pgd", "8/255", 20, **of))]
    for of in own:
        rows += [attack("noise", "8/255", 170, shown="draws=5", **of), attack("noise", "8/255", 180, **of)]
        rows.append(attack("noise", "8/255", 178, shown="draws=7", **of))
    (along_eps,) = panels.eps_panels(results_of(rows), "digits")
    noise = next(line for line in along_eps.lines if line.faint)
    assert [value.accuracy for _, value in noise.points] == [0.95, 0.85]
    (along_lambda,) = panels.lambda_attack_panels(results_of(rows), "digits")
    assert [(x, value.accuracy) for x, value in along_lambda.lines[-1].points] == [(0.1, 0.85), (0.5, 0.85)]


def test_names_alone_are_set_off_from_no_numbers() -> None:
    value = Estimate(0.5, 0.4, 0.6, 100)
    lines = (curves.Line("a", (("all:0.1", value), ("all:0.5", value)), "#123456"),)
    upright = curves.draw([curves.Panel("p", "lambda", lines)]).axes[0].lines
    assert not [line for line in upright if line.get_color() == style.LINES]


def test_an_eps_has_one_colour_in_all_panels_along_lambda() -> None:
    rows = []
    for lam in (0.1, 0.5):
        of = {"model": SDNET, "lam": lam}
        rows += [record(190, **of), *(attack("pgd", f"{k}/255", 20 * k, **of) for k in (1, 4, 8))]
        rows.append(attack("square", "8/255", 90, **of))
    drawn = panels.lambda_attack_panels(results_of(rows), "digits")
    colours = [{line.label: line.colour for line in panel.lines} for panel in drawn]
    assert [set(of_panel) for of_panel in colours] == [
        {"clean images", "eps 1/255", "eps 4/255", "eps 8/255"},
        {"clean images", "eps 8/255"},
    ]
    assert colours[0]["eps 8/255"] == colours[1]["eps 8/255"] != colours[0]["eps 1/255"]


def test_noise_stands_beside_attacks_on_its_own_model_alone() -> None:
    models = [network("a"), network("b")]
    rows = [record(190, model=model) for model in models]
    rows += [attack("pgd", "8/255", 90, model=model) for model in models]
    rows += [attack("noise", "8/255", 180, model=model) for model in models]
    rows.append(attack("square", "8/255", 100, model=models[0]))
    pgd, square = panels.eps_panels(results_of(rows), "digits")
    assert [line.label for line in pgd.lines] == ["a", "random noise", "b", "random noise"]
    assert [line.label for line in square.lines] == ["a", "random noise"]


def test_a_reference_that_is_joined_with_nothing_is_a_cross_and_no_dot_of_a_curve() -> None:
    clean, few = Estimate(0.9, 0.8, 1.0, 200), Estimate(0.8, 0.7, 0.9, 100)

    def marks(*points: tuple[float | str, Estimate]) -> tuple[list[object], str]:
        lines = [curves.Line("noise", points, "#123456", faint=True)]
        figure = curves.draw([curves.Panel("p", "lambda", tuple(lines))])
        crosses = [line for line in figure.axes[0].lines if line.get_marker() == "x"]
        places = [(x, round(y)) for line in crosses for x, y in zip(*line.get_data(), strict=True)]
        return places, figure.legends[0].legend_handles[0].get_marker()

    assert marks((0.1, clean), (0.5, clean)) == ([], "None")
    assert marks((0.0, clean), (8.0, few)) == ([(0.0, 90), (8.0, 80)], "x")
    places, in_legend = marks((0.1, clean), (0.5, clean), ("calibrated", few))
    assert ([y for _, y in places], in_legend) == ([80], "x"), "a policy stands apart"


def test_curves_join_no_points_on_different_images() -> None:
    rows = [record(190), attack("pgd", "2/255", 50, 100), attack("pgd", "8/255", 20, 100)]
    (panel,) = panels.eps_panels(results_of(rows), "digits")
    figure = curves.draw([panel])
    # Clean is of 200 images, both budgets of 100: pieces of one point and of two.
    pieces = [
        list(line.get_xdata())
        for line in figure.axes[0].lines
        if line.get_linestyle() == "-" and line.get_alpha() is None
    ]
    assert pieces == [[0.0], [pytest.approx(2.0), pytest.approx(8.0)]]
    assert figure.get_supxlabel() == "gap: on other images"
    whole = curves.draw(panels.eps_panels(results_of([record(95, 100), *rows[1:]]), "digits"))
    assert not whole.get_supxlabel()


def test_lines_on_different_images_are_said_to_be() -> None:
    def note(clean: int, attacked: int) -> str:
        rows = []
        for lam in (0.1, 0.5):
            of = {"model": SDNET, "lam": lam}
            rows += [record(clean, clean, **of), attack("pgd", "8/255", 20, attacked, **of, lam_attack=lam)]
        figure = curves.draw(panels.lambda_attack_panels(results_of(rows), "digits"))
        return str(figure.get_supxlabel())

    # Without attack all of 20 images are right, under it 20 of 100: the two lines are no fall of 80 points.
    assert note(20, 100) == "not every line is on the same images"
    assert not note(100, 100)


def test_transfer_is_in_no_curve() -> None:
    rows = [record(190, model=SDNET, lam=0.1)]
    rows.append(attack("pgd", "8/255", 100, model=SDNET, lam=0.1, lam_attack=0.5))
    results = results_of(rows)
    assert panels.eps_panels(results, "digits") == []
    assert panels.lambda_attack_panels(results, "digits") == []


def test_lambda_curves_hold_every_lambda_and_severity() -> None:
    results = results_of(study(["fog"], [0.1, 0.5]))
    (swept,) = sweeps(results, "digits")
    (panel,) = panels.lambda_corruption_panels(swept)
    assert [line.label for line in panel.lines] == ["clean images", *(f"severity {s}" for s in range(1, 6))]
    assert [x for x, _ in panel.lines[3].points] == [0.1, 0.5]
    assert panel.lines[3].points[0][1] == results.estimate(
        "corruption", name="fog", severity=3, model="sdnet20", lam=lam_spec(0.1)
    )


def test_a_heat_map_leaves_out_what_was_not_run() -> None:
    grid = {"snow": {1: record_estimate(0.5)}, "fog": {5: record_estimate(0.25)}}
    figure = heatmap.draw({"model": grid})
    assert [text.get_text() for text in figure.axes[0].texts] == ["50", "25"]


def test_a_heat_map_of_many_models_has_no_column_that_nobody_has_a_mean_of() -> None:
    rows = []
    for model in map(network, "abcdefg"):
        rows += [record(190, model=model), corruption("snow", 3, 100, model=model)]
        rows += [corruption("fog", severity, 100, model=model) for severity in (1, 3)]
    (figure,) = build(snapshot(rows)).figures
    (axes,) = figure.draw().axes
    assert [label.get_text() for label in axes.get_xticklabels()] == ["fog"]


def test_rows_of_a_heat_map_are_in_words_and_in_one_order_whoever_was_asked() -> None:
    one = {1: record_estimate(0.5)}
    grids = {"a": {"fog": one, "gaussian_noise(seed=1)": one}, "b": {"gaussian_noise": one}}
    labels = heatmap.draw(grids).axes[0].get_yticklabels()
    assert [label.get_text() for label in labels] == ["gaussian noise", "gaussian noise(seed=1)", "fog"]


def test_a_heat_map_calls_nothing_all_or_none_that_is_not() -> None:
    grid = {"fog": {place: record_estimate(share) for place, share in enumerate((1, 0.995, 0.005, 0), 1)}}
    figure = heatmap.draw({"model": grid})
    assert [text.get_text() for text in figure.axes[0].texts] == ["100", "99.5", "0.5", "0"]


def test_numbers_on_other_images_than_most_are_marked_in_heat_maps_and_dots() -> None:
    most, few = Estimate(0.5, 0.4, 0.6, 200), Estimate(0.25, 0.2, 0.3, 100)
    lost = replace(most, images="0-99, 200-299")
    told = "* on other images than most"
    for other in (few, lost):
        rows = {"snow": {1: most, 3: other}, "fog": {1: most, 3: most}}
        figure = heatmap.draw({"a": rows, "b": {"snow": {1: most}}})
        share = f"{100 * other.accuracy:.0f}*"
        assert [text.get_text() for text in figure.axes[0].texts] == ["50", share, "50", "50"]
        assert figure.get_supxlabel() == told
        found = dots.draw({"a": {"fog": most, "snow": most}, "b": {"fog": other, "snow": most}}, "flips, %")
        (mark,) = found.axes[0].texts
        assert mark.get_text() == "*"
        assert mark.xy == (
            100 * other.high,
            pytest.approx(0.14),
        )  # beside the lower of the two dots of the first row
        assert found.get_supxlabel() == told
    for alike in (heatmap.draw({"a": {"fog": {1: most}}}), dots.draw({"a": {"fog": most}}, "flips, %")):
        assert not any("*" in text.get_text() for text in alike.axes[0].texts)
        assert alike.get_supxlabel() == ""


def test_a_minimal_norm_attack_is_a_staircase_beside_the_grid() -> None:
    sought = attack("fab-t", None, 0, n=4, distances=[0.0, 2 / 255, 4 / 255, 100 / 255])
    rows = [record(3, 4), attack("pgd", "8/255", 2, n=4), sought]
    fab, pgd = panels.eps_panels(results_of(rows), "digits")
    (line,) = fab.lines
    assert line.steps
    # In units of 1/255: one of four wrong at once, the next at 2 and at 4; 100 lies behind the end of the axis.
    assert [(x, value.accuracy) for x, value in line.points[:-1]] == [
        (0.0, 0.75),
        (pytest.approx(2.0), 0.5),
        (pytest.approx(4.0), 0.25),
    ]
    assert line.points[-1][1].accuracy == 0.25
    assert pgd.end == fab.end == pytest.approx(line.points[-1][0])
    assert 8 <= fab.end < 100
    assert (line.points[1][1].low, line.points[1][1].high) == wilson(2, 4)


def test_distances_of_nothing_but_wrong_images_are_drawn() -> None:
    rows = [record(0, 4), attack("fab-t", None, 0, n=4, distances=[0.0] * 4)]
    (figure,) = build(snapshot(rows)).figures
    assert figure.draw().axes[0].get_xlim()[0] < 0 < figure.draw().axes[0].get_xlim()[1]


def test_what_was_asked_at_another_lambda_than_the_usual_alone_is_in_the_report() -> None:
    rows = [record(190, model=SDNET, lam=lam) for lam in (0.1, 0.5)]
    rows += [corruption("fog", severity, 100, model=SDNET, lam=0.5) for severity in (1, 5)]
    rows += [
        attack(name, "8/255", right, model=SDNET, lam=0.5) for name, right in (("pgd", 40), ("noise", 150))
    ]
    document = build(snapshot(rows))
    assert [figure.name for figure in document.figures] == ["lambda-digits-sdnet20-generated"]
    assert document.figures[0].draw().axes
    tables = {section.title: section.blocks for section in document.sections}
    assert percents(tables["Lambda at test time"][1]) == [["0.5", "95.0", "50.0", "50.0", "50.0"]]
    assert percents(tables["sdnet20: attacks"][0])[0][:4] == ["pgd", "0.5", "linf 8/255", "20.0"]


def test_a_sequence_at_another_lambda_than_the_usual_alone_is_in_the_report() -> None:
    asked = record(150, spec=SequenceSpec(name="translate", frames=31), model=SDNET, lam=0.5)
    counts = np.full(200, 3, np.int32)  # of thirty pairs of frames
    followed = replace(asked, outcome=replace(asked.outcome, flips=counts, shifts=counts))
    rows = [record(190, model=SDNET, lam=lam) for lam in (0.1, 0.5)]
    (figure,) = build(snapshot([*rows, followed])).figures
    assert figure.alt == "Flip probability along each sequence: sdnet20 @ 0.5. Its numbers are in the tables."
    assert percents(figure.tables[0]) == [["translate", "10.0", "0.100"]]
    assert figure.draw().axes


def test_a_figure_of_many_models_holds_those_that_were_attacked() -> None:
    rows = [record(190, model=replace(RESNET, name=f"model{k}", weights=f"{k:x}" * 64)) for k in range(10)]
    rows += [attack("pgd", "8/255", 40, model=rows[k].cell.model) for k in (8, 9)]
    (figure,) = build(snapshot(rows)).figures
    assert figure.title == "Accuracy against eps"
    (panel,) = panels.eps_panels(results_of(rows), "digits")
    assert [line.label for line in panel.lines] == ["model8", "model9"]


def test_a_figure_of_the_first_models_says_so() -> None:
    def said(count: int) -> tuple[str, str]:
        models = [network(f"model-{i:02}") for i in range(count)]
        clean = [record(190, model=model) for model in models]
        figures = build(
            snapshot([*clean, *(attack("pgd", "8/255", 90, model=model) for model in models)])
        ).figures
        return next((figure.title, figure.alt) for figure in figures if figure.name == "attacks-digits")

    assert said(panels.MANY)[0] == "Accuracy against eps"
    title, alt = said(panels.MANY + 3)
    assert title == f"Accuracy against eps (the first {panels.MANY} of {panels.MANY + 3} models and lambdas)"
    assert alt.startswith(f"{title}: ")


def test_a_figure_of_means_of_many_models_says_over_how_much_each_is() -> None:
    rows = []
    for position in range(7):
        model = replace(SDNET, name=f"m{position}", weights=str(position) * 64)
        for lam in (0.1, 0.5):
            names = ("fog", "snow") if position else ("fog",)
            rows += [
                record(190, model=model, lam=lam),
                *(corruption(n, 1, 90, model=model, lam=lam) for n in names),
            ]
    figure = next(one for one in build(snapshot(rows)).figures if one.name.startswith("lambda-means"))
    titles = [axes.get_title(loc="left") for axes in figure.draw().axes if axes.get_visible()]
    assert titles[:2] == ["m0: 1 corruption", "m1: 2 corruptions"]
    assert [table.title for table in figure.tables][:2] == ["m0: fog", "m1: snow"]


def test_a_figure_of_steps_says_what_it_leaves_out() -> None:
    def course(eps: int, name: str, data: str = "digits") -> Convergence:
        return Convergence(
            data=data,
            model=name,
            lam=None,
            attack="pgd",
            norm="linf",
            n=4,
            eps=Eps.parse(f"{eps}/255"),
            right=(4, 2),
        )

    few = [course(1, f"model-{i}") for i in range(panels.MANY)]
    assert panels.step_cut(few) == ""
    assert panels.step_cut([*few, course(1, "another")]) == " (the first 8 of 9 models and lambdas)"
    every = [course(eps, "resnet") for eps in range(1, 15)]
    assert len(panels.step_panels(every)) == panels.MANY_PANELS
    assert panels.step_cut(every) == " (the first 12 of 14 attacks and eps)"
    # A model has its colour in every panel, and data sets are named where there are several.
    first, second = panels.step_panels([course(1, "a"), course(1, "b"), course(1, "b", "cifar10")])
    assert [panel.title for panel in (first, second)] == [
        "pgd, linf 1/255 on digits",
        "pgd, linf 1/255 on cifar10",
    ]
    assert first.lines[1].colour == second.lines[0].colour != first.lines[0].colour
    # In the order of models, as in other figures, not of the attack that one of them alone saw first.
    later = panels.step_panels([course(1, "b"), course(2, "a"), course(2, "b")])
    assert {line.label: line.colour for panel in later for line in panel.lines} == {
        "a": panels.PALETTE[0],
        "b": panels.PALETTE[1],
    }


def test_a_figure_of_attacks_along_lambda_says_what_it_leaves_out() -> None:
    def said(models: int) -> tuple[str, int]:
        rows = []
        for name in map(str, range(models)):
            model = replace(SDNET, name=name, weights=name.zfill(64))
            for lam in (0.1, 0.5):
                rows += [record(190, model=model, lam=lam), attack("pgd", "8/255", 90, model=model, lam=lam)]
        (figure,) = (one for one in build(snapshot(rows)).figures if one.name.startswith("lambda-attacks"))
        return figure.title, len([axes for axes in figure.draw().axes if axes.get_visible()])

    most = panels.MANY_SWEPT
    assert said(2) == ("Accuracy under attack against lambda", 2)
    title = f"Accuracy under attack against lambda (the first {most} of {most + 1} models and attacks)"
    assert said(most + 1) == (title, most)


def test_stairs_end_in_a_dot_with_its_interval() -> None:
    # What is left after the last step would be the end of a line downwards, and no band is seen there.
    falls = (
        (0.0, Estimate(0.9, 0.8, 1.0, 20)),
        (2.0, Estimate(0.8, 0.7, 0.9, 20)),
        (3.0, Estimate(0.4, 0.2, 0.6, 20)),
    )
    figure = curves.draw([curves.Panel("p", "steps", (curves.Line("a", falls, "#000000", steps=True),))])
    stairs, bar, dot = figure.axes[0].lines
    assert stairs.get_drawstyle() == "steps-post"
    assert (list(bar.get_xdata()), list(bar.get_ydata())) == ([3, 3], [20, 60])
    assert (list(dot.get_xdata()), list(dot.get_ydata()), dot.get_marker()) == ([3], [40], "o")


def test_doubts_are_hollow_dots_on_stairs_too() -> None:
    doubted = tuple((float(k), Estimate(0.9 - k / 10, 0.5, 1.0, 20, untrusted=True)) for k in range(8))
    sure = tuple((x, replace(value, untrusted=False)) for x, value in doubted)
    for points, count in ((doubted, 5), (sure, 0)):
        drawn = curves.draw([curves.Panel("p", "x", (curves.Line("a", points, "#000000", steps=True),))])
        hollow = [line for line in drawn.axes[0].lines if line.get_markerfacecolor() == "none"]
        assert sum(len(line.get_xdata()) for line in hollow if line.get_marker() == "o") == count


def test_what_was_chosen_on_test_labels_says_so_once_and_not_below_every_panel() -> None:
    rows = [record(190, model=SDNET, lam=lam) for lam in (0.1, "calibrated:test-labels")]
    rows += [
        corruption("fog", level, 150, model=SDNET, lam=lam)
        for level in (1, 5)
        for lam in (0.1, "calibrated:test-labels")
    ]
    (swept,) = sweeps(results_of(rows), "digits")
    drawn = curves.draw(panels.lambda_corruption_panels(swept))
    for axes in drawn.axes:
        assert [label.get_text() for label in axes.get_xticklabels()] == ["0.1", "calibrated:test-labels"]
    assert drawn.get_supxlabel() == "calibrated:test-labels (drawn on test labels)"
