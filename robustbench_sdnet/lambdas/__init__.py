"""How lambda is chosen at test time: policies from (model, images) to one lambda a sample.

Names are read in `specs.lambdas`, without torch; everything here is loaded when first asked for.
"""

from lazy_loader import attach_stub

__getattr__, __dir__, __all__ = attach_stub(__name__, __file__)
