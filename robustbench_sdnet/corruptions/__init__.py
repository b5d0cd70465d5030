"""The corruptions of CIFAR-10-C, ImageNet-C and C-bar, and the sequences of CIFAR-10-P, vectorised and reproducible.

`registry` and `members` are torch-free; the rest is loaded when first asked for.
"""

from lazy_loader import attach_stub

__getattr__, __dir__, __all__ = attach_stub(__name__, __file__)
