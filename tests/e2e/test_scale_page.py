"""The page on large runs: every number that it computes, from the measured ones that it names and from the planner."""

from __future__ import annotations

import re
from pathlib import Path

from robustbench_sdnet.planning.costs import grid, shard_size
from robustbench_sdnet.planning.questions import attack_specs, corruption_specs
from robustbench_sdnet.specs import Cell, DataSpec, Eps, ModelSpec

PAGE = (Path(__file__).resolve().parents[2] / "docs" / "scale.md").read_text(encoding="utf-8")
TEXT = " ".join(PAGE.split())
MODEL = ModelSpec(name="m", source="m", arch="a", weights="w")
DATA = DataSpec(name="imagenet", source="imagenet", split="test", content="c")
PIXELS = 224 * 224
ASSUMED, GPUS = (500, 1000, 2000), (1, 8, 64)


def measured(what: str) -> float:
    (row,) = re.findall(rf"^\| [^|]*{what}[^|]*\| ([\d.]+) ms", PAGE, re.MULTILINE)
    return float(row)


def seconds(text: str) -> float:
    units = {"h": 3600, "min": 60, "s": 1}
    return sum(float(number) * units[unit] for number, unit in re.findall(r"([\d.]+) (h|min|s)\b", text))


def rows(section: str) -> dict[str, list[float]]:
    """The rows of a section's tables, by their first cell, in seconds."""
    text = PAGE.partition(f"## {section}")[2].partition("\n## ")[0]
    cells = [
        [cell.strip() for cell in line.strip("|").split("|")] for line in text.splitlines() if line[:1] == "|"
    ]
    return {name: [seconds(cell) for cell in rest] for name, *rest in cells if any(map(seconds, rest))}


def near(found: list[float], expected: list[float]) -> bool:
    """Equal but for rounding: to a minute where there are some, else to two digits."""
    return all(
        abs(a - b) <= (max(30, 0.01 * b) if a >= 60 else 0.06 * b)
        for a, b in zip(found, expected, strict=True)
    )


def test_what_corruptions_cost() -> None:
    images = 75 * 50_000
    found = rows("ImageNet-C: 75 cells of 50,000 images")
    for rate in ASSUMED:
        assert near(found[f"{rate:,}"], [images / (rate * gpus) for gpus in GPUS]), rate
    each = measured("photo") + measured("fifteen corruptions")
    assert f"takes 2.4 + 1.6 = {each:.1f} ms of a core" in TEXT
    cores = found["cores: 3.75 million x 4.0 ms / cores"]
    assert near(cores, [images * each / 1000 / (8 * gpus) for gpus in GPUS])
    assert near(found["GPU alone"], [images / (2000 * gpus) for gpus in GPUS])
    assert f"the whole set takes {images * each / 3.6e6:.1f} core hours" in TEXT
    assert abs(1000 / each - 250) < 5
    assert measured("published ImageNet-C folder") == 0.4
    assert (1000 / 0.4, images * 0.4 / 60_000) == (2500, 25)


def test_how_corruptions_are_cut() -> None:
    cell = Cell(model=MODEL, data=DATA, perturbation=corruption_specs("fog", [1])[0])
    shards = list(grid(shard_size(cell, PIXELS, "cuda"), 50_000))
    assert (len(shards), shards[0], shards[-1]) == (15, (0, 100), (45_000, 50_000))
    assert f"in {75 * len(shards):,} shards of 100 to 5,000 images (15 per cell)" in TEXT
    assert f"{75 * len(shards):,} shards are {75 * len(shards) / 512:.1f} rounds" in TEXT


def test_what_autoattack_costs_and_how_it_is_cut() -> None:
    stages = attack_specs("autoattack", [Eps.parse("8/255")], "linf")
    options = [dict(stage.params) for stage in stages]
    steps = [int(one["steps"]) * int(one.get("targets") or 1) for one in options]
    assert [stage.name for stage in stages] == ["apgd-ce", "apgd-t", "fab-t", "square"]
    assert steps == [100, 900, 900, 5000]
    forwards, backwards = 100 + 900 + 2 * 900 + 5000, 100 + 900 + 900
    told = f"{forwards:,} forward and {backwards:,} backward passes, or about {forwards + 2 * backwards:,} forward"
    assert told in TEXT
    found = rows("AutoAttack on 5,000 ImageNet images")
    for rate in ASSUMED:
        assert near(found[f"{rate:,}"], [2000 * 11_600 / (rate * gpus) for gpus in GPUS]), rate
    cells = [Cell(model=MODEL, data=DATA, perturbation=stage, parents=("p",)) for stage in stages[1:]]
    assert {shard_size(cell, PIXELS, "cuda") for cell in cells} == {50}
    assert "later stages hold 50 images" in TEXT
    assert f"{len(list(grid(50, 5000)))} shards per stage" in TEXT
