from . import pipeline as pipeline
from .pipeline import apply as apply, corrupt as corrupt, sample as sample
from .registry import (
    CORRUPTIONS as CORRUPTIONS,
    CorruptionInfo as CorruptionInfo,
    corruption_info as corruption_info,
    expand as expand,
)
