from .finding import (
    DIAGNOSTICS as DIAGNOSTICS,
    Diagnostic as Diagnostic,
    Finding as Finding,
    trusted as trusted,
)
from .masking.diagnosis import diagnose as diagnose
