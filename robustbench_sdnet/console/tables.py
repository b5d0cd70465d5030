"""Records as tables that fit a terminal, the lowest accuracy marked."""

from __future__ import annotations

import shutil
from collections.abc import Sequence
from functools import partial
from typing import Any

from ..corruptions.sequences.members import MAIN
from ..specs import norm_facts
from ..specs.lambdas import policy_shown
from ..specs.perturbations import without_seed
from ..wording import brief, share_text

Record = dict[str, Any]
SCREEN = 60  # lines
NARROWEST = 8  # columns that a text keeps where a table is wider than the terminal,
WORD = 12  # and a word of up to so many letters is not broken
MARK = "*"
TEXTS = ("model", "kind", "perturbation", "corruption", "sequence", "lambda")  # columns that may be broken


def table(rows: Sequence[Record]) -> str:
    """Records as tables that fit a terminal: corruptions by severity, everything else one line an answer."""
    worst = lowest(rows)
    corruptions = [row for row in rows if row["kind"] == "corruption"]
    sequences = [row for row in rows if row["kind"] == "sequence"]
    others = [row for row in rows if row["kind"] not in ("corruption", "sequence")]
    parts = [_answers(others, worst), _severities(corruptions, worst), _sequences(sequences)]
    parts += [_stored(corruptions), _named(worst)]
    return "\n\n".join(part for part in parts if part) or "Nothing was measured."


def lowest(rows: Sequence[Record]) -> list[Record]:
    """The answers with the lowest accuracy under a corruption or at a budget; none where all are equal."""
    attacks = [row for row in rows if row["kind"] in ("attack", "worst_case") and row["eps"] is not None]
    ranked = [*(row for row in rows if row["kind"] == "corruption"), *attacks]
    least = min((row["accuracy"] for row in ranked), default=0.0)
    worst = [row for row in ranked if row["accuracy"] == least]
    return worst if len(worst) < len(ranked) else []


def fitted(
    lines: Sequence[Sequence[Any]], headers: Sequence[str], aligned: Sequence[str], wrapped: Sequence[int]
) -> str:
    """A table no wider than the terminal, as far as the columns at `wrapped` can make it so.

    Those that hold one text alone go above it, one after the other, and the number of images; then texts are broken.
    """
    from tabulate import tabulate

    draw = partial(tabulate, lines, headers=headers, colalign=aligned, disable_numparse=True)
    room = shutil.get_terminal_size((10_000, 24)).columns
    text = draw()
    if max(map(len, text.splitlines())) <= room:
        return text
    for i in (*wrapped, *(i for i, name in enumerate(headers) if name == "n")):
        above = f"{headers[i]}: {lines[0][i]}"
        if len(lines) > 1 and len({str(line[i]) for line in lines}) == 1 and len(above) <= room:
            kept = [position for position in range(len(headers)) if position != i]
            return f"{above}\n\n" + fitted(
                [[line[position] for position in kept] for line in lines],
                [headers[position] for position in kept],
                [aligned[position] for position in kept],
                [position - (position > i) for position in wrapped if position != i],
            )
    columns = [[str(cell) for cell in column] for column in zip(headers, *lines, strict=True)]
    widths = [max(map(len, column)) for column in columns]
    words = {i: [len(word) for cell in columns[i] for word in cell.split()] for i in wrapped}
    narrowest = {i: max([NARROWEST, *(n for n in words[i] if n <= WORD)]) for i in wrapped}
    while True:
        text = draw(maxcolwidths=widths, maxheadercolwidths=widths)
        over = max(map(len, text.splitlines())) - room
        if over <= 0 or all(widths[i] <= narrowest[i] for i in wrapped):
            return text
        for _ in range(over):
            widest = max(wrapped, key=lambda i: widths[i] - narrowest[i])
            widths[widest] = max(widths[widest] - 1, narrowest[widest])


def _stored(rows: Sequence[Record]) -> str:
    """The line below the tables that says how corrupted images were stored, where they were."""
    kinds = dict.fromkeys(row["stored_as"] for row in rows if row.get("stored_as"))
    return f"Corrupted images were stored as {', '.join(kinds)} before they were shown." if kinds else ""


def _named(worst: Sequence[Record]) -> str:
    """The line below the tables that says what is marked in them."""
    if not worst:
        return ""
    row = worst[0]
    lam = "" if row["lambda"] is None else f", lambda {policy_shown(brief(row['lambda']))}"
    strength = f" at severity {row['severity']}" if row["severity"] else f" {_budget(row)}".rstrip()
    what = f"{row['perturbation']}{strength}, {row['model']}{lam}"
    more = f", and {len(worst) - 1} more" if len(worst) > 1 else ""
    doubt = " untrusted" if row["verdict"] == "untrusted" else ""
    return f"{MARK} lowest: {share_text(row['accuracy'])} %{doubt} ({what}{more})"


def _answers(rows: Sequence[Record], worst: Sequence[Record]) -> str:
    lines = [
        (
            row["model"],
            row["kind"].replace("_", " "),
            row["perturbation"],
            _budget(row),
            policy_shown(brief(row["lambda"])),
            brief(row["lambda_attack"]) if row["kind"] == "transfer" else "",
            f"{MARK if row in worst else ''}{share_text(row['accuracy'])}",
            f"{100 * row['low']:.1f}-{100 * row['high']:.1f}",
            distance(row),
            row["n"],
            "untrusted" if row["verdict"] == "untrusted" else "",
        )
        for row in rows
    ]
    headers = ["model", "kind", "perturbation", "eps", "lambda", "made at", "acc. %", "95 %"]
    headers += ["median dist.", "n", ""]
    return _told(lines, headers, ("left", "left", "left", *("right",) * 7, "left"))


def _told(lines: Sequence[Sequence[Any]], headers: Sequence[str], aligned: Sequence[str]) -> str:
    """The table without columns in which nothing stands; nothing without lines."""
    kept = [i for i, name in enumerate(headers) if name in ("model", "n") or any(line[i] for line in lines)]
    texts = [place for place, i in enumerate(kept) if headers[i] in TEXTS]
    chosen = [[line[i] for i in kept] for line in lines]
    return fitted(chosen, [headers[i] for i in kept], [aligned[i] for i in kept], texts) if lines else ""


def _severities(rows: Sequence[Record], worst: Sequence[Record]) -> str:
    """Accuracy in % by severity, and the mean over the corruptions; that alone where they are too many for a screen."""
    names = list(dict.fromkeys(row["perturbation"] for row in rows))
    severities = sorted({row["severity"] or 0 for row in rows})
    questions = dict.fromkeys(_question(row) for row in rows)
    accuracies = {_place(row): row["accuracy"] for row in rows}
    marked = {_place(row) for row in worst}
    each = [[name] for name in names] if len(names) * len(questions) <= SCREEN else []
    averaged = len(names) > 1 and 0 not in severities  # of levels a mean says nothing
    lines = []
    for question in questions:
        for chosen in [*each, names] if averaged or not each else each:
            means, cells = [], []
            for severity in severities:
                places = [(*question, name, severity) for name in chosen]
                means.append(_mean([accuracies.get(place) for place in places]))
                mark = MARK if len(places) == 1 and places[0] in marked else ""
                cells.append(f"{mark}{_percent(means[-1])}")
            if len(severities) > 1:
                cells.append(_percent(_mean(means)))
            label = chosen[0] if len(chosen) == 1 else f"mean of {len(chosen)}"
            lines.append([question[0], policy_shown(question[1]), label, *cells, question[2]])
    columns = [str(severity) if severity else "acc. %" for severity in severities]
    headers = ["model", "lambda", "corruption", *columns, *(["mean"] if len(columns) > 1 else []), "n"]
    return _told(lines, headers, ["left", "right", "left", *["right"] * (len(headers) - 3)])


def _question(row: Record) -> tuple[str, str, int, str]:
    """Who was asked, and on how many and which images: of others no mean is taken."""
    return row["model"], brief(row["lambda"]), row["n"], row.get("images") or ""


def _place(row: Record) -> tuple[str, str, int, str, str, int]:
    return *_question(row), row["perturbation"], row["severity"] or 0


def _sequences(rows: Sequence[Record]) -> str:
    """Flips and top-5 distances, and their means over the ten published sequences where all were run alike."""
    lines = []
    for question in dict.fromkeys(map(_question, rows)):
        model, lam, n, _ = question
        same = [row for row in rows if _question(row) == question]
        steady = {row["perturbation"]: (row["flip_probability"], row["top5_distance"]) for row in same}
        by_difficulty: dict[str, dict[str, tuple[float, float]]] = {}
        for label, values in steady.items():
            name, difficulty = _name_and_difficulty(label)
            by_difficulty.setdefault(difficulty, {})[name] = values
        for difficulty, by_name in by_difficulty.items():
            if all(name in by_name for name in MAIN):
                flips, distances = zip(*(by_name[name] for name in MAIN), strict=True)
                steady[f"mean of the ten {difficulty}".rstrip()] = sum(flips) / 10, sum(distances) / 10
        for name, (flip, shift) in steady.items():
            lines.append([model, policy_shown(lam), name, share_text(flip, 2), f"{shift:.3f}", n])
    headers = ["model", "lambda", "sequence", "flips %", "top-5 dist.", "n"]
    return _told(lines, headers, ["left", "right", "left", *["right"] * 3])


def _name_and_difficulty(label: str) -> tuple[str, str]:
    """A sequence's name, and its difficulty as "(difficulty 2)", empty at 1; without the seed, which only some have."""
    name, opening, difficulty = without_seed(label).partition("(")
    return name, opening + difficulty


def _mean(values: Sequence[float | None]) -> float | None:
    """The mean of what was all run, or None."""
    known = [value for value in values if value is not None]
    # Rounded: the same answers in another order may differ in the last digit of a float, and so in the printed one.
    return round(sum(known) / len(known), 12) if known and len(known) == len(values) else None


def _percent(value: float | None) -> str:
    return "-" if value is None else share_text(value)


def _budget(row: Record) -> str:
    if row["eps"] is not None:
        return f"{row['eps']}" if norm_facts(row["norm"]).unit else f"{row['eps']} {row['norm']}"
    return brief(row["severity"])


def distance(row: Record) -> str:
    """The median distance of a minimal-norm attack, Linf in pixel levels."""
    if row["kind"] != "attack" or row["eps"] is not None or "median_distance" not in row:
        return ""
    value, norm = row["median_distance"], row["norm"]
    return "-" if value is None else f"{norm_facts(norm).shown(value)} {norm}"
