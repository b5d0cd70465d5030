"""Records as JSON: a list of flat objects with the keys of the result record in their order."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from typing import Any


def render(records: Sequence[Mapping[str, Any]]) -> str:
    """The list, one line a field; a number that is undefined is null, as JSON has no NaN."""
    rows = [{field: _defined(value) for field, value in record.items()} for record in records]
    return json.dumps(rows, indent=1, allow_nan=False) + "\n"


def _defined(value: Any) -> Any:
    return None if isinstance(value, float) and value != value else value
