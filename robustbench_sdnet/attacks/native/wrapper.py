"""From a search to a checked result: arguments in, post-conditions out."""

from __future__ import annotations

import functools
import inspect
import math
import warnings
from collections.abc import Callable, Sequence
from typing import Any, TypedDict, TypeVar, cast

import torch
from torch import Tensor

from ...devices import full_float32, native_bfloat16
from ...errors import GradientWarning, InputError, RandomWarning, level_of_the_caller, unknown
from ...reading.numbers import whole
from ...specs.budgets import check_largest
from ...specs.models import TOLERANCE
from ...wording import shown
from ...zoo.nets.inputs import check_range
from ..engine.active import run_search
from ..engine.ball import Ball
from ..engine.balls import ball
from ..engine.batches import usual_batch
from ..engine.guards import frozen, tracked, usable
from ..engine.judging import judge_of
from ..engine.passes import TRIAL, Classifier, Passes
from ..engine.result import AttackResult, stands_still
from ..engine.rounding import disagreement
from ..engine.search import Search
from ..registry import ATTACKS

Function = TypeVar("Function", bound=Callable[..., AttackResult])


class Run(TypedDict, total=False):
    """What every attack takes beside its own hyper-parameters; `pgd` says what each means.

    Attacks write it as `Unpack[Run]`, which typing_extensions has on every Python.
    """

    norm: str
    early_stop: bool
    precision: str
    seed: int
    sample_ids: Tensor | Sequence[int] | None
    batch_size: int | None
    answers: int | None
    protocol: str


@full_float32()
@torch.inference_mode(False)
def run_native(
    name: str,
    build: Callable[..., Search],
    model: Classifier,
    images: Tensor,
    labels: Tensor,
    *,
    eps: float | None,
    repeats: int = 1,
    norm: str = "linf",
    early_stop: bool = True,
    precision: str = "auto",
    seed: int = 0,
    sample_ids: Tensor | Sequence[int] | None = None,
    batch_size: int | None = None,
    answers: int | None = None,
    protocol: str = "mean",
    start: Tensor | None = None,
) -> AttackResult:
    """Run a search on the active set and check what it found; see `pgd` for the arguments.

    Args:
        name: of the attack: its row says its norms, and whether bfloat16 would mislead it.
        build: the search, from `ball`, `eps`, `seed` and, where it is given, `start`.
        repeats: passes averaged a gradient.
    """
    info = ATTACKS[name]
    found = ball(norm, info.norms)
    images, labels, ids = checked(
        images, labels, eps=eps, norm=norm, sample_ids=sample_ids, batch_size=batch_size
    )
    eps = None if eps is None else float(eps)
    began = {} if start is None else {"start": _checked_start(start, images, found, eps)}
    search = build(ball=found, eps=eps, seed=seed, **began)
    # There successes on the way go unconfirmed.
    full = answers is not None or (precision == "auto" and not early_stop)
    passes = Passes(
        tracked(model),
        batch_size or usual_batch(images),
        low_precision=wants_low_precision(precision, images, exact=info.full_precision) and not full,
        repeats=positive("eot", repeats),
    )
    judge = judge_of(passes, answers, protocol)
    if len(images) == 0:
        return nothing(images)
    with frozen(passes.model):
        result = run_search(search, passes, images, labels, ids, early_stop=early_stop, judge=judge)
    found.assert_inside(result.images, images, eps)
    warn_of_silence(result.gradients, result.silent)
    return result


def attack(function: Function, norm: str = "linf") -> Function:
    """An attack whose signature spells out its shared options, for `help` and for editors, and that knows no others.

    Called by code of others, it looks whether the model draws random numbers.

    Args:
        norm: the one that it works in unless another is given.
    """
    signature = inspect.signature(function)
    defaults = dict(inspect.signature(run_native).parameters)
    defaults["norm"] = defaults["norm"].replace(default=norm)
    own = [one for one in signature.parameters.values() if one.kind != one.VAR_KEYWORD]
    shared = [defaults[name] for name in Run.__annotations__]
    known = {one.name for one in (*own, *shared)}
    budgeted = signature.parameters["eps"].default is inspect.Parameter.empty

    @functools.wraps(function)
    def run(*args: Any, **given: Any) -> AttackResult:
        for name in given:
            if name not in known:
                error = unknown(f"option of {function.__name__}", name, known)
                hint = f" An attack's own go into params={{{name!r}: ...}}." if "params" in known else ""
                raise InputError(f"{error}{hint}")
        if budgeted and given.get("eps") is None:
            raise InputError(f"{function.__name__} needs a budget, such as eps=8/255.")
        result = function(*args, **given)
        if given.get("answers") is None and level_of_the_caller() == 2:  # not from within this package
            asked = signature.bind(*args, **given).arguments
            warn_of_draws(asked["model"], asked["images"], given.get("batch_size"))
        return result

    run.__signature__ = signature.replace(parameters=[*own, *shared])  # type: ignore[attr-defined]  # read by inspect
    return cast("Function", run)


def warn_of_silence(gradients: int, silent: int) -> None:
    """Warn where more first gradients were zero or not finite than chance explains."""
    found = stands_still(gradients, silent)
    if found:
        warnings.warn(found, GradientWarning, stacklevel=level_of_the_caller())


@full_float32()
@torch.inference_mode(False)
def warn_of_draws(model: Classifier, images: Tensor, batch_size: int | None) -> None:
    """Warn where two answers to a few of the images differ: then one answer decides nothing."""
    passes, few = Passes(tracked(model), batch_size or TRIAL), usable(images[:TRIAL])
    if not len(few):
        return
    with frozen(passes.model):
        first, again = (passes.exact(few) for _ in range(2))
    if disagreement(first, again) > TOLERANCE:
        warnings.warn(
            "The model draws random numbers: two answers to the same images differ. Here one answer decides each "
            "image. Give answers=11, so that fresh draws are counted.",
            RandomWarning,
            stacklevel=level_of_the_caller(),
        )


def checked(
    images: Tensor,
    labels: Tensor,
    *,
    eps: float | None,
    norm: str,
    sample_ids: Tensor | Sequence[int] | None,
    batch_size: int | None = None,
) -> tuple[Tensor, Tensor, Tensor]:
    """Images and labels as autograd takes them and sample ids (n,) int64 beside them, once all are found in order."""
    if eps is not None:
        radius = checked_eps(eps)
        check_largest(radius, norm, f"{radius:g}")
    check_tensor("images", images)
    check_tensor("labels", labels)
    if images.dim() != 4 or images.dtype not in (torch.float32, torch.float64):
        given = f"{images.dtype} {tuple(images.shape)}"
        raise InputError(f"images must be float32 or float64 (n, c, h, w), got {given}.{_form(images)}")
    if labels.shape != (len(images),) or labels.dtype != torch.int64:
        given = f"{labels.dtype} {tuple(labels.shape)}"
        raise InputError(f"labels must be int64 ({len(images)},), got {given}.{_remedy(labels, len(images))}")
    if len(labels) and int(labels.min()) < 0:
        raise InputError(f"labels must be class numbers from 0, got {int(labels.min())}.")
    check_range(images)
    if batch_size is not None:
        positive("batch_size", batch_size)
    if sample_ids is None:
        sample_ids = torch.arange(len(images), device=images.device)
    try:
        ids = torch.as_tensor(sample_ids, device=images.device)
    except (TypeError, ValueError, RuntimeError):  # such as a generator, a text or numbers beyond 64 bits
        given = shown(repr(sample_ids))
        raise InputError(f"sample_ids must be int64 ({len(images)},), got {given}. Write a list.") from None
    if ids.shape != labels.shape or (len(images) and ids.is_floating_point()):
        raise InputError(f"sample_ids must be int64 ({len(images)},), got {ids.dtype} {tuple(ids.shape)}.")
    return usable(images), usable(labels), ids.to(torch.int64)


def _form(images: Tensor) -> str:
    """How images of another form become those that attacks take."""
    if images.dim() == 3:
        return " Write images[None]."
    if images.dim() != 4:
        return ""
    moved = ".permute(0, 3, 1, 2)" if images.shape[3] == 3 and images.shape[1] not in (1, 3) else ""
    ranged = " / 255" if images.dtype == torch.uint8 else ""
    return f" Write images{moved}.float(){ranged}."


def _remedy(labels: Tensor, count: int) -> str:
    """How labels that are one an image become class numbers."""
    if labels.shape == (count,):
        return " Write labels.long()."
    if labels.shape == (count, 1):
        return " Write labels[:, 0].long()."
    return " Take the argmax of one-hot labels." if labels.dim() == 2 and len(labels) == count else ""


def checked_eps(eps: object) -> float:
    """A radius, 0 or more and finite, of any type that is one number; else an InputError."""
    if isinstance(eps, str):
        raise InputError(f"eps must be a number, got the text '{eps}'. Write eps={eps} without quotes.")
    try:
        radius = float(eps)  # type: ignore[arg-type]  # what is no number raises
    except (TypeError, ValueError, RuntimeError):
        given = shown(repr(eps))
        raise InputError(f"eps must be one number, got {given}. Attack once for each budget.") from None
    if not 0 <= radius < math.inf:
        raise InputError(f"eps must be 0 or more and finite, got {radius}.")
    return radius


def _checked_start(start: Tensor, images: Tensor, found: Ball, eps: float | None) -> Tensor:
    """Points to begin at, as autograd takes them, once each is found in the ball of its image."""
    check_tensor("start", start)
    if (start.shape, start.dtype) != (images.shape, images.dtype):
        wanted, given = (f"{each.dtype} {tuple(each.shape)}" for each in (images, start))
        raise InputError(f"start must be like the images, {wanted}, got {given}.")
    start = usable(start)
    if beyond := found.beyond(start, images, eps):
        raise InputError(f"start lies outside of {beyond}. Begin within eps of the images.")
    return start


def check_tensor(name: str, value: object) -> None:
    """Refuse what is no tensor, or a sparse one, or one without values, with an InputError."""
    if not isinstance(value, Tensor):
        kind = type(value).__name__
        raise InputError(f"{name} must be a tensor, got {kind}. Write torch.as_tensor({name}).")
    if value.layout != torch.strided or value.is_meta:
        kind = "one on the meta device" if value.is_meta else f"one of layout {value.layout}"
        raise InputError(f"{name} must be a dense tensor with values, got {kind}.")


def wants_low_precision(precision: str, images: Tensor, *, exact: bool) -> bool:
    """Whether to search in bfloat16: asked for, or `auto` where the hardware computes it natively.

    Never for an `exact` search: it compares values so close that rounding would mislead it.
    Decisions are always made at the precision of the images.
    """
    known = ("auto", "float32", "bfloat16")
    if precision not in known:
        raise InputError(f"precision must be one of {', '.join(known)}, got '{precision}'.")
    if exact or precision == "float32" or images.dtype != torch.float32:
        return False
    return precision == "bfloat16" or native_bfloat16(images.device)


def positive(name: str, value: int) -> int:
    """The value, which must be a whole number of at least 1."""
    return whole(value, f"{name} must be a whole number", 1)


def nothing(images: Tensor) -> AttackResult:
    """The result of attacking no samples."""
    flags = torch.zeros(0, dtype=torch.bool, device=images.device)
    return AttackResult(
        images=images.clone(),
        clean=flags,
        robust=flags,
        broken_at=flags.long(),
        margin=flags.float(),
        forwards=0,
        backwards=0,
    )
