"""Policies by name."""

from __future__ import annotations

import subprocess
import sys

import pytest

from robustbench_sdnet.errors import InputError
from robustbench_sdnet.specs.lambdas import LAMBDAS, parse_lambdas, parse_policy


def test_names_are_read():
    assert parse_policy("0.30").text == "0.3"
    assert parse_policy("fixed:0.3") == parse_policy("0.3")
    assert parse_policy("0").text == "0"
    assert parse_lambdas("fixed:0.1234567,fixed:0.0000001") == parse_lambdas("0.1234567,1e-7")
    assert parse_policy("oracle").text == "oracle"
    assert parse_policy("label-free").text == "label-free:discrepancy"
    assert parse_policy(" label-free:entropy ").detail == "entropy"
    assert parse_policy("calibrated") == parse_policy("calibrated:residual")
    assert parse_policy("calibrated").text == "calibrated"
    assert parse_policy("calibrated:published").text == "calibrated:published"
    assert LAMBDAS == (0.1, 0.2, 0.3, 0.4, 0.5, 0.6, 0.7, 0.8, 0.9, 1.0, 1.1, 1.2, 1.3, 1.4)


@pytest.mark.parametrize(
    ("text", "match"),
    [
        ("calibratd", "Did you mean 'calibrated'"),
        ("label-free:discrepency", "Did you mean 'discrepancy'"),
        ("calibrated:publishd", "Did you mean 'published'"),
        ("label-free:", "Unknown label-free criterion"),
        ("oracle:best", "takes no detail"),
        ("-1", "not negative"),
        ("inf", "not negative"),
        ("nan", "not negative"),
        ("fixed", "is a number"),
        ("0.3:entropy", "Unknown lambda policy '0.3'"),
        ("", "Unknown lambda policy"),
    ],
)
def test_wrong_names_are_refused(text, match):
    with pytest.raises(InputError, match=match):
        parse_policy(text)


def test_specs_need_no_torch():
    code = (
        "import sys; from robustbench_sdnet import specs; specs.parse_policy('oracle');"
        "from robustbench_sdnet import diagnostics; diagnostics.DIAGNOSTICS; sys.exit('torch' in sys.modules)"
    )
    assert subprocess.run([sys.executable, "-c", code], check=False).returncode == 0
