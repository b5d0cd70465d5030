"""What errors say."""

from __future__ import annotations

import pytest

from robustbench_sdnet.errors import ModelError, about


@pytest.mark.parametrize(
    ("name", "said", "expected"),
    [
        ("a", "This model has no stem.", "a: This model has no stem."),
        ("model", "The model raised KeyError.", "model: The model raised KeyError."),
        ("net", "network.0 is missing", "net: network.0 is missing"),
        ("runs/a+", "runs/a+ raised KeyError: x", None),
        ("moods:Odd", "'moods:Odd' must return logits.", None),
        ("a", "Model a returned logits that are not finite", None),
        ("a", "the fit of calibrated for a: 3 workers ended", None),
    ],
)
def test_the_name_of_a_model_stands_in_front_where_its_error_lacks_it(name, said, expected):
    assert about(name, ModelError(said)) == (expected or said)
