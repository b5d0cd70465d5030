"""Run a foreign attack on the samples that are worth attacking, and judge what it returns by our rules."""

from __future__ import annotations

import warnings
from collections.abc import Mapping

import torch
from torch import Tensor
from typing_extensions import Unpack

from ...devices import full_float32
from ...draws import seeded
from ...errors import ModelError, SdnetBenchError, first_line
from ...specs import AttackSpec
from ..engine.balls import ball
from ..engine.batches import usual_batch
from ..engine.guards import checked_classes, frozen, tracked
from ..engine.judging import Judge, judge_of
from ..engine.losses import margin
from ..engine.passes import Classifier, Passes
from ..engine.result import AttackResult
from ..libraries import check_problem
from ..native.wrapper import Run, checked, nothing, warn_of_silence
from .adapters import Perturb, build, perturb_with
from .counted import Counted


def check_attack(spec: AttackSpec, classes: int, images: Tensor) -> None:
    """Refuse, with an InputError, what cannot run on a model of so many classes and images (n, c, h, w).

    The attack is made, and not run: options that the library refuses are found, too.
    """
    check_problem(spec.name, classes, images[0].numel())
    passes = Passes(lambda x: x.flatten(1)[:, :classes])
    build(
        spec.name,
        dict(spec.params),
        eps=None if spec.eps is None else float(spec.eps),
        norm=spec.norm,
        seed=spec.seed,
        model=Counted(passes, classes, images),
    )


def attack(
    model: Classifier,
    images: Tensor,
    labels: Tensor,
    *,
    name: str,
    options: Mapping[str, object],
    eps: float | None,
    **run: Unpack[Run],
) -> AttackResult:
    """Run a library's class `name`, such as "foolbox:LinfPGD", made with `options`; see `run_library`."""
    norm, seed = run.get("norm", "linf"), run.get("seed", 0)
    perturb = perturb_with(name, options, eps=eps, norm=norm, seed=seed)
    return run_library(perturb, name, model, images, labels, eps, run)


@full_float32()
@torch.inference_mode(False)
def run_library(
    perturb: Perturb,
    name: str,
    model: Classifier,
    images: Tensor,
    labels: Tensor,
    eps: float | None,
    run: Run,
) -> AttackResult:
    """Attack the correctly classified samples in the model's precision, to the library's end; verify every outcome.

    Returns:
        `images` are the library's, moved into the ball when there is one; `extra["raw_robust"]` and
        `extra["raw_distance"]` (n,) judge them before that, and `extra["distance"]` (n,) is the norm of the
        perturbation that broke each sample (0 misclassified from the start, infinity none).
    """
    norm, size, given = run.get("norm", "linf"), run.get("batch_size"), run.get("sample_ids")
    found = ball(norm)
    images, labels, ids = checked(images, labels, eps=eps, norm=norm, sample_ids=given, batch_size=size)
    if len(images) == 0:
        return nothing(images)
    passes = Passes(tracked(model), size or usual_batch(images))
    with frozen(passes.model):
        logits = passes.exact(images)
        counted = Counted(passes, checked_classes(labels, logits), images)
        check_problem(name, counted.classes, images[0].numel())
        judge = judge_of(passes, run.get("answers"), run.get("protocol", "mean"))
        clean, _, clean_hits = _judged(judge, images, labels, margin(logits, labels))
        wanted = (clean if clean_hits is None else clean_hits > 0).nonzero()[:, 0]
        raw = _perturbed(perturb, name, counted, images, labels, wanted, ids, run.get("seed", 0))
        passes.check()
        raw_margin = margin(passes.exact(raw), labels)
        inside = raw.clamp(0, 1) if eps is None else found.project(raw, images, eps)
        margins = raw_margin if torch.equal(inside, raw) else margin(passes.exact(inside), labels)
        right, margins, hits = _judged(judge, inside, labels, margins)
    right = clean & right if judge is None else right
    found.assert_inside(inside, images, eps)
    warn_of_silence(counted.gradients, counted.silent)
    # Without a budget what counts is what is handed back; with one, how far the library had to go.
    sought, broken = (inside, clean & ~right) if eps is None else (raw, raw_margin < 0)
    distance = torch.where(broken, found.lengths(sought - images), torch.inf)
    return AttackResult(
        images=inside,
        clean=clean,
        robust=right,
        broken_at=torch.where(right, -1, torch.where(clean, 1, 0)),
        margin=margins.float(),
        forwards=passes.forwards,
        backwards=passes.backwards,
        gradients=counted.gradients,
        silent=counted.silent,
        extra={
            "raw_robust": clean & (raw_margin >= 0),
            "raw_distance": found.lengths(raw - images),
            "distance": torch.where(clean, distance, 0.0),
            **({} if hits is None else {"clean_hits": clean_hits, "hits": hits}),
        },
        repeats=None if judge is None else judge.repeats,
    )


def _judged(
    judge: Judge | None, images: Tensor, labels: Tensor, margins: Tensor
) -> tuple[Tensor, Tensor, Tensor | None]:
    """Which images (n,) are right, their margins, and the counts of fresh draws where those decide."""
    if judge is None:
        return margins >= 0, margins, None
    hits, margins = judge.count(images, labels)
    return judge.repeats.right(hits), margins, hits


def _perturbed(
    perturb: Perturb,
    name: str,
    model: Counted,
    images: Tensor,
    labels: Tensor,
    wanted: Tensor,
    ids: Tensor,
    seed: int,
) -> Tensor:
    """The images in our dtype, those at `wanted` (m,) as the library returns them, where that is finite.

    A library draws from global generators: each batch is seeded by the seed and its sample ids, and they are put back.
    """
    raw = images.clone()
    for index in torch.split(wanted, model.batch_size) if len(wanted) else ():
        batch, stream = images[index], f"{name}:{ids[index].tolist()}"
        # Some libraries take views that only a contiguous tensor has, and images come as channels-last pixels.
        given = batch.clone(memory_format=torch.contiguous_format), labels[index].clone()
        model.first = True
        try:
            with seeded(seed, stream, str(images.device)), torch.enable_grad(), warnings.catch_warnings():
                warnings.simplefilter("ignore")  # the libraries' own, on which no user can act
                found = perturb(model, *given)
        except SdnetBenchError:
            raise
        except Exception as error:  # a library and a model may raise anything: it becomes one line
            reason = first_line(error)
            raise ModelError(f"Attack {name} raised {type(error).__name__}: {reason}") from error
        found = found.detach().to(batch)
        if found.shape != batch.shape:
            raise ModelError(f"Attack {name} returned {tuple(found.shape)} for images {tuple(batch.shape)}.")
        raw[index] = torch.where(torch.isfinite(found), found, batch)
    return raw
