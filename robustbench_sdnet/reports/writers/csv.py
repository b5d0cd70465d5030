"""Records as CSV: the columns of the result record in their order, nothing where a record has none."""

from __future__ import annotations

import csv
import io
import json
from collections.abc import Mapping, Sequence
from typing import Any

from ...wording import visible

FORMULA = ("=", "+", "-", "@")


def render(records: Sequence[Mapping[str, Any]]) -> str:
    """One line a record under a line of names; values that are lists or mappings as JSON."""
    fields = list(records[0])
    buffer = io.StringIO()
    writer = csv.writer(buffer, lineterminator="\n")
    writer.writerow(fields)
    writer.writerows([guarded(record[field]) for field in fields] for record in records)
    return buffer.getvalue()


def guarded(value: Any) -> Any:
    """The value as a cell: texts visible on one line, and not taken by a spreadsheet for something to compute."""
    if isinstance(value, str):
        value = visible(value)
        return f"'{value}" if value.startswith(FORMULA) else value
    if isinstance(value, dict | list | tuple):
        return json.dumps(value, sort_keys=True)
    return "" if value is None or value != value else value
