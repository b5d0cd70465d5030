"""What a network keeps of an image: codes, dictionaries, and images made of them again, layer by layer."""

from lazy_loader import attach_stub

__getattr__, __dir__, __all__ = attach_stub(__name__, __file__)
