"""The engine: who pays for what, what is kept, what is left as it was, and what goes wrong."""

from __future__ import annotations

import pytest
import torch
from attack_networks import convolutional, linear_problem
from torch import nn

from robustbench_sdnet import attacks
from robustbench_sdnet.attacks.engine.balls import BALLS
from robustbench_sdnet.attacks.engine.batches import pieces, rungs
from robustbench_sdnet.attacks.engine.losses import margin
from robustbench_sdnet.attacks.engine.passes import Passes
from robustbench_sdnet.errors import InputError, ModelError, RandomWarning

EPS = 0.02
ALL = ("fgsm", "pgd", "pma", "noise", "apgd-ce", "apgd-dlr", "apgd-t", "fab-t", "square")
SHORT = {
    "pgd": {"steps": 6, "restarts": 2},
    "pma": {"steps": 6},
    "noise": {"draws": 3},
    "apgd-ce": {"steps": 8, "restarts": 2},
    "apgd-dlr": {"steps": 8},
    "apgd-t": {"steps": 6, "targets": 3},
    "fab-t": {"steps": 5, "targets": 3},
    "square": {"steps": 30},
}


@pytest.mark.parametrize("norm", ["linf", "l2", "l1"])
@pytest.mark.parametrize("name", ALL)
def test_what_holds_after_every_attack(standard, name, norm):
    model, images, labels = standard
    images, labels, eps = images[:40], labels[:40].clone(), 0.08 if norm == "linf" else 0.6
    labels[0] = (labels[0] + 1) % 10
    model = model.train()
    model[1].eval()
    model[0].weight.requires_grad_(True)
    before = {key: value.clone() for key, value in model.state_dict().items()}
    modes = [module.training for module in model.modules()]
    result = attacks.run(
        name, model, images, labels, eps=eps, norm=norm, params=SHORT.get(name), batch_size=16
    )
    assert [module.training for module in model.modules()] == modes
    assert [parameter.requires_grad for parameter in model.parameters()] == [True] + [False] * 9
    assert all(torch.equal(value, before[key]) for key, value in model.state_dict().items())
    model[0].weight.requires_grad_(False)
    model.eval()
    delta = (result.images - images).flatten(1)
    length = delta.abs().amax(1) if norm == "linf" else delta.norm(dim=1)
    assert float(length.max()) <= eps + 1e-6
    assert float(result.images.min()) >= 0
    assert float(result.images.max()) <= 1
    logits = model(result.images)
    assert torch.equal(result.clean, model(images).argmax(1) == labels)
    assert torch.equal(result.robust, result.clean & (logits.argmax(1) == labels))
    assert torch.equal(result.broken_at == -1, result.robust)
    assert torch.equal(result.broken_at == 0, ~result.clean)
    true = logits.gather(1, labels[:, None])[:, 0]
    others = logits.scatter(1, labels[:, None], -torch.inf).amax(1)
    assert torch.allclose(result.margin, true - others, atol=1e-4)
    assert torch.equal(result.images[0], images[0])


def test_misclassified_samples_cost_one_forward_pass():
    model, images, labels, _ = linear_problem(3, (1, 4, 4), 5, EPS, "linf")
    result = attacks.pgd(model, images, (labels + 1) % 3, eps=EPS, steps=20)
    assert (result.forwards, result.backwards) == (5, 0)
    assert result.broken_at.tolist() == [0] * 5


@pytest.mark.parametrize("answers", [None, 3])
def test_a_tie_that_goes_to_the_label_is_right_before_and_after(answers):
    def model(images):
        return images.mean((1, 2, 3))[:, None].repeat(1, 2)  # the first of equal logits is the prediction

    images, labels = torch.full((2, 1, 2, 2), 0.5), torch.tensor([0, 1])
    found = attacks.noise(model, images, labels, eps=0.1, answers=answers)
    assert found.clean.tolist() == found.robust.tolist() == [True, False]
    assert found.broken_at.tolist() == [-1, 0]


def test_what_is_wrong_by_no_more_than_rounding_breaks_at_the_last_step():
    def model(images):  # below a mean of 0.5 both logits are 1, and the first class is the prediction
        return torch.stack([torch.zeros(len(images)), (images.mean((1, 2, 3)) - 0.5).relu()], 1) + 1

    images, labels = torch.full((2, 1, 2, 2), 0.55), torch.tensor([1, 1])
    found = attacks.pgd(model, images, labels, eps=0.1, steps=5, restarts=3)
    assert found.robust.tolist() == [False, False]
    assert found.broken_at.tolist() == [15, 15]


@pytest.mark.parametrize("name", ["pgd", "pma", "apgd-ce", "apgd-dlr"])
def test_every_restart_takes_all_of_its_steps(name):
    model, images, labels, _ = linear_problem(2, (1, 3, 3), 6, EPS, "l2")
    params = {"steps": 4, "restarts": 3}
    found = attacks.run(name, model, images, labels, eps=1e-4, norm="l2", params=params)
    assert bool(found.robust.all())
    # Four gradients a restart and five looks, of the starting point and of every step; one look at the clean image.
    assert (found.backwards, found.forwards) == (6 * 3 * 4, 6 * (3 * 5 + 1))


def test_a_broken_sample_stops_costing():
    model, images, labels, distance = linear_problem(2, (1, 4, 4), 20, EPS, "linf")
    result = attacks.pgd(
        model, images, labels, eps=EPS, steps=10, step_size=EPS / 10, random_start=False, batch_size=4
    )
    # On a line the first k with k * eps / 10 > distance breaks; its look costs a pass, a robust sample's last look too.
    steps = torch.where(distance < EPS, (10 * distance / EPS).floor().long() + 1, -1)
    assert torch.equal(result.broken_at, steps)
    looks = torch.where(steps > 0, steps + 1, 11)
    assert result.forwards == 20 + int(looks.sum())
    assert (result.gradients, result.silent) == (20, 0), "each is looked at once, whoever else comes and goes"


@pytest.mark.parametrize("name", ["pgd", "pma", "apgd-ce", "apgd-t", "square", "fab-t", "fmn"])
def test_the_step_that_broke_an_image_is_told_by_its_passes(name):
    model, images, labels, _ = linear_problem(2, (1, 4, 4), 12, EPS, "linf")
    params = {**SHORT.get(name, {}), **({"restarts": 1} if name in ("pgd", "pma", "apgd-ce") else {})}
    told = []
    for image, label in zip(images[:, None], labels[:, None], strict=True):
        found = attacks.run(name, model, image, label, eps=2.2 * EPS, params=params, precision="float32")
        passes = found.forwards - 1  # without that of the clean image
        # Most begin at a point before the first step. A step of FAB is two passes, and Square's start is a query.
        number = {"square": passes, "fmn": passes, "fab-t": passes // 2}
        if not bool(found.robust):
            told.append((int(found.broken_at), number.get(name, max(passes - 1, 1))))
    assert told
    assert all(step == number for step, number in told), told


def test_the_first_success_is_kept_and_a_lost_one_is_named():
    class Band(nn.Module):
        """Class 1 inside a band of mean brightness, class 0 outside: a long step passes through it."""

        def forward(self, images):
            mean = images.mean((1, 2, 3))
            return torch.stack([(mean - 0.55).abs() - 0.02, torch.zeros_like(mean)], dim=1)

    images = torch.full((1, 1, 2, 2), 0.5, dtype=torch.float64)
    labels = torch.zeros(1, dtype=torch.int64)
    settings = {"eps": 0.2, "steps": 2, "step_size": 0.05, "random_start": False}
    kept = attacks.pgd(Band(), images, labels, **settings)
    assert kept.broken_at.tolist() == [1]
    assert torch.allclose(kept.images, torch.full_like(images, 0.55))
    settings = {**settings, "steps": 3, "step_size": 0.04}
    textbook = attacks.pgd(Band(), images, labels, early_stop=False, **settings)
    # 0.54 is in the band and beyond its centre lies the way back: 0.54, 0.58, 0.54.
    assert textbook.extra["lost_success"].tolist() == [False]
    assert textbook.broken_at.tolist() == [1]
    # A step earlier it ends at 0.58, behind the band; one long step at 0.7 ends where the image is easier than it was.
    for steps, size, end in ((2, 0.04, 0.58), (1, 0.2, 0.7)):
        settings = {**settings, "steps": steps, "step_size": size}
        textbook = attacks.pgd(Band(), images, labels, early_stop=False, **settings)
        assert torch.allclose(textbook.images, torch.full_like(images, end)), "the last iterate, not the best"
        assert textbook.robust.tolist() == [True]
        assert textbook.extra["lost_success"].tolist() == [end == 0.58]


def test_restarts_keep_the_worst_image():
    model, images, labels, _ = linear_problem(3, (1, 4, 4), 12, EPS, "linf")
    once = attacks.pgd(model, images, labels, eps=EPS / 4, steps=2)
    often = attacks.pgd(model, images, labels, eps=EPS / 4, steps=2, restarts=5)
    assert bool((often.margin <= once.margin + 1e-6).all())
    assert bool((often.margin < once.margin).any())


@pytest.mark.parametrize("eot", [1, 3])
def test_a_sample_that_holds_out_keeps_its_image_closest_to_breaking(eot):
    def model(images):
        score = 0.5 + (images.mean((1, 2, 3)) - 0.54).abs()
        return torch.stack([score, torch.zeros_like(score)], dim=1)

    images, labels = torch.full((1, 1, 2, 2), 0.5), torch.zeros(1, dtype=torch.int64)
    settings = {"eps": 0.1, "steps": 2, "step_size": 0.03, "random_start": False}
    found = attacks.pgd(model, images, labels, eot=eot, **settings)
    assert found.robust.tolist() == [True]
    # It walks over 0.53 to 0.56.
    assert torch.allclose(found.images, torch.full_like(images, 0.53))
    assert found.margin.tolist() == pytest.approx([0.51])


def test_seed_and_sample_ids_key_the_start():
    model, images, labels, _ = linear_problem(3, (1, 4, 4), 4, EPS, "linf")

    def run(**kwargs):
        return attacks.noise(model, images, labels, eps=EPS, early_stop=False, **kwargs).images

    assert torch.equal(run(seed=1), run(seed=1))
    assert not torch.equal(run(seed=1), run(seed=2))
    assert not torch.equal(run(sample_ids=[0, 1, 2, 3]), run(sample_ids=[4, 5, 6, 7]))


@pytest.mark.parametrize("early_stop", [True, False])
def test_low_precision_successes_are_confirmed(standard, early_stop):
    model, images, labels = standard
    options = {"eps": 0.06, "steps": 10, "early_stop": early_stop}
    result = attacks.pgd(model, images, labels, precision="bfloat16", **options)
    logits = model(result.images)
    assert torch.equal(result.robust, result.clean & (logits.argmax(1) == labels))
    assert torch.allclose(result.margin, margin(logits, labels), atol=1e-4)
    exact = attacks.pgd(model, images, labels, precision="float32", **options)
    assert abs(result.robust_accuracy - exact.robust_accuracy) <= 0.02


def test_a_success_that_the_model_refutes_hides_no_later_one():
    def model(images):
        """The search, which asks for gradients, sees margins of 1, -1 and -0.5 where the model has 1, 1 and -1."""
        mean = images.mean((1, 2, 3))
        late = mean > 0.53
        searched = 1 - 100 * (mean - 0.5) + torch.where(late, 2.5, 0.0)
        score = searched if torch.is_grad_enabled() else torch.where(late, -1.0, 1.0)
        return torch.stack([score, torch.zeros_like(score)], dim=1)

    images, labels = torch.full((1, 1, 2, 2), 0.5), torch.zeros(1, dtype=torch.int64)
    settings = {"eps": 0.06, "steps": 3, "step_size": 0.02, "random_start": False}
    found = attacks.pgd(model, images, labels, eot=2, **settings)
    assert found.broken_at.tolist() == [2]
    assert torch.allclose(found.images, torch.full_like(images, 0.54))


def test_a_success_that_the_model_shows_by_no_more_than_rounding_is_none():
    def model(images):
        """Beyond a mean of 0.5 the search, which asks for gradients, sees class 0, and the model a tie."""
        score = images.mean((1, 2, 3)) - 0.5
        score = score if torch.is_grad_enabled() else score.relu()
        return torch.stack([torch.ones_like(score), 1 + score], dim=1)

    images, labels = torch.full((1, 1, 2, 2), 0.53125), torch.ones(1, dtype=torch.int64)
    settings = {"eps": 0.25, "steps": 4, "step_size": 0.0625, "random_start": False}
    found = attacks.pgd(model, images, labels, eot=2, **settings)
    assert (found.robust.tolist(), found.broken_at.tolist()) == ([False], [4]), "wrong, and at no step sooner"


def test_a_success_that_fresh_draws_confirmed_is_not_asked_for_again():
    model, images, labels, _ = linear_problem(2, (1, 4, 4), 6, EPS, "linf")
    step = {"steps": 1, "step_size": 2.2 * EPS, "random_start": False}
    found = attacks.pgd(model, images, labels, eps=2.2 * EPS, eot=2, answers=3, **step)
    assert not bool(found.robust.any())
    # Each image: a look, three draws, a gradient of two passes; after the step a look, three draws; three at the end.
    assert found.forwards == 6 * (1 + 3 + 2 + 1 + 3 + 3)
    assert found.backwards == 6 * 2


def test_batches_come_from_a_short_ladder():
    seen = set()

    def model(images):
        seen.add(len(images))
        return images.flatten(1)[:, :3]

    images = torch.rand(67, 1, 3, 3)
    attacks.pgd(model, images, torch.randint(3, (67,)), eps=0.2, steps=4, batch_size=50)
    assert seen <= set(rungs(50))
    assert 50 in seen


@pytest.mark.parametrize("count", [1, 2, 3, 5, 13, 40, 77, 260, 600])
def test_pieces_cover_every_row_once(count):
    cuts = list(pieces(count, rungs(250)))
    assert [start for start, _, _ in cuts] == [0] + [stop for _, stop, _ in cuts[:-1]]
    assert cuts[-1][1] == count
    assert all(stop - start <= shape for start, stop, shape in cuts)
    assert sum(shape for _, _, shape in cuts) <= max(1.125 * count, count + 3)
    assert len(cuts) <= 3 + count // 250


def test_a_model_that_returns_nan_is_named():
    model = convolutional().eval()
    with torch.no_grad():
        model[0].weight[0, 0, 0, 0] = torch.nan
    with pytest.raises(ModelError, match=r"Sequential returned logits that are not finite"):
        attacks.pgd(model, torch.rand(3, 1, 8, 8), torch.zeros(3, dtype=torch.int64), eps=0.1)


def test_a_model_that_raises_is_named_with_its_reason():
    with pytest.raises(
        ModelError, match=r"Model Sequential raised RuntimeError on images \(3, 3, 8, 8\): .+"
    ):
        attacks.pgd(convolutional(), torch.rand(3, 3, 8, 8), torch.zeros(3, dtype=torch.int64), eps=0.1)


def test_a_model_without_logits_is_named():
    images, labels = torch.rand(4, 1, 3, 3), torch.zeros(4, dtype=torch.int64)
    with pytest.raises(ModelError, match=r"must return logits \(4, 2 or more classes\), got tuple"):
        attacks.fgsm(lambda images: (images, images), images, labels, eps=0.1, batch_size=4)
    with pytest.raises(ModelError, match=r"got \(1, 1\)"):
        attacks.fgsm(lambda images: images.flatten(1)[:, :1], images, labels, eps=0.1, batch_size=1)


def test_a_model_without_gradient_is_refused():
    images = torch.rand(4, 1, 3, 3)

    def model(images):
        return images.detach().flatten(1)[:, :2]

    labels = model(images).argmax(1)
    with pytest.raises(ModelError, match=r"lets no gradient through.*square"):
        attacks.pgd(model, images, labels, eps=1e-6, random_start=False)


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (
            {"images": torch.full((2, 1, 3, 3), 2.0)},
            r"images must lie in \[0, 1\], got .* to 2. Leave the norm",
        ),
        (
            {"images": torch.full((2, 1, 3, 3), 200.0)},
            r"images must lie in \[0, 1\], got .* to 200. Divide by 255",
        ),
        (
            {"images": torch.full((2, 1, 3, 3), torch.nan)},
            r"images must lie in \[0, 1\], .* Some are not finite",
        ),
        (
            {"images": torch.zeros(2, 3, 3)},
            r"images must be float32 or float64 \(n, c, h, w\), .* Write images\[None\]",
        ),
        (
            {"images": torch.zeros(2, 1, 3, 3, dtype=torch.uint8)},
            r"got torch.uint8 .*\)\. Write images.float\(\) / 255",
        ),
        (
            {"images": torch.zeros(2, 8, 8, 3, dtype=torch.uint8)},
            r"Write images.permute\(0, 3, 1, 2\).float\(\) / 255",
        ),
        ({"labels": torch.zeros(3, dtype=torch.int64)}, r"labels must be int64 \(2,\)"),
        ({"labels": torch.tensor([0, 5])}, r"labels go up to 5, but the model returns 2 classes"),
        ({"eps": -1.0}, r"eps must be 0 or more"),
        ({"eps": float("inf")}, r"eps must be 0 or more and finite"),
        ({"norm": "l3"}, r"Unknown norm 'l3'.*linf"),
        ({"norm": 2}, r"Unknown norm '2'\. Did you mean 'l2'\?"),
        ({"norm": float("inf")}, r"Unknown norm 'inf'\. Did you mean 'linf'\?"),
        ({"steps": 0}, r"steps must be a whole number from 1 to .*, got '0'"),
        ({"restarts": 0}, r"restarts must be a whole number from 1"),
        ({"batch_size": 0}, r"batch_size must be a whole number from 1"),
        ({"precision": "float16"}, r"precision must be one of auto, float32, bfloat16"),
        ({"sample_ids": [1, 2, 3]}, r"sample_ids must be int64 \(2,\), got torch\.int64 \(3,\)"),
        ({"sample_ids": [0.5, 1]}, r"sample_ids must be int64 \(2,\), got torch\.float32"),
    ],
)
def test_bad_arguments_are_one_clear_line(change, message):
    arguments = {
        "images": torch.zeros(2, 1, 3, 3), "labels": torch.zeros(2, dtype=torch.int64), "eps": 0.1, **change,
    }  # fmt: skip
    with pytest.raises(InputError, match=message):
        attacks.pgd(lambda images: images.flatten(1)[:, :2], **arguments)


def test_no_samples_give_an_empty_result():
    result = attacks.pgd(convolutional(), torch.zeros(0, 1, 8, 8), torch.zeros(0, dtype=torch.int64), eps=0.1)
    assert result.images.shape == (0, 1, 8, 8)
    assert (result.forwards, result.backwards) == (0, 0)


def test_gradients_that_are_not_finite_become_zero():
    passes = Passes(lambda images: images.flatten(1).sqrt()[:, :2], 4)
    _, gradient = passes.gradient(torch.zeros(2, 1, 2, 2), lambda logits, index: logits[:, 0])
    assert torch.equal(gradient, torch.zeros(2, 1, 2, 2))


class _Refused(torch.autograd.Function):
    @staticmethod
    def forward(ctx, x):
        return x.clone()

    @staticmethod
    def backward(ctx, gradient):
        raise RuntimeError("no way back")


def test_a_model_that_raises_on_the_way_back_is_one_line():
    class Oneway(nn.Module):
        def forward(self, x):
            return _Refused.apply(x).flatten(1)[:, :3]

    images, labels = torch.rand(4, 3, 4, 4), torch.zeros(4, dtype=torch.int64)
    with pytest.raises(ModelError, match="backward pass: no way back"):
        attacks.pgd(Oneway(), images, labels, eps=0.1, steps=2, early_stop=False)


def test_large_l2_budgets_are_kept_within_rounding():
    images = torch.full((2, 3, 224, 224), 0.5)
    model = nn.Sequential(nn.AdaptiveAvgPool2d(1), nn.Flatten()).eval()
    result = attacks.noise(model, images, torch.zeros(2, dtype=torch.int64), eps=20.0, norm="l2")
    assert float((result.images - images).flatten(1).norm(dim=1).max()) <= 20 * (1 + 1e-6)


def test_a_sample_whose_iterates_repeat_leaves_with_the_same_outcome(hardened):
    model, images, labels = hardened
    images, labels = images[:60], labels[:60]
    options = {"eps": 0.15, "steps": 64, "precision": "float32"}
    cut = attacks.pgd(model, images, labels, **options)
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(BALLS["linf"], "signs", False)
        whole = attacks.pgd(model, images, labels, **options)
    cycled = cut.extra["cycled"]
    assert bool(cycled.any())
    assert not bool(cycled[~cut.robust].any()), "in one attempt a broken sample has left before"
    assert torch.equal(cut.broken_at, whole.broken_at)
    assert torch.equal(cut.images, whole.images)
    assert not bool(whole.extra["cycled"].any())
    assert cut.backwards < whole.backwards


def test_a_sample_that_breaks_in_a_later_restart_did_not_leave_by_repeating(hardened):
    model, images, labels = hardened
    options = {"eps": 0.2, "steps": 16, "step_size": 0.3, "precision": "float32"}
    once, again = (attacks.pgd(model, images, labels, restarts=count, **options) for count in (1, 6))
    assert bool((once.extra["cycled"] & ~again.robust).any()), "some break in a later restart"
    assert not bool(again.extra["cycled"][~again.robust].any())


def test_a_linear_models_corner_repeats_at_once_and_a_random_model_never_does():
    model, images, labels, _ = linear_problem(2, (1, 3, 3), 6, 0.02, "linf")
    # Step 5 of eps/4 is on the corner for certain; the iterate kept at step 8 is the corner, and step 9 repeats it.
    found = attacks.pgd(model, images, labels, eps=0.002, steps=50, random_start=False)
    assert bool(found.extra["cycled"].all())
    assert found.backwards == 6 * (9 + 1)

    def noisy(x):
        return model(x) + 0.01 * torch.rand(len(x), 2, generator=generator, dtype=x.dtype)

    generator = torch.Generator().manual_seed(0)
    with pytest.warns(RandomWarning):
        drawn = attacks.pgd(noisy, images, labels, eps=0.002, steps=50, random_start=False)
    assert not bool(drawn.extra["cycled"].all())
