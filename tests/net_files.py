"""Networks as files, of Python or TorchScript, for tests that name them as the command line does."""

from __future__ import annotations

import warnings
from pathlib import Path

import torch


def write_net(folder: Path, name: str, *lines: str) -> None:
    """Write NAME.py, whose `net` makes a network with these lines as its forward pass of `images`."""
    forward = "".join(f"        {line}\n" for line in lines)
    source = f"import torch\nclass Net(torch.nn.Module):\n    def forward(self, images):\n{forward}"
    (folder / f"{name}.py").write_text(f"{source}def net():\n    return Net()\n")


def write_script(net: torch.nn.Module, path: Path, extra: dict[str, str] | None = None) -> None:
    """Write a network as TorchScript, with extra files inside."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # torch.jit is deprecated; its files are read here all the same
        torch.jit.save(torch.jit.script(net), path, _extra_files=extra)
