"""What an image that nothing breaks costs in AutoAttack: model passes of torchattacks' parts and of ours.

    python benchmarks/passes.py [--steps 100] [--queries 5000]

Counted in a model whose answer nothing within eps changes, so no clock is read and any machine prints the same.
Where these numbers agree, no engine is quicker on a model that many images survive than its passes are: only
images that break, and what surrounds a pass, leave something to save.
"""

from __future__ import annotations

import argparse
from typing import Any

import torch
from torch import Tensor, nn

from robustbench_sdnet import attacks

EPS = 8 / 255
CLASSES = 10


class _Counted(torch.autograd.Function):
    """The identity, which counts the rows of its backward pass."""

    @staticmethod
    def forward(context: Any, images: Tensor, model: Unbreakable) -> Tensor:
        context.model = model
        return images.clone()

    @staticmethod
    def backward(context: Any, gradient: Tensor) -> tuple[Tensor, None]:
        context.model.backwards += len(gradient)
        return gradient, None


class Unbreakable(nn.Module):
    """A linear model that says class 0 of every image (n, 3, 8, 8), and counts the rows it is asked about."""

    def __init__(self) -> None:
        super().__init__()
        self.linear = nn.Linear(3 * 8 * 8, CLASSES)
        with torch.no_grad():
            self.linear.weight.mul_(0.05)
            self.linear.bias.copy_(torch.tensor([5.0, *(CLASSES - 1) * [0.0]]))
        self.forwards = self.backwards = 0

    def forward(self, images: Tensor) -> Tensor:
        """Logits (n, 10)."""
        self.forwards += len(images)
        logits: Tensor = self.linear(_Counted.apply(images, self).flatten(1))
        return logits


def main() -> None:
    """Count and print."""
    import torchattacks

    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--steps", type=int, default=100, help="of APGD and FAB")
    parser.add_argument("--queries", type=int, default=5000, help="of Square")
    parser.add_argument("--images", type=int, default=4)
    options = parser.parse_args()
    torch.manual_seed(0)
    model = Unbreakable().eval()
    images, labels = torch.rand(options.images, 3, 8, 8), torch.zeros(options.images, dtype=torch.long)
    budget = {"eps": EPS, "steps": options.steps, "n_restarts": 1}
    peers = {
        "apgd-ce": torchattacks.APGD(model, loss="ce", **budget),
        "apgd-t": torchattacks.APGDT(model, n_classes=CLASSES, **budget),
        "fab-t": torchattacks.FAB(model, multi_targeted=True, n_classes=CLASSES, **budget),
        "square": torchattacks.Square(model, eps=EPS, n_queries=options.queries, n_restarts=1),
    }
    print(
        f"{'stage':<10} {'torchattacks: forward':>22} {'backward':>9} {'ours: forward':>14} {'backward':>9}"
    )
    totals = torch.zeros(4)
    for name, peer in peers.items():
        model.forwards = model.backwards = 0
        peer(images, labels)
        counts = [model.forwards, model.backwards]
        model.forwards = model.backwards = 0
        params = {"steps": options.queries if name == "square" else options.steps}
        # In bfloat16, which only some machines search in, proposals are looked at again.
        result = attacks.run(name, model, images, labels, eps=EPS, params=params, precision="float32")
        if not bool((result.broken_at < 0).all()):
            raise SystemExit("An image broke, so the counts are not those of survivors.")
        row = torch.tensor([*counts, model.forwards, model.backwards]) / options.images
        totals += row
        print(line(name, row))
    print(line("together", totals))


def line(name: str, row: Tensor) -> str:
    """One row of the table."""
    return f"{name:<10} {row[0]:>22,.0f} {row[1]:>9,.0f} {row[2]:>14,.0f} {row[3]:>9,.0f}"


if __name__ == "__main__":
    main()
