"""The one progress display: its lines without a terminal, and names that are no markup on one."""

from __future__ import annotations

import io
import sys
import time

import pytest

from robustbench_sdnet.console.progress import Display, shown, shown_fits, shown_progress
from robustbench_sdnet.running.policies import FitProgress
from robustbench_sdnet.running.runner import Progress
from robustbench_sdnet.specs import LambdaSpec, ModelSpec


@pytest.fixture
def clock(monkeypatch):
    """A clock that stands until it is moved."""
    now = [100.0]
    monkeypatch.setattr(time, "monotonic", lambda: now[0])
    return now


def test_a_line_at_every_tenth_with_what_is_left(capsys, clock):
    with shown("corrupt") as display:
        for done in range(0, 101, 5):
            display.update(done, 100, "fog 3")
            clock[0] += 6  # 1.2 s a part
    lines = capsys.readouterr().err.splitlines()
    assert lines[0] == "corrupt: 10 % (fog 3), about 108 s left".replace("108 s", "2 min")
    assert lines[-2:] == ["corrupt: 90 % (fog 3), about 12 s left", "corrupt: 100 % (fog 3)"]
    assert len(lines) == 10


def test_what_was_done_before_does_not_speed_it_up(capsys, clock):
    display = Display("train")
    display.update(50, 100)
    clock[0] += 10
    display.update(60, 100)
    assert capsys.readouterr().err == "train: 60 %, about 40 s left\n"


def test_a_line_a_minute_where_tenths_are_far_apart(capsys, clock):
    display = Display("download")
    for _ in range(3):
        display.update(clock[0], 1e6)
        clock[0] += 61
    assert len(capsys.readouterr().err.splitlines()) == 2


def test_work_that_begins_again_is_timed_anew(capsys, clock):
    display = Display("fit")
    for done in (0, 2, 0, 1):
        display.update(done, 2, "a")
        clock[0] += 5
    assert capsys.readouterr().err.splitlines() == ["fit: 100 % (a)", "fit: 50 % (a), about 5 s left"]


def test_the_time_that_workers_take_to_start_says_nothing_of_what_is_left(capsys, clock):
    with shown_fits() as update:
        model = ModelSpec(name="a", source="a", arch="sdnet20", weights="0")
        for done, idle in ((0, True), (0, True), (0, False), (1, False)):
            update(FitProgress(model, LambdaSpec("calibrated"), done, 10, idle))
            clock[0] += 20
    last = capsys.readouterr().err.splitlines()[-1]
    assert last == "fitting lambda: 10 % (calibrated for a on training images), about 6 min left"


def test_quiet_says_nothing_and_an_unknown_total_neither(capsys):
    display = Display("x", quiet=True)
    display.update(1, 2)
    display.note("a")
    Display("x").update(5, None)
    assert capsys.readouterr() == ("", "")


def test_workers_are_told_with_what_they_do(capsys, clock):
    progress = Progress(shards=40, stored=2)
    with shown_progress("corrupt") as update:
        update(progress)
        clock[0] += 8
        progress.done_shards, progress.share, progress.left = 4, 0.25, 24.0
        progress.doing = [("10.0.0.1:7", "fog 3"), ("10.0.0.2:8", "")]
        progress.notes = ["Node 10.0.0.3 is not used."]
        update(progress)
        progress.share, progress.left = 0.5, 400.0
        progress.doing = [(f"10.0.0.{n}:7", "fog 3") for n in range(6)]
        update(progress)
    first, note, line, crowd = capsys.readouterr().err.splitlines()
    assert first == "corrupt: 40 shards to do, 2 stored already."
    assert note == "Warning: Node 10.0.0.3 is not used."
    assert line == (
        "corrupt: 25 % (2 workers, 4 of 40 shards, 0.5/s; 10.0.0.1:7: fog 3; 10.0.0.2:8: waits), about 24 s left"
    )
    assert crowd.startswith("corrupt: 50 % (6 workers, 4 of 40 shards")
    assert crowd.endswith("about 7 min left")
    assert "10.0.0.3:7: fog 3, and 2 more)" in crowd


def test_notes_of_workers_are_told_where_all_else_is_quiet(capsys):
    with shown_progress("corrupt", quiet=True) as update:
        update(Progress(shards=1, stored=0, notes=["Node a is not used."]))
    assert capsys.readouterr() == ("", "Warning: Node a is not used.\n")


class Terminal(io.StringIO):
    """Standard error, as where a person reads it."""

    def isatty(self):
        return True


def test_a_terminal_that_can_draw_nothing_has_lines(monkeypatch):
    terminal = Terminal()
    monkeypatch.setattr(sys, "stderr", terminal)
    monkeypatch.setenv("TERM", "dumb")
    with shown_progress("corrupt") as update:
        update(Progress(shards=2, stored=0))
        update(Progress(shards=2, stored=0, share=0.5, label="fog 3"))
    first, line = terminal.getvalue().splitlines()
    assert first == "corrupt: 2 shards to do, 0 stored already."
    assert line.startswith("corrupt: 50 % (fog 3), about ")


def test_names_are_no_markup_on_a_terminal(monkeypatch):
    terminal = Terminal()
    monkeypatch.setattr(sys, "stderr", terminal)
    monkeypatch.setenv("TERM", "xterm")
    monkeypatch.setenv("COLUMNS", "200")
    with shown("verify {x} [/red]") as display:
        display.update(1, 4, "a[/bold]\x07 {y}")
        display.note("[link=x]note[/y]")
        display.update(2, 4, "a[/bold]\x07 {y}", 3600.0)
    text = terminal.getvalue()
    assert "verify {x} [/red]" in text
    assert "about 60 min left" in text
    assert "a[/bold]\\x07 {y}" in text
    assert "[link=x]note[/y]" in text
    assert "\x07" not in text


@pytest.mark.parametrize(
    ("policy", "images"),
    [
        ("calibrated", "training images"),
        ("calibrated:test-labels", "the evaluated images, with their labels"),
    ],
)
def test_a_fit_says_on_which_images(capsys, policy, images):
    with shown_fits() as update:
        model = ModelSpec(name="a", source="a", arch="sdnet20", weights="0")
        for done in (0, 10):
            update(FitProgress(model, LambdaSpec(policy), done, 10, notes=["node 7 is not used"]))
    said = capsys.readouterr().err
    assert f"({policy} for a on {images})" in said
    assert said.count("Warning: node 7 is not used") == 1
