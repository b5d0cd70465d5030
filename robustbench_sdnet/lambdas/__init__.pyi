from .calibrated import Calibrated as Calibrated, CalibratedFit as CalibratedFit
from .calibration import calibrate as calibrate
from .fixed import Fixed as Fixed
from .label_free import LabelFree as LabelFree, Reference as Reference, reference as reference
from .module import WithPolicy as WithPolicy
from .policy import Policy as Policy
from .sweep import sweep_lambdas as sweep_lambdas
