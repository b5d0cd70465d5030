from .finding import DIAGNOSTICS as DIAGNOSTICS, Finding as Finding, trust as trust
from .masking.diagnosis import diagnose as diagnose
