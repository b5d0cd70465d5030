"""Adapters that run the attacks of other libraries and judge their results by this package's rules."""
