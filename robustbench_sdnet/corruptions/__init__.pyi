from . import pipeline as pipeline
from .member import TABLES as TABLES, Corruption as Corruption
from .pipeline import apply as apply, corrupt as corrupt, sample as sample
from .registry import (
    CORRUPTIONS as CORRUPTIONS,
    corruption_info as corruption_info,
    expand as expand,
)
