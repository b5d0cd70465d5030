from . import (
    attacks as attacks,
    corruptions as corruptions,
    data as data,
    diagnostics as diagnostics,
    inside as inside,
    lambdas as lambdas,
    reports as reports,
    training as training,
    zoo as zoo,
)
from .answers.frames import outcomes as outcomes, records as records
from .evaluation import diagnose as diagnose, evaluate as evaluate, study as study, sweep as sweep
from .inside import codes as codes, dictionary as dictionary, reconstruct as reconstruct
from .reports import report as report
from .zoo import (
    Coding as Coding,
    build_model as build_model,
    csc1d as csc1d,
    csc2d as csc2d,
    csc_linear as csc_linear,
    has_lambda as has_lambda,
    import_checkpoint as import_checkpoint,
    load_model as load_model,
    residuals as residuals,
    save_model as save_model,
    use_lambda as use_lambda,
)

__version__: str
