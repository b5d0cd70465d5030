"""Formats: every number with its interval, nothing a user named can break out, nothing from outside."""

from __future__ import annotations

import csv
import io
import json
import re

import pytest

from robustbench_sdnet.answers.records import FIELDS, flat
from robustbench_sdnet.reports.content import build
from robustbench_sdnet.reports.document import Document, Figure, Section, Table
from robustbench_sdnet.reports.numbers import Estimate, Missing
from robustbench_sdnet.reports.plots import style
from robustbench_sdnet.reports.writers import html, latex, markdown
from robustbench_sdnet.reports.writers.records import to_csv, to_json

from .made_records import FAILED, attack, record, rows_of, snapshot, study

HOSTILE = 'a|b <script>alert("x")</script> & 100 % _y_ $z$ #1 \\end{document} `c` [d](e)'
NUMBERS = Table(
    ("model", "clean", "fog"),
    (
        ("a", Estimate(0.5, 0.43, 0.57, 200), Missing("not run")),
        (
            "b",
            Estimate(0.25, 0.17, 0.34, 100, untrusted=True),
            Estimate(0.1, 0.066, 0.149, 200, transfer=True),
        ),
    ),
    title="Numbers",
    notes=("b: fewer images.",),
)


def document(table: Table) -> Document:
    return Document("Report", (Section("Chapter", (table,)),))


def no_pictures(figure: Figure) -> str:
    return f"{figure.name}.png"


def test_markdown_table() -> None:
    lines = list(markdown.table_lines(NUMBERS))
    assert lines == [
        "**Numbers**",
        "",
        "| model   |                             clean |                fog |",
        "|:--------|----------------------------------:|-------------------:|",
        "| a       |                 50.0 [43.0, 57.0] |                  - |",
        "| b       | 25.0 untrusted [17.0, 34.0] n=100 | (10.0) [6.6, 14.9] |",
        "",
        "- n = 200 images.",
        "- b: fewer images.",
    ]


def test_markdown_table_with_intervals_below() -> None:
    table = Table(NUMBERS.columns, NUMBERS.rows, stacked=True)
    lines = list(markdown.table_lines(table))[2:6]
    assert [[cell.strip() for cell in line.strip("|").split("|")] for line in lines] == [
        ["a", "50.0", "-"],
        ["", "43.0-57.0", ""],
        ["b", "25.0 untrusted", "(10.0)"],
        ["", "17.0-34.0 n=100", "6.6-14.9"],
    ]


def test_html_table() -> None:
    text = str(html.environment().get_template("tables.html").module.table_of(NUMBERS, "chapter"))
    assert "<caption>Numbers</caption>" in text
    assert 'data-name="Numbers.csv"' in text
    assert "<td>50.0<small>43.0-57.0</small></td>" in text
    assert '<td class="missing" title="not run">-</td>' in text
    marked = '25.0 <span class="mark">untrusted</span><small>17.0-34.0 n=100</small>'
    assert f'<td class="untrusted">{marked}</td>' in text
    assert '<td class="transfer">(10.0)<small>6.6-14.9</small></td>' in text
    assert "<li>n = 200 images.</li><li>b: fewer images.</li>" in text


def test_latex_table() -> None:
    text = latex.render(document(NUMBERS), no_pictures)
    assert r"\begin{longtable}[l]{@{}lrr@{}}" in text
    assert r"a & 50.0 {\scriptsize 43.0--57.0} & -- \\" in text
    assert r"b & 25.0 untrusted {\scriptsize 17.0--34.0 n=100} & (10.0) {\scriptsize 6.6--14.9} \\" in text
    assert text.index(r"\toprule") < text.index(r"\midrule") < text.index(r"\bottomrule")


def test_hostile_names_stay_text_in_markdown() -> None:
    text = markdown.render(document(Table((HOSTILE,), ((HOSTILE,),))), no_pictures)
    row = text.splitlines()[-2 if text.splitlines()[-1].startswith("-") else -1]
    assert len(re.findall(r"(?<!\\)\|", row)) == 2
    assert not re.search(r"(?<!\\)[<>`\[\]]", row)
    assert r"\_y\_" in row
    assert markdown.escape("a&lt;b ~~c~~ $d$") == r"a\&lt;b \~\~c\~\~ \$d\$"


def test_hostile_names_stay_text_in_html() -> None:
    hostile = Document(
        HOSTILE, (Section(HOSTILE, (HOSTILE, Table((HOSTILE,), ((HOSTILE,),), title=HOSTILE))),)
    )
    text = html.render(hostile, lambda figure: "<svg></svg>")
    assert text.count("<script") == text.count("</script") == 1, "the page's own"
    # Twice as the title, twice as the section's, the paragraph, then the table's: caption, head, cell, two labels.
    assert text.count("&lt;script&gt;alert(&#34;x&#34;)&lt;/script&gt; &amp; 100 %") == 10
    assert "$z$" in text


def test_options_of_commands_keep_their_hyphens_in_latex() -> None:
    assert latex.escape("x --data a---b -1 3-4") == "x -{}-data a-{}-{}-b -1 3-4"


def test_hostile_names_stay_text_in_latex() -> None:
    text = latex.render(document(Table((HOSTILE,), ((HOSTILE,),))), no_pictures)
    assert text.count(r"\end{document}") == 1
    assert r"\textbackslash{}end\{document\}" in text
    assert not re.search(r"(?<!\\)[%$#]", text.split(r"\begin{document}")[1])


def test_a_page_needs_nothing_from_outside() -> None:
    rows = study()
    text = html.render(build(snapshot(rows)), lambda figure: f"<svg><text>{figure.name}</text></svg>")
    assert not re.search(r"https?:|<link|src=|<img|@import|url\((?!#)", text)
    assert len(re.findall(r"<svg role", text)) == 4
    anchors = re.findall(r'href="#([^"]+)"', text)
    assert anchors
    assert all(f'id="{anchor}"' in text for anchor in anchors)


@pytest.mark.parametrize("render", [markdown.render, latex.render, html.render])
def test_untrusted_is_marked_wherever_a_number_is_printed(render) -> None:
    rows = [record(190), attack("pgd", "8/255", 77, findings=(FAILED,)), attack("pgd", "4/255", 90)]
    text = render(build(snapshot(rows)), no_pictures)
    # 77 of 200 is 38.5 %: in the first words, in the overview, in the table against eps and in the attack table; a page
    # has a table of everything too.
    places = [match.end() for match in re.finditer(r"38\.5", text)]
    assert len(places) == (5 if render is html.render else 4)
    assert all("untrusted" in text[place : place + 40] for place in places)
    assert "45.0" in text
    assert not re.search(r"45\.0 (untrusted|<span)", text)


@pytest.mark.parametrize("render", [markdown.render, latex.render, html.render])
def test_a_figure_has_its_title_beside_it(render) -> None:
    figure = Figure("f", "Accuracy of one model", "Other words.", lambda: style.new_figure(1, 1))
    text = render(Document("report", (Section("A chapter", (figure,)),)), lambda _: "f.png")
    assert "Accuracy of one model" in text


@pytest.mark.parametrize("render", [markdown.render, latex.render])
def test_a_figure_does_not_say_its_heading_again(render) -> None:
    figure = Figure("f", "Accuracy of one model", "Other words.", lambda: style.new_figure(1, 1))
    text = render(Document("report", (Section(figure.title, (figure,)),)), lambda _: "f.png")
    assert text.count(figure.title) == 1


def test_csv_has_the_columns_of_the_record_in_their_order() -> None:
    text = to_csv(flat(rows_of([record(190)])))
    header, row = csv.reader(io.StringIO(text))
    assert header == list(FIELDS)
    found = dict(zip(header, row, strict=True))
    assert (found["accuracy"], found["lambda"], found["severity"], found["n"]) == ("0.95", "", "", "200")


def test_csv_quotes_what_needs_it_and_writes_mappings_as_json() -> None:
    text = to_csv([{"model": 'a,"b"', "versions": {"torch": "2"}}])
    assert list(csv.reader(io.StringIO(text)))[1] == ['a,"b"', '{"torch": "2"}']


def test_json_is_a_list_of_flat_records_and_knows_no_nan() -> None:
    (first,) = flat(rows_of([record(190)]))
    rows = json.loads(to_json([first, {**first, "accuracy": float("nan")}]))
    assert [list(row) for row in rows] == [list(FIELDS)] * 2
    assert (rows[0]["accuracy"], rows[1]["accuracy"], rows[0]["lambda"]) == (0.95, None, None)


@pytest.mark.parametrize("name", ["# head", "1. one", "2) two", "- dash", "+ plus"])
def test_a_name_at_the_start_of_a_line_is_no_markup(name) -> None:
    page = Document(
        "Report", (Section("Some", (f"{name} on digits", Table(("a",), ((name,),), notes=(name,)))),)
    )
    text = markdown.render(page, no_pictures)
    start = re.escape(name[0]) if not name[0].isdigit() else re.escape(name[:2])
    lines = [
        line.removeprefix("- ")
        for line in text.splitlines()[2:]
        if "on digits" in line or line.endswith(name[-3:])
    ]
    assert lines
    assert not any(re.match(start, line) for line in lines if not line.startswith("|"))


def test_numbers_at_the_start_of_a_line_stay_as_they_are() -> None:
    page = Document("Report", (Section("Some", ("95.5 % clean", "+4.0 points")),))
    text = markdown.render(page, no_pictures)
    assert "95.5 % clean" in text
    assert "\n+4.0 points" in text


def test_names_stay_apart_in_latex_and_begin_no_option() -> None:
    text = latex.render(
        document(Table(("name",), (("é",), ("ü",), ("模",), ("型",), ("*star",)))), no_pictures
    )
    for name in ("é", "ü", "U+6A21", "U+578B", "{*}star"):
        assert f"{name} \\\\" in text


def test_images_that_are_not_the_usual_are_named() -> None:
    usual, other = (Estimate(0.5, 0.4, 0.6, 200, images=images) for images in ("", "100-299"))
    table = Table(("", "x"), (("a", usual), ("b", usual), ("c", other)))
    lines = list(markdown.table_lines(table))
    assert "n=" not in lines[2]
    assert "of images 100-299" in lines[4]
    assert list(markdown.table_lines(Table(("", "x"), (("c", other),))))[-1] == "- n = 200 images (100-299)."
