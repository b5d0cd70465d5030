from .inversion import codes as codes, dictionary as dictionary, reconstruct as reconstruct
from .way import features as features, invert_features as invert_features
