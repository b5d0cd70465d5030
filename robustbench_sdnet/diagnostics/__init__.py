"""Does an attack measure the model, or fool itself? The diagnostics, and doubts about a model itself.

The table and its findings need no torch; what computes them is loaded when first asked for.
"""

from lazy_loader import attach_stub

__getattr__, __dir__, __all__ = attach_stub(__name__, __file__)
