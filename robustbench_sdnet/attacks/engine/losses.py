"""Losses that attacks maximise, one value a sample: logits (n, classes), labels and targets (n,) int64."""

from __future__ import annotations

import torch
import torch.nn.functional as F
from torch import Tensor


def cross_entropy(logits: Tensor, labels: Tensor) -> Tensor:
    """(n,) cross-entropy in nats."""
    return F.cross_entropy(logits, labels, reduction="none")


def margin(logits: Tensor, labels: Tensor) -> Tensor:
    """(n,) logit of the label minus the largest other logit.

    It is negative exactly where the prediction (first largest logit) is wrong, also when logits tie.
    """
    others = logits.scatter(1, labels[:, None], -torch.inf)
    value = logits.gather(1, labels[:, None])[:, 0] - others.amax(1)
    wrong = logits.argmax(1) != labels
    return torch.where(wrong & (value >= 0), -torch.finfo(logits.dtype).tiny, value)


def negative_margin(logits: Tensor, labels: Tensor) -> Tensor:
    """(n,) largest other logit minus the logit of the label, differentiable."""
    others = logits.scatter(1, labels[:, None], -torch.inf)
    return others.amax(1) - logits.gather(1, labels[:, None])[:, 0]


def dlr(logits: Tensor, labels: Tensor) -> Tensor:
    """(n,) difference of logits ratio (Croce & Hein 2020, arXiv:2003.01690, eq. 6): margin over z_1 - z_3.

    With fewer than three classes there is no third logit: the plain margin takes its place.
    """
    if logits.shape[1] < 3:
        return negative_margin(logits, labels)
    ordered = logits.topk(3, dim=1).values
    return negative_margin(logits, labels) / (ordered[:, 0] - ordered[:, 2] + 1e-12)


def targeted_dlr(logits: Tensor, labels: Tensor, targets: Tensor) -> Tensor:
    """(n,) targeted DLR (same paper, eq. 7): z_t - z_y over z_1 - (z_3 + z_4) / 2.

    With fewer than four classes there is no fourth logit: the targeted margin z_t - z_y takes its place.
    """
    gain = targeted_margin(logits, labels, targets)
    if logits.shape[1] < 4:
        return gain
    ordered = logits.topk(4, dim=1).values
    return gain / (ordered[:, 0] - 0.5 * (ordered[:, 2] + ordered[:, 3]) + 1e-12)


def targeted_margin(logits: Tensor, labels: Tensor, targets: Tensor) -> Tensor:
    """(n,) logit of the target minus the logit of the label."""
    return (logits.gather(1, targets[:, None]) - logits.gather(1, labels[:, None]))[:, 0]


def rival(logits: Tensor, labels: Tensor) -> Tensor:
    """(n,) the wrong class with the largest logit."""
    return logits.scatter(1, labels[:, None], -torch.inf).argmax(1)


def probability_weights(logits: Tensor, labels: Tensor) -> Tensor:
    """(3, n, classes) gradients by the logits of p_max, of -p_y and of p_max - p_y, each up to a positive factor.

    p_max is the largest wrong probability. In float32 the softmax of a confident model is 1 and these gradients vanish;
    divided by p_max, and by 1 - p_y, they do not: all that is left are ratios of wrong probabilities.
    """
    wrong = rival(logits, labels)
    label, target = (torch.zeros_like(logits).scatter(1, index[:, None], 1) for index in (labels, wrong))
    others = logits.masked_fill(label > 0, -torch.inf)
    share = others.softmax(1)  # of each wrong class in 1 - p_y
    p = logits.softmax(1)
    p_y, p_max, part = (
        (values * of).sum(1, keepdim=True) for values, of in ((p, label), (p, target), (share, target))
    )
    margin_weights = (
        part * (1 - p_max + p_y) * target
        - p_y * (1 + part) * label
        + share * (p_y - p_max) * (1 - label - target)
    )
    return torch.stack([target - p, share - label, margin_weights])


def ranked_targets(logits: Tensor, labels: Tensor) -> Tensor:
    """(n, classes - 1) every wrong class, the most likely first."""
    return logits.scatter(1, labels[:, None], -torch.inf).argsort(dim=1, descending=True, stable=True)[:, :-1]
