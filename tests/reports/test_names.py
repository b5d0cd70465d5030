"""Names that a user gave, whatever characters they hold: reports stay sound and figures draw them as they are."""

from __future__ import annotations

import csv
import io
import json
import re
from dataclasses import replace
from html.parser import HTMLParser

import pytest
from matplotlib.text import Text

from robustbench_sdnet.reports import report
from robustbench_sdnet.reports.content import build
from robustbench_sdnet.reports.plots import style

from . import test_report
from .made_records import snapshot, study
from .test_report import fill

DOLLARS = "$title ${body} $$ a_b^2"
NAMES = {
    "markup": DOLLARS + " </svg><script>alert(1)</script> \\input{x} |",
    "terminal": '=HYPERLINK("http://x")\x1b[31mred\x07\nnext\rline\u202e',
    "long": "x" * 5000,
    "path": "../../up/*.pt",
    "other letters": "@\u6a21\u578b \u03bb",
}


@pytest.fixture(params=NAMES)
def name(request, monkeypatch):
    """A name that a model of the store has."""
    odd = NAMES[request.param]
    monkeypatch.setattr(
        test_report,
        "MODELS",
        tuple(replace(m, name=f"{odd}") if m.name == "sparse" else m for m in test_report.MODELS),
    )
    return odd


class Page(HTMLParser):
    """Tags that are open, and those that a page of ours never has."""

    def __init__(self):
        super().__init__()
        self.scripts = 0

    def handle_starttag(self, tag, attrs):
        self.scripts += tag == "script"


def test_every_format_is_sound(name, tmp_path):
    url = f"sqlite:///{tmp_path}/results.db"
    fill(url)
    for to in ("markdown", "html", "latex"):
        written = report(url, to).read_text(encoding="utf-8")
        assert all(char.isprintable() or char in "\n\t" for char in written), to
        if to == "html":
            page = Page()
            page.feed(written)
            assert page.scripts == 1, "the page's own"
        if to == "latex":
            assert "\\input{x}" not in written
    rows = json.loads(report(url, "json"))
    assert {row["model"] for row in rows} == {"plain", name}
    cells = {row["model"] for row in csv.DictReader(io.StringIO(report(url, "csv")))}
    (own,) = cells - {"plain"}
    assert not re.match(r"[=+\-@\s]", own)
    assert own.removeprefix("'") == style.visible(name)


def test_a_table_of_texts_keeps_its_numbers():
    from robustbench_sdnet.reports.writers.records import to_csv

    assert to_csv(
        [{"a": -0.5, "b": "-0.5", "c": None, "d": [1]}, {"a": "+1", "b": "@x", "c": "=1", "d": "8/255"}],
    ) == ("a,b,c,d\n-0.5,'-0.5,,[1]\n'+1,'@x,'=1,8/255\n")


def test_figures_draw_names_as_they_are():
    renamed = [
        replace(answer, cell=replace(answer.cell, model=replace(answer.cell.model, name=DOLLARS)))
        if answer.cell.model.name == "sdnet20"
        else answer
        for answer in study()
    ]
    figures = build(snapshot(renamed)).figures
    drawn = set()
    for figure in figures:
        picture = figure.draw()
        assert style.to_svg(picture, "a").startswith("<svg")
        drawn |= {text.get_text() for text in picture.findobj(Text)}
    assert any(DOLLARS in text for text in drawn)
    assert style.drawn("x" * 5000 + "\x1b") == "x" * 60 + "..."


def test_names_that_differ_have_figures_of_their_own():
    from robustbench_sdnet.reports.document import slug

    names = ["a/b", "a-b", "a b", "\u6a21", "\u578b", "x" * 100, "x" * 101, "a.b"]
    assert len({slug(name) for name in names}) == len(names)
    assert max(map(len, map(slug, names))) < 80
    assert slug("digits") == "digits"
