"""How much of a store lies in memory at once."""

import subprocess
import sys

import numpy as np
import pytest

from robustbench_sdnet.answers.snapshot import Snapshot
from robustbench_sdnet.planning.questions import corruption_specs
from robustbench_sdnet.specs import LambdaSpec
from robustbench_sdnet.store.outcome import Outcome
from robustbench_sdnet.store.store import Shard, Store
from tests.made_answers import COST, cell, made_store
from tests.memory import PRINT_PEAK

STATUS = f"""
import sys
from robustbench_sdnet.answers.status import status
from robustbench_sdnet.store.store import Store
with Store(sys.argv[1], must_exist=True) as store:
    assert [row["samples"] for row in status(store)] == [200_000]
{PRINT_PEAK}"""


@pytest.fixture(params=["a file", pytest.param("a server", marks=pytest.mark.postgres)])
def url(request, tmp_path):
    if request.param == "a file":
        return f"sqlite:///{tmp_path}/large.db"
    return request.getfixturevalue("postgres").database()


def test_status_holds_one_cell_at_a_time(url):
    n = 200_000
    fog = corruption_specs("fog", [1])[0]
    cells = [cell(fog, lam=LambdaSpec(f"0.{number}")) for number in range(10, 60)]
    nothing = np.full(n, np.nan, np.float32)
    right, unbroken = np.ones(n, bool), np.full(n, -1, np.int32)
    margins = np.random.default_rng(0).random(n, np.float32)  # nothing to compress
    outcome = Outcome(np.arange(n), right, unbroken, margins, nothing, nothing, nothing)
    parts = [(start, start + 5000, outcome.cut(start, start + 5000)) for start in range(0, n, 5000)]
    with Store(url) as store:
        store.add_cells({one.id: one for one in cells})
        for one in cells:
            store.add_shards([Shard(one.id, *part, {**COST, "precision": "float32"}) for part in parts])
    told = subprocess.run([sys.executable, "-c", STATUS, url], capture_output=True, text=True, check=True)
    # 29 bytes an image: all cells take 277 MiB, one 6; as they lie in the store 50, and 100 on the way from a server.
    assert int(told.stderr.split()[-1]) <= 150 * 2**10, "kibibytes"


def test_an_array_of_one_number_is_kept_as_that_number(tmp_path):
    with made_store(tmp_path, [(cell(), np.arange(10) < 5)]) as store:
        (answered,) = Snapshot.read(store).answered
    outcome = answered.outcome
    assert outcome.right.tolist() == [True] * 5 + [False] * 5
    assert np.isnan(outcome.lam).all()
    assert len(outcome.lam) == 10
    assert {name: getattr(outcome, name).strides[0] for name in ("right", "margin", "lam", "distance")} == {
        "right": 1,
        "margin": 4,
        "lam": 0,
        "distance": 0,
    }
