"""Robustness benchmarks for sparse-coding image classifiers.

    import robustbench_sdnet as rs

    model = rs.load_model("cifar10/sdnet20")
    with rs.use_lambda(model, 0.5):
        logits = model(images)

The names below are imported when they are first used, so that `import robustbench_sdnet` does not import torch.
"""

from lazy_loader import attach_stub

from .version import VERSION as __version__  # noqa: F401  the usual name for readers of a package's version
from .waiting import wait_briefly

wait_briefly()

__getattr__, __dir__, __all__ = attach_stub(__name__, __file__)
