"""Models: sparse coding networks, their plain baselines, checkpoints, and other people's models.

Modules are imported on first use, so that names and cards can be had without torch.
"""

from lazy_loader import attach_stub

__getattr__, __dir__, __all__ = attach_stub(__name__, __file__)
