"""Predictions in bfloat16 whose close calls are repeated in float32.

A prediction is decided by the gap between the two largest logits, and bfloat16 moves that gap by little. So a batch is
passed in bfloat16; the closest calls are passed again in float32; the largest change of a gap seen there, times
`SAFETY`, is the gap below which every other call is repeated too, until none is left. Decisions are then those of
float32 unless some gap moved by more than `SAFETY` times what the closest calls moved.
"""

from __future__ import annotations

from collections.abc import Callable

from torch import Tensor

from ..attacks.engine.losses import negative_margin

SAFETY = 4.0
FIRST = 16  # calls of every batch that are repeated in any case, to measure the error on


def screened(low: Tensor, exact: Callable[[Tensor], Tensor]) -> tuple[Tensor, int]:
    """Logits whose close calls are exact.

    Args:
        low: (n, classes) logits from bfloat16, as float32.
        exact: from row indices (m,) to their float32 logits (m, classes).

    Returns:
        (n, classes) logits, exact in the rows that were repeated, and how many those are.
    """
    found, n = low.clone(), len(low)
    first, second = low.topk(2, dim=1).values.unbind(1)
    gap = first - second
    order = gap.argsort(stable=True)
    done, error, target = 0, 0.0, min(FIRST, n)
    while done < target:
        rows = order[done:target]
        found[rows] = exact(rows)
        winner = low[rows].argmax(1)
        # The winner's lead is negative where float32 decides otherwise.
        error = max(error, float((negative_margin(found[rows], winner) + gap[rows]).abs().max()))
        done, target = target, max(target, int((gap < SAFETY * error).sum()))
    return found, done
