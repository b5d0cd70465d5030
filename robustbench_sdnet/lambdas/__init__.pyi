from .calibrated import Calibrated as Calibrated, CalibratedFit as CalibratedFit
from .calibration import calibrate as calibrate
from .label_free import LabelFree as LabelFree, Reference as Reference, reference as reference
from .policy import Fixed as Fixed, Policy as Policy, WithPolicy as WithPolicy
from .sweep import sweep_lambdas as sweep_lambdas
