"""The command `diagnose`: what it prints, and what it refuses before any work."""

from __future__ import annotations

import json
import re

import pytest
import torch
from click.testing import CliRunner

from robustbench_sdnet.commands.diagnose import diagnose
from robustbench_sdnet.console import findings
from robustbench_sdnet.diagnostics import DIAGNOSTICS, Finding
from robustbench_sdnet.diagnostics.of_model import transfer_lambdas
from robustbench_sdnet.errors import InputError
from robustbench_sdnet.zoo import build_model, save_model


@pytest.fixture(scope="module")
def checkpoint(tmp_path_factory):
    torch.manual_seed(0)
    path = tmp_path_factory.mktemp("run") / "last.safetensors"
    save_model(build_model("sdnet20", width=4).eval(), path, data="digits")
    return str(path)


@pytest.fixture(scope="module")
def plain(tmp_path_factory):
    path = tmp_path_factory.mktemp("plain") / "last.safetensors"
    save_model(build_model("resnet20", width=4).eval(), path, data="digits")
    return str(path)


def invoke(*arguments):
    return CliRunner().invoke(diagnose, [*arguments, "--device", "cpu"], catch_exceptions=False)


def test_json_is_a_list_of_checks(checkpoint):
    result = invoke(checkpoint, "--cheap", "--limit", "12", "--lambda", "0.3", "--json")
    assert result.exit_code == 0
    found = json.loads(result.output)
    assert [item["check"] for item in found] == list(DIAGNOSTICS)
    assert [item["question"] for item in found] == list(DIAGNOSTICS.values())
    assert {item["verdict"] for item in found} <= {"pass", "warn", "fail", "not_run"}
    for key in ("value", "images"):
        assert all((item[key] is None) == (item["verdict"] == "not_run") for item in found)


def test_text_says_what_was_looked_at_then_a_line_a_check_then_the_sum(checkpoint):
    result = invoke(checkpoint, "--cheap", "--limit", "4", "--lambda", "0.3")
    title, head, first, *_, last = result.output.splitlines()
    assert title.endswith("at lambda 0.3 on digits (test), 4 images, linf 8/255")
    assert head.split() == ["verdict", "check", "number", "images", "finding"]
    assert first.split()[:4] == ["pass", "randomised", "0", "4"]
    counts = [
        int(number)
        for number in re.match(r"(\d+) pass, (\d+) warn, (\d+) fail, (\d+) not run: ", last).groups()
    ]
    assert sum(counts) == len(DIAGNOSTICS)
    assert max(map(len, result.output.splitlines())) <= 100, "a terminal of 100 columns holds it"
    assert all(check in result.output for check in DIAGNOSTICS)


def test_the_sum_says_what_it_means():
    passed, warned, failed = (Finding("noise_wins", verdict, 0.0, "") for verdict in ("pass", "warn", "fail"))
    assert findings.summary([passed]) == "1 pass, 0 warn, 0 fail, 0 not run: no sign of masked gradients."
    assert findings.summary([passed, warned]).endswith("look at the warnings.")
    assert findings.summary([warned, failed]).endswith("not to be trusted.")
    assert findings.summary([Finding("noise_wins", "not_run", None, "")]).endswith(
        "nothing could be checked."
    )
    assert findings.of_attacks([[passed], [passed]]).startswith("Diagnostics of 2 attacks: 2 pass, ")
    assert "none" in findings.of_attacks([])


@pytest.mark.parametrize(
    ("arguments", "match"),
    [
        (["--eps", "8"], "Write 8/255"),
        (["--eps", "0"], "above 0"),
        (["--lambda", "0.1,0.2"], "takes one number"),
        (["--lambda", "calibrated"], "takes one number"),
        (["--lambda-scope", "all"], r"where --lambda is set, which is not given\. Leave out --lambda-scope"),
        (["--data", "digit"], "Did you mean 'digits'"),
    ],
)
def test_wrong_questions_are_refused(checkpoint, arguments, match):
    with pytest.raises(InputError, match=match):
        invoke(checkpoint, *arguments)


def test_a_model_without_lambda_has_none_to_set(plain):
    with pytest.raises(InputError, match=r"no lambda to set: .* Leave out --lambda"):
        invoke(plain, "--lambda", "0.3", "--limit", "2")


def test_where_perturbations_may_carry_over_from():
    assert transfer_lambdas(None, None) == ()
    assert transfer_lambdas(0.1, 0.1) == (0.05, 0.2)
    assert transfer_lambdas(0.4, 0.1) == (0.1, 0.2, 0.8)
    assert transfer_lambdas(0.0, 0.1) == (0.1,)
