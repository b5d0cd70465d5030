"""Adversarial attacks: one active-set engine, native attacks on it, and adapters for other libraries.

The names below are imported when they are first used, so that the registry stays free of torch.
"""

from lazy_loader import attach_stub

__getattr__, __dir__, __all__ = attach_stub(__name__, __file__)
