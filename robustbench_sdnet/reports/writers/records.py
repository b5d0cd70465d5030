"""What other programs read: records as CSV and as JSON, and one row an image and answered cell."""

from __future__ import annotations

import csv
import io
import json
from collections.abc import Mapping, Sequence
from dataclasses import asdict
from importlib.util import find_spec
from pathlib import Path
from typing import Any

from ...answers.frames import outcomes
from ...answers.snapshot import Snapshot
from ...errors import InputError
from ...wording import visible

FORMULA = ("=", "+", "-", "@")
OUTCOMES_ENDING = ".parquet" if find_spec("pyarrow") else ".csv"


def to_csv(records: Sequence[Mapping[str, Any]]) -> str:
    """One line a record under a line of names; values that are lists or mappings as JSON, nothing for None and NaN."""
    buffer = io.StringIO()
    writer = csv.writer(buffer, lineterminator="\n")
    writer.writerow(records[0])
    writer.writerows([_guarded(record[field]) for field in records[0]] for record in records)
    return buffer.getvalue()


def as_record(one: Any) -> dict[str, Any]:
    """A dataclass and those in it by their fields, `lam` as "lambda", as in every record: in Python that is no name."""
    return asdict(
        one, dict_factory=lambda of: {"lambda" if name == "lam" else name: value for name, value in of}
    )


def to_json(records: Sequence[Mapping[str, Any]]) -> str:
    """A list of flat objects, one line a field; a number that is undefined is null, as JSON has no NaN."""
    rows = [
        {field: value if value == value else None for field, value in record.items()} for record in records
    ]
    return json.dumps(rows, indent=1, allow_nan=False) + "\n"


def outcome_table(snapshot: Snapshot, target: Path) -> bytes:
    """The table as `target` ends, .parquet or .csv, without an ending as is usual here.

    Raises:
        InputError: another ending, or .parquet without pyarrow.
    """
    ending = target.suffix or OUTCOMES_ENDING
    if ending not in (".parquet", ".csv"):
        raise InputError(
            f"{target}: this table is written as Parquet or CSV. Name a file in .parquet or .csv."
        )
    if ending == ".parquet" and OUTCOMES_ENDING != ".parquet":
        raise InputError(
            f"{target}: Parquet needs pyarrow. Run 'pip install robustbench-sdnet[parquet]', or name a .csv file."
        )
    buffer, table = io.BytesIO(), outcomes(snapshot)
    if ending == ".parquet":
        table.to_parquet(buffer, index=False)
    else:
        for name in table.select_dtypes("category"):
            table[name] = table[name].astype(object).map(_guarded, na_action="ignore")
        table.to_csv(buffer, index=False)
    return buffer.getvalue()


def _guarded(value: Any) -> Any:
    """The value as a cell: texts visible on one line, and not taken by a spreadsheet for something to compute."""
    if isinstance(value, str):
        value = visible(value)
        return f"'{value}" if value.startswith(FORMULA) else value
    if isinstance(value, dict | list | tuple):
        return json.dumps(value, sort_keys=True)
    return "" if value is None or value != value else value
