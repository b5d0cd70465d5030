"""A model is asked at lambda where it is to be set, behind a policy at each image's own."""

import pytest
import torch

from robustbench_sdnet.running.deploy import deployed, logits_at_each
from robustbench_sdnet.specs import LambdaSpec
from robustbench_sdnet.zoo import use_lambda


class Chosen:
    """A policy of two passes a sample, which takes lambda from an image's first pixel."""

    passes, differentiable = 2, False

    def __call__(self, model, images):
        return images[:, 0, 0, 0] + 0.1


@pytest.mark.parametrize("scope", ["stem", "all"])
@pytest.mark.parametrize(("text", "passes"), [("0.5", 1), ("label-free:noise", 3)])
def test_lambda_is_set_where_it_is_asked(every, images, scope, text, passes):
    lam, n = LambdaSpec(text, scope), len(images)
    policies = {} if lam.fixed else {lam: Chosen()}
    at = lam.fixed or Chosen()(every, images)
    with torch.no_grad():
        with use_lambda(every, at, scope=scope):
            wanted = every(images)
        with use_lambda(every, at, scope="all" if scope == "stem" else "stem"):
            assert not torch.allclose(every(images), wanted, atol=1e-3)
        with deployed(every, lam, policies) as classifier:
            torch.testing.assert_close(classifier(images), wanted)
        (found,) = logits_at_each(every, images, [lam], policies, size=n + 2, name="sdnet", screen=False)
    torch.testing.assert_close(found.logits, wanted)
    assert found.passes == n * passes
