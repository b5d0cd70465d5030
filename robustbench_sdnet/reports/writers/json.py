"""Records as JSON: a list of flat objects with the keys of the result record in their order."""

from __future__ import annotations

import json
from collections.abc import Iterable, Mapping, Sequence
from typing import Any


def render(records: Iterable[Mapping[str, Any]], fields: Sequence[str]) -> str:
    """The list, one line a field; a number that is undefined is null, as JSON has no NaN.

    Args:
        fields: the keys, in order.
    """
    rows = [{field: _defined(record.get(field)) for field in fields} for record in records]
    return json.dumps(rows, indent=1, allow_nan=False) + "\n"


def _defined(value: Any) -> Any:
    return None if isinstance(value, float) and value != value else value
