"""The page of a study in a real browser: sorted, filtered, folded, dark, narrow, printed, and for everybody."""

from __future__ import annotations

import csv
from pathlib import Path

import pytest

from robustbench_sdnet.reports import report
from robustbench_sdnet.reports.content import build

from .made_records import snapshot, study

pytestmark = pytest.mark.browser


@pytest.fixture(scope="module")
def page_file(tmp_path_factory) -> Path:
    """The page of two models at three lambdas, one of whose names is markup."""
    path = tmp_path_factory.mktemp("page") / "report.html"
    return Path(report(snapshot(study()), "html", output=path))


@pytest.fixture
def page(page_file, browser):
    """The page, opened: nothing is asked of anywhere else and nothing fails."""
    opened = browser.new_page(viewport={"width": 1200, "height": 900}, accept_downloads=True)
    problems: list[str] = []
    opened.on("console", lambda message: problems.append(message.text))
    opened.on("pageerror", lambda error: problems.append(str(error)))
    opened.on("request", lambda request: problems.append(request.url) if "://" in request.url else None)
    opened.goto(page_file.as_uri())
    problems.remove(page_file.as_uri())
    yield opened
    assert problems == []
    opened.close()


def column(page, number: int) -> list[str]:
    """The texts of a column of the first table, those rows that are shown."""
    return page.evaluate(
        """number => [...document.querySelector("table").tBodies[0].rows].filter(row => !row.hidden)
            .map(row => row.cells[number].firstChild?.textContent ?? "")""",
        number,
    )


def test_a_click_sorts_by_value_and_another_turns_it_round(page):
    head = page.locator("table").first.locator("th", has_text="accuracy")
    head.locator("button").click()
    ascending = [float(text) for text in column(page, 4)]
    assert len(ascending) == 21
    assert ascending == sorted(ascending)
    assert head.get_attribute("aria-sort") == "ascending"
    head.locator("button").press("Enter")
    assert [float(text) for text in column(page, 4)] == ascending[::-1]


@pytest.mark.parametrize(
    "ascending",
    [
        ["1e-05", "1/255", "8/255", "0.25", "1/2", "(1.5)", "2/1", "1,000"],
        ["l1 12", "l2 0.25", "l2 1/2", "l2 0.75", "linf 1/255", "linf 8/255", "linf 16/255"],
        ["0.05", "0.1", "0.25", "0.5", "1", "calibrated", "oracle (best number on test labels)"],
        ["resnet20", "sdnet20 @ 0.25", "sdnet20 @ 0.5", "sdnet20 @ 1.4", "sdnet20 @ calibrated"],
        ["< 0.0001", "0.0003", "0.0354", "1"],
        ["-10.1 (-12.0 to -8.2)", "-2.0 (-3.0 to -1.0)", "+0.4 (-0.1 to +0.9)", "+3.4 (+1.0 to +5.8)"],
    ],
)
def test_fractions_powers_and_numbers_behind_names_sort_by_value(page, ascending):
    page.evaluate(
        """texts => [...document.querySelector("table").tBodies[0].rows].forEach((row, i) =>
            i < texts.length ? (row.cells[4].textContent = texts[i]) : row.remove())""",
        ascending[::-1],
    )
    page.locator("table").first.locator("th", has_text="accuracy").locator("button").click()
    assert column(page, 4) == ascending


def test_filters_show_the_rows_that_were_asked_for(page):
    page.get_by_label("model").first.select_option("sdnet20")
    page.get_by_label("verdict").first.select_option("untrusted")
    assert set(column(page, 0)) == {"sdnet20"}
    assert column(page, 1) == ["1", "1", "1"]
    assert "3 of 21 rows" in page.locator("output").first.inner_text()
    page.get_by_label("search").fill("linf 8/255")
    assert column(page, 2) == ["linf 8/255"]


def test_tables_download_as_csv(page, tmp_path):
    page.get_by_label("model").first.select_option("resnet20")
    with page.expect_download() as started:
        page.get_by_label("Download All results as CSV").click()
    started.value.save_as(tmp_path / "all.csv")
    assert started.value.suggested_filename == "All-results.csv"
    rows = list(csv.DictReader((tmp_path / "all.csv").read_text().splitlines()))
    # resnet20: clean 190 of 200, two corruptions, three budgets of pgd.
    assert len(rows) == 5
    assert (rows[0]["accuracy"], rows[0]["accuracy, 95 %"]) == ("95.0", "91.0-97.3")
    assert (rows[0]["threat"], rows[0]["lambda"]) == ("clean", "-")


def test_without_scripts_nothing_stands_there_that_does_nothing(page_file, browser):
    with browser.new_context(java_script_enabled=False) as context:
        opened = context.new_page()
        opened.goto(page_file.as_uri())
        assert opened.locator("main table").first.is_visible()
        assert not any(one.is_visible() for one in opened.locator("button, select, input").all())


def test_a_mark_is_no_part_of_a_number_in_csv(page, tmp_path):
    page.get_by_label("verdict").first.select_option("untrusted")
    with page.expect_download() as started:
        page.get_by_label("Download All results as CSV").click()
    started.value.save_as(tmp_path / "all.csv")
    rows = list(csv.DictReader((tmp_path / "all.csv").read_text().splitlines()))
    assert rows
    for row in rows:
        assert float(row["accuracy"]) >= 0
        assert row["accuracy, 95 %"].endswith(" untrusted")


def test_details_unfold_and_links_open_them(page):
    closed = page.locator("main > details").first
    assert not closed.locator("table").first.is_visible()
    closed.locator("summary").first.click()
    assert closed.locator("table").first.is_visible()
    inner = page.locator("main details details").first
    page.evaluate("name => { location.hash = name; }", inner.get_attribute("id"))
    inner.locator("table").first.wait_for(timeout=5000)  # those around it open, too
    link, linked = page.locator("nav a", has_text="What was run"), page.get_by_text("Cells answered")
    link.click()
    linked.wait_for(timeout=5000)  # it opens once the page has gone there
    page.locator("main > details", has=linked).locator("summary").first.click()
    assert not linked.is_visible()
    link.click()  # which leaves the address as it is
    linked.wait_for(timeout=5000)


def test_an_address_opens_the_section_that_it_names(page, page_file, browser):
    inner = page.locator("main details details").first.get_attribute("id")
    for name in (inner, ""):  # as if one goes back to no section, which is no fault
        page.evaluate("name => { location.hash = name; }", name)
    with browser.new_page() as opened:
        opened.goto(f"{page_file.as_uri()}#{inner}")
        opened.locator(f"#{inner} table").first.wait_for(timeout=5000)


def test_dark_and_light_and_print(page):
    ground = "getComputedStyle(document.body).backgroundColor"
    before = page.evaluate(ground)
    page.locator("#theme").click()
    assert page.evaluate(ground) != before
    page.locator("#theme").press("Space")
    assert page.evaluate(ground) == before
    page.evaluate("dispatchEvent(new Event('beforeprint'))")
    assert page.locator("details:not([open])").count() == 0
    page.emulate_media(media="print")
    assert not page.locator("nav").is_visible()
    number, interval = page.evaluate(
        "['td', 'td small'].map(one => parseFloat(getComputedStyle(document.querySelector(one)).fontSize))"
    )
    assert interval < number, "on paper, too, what is said in passing is the smaller"
    assert len(page.pdf()) > 10_000


def test_figures_have_a_text_and_their_numbers(page):
    figures = page.locator("figure")
    assert figures.count() == len(build(snapshot(study())).figures) >= 4
    for figure in figures.all():
        assert len(figure.locator("svg").first.get_attribute("aria-label")) > 20
        assert figure.locator("details table").count() >= 1


def test_what_follows_a_long_table_is_not_far_and_its_heads_stay(page):
    found = page.locator(".wide:has(> table)").first
    page.evaluate(
        """() => {
            const body = document.querySelector("table").tBodies[0];
            for (let i = 0; i < 20; i++) body.append(...[...body.rows].slice(0, 21).map(row => row.cloneNode(true)));
        }"""
    )
    assert found.evaluate("one => one.scrollHeight > 10 * one.clientHeight")
    assert found.bounding_box()["height"] <= 900
    head = found.locator("th").first
    before = head.bounding_box()["y"]
    found.evaluate("one => one.scrollTop = 3000")
    assert found.locator("tbody tr").first.bounding_box()["y"] < before - 2000
    assert abs(head.bounding_box()["y"] - before) <= 1
    page.emulate_media(media="print")
    assert found.evaluate("one => one.scrollHeight <= one.clientHeight + 1"), "paper cannot be scrolled"


def test_nothing_is_wider_than_a_phone(page):
    page.set_viewport_size({"width": 400, "height": 800})
    page.evaluate("document.querySelectorAll('details').forEach(found => found.open = true)")
    assert page.evaluate("document.documentElement.scrollWidth") <= 400
    right = (
        "Math.max(...[...document.querySelectorAll('caption')].map(one => one.getBoundingClientRect().right))"
    )
    assert page.evaluate(right) <= 400, "a caption goes on beyond the edge"
    # The smallest letters of a figure measure 7.5 points.
    scale = "Math.min(...[...document.querySelectorAll('figure svg')].map(one => one.getScreenCTM().a))"
    assert 7.5 * page.evaluate(scale) >= 6, "letters of a figure are too small"


@pytest.mark.parametrize("scheme", ["light", "dark"])
def test_no_serious_fault_for_assistive_technology(page, scheme):
    from axe_playwright_python.sync_playwright import Axe

    page.emulate_media(color_scheme=scheme)
    page.evaluate("document.querySelectorAll('details').forEach(found => found.open = true)")
    found = Axe().run(page).response["violations"]
    assert [
        (one["id"], one["nodes"][0]["html"]) for one in found if one["impact"] in ("serious", "critical")
    ] == []
