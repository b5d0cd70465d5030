"""Data sets by name: uint8 images, labels, stable sample ids and a content hash.

Importing this package, and checking a name, needs neither NumPy nor torch.
"""

from lazy_loader import attach_stub

__getattr__, __dir__, __all__ = attach_stub(__name__, __file__)
