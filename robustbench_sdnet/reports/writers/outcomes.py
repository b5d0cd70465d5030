"""One row an image and answered cell: Parquet where pyarrow is installed, else CSV."""

from __future__ import annotations

import io
from importlib.util import find_spec
from pathlib import Path

from ...answers.frames import outcomes
from ...answers.snapshot import Snapshot
from ...errors import InputError
from .csv import guarded

ENDING = ".parquet" if find_spec("pyarrow") else ".csv"


def render(snapshot: Snapshot, target: Path) -> bytes:
    """The table as `target` ends, .parquet (InputError without pyarrow) or .csv; else as is usual here."""
    ending = target.suffix if target.suffix in (".parquet", ".csv") else ENDING
    if ending == ".parquet" and ENDING != ".parquet":
        raise InputError(
            f"{target}: Parquet needs pyarrow. Run 'pip install robustbench-sdnet[parquet]', or name a .csv file."
        )
    buffer, table = io.BytesIO(), outcomes(snapshot)
    if ending == ".parquet":
        table.to_parquet(buffer, index=False)
    else:
        for name in table.select_dtypes("category"):
            table[name] = table[name].astype(object).map(guarded, na_action="ignore")
        table.to_csv(buffer, index=False)
    return buffer.getvalue()
