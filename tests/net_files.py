"""Networks as files of Python, for tests that name them as the command line does."""

from __future__ import annotations

from pathlib import Path


def write_net(folder: Path, name: str, *lines: str) -> None:
    """Write NAME.py, whose `net` makes a network with these lines as its forward pass of `images`."""
    forward = "".join(f"        {line}\n" for line in lines)
    source = f"import torch\nclass Net(torch.nn.Module):\n    def forward(self, images):\n{forward}"
    (folder / f"{name}.py").write_text(f"{source}def net():\n    return Net()\n")
