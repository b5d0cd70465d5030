from . import pipeline as pipeline
from .members import STORED as STORED, TABLES as TABLES, Corruption as Corruption
from .pipeline import apply as apply, corrupt as corrupt, sample as sample, sequence as sequence
from .registry import CORRUPTIONS as CORRUPTIONS, corruption_info as corruption_info, expand as expand
from .sequences.members import SEQUENCES as SEQUENCES, expand_sequences as expand_sequences
