"""What a table prints, without its intervals."""

from __future__ import annotations

from robustbench_sdnet.reports.document import Item, Table
from robustbench_sdnet.reports.numbers import Estimate, Missing


def percents(table: Table) -> list[list[str]]:
    """Every row as texts: accuracies in per cent, "-" for what is missing."""
    return [[_text(item) for item in row] for row in table.rows]


def _text(item: Item) -> str:
    if isinstance(item, Estimate):
        return item.percent
    return "-" if isinstance(item, Missing) else str(item)
