"""How long the threads of a parallel loop spin at its end before they sleep.

Beside other programs a spinning thread takes the core that the one it waits for needs, and tiny layers have a loop
every few microseconds. A thousand turns are long enough for the next loop to begin within them on free cores.
"""

from __future__ import annotations

import os
from collections.abc import MutableMapping

BRIEF = {"GOMP_SPINCOUNT": "1000", "KMP_BLOCKTIME": "1"}
"""Turns of GNU's OpenMP; milliseconds of LLVM's and Intel's."""


def wait_briefly(environment: MutableMapping[str, str] = os.environ) -> None:
    """Set how long threads wait, where the user has not; it holds for a torch that is imported later."""
    if not {"OMP_WAIT_POLICY", *BRIEF} & environment.keys():
        environment.update(BRIEF)
