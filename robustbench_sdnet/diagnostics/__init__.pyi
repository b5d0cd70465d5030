from .finding import DIAGNOSTICS as DIAGNOSTICS, Diagnostic as Diagnostic, Finding as Finding, trust as trust
from .masking.diagnosis import diagnose as diagnose
