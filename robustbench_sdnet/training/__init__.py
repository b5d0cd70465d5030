"""Training: recipes, the loop, its state, and the robust variants. Importing this package imports no torch."""

from lazy_loader import attach_stub

__getattr__, __dir__, __all__ = attach_stub(__name__, __file__)
